//! What people decide about statistics, players' ids and rewards, built anew: the rebuild is equal to the live state, and
//! also when it broke off at each of these places.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::event::*;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;
use matchpurse_event_archive::EventArchive;
use matchpurse_match_escrow::MatchEscrow;
use matchpurse_operations::links::{Author, replace, unlink};
use matchpurse_operations::rebuild as replay;
use matchpurse_player_stats::PlayerStats as StatsWorker;
use matchpurse_reward_fulfillment::RewardFulfillment;
use matchpurse_store::links::Identity;
use matchpurse_store::rebuild::{Input, Rebuild, set_grant_state_in_tx};
use matchpurse_worker_kit::Effects;

use crate::ground::{Played, deliver};

/// A source whose rewards must be objects, and one of servers.
const SOURCES: &str = r#"
[sources.wall]
provider = "any"
currency = "USD"
custody = "provider"
rewards.player_day_count = 100
rewards.schemas.studio = '{ "type": "object" }'
[sources.servers]
provider = "any"
currency = "USD"
custody = "provider"
"#;

/// An end of a match: `ann` and `third` against `bob`.
fn end(match_id: &str, one: u32, two: u32, third: &str) -> Event {
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
    let snapshot = MatchStatsSnapshot {
        match_id: match_id.to_owned(),
        map: None,
        team1: TeamScore { name: "A".to_owned(), score: Some(one) },
        team2: TeamScore { name: "B".to_owned(), score: Some(two) },
        rounds_played: one + two,
        finished: true,
        cancel_reason: None,
        players: vec![
            player("ann", Side::Team1, 1),
            player("bob", Side::Team2, i32::try_from(one + two).unwrap()),
            player(third, Side::Team1, 5),
        ],
        history: vec![line],
    };
    matchpurse_testkit::event("servers", false, Payload::MatchStatsSnapshot(snapshot))
}

/// Won, with metadata that are an object or, where there are none, will not do.
fn won(contest: &str, metadata: Option<&str>) -> Event {
    let reward = Reward {
        kind: RewardKind::Studio,
        amount: None,
        value: None,
        reference: Some("r".to_owned()),
        metadata: metadata.map(str::to_owned),
    };
    let entry = PlayerOutcome { player_id: "ann".into(), outcome: Outcome::Win, reward: Some(reward) };
    let outcome =
        ContestOutcome { contest_id: contest.to_owned(), addressed_to: "ann".into(), outcomes: vec![entry] };
    matchpurse_testkit::event("wall", true, Payload::ContestOutcome(outcome))
}

fn id(player: &str, source: &str) -> Identity {
    Identity { source: SourceName::parse(source).unwrap(), player_id: player.into() }
}

impl Played {
    /// To the archive and to every worker that there is here, as the broker does.
    async fn arrive(&self, events: &[Event]) -> Result<()> {
        deliver(self, EventArchive, events).await?;
        let of = |queue: Queue| -> Vec<Event> {
            events.iter().filter(|event| queue.payloads().contains(&event.payload.name())).cloned().collect()
        };
        deliver(self, StatsWorker, &of(Queue::PlayerStats)).await?;
        deliver(self, MatchEscrow::new(&self.settings), &of(Queue::MatchEscrow)).await?;
        deliver(self, RewardFulfillment::new(&self.settings)?, &of(Queue::RewardFulfillment)).await
    }

    async fn grant(&self, contest: &str) -> Result<String> {
        let sql = format!(
            "SELECT grant_id::text FROM reward_grant JOIN contest USING (contest_key) WHERE contest_id = '{contest}'"
        );
        self.database.texts(&sql).await?.pop().context("there is no such grant")
    }

    /// How far the dispatcher has told the studio.
    async fn told(&self, contest: &str, state: &str) -> Result<()> {
        let sql = "UPDATE reward_grant g SET state = $2 FROM contest c
                    WHERE c.contest_key = g.contest_key AND c.contest_id = $1";
        self.database.connection().await?.execute(sql, &[&contest, &state]).await?;
        Ok(())
    }
}

const BY: [&str; 4] = ["--actor", "olga", "--reason", "seen on the recording"];

/// Everything of this kind that people can do, each also more than once.
async fn people(played: &Played) -> Result<()> {
    // Of two ends the later one stands, and of two others the first.
    let ends =
        [end("m1", 13, 7, "cid"), end("m1", 7, 13, "eve"), end("m2", 13, 1, "cid"), end("m2", 13, 2, "cid")];
    played.arrive(&ends).await?;
    let second = ends[1].id.to_string();
    let stands = [&["stats", "correct", "servers", "m1", "--event", &second][..], &BY].concat();
    played.printed(&stands, 0)?;
    played.printed(&[&["stats", "correct", "servers", "m2", "--keep"][..], &BY].concat(), 0)?;
    // The first end after all; and what comes later builds on it.
    let first = ends[0].id.to_string();
    let stands = [&["stats", "correct", "servers", "m1", "--event", &first][..], &BY].concat();
    played.printed(&stands, 0)?;
    played.arrive(&[end("m3", 3, 13, "eve")]).await?;

    // Ids are one person's, another one's, and nobody's.
    let store = played.database.store().await?;
    let author = Author { actor: "backend".to_owned(), reason: String::new() };
    let set =
        |ids: &[(&str, &str)]| ids.iter().map(|(player, source)| id(player, source)).collect::<BTreeSet<_>>();
    replace(&store, &id("ann", "servers"), set(&[("ann", "wall"), ("nobody-yet", "wall")]), &author).await?;
    replace(&store, &id("bob", "servers"), set(&[("bob", "wall")]), &author).await?;
    unlink(&store, &id("ann", "servers"), &id("nobody-yet", "wall"), &author).await?;
    replace(&store, &id("bob", "servers"), set(&[("nobody-yet", "wall")]), &author).await?;

    // Held and released; held and refused; given, and taken back when nobody, and when the studio, had heard of it.
    played
        .arrive(&[won("c1", None), won("c2", Some("{")), won("c3", Some("{}")), won("c4", Some("{}"))])
        .await?;
    played.arrive(&[won("c5", Some("{}"))]).await?;
    let decide = async |what: &str, contest: &str| {
        let grant = played.grant(contest).await?;
        played.printed(&[&["rewards", what, &grant][..], &BY].concat(), 0)?;
        anyhow::Ok(())
    };
    decide("release", "c1").await?;
    decide("reverse", "c2").await?;
    decide("reverse", "c3").await?;
    played.told("c4", "fulfilled").await?;
    decide("reverse", "c4").await?;
    played.told("c1", "delivering").await?;
    decide("reverse", "c1").await?;
    played.told("c5", "failed").await?;
    Ok(())
}

async fn played(name: &str) -> Result<Played> {
    let played = Played::nothing(name, SOURCES).await?;
    people(&played).await?;
    Ok(played)
}

/// The two are equal, and it is not because there is nothing.
fn equal(played: &Played) -> Result<()> {
    let same = played.printed(&["diff", "--with", "again"], 0)?;
    assert!(same.ends_with("the rebuild is equal to the live state\n"), "{same}");
    for rows in ["operation: 12 rows", "stats_match: 3 rows", "player_link: 4 rows", "reward_grant: 5 rows"] {
        assert!(same.contains(&format!("\n{rows}\n")), "{rows}\n{same}");
    }
    Ok(())
}

#[tokio::test]
async fn what_people_decided_is_built_anew_and_equal() -> Result<()> {
    let played = played("people").await?;
    let printed = played.printed(&["rebuild", "--into", "again"], 0)?;
    assert!(printed.contains("0 could not be applied as they were"), "{printed}");
    equal(&played)
}

/// Each thing that people did is done, and the rebuild is killed before it has noted that; gone on with, it is done once
/// more, which changes nothing.
#[tokio::test]
async fn a_rebuild_that_broke_off_behind_any_decision_goes_on() -> Result<()> {
    let played = played("broken-off").await?;
    let workers: [&dyn Effects; 3] =
        [&StatsWorker, &MatchEscrow::new(&played.settings), &RewardFulfillment::new(&played.settings)?];
    let rebuild = Rebuild::begin(&played.database.url().into(), "again").await?;
    rebuild.plan().await?;
    let mut broke_off = 0;
    while let Some((position, input)) = rebuild.next().await? {
        if !matches!(input, Input::Events { .. }) {
            apply(&rebuild, &workers, position, input).await?;
            broke_off += 1;
        }
        // Another process begins, and finds the same input.
        let rebuild = Rebuild::begin(&played.database.url().into(), "again").await?;
        let (again, input) = rebuild.next().await?.context("the place was not noted")?;
        assert_eq!(again, position);
        apply(&rebuild, &workers, position, input).await?;
        let mut client = rebuild.built().client().await?;
        let tx = client.begin().await?;
        rebuild.advance_in_tx(&tx, position).await?;
        tx.commit().await?;
    }
    assert_eq!(broke_off, 12);
    played.printed(&["rebuild", "--into", "again"], 0)?;
    equal(&played)
}

async fn apply(rebuild: &Rebuild, workers: &[&dyn Effects], position: i64, input: Input) -> Result<()> {
    let store = rebuild.built();
    match input {
        Input::Events { queue, events, at } => {
            let effects = workers.iter().find(|worker| worker.queue() == queue).context("no such worker")?;
            let events: Vec<Event> = events.into_iter().map(|(_, event)| event).collect();
            let mut client = store.client().await?;
            let tx = client.begin().await?;
            effects.apply_in_tx(&tx, &events, at).await?;
            rebuild.advance_in_tx(&tx, position).await?;
            tx.commit().await?;
        }
        Input::Operation(operation, at) => replay::operation(store, &operation, at).await?,
        Input::Proposal(correction, at) => replay::proposal(store, &correction, at).await?,
        Input::Decision(correction, at) => replay::decision(store, &correction, at).await?,
        Input::Delivered(grant) => {
            let mut client = store.client().await?;
            let tx = client.begin().await?;
            set_grant_state_in_tx(&tx, grant, "fulfilled").await?;
            tx.commit().await?;
        }
    }
    Ok(())
}
