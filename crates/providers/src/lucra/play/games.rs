//! Recreational games: players join with a stake, play, and somebody wins; or it is called off.

use matchpurse_domain::event::{MatchKind, MatchStatus, UnrecognizedKind};

use super::Life;
use super::body::{Metadata, Reward};
use super::settle::{self, Ending};
use super::table::{Moment, Shape, Table, created};
use crate::delivery::Method;
use crate::play::{Dice, GrantEffect, GrantKey, MatchAmounts, MatchEffect, cut_short};

/// What the studio gives, as an object that a client sent along.
const PRIZE_METADATA: &str = r#"{"sku":"free-drink","qty":1}"#;

/// Whether the provider fails at completing the game before it succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failing {
    Yes,
    No,
}

pub(super) fn whole(life: &mut Life<'_>, failing: Failing) {
    let table = Table::new(life, true);
    table.fill(life);
    table.start(life);
    if failing == Failing::Yes {
        table.fail(life, true);
    }
    let ending = Ending::of(&table, life, table.shape != Shape::Sparse);
    let settled = settle::settle(&table, table.stake.unwrap_or(0), &ending, life);
    life.wait(600_000);
    let zero = life.dice.chance(30);
    let mut rewards = Vec::new();
    for side in &table.sides {
        for player in &side.players {
            match settled.figures.get(player) {
                Some(amount) => rewards.push((player.clone(), table.cash(life, *amount))),
                // Some deliveries write nothing for who lost, some write it out.
                None if zero && ending != Ending::Tie => {
                    rewards.push((player.clone(), table.cash(life, 0)));
                }
                None => {}
            }
        }
    }
    let (status, winner) = match &ending {
        Ending::Won(side) => ("CLOSED", table.sides.get(*side).map(|side| side.id.as_str())),
        Ending::Shared(_) => ("CLOSED", None),
        Ending::Tie => ("CLOSED_TIE", None),
    };
    table.send(
        life,
        Moment {
            event: "RecreationalGameCompleted",
            status,
            seated: usize::MAX,
            winner,
            rewards,
            ..Moment::default()
        },
    );
    for (player, amount) in settled.figures {
        if amount > 0 {
            let effect = GrantEffect { state: "recorded".to_owned(), amount: Some(amount) };
            life.script.effects.grants.insert(grant_key(&table.id, &player), effect);
        }
    }
    for (player, (wins, losses, ties)) in settled.records {
        life.script.effects.record(&player, wins, losses, ties);
    }
    life.script.effects.matches.insert(table.id, settled.effect);
}

/// Nobody stakes anything; the studio gives the winners something.
pub(super) fn with_studio_reward(life: &mut Life<'_>) {
    let mut table = Table::new(life, false);
    table.stake = life.dice.chance(50).then_some(0);
    table.fill(life);
    table.start(life);
    life.wait(600_000);
    let side = usize::from(life.dice.chance(50)) % table.sides.len();
    let text = table.shape == Shape::Nested || life.dice.chance(20);
    let metadata = if text { Metadata::Text(PRIZE_METADATA) } else { Metadata::Object(PRIZE_METADATA) };
    let reward =
        Reward { kind: "TENANT_REWARD", value: "free-drink".to_owned(), metadata: Some(metadata) };
    let winners = table.sides.get(side).map(|side| side.players.clone()).unwrap_or_default();
    table.send(
        life,
        Moment {
            event: "RecreationalGameCompleted",
            status: "CLOSED",
            seated: usize::MAX,
            winner: table.sides.get(side).map(|side| side.id.as_str()),
            rewards: winners.iter().map(|player| (player.clone(), reward.clone())).collect(),
            ..Moment::default()
        },
    );
    for player in table.players() {
        let won = u64::from(winners.contains(player));
        life.script.effects.record(player, won, 1 - won, 0);
        if won == 1 {
            let effect = GrantEffect { state: "granted".to_owned(), amount: None };
            life.script.effects.grants.insert(grant_key(&table.id, player), effect);
        }
    }
    let effect = MatchEffect {
        settlement: Some("payout".to_owned()),
        amounts: Some(MatchAmounts::default()),
        ..effect(MatchStatus::Closed)
    };
    life.script.effects.matches.insert(table.id, effect);
}

/// Called off, sooner or later. Whether anything was ever held depends on the order of the deliveries; that
/// nobody has lost anything does not.
pub(super) fn canceled(life: &mut Life<'_>) {
    let table = Table::new(life, true);
    let early = life.dice.chance(40);
    if early {
        table.create(life);
    } else {
        table.fill(life);
        if life.dice.chance(50) {
            table.start(life);
        }
    }
    life.wait(120_000);
    let (word, status) = reason(&mut life.dice, early);
    let seated = if early { 1 } else { usize::MAX };
    let moment = Moment { event: "RecreationalGameCanceled", status: word, seated, ..Moment::default() };
    table.send(life, moment);
    // Without a status only the event's name says that it is off.
    let status = if table.shape == Shape::Sparse { MatchStatus::CanceledOther } else { status };
    let effect = MatchEffect { settlement: Some("refund".to_owned()), ..effect(status) };
    life.script.effects.matches.insert(table.id, effect);
}

/// Under way: the stakes are held, and nothing more is known yet.
pub(super) fn running(life: &mut Life<'_>) {
    let table = Table::new(life, true);
    table.fill(life);
    let status = table.start(life);
    expect_held(life, table, status);
}

/// Played, but the provider cannot complete it and has given up: the stakes stay held for a person.
pub(super) fn given_up(life: &mut Life<'_>) {
    let table = Table::new(life, true);
    table.fill(life);
    let status = table.start(life);
    table.fail(life, false);
    life.script.effects.anomalies.insert("provider_failure".to_owned(), 1);
    expect_held(life, table, status);
}

fn expect_held(life: &mut Life<'_>, table: Table, status: MatchStatus) {
    let mut effect = effect(status);
    let mut pot = 0_i64;
    for player in table.players() {
        let stake = table.stake.unwrap_or(0);
        effect.move_money(player, stake.saturating_neg());
        pot = pot.saturating_add(stake);
    }
    effect.amounts = Some(MatchAmounts { pot, ..MatchAmounts::default() });
    life.script.effects.matches.insert(table.id, effect);
}

/// A status that is none of the documented ones.
pub(super) fn unknown_status(life: &mut Life<'_>) {
    let table = Table { shape: Shape::Flat, ..Table::new(life, true) };
    let body = table.body(Moment { status: "PAUSED", ..created() }, life);
    life.script.send_odd(Method::Post, 0, body, UnrecognizedKind::UnknownStatus);
}

/// A stake that is no amount: no money may move by it.
pub(super) fn no_amount(life: &mut Life<'_>) {
    let table = Table { shape: Shape::Flat, stake: None, ..Table::new(life, true) };
    let body = String::from_utf8(table.body(created(), life)).unwrap_or_default();
    let body = body.replace(r#""buyInAmount":null"#, r#""buyInAmount":"ten""#);
    life.script.send_odd(Method::Post, 0, body, UnrecognizedKind::Malformed);
}

pub(super) fn garbage(life: &mut Life<'_>) {
    let table = Table::new(life, true);
    let body = cut_short(table.body(created(), life));
    life.script.send_odd(Method::Post, 0, body, UnrecognizedKind::Malformed);
}

fn effect(status: MatchStatus) -> MatchEffect {
    MatchEffect {
        kind: MatchKind::Recreational.as_str().to_owned(),
        status: status.as_str().to_owned(),
        ..MatchEffect::default()
    }
}

/// A game gives a player at most one reward, which needs no name.
pub(super) fn grant_key(match_id: &str, player: &str) -> GrantKey {
    GrantKey {
        kind: "match".to_owned(),
        contest: match_id.to_owned(),
        player: player.to_owned(),
        reference: "match".to_owned(),
    }
}

/// Why a game is called off, as the provider says it and as we do.
fn reason(dice: &mut Dice, early: bool) -> (&'static str, MatchStatus) {
    let known = if early {
        [
            ("CANCELED_NOT_ACCEPTED", MatchStatus::CanceledNotAccepted),
            ("CANCELED_BY_OWNER", MatchStatus::CanceledByOwner),
            ("CANCELED_TIMEOUT", MatchStatus::CanceledTimeout),
            ("CANCELED_THROUGH_API", MatchStatus::CanceledThroughApi),
        ]
    } else {
        [
            ("CANCELED_THROUGH_API", MatchStatus::CanceledThroughApi),
            ("CANCELED_DISPUTE", MatchStatus::CanceledOther),
            ("CANCELED_GAME_CANCELED", MatchStatus::CanceledOther),
            ("CANCELED_PLAYER_INACTIVE", MatchStatus::CanceledOther),
        ]
    };
    dice.pick(&known).copied().unwrap_or(("CANCELED_BY_OWNER", MatchStatus::CanceledByOwner))
}
