//! Lives as the offerwall sends them: an offer comes, changes, goes and comes back; a player is banned and
//! let in again; a player earns something, which is signed with the other key.

mod api;
mod body;

use matchpurse_domain::event::UnrecognizedKind;
use matchpurse_domain::time::Timestamp;

use crate::delivery::Method;
use crate::keys::KeyRole;
use crate::play::{
    Dice, GrantEffect, GrantKey, LifeKind, OfferEffect, PlayRequest, Retold, Script, ScriptedDelivery,
    StandingEffect, cut_short, json_body, major, rfc3339,
};

pub(super) use api::Api;

pub(super) const LIVES: &[LifeKind] = &[
    life("offer", 50, KeyRole::Webhook),
    life("standing", 10, KeyRole::Webhook),
    life("conversion", 40, KeyRole::Postback),
    odd("unknown_type", KeyRole::Webhook),
    odd("unknown_conversion", KeyRole::Postback),
    odd("garbage", KeyRole::Webhook),
];

const fn life(name: &'static str, weight: u32, role: KeyRole) -> LifeKind {
    LifeKind { name, weight, odd: false, role }
}

const fn odd(name: &'static str, role: KeyRole) -> LifeKind {
    LifeKind { odd: true, ..life(name, 1, role) }
}

pub(super) fn play(request: &PlayRequest<'_>) -> Option<Script> {
    let mut life = Life { request, dice: Dice::new(request.seed), script: Script::new(), after_ms: 0 };
    match request.life {
        "offer" => life.offer(),
        "standing" => life.standing(),
        "conversion" => life.conversion(),
        "unknown_type" => {
            let offer_id = life.offer_id();
            let body = json_body(&life.offer_event("offer.paused", &offer_id));
            life.script.send_odd(Method::Post, 0, body, UnrecognizedKind::UnknownType);
        }
        // Whatever it means, it credits nothing.
        "unknown_conversion" => {
            let earned = life.earn("bonus", 150);
            life.postback(&earned, Some(UnrecognizedKind::UnknownStatus));
        }
        "garbage" => {
            let offer_id = life.offer_id();
            let body = cut_short(json_body(&life.offer_event("offer.removed", &offer_id)));
            life.script.send_odd(Method::Post, 0, body, UnrecognizedKind::Malformed);
        }
        _ => return None,
    }
    Some(life.script)
}

struct Life<'r> {
    request: &'r PlayRequest<'r>,
    dice: Dice,
    script: Script,
    after_ms: u64,
}

impl Life<'_> {
    /// Some time passes. No two changes have the same time, because then nobody could say which is the last.
    fn wait(&mut self, ms_max: u64) -> Timestamp {
        self.after_ms += self.dice.between(1, ms_max);
        self.now()
    }

    fn now(&self) -> Timestamp {
        let micros = i64::try_from(self.after_ms).unwrap_or(0).saturating_mul(1_000);
        Timestamp::from_micros(self.request.at.micros().saturating_add(micros))
    }

    fn offer_id(&mut self) -> String {
        format!("{}{:012}", self.dice.between(100_000, 999_999), self.dice.below(1_000_000_000_000))
    }

    fn player(&mut self) -> String {
        let number = u32::try_from(self.dice.below(u64::from(self.request.crowd.size))).unwrap_or(0);
        format!("player-{}", self.request.crowd.dice_of(number).hex(10))
    }

    /// It appears, is described anew, is capped, perhaps comes back, and so on.
    fn offer(&mut self) {
        let offer_id = self.offer_id();
        let mut effect = OfferEffect { open: true, changed_at_us: self.now().micros() };
        self.send_offer("offer.created", &offer_id);
        for _ in 0..self.dice.between(1, 5) {
            let at = self.wait(60_000).micros();
            if self.dice.chance(30) {
                self.send_offer("offer.updated", &offer_id);
                continue;
            }
            effect = OfferEffect { open: !effect.open, changed_at_us: at };
            self.send_offer(if effect.open { "offer.created" } else { "offer.removed" }, &offer_id);
        }
        self.script.effects.offers.insert(offer_id, effect);
    }

    fn send_offer(&mut self, kind: &'static str, offer_id: &str) {
        let body = json_body(&self.offer_event(kind, offer_id));
        let delivery = ScriptedDelivery::new(Method::Post, self.after_ms, body);
        // The list has every offer that is there, and none that is not.
        self.script.deliveries.push(ScriptedDelivery { retold: Retold::ToAll, ..delivery });
    }

    fn offer_event<'o>(&mut self, kind: &'static str, offer_id: &'o str) -> body::OfferEvent<'o> {
        let described = kind != "offer.removed";
        body::OfferEvent {
            kind,
            timestamp: rfc3339(self.now()),
            data: body::Offer {
                offer_id,
                app_id: self.dice.chance(70).then_some(1),
                campaign_id: self.dice.chance(70).then(|| self.dice.between(1, 9_999)),
                name: described.then(|| format!("Reach level {}", self.dice.between(5, 50))),
                tracking_type: described.then_some("CPE"),
            },
        }
    }

    /// Banned, and perhaps let in again.
    fn standing(&mut self) {
        let player = self.player();
        let mut effect = StandingEffect { banned: false, changed_at_us: 0 };
        for _ in 0..self.dice.between(1, 3) {
            let at = self.wait(120_000);
            effect = StandingEffect { banned: !effect.banned, changed_at_us: at.micros() };
            let (kind, reason) = if effect.banned {
                ("player.banned", "events from 3 or more countries in 2 days")
            } else {
                ("player.unbanned", "removed player ban")
            };
            let event = body::PlayerEvent {
                kind,
                timestamp: rfc3339(at),
                data: body::Player {
                    player_id: &player,
                    app_id: 1,
                    ban_reason: reason,
                    created_at: rfc3339(at),
                },
            };
            self.script.send(Method::Post, self.after_ms, json_body(&event));
        }
        self.script.effects.standings.insert(player, effect);
    }

    /// A goal is reached; sometimes an install before it, which earns nothing; sometimes the same conversion
    /// is sent again under another request id, which must not pay twice.
    fn conversion(&mut self) {
        if self.dice.chance(30) {
            let install = self.earn("install", 0);
            self.postback(&install, None);
            self.wait(60_000);
        }
        let units = i64::try_from(self.dice.between(1, 50)).unwrap_or(1).saturating_mul(10);
        let mut earned = self.earn("reward", units);
        self.postback(&earned, None);
        if self.dice.chance(20) {
            self.wait(5_000);
            earned.request_id = self.dice.uuid();
            self.postback(&earned, None);
        }
        let id = earned.data.conversion_id;
        let key = GrantKey {
            kind: "postback".to_owned(),
            contest: id.clone(),
            player: earned.data.player_id,
            reference: id,
        };
        let effect = GrantEffect { state: "granted".to_owned(), amount: Some(units) };
        self.script.effects.grants.insert(key, effect);
    }

    /// A conversion that earns `units` minor units of the source's currency.
    fn earn(&mut self, kind: &'static str, units: i64) -> body::Postback {
        let payout = self.dice.between(1, 500);
        body::Postback {
            request_id: self.dice.uuid(),
            timestamp: self.now().seconds(),
            data: body::Conversion {
                app_id: "2",
                campaign_id: self.dice.between(1, 9_999).to_string(),
                player_id: self.player(),
                amount: major(units, self.request.settings.policy.currency.exponent),
                payout: major(i64::try_from(payout).unwrap_or(0), 2),
                all_goals_completed: u8::from(self.dice.chance(30)),
                conversion_id: self.dice.uuid(),
                goal_name: format!("Reach level {}", self.dice.between(5, 50)),
                goal_id: self.offer_id(),
                offer_id: self.offer_id(),
                offer_name: "Example Offer",
                tracking_type: "CPE",
                allow_multiple_conversions: false,
                conversion_type: kind,
            },
        }
    }

    fn postback(&mut self, earned: &body::Postback, parked: Option<UnrecognizedKind>) {
        let delivery = ScriptedDelivery::new(Method::Post, self.after_ms, json_body(earned));
        let role = KeyRole::Postback;
        self.script.deliveries.push(ScriptedDelivery { role, parked, ..delivery });
    }
}
