//! The program as an orchestrator runs it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::harness::SOURCES;
use crate::http::{Answer, Connection, Request};

/// A broker that is away and no spool: nothing can be kept.
const NO_STORAGE: &str = "[broker]\nurl = \"amqp://guest:hunter2@127.0.0.1:1/%2f\"\n[ingress]\nspool = false";

/// A configuration file that goes with the test.
struct File(PathBuf);

impl File {
    fn new(test: &str, text: &str) -> Self {
        let name = format!("matchpurse-ingress-{test}-{}.toml", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).ok();
    }
}

fn program(config: &Path) -> Command {
    // In the package's folder, from which the paths in the configuration count.
    let mut command = Command::new(env!("CARGO_BIN_EXE_matchpurse-ingress"));
    command.env("MATCHPURSE_CONFIG", config).current_dir(env!("CARGO_MANIFEST_DIR")).kill_on_drop(true);
    command
}

async fn outcome(config: &Path, command: &str) -> Output {
    program(config).arg(command).output().await.unwrap()
}

/// A running ingress and its log.
struct Running {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Running {
    async fn start(config: &Path) -> Self {
        let mut child = program(config).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        while let Some(line) = log.next_line().await.unwrap() {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            if line["message"] == "taking deliveries" {
                let address = |name: &str| line[name].as_str().unwrap().parse().unwrap();
                let (address, admin) = (address("address"), address("admin_address"));
                return Self { child, log, address, admin };
            }
        }
        panic!("the log ended before it took deliveries");
    }

    /// Waits until this is in its log.
    async fn said(&mut self, message: &str) {
        while let Some(line) = self.log.next_line().await.unwrap() {
            if line.contains(message) {
                return;
            }
        }
        panic!("the log ended without {message:?}");
    }

    async fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().await.unwrap().success());
    }

    async fn ask(address: SocketAddr, request: &Request) -> Answer {
        let mut connection = Connection::open(address).await;
        connection.write(&request.bytes()).await;
        connection.read().await.unwrap()
    }
}

#[tokio::test]
async fn it_serves_without_a_broker_and_ends_well_on_sigterm() {
    let config = File::new("serves", &SOURCES.replace("[ingress]", NO_STORAGE));
    let mut running = Running::start(&config.0).await;
    for (path, status) in [("/healthz", 200), ("/readyz", 503)] {
        let answer = Running::ask(running.admin, &Request::new("GET", path, b"")).await;
        assert_eq!(answer.status, status, "{path}");
    }
    let unsigned = Request::new("POST", "/hooks/duel", b"{}");
    assert_eq!(Running::ask(running.address, &unsigned).await.status, 401);

    let text =
        SOURCES.replace("admin_listen = \"127.0.0.1:0\"", &format!("admin_listen = \"{}\"", running.admin));
    let asking = File::new("asks", &text);
    assert!(outcome(&asking.0, "healthcheck").await.status.success());

    let pid = running.child.id().unwrap().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
    assert_eq!(running.child.wait().await.unwrap().code(), Some(0));
    // The server's own threads may still have their last word after it.
    let mut log = String::new();
    while let Some(line) = running.log.next_line().await.unwrap() {
        log.push_str(&line);
    }
    assert!(log.contains("\"stopped\""), "{log}");
    let refused = outcome(&asking.0, "healthcheck").await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("does not answer"));
}

#[tokio::test]
async fn a_hangup_makes_it_read_its_files_again() {
    const READ_AGAIN: &str = "the configuration has been read again and is in force";
    let text = SOURCES.replace("[ingress]", NO_STORAGE);
    let config = File::new("hangup", &text);
    let mut running = Running::start(&config.0).await;
    // Nothing has changed, so only the signal can be the reason.
    running.signal("-HUP").await;
    running.said(READ_AGAIN).await;

    let (old, new) = ("Bearer 8f6a2c0b5d1e4f7a9c3b", "Bearer another-that-is-new");
    let address = running.address;
    let status = async |secret: &str| {
        let request = Request::new("POST", "/hooks/servers", b"{}").header("authorization", secret);
        Running::ask(address, &request).await.status
    };
    // Nothing can be kept, so what is believed is answered 503.
    assert_eq!((status(old).await, status(new).await), (503, 401));
    std::fs::write(&config.0, text.replace(old, new)).unwrap();
    running.signal("-HUP").await;
    running.said(READ_AGAIN).await;
    assert_eq!((status(old).await, status(new).await), (401, 503));

    std::fs::write(&config.0, "nonsense").unwrap();
    running.signal("-HUP").await;
    running.said("the old one stays in force").await;
    let ready = Running::ask(running.admin, &Request::new("GET", "/readyz", b"")).await;
    assert!(ready.body.contains("the changed configuration is not in force"), "{ready}");
}

/// The broker is away and so is the database of the spool.
#[tokio::test]
async fn it_is_not_ready_while_neither_broker_nor_spool_can_keep_an_event() {
    let away = NO_STORAGE.replace("spool = false", "spool = true");
    let config = File::new("away", &SOURCES.replace("[ingress]", &away));
    let running = Running::start(&config.0).await;
    let answer = Running::ask(running.admin, &Request::new("GET", "/readyz", b"")).await;
    assert_eq!(answer.status, 503, "{answer}");
    let report: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    let check = |name: &str| {
        let checks = report["checks"].as_array().unwrap();
        checks.iter().find(|check| check["name"] == name).cloned().unwrap_or_else(|| panic!("{report}"))
    };
    assert_eq!(check("publisher")["ready"], false);
    assert_eq!(check("spool relay")["needed"], false);
    assert_eq!(Running::ask(running.admin, &Request::new("GET", "/healthz", b"")).await.status, 200);
}

#[tokio::test]
async fn a_configuration_is_checked_and_shown_without_its_secrets() {
    let good = File::new("good", SOURCES);
    let shown = outcome(&good.0, "check-config").await;
    assert!(shown.status.success());
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(text.contains("[sources.duel]") && text.contains("[redacted]"), "{text}");
    assert!(!text.contains("the old one"), "{text}");

    let bad = File::new("bad", &SOURCES.replace("secrets = [\"the wall's\"]", ""));
    for command in ["check-config", "run"] {
        let refused = outcome(&bad.0, command).await;
        assert_eq!(refused.status.code(), Some(1), "{command}");
    }
    let refused = outcome(&bad.0, "check-config").await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("`sources.wall`: no secret is configured"));
}

#[tokio::test]
async fn without_a_broker_in_the_settings_it_says_what_to_do() {
    let config = File::new("alone", SOURCES);
    let refused = outcome(&config.0, "run").await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("`broker.url` is not set"));
}
