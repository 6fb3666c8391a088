use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::auth::Actor;
use crate::failure::{Failure, RETRY_AFTER_S, Result};
use crate::metrics;
use crate::problems::Kind;

/// How many streams are open, in all and by token.
#[derive(Clone)]
pub(crate) struct Slots {
    taken: Arc<Mutex<HashMap<Actor, u32>>>,
    in_all: u32,
    per_token: u32,
}

/// One of them; it is free again when this value is gone.
pub(crate) struct Slot {
    slots: Slots,
    actor: Actor,
}

impl Slots {
    pub(crate) fn new(in_all: u32, per_token: u32) -> Self {
        Self { taken: Arc::default(), in_all, per_token }
    }

    pub(crate) fn take(&self, actor: &Actor) -> Result<Slot> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let in_all: u32 = taken.values().sum();
        let own = taken.get(actor).copied().unwrap_or_default();
        if own >= self.per_token {
            let detail = format!("this token has {own} streams open, which is the most");
            return Err(too_many(detail));
        }
        if in_all >= self.in_all {
            return Err(too_many(format!("{in_all} streams are open, which is the most")));
        }
        taken.insert(actor.clone(), own.saturating_add(1));
        metrics::streams_open(in_all.saturating_add(1));
        Ok(Slot { slots: self.clone(), actor: actor.clone() })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.actor) {
            *own = own.saturating_sub(1);
        }
        taken.retain(|_, own| *own > 0);
        metrics::streams_open(taken.values().sum());
    }
}

fn too_many(detail: String) -> Failure {
    Failure::too_many_requests(Kind::TooManyStreams, detail, RETRY_AFTER_S)
}
