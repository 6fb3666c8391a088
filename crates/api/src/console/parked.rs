//! Deliveries that could not be applied: why, what they say, and having them applied after all.

mod bulk;

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use askama::Template;
use matchpurse_contracts::topology::Queue;
use matchpurse_contracts::{v1, wire};
use matchpurse_domain::event::{Event, Kept};
use matchpurse_operations::parked::{Author, Handed, discard, rehearse, replay};
use matchpurse_store::Store;
use matchpurse_store::parked::{Parked, ParkedFilter, ParkedKind};
use serde::Deserialize;

pub(super) use self::bulk::{bulk, step};
use super::events::pretty;
use super::{
    Act, Chip, Chrome, Pager, Section, Select, Tone, Visitor, When, address, count, done, given, html,
};
use crate::api::Api;
use crate::body::reason;
use crate::cursor::List;
use crate::events::shown_body;
use crate::failure::{Failure, Result};
use crate::parked::{failure, number, resolved, unknown};
use crate::request::{self, Query};

const ROWS: u32 = 50;
/// Those that wait are counted no further.
const COUNTED_MAX: u32 = 10_000;

/// What a list of parked deliveries is asked for by; the same fields say what a bulk action is about.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Wanted {
    state: Option<String>,
    worker: Option<String>,
    kind: Option<String>,
    source: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct ListQuery {
    state: Option<String>,
    worker: Option<String>,
    kind: Option<String>,
    source: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "parked.html")]
struct ParkedPage {
    chrome: Chrome,
    resolved: bool,
    filtered: bool,
    selects: [Select; 3],
    event_type: String,
    total: String,
    bulk_path: String,
    rows: Vec<Row>,
    pager: Pager,
}

struct Row {
    id: i64,
    path: String,
    kind: Chip,
    worker: String,
    source: String,
    event_type: String,
    subject: String,
    /// The first line of it.
    reason: String,
    parked: When,
    state: Chip,
}

impl Wanted {
    /// Without what was left empty.
    fn tidy(self) -> Self {
        let Self { state, worker, kind, source, event_type } = self;
        Self {
            state: given(state),
            worker: given(worker),
            kind: given(kind),
            source: given(source),
            event_type: given(event_type),
        }
    }

    fn filter(&self) -> Result<ParkedFilter> {
        let kind = self.kind.as_deref().map(|word| {
            ParkedKind::parse(word).ok_or_else(|| {
                Failure::invalid_query("kind", "expected technical, unrecognized or dead_letter")
            })
        });
        let queue = |text: String| {
            let known = Queue::ALL.into_iter().find(|queue| queue.worker() == text);
            known.map_or(text, |queue| queue.name().to_owned())
        };
        Ok(ParkedFilter {
            resolved: resolved(self.state.as_deref())?,
            queue: crate::events::text("worker", self.worker.clone())?.map(queue),
            kind: kind.transpose()?,
            source: crate::events::text("source", self.source.clone())?,
            event_type: crate::events::text("type", self.event_type.clone())?,
            since: None,
        })
    }

    fn address(&self, path: &str) -> String {
        let query = [
            ("state", self.state.as_deref()),
            ("worker", self.worker.as_deref()),
            ("kind", self.kind.as_deref()),
            ("source", self.source.as_deref()),
            ("type", self.event_type.as_deref()),
        ];
        address(path, &query)
    }

    const fn is_narrowed(&self) -> bool {
        self.worker.is_some() || self.kind.is_some() || self.source.is_some() || self.event_type.is_some()
    }
}

impl Row {
    fn of(parked: &Parked) -> Self {
        let worker = Queue::by_name(&parked.queue).map_or(parked.queue.as_str(), |queue| queue.worker());
        let kind = match parked.kind {
            ParkedKind::Technical => Chip::new(Tone::Bad, "could not be applied"),
            ParkedKind::Unrecognized => Chip::new(Tone::Warn, "not understood"),
            ParkedKind::DeadLetter => Chip::new(Tone::Bad, "given up by the broker"),
        };
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
        Self {
            id: parked.id,
            path: format!("/console/parked/{}", parked.id),
            kind,
            worker: worker.to_owned(),
            source: or_dash(&parked.source),
            event_type: or_dash(&parked.event_type),
            subject: or_dash(&parked.subject),
            reason: parked.reason.lines().next().unwrap_or_default().to_owned(),
            parked: When::new(parked.parked_at),
            state: match &parked.resolved {
                None => Chip::new(Tone::Warn, "waits"),
                Some(resolved) => {
                    Chip::new(Tone::Good, format!("{} by {}", resolved.resolution, resolved.by))
                }
            },
        }
    }
}

fn counted(total: u64) -> String {
    let over = if total >= u64::from(COUNTED_MAX) { "over " } else { "" };
    format!("{over}{}", count(total))
}

/// `GET /console/parked`
pub(super) async fn list(
    api: web::Data<Api>,
    visitor: Visitor,
    query: Query<ListQuery>,
) -> Result<HttpResponse> {
    let ListQuery { state, worker, kind, source, event_type, cursor } = query.0;
    let wanted = Wanted { state, worker, kind, source, event_type }.tidy();
    let (filter, count_of) = (wanted.filter()?, wanted.filter()?);
    let before = request::cursor(List::Parked, cursor.as_deref(), number)?;
    let store = api.store.clone();
    let (found, total) = api
        .run(async move {
            let found = store.parked_page(&filter, before, ROWS).await?;
            // Those that were decided are a history without an end; nobody waits for their count.
            let total = match count_of.resolved {
                true => None,
                false => Some(store.parked_at_least(&count_of, COUNTED_MAX).await?),
            };
            Ok((found, total))
        })
        .await?;
    let next = found.next.map(|(id, _)| List::Parked.cursor(&id.to_string()));
    let up_to = found.next.map(|(_, at)| at);
    let kinds = [ParkedKind::Technical, ParkedKind::Unrecognized, ParkedKind::DeadLetter];
    let workers = Queue::ALL.into_iter().map(Queue::worker);
    html(&ParkedPage {
        chrome: visitor.chrome(Section::Parked),
        resolved: wanted.state.as_deref() == Some("resolved"),
        filtered: wanted.is_narrowed(),
        selects: [
            Select::new("kind", "Why", "any", kinds.map(ParkedKind::as_str), wanted.kind.as_deref()),
            Select::new("worker", "Worker", "all", workers, wanted.worker.as_deref()),
            Select::new("source", "Source", "all", api.sources(), wanted.source.as_deref()),
        ],
        total: total.map(counted).unwrap_or_default(),
        bulk_path: wanted.address("/console/parked/bulk"),
        pager: Pager::new(&wanted.address("/console/parked"), before.is_none(), next).short(
            found.lines.len(),
            ROWS,
            up_to,
        ),
        event_type: wanted.event_type.unwrap_or_default(),
        rows: found.lines.iter().map(Row::of).collect(),
    })
}

#[derive(Template)]
#[template(path = "parked_one.html")]
struct OnePage {
    chrome: Chrome,
    row: Row,
    reason: String,
    event_path: Option<String>,
    subject_path: Option<String>,
    resolved: Option<(When, String, String, String, Vec<String>)>,
    /// What a replay would do; only looked for where nothing was done yet.
    rehearsal: Option<Rehearsal>,
    event: Option<String>,
    body: Option<String>,
}

/// What a replay would do, or why it cannot be done.
enum Rehearsal {
    Hands(Vec<(String, String, String)>),
    Refused(String),
}

/// `GET /console/parked/{id}`
pub(super) async fn one(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<String>,
) -> Result<HttpResponse> {
    let id = number(&path).ok_or_else(unknown)?;
    let (store, readings, outlet) = (api.store.clone(), Arc::clone(&api.readings), api.outlet);
    let (parked, event, raw, rehearsal) = api
        .run(async move {
            let parked = store.parked_by_id(id).await?.ok_or_else(unknown)?;
            let (event, raw) = read(&store, &parked).await?;
            let rehearsal = if parked.resolved.is_some() {
                None
            } else {
                let read = |kept: &Kept| readings.read_again(kept).map_err(|error| error.to_string());
                Some(Rehearsal::of(rehearse(&store, id, &read, outlet).await)?)
            };
            Ok((parked, event, raw, rehearsal))
        })
        .await?;
    let subject_path = event
        .as_ref()
        .filter(|event| !event.subject.is_empty())
        .map(|event| super::matches::path_of(event.source.as_str(), &event.subject));
    let shown = event.map(|event| serde_json::to_value(v1::Event::from(event)).unwrap_or_default());
    html(&OnePage {
        chrome: visitor.chrome(Section::Parked),
        row: Row::of(&parked),
        event_path: shown.is_some().then(|| format!("/console/events/{}", parked.event_id)),
        subject_path,
        resolved: parked.resolved.map(|resolved| {
            let events = resolved.became.iter().map(ToString::to_string).collect();
            (When::new(resolved.at), resolved.resolution, resolved.by, resolved.reason, events)
        }),
        reason: parked.reason,
        rehearsal,
        event: shown.as_ref().map(pretty),
        body: shown_body(&raw).as_ref().map(pretty),
    })
}

/// The event without its body, and the delivery's body. Secrets were blotted out before they were kept.
async fn read(store: &Store, parked: &Parked) -> Result<(Option<Event>, Vec<u8>)> {
    let Ok(event) = wire::decode(&parked.body) else { return Ok((None, parked.body.clone())) };
    let mut raw = event.raw.clone();
    if raw.is_empty() {
        // The delivery's first event has it.
        let first = store.archived(event.delivery_id).await?;
        raw = first.map(|first| first.event.raw).unwrap_or_default();
    }
    Ok((Some(Event { raw: Vec::new().into(), ..event }), raw.to_vec()))
}

impl Rehearsal {
    fn of(rehearsed: matchpurse_operations::parked::Result<Vec<Handed>>) -> Result<Self> {
        use matchpurse_operations::parked::Error;
        match rehearsed {
            Ok(handed) => Ok(Self::Hands(handed.into_iter().map(hand).collect())),
            Err(error @ Error::Store(_)) => Err(failure(error)),
            Err(refused) => Ok(Self::Refused(refused.to_string())),
        }
    }
}

/// What is handed on, about what, and to whom.
fn hand(handed: Handed) -> (String, String, String) {
    let to = if handed.workers.is_empty() {
        "everybody who has a queue for it".to_owned()
    } else {
        handed.workers.join(", ")
    };
    (handed.payload.as_str().to_owned(), handed.routing_key, to)
}

#[derive(Deserialize)]
pub(super) struct Decision {
    reason: String,
}

/// `POST /console/parked/{id}/replay`
pub(super) async fn again(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<String>,
    form: Act<Decision>,
) -> Result<HttpResponse> {
    let id = number(&path).ok_or_else(unknown)?;
    let author = Author { actor: visitor.actor.as_str().to_owned(), reason: reason(&form.0.reason)? };
    act(&api, id, author, true).await?;
    Ok(done(&format!("/console/parked/{id}"), &format!("Parked delivery {id} is handed on.")))
}

/// `POST /console/parked/{id}/discard`
pub(super) async fn unwanted(
    api: web::Data<Api>,
    visitor: Visitor,
    path: web::Path<String>,
    form: Act<Decision>,
) -> Result<HttpResponse> {
    let id = number(&path).ok_or_else(unknown)?;
    let author = Author { actor: visitor.actor.as_str().to_owned(), reason: reason(&form.0.reason)? };
    act(&api, id, author, false).await?;
    Ok(done(
        &format!("/console/parked/{id}"),
        &format!("Parked delivery {id} is discarded. It stays readable."),
    ))
}

async fn act(api: &Api, id: i64, author: Author, replays: bool) -> Result<()> {
    let (store, readings, outlet) = (api.store.clone(), Arc::clone(&api.readings), api.outlet);
    let actor = author.actor.clone();
    let done = api
        .run(async move {
            let read = |kept: &Kept| readings.read_again(kept).map_err(|error| error.to_string());
            let done = if replays {
                replay(&store, id, &author, &read, outlet).await
            } else {
                discard(&store, id, &author).await
            };
            done.map_err(failure)
        })
        .await?;
    if !done.repeated {
        let resolution = done.parked.resolved.as_ref().map(|resolved| resolved.resolution.as_str());
        tracing::info!(parked = id, resolution, actor, "parked delivery");
    }
    Ok(())
}
