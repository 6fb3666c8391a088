use std::sync::Arc;

use anyhow::Result;
use matchpurse_domain::event::MatchKind;
use matchpurse_domain::event::MatchStatus::{CanceledOther, Confirmed};
use matchpurse_domain::ids::SourceName;
use matchpurse_operations::match_links::{Followed, Request, follow, link};
use matchpurse_operations::{Error, results};
use matchpurse_store::escrow::MatchKey;
use matchpurse_store::match_links::{Link, LinkState, find};
use matchpurse_store::match_results::of_match;
use matchpurse_store::stats::StatsKey;
use tokio::task::JoinSet;

use crate::ground::{Ground, NOW, told};
use crate::results::arranged;

const NOTHING: Followed = Followed { decided: 0, failed: 0, errors: 0 };
/// The source whose finals may decide.
const TRUSTED: &[&str] = &["servers"];

fn source(name: &str) -> SourceName {
    SourceName::parse(name).unwrap()
}

fn request(decided_by: &str, team1: &str, team2: &str) -> Request {
    Request {
        source: source("theirs"),
        match_id: "m1".to_owned(),
        kind: None,
        decided_by: StatsKey { source: source("servers"), match_id: decided_by.to_owned() },
        teams: (team1.to_owned(), team2.to_owned()),
        report: true,
    }
}

async fn the_link(ground: &Ground) -> Result<Link> {
    let key = MatchKey { source: source("theirs"), kind: MatchKind::Platform, match_id: "m1".to_owned() };
    Ok(find(&ground.store.client().await?, &key).await?.unwrap())
}

/// A match on a game server, as the worker of statistics leaves it.
async fn play(
    ground: &Ground,
    match_id: &str,
    scores: (i32, i32),
    finished: bool,
    canceled: bool,
) -> Result<()> {
    let key = StatsKey { source: source("servers"), match_id: match_id.to_owned() };
    let sql = "INSERT INTO stats_match (stats_key, source, match_id, team1_score, team2_score, finished, canceled, counted,
                                        first_event_id, last_event_id)
               VALUES ($1, 'servers', $2, $3, $4, $5, $6, $5 AND NOT $6, $1, $1)
               ON CONFLICT (stats_key) DO UPDATE
                  SET team1_score = $3, team2_score = $4, finished = $5, canceled = $6, counted = $5 AND NOT $6";
    let owner = ground.database.connection().await?;
    owner.execute(sql, &[&key.uuid(), &match_id, &scores.0, &scores.1, &finished, &canceled]).await?;
    Ok(())
}

#[tokio::test]
async fn a_linked_final_decides_when_it_has_come_and_only_of_a_source_that_is_trusted() -> Result<()> {
    let ground = Ground::new().await?;
    ground.apply(&[arranged("theirs", Confirmed, None)]).await?;
    play(&ground, "s1", (9, 3), false, false).await?;
    // Linked wrongly first, then the other way round; again it changes nothing.
    link(&ground.store, &request("s1", "g1", "g2"), "back-end", NOW).await?;
    for _ in 0..2 {
        link(&ground.store, &request("s1", "g2", "g1"), "back-end", NOW).await?;
    }
    let linked = "SELECT kind || ': ' || reason FROM operation";
    assert_eq!(ground.rows(linked).await?, ["match_link: servers/s1 decides it"; 2]);
    assert_eq!(follow(&ground.store, TRUSTED, NOW).await?, NOTHING, "it still runs");
    play(&ground, "s1", (16, 12), true, false).await?;
    assert_eq!(follow(&ground.store, &["theirs"], NOW).await?, NOTHING, "nobody trusts it");
    assert_eq!(follow(&ground.store, TRUSTED, NOW).await?, Followed { decided: 1, ..NOTHING });
    assert_eq!(follow(&ground.store, TRUSTED, NOW).await?, NOTHING);
    assert_eq!(ground.balances().await?, "a -1000, b 800, external 200");
    let link = the_link(&ground).await?;
    assert_eq!((link.state, link.failure), (LinkState::Decided, None));
    let results = "SELECT actor || ': ' || reason FROM operation WHERE kind = 'match_result'";
    assert_eq!(ground.rows(results).await?, ["servers/s1: the result is g1 12, g2 16"]);
    let key = MatchKey { source: source("theirs"), kind: MatchKind::Platform, match_id: "m1".to_owned() };
    assert!(of_match(&ground.store.client().await?, &key).await?.unwrap().report.is_some());
    let again = self::link(&ground.store, &request("s2", "g2", "g1"), "back-end", NOW).await.unwrap_err();
    assert_eq!(told(&again), "the escrow refuses it: the match has ended by a payout already");
    ground.apply(&[arranged("theirs", CanceledOther, None)]).await?;
    assert_eq!(ground.rows("SELECT kind FROM anomaly").await?, ["terminal_conflict"]);
    let owner = ground.database.connection().await?;
    let error = owner.batch_execute("UPDATE match_link SET state = 'waiting'").await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("ES028"));
    Ok(())
}

#[tokio::test]
async fn an_end_that_is_no_result_is_left_in_sight_and_another_link_may_follow() -> Result<()> {
    let ground = Ground::new().await?;
    ground.apply(&[arranged("theirs", Confirmed, None)]).await?;
    play(&ground, "s1", (3, 1), true, true).await?;
    link(&ground.store, &request("s1", "g1", "g2"), "back-end", NOW).await?;
    assert_eq!(follow(&ground.store, TRUSTED, NOW).await?, Followed { failed: 1, ..NOTHING });
    let failed = the_link(&ground).await?;
    assert_eq!(failed.state, LinkState::Failed);
    assert_eq!(failed.failure.as_deref(), Some("the linked match was called off, or has no points"));
    assert_eq!(ground.balances().await?, "a -1000, b -1000, escrow 2000");

    link(&ground.store, &request("s2", "g1", "g2"), "back-end", NOW).await?;
    assert_eq!(the_link(&ground).await?.state, LinkState::Waiting);
    // The studio's word was first.
    let group =
        |(id, score): (&str, i64)| results::GroupScore { group_id: id.to_owned(), score, forfeit: false };
    let request_of = results::Request {
        source: source("theirs"),
        match_id: "m1".to_owned(),
        kind: None,
        result: results::Told { groups: [("g1", 1), ("g2", 2)].map(group).to_vec(), players: Vec::new() },
        report: false,
    };
    let author = results::Author { actor: "back-end".to_owned(), idempotency_key: "k".to_owned() };
    results::accept(&ground.store, &request_of, &author, NOW).await?;
    play(&ground, "s2", (16, 2), true, false).await?;
    assert_eq!(follow(&ground.store, TRUSTED, NOW).await?, Followed { failed: 1, ..NOTHING });
    let failure = the_link(&ground).await?.failure;
    assert_eq!(failure.as_deref(), Some("another result of this match was accepted before"));
    assert_eq!(ground.balances().await?, "a -1000, b 800, external 200");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_linked_is_refused() -> Result<()> {
    let ground = Ground::new().await?;
    let refused = async |request: &Request| link(&ground.store, request, "back-end", NOW).await.unwrap_err();
    assert!(matches!(refused(&request("s1", "g1", "g2")).await, Error::NoMatch));
    ground.apply(&[arranged("theirs", Confirmed, None)]).await?;
    assert_eq!(
        told(&refused(&request("s1", "g1", "g3")).await),
        "the escrow refuses it: \"g3\" is not in the match"
    );
    assert_eq!(told(&refused(&request("s1", "g1", "g1")).await), "\"g1\" is named twice in groups");
    assert_eq!(ground.rows("SELECT kind FROM operation").await?, [""; 0]);
    Ok(())
}

#[tokio::test]
async fn several_that_follow_at_once_decide_once() -> Result<()> {
    let ground = Arc::new(Ground::new().await?);
    ground.apply(&[arranged("theirs", Confirmed, None)]).await?;
    link(&ground.store, &request("s1", "g1", "g2"), "back-end", NOW).await?;
    play(&ground, "s1", (7, 7), true, false).await?;
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let ground = Arc::clone(&ground);
        tasks.spawn(async move { follow(&ground.store, TRUSTED, NOW).await });
    }
    let followed = tasks.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?;
    assert_eq!(followed.iter().map(|followed| followed.decided).sum::<u64>(), 1, "{followed:?}");
    assert!(followed.iter().all(|followed| (followed.failed, followed.errors) == (0, 0)), "{followed:?}");
    assert_eq!(
        ground.the_match().await?,
        "CLOSED_TIE, tie, generation 0: pot 2000, paid 0, back 2000, fee 0"
    );
    Ok(())
}
