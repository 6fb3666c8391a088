//! What matches come to does not depend on when they come.

use anyhow::Result;
use matchpurse_player_stats::boards::{Boards, Step};
use matchpurse_testkit::Dice;

use crate::stage::{NOW, Stage, THREE, clock, season_of_matches, shot};

async fn in_order() -> Result<String> {
    let stage = Stage::start(THREE).await?;
    stage.play(&season_of_matches()).await?;
    stage.made().await
}

#[tokio::test]
async fn every_order_and_batch_with_repeats_comes_to_the_same() -> Result<()> {
    let expected = in_order().await?;
    assert!(expected.contains("skill") && expected.contains("kills") && expected.contains("net"));
    for seed in 0..5 {
        let stage = Stage::start(THREE).await?;
        let mut dice = Dice::new(seed);
        let size = dice.below(6) + 1;
        for batch in dice.shuffled_with_repeats(&season_of_matches()).chunks(size) {
            stage.apply(batch).await?;
            // Some steps, whichever they are, and not always to the end.
            for _ in 0..dice.below(6) {
                stage.boards.step(Step::ALL[dice.below(Step::ALL.len())]).await?;
            }
        }
        stage.boards.settle().await?;
        assert_eq!(stage.made().await?, expected, "seed {seed}");
    }
    Ok(())
}

#[tokio::test]
async fn boards_that_come_after_the_matches_have_them_all() -> Result<()> {
    let expected = in_order().await?;
    let stage = Stage::start("").await?;
    stage.play(&season_of_matches()).await?;
    let settings = crate::stage::settings(&stage.database, THREE)?;
    stage.boards.bring(&settings).await?;
    stage.boards.settle().await?;
    assert_eq!(stage.made().await?, expected);
    Ok(())
}

/// A database of a version that had no boards: nothing is in the feed.
#[tokio::test]
async fn matches_that_are_older_than_the_feed_are_found() -> Result<()> {
    let expected = in_order().await?;
    let stage = Stage::start("").await?;
    stage.apply(&season_of_matches()).await?;
    let older = "DELETE FROM result_feed;
                 INSERT INTO result_fill VALUES ('stats', '00000000-0000-0000-0000-000000000000'),
                                                ('match', '00000000-0000-0000-0000-000000000000')";
    stage.database.connection().await?.batch_execute(older).await?;
    stage.boards.bring(&crate::stage::settings(&stage.database, THREE)?).await?;
    stage.boards.settle().await?;
    assert_eq!(stage.made().await?, expected);
    Ok(())
}

#[tokio::test]
async fn a_match_that_comes_late_is_rated_in_its_place() -> Result<()> {
    let day = |n: i64| NOW - 86_400 * (10 - n);
    let matches = [
        shot("m1", day(1), (13, 7), &[("ann", 20)], &[("bob", 10)]),
        shot("m2", day(2), (13, 7), &[("bob", 20)], &[("cat", 10)]),
        shot("m3", day(3), (13, 7), &[("cat", 20)], &[("ann", 10)]),
    ];
    let ordered = Stage::start(THREE).await?;
    ordered.play(&matches).await?;
    let late = Stage::start(THREE).await?;
    late.play(&[matches[0].clone(), matches[2].clone()]).await?;
    let before = late.ratings().await?;
    late.apply(&matches[1..2]).await?;
    late.boards.step(Step::Feed).await?;
    // Until it is done readers know that it is not.
    let since = "SELECT (recomputing_since IS NOT NULL)::text FROM rating_game WHERE game = 'shooter'";
    assert_eq!(late.database.texts(since).await?, ["true"]);
    // One step back: ratings are those after the first match.
    late.boards.step(Step::Rate).await?;
    assert_eq!(late.ratings().await?.len(), 2);
    late.boards.settle().await?;
    assert_eq!(late.database.texts(since).await?, ["false"]);
    assert_ne!(late.ratings().await?, before);
    assert_eq!(late.made().await?, ordered.made().await?);
    Ok(())
}

/// A step takes a bounded number of ratings back and rates a bounded number of matches, so this takes many of each.
#[tokio::test]
async fn a_thousand_matches_are_rated_anew_step_by_step() -> Result<()> {
    let names: Vec<String> = (0..40).map(|n| format!("p{n}")).collect();
    let mut matches = Vec::new();
    for n in 0..1000_usize {
        let team = |from: usize| -> Vec<(&str, i32)> {
            (0..5).map(|k| (names[(n + from + k * 7) % 40].as_str(), 1)).collect()
        };
        let scores = if n % 3 == 0 { (13, 2) } else { (2, 13) };
        matches.push(shot(
            &format!("m{n}"),
            NOW - 10_000 + i64::try_from(n).unwrap(),
            scores,
            &team(0),
            &team(3),
        ));
    }
    let expected = Stage::start(THREE).await?;
    let late = Stage::start(THREE).await?;
    for batch in matches.chunks(200) {
        expected.apply(batch).await?;
    }
    expected.boards.settle().await?;
    for batch in matches[1..].chunks(200) {
        late.apply(batch).await?;
    }
    late.boards.settle().await?;
    late.apply(&matches[..1]).await?;
    late.boards.step(Step::Feed).await?;
    let mut steps = 0;
    while late.boards.step(Step::Rate).await? {
        steps += 1;
        // Wherever it is, the ratings are those after the last step that is left.
        let wrong = "SELECT r.player_key::text FROM rating r
                      CROSS JOIN LATERAL (SELECT * FROM rating_step s WHERE s.player_key = r.player_key
                                           ORDER BY ended_at DESC, result_key DESC LIMIT 1) s
                      WHERE (r.mean, r.uncertainty, r.matches) <> (s.mean, s.uncertainty, s.nth)";
        assert!(late.database.texts(wrong).await?.is_empty());
    }
    assert!(steps > 5, "{steps}");
    late.boards.settle().await?;
    assert_eq!(late.made().await?, expected.made().await?);
    Ok(())
}

/// Dropped at whatever it waits for, as if it were killed there.
#[tokio::test]
async fn whoever_is_killed_between_two_steps_loses_nothing() -> Result<()> {
    let expected = in_order().await?;
    let stage = Stage::start(THREE).await?;
    stage.apply(&season_of_matches()).await?;
    for polls in 1..60 {
        let mut turn = Box::pin(stage.boards.turn());
        let mut left = polls;
        let killed = std::future::poll_fn(|context| {
            left -= 1;
            match turn.as_mut().poll(context) {
                std::task::Poll::Ready(done) => std::task::Poll::Ready(Some(done)),
                std::task::Poll::Pending if left == 0 => std::task::Poll::Ready(None),
                std::task::Poll::Pending => std::task::Poll::Pending,
            }
        });
        if let Some(done) = killed.await {
            done?;
        }
    }
    stage.boards.settle().await?;
    assert_eq!(stage.made().await?, expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_at_once_do_it_once() -> Result<()> {
    let expected = in_order().await?;
    let stage = Stage::start(THREE).await?;
    let other = Boards::new(stage.database.store().await?, &stage.settings, clock);
    let playing = async {
        for batch in season_of_matches().chunks(3) {
            stage.apply(batch).await?;
        }
        anyhow::Ok(())
    };
    let making = |boards: Boards| async move {
        for _ in 0..40 {
            boards.turn().await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(playing, making(stage.boards.clone()), making(other.clone()))?;
    other.settle().await?;
    stage.boards.settle().await?;
    assert_eq!(stage.made().await?, expected);
    Ok(())
}
