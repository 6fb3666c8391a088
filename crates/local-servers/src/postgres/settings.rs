//! How a private PostgreSQL is set: as a production server that keeps money would be, but for its size.

use std::ffi::OsString;
use std::path::Path;

use super::binaries::PostgresBinaries;
use crate::account::Account;
use crate::output;
use crate::tls::ServerTls;

/// The kernel's limit for the path of a socket, with its closing zero.
const SOCKET_PATH_MAX: usize = 107;
/// Tests give many small pools to one server.
const CONNECTIONS_MAX: u32 = 300;

pub(super) fn arguments(
    data: &Path,
    port: u16,
    wal_compression: &str,
    tls: Option<&ServerTls>,
) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = vec!["-D".into(), data.into()];
    let mut set = |setting: String| arguments.extend(["-c".into(), setting.into()]);
    set("listen_addresses=127.0.0.1".to_owned());
    set(format!("port={port}"));
    // Without a socket where its path would be too long: the URL is for TCP anyway.
    let socket = data.join(format!(".s.PGSQL.{port}.lock"));
    let sockets = if socket.as_os_str().len() < SOCKET_PATH_MAX { data.to_string_lossy() } else { "".into() };
    set(format!("unix_socket_directories={}", quoted(&sockets)));
    // A commit that was answered is on the disk. These are the defaults; they are here so that a changed
    // postgresql.conf in the folder cannot take them away.
    set("fsync=on".to_owned());
    set("full_page_writes=on".to_owned());
    set("synchronous_commit=on".to_owned());
    // Fewer checkpoints and smaller page images: both cut what each commit writes. A production server
    // would allow 4 GB of WAL; this one shares somebody's laptop.
    set(format!("wal_compression={wal_compression}"));
    set("max_wal_size=1GB".to_owned());
    set("checkpoint_timeout=15min".to_owned());
    set(format!("max_connections={CONNECTIONS_MAX}"));
    set("timezone=UTC".to_owned());
    set("log_timezone=UTC".to_owned());
    // The log is read for reasons, and shown to a person: in English.
    set("lc_messages=C".to_owned());
    set("log_line_prefix=%m [%p] ".to_owned());
    set("logging_collector=off".to_owned());
    if let Some(tls) = tls {
        set("ssl=on".to_owned());
        set(format!("ssl_cert_file={}", tls.certificate.display()));
        set(format!("ssl_key_file={}", tls.key.display()));
    }
    arguments
}

pub(super) fn environment() -> Vec<(&'static str, OsString)> {
    vec![("LC_ALL", "C".into()), ("TZ", "UTC".into())]
}

/// `lz4` where this build has it, else what every build has. Asked of the server itself: `-C` prints one
/// setting, or refuses it, and starts nothing.
pub(super) async fn wal_compression(
    binaries: &PostgresBinaries,
    data: &Path,
    account: Option<&Account>,
) -> &'static str {
    let mut command = binaries.command(&binaries.postgres, data, account);
    command.args(["-C", "wal_compression", "-c", "wal_compression=lz4", "-D"]).arg(data);
    if output::run(command).await.is_ok() { "lz4" } else { "pglz" }
}

/// A value in a list setting, where a path with a comma or a space would fall apart.
fn quoted(path: &str) -> String {
    if path.is_empty() { String::new() } else { format!("\"{}\"", path.replace('"', "\"\"")) }
}
