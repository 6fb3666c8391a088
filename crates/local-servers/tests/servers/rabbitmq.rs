use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use matchpurse_local_servers::{Error, Rabbitmq, RabbitmqOptions};

use crate::{TestFolder, is_running};

/// One test for the whole life, because a start takes seconds.
#[tokio::test]
async fn a_broker_starts_crashes_restarts_and_leaves_nothing() {
    let folder = TestFolder::new();
    let options = RabbitmqOptions { data_dir: folder.path().join("rabbitmq"), ..Default::default() };
    let mut rabbitmq = Rabbitmq::start(options.clone()).await.unwrap();
    let (port, url) = (rabbitmq.port(), rabbitmq.amqp_url());
    assert_eq!(url, format!("amqp://guest:guest@127.0.0.1:{port}/%2f?heartbeat=10&connection_timeout=5000"));
    assert!(offers_plain_login(port));
    assert!(management(&rabbitmq, "GET", "/api/exchanges/%2F").contains("\"amq.topic\""));
    assert!(management(&rabbitmq, "GET", "/api/overview").contains("\"x-consistent-hash\""));

    let error = Rabbitmq::start(options).await.err().unwrap();
    assert!(matches!(error, Error::FolderInUse { .. }), "{error}");

    management(&rabbitmq, "PUT", "/api/vhosts/kept");
    let first = rabbitmq.pid();
    rabbitmq.kill9().await;
    assert!(!is_running(first));
    rabbitmq.restart().await.unwrap();
    assert_ne!(rabbitmq.pid(), first);
    assert_eq!(rabbitmq.amqp_url(), url);
    assert!(offers_plain_login(port));
    assert!(management(&rabbitmq, "GET", "/api/vhosts").contains("\"kept\""));

    rabbitmq.control(&["set_disk_free_limit", "100000GB"]).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !management(&rabbitmq, "GET", "/api/nodes").contains("\"disk_free_alarm\":true") {
        assert!(Instant::now() < deadline, "no alarm");
    }
    let error = rabbitmq.control(&["no_such_command"]).await.err().unwrap();
    assert!(matches!(error, Error::CommandFailed { .. }), "{error}");

    let second = rabbitmq.pid();
    rabbitmq.stop().await.unwrap();
    assert!(!is_running(second));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert_eq!(processes_with(&folder.path().display().to_string()), Vec::<String>::new());
}

#[tokio::test]
async fn a_temporary_broker_is_deleted() {
    let rabbitmq = Rabbitmq::start_temporary().await.unwrap();
    let (pid, folder) = (rabbitmq.pid(), rabbitmq.folder().to_owned());
    drop(rabbitmq);
    assert!(!is_running(pid));
    assert!(!folder.exists());
}

/// Sends the protocol header and reads the broker's offer, which names the ways to log in.
fn offers_plain_login(port: u16) -> bool {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"AMQP\x00\x00\x09\x01").unwrap();
    let mut header = [0; 7];
    stream.read_exact(&mut header).unwrap();
    let length = u32::from_be_bytes([header[3], header[4], header[5], header[6]]);
    let mut frame = vec![0; length.try_into().unwrap()];
    stream.read_exact(&mut frame).unwrap();
    String::from_utf8_lossy(&frame).contains("PLAIN")
}

fn management(rabbitmq: &Rabbitmq, method: &str, path: &str) -> String {
    let url = rabbitmq.management_url();
    let address = url.strip_prefix("http://guest:guest@").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let login = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=";
    write!(stream, "{method} {path} HTTP/1.0\r\nHost: {address}\r\n{login}\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 20") || answer.starts_with("HTTP/1.0 20"), "{answer}");
    answer
}

/// The command lines of processes that mention `text`: where there is no `/proc`, none.
fn processes_with(text: &str) -> Vec<String> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .filter(|line| line.contains(text))
        .collect()
}
