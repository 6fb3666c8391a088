//! A match's life as text.
//!
//! A line is a snapshot: `CLOSED buy=1000 win=g1 g1:a=1800 g2:b`. A player is `group:name`, `=N` is a cash
//! reward and `*` one of the studio. Behind it stands what came of it.

use std::fmt::Write;

use matchpurse_domain::escrow::{Account, Funds, MatchState, Outcome, Transfer, Trust, apply};
use matchpurse_domain::event::{
    Group, MatchFormat, MatchKind, MatchSnapshot, MatchStatus, Participant, Reward, RewardKind,
};
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::money::{Currency, Money};
use matchpurse_domain::source::{Custody, SourcePolicy, TiePolicy};
use matchpurse_domain::time::Timestamp;

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
            snapshot.buy_in = Some(usd(amount));
        } else if let Some(groups) = word.strip_prefix("win=") {
            snapshot.winner_group_ids = groups.split(',').map(str::to_owned).collect();
        } else {
            let (group, player) = word.split_once(':').unwrap();
            seat(&mut snapshot, group, player);
        }
    }
    snapshot
}

fn usd(amount: &str) -> Money {
    Money::new(amount.parse().unwrap(), Currency::new("USD", None).unwrap().code)
}

fn seat(snapshot: &mut MatchSnapshot, group: &str, player: &str) {
    let reward = |kind, amount| Reward { kind, amount, value: None, reference: None, metadata: None };
    let (name, reward) = match player.split_once('=') {
        Some((name, amount)) => (name, Some(reward(RewardKind::Cash, Some(usd(amount))))),
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

/// Plays the lines in their order and writes behind each what came of it.
pub(crate) fn play(policy: &SourcePolicy, funds: &[(&str, i64)], trust: bool, script: &str) -> String {
    let mut funds = Funds(funds.iter().map(|(player, amount)| (PlayerId::from(*player), *amount)).collect());
    let mut state: Option<MatchState> = None;
    let mut text = String::new();
    for (index, line) in script.lines().map(str::trim).filter(|line| !line.is_empty()).enumerate() {
        let at = Timestamp::from_seconds(i64::try_from(index).unwrap());
        let trust = Trust { body_authenticated: trust };
        let outcome = apply(state.take(), &snapshot(line), policy, &mut funds, trust, at);
        writeln!(text, "{line}\n    {}", shown(&outcome)).unwrap();
        state = Some(outcome.state);
    }
    text
}

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
