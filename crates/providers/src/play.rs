//! Playing a provider: whole lives as it would send them, with the effects that they must have.
//!
//! Each adapter writes the bodies of its own provider, because nobody else may know what they look like;
//! the simulator and the tests only pick lives, mix, sign and send them. A script is a pure function of its
//! request: the same request gives the same bytes, on any machine.
//!
//! **The effects do not depend on the order.** The deliveries of a life do not contradict each other, so
//! whatever their order and however often each comes, its effects are the same. What would depend on the
//! order is left out: the pot of a match that was called off is nothing or all stakes, but nobody has won
//! or lost anything. They are written down here from what the life is about, and never computed by the
//! code that is to be checked.

mod api;
mod dice;
mod effects;

use bytes::Bytes;
use matchpurse_domain::event::UnrecognizedKind;
use matchpurse_domain::money::format_major;
use matchpurse_domain::time::Timestamp;
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub use api::{Moment, PlayedApi, Retold};
pub(crate) use api::{Newest, Tokens, answer, refuse, shown, told};
pub use dice::Dice;
pub use effects::{
    ConversionEffect, Effects, GrantEffect, GrantKey, KickKey, MatchAmounts, MatchEffect, OfferEffect,
    RecordEffect, SourceEffects, StandingEffect, StatsEffect,
};

use crate::delivery::Method;
use crate::keys::KeyRole;
use crate::settings::AdapterSettings;

/// A kind of life that a provider can play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LifeKind {
    /// Its name, for [`PlayRequest::life`].
    pub name: &'static str,
    /// How often it occurs beside the others.
    pub weight: u32,
    /// True when it is something that must be parked: an unknown type, a body that is none. Such lives are
    /// mixed in by a share of their own.
    pub odd: bool,
    /// The key that signs it; a source without such a key cannot play it.
    pub role: KeyRole,
}

/// The players of a source: `size` of them, the same for the same seed. Each provider writes their ids in
/// its own form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowd {
    /// Tells one crowd from another.
    pub seed: u64,
    /// How many there are.
    pub size: u32,
}

/// One life that is to be played.
#[derive(Debug, Clone, Copy)]
pub struct PlayRequest<'r> {
    /// Which kind: a name of [`crate::Provider::lives`].
    pub life: &'r str,
    /// Everything about the life follows from it.
    pub seed: u64,
    /// Who plays.
    pub crowd: Crowd,
    /// The source's settings. Where the studio holds the stakes, the players are taken to have the money.
    pub settings: &'r AdapterSettings,
    /// The source's webhook key: a provider that echoes it in its bodies does so here too.
    pub key: &'r [u8],
    /// When the life begins, by the provider's clock.
    pub at: Timestamp,
}

/// A life: what is sent, and what must come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The deliveries, in the order in which they happen.
    pub deliveries: Vec<ScriptedDelivery>,
    /// What they must have led to when all of them were applied, in any order. The counts of events and of
    /// parked ones are left at zero: they follow from the deliveries.
    pub effects: SourceEffects,
}

/// One delivery of a life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptedDelivery {
    /// The method.
    pub method: Method,
    /// Which of the source's keys signs it.
    pub role: KeyRole,
    /// The body.
    pub body: Bytes,
    /// When it is sent, in milliseconds since the life began.
    pub after_ms: u64,
    /// How many events it becomes.
    pub events: u32,
    /// Why it is parked, if it must be.
    pub parked: Option<UnrecognizedKind>,
    /// The answer's status.
    pub status: u16,
    /// What the answer's body must hold; empty when it does not matter.
    pub answer_holds: &'static str,
    /// Whether the provider's API tells it, too.
    pub retold: Retold,
}

impl Script {
    pub(crate) fn new() -> Self {
        Self { deliveries: Vec::new(), effects: SourceEffects::default() }
    }

    /// Adds a delivery that becomes one event and is answered with 200.
    pub(crate) fn send(&mut self, method: Method, after_ms: u64, body: impl Into<Bytes>) {
        self.deliveries.push(ScriptedDelivery::new(method, after_ms, body));
    }

    /// Adds a delivery that is kept but not understood.
    pub(crate) fn send_odd(
        &mut self,
        method: Method,
        after_ms: u64,
        body: impl Into<Bytes>,
        kind: UnrecognizedKind,
    ) {
        let status = if kind == UnrecognizedKind::Malformed { 422 } else { 200 };
        let delivery = ScriptedDelivery::new(method, after_ms, body);
        self.deliveries.push(ScriptedDelivery { parked: Some(kind), status, ..delivery });
    }
}

impl ScriptedDelivery {
    /// One that becomes one event, signed with the webhook key and answered with 200.
    pub(crate) fn new(method: Method, after_ms: u64, body: impl Into<Bytes>) -> Self {
        Self {
            method,
            role: KeyRole::Webhook,
            body: body.into(),
            after_ms,
            events: 1,
            parked: None,
            status: 200,
            answer_holds: "",
            retold: Retold::Never,
        }
    }
}

/// A body as JSON. The bodies here are made of texts, numbers and lists, which cannot fail to be written.
pub(crate) fn json_body(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// An amount in major units as a JSON number, digit for digit.
pub(crate) fn major(minor_units: i64, exponent: u8) -> Box<RawValue> {
    RawValue::from_string(format_major(minor_units, exponent)).unwrap_or_default()
}

/// A time like `2024-07-11T20:26:10.344522Z`.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.micros()).saturating_mul(1_000))
        .ok()
        .and_then(|moment| moment.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// A body without its last byte: no JSON any more, but signed like any other.
pub(crate) fn cut_short(mut body: Vec<u8>) -> Vec<u8> {
    body.pop();
    body
}

impl Crowd {
    /// A generator that makes the `number`-th player, always the same.
    pub(crate) fn dice_of(self, number: u32) -> Dice {
        Dice::new(self.seed).fork(u64::from(number))
    }

    /// The numbers of `count` players, or of all when there are fewer; nobody twice.
    pub(crate) fn pick(self, dice: &mut Dice, count: usize) -> Vec<u32> {
        let mut picked = Vec::with_capacity(count);
        let wanted = count.min(usize::try_from(self.size).unwrap_or(usize::MAX));
        while picked.len() < wanted {
            let number = u32::try_from(dice.below(u64::from(self.size))).unwrap_or(0);
            if !picked.contains(&number) {
                picked.push(number);
            }
        }
        picked
    }
}
