//! What comes in, live: the latest deliveries with what became of them, and those that were refused.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::Event;
use matchpurse_domain::ids::EventId;
use matchpurse_store::events::{EventFilter, EventLine, EventPage, Place, newest};
use matchpurse_store::flow::{Verdict, verdicts};
use matchpurse_store::now;
use serde::Deserialize;
use uuid::Uuid;

use super::matches::path_of;
use super::{Chip, Chrome, Pager, Section, Select, Tone, Visitor, When, address, given, html};
use crate::api::Api;
use crate::auth::Actor;
use crate::cursor::List;
use crate::failure::{Failure, Result};
use crate::ingresses::Rejected;
use crate::request::{self, Query};
use crate::sse::{self, Ended};

/// Deliveries that are shown.
const ROWS: usize = 50;
/// Events that are looked at for those of one verdict.
const LOOKED_AT: u32 = 500;
/// The verdict of what nobody vouched for; it is no event.
const REFUSED: &str = "refused";

#[derive(Deserialize)]
pub(super) struct FlowQuery {
    source: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
    verdict: Option<String>,
    cursor: Option<String>,
}

#[derive(Template)]
#[template(path = "flow.html")]
struct FlowPage {
    chrome: Chrome,
    here: String,
    selects: [Select; 3],
    filtered: bool,
    /// Whether the ingress said what it refused.
    refused_known: bool,
    rows: Vec<Row>,
    /// Whether it shows what comes now, and not what came earlier.
    live: bool,
    pager: Pager,
}

struct Row {
    /// For the order, and for the page that follows.
    place: Place,
    at: When,
    verdict: Chip,
    source: String,
    what: String,
    event_type: String,
    /// What it is about, and where that is shown.
    subject: Option<(String, String)>,
    path: Option<String>,
}

/// `GET /console/flow`
pub(super) async fn show(
    api: web::Data<Api>,
    visitor: Visitor,
    query: Query<FlowQuery>,
) -> Result<HttpResponse> {
    let FlowQuery { source, event_type, verdict, cursor } = query.0;
    let before = request::cursor(List::Events, cursor.as_deref(), crate::events::place)?;
    let (source, event_type, verdict) = (given(source), given(event_type), given(verdict));
    let wanted = match verdict.as_deref() {
        None | Some(REFUSED) => None,
        Some(word) => {
            Some(Verdict::ALL.into_iter().find(|verdict| verdict.as_str() == word).ok_or_else(|| {
                Failure::invalid_query("verdict", "expected applied, under way, parked or refused")
            })?)
        }
    };
    let filter = EventFilter {
        source: crate::events::text("source", source.clone())?,
        event_type: crate::events::text("type", event_type.clone())?,
        ..EventFilter::default()
    };
    let only_refused = verdict.as_deref() == Some(REFUSED);
    let limit = if wanted.is_some() { LOOKED_AT } else { u32::try_from(ROWS).unwrap_or(u32::MAX) };
    let store = api.store.clone();
    let events = api.run(async move {
        if only_refused {
            return Ok((Vec::new(), None));
        }
        let client = store.client().await?;
        let EventPage { lines, next } = newest(&client, &filter, before, limit).await?;
        let events: Vec<&Event> = lines.iter().map(|line| &line.event).collect();
        let verdicts = verdicts(&client, &events, now()).await?;
        Ok((lines.into_iter().zip(verdicts).collect::<Vec<(EventLine, Verdict)>>(), next))
    });
    let asks_for_refused = wanted.is_none() && event_type.is_none() && before.is_none();
    let (events, rejected) = tokio::join!(events, async {
        if asks_for_refused { api.ingress.rejected().await } else { Some(Vec::new()) }
    });
    let (mut events, mut next) = events?;
    events.retain(|(_, verdict)| wanted.is_none_or(|wanted| wanted == *verdict));
    let mut rows: Vec<Row> = events.iter().map(|(line, verdict)| Row::of(&line.event, *verdict)).collect();
    let refused_known = rejected.is_some();
    let of_source = |one: &Rejected| source.as_ref().is_none_or(|source| *source == one.source);
    let refused = rejected.unwrap_or_default().into_iter().filter(of_source).take(ROWS);
    rows.extend(refused.map(Row::refused));
    // Of one source they are in the order of its chain, which is that of the times but for what came twice.
    if rows.iter().any(|row| row.path.is_none()) {
        rows.sort_by_key(|row| std::cmp::Reverse(row.place.0));
    }
    if rows.len() > ROWS {
        rows.truncate(ROWS);
        next = rows.last().map(|row| row.place);
    }
    let own =
        [("source", source.as_deref()), ("type", event_type.as_deref()), ("verdict", verdict.as_deref())];
    let words = Verdict::ALL.into_iter().map(Verdict::as_str).chain([REFUSED]);
    let mut types: Vec<&str> = Queue::ALL
        .into_iter()
        .flat_map(|queue| queue.payloads().iter().map(|payload| payload.as_str()))
        .collect();
    types.sort_unstable();
    types.dedup();
    let here = address("/console/flow", &own);
    let up_to = next.map(|(at, _)| at);
    html(&FlowPage {
        chrome: visitor.chrome(Section::Flow),
        live: before.is_none(),
        pager: Pager::new(&here, before.is_none(), next.map(crate::events::cursor_of)).short(
            rows.len(),
            u32::try_from(ROWS).unwrap_or(u32::MAX),
            up_to,
        ),
        here,
        selects: [
            Select::new("source", "Source", "all", api.sources(), source.as_deref()),
            Select::new("type", "Type", "all", types, event_type.as_deref()),
            Select::new("verdict", "What became of it", "anything", words, verdict.as_deref()),
        ],
        filtered: own.iter().any(|(_, value)| value.is_some()),
        refused_known,
        rows,
    })
}

impl Row {
    fn of(event: &Event, verdict: Verdict) -> Self {
        let tone = match verdict {
            Verdict::Applied => Tone::Good,
            Verdict::UnderWay => Tone::Busy,
            Verdict::Parked => Tone::Bad,
        };
        let source = event.source.as_str().to_owned();
        Self {
            place: (event.received_at, event.id),
            at: When::new(event.received_at),
            verdict: Chip::new(tone, verdict.as_str()),
            what: event.payload.name().as_str().replace('_', " "),
            event_type: event.provider_type.clone(),
            subject: (!event.subject.is_empty())
                .then(|| (event.subject.clone(), path_of(&source, &event.subject))),
            path: Some(format!("/console/events/{}", event.id)),
            source,
        }
    }

    fn refused(rejected: Rejected) -> Self {
        let from = rejected.remote.map(|remote| format!(", from {remote}")).unwrap_or_default();
        Self {
            // It is no event: all events of its moment come behind it.
            place: (rejected.at, EventId::from_uuid(Uuid::nil())),
            at: When::new(rejected.at),
            verdict: Chip::new(Tone::Bad, REFUSED),
            source: rejected.source,
            what: format!("{}{from}", rejected.reason.replace('_', " ")),
            event_type: "–".to_owned(),
            subject: None,
            path: None,
        }
    }
}

/// `GET /console/live`: tells, as Server-Sent Events, that something new is in the archive. What it is the page asks for
/// itself, so that what somebody has filtered by counts, and a busy minute costs one answer a second.
pub(super) async fn live(api: web::Data<Api>, actor: Actor, request: HttpRequest) -> Result<HttpResponse> {
    let slot = api.slots.take(&actor)?;
    let (pipe, body) = sse::pipe(&api, &request);
    let (mut heads, beat) = (api.heads.watch(), api.stream_heartbeat);
    api.spawn(async move {
        let _slot = slot;
        let told: Result<(), Ended> = async {
            pipe.send("retry: 2000\n\n").await?;
            loop {
                tokio::select! {
                    () = pipe.ended() => return Err(Ended),
                    changed = heads.changed() => {
                        changed.map_err(|_| Ended)?;
                        pipe.send("event: news\ndata: archive\n\n").await?;
                    }
                    () = tokio::time::sleep(beat) => pipe.send(": alive\n\n").await?,
                }
            }
        }
        .await;
        // The end is the client's, or ours; who wants more connects again.
        told.ok();
    });
    Ok(sse::answer(body))
}
