//! The studio's back-end: it takes notices, writes down what it took, and trusts nobody.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use matchpurse_domain::webhook::{SigningKey, verify};
use matchpurse_testkit::{Reply, Request, Studio};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::system::sources::now;

/// What notices are signed with.
const SECRET: &str = "whsec_Y2hhb3MtY2hhb3MtY2hhb3MtY2hhb3MtY2hhb3MtMDE=";

/// An endpoint of the studio.
pub(crate) struct StandIn {
    pub(crate) name: &'static str,
    pub(crate) ordered: bool,
    studio: Studio,
    fails: Arc<AtomicBool>,
    /// By how much more than usual the sender's clock may be wrong, in seconds.
    slack_s: u64,
    log: File,
    /// What came, by its id.
    pub(crate) taken: BTreeMap<Uuid, Taken>,
    /// What must never come, and did.
    pub(crate) wrong: Vec<String>,
}

/// A notice as it came for the first time.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) digest: Vec<u8>,
    pub(crate) kind: String,
    /// Which one it was, of all that came.
    pub(crate) place: usize,
    /// How often it came.
    pub(crate) times: u32,
}

impl StandIn {
    /// Begins to take notices; what it took is in `FOLDER/NAME.taken`.
    pub(crate) async fn start(name: &'static str, ordered: bool, folder: &Path) -> Result<Self> {
        let studio = Studio::start().await?;
        let fails = Arc::new(AtomicBool::new(false));
        let failing = Arc::clone(&fails);
        studio.behave(move |request, nth| reply(request, nth, failing.load(Ordering::Relaxed)));
        let log = File::create(folder.join(format!("{name}.taken")))?;
        Ok(Self { name, ordered, studio, fails, slack_s: 0, log, taken: BTreeMap::new(), wrong: Vec::new() })
    }

    /// Its table in the configuration.
    pub(crate) fn toml(&self) -> String {
        let Self { name, ordered, studio, .. } = self;
        let url = studio.url("/hook");
        let mut toml =
            format!("[endpoints.{name}]\nurl = \"{url}\"\nsecrets = [\"{SECRET}\"]\nallow_private = true\n");
        if *ordered {
            let status = studio.url("/received/{webhook_id}");
            toml.push_str(&format!("ordered = true\nstatus_url = \"{status}\"\n"));
        }
        toml
    }

    /// Whether what comes for the first time is sometimes treated badly.
    pub(crate) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }

    /// How patient it is with a sender whose clock is wrong, beside the usual five minutes. (A studio that is not refuses
    /// what comes meanwhile, and gets it again when the clock is right.)
    pub(crate) fn forgive(&mut self, slack: Duration) {
        self.slack_s = slack.as_secs();
    }

    /// Writes down what has come since the last time.
    pub(crate) fn read(&mut self) -> Result<()> {
        let key = SigningKey::parse(SECRET).context("no key")?;
        for request in self.studio.take_requests() {
            let text = request.webhook_id().to_owned();
            let [timestamp, signatures] =
                ["webhook-timestamp", "webhook-signature"].map(|name| request.header(name));
            let (now_s, sent_s) = (now().seconds(), timestamp.parse().unwrap_or(0));
            let forgiven = now_s.abs_diff(sent_s) <= self.slack_s;
            let now_s = if forgiven { sent_s } else { now_s };
            if let Err(error) =
                verify(std::slice::from_ref(&key), &text, timestamp, signatures, &request.body, now_s)
            {
                self.wrong.push(format!("{}: {text} is signed wrongly: {error}", self.name));
            }
            let Ok(id) = Uuid::try_parse(&text) else {
                self.wrong.push(format!("{}: the webhook-id {text:?} is none", self.name));
                continue;
            };
            let digest = Sha256::digest(&request.body).to_vec();
            writeln!(self.log, "{id} {}", hex::encode(&digest))?;
            let place = self.taken.len();
            match self.taken.get_mut(&id) {
                Some(taken) => {
                    taken.times += 1;
                    if taken.digest != digest {
                        self.wrong.push(format!("{}: {id} came with other bytes", self.name));
                    }
                }
                None => {
                    let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap_or_default();
                    let kind = body["type"].as_str().unwrap_or_default().to_owned();
                    self.taken.insert(id, Taken { digest, kind, place, times: 1 });
                }
            }
        }
        Ok(())
    }

    /// How many came more than once.
    pub(crate) fn repeated(&self) -> usize {
        self.taken.values().filter(|taken| taken.times > 1).count()
    }
}

/// A good studio takes up to 40 ms, so that whoever is killed is killed in the middle of something. A bad one fails
/// for a part of what comes for the first time; it has mostly done the work by then.
fn reply(request: &Request, nth: usize, fails: bool) -> Reply {
    let digest = Sha256::digest(request.webhook_id().as_bytes());
    if fails && nth == 1 {
        match digest[1] % 20 {
            0 => return Reply::status(500).working(),
            1 => return Reply::drop_connection().working(),
            2 => return Reply::hang().working(),
            3 => return Reply::status(503),
            _ => {}
        }
    }
    Reply::ok().after(Duration::from_millis(u64::from(digest[0] % 40)))
}
