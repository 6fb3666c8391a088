//! A match's life as text.
//!
//! A line is a snapshot: `CLOSED buy=1000 win=g1 g1:a=1800 g2:b`. A player is `group:name`, `=N` is a cash
//! reward and `*` one of the studio. Amounts are minor units, or in quotes as a provider writes them: `"18.00"`.
//! `game=`, `by=`, `format=` and `word=` are the match's game, maker, format and the provider's own word for the
//! status; `kind=` is the kind of match. Behind it stands what came of it.

use matchpurse_domain::escrow::{Account, Outcome, Transfer};
use matchpurse_domain::event::{
    Group, MatchFormat, MatchKind, MatchSnapshot, MatchStatus, Participant, Reward, RewardKind,
};
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::money::{Currency, Money, parse_major};
use matchpurse_domain::source::{Custody, SourcePolicy, TiePolicy};

pub(crate) fn policy() -> SourcePolicy {
    SourcePolicy {
        source: SourceName::parse("games").unwrap(),
        provider: "p".to_owned(),
        currency: Currency::new("USD", None).unwrap(),
        custody: Custody::Provider,
        fee_bps: 1000,
        tie_policy: TiePolicy::RefundFull,
        stake: None,
        hold_deadline_s: 3600,
        on_deadline: matchpurse_domain::source::OnDeadline::Refund,
    }
}

pub(crate) fn snapshot(line: &str) -> MatchSnapshot {
    snapshot_in(line, &Currency::new("USD", None).unwrap())
}

/// The same in another currency.
pub(crate) fn snapshot_in(line: &str, currency: &Currency) -> MatchSnapshot {
    let mut words = line.split_whitespace();
    let status = words.next().unwrap();
    let mut snapshot = MatchSnapshot {
        match_id: "m1".to_owned(),
        kind: MatchKind::Recreational,
        status: MatchStatus::parse(status).unwrap(),
        provider_status: status.to_owned(),
        format: Some(MatchFormat::GroupVsGroup),
        game_id: None,
        created_by: None,
        buy_in: None,
        groups: Vec::new(),
        winner_group_ids: Vec::new(),
    };
    for word in words {
        if let Some(amount) = word.strip_prefix("buy=") {
            snapshot.buy_in = Some(money(amount, currency));
        } else if let Some(groups) = word.strip_prefix("win=") {
            snapshot.winner_group_ids = groups.split(',').map(str::to_owned).collect();
        } else if let Some(game) = word.strip_prefix("game=") {
            snapshot.game_id = Some(game.to_owned());
        } else if let Some(player) = word.strip_prefix("by=") {
            snapshot.created_by = Some(player.into());
        } else if let Some(format) = word.strip_prefix("format=") {
            snapshot.format = MatchFormat::parse(format);
        } else if let Some(kind) = word.strip_prefix("kind=") {
            snapshot.kind = MatchKind::parse(kind).unwrap();
        } else if let Some(status) = word.strip_prefix("word=") {
            status.clone_into(&mut snapshot.provider_status);
        } else {
            let (group, player) = word.split_once(':').unwrap_or_else(|| panic!("what is {word:?}?"));
            seat(&mut snapshot, group, player, currency);
        }
    }
    snapshot
}

fn money(amount: &str, currency: &Currency) -> Money {
    Money::new(minor_units(amount, currency), currency.code.clone())
}

/// `1800`, or `"18.00"` in a currency with cents.
pub(crate) fn minor_units(amount: &str, currency: &Currency) -> i64 {
    match amount.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(major) => parse_major(major, currency.exponent).unwrap().minor_units,
        None => amount.parse().unwrap(),
    }
}

fn seat(snapshot: &mut MatchSnapshot, group: &str, player: &str, currency: &Currency) {
    let reward = |kind, amount| Reward { kind, amount, value: None, reference: None, metadata: None };
    let (name, reward) = match player.split_once('=') {
        Some((name, amount)) => (name, Some(reward(RewardKind::Cash, Some(money(amount, currency))))),
        None => match player.strip_suffix('*') {
            Some(name) => (name, Some(reward(RewardKind::Studio, None))),
            None => (player, None),
        },
    };
    let participant = Participant { player_id: name.into(), reward };
    match snapshot.groups.iter_mut().find(|known| known.group_id == group) {
        Some(known) => known.players.push(participant),
        None => {
            snapshot.groups.push(Group { group_id: group.to_owned(), name: None, players: vec![participant] })
        }
    }
}

/// What came of a step.
pub(crate) fn shown(outcome: &Outcome) -> String {
    let state = &outcome.state;
    let mut parts = vec![state.status.as_str().to_owned()];
    if let Some(settlement) = state.settlement {
        parts.push(format!("settled as {}", settlement.as_str()));
    }
    if state.pot > 0 {
        parts
            .push(format!("pot {} paid {} back {} fee {}", state.pot, state.paid, state.refunded, state.fee));
    }
    if outcome.late {
        parts.push("late".to_owned());
    }
    parts.extend(
        outcome
            .transfers
            .iter()
            .map(|t| format!("{} {}>{} {}", word(t), name(&t.debit), name(&t.credit), t.amount)),
    );
    parts.extend(outcome.anomalies.iter().map(|a| format!("! {}: {}", a.kind.as_str(), a.detail)));
    parts.join(" | ")
}

fn word(transfer: &Transfer) -> String {
    format!("{:?}", transfer.kind).to_lowercase()
}

fn name(account: &Account) -> String {
    match account {
        Account::Player(player) => player.to_string(),
        Account::Escrow => "escrow".to_owned(),
        Account::House => "house".to_owned(),
        Account::External => "external".to_owned(),
    }
}
