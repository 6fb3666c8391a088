//! What events leave in the tables, in whatever order, batch and number they come.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use anyhow::Result;
use matchpurse_domain::event::*;
use matchpurse_domain::time::Timestamp;
use matchpurse_player_stats::PlayerStats as Worker;
use matchpurse_store::{Store, audit};
use matchpurse_testkit::{Database, Trial};

fn event(payload: Payload) -> Event {
    matchpurse_testkit::event("servers", false, payload)
}

/// A match of ann and cat against bob, with dan watching; each counter of a player differs from the others.
fn snapshot(match_id: &str, one: u32, two: u32, lines: usize) -> MatchStatsSnapshot {
    let rounds = i32::try_from(one + two).unwrap();
    let player = |id: &str, side, factor: i32| PlayerStats {
        player_id: id.into(),
        side,
        nickname: format!("the {id}"),
        connected: true,
        kicked: false,
        counters: Counters(std::array::from_fn(|n| factor * (i32::try_from(n).unwrap() + rounds))),
    };
    let happened = [("match_started", None), ("player_disconnected", Some("cat")), ("round_end", None)];
    let line = |(index, (name, who)): (usize, (&str, Option<&str>))| HistoryEntry {
        index: u32::try_from(index).unwrap(),
        name: name.to_owned(),
        at: Timestamp::from_seconds(1_790_000_000),
        player_id: who.map(Into::into),
    };
    MatchStatsSnapshot {
        match_id: match_id.to_owned(),
        map: Some("de_mirage".to_owned()),
        team1: TeamScore { name: "Alpha".to_owned(), score: Some(one) },
        team2: TeamScore { name: "Bravo".to_owned(), score: Some(two) },
        rounds_played: one + two,
        finished: false,
        cancel_reason: None,
        players: vec![
            player("ann", Side::Team1, 1),
            player("bob", Side::Team2, -2),
            player("cat", Side::Team1, 3),
            player("dan", Side::Spectator, 5),
        ],
        history: happened.into_iter().enumerate().take(lines).map(line).collect(),
    }
}

fn live(match_id: &str, one: u32, two: u32, lines: usize) -> Event {
    event(Payload::MatchStatsSnapshot(snapshot(match_id, one, two, lines)))
}

/// The final; cat is gone from it.
fn ended(match_id: &str, one: u32, two: u32) -> Event {
    let mut snapshot = MatchStatsSnapshot { finished: true, ..snapshot(match_id, one, two, 3) };
    snapshot.players.remove(2);
    event(Payload::MatchStatsSnapshot(snapshot))
}

/// The same end again, as it is told when the players have left.
fn ended_later(match_id: &str, one: u32, two: u32) -> Event {
    let Payload::MatchStatsSnapshot(mut snapshot) = ended(match_id, one, two).payload else { unreachable!() };
    for (index, name) in [(3, "match_ended"), (4, "players_exited")] {
        let at = Timestamp::from_seconds(1_790_000_000 + i64::from(index));
        snapshot.history.push(HistoryEntry { index, name: name.to_owned(), at, player_id: None });
    }
    event(Payload::MatchStatsSnapshot(snapshot))
}

fn canceled(match_id: &str) -> Event {
    let cancel_reason = Some("MISSING_PLAYERS:bob".to_owned());
    let snapshot = MatchStatsSnapshot { finished: true, cancel_reason, ..snapshot(match_id, 0, 0, 1) };
    event(Payload::MatchStatsSnapshot(snapshot))
}

fn kicked(match_id: &str, player: &str) -> Event {
    event(Payload::PlayerKicked(PlayerKicked { match_id: match_id.to_owned(), player_id: player.into() }))
}

/// Events that do not contradict each other: a match that ann wins, one that ties, one called off, one that
/// runs.
fn harmony() -> Vec<Event> {
    vec![
        live("m1", 1, 0, 1),
        live("m1", 1, 0, 2),
        live("m1", 2, 0, 2),
        live("m1", 2, 1, 3),
        ended("m1", 3, 1),
        ended_later("m1", 3, 1),
        kicked("m1", "cat"),
        live("m2", 1, 1, 0),
        ended("m2", 2, 2),
        live("m3", 0, 0, 0),
        canceled("m3"),
        live("m4", 4, 3, 1),
        live("m4", 5, 3, 2),
        kicked("m4", "bob"),
        kicked("m5", "eve"),
    ]
}

async fn apply(store: &Store, events: &[Event]) -> Result<()> {
    trial().apply(store, events).await
}

/// The tables are all that the worker has written, but for what tells which delivery came first.
fn trial() -> Trial<Worker> {
    Trial {
        effects: Worker,
        events: harmony(),
        tables: &[
        "SELECT match_id, map, team1_name, team1_score, team2_name, team2_score, rounds_played, history_len,
                finished, canceled, cancel_reason, result, counted, numbers, roster, ended_at, corrections,
                overruled FROM stats_match",
        "SELECT * FROM player_match_stats",
        "SELECT * FROM stats_match_event",
        "SELECT to_jsonb(t) - 'updated_at' FROM player_totals t",
        "SELECT match_id, player_key FROM player_kick",
        "SELECT webhook_id, kind, subject, payload FROM outbox",
        "SELECT kind, subject FROM anomaly",
        "SELECT player_id FROM player",
        ],
        versions: "SELECT ctid || '/' || xmin FROM player_match_stats
                   UNION ALL SELECT player_key || '/' || ctid || '/' || xmin FROM player_totals
                   UNION ALL SELECT ctid || '/' || xmin FROM player_kick
                   UNION ALL SELECT ctid || '/' || xmin FROM outbox
                   UNION ALL SELECT match_id || updated_at FROM stats_match",
    }
}

#[tokio::test]
async fn events_lead_to_these_statistics() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    // One after the other, so that lines are updated and a player's is removed.
    for event in harmony() {
        apply(&store, &[event]).await?;
    }
    let matches =
        "SELECT concat_ws(' ', match_id, rounds_played, result, cancel_reason, counted) FROM stats_match";
    assert_eq!(
        database.texts(matches).await?,
        ["m1 4 team1 t", "m2 4 draw t", "m3 0 MISSING_PLAYERS:bob f", "m4 8 f"]
    );
    let lines = "SELECT concat_ws(' ', match_id, player_id, side, kills, clutch_wins)
                   FROM player_match_stats JOIN stats_match USING (stats_key) JOIN player USING (player_key)
                  WHERE match_id IN ('m1', 'm4')";
    assert_eq!(
        database.texts(lines).await?,
        [
            "m1 ann team1 4 25",
            "m1 bob team2 -8 -50",
            "m1 dan spectator 20 125",
            "m4 ann team1 8 29",
            "m4 bob team2 -16 -58",
            "m4 cat team1 24 87",
            "m4 dan spectator 40 145",
        ]
    );
    let totals =
        "SELECT concat_ws(' ', player_id, season, matches, wins, losses, draws, rounds, kills, clutch_wins)
                    FROM player_totals JOIN player USING (player_key)";
    assert_eq!(database.texts(totals).await?, ["ann 0 2 1 0 1 8 8 50", "bob 0 2 0 1 1 8 -16 -100"]);
    let history = "SELECT concat_ws(' ', index, name, player_id)
                     FROM stats_match_event JOIN stats_match USING (stats_key) LEFT JOIN player USING (player_key)
                    WHERE match_id = 'm1'";
    assert_eq!(
        database.texts(history).await?,
        ["0 match_started", "1 player_disconnected cat", "2 round_end", "3 match_ended", "4 players_exited"]
    );
    let kicks = "SELECT match_id || ' ' || player_id FROM player_kick JOIN player USING (player_key)";
    assert_eq!(database.texts(kicks).await?, ["m1 cat", "m4 bob", "m5 eve"]);
    let told = "SELECT kind || ' ' || subject FROM outbox";
    assert_eq!(
        database.texts(told).await?,
        [
            "match.stats_final m1",
            "match.stats_final m2",
            "player.kicked m1",
            "player.kicked m4",
            "player.kicked m5"
        ]
    );
    Ok(())
}

#[tokio::test]
async fn every_order_and_batch_with_repeats_ends_in_the_same_tables() -> Result<()> {
    trial().every_order_and_batch_with_repeats_ends_in_the_same_tables().await
}

#[tokio::test]
async fn a_batch_that_comes_again_changes_no_row() -> Result<()> {
    trial().a_batch_that_comes_again_changes_no_row().await
}

#[tokio::test]
async fn workers_at_the_same_rows_neither_deadlock_nor_differ() -> Result<()> {
    Box::pin(trial().workers_at_the_same_rows_neither_deadlock_nor_differ()).await
}

#[tokio::test]
async fn a_contradiction_changes_no_total_and_is_opened_once() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    apply(&store, &harmony()).await?;
    let totals = "SELECT t::text FROM player_totals t";
    let before = database.texts(totals).await?;
    let contradictions = [ended("m1", 1, 3), canceled("m2"), ended("m3", 3, 1), ended("m1", 1, 3)];
    for _ in 0..2 {
        apply(&store, &contradictions).await?;
    }
    assert_eq!(database.texts(totals).await?, before);
    let opened = database.texts("SELECT kind || ' ' || subject FROM anomaly").await?;
    assert_eq!(opened, ["stats_corrected m1", "terminal_conflict m2", "terminal_conflict m3"]);
    let told = database.texts("SELECT subject FROM outbox WHERE kind = 'anomaly.opened'").await?;
    assert_eq!(told, ["m1", "m2", "m3"]);
    Ok(())
}

/// What the standing checks find.
async fn findings(store: &Store) -> Result<Vec<String>> {
    let client = store.client().await?;
    let mut found = Vec::new();
    for check in audit::CHECKS {
        found.extend(audit::run(&client, check).await?.into_iter().map(|finding| finding.what));
    }
    Ok(found)
}

#[tokio::test]
async fn the_audit_adds_up_every_total_again() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    apply(&store, &harmony()).await?;
    assert_eq!(findings(&store).await?, Vec::<String>::new());
    let connection = database.connection().await?;
    let columns =
        "SELECT column_name::text FROM information_schema.columns WHERE table_name = 'player_totals'
                      AND data_type = 'bigint'";
    let columns = database.texts(columns).await?;
    assert_eq!(columns.len(), 5 + COUNTER_NAMES.len());
    for column in columns {
        let change = |by: &str| format!("UPDATE player_totals SET {column} = {column} {by}");
        let players = usize::try_from(connection.execute(&change("+ 1"), &[]).await?)?;
        assert_eq!(findings(&store).await?.len(), players, "{column}");
        connection.execute(&change("- 1"), &[]).await?;
    }
    // Of the players of lines that count, none may be without totals.
    let gone = usize::try_from(connection.execute("DELETE FROM player_totals", &[]).await?)?;
    assert_eq!(findings(&store).await?.len(), gone);
    Ok(())
}

#[tokio::test]
async fn what_was_counted_stays_counted() -> Result<()> {
    let database = Database::create().await?;
    apply(&database.store().await?, &harmony()).await?;
    let connection = database.connection().await?;
    for change in ["counted = false, result = null, finished = false", "numbers = sha256('x')"] {
        let sql = format!("UPDATE stats_match SET {change} WHERE match_id = 'm1'");
        assert!(connection.execute(&sql, &[]).await.is_err(), "{change}");
    }
    Ok(())
}
