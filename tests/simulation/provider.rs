//! Who sends: each delivery until it is answered with 2xx, or with what is as final.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::test::TestRequest;
use anyhow::{Context as _, Result};
use bytes::Bytes;
use matchpurse_domain::ids::EventId;
use matchpurse_simulator::{Item, Plan, PlanOptions, SimulatedSource};

use crate::conditions::Chance;
use crate::system::sources::now;

/// A status and a body.
pub(crate) type Answer = (u16, Bytes);

pub(crate) struct Provider {
    pub(crate) plan: Plan,
    next: usize,
    /// What was not taken, as places in the plan.
    again: Vec<usize>,
    /// What was answered with 2xx, or with the 422 of what is kept and cannot be read.
    pub(crate) taken: BTreeSet<EventId>,
    /// The answers that a sender acts on, by delivery.
    answers: BTreeMap<EventId, Bytes>,
    /// What no sender should have been told.
    pub(crate) objections: Vec<String>,
}

impl Provider {
    pub(crate) fn new(seed: u64, sources: Vec<SimulatedSource>, lives: u32) -> Result<Self> {
        let plan = Plan::new(PlanOptions {
            lives,
            crowd: 20,
            odd_percent: 10,
            duplicate_percent: 20,
            forged_percent: 5,
            shuffle_window: 8,
            ..PlanOptions::new(seed, sources)
        })?;
        let (taken, answers) = (BTreeSet::new(), BTreeMap::new());
        Ok(Self { plan, next: 0, again: Vec::new(), taken, answers, objections: Vec::new() })
    }

    pub(crate) fn has_more(&self) -> bool {
        self.next < self.plan.items().len() || !self.again.is_empty()
    }

    /// What is sent next: something new or something that was not taken.
    pub(crate) fn next(&mut self, chance: &Chance) -> Option<usize> {
        let new = self.next < self.plan.items().len();
        if !self.again.is_empty() && (!new || chance.permille(300)) {
            return Some(self.again.swap_remove(chance.below(self.again.len())));
        }
        self.next += usize::from(new);
        new.then(|| self.next - 1)
    }

    fn item(&self, place: usize) -> Item {
        self.plan.items()[place]
    }

    fn id(&self, place: usize) -> Option<EventId> {
        let mut item = self.item(place);
        item.forgery = None;
        let signed = self.plan.sign(&item, now())?;
        Some(EventId::of_delivery(signed.source, signed.method.as_str(), &signed.body, 0))
    }

    /// The request, signed now.
    pub(crate) fn request(&self, place: usize) -> Result<TestRequest> {
        let signed = self.plan.sign(&self.item(place), now()).context("a key that cannot sign")?;
        let mut request = TestRequest::with_uri(&format!("/hooks/{}", signed.source))
            .method(actix_web::http::Method::from_bytes(signed.method.as_str().as_bytes())?)
            .insert_header(("content-type", "application/json"))
            .set_payload(signed.body);
        for (name, value) in signed.headers {
            request = request.append_header((name, value));
        }
        Ok(request)
    }

    /// What a delivery is called in a trace.
    pub(crate) fn name(&self, place: usize) -> String {
        let id = self.id(place).map_or_else(String::new, |id| id.to_string());
        let forged = self.item(place).forgery.map_or_else(String::new, |forgery| format!(", {forgery:?}"));
        format!("delivery {place} ({}{forged})", id.get(..8).unwrap_or_default())
    }

    /// Nobody answered.
    pub(crate) fn heard_nothing(&mut self, place: usize) {
        self.again.push(place);
    }

    /// An answer.
    pub(crate) fn heard(&mut self, place: usize, answer: Answer) {
        let (status, body) = answer;
        let (forged, name) = (self.item(place).forgery.is_some(), self.name(place));
        let kept = (200..300).contains(&status) || status == 422;
        match (kept, status) {
            (true, _) if forged => self.objections.push(format!("{name} was believed")),
            (true, _) => {
                if let Some(id) = self.id(place) {
                    self.taken.insert(id);
                    let first = self.answers.entry(id).or_insert_with(|| body.clone());
                    if *first != body && status == 200 {
                        self.objections.push(format!("{name} was answered with {first:?} and {body:?}"));
                    }
                }
            }
            (false, 401) if forged => {}
            (false, 429 | 503) => self.again.push(place),
            (false, _) => {
                self.objections
                    .push(format!("{name} was answered with {status}: {}", String::from_utf8_lossy(&body)));
            }
        }
    }
}
