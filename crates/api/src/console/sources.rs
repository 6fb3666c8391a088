//! Sources: what is configured, what came last, what was refused, and how one is set up at its provider.

use actix_web::{HttpResponse, web};
use askama::Template;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::rhythm::Silence;
use matchpurse_domain::source::{Custody, SourcePolicy};
use matchpurse_store::Client;
use matchpurse_store::events::{EventFilter, EventLine, Head, heads, piece_of_chain};
use matchpurse_store::gaps::{About, Gap, Gaps, Missing, Quiet};

use super::matches::path_of;
use super::{Chip, Chrome, Section, Tone, Visitor, When, count, encoded, html};
use crate::api::Api;
use crate::failure::{Failure, Result};
use crate::gaps;
use crate::ingresses::Rejected;
use crate::request;

const HOME: &str = "/console/sources";
/// The last deliveries of one source that are shown, and refused ones.
const LAST: i64 = 10;
const REFUSED: usize = 50;
/// Matches of which something is missing; the API has more.
const MISSING: usize = 50;

#[derive(Template)]
#[template(path = "sources.html")]
struct SourcesPage {
    chrome: Chrome,
    rows: Vec<Row>,
    missing: Vec<Gone>,
    /// How many there are, where not all are shown.
    of: Option<String>,
    log: Log,
}

/// A match of which something is missing.
struct Gone {
    path: String,
    source: String,
    match_id: String,
    about: &'static str,
    gap: Chip,
    since: When,
}

struct Row {
    path: String,
    name: String,
    provider: String,
    url: String,
    currency: String,
    events: String,
    last: Option<When>,
    rhythm: Chip,
    /// What its rhythm would have brought, where that is remarkable.
    expected: Option<String>,
    refused: Option<usize>,
}

#[derive(Template)]
#[template(path = "source.html")]
struct SourcePage {
    chrome: Chrome,
    name: String,
    provider: String,
    hook: String,
    url: String,
    methods: String,
    verification: Option<&'static str>,
    steps: Vec<&'static str>,
    currency: String,
    custody: &'static str,
    events: String,
    last: Vec<Came>,
    log: Log,
}

/// A delivery that was taken.
struct Came {
    path: String,
    at: When,
    what: String,
    subject: String,
    signed: Chip,
}

/// What was refused.
struct Log {
    /// Where it can be read; none where there is none.
    at: Option<String>,
    /// None where the ingress could not be asked.
    refused: Option<Vec<Refused>>,
}

struct Refused {
    at: When,
    reason: String,
    advice: &'static str,
    remote: String,
}

impl Refused {
    fn of(rejected: &Rejected) -> Self {
        Self {
            at: When::new(rejected.at),
            reason: rejected.reason.replace('_', " "),
            advice: advice(&rejected.reason),
            remote: rejected.remote.clone().unwrap_or_else(|| "not known".to_owned()),
        }
    }
}

/// Whether a source is silent, and what would have come.
fn rhythm(quiet: Option<&Quiet>) -> (Chip, Option<String>) {
    let Some(quiet) = quiet.filter(|quiet| quiet.last.is_some()) else {
        return (Chip::new(Tone::Quiet, "never heard"), None);
    };
    match quiet.silence {
        Silence::TooNew => (Chip::new(Tone::Quiet, "too new to say"), None),
        Silence::Measured { expected, one_in } if quiet.silence.is_alarming() => {
            let said =
                format!("{} would have come; of {} silences one is as long", count(expected), count(one_in));
            (Chip::new(Tone::Warn, "silent"), Some(said))
        }
        Silence::Measured { .. } => (Chip::new(Tone::Good, "as usual"), None),
    }
}

impl Gone {
    fn of(missing: &Missing) -> Self {
        let gap = match missing.gap {
            Gap::NoNews => Chip::new(Tone::Warn, "no news since"),
            Gap::EndWithoutStart => Chip::new(Tone::Quiet, "only its end was told"),
            Gap::EndWithoutRounds => Chip::new(Tone::Warn, "over without a round"),
        };
        Self {
            path: path_of(&missing.source, &missing.match_id),
            source: missing.source.clone(),
            match_id: missing.match_id.clone(),
            about: match missing.about {
                About::Match => "match",
                About::Statistics => "on a game server",
            },
            gap,
            since: When::new(missing.since),
        }
    }
}

/// What is likely the matter.
fn advice(reason: &str) -> &'static str {
    match reason {
        "header_missing" => "No signature at all: a probe, or signing is not switched on at the provider.",
        "header_doubled" => "Something between adds the header a second time.",
        "header_malformed" => {
            "The header is not of the provider's form: another product, or a proxy that rewrites it."
        }
        "signature_mismatch" => {
            "The secret here is not the provider's, or something between changes the body."
        }
        "wrong_algorithm" => "A token that is signed in another way than it must be.",
        "expired" => "The token's time is over: look at the clocks of both sides.",
        "not_yet_valid" => "The token is of the future: look at the clocks of both sides.",
        "wrong_claim" => "A token for somebody else: look at the options issuer, audience and azp.",
        "no_key" => "The provider's public key could not be fetched.",
        _ => "",
    }
}

async fn log(api: &Api, source: Option<&str>) -> (Log, Option<Vec<Rejected>>) {
    let found = api.ingress.rejected().await;
    let of = |all: &Vec<Rejected>| -> Vec<Refused> {
        let own = all.iter().filter(|rejected| source.is_none_or(|source| rejected.source == source));
        own.take(REFUSED).map(Refused::of).collect()
    };
    (Log { at: api.ingress.log(), refused: found.as_ref().map(of) }, found)
}

fn custody(policy: &SourcePolicy) -> &'static str {
    match policy.custody {
        Custody::Provider => "the provider",
        Custody::Studio => "the studio",
    }
}

/// The last events of a source, the newest first. They are read by their places in its chain, so it does not matter how
/// long ago they came.
async fn last_of(client: &Client, source: &str, head: &Head, many: i64) -> Result<Vec<EventLine>> {
    let piece = (head.seq.saturating_sub(many), head.seq);
    let mut lines = piece_of_chain(client, &EventFilter::default(), source, piece, None).await?;
    lines.reverse();
    Ok(lines)
}

/// `GET /console/sources`
pub(super) async fn list(api: web::Data<Api>, visitor: Visitor) -> Result<HttpResponse> {
    let (store, names) = (api.store.clone(), api.sources().map(str::to_owned).collect::<Vec<String>>());
    let ((log, refused), missing) = tokio::join!(log(&api, None), gaps::read(&api, names.clone()));
    let (Gaps { sources: silences, missing, more }, _) = missing?;
    let found = api
        .run(async move {
            let client = store.client().await?;
            let heads = heads(&client).await?;
            let mut found = Vec::new();
            for name in names {
                let last = match heads.get(&name) {
                    Some(head) => last_of(&client, &name, head, 1).await?,
                    None => Vec::new(),
                };
                let seq = heads.get(&name).map_or(0, |head| head.seq);
                found.push((name, seq, last.first().map(|line| line.event.received_at)));
            }
            Ok(found)
        })
        .await?;
    let mut rows = Vec::new();
    for (name, seq, last) in found {
        let source = SourceName::parse(&name).map_err(|error| Failure::internal(error.to_string()))?;
        let own = |all: &Vec<Rejected>| all.iter().filter(|rejected| rejected.source == name).count();
        let (rhythm, expected) = rhythm(silences.iter().find(|quiet| quiet.source == name));
        rows.push(Row {
            rhythm,
            expected,
            path: format!("{HOME}/{}", encoded(&name)),
            provider: api.provider(&source).to_owned(),
            url: api.ingress.url_of(&name),
            currency: api.policy(&source)?.currency.code.as_str().to_owned(),
            events: count(seq),
            last: last.map(When::new),
            refused: refused.as_ref().map(own),
            name,
        });
    }
    let all = u64::try_from(missing.len()).unwrap_or(u64::MAX);
    let of = (missing.len() > MISSING).then(|| format!("{}{}", if more { "over " } else { "" }, count(all)));
    let missing = missing.iter().take(MISSING).map(Gone::of).collect();
    html(&SourcesPage { chrome: visitor.chrome(Section::Sources), rows, missing, of, log })
}

/// `GET /console/sources/{source}`
pub(super) async fn one(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<String>,
) -> Result<HttpResponse> {
    let source = request::source(&path)?;
    let policy = api.policy(&source)?;
    let name = source.as_str().to_owned();
    let (log, _) = log(&api, Some(&name)).await;
    let (store, of) = (api.store.clone(), name.clone());
    let (seq, last) = api
        .run(async move {
            let client = store.client().await?;
            let Some(head) = heads(&client).await?.remove(&of) else { return Ok((0, Vec::new())) };
            Ok((head.seq, last_of(&client, &of, &head, LAST).await?))
        })
        .await?;
    let (guide, methods) = api.readings.guide(&source).unzip();
    html(&SourcePage {
        chrome: visitor.chrome(Section::Sources),
        provider: api.provider(&source).to_owned(),
        hook: format!("/hooks/{name}"),
        url: api.ingress.url_of(&name),
        methods: methods.unwrap_or_default().join(", "),
        verification: guide.map(|guide| guide.verification),
        steps: guide.map(|guide| guide.steps.to_vec()).unwrap_or_default(),
        currency: format!(
            "{}, with {} decimal places",
            policy.currency.code.as_str(),
            policy.currency.exponent
        ),
        custody: custody(policy),
        events: count(seq),
        last: last.iter().map(Came::of).collect(),
        log,
        name,
    })
}

impl Came {
    fn of(line: &EventLine) -> Self {
        let event = &line.event;
        Self {
            path: format!("/console/events/{}", event.id),
            at: When::new(event.received_at),
            what: event.payload.name().as_str().replace('_', " "),
            subject: event.subject.clone(),
            signed: if event.provenance.body_authenticated {
                Chip::new(Tone::Good, "body signed")
            } else {
                Chip::new(Tone::Quiet, "caller known")
            },
        }
    }
}
