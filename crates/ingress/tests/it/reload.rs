//! Configurations that change while deliveries come.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use matchpurse_ingress::Application;
use matchpurse_providers::Method;
use matchpurse_settings::ConfigFiles;
use tokio_util::sync::CancellationToken;

use crate::harness::{Ingress, SOURCES, body};
use crate::http::Request;
use crate::publisher::TestPublisher;

const LOOK_EVERY: Duration = Duration::from_millis(5);
const SENDERS: usize = 8;

/// The files of a configuration: the source `duel` has its secrets in files of their own.
pub(crate) struct Files(PathBuf);

impl Files {
    pub(crate) fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("matchpurse-reload-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// In place of what is there, at once, as an orchestrator does it.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path("next"), text).unwrap();
        fs::rename(self.path("next"), self.path(name)).unwrap();
    }

    /// The configuration in which `duel` has these secrets.
    fn configure(&self, secrets: &[&str]) {
        let files: Vec<String> =
            secrets.iter().map(|name| format!("{{ file = \"{}\" }}", self.path(name).display())).collect();
        let listed = format!("secrets = [{}]", files.join(", "));
        self.write("config.toml", &SOURCES.replace("secrets = [\"the new one\", \"the old one\"]", &listed));
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

pub(crate) async fn start(config: &Path) -> Ingress {
    let mut files = ConfigFiles::new(Some(config), std::iter::empty());
    let settings = files.load().unwrap();
    let publisher = Arc::new(TestPublisher::new());
    let application = Application::build(&settings, Arc::clone(&publisher) as _).await.unwrap();
    let application = application.with_reload(files, settings.clone(), LOOK_EVERY);
    let (address, admin) = (application.address(), application.admin_address().unwrap());
    let (rejected, stop) = (application.rejected(), CancellationToken::new());
    let running = tokio::spawn(application.run_until_stopped(stop.clone()));
    Ingress { address, admin, publisher, rejected, stop, running, settings }
}

/// Waits until so many changed configurations have had this outcome.
pub(crate) async fn reloaded(ingress: &Ingress, outcome: &str, count: u32) {
    let line = format!("matchpurse_config_reloads_total{{outcome=\"{outcome}\"}} {count}");
    while !ingress.get_admin("/metrics").await.body.lines().any(|found| found == line) {
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn good(ingress: &Ingress) -> (bool, u16, String) {
    let metrics = ingress.get_admin("/metrics").await.body;
    let ready = ingress.get_admin("/readyz").await;
    (metrics.lines().any(|line| line == "matchpurse_config_good 1"), ready.status, ready.body)
}

/// The provider signs by the old secret, and from some moment on by the new one; the ingress knows the old one, then both,
/// then the new one. Nobody stops sending meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_rotated_under_load_without_one_refusal() {
    const OLD: u8 = 0;
    const NEW: u8 = 1;
    const DONE: u8 = 2;
    let files = Files::new("rotation");
    files.write("old", "the old secret\n");
    files.write("new", "the new secret\n");
    files.configure(&["old"]);
    let ingress = Arc::new(start(&files.path("config.toml")).await);
    let body = body("game_created");
    let signed = |key: &str| ingress.signed_by(key.as_bytes(), "duel", Method::Post, &body);
    let (by_old, by_new) = (signed("the old secret"), signed("the new secret"));

    let (phase, sent) = (Arc::new(AtomicU8::new(OLD)), Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]));
    let switched = Arc::new(AtomicUsize::new(0));
    let mut senders = Vec::new();
    for _ in 0..SENDERS {
        let switched = Arc::clone(&switched);
        let (ingress, phase, sent) = (Arc::clone(&ingress), Arc::clone(&phase), Arc::clone(&sent));
        let requests = [by_old.clone(), by_new.clone()];
        senders.push(tokio::spawn(async move {
            let mut before = OLD;
            loop {
                let now = phase.load(Ordering::SeqCst);
                if before == OLD && now != OLD {
                    switched.fetch_add(1, Ordering::SeqCst);
                }
                before = now;
                if now == DONE {
                    return;
                }
                let place = usize::from(now);
                assert_eq!(ingress.send(&requests[place]).await.status, 200, "phase {now}");
                sent[place].fetch_add(1, Ordering::SeqCst);
            }
        }));
    }
    let more = async |place: usize| {
        let until = sent[place].load(Ordering::SeqCst) + 50;
        while sent[place].load(Ordering::SeqCst) < until && senders.iter().all(|sender| !sender.is_finished())
        {
            tokio::task::yield_now().await;
        }
    };
    more(0).await;
    assert_eq!(ingress.send(&by_new).await.status, 401, "nobody has told the ingress yet");
    files.configure(&["old", "new"]);
    reloaded(&ingress, "taken", 1).await;
    more(0).await;
    phase.store(NEW, Ordering::SeqCst);
    more(1).await;
    // Until all that was signed by the old secret has been answered.
    while switched.load(Ordering::SeqCst) < SENDERS && senders.iter().all(|sender| !sender.is_finished()) {
        tokio::task::yield_now().await;
    }
    files.configure(&["new"]);
    reloaded(&ingress, "taken", 2).await;
    more(1).await;
    phase.store(DONE, Ordering::SeqCst);
    for sender in senders {
        sender.await.unwrap();
    }
    assert_eq!(ingress.send(&by_old).await.status, 401, "the old secret is none any more");
    assert_eq!(ingress.rejected.total(), 2, "but for the two that were to be refused");

    // What is in the file changes, and not its name.
    files.write("new", "the newest secret");
    reloaded(&ingress, "taken", 3).await;
    assert_eq!(ingress.send(&by_new).await.status, 401);
    assert_eq!(ingress.send(&signed("the newest secret")).await.status, 200);
}

#[tokio::test]
async fn a_bad_configuration_changes_nothing_and_is_shown_until_it_is_mended() {
    let files = Files::new("bad");
    files.write("old", "the old secret");
    files.configure(&["old"]);
    let ingress = start(&files.path("config.toml")).await;
    let request = ingress.signed_by(b"the old secret", "duel", Method::Post, &body("game_created"));
    assert_eq!(ingress.send(&request).await.status, 200);

    let whole = fs::read_to_string(files.path("config.toml")).unwrap();
    let without_secret = whole.replace("secrets = [\"the wall's\"]", "");
    let bad = [("no TOML [", "line 1"), (&without_secret, "no secret is configured"), ("", "database.url")];
    for (refused, (text, reason)) in (1..).zip(bad) {
        files.write("config.toml", text);
        reloaded(&ingress, "refused", refused).await;
        let (good, status, report) = good(&ingress).await;
        assert!(!good && status == 200 && report.contains(reason), "{text}: {report}");
        assert_eq!(ingress.send(&request).await.status, 200, "{text}");
    }
    // A secret that cannot be read is no reason to go without one.
    files.configure(&["nowhere"]);
    reloaded(&ingress, "refused", 4).await;
    assert_eq!(ingress.send(&request).await.status, 200);

    files.configure(&["old"]);
    reloaded(&ingress, "taken", 1).await;
    let (good, status, report) = good(&ingress).await;
    assert!(good && status == 200 && !report.contains("not in force"), "{report}");
}

/// Which sources there are, and how their money moves, is not the ingress's alone.
#[tokio::test]
async fn what_the_workers_must_know_too_waits_for_the_next_start() {
    let files = Files::new("policy");
    files.write("old", "the old secret");
    files.configure(&["old"]);
    let ingress = start(&files.path("config.toml")).await;
    let text = fs::read_to_string(files.path("config.toml")).unwrap();
    let other = text
        .replace("[sources.wall]", "[sources.fence]")
        .replace("max_body_bytes = 4096", "max_body_bytes = 10");
    files.write("config.toml", &other);
    reloaded(&ingress, "taken", 1).await;
    assert_eq!(ingress.send(&Request::new("POST", "/hooks/fence", b"")).await.status, 404);
    assert_ne!(ingress.send(&Request::new("GET", "/hooks/wall", b"")).await.status, 404);
    let request = ingress.signed_by(b"the old secret", "duel", Method::Post, &body("game_created"));
    assert_eq!(ingress.send(&request).await.status, 413, "this may change at any time");
}
