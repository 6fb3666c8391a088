//! What a private RabbitMQ reads: every path and port is set, so that nothing of the machine's own broker is
//! read, written or joined.

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::error::Error;
use crate::ports;
use crate::tls::ServerTls;

/// Delayed retries need no plugin: they are a time to live and a dead-letter exchange.
const PLUGINS: &str = "[rabbitmq_management,rabbitmq_prometheus,rabbitmq_consistent_hash_exchange].\n";

#[derive(Clone, Debug)]
pub(super) struct Ports {
    pub(super) amqp: u16,
    pub(super) amqps: u16,
    pub(super) management: u16,
    pub(super) prometheus: u16,
    distribution: u16,
    pub(super) epmd: u16,
}

impl Ports {
    pub(super) fn choose(amqp: Option<u16>) -> Result<Self, Error> {
        let [free, amqps, management, prometheus, distribution, epmd] = ports::free()?;
        Ok(Self { amqp: amqp.unwrap_or(free), amqps, management, prometheus, distribution, epmd })
    }

    pub(super) fn any_taken(&self) -> bool {
        [self.amqp, self.amqps, self.management, self.prometheus, self.distribution, self.epmd]
            .into_iter()
            .any(ports::is_taken)
    }
}

pub(super) fn write(folder: &Path, ports: &Ports, tls: Option<&ServerTls>) -> Result<(), Error> {
    for name in ["log", "mnesia", "home", "generated"] {
        let path = folder.join(name);
        fs::create_dir_all(&path).map_err(Error::file("create the folder", &path))?;
    }
    write_file(&folder.join("rabbitmq.conf"), &configuration(ports, tls))?;
    write_file(&folder.join("enabled_plugins"), PLUGINS)?;
    let cookie = folder.join("home/.erlang.cookie");
    if !cookie.exists() {
        // Who knows the cookie may run code in the node. The file's mode keeps others of this machine out.
        write_cookie(&cookie, &random_word()?)?;
    }
    Ok(())
}

fn write_cookie(path: &Path, word: &str) -> Result<(), Error> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o400);
    options
        .open(path)
        .and_then(|mut file| file.write_all(word.as_bytes()))
        .map_err(Error::file("write the cookie", path))
}

fn configuration(ports: &Ports, tls: Option<&ServerTls>) -> String {
    let Ports { amqp, amqps, management, prometheus, .. } = ports;
    let over_tls = tls.map_or_else(String::new, |tls| {
        let (certificate, key) = (tls.certificate.display(), tls.key.display());
        format!(
            "\
listeners.ssl.1 = 127.0.0.1:{amqps}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {key}
ssl_options.verify = verify_none
ssl_options.fail_if_no_peer_cert = false
"
        )
    });
    format!(
        "\
listeners.tcp.1 = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = {prometheus}
# Publishers are blocked below this much free disk and above this share of memory.
disk_free_limit.absolute = 100MB
vm_memory_high_watermark.relative = 0.4
log.console = false
log.file = rabbitmq.log
log.file.level = info
{over_tls}"
    )
}

/// The whole environment of the node beside `PATH`.
pub(super) fn environment(folder: &Path, ports: &Ports) -> Vec<(&'static str, OsString)> {
    let inside = |name: &str| folder.join(name).into_os_string();
    let number = |port: u16| OsString::from(port.to_string());
    vec![
        ("HOME", inside("home")),
        ("LANG", "C.UTF-8".into()),
        // The name may be the same everywhere: the port mapper is ours alone.
        ("RABBITMQ_NODENAME", "matchpurse@localhost".into()),
        ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".into()),
        ("RABBITMQ_NODE_PORT", number(ports.amqp)),
        ("RABBITMQ_DIST_PORT", number(ports.distribution)),
        ("RABBITMQ_MNESIA_BASE", inside("mnesia")),
        ("RABBITMQ_LOG_BASE", inside("log")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", inside("enabled_plugins")),
        ("RABBITMQ_CONFIG_FILE", inside("rabbitmq.conf")),
        ("RABBITMQ_CONF_ENV_FILE", "/dev/null".into()),
        ("RABBITMQ_GENERATED_CONFIG_DIR", inside("generated")),
        ("RABBITMQ_FEATURE_FLAGS_FILE", inside("feature_flags")),
        ("RABBITMQ_PID_FILE", inside("pid")),
        ("ERL_EPMD_PORT", number(ports.epmd)),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
        // Its schedulers otherwise spin before they sleep, on cores that PostgreSQL and the programs want.
        (
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS",
            "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}".into(),
        ),
        // Makes the script become the node instead of a shell that waits for it: our signals, and the
        // system's when we end, then reach the node itself.
        ("RUNNING_UNDER_SYSTEMD", "true".into()),
    ]
}

/// What `rabbitmqctl` needs to reach the node, beside `PATH`. Of the node's own it must not have the port, which is taken.
pub(super) fn control_environment(
    folder: &Path,
    ports: &Ports,
) -> impl Iterator<Item = (&'static str, OsString)> {
    const WANTED: [&str; 6] =
        ["HOME", "LANG", "RABBITMQ_NODENAME", "RABBITMQ_CONF_ENV_FILE", "ERL_EPMD_PORT", "ERL_EPMD_ADDRESS"];
    environment(folder, ports).into_iter().filter(|(name, _)| WANTED.contains(name))
}

fn write_file(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(Error::file("write", path))
}

fn random_word() -> Result<String, Error> {
    let path = Path::new("/dev/urandom");
    let mut bytes = [0; 20];
    let read = fs::File::open(path).and_then(|mut file| file.read_exact(&mut bytes));
    read.map_err(Error::file("read", path))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02X}")).collect())
}
