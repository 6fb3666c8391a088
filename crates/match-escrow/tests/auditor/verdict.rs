//! The database against the auditor.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use matchpurse_domain::event::{Event, Payload};

use crate::facts::Fact;
use crate::ledger::{Ledger, Named};
use crate::model::{self, Books, Evidence, Rules};

/// What came of it.
#[derive(Default)]
pub(crate) struct Verdict {
    /// What is not as the auditor says.
    pub(crate) wrong: Vec<String>,
    /// How many matches' books could be only what they are, by the events and what the transfers name.
    pub(crate) certain: usize,
}

pub(crate) fn named(rules: &Rules, what: &str) -> Named {
    (rules.source.to_owned(), what.to_owned())
}

/// Players whose deposit does not cover all that they could have to stake.
pub(crate) fn scarce(rules: &[Rules], events: &[Event]) -> BTreeSet<Named> {
    let mut stakes: BTreeMap<Named, BTreeMap<&str, i64>> = BTreeMap::new();
    for event in events {
        let Payload::MatchSnapshot(snapshot) = &event.payload else { continue };
        for player in snapshot.players() {
            let of_player = stakes.entry((event.source.to_string(), player.to_string())).or_default();
            let stake = of_player.entry(&snapshot.match_id).or_default();
            *stake = (*stake).max(snapshot.buy_in.as_ref().map_or(0, |m| m.minor_units));
        }
    }
    let mut scarce = BTreeSet::new();
    for rules in rules {
        for (player, deposit) in &rules.deposits {
            let all: i64 = stakes.get(&named(rules, player)).map_or(0, |of| of.values().sum());
            if *deposit < all {
                scarce.insert(named(rules, player));
            }
        }
    }
    scarce
}

/// Every match against what the auditor allows, and every balance against the sum of the matches.
pub(crate) fn compare(
    rules: &[Rules],
    scarce: &BTreeSet<Named>,
    events: &[Event],
    found: &Ledger,
) -> Verdict {
    let mut facts: BTreeMap<Named, Vec<Fact>> = BTreeMap::new();
    let mut failures: BTreeMap<Named, BTreeSet<&str>> = BTreeMap::new();
    let mut told = BTreeSet::new();
    for event in events.iter().filter(|event| told.insert(event.id)) {
        let name = |id: &str| (event.source.to_string(), id.to_owned());
        match &event.payload {
            Payload::MatchSnapshot(snapshot) => facts.entry(name(&snapshot.match_id)).or_default(),
            Payload::ContestOutcome(contest) => facts.entry(name(&contest.contest_id)).or_default(),
            Payload::ProviderFailure(failure) => {
                if failure.will_retry == Some(false) {
                    let requests = failures.entry(name(&failure.entity_id)).or_default();
                    requests.insert(failure.request_id.as_deref().unwrap_or_default());
                }
                continue;
            }
            _ => continue,
        }
        .extend(Fact::of(event));
    }
    let Verdict { mut wrong, mut certain } = Verdict::default();
    let mut balances: BTreeMap<Named, i64> = BTreeMap::new();
    for rules in rules {
        let short: BTreeSet<String> = scarce
            .iter()
            .filter(|(source, _)| source == rules.source)
            .map(|(_, player)| player.clone())
            .collect();
        let mut add = |what: &str, amount| *balances.entry(named(rules, what)).or_default() += amount;
        for (player, deposit) in &rules.deposits {
            add(player, *deposit);
            add("external", -deposit);
        }
        for (name, facts) in facts.iter().filter(|((source, _), _)| source == rules.source) {
            let Some((books, evidence)) = found.matches.get(name) else {
                wrong.push(format!("match {name:?} is not there"));
                continue;
            };
            let mut allowed = model::allowed(rules, &short, &name.1, facts, evidence);
            for books in &mut allowed {
                books.anomalies.extend(failures.get(name).map(|r| ("provider_failure".to_owned(), r.len())));
            }
            certain += usize::from(allowed.len() == 1);
            if !allowed.contains(books) {
                wrong.push(difference(name, books, evidence, &allowed, facts));
            }
            books.nets.iter().for_each(|(player, net)| add(player, *net));
            add(if rules.studio { "house" } else { "external" }, books.fee);
            add("external", -books.top_up);
        }
    }
    for name in found.matches.keys().filter(|name| !facts.contains_key(*name)) {
        wrong.push(format!("nobody spoke of match {name:?}"));
    }
    let holders: BTreeSet<&Named> = balances.keys().chain(found.balances.keys()).collect();
    for holder in holders {
        let of = |all: &BTreeMap<Named, i64>| all.get(holder).copied().unwrap_or(0);
        if of(&balances) != of(&found.balances) {
            let (expected, has) = (of(&balances), of(&found.balances));
            wrong.push(format!("{holder:?} has {has}, but its matches make {expected}"));
        }
    }
    Verdict { wrong, certain }
}

fn difference(name: &Named, books: &Books, evidence: &Evidence, allowed: &[Books], facts: &[Fact]) -> String {
    let mut text =
        format!("match {name:?} says\n    {books:?}\n  and its transfers {evidence:?}; allowed are");
    for books in allowed.iter().take(8) {
        write!(text, "\n    {books:?}").unwrap();
    }
    for fact in facts {
        write!(text, "\n  {fact:?}").unwrap();
    }
    text
}
