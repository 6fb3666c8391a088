//! Sending the deliveries.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use matchpurse_domain::ids::derived_uuid;
use matchpurse_domain::time::Timestamp;
use matchpurse_domain::webhook::{SigningKey, TargetUrl};
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions, HttpError, Pieces};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::answer::{Answer, Sent};
use crate::body;
use crate::case::{Acts, Case, Duty, Plan};
use crate::delivery::Delivery;
use crate::judge::Evidence;
use crate::mistakes::Mistake;
use crate::notes::{clocks, notes};
use crate::report::Report;
use crate::secret::EndpointSecret;
use crate::state::{self, Claim, Counts};

/// As the dispatcher's: a firewall may go by it.
const USER_AGENT: &str = concat!("Matchpurse/", env!("CARGO_PKG_VERSION"));

/// How much of an answer or of a state is read, in bytes.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// In how many pieces a body comes from a slow sender.
const PIECES: NonZeroU32 = NonZeroU32::MIN.saturating_add(3);

/// What is tried, on whom.
#[derive(Debug, Clone)]
pub struct Options {
    /// The endpoint. It may be anywhere: who calls this names it on purpose.
    pub url: TargetUrl,
    /// Its secret.
    pub secret: EndpointSecret,
    /// Where it tells on which ids it acted; `{webhook_id}` in it stands for one of them.
    pub state_url: Option<TargetUrl>,
    /// Where the dispatcher would ask whether something has arrived, with `{webhook_id}` in it.
    pub status_url: Option<TargetUrl>,
    /// The event type of the deliveries.
    pub kind: String,
    /// How long an answer may take before it counts as none.
    pub time_limit: Duration,
    /// What takes longer is told.
    pub warn_after: Duration,
    /// How long is waited between two deliveries.
    pub pause: Duration,
    /// How long a slow sender holds back each piece.
    pub piece_pause: Duration,
    /// How long the endpoint may take to act on what it has accepted.
    pub patience: Duration,
}

impl Options {
    /// With the dispatcher's own limits.
    pub fn new(url: TargetUrl, secret: EndpointSecret) -> Self {
        Self {
            url,
            secret,
            state_url: None,
            status_url: None,
            kind: "reward.granted".to_owned(),
            time_limit: Duration::from_secs(20),
            warn_after: Duration::from_secs(5),
            pause: Duration::ZERO,
            piece_pause: Duration::from_millis(500),
            patience: Duration::from_secs(5),
        }
    }
}

/// Tries everything on an endpoint; `tell` hears of each case before it is tried.
///
/// # Errors
/// [`HttpError::Setup`]. What the endpoint does is never an error.
pub async fn verify(options: &Options, mut tell: impl FnMut(Case)) -> Result<Report, HttpError> {
    let client = HttpClient::new(&HttpClientOptions {
        time_limit: options.time_limit,
        response_bytes_max: ANSWER_BYTES_MAX,
        // As the dispatcher's.
        proxy_from_environment: false,
        user_agent: USER_AGENT,
        ..HttpClientOptions::default()
    })?;
    let notes = notes(options).await;
    let run = format!("{} {}", now().micros(), std::process::id());
    let plan = Plan { secret: &options.secret, stranger: stranger(&run), kind: &options.kind, run };
    let sender = Sender { client: &client, options };
    let mut sent: BTreeMap<Case, Vec<Sent>> = BTreeMap::new();
    let mut mistake = None;
    for case in Case::ALL {
        if case.duty() == Duty::None {
            continue;
        }
        tell(case);
        let answers = sender.all(case.deliveries(&plan, now()), case.at_once()).await;
        let answer = answers.first().map(|sent| sent.answer.clone());
        sent.insert(case, answers);
        if let (Case::Correct, Some(answer)) = (case, answer) {
            if is_elsewhere(&answer) {
                break;
            }
            if may_be_the_signature(&answer) {
                mistake = sender.mistake(&plan).await;
            }
        }
    }
    let arrived = sent.keys().any(|case| *case != Case::Correct);
    let counts = if arrived { sender.counts(&sent).await } else { Counts::NotAsked };
    let status = if arrived { sender.status(&plan).await } else { None };
    let notes = notes.into_iter().chain(clocks(&sent)).collect();
    let evidence = Evidence { sent, mistake, counts, status, warn_after: options.warn_after };
    Ok(Report::new(options.url.shown().to_owned(), notes, evidence.judge()))
}

struct Sender<'r> {
    client: &'r HttpClient,
    options: &'r Options,
}

impl Sender<'_> {
    /// Sends the deliveries of a case, each after the answer to the one before it or all at once.
    async fn all(&self, deliveries: Vec<Delivery>, at_once: bool) -> Vec<Sent> {
        let mut sent = Vec::new();
        if at_once {
            let mut under_way = JoinSet::new();
            for delivery in deliveries {
                under_way.spawn(send(self.client.clone(), self.options.clone(), delivery));
            }
            sent = under_way.join_all().await;
        } else {
            for delivery in deliveries {
                sent.push(send(self.client.clone(), self.options.clone(), delivery).await);
                sleep(self.options.pause).await;
            }
        }
        sent
    }

    /// The mistake that makes the endpoint refuse what is right, if it is one of the usual ones.
    async fn mistake(&self, plan: &Plan<'_>) -> Option<Mistake> {
        for (number, mistake) in Mistake::all().into_iter().enumerate() {
            let id = plan.mistake_id(number);
            let now = now();
            let body = body::notice(plan.kind, &id, now);
            let delivery = mistake.delivery(plan.secret, id, now.seconds(), body);
            let sent = self.all(vec![delivery], false).await;
            if sent.iter().any(|sent| sent.answer.is_success()) {
                return Some(mistake);
            }
        }
        None
    }

    /// What the status URL says of what was delivered, and of what never was.
    async fn status(&self, plan: &Plan<'_>) -> Option<[Claim; 2]> {
        let url = self.options.status_url.as_ref()?;
        let [delivered, never] = plan.ids_of_status();
        let key = plan.secret.key();
        let now_s = now().seconds();
        Some([
            state::claim(self.client, url, key, &delivered, now_s).await,
            state::claim(self.client, url, key, &never, now_s).await,
        ])
    }

    /// What the endpoint says that it has done of what was sent.
    async fn counts(&self, sent: &BTreeMap<Case, Vec<Sent>>) -> Counts {
        let Some(url) = &self.options.state_url else { return Counts::NotAsked };
        let mut all = BTreeSet::new();
        let mut expected = BTreeSet::new();
        for (case, sent) in sent {
            for one in sent {
                let Some(id) = &one.id else { continue };
                all.insert(id.clone());
                if case.duty() == Duty::Accept(Acts::Once) && one.answer.is_success() {
                    expected.insert(id.clone());
                }
            }
        }
        state::ask(self.client, url, &all, &expected, self.options.patience).await
    }
}

async fn send(client: HttpClient, options: Options, delivery: Delivery) -> Sent {
    let Delivery { label, id, in_pieces, .. } = delivery.clone();
    let begun = Instant::now();
    let limit = options.time_limit;
    let answer = match delivery.request(&options.url) {
        None => Answer::NoConnection("the request cannot be sent as it is".to_owned()),
        Some(request) => {
            let outcome = if in_pieces {
                let pieces = Pieces { count: PIECES, pause: options.piece_pause };
                client.send_in_pieces_for_status(limit, pieces, request).await
            } else {
                client.send_for_status(limit, request).await
            };
            Answer::of(outcome, now().seconds())
        }
    };
    // The time that the sender takes is not the endpoint's.
    let ours = if in_pieces { options.piece_pause * PIECES.get() } else { Duration::ZERO };
    Sent { label, id, answer, took: begun.elapsed().saturating_sub(ours) }
}

/// Whether nobody is there, or nobody who takes deliveries: everything else would say as little, and takes its time.
fn is_elsewhere(answer: &Answer) -> bool {
    answer.code().is_none_or(|code| matches!(code, 300..400 | 404 | 405 | 410))
}

/// Whether an answer is one that a refused signature could have.
fn may_be_the_signature(answer: &Answer) -> bool {
    let other = [408, 413, 415, 429];
    answer.code().is_some_and(|code| (400..=500).contains(&code) && !other.contains(&code))
}

/// A key that nobody has been given.
#[expect(clippy::expect_used, reason = "32 bytes are always a key")]
fn stranger(run: &str) -> SigningKey {
    let half = |name: &str| derived_uuid("endpoint check key", &[run, name]).into_bytes();
    let secret = SigningKey::secret_of(&[half("left"), half("right")].concat()).expect("32 bytes are a key");
    SigningKey::parse(&secret).expect("a secret is what is parsed")
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}
