//! Many parked deliveries at once. Nothing of it is kept here: the page asks for one piece after the other, so any replica
//! can do the next one, whoever closes the page stops it, and what was done is in the parked deliveries themselves.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use askama::Template;
use matchpurse_domain::event::Kept;
use matchpurse_operations::parked::{Author, Error, discard, rehearse, replay};
use serde::Deserialize;

use super::{Act, Chrome, Rehearsal, Row, Section, Visitor, Wanted, count, html};
use crate::api::Api;
use crate::body::reason;
use crate::failure::{Failure, Result};
use crate::parked::failure;
use crate::request::Query;

/// How many are shown with what would become of them.
const SAMPLE: u32 = 20;
/// How many are done for one answer.
const PIECE: u32 = 25;

#[derive(Template)]
#[template(path = "parked_bulk.html")]
struct BulkPage {
    chrome: Chrome,
    wanted: Wanted,
    back: String,
    total: u64,
    shown_total: String,
    /// The newest that is taken: what is parked meanwhile is not.
    last: i64,
    /// The first ones, and what a replay would do.
    sample: Vec<(Row, Rehearsal)>,
}

/// How far it is.
#[derive(Template)]
#[template(path = "parked_progress.html")]
struct Progress {
    chrome: Chrome,
    step: Step,
    back: String,
    /// The reasons why some could not be done, the last ones.
    refusals: Vec<(i64, String)>,
    ended: bool,
    done: String,
    total: String,
}

/// One piece of the work, with what is known of it so far.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::console) struct Step {
    action: String,
    reason: String,
    #[serde(default)]
    after: i64,
    last: i64,
    total: u64,
    #[serde(default)]
    done: u64,
    #[serde(default)]
    refused: u64,
    worker: Option<String>,
    kind: Option<String>,
    source: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
}

/// `GET /console/parked/bulk`: what it would do, and the form that begins it.
pub(in crate::console) async fn bulk(
    api: web::Data<Api>,
    visitor: Visitor,
    query: Query<Wanted>,
) -> Result<HttpResponse> {
    let wanted = Wanted { state: None, ..query.0.tidy() };
    let filter = wanted.filter()?;
    let (store, readings, outlet) = (api.store.clone(), Arc::clone(&api.readings), api.outlet);
    let (total, last, sample) = api
        .run(async move {
            let (total, last) = store.parked_count(&filter).await?;
            let read = |kept: &Kept| readings.read_again(kept).map_err(|error| error.to_string());
            let mut sample = Vec::new();
            for parked in store.parked_after(&filter, 0, SAMPLE).await? {
                let rehearsal = Rehearsal::of(rehearse(&store, parked.id, &read, outlet).await)?;
                sample.push((Row::of(&parked), rehearsal));
            }
            Ok((total, last, sample))
        })
        .await?;
    html(&BulkPage {
        chrome: visitor.chrome(Section::Parked),
        back: wanted.address("/console/parked"),
        wanted,
        total,
        shown_total: count(total),
        last,
        sample,
    })
}

/// `POST /console/parked/bulk/step`: the next ones, and how far it is now.
pub(in crate::console) async fn step(
    api: web::Data<Api>,
    visitor: Visitor,
    form: Act<Step>,
) -> Result<HttpResponse> {
    let mut step = form.0;
    let replays = match step.action.as_str() {
        "replay" => true,
        "discard" => false,
        _ => return Err(Failure::invalid_body("action", "expected replay or discard")),
    };
    let author = Author { actor: visitor.actor.as_str().to_owned(), reason: reason(&step.reason)? };
    let Step { worker, kind, source, event_type, .. } = step.clone();
    let wanted = Wanted { state: None, worker, kind, source, event_type }.tidy();
    let filter = wanted.filter()?;
    let (store, readings, outlet, after) =
        (api.store.clone(), Arc::clone(&api.readings), api.outlet, step.after);
    let last = step.last;
    let results = api
        .run(async move {
            let read = |kept: &Kept| readings.read_again(kept).map_err(|error| error.to_string());
            let mut results = Vec::new();
            for parked in store.parked_after(&filter, after, PIECE).await? {
                if parked.id > last {
                    break;
                }
                let done = if replays {
                    replay(&store, parked.id, &author, &read, outlet).await
                } else {
                    discard(&store, parked.id, &author).await
                };
                results.push((
                    parked.id,
                    match done {
                        Ok(_) => None,
                        Err(error @ Error::Store(_)) => return Err(failure(error)),
                        Err(refused) => Some(refused.to_string()),
                    },
                ));
            }
            Ok(results)
        })
        .await?;
    let refusals: Vec<(i64, String)> =
        results.iter().filter_map(|(id, refused)| Some((*id, refused.clone()?))).collect();
    let refused = u64::try_from(refusals.len()).unwrap_or(0);
    let looked = u64::try_from(results.len()).unwrap_or(0);
    step.refused = step.refused.saturating_add(refused);
    step.done = step.done.saturating_add(looked.saturating_sub(refused));
    step.after = results.last().map_or(step.after, |(id, _)| *id);
    let ended = looked < u64::from(PIECE);
    if ended {
        let actor = visitor.actor.as_str();
        tracing::info!(
            done = step.done,
            refused = step.refused,
            action = step.action,
            actor,
            "parked deliveries"
        );
    }
    html(&Progress {
        chrome: visitor.chrome(Section::Parked),
        back: wanted.address("/console/parked"),
        refusals,
        ended,
        done: count(step.done.saturating_add(step.refused)),
        total: count(step.total),
        step,
    })
}

impl BulkPage {
    fn title(&self) -> String {
        match self.total {
            1 => "One parked delivery".to_owned(),
            _ => format!("{} parked deliveries", self.shown_total),
        }
    }
}

impl Progress {
    fn passed(&self) -> u64 {
        self.step.done.saturating_add(self.step.refused)
    }
}
