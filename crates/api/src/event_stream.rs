//! What is archived, as Server-Sent Events. The place of a stream is how far it has read each source's chain: a chain has
//! no gaps and is longer only by what has been committed, so nothing is passed over, whatever is archived at once.

mod heads;
mod position;

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use matchpurse_store::events::{self, EventFilter, EventLine, Head};
use matchpurse_store::{Store, chain};
use serde::Deserialize;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

pub(crate) use self::heads::Heads;
use self::position::Position;
use crate::api::Api;
use crate::auth::Actor;
use crate::events::{EventView, text};
use crate::failure::Result;
use crate::offers::Slot;
use crate::request::{self, Query};
use crate::sse::{self, Ended, Pipe};

/// Events of one reading.
const PIECE: i64 = 500;
/// What a stream may be behind a source's chain by. It is for who looks on; who must have all reads the list.
const BEHIND_MAX: i64 = 10_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamQuery {
    source: Option<String>,
    subject: Option<String>,
    r#type: Option<String>,
    /// For clients that cannot set `Last-Event-ID` at first.
    after: Option<String>,
}

pub(crate) async fn stream(
    api: web::Data<Api>,
    actor: Actor,
    query: Query<StreamQuery>,
    request: HttpRequest,
) -> Result<HttpResponse> {
    let StreamQuery { source, subject, r#type, after } = query.0;
    let source = request::source_of_query(source.as_deref())?;
    let filter = EventFilter {
        source: source.map(|source| source.as_str().to_owned()),
        subject: text("subject", subject)?,
        event_type: text("type", r#type)?,
        from: None,
        to: None,
    };
    let after = sse::resume_from(&request, after.as_deref(), "expected the id of an event of this stream")?;
    let slot = api.slots.take(&actor)?;
    let (pipe, body) = sse::pipe(&api, &request);
    let (store, heads, beat_every) = (api.store.clone(), api.heads.watch(), api.stream_heartbeat);
    let stream = Stream { store, filter, heads, pipe, beat_every, _slot: slot };
    let running = api.run(async move { stream.begin(after).await }).await?;
    api.spawn(running);
    Ok(sse::answer(body))
}

struct Stream {
    store: Store,
    filter: EventFilter,
    heads: watch::Receiver<BTreeMap<String, Head>>,
    pipe: Pipe,
    beat_every: Duration,
    _slot: Slot,
}

impl Stream {
    /// Finds the place, so that a database that is away is a 503 and not a stream that breaks off; what is returned does
    /// the rest.
    async fn begin(self, after: Option<Position>) -> Result<impl Future<Output = ()> + Send> {
        let heads = events::heads(&self.store.client().await?).await?;
        let at = after.map_or_else(|| Position::at(&heads), |after| after.within(&heads));
        let at = at.only(self.filter.source.as_deref());
        Ok(async move {
            // The end is the client's, or ours; who wants more resumes.
            self.run(at, heads).await.ok();
        })
    }

    async fn run(mut self, mut at: Position, mut heads: BTreeMap<String, Head>) -> Result<(), Ended> {
        // The place at once: it is what a client resumes from that never gets an event. And how soon it should.
        self.pipe.send(format!("retry: 1000\nid: {at}\n\n")).await?;
        let mut beat = interval_at(Instant::now() + self.beat_every, self.beat_every);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.catch_up(&mut at, &heads).await?;
            tokio::select! {
                () = self.pipe.ended() => return Err(Ended),
                changed = self.heads.changed() => changed.map_err(|_| Ended)?,
                _ = beat.tick() => self.pipe.send(format!(": alive\nid: {at}\n\n")).await?,
            }
            heads.clone_from(&self.heads.borrow_and_update());
        }
    }

    /// Sends what stands between a place and the ends of the chains. Where these were read before the place was, there is
    /// nothing.
    async fn catch_up(&self, at: &mut Position, heads: &BTreeMap<String, Head>) -> Result<(), Ended> {
        let wanted = |source: &String| self.filter.source.as_ref().is_none_or(|own| own == source);
        for (source, head) in heads.iter().filter(|(source, _)| wanted(source)) {
            let Head { seq: mut from, mut day } = at.of(source);
            let behind = head.seq.saturating_sub(from);
            if behind > BEHIND_MAX {
                at.set(source, head.clone());
                let data = serde_json::json!({ "source": source, "missed": behind });
                self.pipe.send(format!("id: {at}\nevent: reset\ndata: {data}\n\n")).await?;
                continue;
            }
            while from < head.seq {
                let upto = head.seq.min(from.saturating_add(PIECE));
                let lines = self.read(source, (from, upto), day.clone()).await?;
                self.pipe.send(frames(&lines, source, &day, at)).await?;
                if upto == head.seq {
                    day.clone_from(&head.day);
                }
                at.set(source, Head { seq: upto, day: day.clone() });
                from = upto;
            }
        }
        Ok(())
    }

    async fn read(
        &self,
        source: &str,
        piece: (i64, i64),
        day: Option<String>,
    ) -> Result<Vec<EventLine>, Ended> {
        let read = async {
            let client = self.store.client().await?;
            events::piece_of_chain(&client, &self.filter, source, piece, day).await
        };
        read.await.map_err(|error| {
            tracing::warn!(reason = chain(&error), "a stream of events is broken off; its client can resume");
            Ended
        })
    }
}

/// Events as those of the stream, each with the place behind it.
fn frames(lines: &[EventLine], source: &str, day: &Option<String>, at: &mut Position) -> Bytes {
    let mut text = String::new();
    for line in lines {
        at.set(source, Head { seq: line.seq, day: day.clone() });
        // Texts, numbers and times are always JSON, on one line.
        let data = serde_json::to_string(&EventView::of(line)).unwrap_or_default();
        text.push_str(&format!("id: {at}\nevent: event\ndata: {data}\n\n"));
    }
    text.into()
}
