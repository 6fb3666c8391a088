//! What is in the database, for people.

use std::collections::BTreeMap;

use anyhow::Result;
use matchpurse_domain::money::format_major;
use matchpurse_settings::Settings;
use matchpurse_store::{Store, survey};

/// Prints the effects by kind, over all sources of the settings.
pub(crate) async fn print(store: &Store, settings: &Settings) -> Result<()> {
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
    println!("\nWhat is in the database");
    counted.print();
    let exponent = |currency: &str| {
        let mut policies = settings.sources.values().map(|source| &source.policy().currency);
        policies.find(|known| known.code.as_str() == currency).map_or(0, |known| known.exponent)
    };
    let (transfers, held) = survey::ledger(&client).await?;
    let amounts = |amounts: Vec<(String, i64)>| -> String {
        let shown =
            amounts.iter().map(|(code, amount)| format!("{} {code}", format_major(*amount, exponent(code))));
        let shown: Vec<String> = shown.collect();
        if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") }
    };
    println!("  {:12}{transfers:>7} transfers; in escrow now: {}", "ledger", amounts(held));
    println!("  {:12}trial balance {}", "", amounts(survey::trial_balance(&client).await?));
    Ok(())
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

    fn print(&self) {
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
                println!("  {what:12}{:>7} {}", "", by_kind.join(", "));
            } else {
                println!("  {what:12}{total:>7}: {}", by_kind.join(", "));
            }
        }
    }
}
