use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use matchpurse_providers::play::{Effects, GrantEffect, RecordEffect, SourceEffects, StatsEffect};
use serde::Serialize;

use crate::expected::Expected;

/// States that a given reward has on its way to the studio.
const GIVEN: [&str; 3] = ["granted", "delivering", "fulfilled"];

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Difference {
    /// The source.
    pub source: String,
    /// The thing: `match 0d9f… of player 3b1f…: net`.
    pub what: String,
    /// What must be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, what, expected, found } = self;
        write!(f, "{source}: {what}: expected {expected}, found {found}")
    }
}

/// Compares what must be there with what is there; nothing means that they agree. Sources that are not
/// expected at all are not looked at.
pub fn audit(expected: &Effects, observed: &Effects) -> Vec<Difference> {
    compare(&Expected { effects: expected.clone(), ..Expected::default() }, observed)
}

pub(crate) fn compare(expected: &Expected, observed: &Effects) -> Vec<Difference> {
    let nothing = SourceEffects::default();
    let all_decided = BTreeSet::new();
    let mut differences = Vec::new();
    for (source, effects) in &expected.effects {
        let undecided = expected.undecided.get(source).unwrap_or(&all_decided);
        let asked = expected.asked.contains(source);
        let mut audit = Audit { source, undecided, asked, differences: &mut differences };
        audit.source(effects, observed.get(source).unwrap_or(&nothing));
    }
    differences
}

/// The ids of everything that the effects are about.
pub(crate) fn ids(effects: &SourceEffects) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    ids.extend(effects.matches.keys().cloned());
    ids.extend(effects.grants.keys().map(|key| key.contest.clone()));
    ids.extend(effects.records.keys().cloned());
    ids.extend(effects.stats.keys().cloned());
    ids.extend(effects.lines.iter().flatten().map(|(id, _)| id.clone()));
    ids.extend(effects.kicks.iter().map(|key| key.match_id.clone()));
    ids.extend(effects.offers.keys().cloned());
    ids.extend(effects.standings.keys().cloned());
    ids.extend(effects.conversions.keys().cloned());
    ids
}

/// The comparison of one source.
struct Audit<'a> {
    source: &'a str,
    undecided: &'a BTreeSet<String>,
    /// Its provider can be asked.
    asked: bool,
    differences: &'a mut Vec<Difference>,
}

impl Audit<'_> {
    fn source(&mut self, expected: &SourceEffects, found: &SourceEffects) {
        self.matches(expected, found);
        self.grants(expected, found);
        self.players(expected, found);
        let kicks = |effects: &SourceEffects| -> BTreeMap<_, _> {
            effects.kicks.iter().map(|key| (key.clone(), "voted out")).collect()
        };
        self.maps(&kicks(expected), &kicks(found), |key| {
            (key.match_id.clone(), format!("player {} in match {}", key.player, key.match_id))
        });
        let name = |id: &String| (id.clone(), format!("offer {id}"));
        if self.asked {
            // The list has a time of its own, and says nothing of an offer that has gone before anybody knew it.
            self.maps(&open(expected), &open(found), name);
        } else {
            self.maps(&expected.offers, &found.offers, name);
        }
        self.maps(&expected.conversions, &found.conversions, |id| (id.clone(), format!("conversion {id}")));
        self.counts(expected, found);
    }

    fn counts(&mut self, expected: &SourceEffects, found: &SourceEffects) {
        // What is undecided may have opened an anomaly, but it changes nothing about what was sent.
        if self.undecided.is_empty() {
            self.maps(&not_zero(&expected.anomalies), &not_zero(&found.anomalies), |kind| {
                (String::new(), format!("anomalies of kind {kind}"))
            });
        }
        self.maps(&not_zero(&expected.parked), &not_zero(&found.parked), |kind| {
            (String::new(), format!("parked deliveries, {kind}"))
        });
        // What is fetched and also delivered may differ in a byte, and is another event then.
        if !self.asked || found.events < expected.events {
            self.equal("distinct events", &expected.events, &found.events);
        }
        if let (Some(expected), Some(found)) = (expected.refused, found.refused) {
            self.equal("refused deliveries", &expected, &found);
        }
    }

    fn matches(&mut self, expected: &SourceEffects, found: &SourceEffects) {
        for id in both(&expected.matches, &found.matches) {
            if self.undecided.contains(id) {
                continue;
            }
            let what = format!("match {id}");
            let (Some(one), Some(two)) = (expected.matches.get(id), found.matches.get(id)) else {
                self.one_sided(&what, expected.matches.get(id), found.matches.get(id));
                continue;
            };
            self.equal(&format!("{what}: kind"), &one.kind, &two.kind);
            self.equal(&format!("{what}: status"), &one.status, &two.status);
            self.equal(&format!("{what}: settlement"), &one.settlement, &two.settlement);
            for player in both(&one.net, &two.net) {
                let net = |nets: &BTreeMap<String, i64>| nets.get(player).copied().unwrap_or(0);
                self.equal(&format!("{what}: net of player {player}"), &net(&one.net), &net(&two.net));
            }
            if let Some(amounts) = one.amounts {
                self.equal(&format!("{what}: amounts"), &Some(amounts), &two.amounts);
            }
        }
    }

    fn grants(&mut self, expected: &SourceEffects, found: &SourceEffects) {
        for key in both(&expected.grants, &found.grants) {
            if self.undecided.contains(&key.contest) {
                continue;
            }
            let what = format!(
                "reward {:?} of player {} for {} {}",
                key.reference, key.player, key.kind, key.contest
            );
            match (expected.grants.get(key), found.grants.get(key)) {
                (Some(one), Some(two)) if agree(one, two) => {}
                (one, two) => self.one_sided(&what, one, two),
            }
        }
    }

    fn players(&mut self, expected: &SourceEffects, found: &SourceEffects) {
        let played = |records: &BTreeMap<String, RecordEffect>| -> BTreeMap<String, RecordEffect> {
            let some = records.iter().filter(|(_, record)| **record != RecordEffect::default());
            some.map(|(player, record)| (player.clone(), *record)).collect()
        };
        self.maps(&played(&expected.records), &played(&found.records), |player| {
            (player.clone(), format!("record of player {player}"))
        });
        let counted = |stats: &BTreeMap<String, StatsEffect>| -> BTreeMap<String, StatsEffect> {
            let some = stats.iter().filter(|(_, stats)| stats.matches > 0);
            some.map(|(player, stats)| {
                let counters = stats.counters.iter().filter(|(_, count)| **count != 0);
                let counters = counters.map(|(name, count)| (name.clone(), *count)).collect();
                (player.clone(), StatsEffect { counters, ..stats.clone() })
            })
            .collect()
        };
        self.maps(&counted(&expected.stats), &counted(&found.stats), |player| {
            (player.clone(), format!("totals of player {player}"))
        });
        if let (Some(expected), Some(found)) = (&expected.lines, &found.lines) {
            self.maps(expected, found, |id| (id.clone(), format!("lines of match {id}")));
        }
        // Who is in good standing and was never banned need not be known.
        let mut standings = found.standings.clone();
        standings.retain(|player, standing| standing.banned || expected.standings.contains_key(player));
        self.maps(&expected.standings, &standings, |player| {
            (player.clone(), format!("standing of player {player}"))
        });
    }

    /// Compares two maps; `name` gives a key's id and what it is called.
    fn maps<K: Ord + Clone, V: PartialEq + fmt::Debug>(
        &mut self,
        expected: &BTreeMap<K, V>,
        found: &BTreeMap<K, V>,
        name: impl Fn(&K) -> (String, String),
    ) {
        for key in both(expected, found) {
            let (id, what) = name(key);
            let (one, two) = (expected.get(key), found.get(key));
            if one != two && !self.undecided.contains(&id) {
                self.one_sided(&what, one, two);
            }
        }
    }

    fn equal<V: PartialEq + fmt::Debug>(&mut self, what: &str, expected: &V, found: &V) {
        if expected != found {
            self.one_sided(what, Some(expected), Some(found));
        }
    }

    fn one_sided<V: fmt::Debug>(&mut self, what: &str, expected: Option<&V>, found: Option<&V>) {
        let show =
            |value: Option<&V>| value.map_or_else(|| "nothing".to_owned(), |value| format!("{value:?}"));
        self.differences.push(Difference {
            source: self.source.to_owned(),
            what: what.to_owned(),
            expected: show(expected),
            found: show(found),
        });
    }
}

/// The offers that are there.
fn open(effects: &SourceEffects) -> BTreeMap<String, bool> {
    let open = effects.offers.iter().filter(|(_, offer)| offer.open);
    open.map(|(id, _)| (id.clone(), true)).collect()
}

/// A given reward may be further on its way.
fn agree(expected: &GrantEffect, found: &GrantEffect) -> bool {
    let given = expected.state == "granted" && GIVEN.contains(&found.state.as_str());
    (given || expected.state == found.state) && expected.amount == found.amount
}

/// The keys of both maps.
fn both<'m, K: Ord, V>(one: &'m BTreeMap<K, V>, two: &'m BTreeMap<K, V>) -> BTreeSet<&'m K> {
    one.keys().chain(two.keys()).collect()
}

fn not_zero(counts: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    counts.iter().filter(|(_, count)| **count > 0).map(|(kind, count)| (kind.clone(), *count)).collect()
}
