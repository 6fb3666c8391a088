//! Which of two ends of a match stands, as a person decides.

use std::collections::BTreeMap;

use anyhow::Result;
use matchpurse_domain::event::*;
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_domain::stats::Refusal;
use matchpurse_domain::time::Timestamp;
use matchpurse_operations::stats::{Author, Choice, Done, Error, correct};
use matchpurse_player_stats::PlayerStats as Worker;
use matchpurse_store::stats::StatsKey;
use matchpurse_store::{Store, archive, audit};
use matchpurse_testkit::{Database, event};
use matchpurse_worker_kit::Effects as _;

use crate::ground::NOW;

struct Servers {
    database: Database,
    store: Store,
}

fn key(match_id: &str) -> StatsKey {
    StatsKey { source: SourceName::parse("servers").unwrap(), match_id: match_id.to_owned() }
}

fn author(key: &str) -> Author {
    let (actor, reason) = ("olga".to_owned(), "the server restored a backup".to_owned());
    Author { actor, reason, idempotency_key: key.to_owned() }
}

/// An end of match m: `ann` and `third` against `bob`, who has as many kills as rounds.
fn end(one: u32, two: u32, third: &str, cancel_reason: Option<&str>) -> Event {
    let rounds = i32::try_from(one + two).unwrap();
    let player = |id: &str, side, kills| {
        let mut counters = Counters::default();
        (counters.0[0], counters.0[2]) = (kills, 2);
        let (player_id, nickname) = (id.into(), String::new());
        PlayerStats { player_id, side, nickname, connected: true, kicked: false, counters }
    };
    let line = HistoryEntry {
        index: one + two,
        name: "match_ended".to_owned(),
        at: Timestamp::from_seconds(1_789_000_000 + i64::from(one)),
        player_id: None,
    };
    event(
        "servers",
        false,
        Payload::MatchStatsSnapshot(MatchStatsSnapshot {
            match_id: "m".to_owned(),
            map: None,
            team1: TeamScore { name: "A".to_owned(), score: Some(one) },
            team2: TeamScore { name: "B".to_owned(), score: Some(two) },
            rounds_played: one + two,
            finished: true,
            cancel_reason: cancel_reason.map(str::to_owned),
            players: vec![
                player("ann", Side::Team1, 1),
                player("bob", Side::Team2, rounds),
                player(third, Side::Team1, 5),
            ],
            history: vec![line],
        }),
    )
}

impl Servers {
    async fn start(events: &[Event]) -> Result<Self> {
        let database = Database::create().await?;
        let servers = Self { store: database.store().await?, database };
        servers.apply(events).await?;
        Ok(servers)
    }

    /// One after the other, as the worker and the archive do.
    async fn apply(&self, events: &[Event]) -> Result<()> {
        for event in events {
            let mut client = self.store.client().await?;
            let tx = client.begin().await?;
            Worker.apply_in_tx(&tx, std::slice::from_ref(event), NOW).await?;
            archive::append_in_tx(&tx, std::slice::from_ref(event), NOW).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn correct(&self, choice: Choice, by: &str) -> Result<Done, Error> {
        correct(&self.store, &key("m"), choice, &author(by), NOW).await
    }

    /// `player matches wins-losses-draws rounds kills`.
    async fn totals(&self) -> Result<Vec<String>> {
        let sql =
            "SELECT concat_ws(' ', player_id, matches, concat_ws('-', wins, losses, draws), rounds, kills)
                     FROM player_totals JOIN player USING (player_key)";
        self.database.texts(sql).await
    }

    /// Everything that follows from the match, but for what tells how it came.
    async fn state(&self) -> Result<String> {
        let mut state = Vec::new();
        for sql in [
            "SELECT concat_ws(' ', team1_score, team2_score, rounds_played, canceled, result, counted, ended_at)
               FROM stats_match",
            "SELECT to_jsonb(s)::text FROM player_match_stats s",
            "SELECT (to_jsonb(t) - 'updated_at')::text FROM player_totals t",
        ] {
            state.extend(self.database.texts(sql).await?);
        }
        Ok(state.join("\n"))
    }

    async fn questions(&self) -> Result<Vec<String>> {
        let sql = "SELECT concat_ws(' ', kind, coalesce(resolved_by, 'open')) FROM anomaly";
        self.database.texts(sql).await
    }

    /// The standing checks find nothing.
    async fn audit(&self) -> Result<()> {
        let client = self.store.client().await?;
        for check in audit::CHECKS {
            let found = audit::run(&client, check).await?;
            assert!(found.is_empty(), "{found:?}");
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_correction_ends_where_the_other_end_alone_would_have_ended() -> Result<()> {
    let ends = BTreeMap::from([
        ("won", end(13, 7, "cat", None)),
        ("lost", end(7, 13, "eve", None)),
        ("drawn", end(12, 12, "cat", None)),
        ("called off", end(3, 0, "cat", Some("USER_API_CANCEL"))),
    ]);
    let mut alone = BTreeMap::new();
    for (name, end) in &ends {
        alone.insert(name, Servers::start(std::slice::from_ref(end)).await?.state().await?);
    }
    for (first, one) in &ends {
        for (second, other) in ends.iter().filter(|(second, _)| second != &first) {
            let servers = Servers::start(&[one.clone(), other.clone()]).await?;
            assert_eq!(servers.questions().await?.len(), 1, "{first}, {second}");
            let done = servers.correct(Choice::Event(other.id), "c1").await?;
            assert!(!done.repeated);
            assert_eq!(servers.state().await?, alone[second], "{first}, then {second}");
            assert!(servers.questions().await?[0].ends_with(" olga"));
            servers.audit().await?;
            // What was overruled is no news any more, and neither is what stands.
            servers.apply(&[one.clone(), other.clone()]).await?;
            assert_eq!(servers.state().await?, alone[second]);
            assert_eq!(servers.questions().await?.len(), 1);
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_correction_is_recorded_told_and_done_once() -> Result<()> {
    let (first, other) = (end(13, 7, "cat", None), end(7, 13, "eve", None));
    let servers = Servers::start(&[first.clone(), other.clone()]).await?;
    assert_eq!(servers.totals().await?, ["ann 1 1-0-0 20 1", "bob 1 0-1-0 20 20", "cat 1 1-0-0 20 5"]);
    let done = servers.correct(Choice::Event(other.id), "c1").await?;
    assert_eq!(servers.totals().await?, ["ann 1 0-1-0 20 1", "bob 1 1-0-0 20 20", "eve 1 0-1-0 20 5"]);
    let again = servers.correct(Choice::Event(other.id), "c1").await?;
    assert_eq!(again, Done { repeated: true, ..done });
    assert_eq!(servers.totals().await?.len(), 3);
    // The key is used for this, and for nothing else.
    assert!(matches!(servers.correct(Choice::Keep, "c1").await, Err(Error::KeyReused)));
    assert!(matches!(servers.correct(Choice::Event(first.id), "c1").await, Err(Error::KeyReused)));
    let recorded = "SELECT concat_ws(' ', kind, subject, actor, reason, detail ->> 'action',
                                     detail -> 'before' ->> 'result', detail -> 'after' ->> 'result') FROM operation";
    assert_eq!(
        servers.database.texts(recorded).await?,
        ["stats_correction m olga the server restored a backup replace team1 team2"]
    );
    let told = "SELECT concat_ws(' ', kind, payload ->> 'result') FROM outbox WHERE kind LIKE 'match.%'";
    assert_eq!(
        servers.database.texts(told).await?,
        ["match.stats_corrected team2", "match.stats_final team1"]
    );
    let fed = "SELECT kind FROM result_feed WHERE kind = 'stats'";
    assert_eq!(servers.database.texts(fed).await?.len(), 2);
    // The first one may be put back.
    servers.correct(Choice::Event(first.id), "c2").await?;
    assert_eq!(servers.totals().await?, ["ann 1 1-0-0 20 1", "bob 1 0-1-0 20 20", "cat 1 1-0-0 20 5"]);
    let corrections = "SELECT corrections::text FROM stats_match";
    assert_eq!(servers.database.texts(corrections).await?, ["2"]);
    servers.audit().await
}

#[tokio::test]
async fn the_first_end_may_be_kept_and_the_question_closed() -> Result<()> {
    let servers = Servers::start(&[end(13, 7, "cat", None)]).await?;
    assert!(matches!(servers.correct(Choice::Keep, "c0").await, Err(Error::NoQuestion)));
    servers.apply(&[end(7, 13, "eve", None)]).await?;
    let before = servers.state().await?;
    servers.correct(Choice::Keep, "c1").await?;
    assert_eq!(servers.state().await?, before);
    assert_eq!(servers.questions().await?, ["stats_corrected olga"]);
    // Asked for again it is done already; and a question of its own is asked once only.
    assert!(servers.correct(Choice::Keep, "c1").await?.repeated);
    servers.apply(&[end(7, 13, "eve", None)]).await?;
    assert_eq!(servers.questions().await?, ["stats_corrected olga"]);
    Ok(())
}

#[tokio::test]
async fn what_is_no_other_end_of_the_match_corrects_nothing() -> Result<()> {
    let first = end(13, 7, "cat", None);
    let Payload::MatchStatsSnapshot(snapshot) = first.payload.clone() else { unreachable!() };
    let live = MatchStatsSnapshot { finished: false, rounds_played: 3, ..snapshot.clone() };
    let foreign = MatchStatsSnapshot { match_id: "n".to_owned(), ..snapshot };
    let [live, foreign] = [live, foreign].map(|s| event("servers", false, Payload::MatchStatsSnapshot(s)));
    let servers = Servers::start(&[first.clone(), live.clone(), foreign.clone()]).await?;
    let before = servers.state().await?;
    let refused = |result: Result<Done, Error>| result.unwrap_err();
    let nobody = EventId::of_delivery(&key("m").source, "POST", b"nobody", 0);
    for (event, expected) in [
        (live.id, Error::Refused(Refusal::NoEnd).to_string()),
        (first.id, Error::Refused(Refusal::Same).to_string()),
        (foreign.id, Error::NoSnapshot(foreign.id).to_string()),
        (nobody, Error::NoSnapshot(nobody).to_string()),
    ] {
        let error = refused(servers.correct(Choice::Event(event), "c1").await);
        assert_eq!(error.to_string(), expected);
    }
    let unknown = correct(&servers.store, &key("x"), Choice::Keep, &author("c1"), NOW).await;
    assert!(matches!(unknown, Err(Error::NoMatch)));
    assert_eq!(servers.state().await?, before);
    assert_eq!(servers.database.texts("SELECT kind FROM operation").await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn nobody_changes_what_counts_without_a_recorded_correction() -> Result<()> {
    let servers = Servers::start(&[end(13, 7, "cat", None), end(7, 13, "eve", None)]).await?;
    let connection = servers.database.connection().await?;
    let other = "numbers = sha256('x')";
    for (change, code) in [
        (other.to_owned(), "ES006"),
        ("counted = false, finished = false, result = null".to_owned(), "ES006"),
        (format!("{other}, corrections = 1, corrected_by = gen_random_uuid()"), "ES013"),
        ("corrections = 2, corrected_by = gen_random_uuid()".to_owned(), "ES013"),
    ] {
        let error = connection.execute(&format!("UPDATE stats_match SET {change}"), &[]).await.unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some(code), "{change}");
    }
    let second = servers.correct(Choice::Event(end(7, 13, "eve", None).id), "c1").await?;
    let again = format!(
        "UPDATE stats_match SET {other}, corrections = 2, corrected_by = '{}'",
        second.operation.uuid()
    );
    let error = connection.execute(&again, &[]).await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("ES013"));
    Ok(())
}
