//! The stream of changes as Server-Sent Events, from a place on.

use std::fmt::Write as _;

use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use matchpurse_domain::ids::SourceName;
use matchpurse_store::offers::{self, Change, Position, Slice, State};
use matchpurse_store::{Store, chain};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use super::hub::Told;
use super::slots::Slot;
use crate::api::Api;
use crate::auth::Actor;
use crate::failure::Result;
use crate::moment::Moment;
use crate::request::{self, Query};
use crate::sse::{self, Ended, Pipe};

/// Changes of one reading.
const PAGE: u32 = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StreamQuery {
    /// For clients that cannot set `Last-Event-ID` at first: `as_of` of a list.
    after: Option<String>,
}

/// What a client reads of a change.
#[derive(Serialize)]
struct ChangeView<'a> {
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    offer_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    player_id: Option<&'a str>,
    /// Of the offer or player, after the change.
    state: &'static str,
    /// By the provider's clock.
    changed_at: Moment,
}

/// A change as an event of the stream.
pub(super) fn frame(change: &Change) -> Bytes {
    let Change { position, change } = change;
    let (offer_id, player_id) = match change.state {
        State::Offer(_) => (Some(change.subject.as_str()), None),
        State::Player(_) => (None, Some(change.subject.as_str())),
    };
    let view = ChangeView {
        source: change.source.as_str(),
        offer_id,
        player_id,
        state: change.state.as_str(),
        changed_at: change.changed_at.into(),
    };
    // Texts and a time are always JSON, on one line.
    let data = serde_json::to_string(&view).unwrap_or_default();
    Bytes::from(format!("id: {position}\nevent: {}\ndata: {data}\n\n", change.kind.as_str()))
}

pub(crate) async fn stream(
    api: web::Data<Api>,
    actor: Actor,
    path: web::Path<String>,
    query: Query<StreamQuery>,
    request: HttpRequest,
) -> Result<HttpResponse> {
    let source = request::source(&path)?;
    api.policy(&source)?;
    let expected = "expected the id of an event of this stream, or what `as_of` of a list said";
    let after = sse::resume_from(&request, query.0.after.as_deref(), expected)?;
    let slot = api.slots.take(&actor)?;
    let (pipe, body) = sse::pipe(&api, &request);
    let stream = Stream {
        store: api.store.clone(),
        source,
        // First the ears, then the place: what comes between the two is told.
        live: api.hub.join().await?,
        pipe,
        _slot: slot,
    };
    let running = api.run(async move { stream.begin(after).await }).await?;
    api.spawn(running);
    Ok(sse::answer(body))
}

struct Stream {
    store: Store,
    source: SourceName,
    live: broadcast::Receiver<Told>,
    pipe: Pipe,
    _slot: Slot,
}

impl Stream {
    /// Reads the first part, so that a database that is away is a 503 and not a stream that breaks off; what is returned
    /// does the rest.
    async fn begin(self, after: Option<Position>) -> Result<impl Future<Output = ()> + Send> {
        let client = self.store.client().await?;
        let at = match after {
            Some(after) => after,
            None => offers::position(&client).await?,
        };
        let first = offers::changes_after(&client, Some(&self.source), at, PAGE).await?;
        drop(client);
        Ok(async move {
            // The end is the client's, or ours; who wants more resumes.
            self.run(at, first).await.ok();
        })
    }

    async fn run(mut self, at: Position, first: Slice) -> Result<(), Ended> {
        // The place at once: it is what a client resumes from that never gets an event. And how soon it should.
        self.pipe.send(Bytes::from(format!("retry: 1000\nid: {at}\n\n"))).await?;
        let mut at = self.catch_up(at, Some(first)).await?;
        loop {
            let told = tokio::select! {
                () = self.pipe.ended() => return Err(Ended),
                told = self.live.recv() => told,
            };
            match told {
                Ok(Told::Change { position, source, frame }) => {
                    if position > at {
                        at = position;
                        if source == self.source {
                            self.pipe.send(frame).await?;
                        }
                    }
                }
                Ok(Told::Beat(upto)) => {
                    at = upto.map_or(at, |upto| upto.max(at));
                    // With the place, so that who has a quiet source is not behind what is forgotten one day.
                    self.pipe.send(Bytes::from(format!(": alive\nid: {at}\n\n"))).await?;
                }
                // The client is slower than the changes; what it has missed is read at its own speed.
                Err(RecvError::Lagged(_)) => at = self.catch_up(at, None).await?,
                Err(RecvError::Closed) => return Err(Ended),
            }
        }
    }

    /// Sends what the database has behind a place, and returns how far that went.
    async fn catch_up(&self, mut at: Position, mut slice: Option<Slice>) -> Result<Position, Ended> {
        loop {
            let slice = match slice.take() {
                Some(slice) => slice,
                None => self.read(at).await?,
            };
            if slice.lost {
                at = self.present().await?;
                let data = "{\"detail\":\"changes before this are not kept any more: load the list of offers anew\"}";
                self.pipe.send(Bytes::from(format!("id: {at}\nevent: reset\ndata: {data}\n\n"))).await?;
                return Ok(at);
            }
            let mut text = String::new();
            for change in &slice.changes {
                // Writing to a text cannot fail.
                write!(text, "{}", String::from_utf8_lossy(&frame(change))).ok();
            }
            if !text.is_empty() {
                self.pipe.send(text).await?;
            }
            at = slice.upto;
            if !slice.more {
                return Ok(at);
            }
        }
    }

    async fn read(&self, at: Position) -> Result<Slice, Ended> {
        let read =
            async { offers::changes_after(&self.store.client().await?, Some(&self.source), at, PAGE).await };
        read.await.map_err(|error| broken(&error))
    }

    async fn present(&self) -> Result<Position, Ended> {
        let read = async { offers::position(&self.store.client().await?).await };
        read.await.map_err(|error| broken(&error))
    }
}

fn broken(error: &matchpurse_store::Error) -> Ended {
    tracing::warn!(reason = chain(error), "a stream of offers is broken off; its client can resume");
    Ended
}
