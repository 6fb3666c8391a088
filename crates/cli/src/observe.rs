//! What the database has, in the words in which the simulator says what must be there.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use matchpurse_domain::ids::SourceName;
use matchpurse_providers::play::{
    ConversionEffect, Effects, GrantEffect, GrantKey, KickKey, MatchAmounts, MatchEffect, OfferEffect,
    RecordEffect, SourceEffects, StandingEffect, StatsEffect,
};
use matchpurse_store::{Client, Store, survey};

/// The effects of the named sources.
pub(crate) async fn effects<'s>(
    store: &Store,
    sources: impl Iterator<Item = &'s SourceName>,
) -> Result<Effects> {
    let client = store.client().await.context("failed to reach the database")?;
    let mut effects = Effects::new();
    for source in sources {
        let found =
            of_source(&client, source).await.with_context(|| format!("failed to read source {source}"))?;
        effects.insert(source.as_str().to_owned(), found);
    }
    Ok(effects)
}

async fn of_source(client: &Client, source: &SourceName) -> Result<SourceEffects> {
    let count = |counts: Vec<(String, i64)>| {
        counts
            .into_iter()
            .map(|(kind, count)| Ok((kind, u64::try_from(count)?)))
            .collect::<Result<BTreeMap<_, _>>>()
    };
    let events = count(survey::events(client, source).await?)?;
    Ok(SourceEffects {
        matches: matches(client, source).await?,
        grants: grants(client, source).await?,
        records: records(client, source).await?,
        stats: stats(client, source).await?,
        // The figures of single matches are not read here.
        lines: None,
        kicks: survey::kicks(client, source)
            .await?
            .into_iter()
            .map(|(match_id, player)| KickKey { match_id, player })
            .collect(),
        offers: offers(client, source).await?,
        standings: standings(client, source).await?,
        conversions: conversions(client, source).await?,
        anomalies: count(survey::anomalies(client, source).await?)?,
        parked: count(survey::parked(client, source).await?)?,
        events: events.values().sum(),
        refused: None,
    })
}

async fn matches(client: &Client, source: &SourceName) -> Result<BTreeMap<String, MatchEffect>> {
    let mut matches = BTreeMap::new();
    for row in survey::matches(client, source).await? {
        let amounts = MatchAmounts { pot: row.pot, paid: row.paid, refunded: row.refunded, fee: row.fee };
        let effect = MatchEffect {
            kind: row.kind,
            status: row.status,
            settlement: row.settlement,
            net: BTreeMap::new(),
            amounts: Some(amounts),
        };
        matches.insert(row.match_id, effect);
    }
    for (match_id, player, net) in survey::nets(client, source).await? {
        if let Some(effect) = matches.get_mut(&match_id) {
            effect.net.insert(player, net);
        }
    }
    Ok(matches)
}

async fn grants(client: &Client, source: &SourceName) -> Result<BTreeMap<GrantKey, GrantEffect>> {
    let grants = survey::grants(client, source).await?.into_iter().map(|row| {
        let key = GrantKey {
            kind: row.contest_kind,
            contest: row.contest_id,
            player: row.player_id,
            reference: row.reward_ref,
        };
        (key, GrantEffect { state: row.state, amount: row.amount })
    });
    Ok(grants.collect())
}

async fn records(client: &Client, source: &SourceName) -> Result<BTreeMap<String, RecordEffect>> {
    let rows = survey::records(client, source).await?;
    rows.into_iter()
        .map(|(player, [wins, losses, ties])| {
            let record =
                RecordEffect { wins: wins.try_into()?, losses: losses.try_into()?, ties: ties.try_into()? };
            Ok((player, record))
        })
        .collect()
}

async fn stats(client: &Client, source: &SourceName) -> Result<BTreeMap<String, StatsEffect>> {
    let rows = survey::totals(client, source).await?;
    rows.into_iter()
        .map(|row| {
            let [matches, wins, losses, draws, rounds] = row.counts;
            let stats = StatsEffect {
                matches: matches.try_into()?,
                wins: wins.try_into()?,
                losses: losses.try_into()?,
                draws: draws.try_into()?,
                rounds: rounds.try_into()?,
                counters: row.counters.into_iter().map(|(name, sum)| (name.to_owned(), sum)).collect(),
            };
            Ok((row.player_id, stats))
        })
        .collect()
}

async fn offers(client: &Client, source: &SourceName) -> Result<BTreeMap<String, OfferEffect>> {
    let rows = survey::offers(client, source).await?;
    let effect = |(offer, open, at): (String, bool, Option<matchpurse_domain::time::Timestamp>)| {
        let changed_at_us = at.map(|at| at.micros()).unwrap_or_default();
        (offer, OfferEffect { open, changed_at_us })
    };
    Ok(rows.into_iter().map(effect).collect())
}

async fn standings(client: &Client, source: &SourceName) -> Result<BTreeMap<String, StandingEffect>> {
    let rows = survey::standings(client, source).await?;
    let effect = |(player, banned, at): (String, bool, Option<matchpurse_domain::time::Timestamp>)| {
        let changed_at_us = at.map(|at| at.micros()).unwrap_or_default();
        (player, StandingEffect { banned, changed_at_us })
    };
    Ok(rows.into_iter().map(effect).collect())
}

async fn conversions(client: &Client, source: &SourceName) -> Result<BTreeMap<String, ConversionEffect>> {
    let rows = survey::conversions(client, source).await?;
    let effect = |row: survey::ConversionRow| {
        (row.intent_id, ConversionEffect { player: row.player_id, amount: row.amount, answer: row.answer })
    };
    Ok(rows.into_iter().map(effect).collect())
}
