//! The providers' port over TLS: who is let in, what a connection costs before it has shaken hands, and how a certificate is
//! changed while deliveries come.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::select_all;
use insta::assert_snapshot;
use matchpurse_ingress::{Application, check_sources};
use matchpurse_providers::Method;
use matchpurse_settings::Settings;
use matchpurse_testkit::{Authority, Identity};
use matchpurse_tls::{ClientStream, Connector, Names};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::harness::{Ingress, SOURCES, body};
use crate::http::{Connection, Request};
use crate::publisher::TestPublisher;
use crate::reload::{Files, good, reloaded, start};

const OWN: &str = "127.0.0.1";
const STRANGER: &str = "127.0.0.2";
const OTHER_STRANGER: &str = "127.0.0.3";
const SENDERS: usize = 8;
/// The kind of a record of TLS that says why the connection ends.
const ALERT: u8 = 21;

/// The configuration of the tests over TLS, with these settings of `[ingress]` besides.
fn with(identity: &Identity, settings: &str) -> String {
    let ingress = SOURCES.replace("[ingress]", &format!("[ingress]\n{settings}"));
    let (certificate, key) = (&identity.certificate, &identity.key);
    format!(
        "{ingress}\n[ingress.tls]\ncertificate = {{ file = {certificate:?} }}\nkey = {{ file = {key:?} }}\n"
    )
}

fn vouched_for(authority: &Authority) -> Identity {
    authority.vouch_for(&[OWN]).unwrap()
}

/// Connects from this address and shakes hands, believing the authorities of this file.
async fn connect(
    own: &str,
    ingress: &Ingress,
    authorities: PathBuf,
) -> io::Result<Connection<ClientStream<TcpStream>>> {
    let connector = Connector::new(Some(&authorities), Names::Checked).unwrap();
    let Connection(stream) = Connection::open_from(own, ingress.address).await;
    connector.connect(OWN, stream).await.map(Connection)
}

/// Waits until so many handshakes have failed for this reason.
async fn failed(ingress: &Ingress, reason: &str, count: u32) {
    let line = format!("matchpurse_ingress_handshakes_failed_total{{reason=\"{reason}\"}} {count}");
    while !ingress.get_admin("/metrics").await.body.lines().any(|found| found == line) {
        tokio::task::yield_now().await;
    }
}

fn delivery(ingress: &Ingress) -> Request {
    ingress.signed("duel", Method::Post, &body("game_created"))
}

#[tokio::test]
async fn deliveries_over_tls_are_answered_and_it_is_known_whose_they_are() {
    let (ours, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let ingress = Ingress::start_with(&with(&vouched_for(&ours), "")).await;
    let mut connection = connect(OWN, &ingress, ours.certificate()).await.unwrap();
    for _ in 0..3 {
        connection.write(&delivery(&ingress).bytes()).await;
        assert_eq!(connection.read().await.unwrap().status, 200);
    }
    assert_eq!(ingress.publisher.messages().len(), 3);

    let forged = ingress.signed_by(b"no secret of ours", "duel", Method::Post, &body("game_created"));
    let mut strange = connect(STRANGER, &ingress, ours.certificate()).await.unwrap();
    strange.write(&forged.bytes()).await;
    assert_eq!(strange.read().await.unwrap().status, 401);
    assert!(strange.is_closed().await, "as of every stranger who is refused");
    assert_eq!(ingress.rejected.last().last().unwrap().remote, Some(STRANGER.parse().unwrap()));

    // Who believes somebody else does not come in.
    assert!(connect(OTHER_STRANGER, &ingress, other.certificate()).await.is_err());
    failed(&ingress, "failed", 1).await;
}

#[tokio::test]
async fn neither_plain_text_nor_an_old_version_is_answered() {
    let ours = Authority::new().unwrap();
    let ingress = Ingress::start_with(&with(&vouched_for(&ours), "")).await;
    // The first message of TLS 1.1: its version, random bytes, no session, two ciphers, no compression.
    let mut hello = vec![0x16, 3, 1, 0, 47, 1, 0, 0, 43, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0xc0, 0x13, 0, 0x2f, 1, 0]);
    for first in [delivery(&ingress).bytes(), hello] {
        let mut connection = Connection::open_from(STRANGER, ingress.address).await;
        connection.write(&first).await;
        let mut answer = Vec::new();
        // It may hang up on what it has not read.
        connection.0.read_to_end(&mut answer).await.ok();
        assert!(answer.first().is_none_or(|kind| *kind == ALERT), "{answer:?}");
    }
    failed(&ingress, "failed", 2).await;
    assert!(ingress.publisher.messages().is_empty());
}

#[tokio::test]
async fn a_handshake_that_does_not_end_is_cut_off_in_time_and_counted() {
    const LIMIT: Duration = Duration::from_millis(400);
    let ours = Authority::new().unwrap();
    let text = with(&vouched_for(&ours), "")
        .replace("request_timeout_ms = 60000", &format!("request_timeout_ms = {}", LIMIT.as_millis()));
    let ingress = Ingress::start_with(&text).await;
    let began = Instant::now();
    let mut silent = Connection::open_from(STRANGER, ingress.address).await;
    let mut begun = Connection::open_from(STRANGER, ingress.address).await;
    begun.write(&[0x16, 3, 1, 0, 47, 1]).await;
    // Others come in meanwhile.
    let mut connection = connect(OWN, &ingress, ours.certificate()).await.unwrap();
    connection.write(&delivery(&ingress).bytes()).await;
    assert_eq!(connection.read().await.unwrap().status, 200);

    assert!(silent.is_closed().await && begun.is_closed().await);
    let took = began.elapsed();
    assert!((LIMIT..LIMIT + Duration::from_secs(5)).contains(&took), "{took:?}");
    failed(&ingress, "too_slow", 2).await;
}

#[tokio::test]
async fn connections_are_counted_before_they_have_shaken_hands() {
    let ours = Authority::new().unwrap();
    let ingress = Ingress::start_with(&with(&vouched_for(&ours), "connections_per_address_max = 2")).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(Connection::open_from(STRANGER, ingress.address).await);
    }
    let closed = {
        let ends = open.iter_mut().map(|connection| Box::pin(connection.is_closed()));
        select_all(ends).await.1
    };
    open.remove(closed);
    let metrics = ingress.get_admin("/metrics").await.body;
    assert!(metrics.lines().any(|line| line == "matchpurse_ingress_connections_ended_total 1"), "{metrics}");
    assert!(connect(OTHER_STRANGER, &ingress, ours.certificate()).await.is_ok());
    // The two that are there are as good as others.
    let connector = Connector::new(Some(&ours.certificate()), Names::Checked).unwrap();
    let mut secured = Vec::new();
    for Connection(stream) in open {
        let mut connection = Connection(connector.connect(OWN, stream).await.unwrap());
        connection.write(&delivery(&ingress).bytes()).await;
        assert_eq!(connection.read().await.unwrap().status, 200);
        secured.push(connection);
    }
    assert!(connect(STRANGER, &ingress, ours.certificate()).await.is_err(), "they count still");
    drop(secured);
    // They are given back when the server has let go of them, which is a moment later.
    while connect(STRANGER, &ingress, ours.certificate()).await.is_err() {}
}

#[tokio::test]
async fn a_stranger_who_was_refused_too_often_is_not_shaken_hands_with() {
    let ours = Authority::new().unwrap();
    let settings = "refusals_per_address_per_second = 1\nrefusals_per_address_burst = 5";
    let ingress = Ingress::start_with(&with(&vouched_for(&ours), settings)).await;
    let forged = ingress.signed_by(b"no secret of ours", "duel", Method::Post, &body("game_created"));
    let mut refused = 0;
    while let Ok(mut connection) = connect(STRANGER, &ingress, ours.certificate()).await {
        connection.write(&forged.bytes()).await;
        assert_eq!(connection.read().await.unwrap().status, 401);
        refused += 1;
    }
    assert!(refused >= 5, "{refused}");
    failed(&ingress, "refused_too_often", 1).await;

    // Handshakes that fail are refusals too.
    let mut tried = 0;
    while connect(OTHER_STRANGER, &ingress, ours.certificate()).await.is_ok() {
        let mut plain = Connection::open_from(OTHER_STRANGER, ingress.address).await;
        plain.write(&forged.bytes()).await;
        plain.0.read_to_end(&mut Vec::new()).await.ok();
        tried += 1;
    }
    assert!(tried >= 5, "{tried}");
    assert!(connect(OWN, &ingress, ours.certificate()).await.is_ok(), "nobody else has to wait");
}

#[tokio::test]
async fn idle_connections_and_handshakes_do_not_hold_up_the_end() {
    let ours = Authority::new().unwrap();
    let ingress = Ingress::start_with(&with(&vouched_for(&ours), "drain_timeout_ms = 300000")).await;
    let mut idle = connect(OWN, &ingress, ours.certificate()).await.unwrap();
    idle.write(&delivery(&ingress).bytes()).await;
    assert_eq!(idle.read().await.unwrap().status, 200);
    let mut silent = Connection::open(ingress.address).await;
    ingress.stop().await;
    assert!(idle.is_closed().await && silent.is_closed().await);
}

#[tokio::test]
async fn what_cannot_be_shown_stops_the_start() {
    let (ours, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let (one, another) = (vouched_for(&ours), vouched_for(&other));
    let mixed = Identity { certificate: one.certificate, key: another.key };
    let settings = Settings::parse_str(&with(&mixed, "")).unwrap();
    let error = Application::build(&settings, Arc::new(TestPublisher::new())).await.err().unwrap();
    assert_snapshot!(error, @"`ingress.tls`: the key is not that of the first certificate");
    assert_eq!(check_sources(&settings).unwrap_err().to_string(), error.to_string());
}

/// A configuration whose certificate and key lie in a folder that is exchanged as a whole, as orchestrators do it.
fn followed(test: &str) -> Files {
    let files = Files::new(test);
    let folder = files.path("current");
    let shown = Identity { certificate: folder.join("tls.crt"), key: folder.join("tls.key") };
    files.write("config.toml", &with(&shown, ""));
    files
}

/// Puts these texts in the place of those that are there, both at once.
fn exchange(files: &Files, name: &str, certificate: &str, key: &str) {
    let folder = files.path(name);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("tls.crt"), certificate).unwrap();
    fs::write(folder.join("tls.key"), key).unwrap();
    symlink(&folder, files.path("next")).unwrap();
    fs::rename(files.path("next"), files.path("current")).unwrap();
}

fn texts(identity: &Identity) -> (String, String) {
    let text = |path: &PathBuf| fs::read_to_string(path).unwrap();
    (text(&identity.certificate), text(&identity.key))
}

/// Half of the senders connect for each delivery, half keep their connections. Nobody is refused while another authority's
/// certificate takes the place of the first, and whoever connects afterwards is shown that one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_exchanged_under_load_without_one_refusal() {
    let (old, new) = (Authority::new().unwrap(), Authority::new().unwrap());
    let files = followed("certificate");
    let ((certificate, key), (newer, newer_key)) = (texts(&vouched_for(&old)), texts(&vouched_for(&new)));
    exchange(&files, "first", &certificate, &key);
    let both = [old.certificate(), new.certificate()].map(|path| fs::read_to_string(path).unwrap()).concat();
    files.write("both.pem", &both);
    let ingress = Arc::new(start(&files.path("config.toml")).await);
    assert!(connect(OWN, &ingress, new.certificate()).await.is_err());

    let (sent, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut senders = Vec::new();
    for sender in 0..SENDERS {
        let (ingress, sent, done) = (Arc::clone(&ingress), Arc::clone(&sent), Arc::clone(&done));
        let (authorities, request) = (files.path("both.pem"), delivery(&ingress).bytes());
        senders.push(tokio::spawn(async move {
            let mut kept = None;
            while !done.load(Ordering::SeqCst) {
                let mut connection = match kept.take() {
                    Some(connection) => connection,
                    None => connect(OWN, &ingress, authorities.clone()).await.expect("a handshake"),
                };
                connection.write(&request).await;
                assert_eq!(connection.read().await.expect("an answer").status, 200);
                sent.fetch_add(1, Ordering::SeqCst);
                kept = (sender % 2 == 0).then_some(connection);
            }
        }));
    }
    let more = async || {
        let until = sent.load(Ordering::SeqCst) + 100;
        while sent.load(Ordering::SeqCst) < until && senders.iter().all(|sender| !sender.is_finished()) {
            tokio::task::yield_now().await;
        }
    };
    more().await;
    exchange(&files, "second", &newer, &newer_key);
    reloaded(&ingress, "taken", 1).await;
    more().await;
    done.store(true, Ordering::SeqCst);
    for sender in senders {
        sender.await.unwrap();
    }
    assert!(connect(OWN, &ingress, new.certificate()).await.is_ok());
    assert!(connect(OWN, &ingress, old.certificate()).await.is_err(), "the old one is shown to nobody");
}

#[tokio::test]
async fn a_pair_that_cannot_be_used_leaves_the_old_one_in_force() {
    let (ours, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let files = followed("broken");
    let ((certificate, key), (newer, newer_key)) = (texts(&vouched_for(&ours)), texts(&vouched_for(&other)));
    exchange(&files, "first", &certificate, &key);
    let ingress = start(&files.path("config.toml")).await;
    // As it comes out of a variable that has lost its line ends.
    let flat = newer_key.replace('\n', " ");
    let broken = [
        ("no PEM", newer_key.as_str(), "`ingress.tls`: the certificate cannot be read"),
        (&newer_key, &newer_key, "the certificate cannot be read"),
        (&newer, &newer, "the key cannot be read"),
        (&newer, &flat, "the key cannot be read"),
        (&flat, &newer_key, "the certificate cannot be read"),
        (&newer, &key, "the key is not that of the first certificate"),
        (&newer, "", "is empty"),
    ];
    let secret = newer_key.lines().nth(1).unwrap();
    for (number, (certificate, key, reason)) in (1..).zip(broken) {
        exchange(&files, &format!("broken {number}"), certificate, key);
        reloaded(&ingress, "refused", number).await;
        let (good, ready, report) = good(&ingress).await;
        assert!(!good && ready == 200 && report.contains(reason), "{reason}: {report}");
        assert!(!report.contains(secret), "{report}");
        let mut connection = connect(OWN, &ingress, ours.certificate()).await.unwrap();
        connection.write(&delivery(&ingress).bytes()).await;
        assert_eq!(connection.read().await.unwrap().status, 200);
    }
    fs::remove_file(files.path("current")).unwrap();
    reloaded(&ingress, "refused", 8).await;
    assert!(connect(OWN, &ingress, ours.certificate()).await.is_ok());

    exchange(&files, "second", &newer, &newer_key);
    reloaded(&ingress, "taken", 1).await;
    assert!(good(&ingress).await.0);
    assert!(connect(OWN, &ingress, other.certificate()).await.is_ok());
    assert!(connect(OWN, &ingress, ours.certificate()).await.is_err());
}
