//! Every order of a match's events ends in the same state.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use insta::assert_snapshot;

use crate::system::sources::{Fixture, Source, fixture};
use crate::system::{Plan, System};

const LUCRA_MATCH: &str = "0d9f6f3a-5a0e-4b53-9f0e-6d3a1c2b7e10";
const OKLETSPLAY_MATCH: &str = "600f369851f450dd3ecb0035";
const DATHOST_MATCH: &str = "6502a8923d1c32e7d4d7f760";

/// Batches so small that the events of a match are often in different ones.
const SMALL_BATCHES: &str = "batch_max = 3\nprefetch = 6";

/// Sends a life in every order of its deliveries, each order as a match of its own, all side by side; returns
/// the ids of the matches.
async fn play_all(system: &System, source: &str, id: &str, life: &[Fixture]) -> Result<Vec<String>> {
    let mut ids = Vec::new();
    let mut lists = Vec::new();
    for (number, order) in orders(life).into_iter().enumerate() {
        // The same length and alphabet as the provider's own ids.
        let (head, tail) = id.split_at(id.len() - 4);
        let own = format!("{head}{:04x}", number + 1);
        assert_ne!(tail, &own[head.len()..]);
        lists.push((source, order.iter().map(|fixture| fixture.replace(id, &own)).collect()));
        ids.push(own);
    }
    system.deliver_side_by_side(&lists).await?;
    Ok(ids)
}

/// Every order of a list.
fn orders<T: Clone>(list: &[T]) -> Vec<Vec<T>> {
    if list.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (place, first) in list.iter().enumerate() {
        let rest: Vec<T> = [&list[..place], &list[place + 1..]].concat();
        all.extend(orders(&rest).into_iter().map(|order| [vec![first.clone()], order].concat()));
    }
    all
}

fn life(provider: &str, names: &[&str]) -> Result<Vec<Fixture>> {
    names.iter().map(|name| fixture(provider, name)).collect()
}

/// The one text that all matches have in common, or all texts that differ.
fn common(texts: impl IntoIterator<Item = (String, String)>, ids: &[String]) -> String {
    let texts: BTreeMap<String, String> = texts.into_iter().filter(|(id, _)| ids.contains(id)).collect();
    assert_eq!(texts.len(), ids.len(), "a match is missing: {texts:?}");
    let different: BTreeSet<String> = texts.into_values().collect();
    Vec::from_iter(different).join("\nor\n")
}

/// By match: how it ended, and what each player has won or lost. `figures` shows the pot too, which depends
/// on the order where a match was called off: nothing of it, or all of it.
async fn money(system: &System, source: &str, figures: bool) -> Result<Vec<(String, String)>> {
    let sql = "SELECT match_id, status || ' ' || coalesce(settlement, 'not settled')
                   || CASE WHEN $2 THEN format(' pot %s paid %s back %s fee %s', pot, paid, refunded, fee) ELSE '' END
                   || coalesce((SELECT string_agg(format(E'\n%s %s', left(player_id, 13), net), '' ORDER BY player_id)
                        FROM (SELECT player_id, sum(amount) AS net
                                FROM entry JOIN account a ON a.id = account_id AND a.kind = 1
                                JOIN player ON player_key = owner_key
                               WHERE entry.match_no = match.match_no GROUP BY 1 HAVING sum(amount) <> 0) n), '')
                   || coalesce((SELECT string_agg(E'\nanomaly ' || a.kind, '' ORDER BY a.kind)
                        FROM anomaly a WHERE a.source = match.source AND a.subject = match_id), '')
                FROM match WHERE source = $1";
    let rows = system.client.query(sql, &[&source, &figures]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

#[tokio::test]
async fn a_match_ends_the_same_in_every_order_of_its_events() -> Result<()> {
    let sources = vec![
        Source::of("lucra", "won")?,
        Source::of("lucra", "called-off")?,
        Source::of("lucra", "both")?,
        Source::of("okletsplay", "platform")?,
    ];
    let plan = Plan { sources, broker: SMALL_BATCHES, ..Plan::default() };
    let mut system = System::start_with(plan).await?;
    let begun = ["RecreationalGameCreated", "RecreationalGameJoined", "RecreationalGameStarted"];
    let with = |end: &[&'static str]| life("lucra", &[begun.as_slice(), end].concat());
    let (completed, canceled) = ("RecreationalGameCompleted", "RecreationalGameCanceled");

    let won = play_all(&system, "won", LUCRA_MATCH, &with(&[completed])?).await?;
    let called_off = play_all(&system, "called-off", LUCRA_MATCH, &with(&[canceled])?).await?;
    let both = play_all(&system, "both", LUCRA_MATCH, &with(&[completed, canceled])?).await?;
    let platform = life("okletsplay", &["PUT", "DELETE"])?;
    let platform = play_all(&system, "platform", OKLETSPLAY_MATCH, &platform).await?;
    system.settle().await?;

    assert_eq!((won.len(), called_off.len(), both.len(), platform.len()), (24, 24, 120, 2));
    assert_snapshot!(common(money(&system, "won", true).await?, &won), @r"
    CLOSED payout pot 2000 paid 1800 back 0 fee 200
    3b1f0c52-7f3e 800
    9c7a2e64-1b8d -1000
    ");
    assert_snapshot!(common(money(&system, "called-off", false).await?, &called_off), @"CANCELED_NOT_ACCEPTED refund");
    assert_snapshot!(common(money(&system, "platform", false).await?, &platform), @"CANCELED_OTHER refund");
    // Two ends contradict each other: the first one stands, the other is for a person to look at, once because
    // of the stakes and once because of the reward.
    let ends = common(money(&system, "both", false).await?, &both);
    assert_snapshot!(ends, @r"
    CANCELED_NOT_ACCEPTED refund
    anomaly terminal_conflict
    anomaly terminal_conflict
    or
    CLOSED payout
    3b1f0c52-7f3e 800
    9c7a2e64-1b8d -1000
    anomaly terminal_conflict
    anomaly terminal_conflict
    ");
    let first_stands = "SELECT count(*) FROM match m
        WHERE source = 'both' AND (status = 'CLOSED') <> (
              (SELECT seq FROM archive WHERE source = 'both' AND subject = match_id AND provider_type LIKE '%Completed')
            < (SELECT seq FROM archive WHERE source = 'both' AND subject = match_id AND provider_type LIKE '%Canceled'))";
    assert_eq!(system.count(first_stands).await?, 0);
    let rewards_agree = "SELECT count(*) FROM match JOIN contest c ON c.source = match.source AND contest_id = match_id
        WHERE match.source = 'both' AND (status = 'CLOSED') = (ending = 'closed')
          AND (SELECT count(*) FROM reward_grant g WHERE g.contest_key = c.contest_key AND g.state = 'recorded')
              = CASE WHEN status = 'CLOSED' THEN 1 ELSE 0 END";
    assert_eq!(system.count(rewards_agree).await?, 120);
    ledger_is_clean(&system).await?;
    system.stop().await
}

/// What nobody may ever see otherwise.
async fn ledger_is_clean(system: &System) -> Result<()> {
    assert_eq!(system.count("SELECT coalesce(sum(balance), 0)::bigint FROM account").await?, 0);
    let unlike = "SELECT count(*) FROM account a WHERE balance <>
                    (SELECT coalesce(sum(amount), 0) FROM entry WHERE account_id = a.id)";
    assert_eq!(system.count(unlike).await?, 0);
    let left = "SELECT count(*) FROM match JOIN account a ON owner_key = match_key AND a.kind = 2
                 WHERE settlement IS NOT NULL AND balance <> 0";
    assert_eq!(system.count(left).await?, 0);
    Ok(())
}

/// By match: what its statistics say. The totals grow with every match, so they are not in it.
async fn statistics(system: &System, source: &str) -> Result<Vec<(String, String)>> {
    let sql = "SELECT match_id,
                  format('%s:%s after %s rounds, finished %s, canceled %s, %s', team1_score, team2_score, rounds_played,
                         finished, canceled, coalesce(result, 'no result'))
                  || (SELECT coalesce(string_agg(format(E'\n%s %s kills %s deaths', right(player_id, 4), kills, deaths), ''
                             ORDER BY player_id), '')
                        FROM player_match_stats s JOIN player USING (player_key) WHERE s.stats_key = m.stats_key)
                  || (SELECT coalesce(string_agg(E'\nkicked ' || right(player_id, 4), '' ORDER BY player_id), '')
                        FROM player_kick k JOIN player USING (player_key) WHERE k.stats_key = m.stats_key)
                FROM stats_match m WHERE source = $1";
    let rows = system.client.query(sql, &[&source]).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

#[tokio::test]
async fn statistics_end_the_same_in_every_order_of_the_snapshots() -> Result<()> {
    let sources = vec![Source::of("dathost", "played")?, Source::of("dathost", "called-off")?];
    let plan = Plan { sources, broker: SMALL_BATCHES, ..Plan::default() };
    let mut system = System::start_with(plan).await?;
    let played = life("dathost", &["event_round_end_after_votekick", "round_end", "match_end", "votekick"])?;
    let played = play_all(&system, "played", DATHOST_MATCH, &played).await?;
    let called_off = life("dathost", &["round_end", "event_match_canceled", "votekick"])?;
    let called_off = play_all(&system, "called-off", DATHOST_MATCH, &called_off).await?;
    system.settle().await?;

    assert_snapshot!(common(statistics(&system, "played").await?, &played), @r"
    13:7 after 20 rounds, finished t, canceled f, team1
    7126 24 kills 12 deaths
    5690 12 kills 24 deaths
    kicked 7126
    kicked 5690
    ");
    assert_snapshot!(common(statistics(&system, "called-off").await?, &called_off), @r"
    0:0 after 0 rounds, finished t, canceled t, no result
    7126 0 kills 0 deaths
    5690 0 kills 0 deaths
    kicked 7126
    ");
    let totals = "SELECT format('%s %s %s matches %s won %s lost %s rounds %s kills', t.source, right(player_id, 4), matches, wins,
                                losses, rounds, kills)
                    FROM player_totals t JOIN player USING (player_key) WHERE season = 0 ORDER BY 1";
    assert_snapshot!(system.lines(totals).await?.join("\n"), @r"
    played 5690 24 matches 0 won 24 lost 480 rounds 288 kills
    played 7126 24 matches 24 won 0 lost 480 rounds 576 kills
    ");
    system.stop().await
}
