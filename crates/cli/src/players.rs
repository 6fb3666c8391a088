//! `matchpurse players`: what is known of a player, over all ids that are the same person's; and that nothing is any more.

use anyhow::Result;
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::stats::{Form, Totals};
use matchpurse_store::Client;
use matchpurse_store::escrow::money_of;
use matchpurse_store::links::{Identity, is_known, person_of};
use matchpurse_store::stats::{
    PlayedMatch, Record, form_of, kicks_of, matches_of, record_form_of, records_of, totals_of,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::config::DatabaseArgs;
use crate::erase::{self, EraseArgs};
use crate::exit::{Ending, not_there};
use crate::figures::{figures, figures_json, form, form_json, record};
use crate::moment::{clock, printable, stamp};
use crate::money::{Coins, amount};
use crate::out::Out;

/// See what is known of a player, or erase it
#[derive(Debug, clap::Args)]
pub(crate) struct PlayersArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Show balances, records, statistics and the last matches
    Show {
        #[command(flatten)]
        database: DatabaseArgs,
        /// The source's name
        source: String,
        /// The provider's id of the player
        player: String,
        /// Only this id, not the others of the same person
        #[arg(long)]
        identity_only: bool,
        /// How many matches
        #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1000))]
        matches: u32,
    },
    /// Erase a player's personal data: what was counted stays, under a name that leads to nobody
    Erase(EraseArgs),
}

/// What is known of one identity, or of several taken together.
struct Sums {
    totals: Totals,
    form: Form,
    kicks: i64,
    /// With the source of the identity.
    records: Vec<(SourceName, Record)>,
    record_form: Form,
}

/// What a player has, in one currency: what can be used, and what is in escrow, minor units.
struct Funds {
    currency: String,
    available: i64,
    held: i64,
}

/// Shows.
pub(crate) async fn run(args: PlayersArgs, out: Out) -> Result<Ending> {
    let (database, source, player, identity_only, matches) = match args.action {
        Action::Erase(args) => return erase::run(args, out).await,
        Action::Show { database, source, player, identity_only, matches } => {
            (database, source, player, identity_only, matches)
        }
    };
    let identity = Identity { source: SourceName::parse(&source)?, player_id: PlayerId::new(player) };
    let (store, settings) = database.open().await?;
    let client = store.client().await?;
    if !is_known(&client, &identity).await? {
        return Err(not_there("the source has told of no player of this id"));
    }
    let mut person: Vec<Identity> = vec![identity.clone()];
    if !identity_only {
        person = person_of(&client, &identity).await?.into_iter().collect();
    }
    let coins = Coins(settings.as_ref());
    let mut identities = Vec::new();
    for one in &person {
        let funds = money_of(&client, &one.source, &one.player_id).await?.unwrap_or_default();
        let funds = funds.into_iter().map(|own| Funds {
            currency: own.currency.as_str().to_owned(),
            available: own.available,
            held: own.held,
        });
        let sums = sums(&client, std::slice::from_ref(one)).await?;
        identities.push((one, funds.collect::<Vec<_>>(), sums));
    }
    let together = if person.len() > 1 { Some(sums(&client, &person).await?) } else { None };
    let keys: Vec<Uuid> = person.iter().map(Identity::key).collect();
    let played = matches_of(&client, &keys, None, matches).await?;
    if out.json() {
        let identities = identities.iter().map(|(one, funds, sums)| {
            json!({ "source": one.source.as_str(), "player": one.player_id.as_str(),
                    "balances": funds.iter().map(funds_json).collect::<Vec<_>>(), "sums": sums.json() })
        });
        out.value(&json!({
            "identities": identities.collect::<Vec<_>>(),
            "together": together.as_ref().map(Sums::json),
            "matches": played.iter().map(match_json).collect::<Vec<_>>(),
        }));
        return Ok(Ending::Done);
    }
    for (one, funds, sums) in &identities {
        out.line(format_args!("player {} of {}", printable(one.player_id.as_str()), one.source));
        for own in funds {
            let amount = |minor| coins.shown(minor, &own.currency);
            out.line(format_args!("    has {}, and {} in escrow", amount(own.available), amount(own.held)));
        }
        sums.print(coins, out);
    }
    if let Some(sums) = together {
        out.line("all of them together");
        sums.print(coins, out);
    }
    for played in &played {
        out.line(line(played));
    }
    Ok(Ending::Done)
}

/// What these identities did, taken together.
async fn sums(client: &Client, person: &[Identity]) -> Result<Sums> {
    let keys: Vec<Uuid> = person.iter().map(Identity::key).collect();
    let mut totals = Totals::default();
    totals_of(client, &keys).await?.values().for_each(|own| totals.add(own));
    let records = records_of(client, &keys).await?.into_iter().filter_map(|settled| {
        let own = person.iter().find(|own| own.key() == settled.player_key)?;
        Some((own.source.clone(), settled))
    });
    let records = records.collect();
    Ok(Sums {
        totals,
        form: form_of(client, &keys).await?,
        kicks: kicks_of(client, &keys).await?.values().sum(),
        records,
        record_form: record_form_of(client, &keys).await?,
    })
}

impl Sums {
    fn print(&self, coins: Coins<'_>, out: Out) {
        let Self { totals, kicks, .. } = self;
        if totals.matches > 0 {
            let all = record(totals.matches, totals.wins, totals.losses, totals.draws);
            out.line(format_args!("    on game servers, {all}, {} rounds", totals.rounds));
            out.line(format_args!("        {}", figures(totals)));
            form(&self.form).iter().for_each(|form| out.line(format_args!("        {form}")));
        }
        if *kicks > 0 {
            out.line(format_args!("    voted out of {kicks} matches"));
        }
        for (source, settled) in &self.records {
            out.line(format_args!("    for stakes at {source}, {}", money(settled, coins)));
        }
        if !self.records.is_empty() {
            form(&self.record_form).iter().for_each(|form| out.line(format_args!("        {form}")));
        }
    }

    fn json(&self) -> Value {
        let Totals { matches, wins, losses, draws, rounds, .. } = self.totals;
        let settled = self.records.iter().map(|(source, settled)| {
            let amount = |minor| amount(minor, &settled.currency);
            json!({
                "source": source.as_str(),
                "matches": settled.matches, "wins": settled.wins, "losses": settled.losses, "ties": settled.ties,
                "staked": amount(settled.stakes), "won": amount(settled.winnings),
                "returned": amount(settled.refunds), "net": amount(settled.net()),
            })
        });
        json!({
            "servers": {
                "matches": matches, "wins": wins, "losses": losses, "draws": draws, "rounds": rounds,
                "figures": figures_json(&self.totals), "form": form_json(&self.form), "kicks": self.kicks,
            },
            "stakes": settled.collect::<Vec<_>>(),
            "stakes_form": form_json(&self.record_form),
        })
    }
}

fn funds_json(own: &Funds) -> Value {
    json!({ "available": amount(own.available, &own.currency), "held": amount(own.held, &own.currency) })
}

fn match_json(played: &PlayedMatch) -> Value {
    json!({
        "source": played.key.source.as_str(),
        "match": played.key.match_id,
        "ended_at": stamp(played.place.ended_at),
        "map": played.map,
        "scores": played.scores,
        "side": played.line.side.as_str(),
        "outcome": played.line.outcome.map(|outcome| outcome.as_str()),
        "counters": played.line.counters.0,
    })
}

/// `3 matches: …; staked 3.00 USD, won 5.40 USD, returned 0.00 USD, net 2.40 USD`.
fn money(settled: &Record, coins: Coins<'_>) -> String {
    let amount = |minor| coins.shown(minor, &settled.currency);
    format!(
        "{}; staked {}, won {}, returned {}, net {}",
        record(settled.matches, settled.wins, settled.losses, settled.ties),
        amount(settled.stakes),
        amount(settled.winnings),
        amount(settled.refunds),
        amount(settled.net())
    )
}

/// `2026-11-22 10:00:00 win match m1 of servers, de_mirage 13:7, 20 kills, 4 assists, 12 deaths`.
fn line(played: &PlayedMatch) -> String {
    let score = |score: Option<u32>| score.map_or_else(|| "?".to_owned(), |score| score.to_string());
    let [one, two] = played.scores.map(score);
    let [kills, assists, deaths, ..] = played.line.counters.0;
    format!(
        "{} {} match {} of {}, {} {one}:{two} on {}, {kills} kills, {assists} assists, {deaths} deaths",
        clock(played.place.ended_at),
        played.line.outcome.map_or("-", |outcome| outcome.as_str()),
        played.key.match_id,
        played.key.source,
        played.map.as_deref().unwrap_or("unknown map"),
        played.line.side.as_str(),
    )
}

#[cfg(test)]
mod tests {
    use matchpurse_domain::time::Timestamp;

    use super::*;

    #[test]
    fn money_is_shown_in_the_currencys_units() {
        let mut settled = Record {
            player_key: Uuid::nil(),
            currency: "USD".to_owned(),
            matches: 3,
            wins: 2,
            losses: 1,
            ties: 0,
            stakes: 300,
            winnings: 540,
            refunds: 0,
            last_at: Timestamp::default(),
        };
        assert_eq!(
            money(&settled, Coins(None)),
            "3 matches: 2 won, 1 lost, 0 drawn; staked 3.00 USD, won 5.40 USD, returned 0.00 USD, net 2.40 USD"
        );
        settled.currency = "GEM".to_owned();
        assert!(money(&settled, Coins(None)).contains("net 240 minor units of GEM"));
    }
}
