//! Events of a source named `lounge`, and what they have led to.

use anyhow::Result;
use matchpurse_domain::event::*;
use matchpurse_domain::ids::EventId;
use matchpurse_domain::money::{CurrencyCode, Money};
use matchpurse_domain::time::Timestamp;
use matchpurse_reward_fulfillment::RewardFulfillment;
use matchpurse_settings::Settings;
use matchpurse_store::{Store, audit};
use matchpurse_testkit::Database;

/// The worker where the source wants this of its rewards: the lines of `[sources.lounge.rewards]`.
pub(crate) fn worker(rewards: &str) -> RewardFulfillment {
    let text = format!(
        "database.url = \"postgres://db/app\"\n[sources.lounge]\nprovider = \"p\"\ncurrency = \"USD\"\n\
         custody = \"provider\"\n[sources.lounge.rewards]\n{rewards}"
    );
    RewardFulfillment::new(&Settings::parse_str(&text).unwrap()).unwrap()
}

/// The same event at another time: another delivery.
pub(crate) fn at(event: Event, seconds: i64) -> Event {
    let id = EventId::of_delivery(&event.source, "POST", format!("{} {seconds}", event.id).as_bytes(), 0);
    Event { id, delivery_id: id, received_at: Timestamp::from_seconds(seconds), ..event }
}

pub(crate) fn event(payload: Payload) -> Event {
    matchpurse_testkit::event("lounge", true, payload)
}

pub(crate) fn usd(minor_units: i64) -> Money {
    Money::new(minor_units, CurrencyCode::parse("USD").unwrap())
}

pub(crate) fn studio(reference: &str, metadata: &str) -> Option<Reward> {
    let (reference, metadata) = (Some(reference.to_owned()), Some(metadata.to_owned()));
    Some(Reward { kind: RewardKind::Studio, amount: None, value: None, reference, metadata })
}

/// The same as a promise names it: with the provider's id of the reward.
pub(crate) fn promised(reference: &str, metadata: &str) -> Option<Reward> {
    studio(reference, metadata).map(|reward| Reward { value: Some(format!("id of {reference}")), ..reward })
}

pub(crate) fn cash(minor_units: i64) -> Option<Reward> {
    let amount = Some(usd(minor_units));
    Some(Reward { kind: RewardKind::Cash, amount, value: None, reference: None, metadata: None })
}

pub(crate) fn outcome(contest_id: &str, to: &str, entries: &[(&str, Outcome, Option<Reward>)]) -> Event {
    let entry = |(player, outcome, reward): &(&str, Outcome, Option<Reward>)| PlayerOutcome {
        player_id: (*player).into(),
        outcome: *outcome,
        reward: reward.clone(),
    };
    let outcomes = entries.iter().map(entry).collect();
    let contest_id = contest_id.to_owned();
    event(Payload::ContestOutcome(ContestOutcome { contest_id, addressed_to: to.into(), outcomes }))
}

pub(crate) fn snapshot(
    kind: MatchKind,
    id: &str,
    status: MatchStatus,
    winners: &[&str],
    players: &[(&str, Option<Reward>)],
) -> Event {
    let group = |(player, reward): &(&str, Option<Reward>)| Group {
        group_id: format!("of {player}"),
        name: None,
        players: vec![Participant { player_id: (*player).into(), reward: reward.clone() }],
    };
    event(Payload::MatchSnapshot(MatchSnapshot {
        match_id: id.to_owned(),
        kind,
        status,
        provider_status: String::new(),
        format: None,
        game_id: None,
        created_by: None,
        buy_in: None,
        groups: players.iter().map(group).collect(),
        winner_group_ids: winners.iter().map(|player| format!("of {player}")).collect(),
    }))
}

pub(crate) fn postback(conversion: &str, player: &str, minor_units: i64, goal: &str) -> Event {
    conversion_of(ConversionKind::Reward, conversion, player, Some(usd(minor_units)), goal)
}

/// An offerwall takes a conversion back.
pub(crate) fn reversal(conversion: &str, player: &str, minor_units: Option<i64>) -> Event {
    conversion_of(ConversionKind::Reversal, conversion, player, minor_units.map(usd), "")
}

fn conversion_of(
    kind: ConversionKind,
    conversion: &str,
    player: &str,
    amount: Option<Money>,
    goal: &str,
) -> Event {
    event(Payload::RewardPostback(RewardPostback {
        conversion_id: conversion.to_owned(),
        request_id: None,
        player_id: player.into(),
        offer_id: Some("12345678900123456".to_owned()),
        goal_id: None,
        goal_name: Some(goal.to_owned()),
        kind,
        amount,
        payout: None,
    }))
}

pub(crate) fn wish(intent: &str, minor_units: i64, answer: &str) -> Event {
    event(Payload::CreditConversion(CreditConversion {
        intent_id: intent.to_owned(),
        player_id: "ann".into(),
        amount: usd(minor_units),
        converted_amount: "120".to_owned(),
        metadata: None,
        answer: answer.to_owned(),
    }))
}

/// The grants by what they are, their state and why they are in review.
pub(crate) async fn grants(database: &Database) -> Result<Vec<String>> {
    let sql = "SELECT concat_ws(' ', c.contest_id, p.player_id || '/' || g.reward_ref, g.state, g.reason)
                 FROM reward_grant g JOIN contest c USING (contest_key) JOIN player p USING (player_key)";
    let rows = database.connection().await?.query(sql, &[]).await?;
    let mut grants: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    grants.sort_unstable();
    Ok(grants)
}

/// What the standing checks find.
pub(crate) async fn findings(store: &Store) -> Result<Vec<String>> {
    let client = store.client().await?;
    let mut found = Vec::new();
    for check in audit::CHECKS {
        found.extend(audit::run(&client, check).await?.into_iter().map(|finding| finding.what));
    }
    Ok(found)
}
