//! What is in the database, for people.

use std::collections::BTreeMap;

use anyhow::Result;
use matchpurse_settings::Settings;
use matchpurse_store::{Store, survey};
use serde_json::{Value, json};

use crate::money::{Coins, amount};
use crate::out::Out;

/// What is in the database, over all sources of the settings.
pub(crate) struct Summary {
    counted: Counted,
    transfers: i64,
    /// Minor units by currency.
    held: Vec<(String, i64)>,
    trial_balance: Vec<(String, i64)>,
}

/// Counts it.
pub(crate) async fn read(store: &Store, settings: &Settings) -> Result<Summary> {
    let client = store.client().await?;
    let mut counted = Counted::default();
    for source in settings.sources.keys() {
        for row in survey::matches(&client, source).await? {
            let end = row.settlement.unwrap_or_else(|| "running".to_owned());
            counted.add("matches", &end, 1);
        }
        for row in survey::grants(&client, source).await? {
            counted.add("rewards", &row.state, 1);
        }
        for row in survey::totals(&client, source).await? {
            counted.add("statistics", "players with totals", 1);
            counted.add("statistics", "players' finished matches", row.counts.first().copied().unwrap_or(0));
        }
        for (_, open, _) in survey::offers(&client, source).await? {
            counted.add("offers", if open { "open" } else { "removed" }, 1);
        }
        for (_, banned, _) in survey::standings(&client, source).await? {
            counted.add("players", if banned { "banned" } else { "unbanned" }, 1);
        }
        for row in survey::conversions(&client, source).await? {
            counted.add("conversions", &format!("answered {}", row.answer), 1);
        }
        counted.add("players", "kicked", i64::try_from(survey::kicks(&client, source).await?.len())?);
        counted.extend("archived", survey::events(&client, source).await?);
        counted.extend("parked", survey::parked(&client, source).await?);
        counted.extend("anomalies", survey::anomalies(&client, source).await?);
        counted.extend("notices", survey::notices(&client, source).await?);
    }
    let (transfers, held) = survey::ledger(&client).await?;
    let trial_balance = survey::trial_balance(&client).await?;
    Ok(Summary { counted, transfers, held, trial_balance })
}

impl Summary {
    /// For people.
    pub(crate) fn print(&self, coins: Coins<'_>, out: Out) {
        self.counted.print(out);
        let amounts = |amounts: &[(String, i64)]| -> String {
            let shown: Vec<String> =
                amounts.iter().map(|(code, amount)| coins.shown(*amount, code)).collect();
            if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") }
        };
        let held = amounts(&self.held);
        out.line(format_args!("  {:12}{:>7} transfers; in escrow now: {held}", "ledger", self.transfers));
        out.line(format_args!("  {:12}trial balance {}", "", amounts(&self.trial_balance)));
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let amounts = |amounts: &[(String, i64)]| {
            amounts.iter().map(|(code, minor)| amount(*minor, code)).collect::<Value>()
        };
        let counted: BTreeMap<&str, &BTreeMap<String, i64>> =
            self.counted.0.iter().map(|(what, kinds)| (*what, kinds)).collect();
        json!({ "counted": counted, "transfers": self.transfers, "held": amounts(&self.held),
                "trial_balance": amounts(&self.trial_balance) })
    }
}

/// Counts by what, and by which kind of it.
#[derive(Default)]
struct Counted(Vec<(&'static str, BTreeMap<String, i64>)>);

impl Counted {
    fn add(&mut self, what: &'static str, kind: &str, count: i64) {
        let at = self.0.iter().position(|(known, _)| *known == what).unwrap_or_else(|| {
            self.0.push((what, BTreeMap::new()));
            self.0.len() - 1
        });
        if let (Some((_, kinds)), true) = (self.0.get_mut(at), count > 0) {
            let sum = kinds.entry(kind.replace('_', " ")).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    fn extend(&mut self, what: &'static str, counts: Vec<(String, i64)>) {
        for (kind, count) in counts {
            self.add(what, &kind, count);
        }
    }

    fn print(&self, out: Out) {
        const ORDER: [&str; 11] = [
            "archived",
            "matches",
            "rewards",
            "conversions",
            "statistics",
            "offers",
            "players",
            "notices",
            "anomalies",
            "parked",
            "",
        ];
        for what in ORDER {
            let Some((_, kinds)) = self.0.iter().find(|(known, kinds)| *known == what && !kinds.is_empty())
            else {
                continue;
            };
            let total: i64 = kinds.values().sum();
            let by_kind: Vec<String> = kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            if what == "statistics" {
                out.line(format_args!("  {what:12}{:>7} {}", "", by_kind.join(", ")));
            } else {
                out.line(format_args!("  {what:12}{total:>7}: {}", by_kind.join(", ")));
            }
        }
    }
}
