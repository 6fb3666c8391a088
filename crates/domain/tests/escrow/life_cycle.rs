//! `life_cycle.txt`: one line a step, with what must come of it at its end.
//!
//! `UPDATE_GOLDEN=1` writes what came out; read the diff beside the rules before committing it.

use std::collections::BTreeMap;
use std::fmt::Write;

use matchpurse_domain::escrow::{Account, AnomalyKind, MatchState, Outcome, Transfer, TransferKind};
use matchpurse_domain::event;
use matchpurse_domain::ids::PlayerId;
use matchpurse_domain::money::Currency;
use matchpurse_domain::source::{Custody, OnDeadline, SourcePolicy, TiePolicy};

use crate::book::Book;
use crate::language::{minor_units, policy, snapshot_in};

const TABLE: &str = include_str!("life_cycle.txt");
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/escrow/life_cycle.txt");

#[test]
fn every_step_has_the_outcome_that_the_table_says() {
    let found = played(TABLE);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(PATH, &found).unwrap();
    } else if found != TABLE {
        let how = "UPDATE_GOLDEN=1 writes what was found";
        panic!("the table says otherwise (-) than what comes out (+); {how}\n{}", differences(TABLE, &found));
    }
}

/// The table with the outcomes that come out.
fn played(table: &str) -> String {
    let mut rules = Rules::parse("");
    let mut text = String::new();
    for block in table.split("\n\n") {
        let mut match_ = rules.open();
        let width = block.lines().filter_map(step).map(|(step, _)| step.chars().count()).max().unwrap_or(0);
        for line in block.lines() {
            if let Some(words) = line.strip_prefix("rules") {
                rules = Rules::parse(words);
                match_ = rules.open();
            }
            match step(line) {
                Some((step, _)) => {
                    let came = rules.play(&mut match_, step);
                    writeln!(text, "{step:width$} => {came}").unwrap();
                }
                None => writeln!(text, "{line}").unwrap(),
            }
        }
        text.push('\n');
    }
    text.trim_end().to_owned() + "\n"
}

/// A step and what is expected of it; none when the line is none.
fn step(line: &str) -> Option<(&str, &str)> {
    if line.is_empty() || line.starts_with('#') || line.starts_with("rules") {
        return None;
    }
    let (step, outcome) = line.split_once("=>").unwrap_or((line, ""));
    Some((step.trim_end(), outcome.trim()))
}

/// Every line, those that differ in both forms.
fn differences(expected: &str, found: &str) -> String {
    let (expected, found): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), found.lines().collect());
    let mut text = String::new();
    for number in 0..expected.len().max(found.len()) {
        match (expected.get(number), found.get(number)) {
            (Some(expected), Some(found)) if expected == found => writeln!(text, "  {expected}").unwrap(),
            (expected, found) => {
                for (sign, line) in [('-', expected), ('+', found)] {
                    line.iter().for_each(|line| writeln!(text, "{sign} {line}").unwrap());
                }
            }
        }
    }
    text
}

/// What a `rules` line sets for the matches below it.
struct Rules {
    policy: SourcePolicy,
    funds: BTreeMap<PlayerId, i64>,
    kind: String,
}

impl Rules {
    fn parse(words: &str) -> Self {
        let mut rules = Self { policy: policy(), funds: BTreeMap::new(), kind: "recreational".to_owned() };
        for word in words.split_whitespace() {
            let (name, value) = word.split_once('=').unwrap();
            match name {
                "custody" => rules.policy.custody = Custody::parse(value).unwrap(),
                "fee_bps" => rules.policy.fee_bps = value.parse().unwrap(),
                "tie" => rules.policy.tie_policy = TiePolicy::parse(value).unwrap(),
                "currency" => rules.policy.currency = Currency::new(value, None).unwrap(),
                "deadline" => {
                    let all = [OnDeadline::Refund, OnDeadline::Arbitrate];
                    rules.policy.on_deadline = all.into_iter().find(|rule| rule.as_str() == value).unwrap();
                }
                "kind" => rules.kind = value.to_owned(),
                "funds" => rules.funds = value.split(',').map(|fund| rules.fund(fund)).collect(),
                other => panic!("no rule: {other}"),
            }
        }
        rules
    }

    /// `a:1000`
    fn fund(&self, word: &str) -> (PlayerId, i64) {
        let (player, amount) = word.split_once(':').unwrap();
        (player.into(), minor_units(amount, &self.policy.currency))
    }

    fn open(&self) -> Book {
        Book::new(&self.policy, &self.funds)
    }

    /// Plays one step; one that begins with `try` on a copy of the match.
    fn play(&self, book: &mut Book, step: &str) -> String {
        if let Some(step) = step.trim_start().strip_prefix("try ") {
            return self.play(&mut book.clone(), step);
        }
        if let Some(funds) = step.strip_prefix("DEPOSIT ") {
            let (player, amount) = self.fund(funds);
            book.deposit(player.clone(), amount);
            return format!("{player} has {}", book.funds().0[&player]);
        }
        let before = book.state.clone();
        let outcome = if step == "DEADLINE" {
            book.expire()
        } else {
            let (step, signed) = step.strip_suffix(" unsigned").map_or((step, true), |step| (step, false));
            let line = format!("{step} kind={}", self.kind);
            book.say(&snapshot_in(&line, &self.policy.currency), signed)
        };
        shown(before.as_ref(), &outcome)
    }
}

/// The status; then, only where there is any of it: what moved, what is left in escrow, how it ended for the
/// players, attributes that were filled, that it came late, anomalies, and what the studio is told.
fn shown(before: Option<&MatchState>, outcome: &Outcome) -> String {
    let Outcome { state, transfers, anomalies, notices, late } = outcome;
    let mut parts = vec![state.status.as_str().to_owned()];
    if ![state.status.as_str(), ""].contains(&state.provider_status.as_str()) {
        parts[0].push_str(&format!(" ({})", state.provider_status));
    }
    parts.extend(movements(transfers));
    if state.escrowed() > 0 {
        parts.push(format!("escrow {}", state.escrowed()));
    }
    if before.is_none_or(|before| before.settlement.is_none()) && state.settlement.is_some() {
        parts.extend(results(state));
    }
    let attributes = |state: &MatchState| {
        [
            ("game", state.game_id.clone()),
            ("by", state.created_by.as_ref().map(ToString::to_string)),
            ("format", state.format.map(|format| format.as_str().to_owned())),
        ]
    };
    let known = before.map(attributes).unwrap_or_default();
    for ((name, now), (_, before)) in attributes(state).into_iter().zip(known) {
        // A snapshot in this language is of group_vs_group unless it says otherwise.
        let default = name == "format" && now.as_deref() == Some("group_vs_group");
        if let Some(now) = now.filter(|now| before.as_ref() != Some(now) && !default) {
            parts.push(format!("{name}={now}"));
        }
    }
    if *late {
        parts.push("late".to_owned());
    }
    for anomaly in anomalies {
        // An outcome's discriminator is a digest, which says nothing to the eye.
        let digest = anomaly.kind == AnomalyKind::OutcomeConflict;
        let about = if digest { "" } else { anomaly.discriminator.split(':').next().unwrap_or_default() };
        parts.push(format!("!{} {about}", anomaly.kind.as_str()).trim_end().to_owned());
    }
    let told: Vec<&str> = notices.iter().map(|notice| notice.kind.trim_start_matches("match.")).collect();
    if !told.is_empty() {
        parts.push(format!("told {}", told.join(",")));
    }
    parts.join("; ")
}

/// `hold a,b 1000`: each of them.
fn movements(transfers: &[Transfer]) -> Vec<String> {
    let word = |kind| match kind {
        TransferKind::Hold => "hold",
        TransferKind::Payout => "pay",
        TransferKind::Refund => "back",
        TransferKind::Fee => "fee",
        TransferKind::TopUp => "top-up",
        TransferKind::Reversal => "reversal",
    };
    let mut parts: Vec<(&str, Vec<String>, i64)> = Vec::new();
    for transfer in transfers {
        let subject = match &transfer.subject {
            Account::Player(player) => player.to_string(),
            other => format!("{other:?}").to_lowercase(),
        };
        match parts.last_mut() {
            Some((kind, subjects, amount)) if *kind == word(transfer.kind) && *amount == transfer.amount => {
                subjects.push(subject);
            }
            _ => parts.push((word(transfer.kind), vec![subject], transfer.amount)),
        }
    }
    parts
        .into_iter()
        .map(|(kind, subjects, amount)| format!("{kind} {} {amount}", subjects.join(",")))
        .collect()
}

/// `won a`, `lost b`
fn results(state: &MatchState) -> Vec<String> {
    let outcomes =
        [("won", event::Outcome::Win), ("lost", event::Outcome::Loss), ("tied", event::Outcome::Tie)];
    let mut parts = Vec::new();
    for (word, outcome) in outcomes {
        let seats = state.seats.iter().filter(|(_, seat)| seat.outcome == Some(outcome));
        let players: Vec<&str> = seats.map(|(player, _)| player.as_str()).collect();
        if !players.is_empty() {
            parts.push(format!("{word} {}", players.join(",")));
        }
    }
    parts
}
