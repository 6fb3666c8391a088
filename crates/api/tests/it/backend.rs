//! Rewards, and the studio's back-end that is told of them, beside an API.

use std::sync::Arc;

use anyhow::Result;
use matchpurse_dispatcher::{Clock, Dispatcher};
use matchpurse_domain::event::{
    ContestOutcome, ConversionKind, Event, Outcome, Payload, PlayerOutcome, Reward, RewardKind,
    RewardPostback,
};
use matchpurse_domain::money::{Currency, Money};
use matchpurse_reward_fulfillment::RewardFulfillment;
use matchpurse_settings::Settings;
use matchpurse_store::{Store, now};
use matchpurse_testkit::Studio;
use matchpurse_worker_kit::Effects as _;

use crate::harness::{Api, SETTINGS, on};

/// A source whose players may get two rewards a day.
const WALL: &str = r#"
[sources.wall]
provider = "any"
currency = "USD"
custody = "provider"
rewards.player_day_count = 2
rewards.player_day_amount = "10"
rewards.schemas.studio = '{ "type": "object" }'
"#;

/// An API, a worker for rewards, and a studio's back-end.
pub(crate) struct Backend {
    pub(crate) api: Api,
    pub(crate) studio: Studio,
    pub(crate) store: Store,
    pub(crate) settings: Settings,
}

impl Backend {
    /// With more settings behind the tests' own. Dispatchers may send to the loopback for the API's endpoints.
    pub(crate) async fn start(more: &str) -> Result<Self> {
        let text = SETTINGS.replace("[api]\n", "[api]\nendpoints_allow_private = true\n") + WALL + more;
        let api = Api::start_with(&text).await?;
        let settings = Settings::parse_str(&on(&api.database.url(), &text))?;
        let store = api.database.store().await?;
        Ok(Self { studio: Studio::start().await?, api, store, settings })
    }

    /// Applies events as `reward-fulfillment` does.
    pub(crate) async fn apply(&self, events: &[Event]) -> Result<()> {
        let effects = RewardFulfillment::new(&self.settings)?;
        let mut client = self.store.client().await?;
        let tx = client.begin().await?;
        effects.apply_in_tx(&tx, events, now()).await?;
        Ok(tx.commit().await?)
    }

    /// A dispatcher, with the configuration's endpoints.
    pub(crate) async fn dispatcher(&self) -> Result<Dispatcher> {
        self.dispatcher_with(&self.settings).await
    }

    /// A dispatcher that may send nothing to private networks.
    pub(crate) async fn strict_dispatcher(&self) -> Result<Dispatcher> {
        let mut settings = self.settings.clone();
        settings.api.endpoints_allow_private = false;
        self.dispatcher_with(&settings).await
    }

    async fn dispatcher_with(&self, settings: &Settings) -> Result<Dispatcher> {
        let clock: Clock = Arc::new(now);
        let dispatcher = Dispatcher::new(self.store.clone(), settings, clock)?;
        dispatcher.bring_endpoints().await?;
        Ok(dispatcher)
    }

    /// The body that adds an endpoint at the studio.
    pub(crate) fn endpoint(&self, name: &str, more: &str) -> String {
        let url = self.studio.url("/hook");
        format!(r#"{{"name": "{name}", "url": "{url}?token=hush", "reason": "a test"{more}}}"#)
    }

    /// The ids of a player's rewards, in order of their contests.
    pub(crate) async fn grants(&self, player: &str) -> Result<Vec<String>> {
        let sql = format!(
            "SELECT c.contest_id || ' ' || g.grant_id FROM reward_grant g JOIN contest c USING (contest_key)
               JOIN player p USING (player_key) WHERE p.player_id = '{player}'"
        );
        let found = self.api.database.texts(&sql).await?;
        Ok(found.iter().filter_map(|text| Some(text.split_once(' ')?.1.to_owned())).collect())
    }
}

/// An offerwall gives a player this much.
pub(crate) fn earned(conversion: &str, player: &str, minor_units: i64) -> Event {
    let amount = Money::new(minor_units, Currency::new("USD", None).unwrap().code);
    matchpurse_testkit::event(
        "wall",
        true,
        Payload::RewardPostback(RewardPostback {
            conversion_id: conversion.to_owned(),
            request_id: None,
            player_id: player.into(),
            offer_id: None,
            goal_id: None,
            goal_name: None,
            kind: ConversionKind::Reward,
            amount: Some(amount),
            payout: None,
        }),
    )
}

/// A player has won something of the studio's in a contest, and this came along.
pub(crate) fn won(contest: &str, player: &str, metadata: &str) -> Event {
    let reward = Reward {
        kind: RewardKind::Studio,
        amount: None,
        value: Some("drink-1".to_owned()),
        reference: Some("r1".to_owned()),
        metadata: Some(metadata.to_owned()),
    };
    let entry = PlayerOutcome { player_id: player.into(), outcome: Outcome::Win, reward: Some(reward) };
    matchpurse_testkit::event(
        "wall",
        true,
        Payload::ContestOutcome(ContestOutcome {
            contest_id: contest.to_owned(),
            addressed_to: player.into(),
            outcomes: vec![entry],
        }),
    )
}

/// A conversation without what differs from run to run beside times and UUIDs: how long an attempt took, the studio's
/// port, and secrets that were made.
pub(crate) fn settled(text: &str) -> String {
    let text = masked(text, "took_ms: ", |c| c.is_ascii_digit(), "<ms>");
    let text = masked(&text, "http://127.0.0.1:", |c| c.is_ascii_digit(), "<port>");
    let text = masked(&text, "whsec_", |c| c.is_ascii_alphanumeric() || "+/=".contains(c), "<secret>");
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let mut ids = Vec::new();
    let mut shown = String::new();
    for word in text.split_inclusive('"') {
        let id = word.strip_suffix('"').filter(|id| id.len() == 16 && id.chars().all(hex));
        match id {
            None => shown.push_str(word),
            Some(id) => {
                let place = ids.iter().position(|seen| *seen == id).unwrap_or_else(|| {
                    ids.push(id);
                    ids.len() - 1
                });
                shown.push_str(&format!("<secret {}>\"", place + 1));
            }
        }
    }
    shown
}

/// What stands behind each `prefix` and is `of_it`, replaced.
fn masked(text: &str, prefix: &str, of_it: impl Fn(char) -> bool, mask: &str) -> String {
    let mut parts = text.split(prefix);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(&of_it);
        shown.push_str(prefix);
        shown.push_str(if rest.len() < part.len() { mask } else { "" });
        shown.push_str(rest);
    }
    shown
}
