//! `matchpurse players`: what is known of a player, over all ids that are the same person's.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::money::{format_major, known_exponent};
use matchpurse_domain::stats::Totals;
use matchpurse_settings::Settings;
use matchpurse_store::Client;
use matchpurse_store::escrow::money_of;
use matchpurse_store::links::{Identity, is_known, person_of};
use matchpurse_store::stats::{
    PlayedMatch, Record, form_of, kicks_of, matches_of, record_form_of, records_of, totals_of,
};
use uuid::Uuid;

use crate::config::DatabaseArgs;
use crate::figures::{figures, form, record};
use crate::rewards::clock;

/// See what is known of a player
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
}

/// Shows.
pub(crate) async fn run(args: PlayersArgs) -> Result<ExitCode> {
    let Action::Show { database, source, player, identity_only, matches } = args.action;
    let identity = Identity { source: SourceName::parse(&source)?, player_id: PlayerId::new(player) };
    let (store, settings) = database.open().await?;
    let client = store.client().await?;
    ensure!(is_known(&client, &identity).await?, "the source has told of no player of this id");
    let mut person: Vec<Identity> = vec![identity.clone()];
    if !identity_only {
        person = person_of(&client, &identity).await?.into_iter().collect();
    }
    for one in &person {
        println!("player {} of {}", one.player_id, one.source);
        for own in money_of(&client, &one.source, &one.player_id).await?.unwrap_or_default() {
            let amount = |minor| shown(minor, own.currency.as_str(), &one.source, settings.as_ref());
            println!("    has {}, and {} in escrow", amount(own.available), amount(own.held));
        }
        print_sums(&client, std::slice::from_ref(one), settings.as_ref()).await?;
    }
    if person.len() > 1 {
        println!("all of them together");
        print_sums(&client, &person, settings.as_ref()).await?;
    }
    let keys: Vec<Uuid> = person.iter().map(Identity::key).collect();
    for played in matches_of(&client, &keys, None, matches).await? {
        println!("{}", line(&played));
    }
    Ok(ExitCode::SUCCESS)
}

/// What these identities did, taken together.
async fn print_sums(client: &Client, person: &[Identity], settings: Option<&Settings>) -> Result<()> {
    let keys: Vec<Uuid> = person.iter().map(Identity::key).collect();
    let mut totals = Totals::default();
    totals_of(client, &keys).await?.values().for_each(|own| totals.add(own));
    if totals.matches > 0 {
        println!(
            "    on game servers, {}, {} rounds",
            record(totals.matches, totals.wins, totals.losses, totals.draws),
            totals.rounds
        );
        println!("        {}", figures(&totals));
        form(&form_of(client, &keys).await?).iter().for_each(|form| println!("        {form}"));
    }
    let kicks: i64 = kicks_of(client, &keys).await?.values().sum();
    if kicks > 0 {
        println!("    voted out of {kicks} matches");
    }
    let records = records_of(client, &keys).await?;
    for own in person {
        for settled in records.iter().filter(|settled| settled.player_key == own.key()) {
            println!("    for stakes at {}, {}", own.source, money(settled, &own.source, settings));
        }
    }
    if !records.is_empty() {
        form(&record_form_of(client, &keys).await?).iter().for_each(|form| println!("        {form}"));
    }
    Ok(())
}

/// `3 matches: …; staked 3.00 USD, won 5.40 USD, returned 0.00 USD, net 2.40 USD`.
fn money(settled: &Record, source: &SourceName, settings: Option<&Settings>) -> String {
    let amount = |minor| shown(minor, &settled.currency, source, settings);
    format!(
        "{}; staked {}, won {}, returned {}, net {}",
        record(settled.matches, settled.wins, settled.losses, settled.ties),
        amount(settled.stakes),
        amount(settled.winnings),
        amount(settled.refunds),
        amount(settled.net())
    )
}

/// An amount as people write it; of a studio's own coin the configuration knows the decimal places.
fn shown(minor_units: i64, currency: &str, source: &SourceName, settings: Option<&Settings>) -> String {
    let configured = settings.and_then(|settings| settings.sources.get(source));
    let configured = configured.map(|source| &source.policy().currency);
    let exponent = known_exponent(currency)
        .or_else(|| configured.filter(|own| own.code.as_str() == currency).map(|own| own.exponent));
    match exponent {
        Some(exponent) => format!("{} {currency}", format_major(minor_units, exponent)),
        None => format!("{minor_units} minor units of {currency}"),
    }
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
        let source = SourceName::parse("lounge").unwrap();
        assert_eq!(
            money(&settled, &source, None),
            "3 matches: 2 won, 1 lost, 0 drawn; staked 3.00 USD, won 5.40 USD, returned 0.00 USD, net 2.40 USD"
        );
        settled.currency = "GEM".to_owned();
        assert!(money(&settled, &source, None).contains("net 240 minor units of GEM"));
    }
}
