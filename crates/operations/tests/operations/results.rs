use std::sync::Arc;

use anyhow::Result;
use matchpurse_domain::event::MatchStatus::{CanceledOther, Closed, Confirmed, Open};
use matchpurse_domain::event::{Event, MatchKind, MatchStatus, Payload};
use matchpurse_domain::ids::SourceName;
use matchpurse_operations::results::{Accepted, Author, GroupScore, PlayerScore, Request, Told, accept};
use matchpurse_operations::{End, Error};
use matchpurse_store::match_results::{ReportState, of_match};
use tokio::task::JoinSet;

use crate::ground::{Ground, NOW, snapshot, told};

/// A snapshot of a match that a platform arranged.
pub(crate) fn arranged(source: &str, status: MatchStatus, winner: Option<&str>) -> Event {
    let mut event = snapshot(source, status, winner, None);
    if let Payload::MatchSnapshot(snapshot) = &mut event.payload {
        snapshot.kind = MatchKind::Platform;
    }
    event
}

/// Side g1 has the first points and g2 the second.
fn points(g1: i64, g2: i64) -> Told {
    let group = |(id, score): (&str, i64)| GroupScore { group_id: id.to_owned(), score, forfeit: false };
    Told { groups: [("g2", g2), ("g1", g1)].map(group).to_vec(), players: Vec::new() }
}

async fn tell_as(ground: &Ground, source: &str, told: Told, key: &str) -> Result<Accepted, Error> {
    let request = Request {
        source: SourceName::parse(source).unwrap(),
        match_id: "m1".to_owned(),
        kind: None,
        result: told,
        report: true,
    };
    let author = Author { actor: "back-end".to_owned(), idempotency_key: key.to_owned() };
    accept(&ground.store, &request, &author, NOW).await
}

#[tokio::test]
async fn the_first_result_settles_the_match_and_stays() -> Result<()> {
    let ground = Ground::new().await?;
    ground.apply(&[arranged("theirs", Confirmed, None)]).await?;
    let mut won = points(300, 299);
    won.players = vec![PlayerScore { player_id: "b".to_owned(), score: -7 }];
    let first = tell_as(&ground, "theirs", won.clone(), "k1").await?;
    assert!(!first.repeated);
    let settled = "CLOSED, payout, generation 0: pot 2000, paid 1800, back 0, fee 200";
    assert_eq!(ground.the_match().await?, settled);
    assert_eq!(ground.balances().await?, "a 800, b -1000, external 200");
    assert_eq!(ground.rows("SELECT kind FROM outbox ORDER BY kind").await?, ["match.held", "match.settled"]);

    // The same again, in another order, by anybody, under any key; and another one.
    won.groups.reverse();
    for key in ["k1", "k2"] {
        assert!(tell_as(&ground, "theirs", won.clone(), key).await?.repeated, "{key}");
    }
    assert!(matches!(tell_as(&ground, "theirs", points(1, 2), "k1").await, Err(Error::KeyReused)));
    assert!(matches!(tell_as(&ground, "theirs", points(1, 2), "k2").await, Err(Error::OtherResult)));
    assert_eq!(ground.the_match().await?, settled);
    assert_eq!(
        ground.rows("SELECT kind || ' by ' || actor || ': ' || reason FROM operation").await?,
        ["match_result by back-end: the result is g1 300, g2 299"]
    );

    let known = of_match(&ground.store.client().await?, &first.key).await?.unwrap();
    assert_eq!(known.operation.detail["players"][1]["score"], -7);
    assert_eq!(known.operation.detail["players"][0]["score"], 300);
    assert_eq!(known.report.map(|report| report.state), Some(ReportState::Waiting));

    // What the provider says later: the same, and the opposite.
    ground.apply(&[arranged("theirs", Closed, Some("g1"))]).await?;
    assert_eq!(ground.rows("SELECT kind FROM anomaly").await?, [""; 0]);
    ground.apply(&[arranged("theirs", Closed, Some("g2"))]).await?;
    ground.apply(&[arranged("theirs", CanceledOther, None)]).await?;
    let anomalies = ground.rows("SELECT kind FROM anomaly ORDER BY kind").await?;
    assert_eq!(anomalies, ["outcome_conflict", "terminal_conflict"]);
    assert_eq!(ground.the_match().await?, settled);
    ground.sound().await?;

    // A person may set another end; the result that was told first stays what it was.
    ground.correct("theirs", End::Refund {}, "c1", 1).await?;
    assert_eq!(ground.balances().await?, "");
    assert!(tell_as(&ground, "theirs", won, "k3").await?.repeated);
    ground.sound().await
}

#[tokio::test]
async fn many_at_once_are_one_and_the_provider_beside_them_is_first_or_second() -> Result<()> {
    let ground = Arc::new(Ground::new().await?);
    ground.apply(&[arranged("theirs", Confirmed, None)]).await?;
    let mut tasks = JoinSet::new();
    for n in 0..12_i64 {
        let ground = Arc::clone(&ground);
        tasks.spawn(async move {
            if n % 6 == 5 {
                ground.apply(&[arranged("theirs", CanceledOther, None)]).await?;
                return Ok(false);
            }
            // Half of them say that the other side has won.
            let told = if n % 2 == 0 { points(2, 1) } else { points(1, 2) };
            match tell_as(&ground, "theirs", told, &format!("k{n}")).await {
                Ok(accepted) => Ok(!accepted.repeated),
                Err(Error::OtherResult | Error::Refused(_)) => Ok(false),
                Err(error) => Err(error.into()),
            }
        });
    }
    let accepted: Vec<bool> = tasks.join_all().await.into_iter().collect::<Result<_>>()?;
    let accepted = accepted.into_iter().filter(|first| *first).count();
    assert!(accepted <= 1, "{accepted}");
    let results = ground.rows("SELECT operation_id::text FROM match_result").await?;
    assert_eq!(results.len(), accepted);
    assert_eq!(
        ground.rows("SELECT settlement FROM match").await?,
        [if accepted == 1 { "payout" } else { "refund" }]
    );
    ground.sound().await
}

#[tokio::test]
async fn what_is_no_result_of_the_match_is_refused_and_nothing_is_kept() -> Result<()> {
    let ground = Ground::new().await?;
    let mut text = String::new();
    let mut refused = async |what: &str, source: &str, result: Told| -> Result<()> {
        let error = tell_as(&ground, source, result, "k").await.unwrap_err();
        text.push_str(&format!("{what}: {}\n", told(&error)));
        Ok(())
    };
    refused("no match", "theirs", points(1, 2)).await?;
    ground.apply(&[arranged("theirs", Confirmed, None), arranged("asked", CanceledOther, None)]).await?;
    refused("ended by its source", "asked", points(1, 2)).await?;
    let with = |change: fn(&mut Told)| {
        let mut told = points(1, 2);
        change(&mut told);
        told
    };
    refused("unknown side", "theirs", with(|told| told.groups[0].group_id = "g9".to_owned())).await?;
    refused("a side lacks", "theirs", with(|told| drop(told.groups.pop()))).await?;
    refused("twice", "theirs", with(|told| told.groups.push(told.groups[0].clone()))).await?;
    refused("nobody played", "theirs", with(|told| told.groups.iter_mut().for_each(|g| g.forfeit = true)))
        .await?;
    let stranger = PlayerScore { player_id: "z".to_owned(), score: 1 };
    let mut strange = points(1, 2);
    strange.players = vec![stranger.clone()];
    refused("a stranger", "theirs", strange).await?;
    let mut twice = points(1, 2);
    twice.players = vec![stranger.clone(), stranger];
    refused("a player twice", "theirs", twice).await?;
    ground.deposit("a", 400).await?;
    ground.apply(&[snapshot("ours", Open, None, None)]).await?;
    refused("no stakes", "ours", points(1, 2)).await?;
    insta::assert_snapshot!(text);
    for table in ["match_result", "result_report"] {
        assert_eq!(ground.rows(&format!("SELECT operation_id::text FROM {table}")).await?, [""; 0]);
    }
    assert_eq!(ground.balances().await?, "a -600, b -1000, escrow 2000, external -400");
    ground.sound().await
}

#[tokio::test]
async fn a_provider_that_pays_itself_is_not_overruled_by_a_result() -> Result<()> {
    let ground = Ground::new().await?;
    ground.apply(&[snapshot("theirs", Confirmed, None, None)]).await?;
    let error = tell_as(&ground, "theirs", points(1, 2), "k").await.unwrap_err();
    assert_eq!(
        told(&error),
        "the escrow refuses it: the provider of this match decides it and pays its players itself"
    );
    ground.sound().await
}

#[tokio::test]
async fn where_the_studio_holds_the_stakes_a_result_pays_them_out() -> Result<()> {
    let ground = Ground::new().await?;
    ground.deposit("a", 1000).await?;
    ground.deposit("b", 1000).await?;
    ground.apply(&[snapshot("ours", Open, None, None)]).await?;
    let tied = tell_as(&ground, "ours", points(5, 5), "k").await?;
    assert!(!tied.repeated);
    assert_eq!(
        ground.the_match().await?,
        "CLOSED_TIE, tie, generation 0: pot 2000, paid 0, back 2000, fee 0"
    );
    ground.sound().await
}

#[tokio::test]
async fn a_result_is_kept_as_it_is() -> Result<()> {
    let ground = Ground::new().await?;
    ground.apply(&[arranged("theirs", Confirmed, None)]).await?;
    tell_as(&ground, "theirs", points(1, 2), "k").await?;
    let owner = ground.database.connection().await?;
    for sql in ["UPDATE match_result SET match_no = 9", "DELETE FROM match_result", "TRUNCATE match_result"] {
        let error = owner.batch_execute(sql).await.unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("ES028"), "{sql}");
    }
    Ok(())
}
