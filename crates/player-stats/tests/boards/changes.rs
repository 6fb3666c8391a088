//! What corrections, cancellations, seasons, exclusions and new definitions do to boards.

use anyhow::{Context as _, Result};
use matchpurse_domain::event::MatchStatus;
use matchpurse_domain::time::Timestamp;
use matchpurse_operations::corrections::{self, Request, propose};
use matchpurse_operations::{End, stats};
use matchpurse_store::boards::{Decision, exclude_in_tx, readmit_in_tx};
use matchpurse_store::stats::StatsKey;

use crate::stage::{
    NOW, Stage, THREE, board, clock, key, settings, shot, source, staked, staked_event, stats_event,
};

#[tokio::test]
async fn a_match_that_is_called_off_counts_nothing() -> Result<()> {
    let stage = Stage::start(THREE).await?;
    stage.play(&[shot("m0", NOW - 9, (13, 7), &[("ann", 20)], &[("bob", 10)])]).await?;
    let before = (stage.made().await?, stage.ratings().await?);
    let (ann, bob) = ([("ann", 9)], [("bob", 7)]);
    let rounds = |n: u32| (n / 2, n - n / 2);
    let at = Timestamp::from_seconds(NOW);
    let mut events: Vec<_> =
        (1..=12).map(|n| stats_event("m1", at, rounds(n), &ann, &bob, false, None)).collect();
    events.push(stats_event("m1", at, rounds(12), &ann, &bob, true, Some("MISSING_PLAYERS:bob")));
    events.push(staked_event("s1", NOW, MatchStatus::Confirmed, "ann", "bob"));
    events.push(staked_event("s1", NOW, MatchStatus::CanceledByOwner, "ann", "bob"));
    stage.play(&events).await?;
    assert_eq!((stage.made().await?, stage.ratings().await?), before);
    assert_eq!(stage.listed("net", "all").await?, [""; 0]);
    Ok(())
}

/// A correction leaves what a match that ended so from the beginning leaves.
#[tokio::test]
async fn a_correction_moves_boards_and_ratings_to_where_they_belong() -> Result<()> {
    let (early, late) = (staked("s1", NOW - 100, "ann", "bob"), staked("s2", NOW - 50, "bob", "cat"));
    let stage = Stage::start(THREE).await?;
    stage.play(&[early, late.clone()]).await?;
    assert_eq!(stage.listed("net", "all").await?, ["ann 800 1", "bob -200 2", "cat -1000 1"]);
    let correct = async |end: End, reason: &str| {
        let request = Request { source: source("arena"), match_id: "s1".to_owned(), kind: None, end };
        let author = corrections::Author {
            actor: "ops".to_owned(),
            reason: reason.to_owned(),
            idempotency_key: reason.to_owned(),
            approvals: 1,
        };
        propose(&stage.store, &request, &author, clock()).await?;
        anyhow::Ok(stage.boards.settle().await?)
    };
    correct(End::Winners { groups: vec!["g-bob".to_owned()] }, "bob-won").await?;
    let right = Stage::start(THREE).await?;
    right.play(&[staked("s1", NOW - 100, "bob", "ann"), late.clone()]).await?;
    assert_eq!(stage.ratings().await?, right.ratings().await?);
    // The whole pot is divided then, because nobody said what the provider keeps.
    assert_eq!(stage.listed("net", "all").await?, ["bob 1800 2", "ann -1000 1", "cat -1000 1"]);
    // Given back, it was never played.
    correct(End::Refund {}, "never-played").await?;
    let right = Stage::start(THREE).await?;
    right.play(&[late]).await?;
    assert_eq!(stage.ratings().await?, right.ratings().await?);
    assert_eq!(stage.listed("net", "all").await?, ["bob 800 1", "cat -1000 1"]);
    assert_eq!(stage.listed("skill", "2026-Q4").await?, right.listed("skill", "2026-Q4").await?);
    Ok(())
}

#[tokio::test]
async fn an_end_of_statistics_that_an_operator_chooses_counts_instead() -> Result<()> {
    let first = shot("m1", NOW - 100, (13, 7), &[("ann", 20)], &[("bob", 10), ("dan", 3)]);
    let second = shot("m1", NOW - 100, (7, 13), &[("ann", 15)], &[("bob", 12)]);
    let after = shot("m2", NOW - 50, (13, 7), &[("bob", 8)], &[("cat", 1)]);
    let stage = Stage::start(THREE).await?;
    stage.play(&[first, second.clone(), after.clone()]).await?;
    assert_eq!(stage.listed("kills", "2026-11").await?, ["ann 20 1", "bob 18 2", "dan 3 1", "cat 1 1"]);
    let key = StatsKey { source: source("servers"), match_id: "m1".to_owned() };
    let author = stats::Author {
        actor: "ops".to_owned(),
        reason: "the server was restarted".to_owned(),
        idempotency_key: "k".to_owned(),
    };
    stats::correct(&stage.store, &key, stats::Choice::Event(second.id), &author, clock()).await?;
    stage.boards.settle().await?;
    let right = Stage::start(THREE).await?;
    right.play(&[second, after]).await?;
    assert_eq!(stage.made().await?, right.made().await?);
    assert_eq!(stage.listed("kills", "2026-11").await?, ["bob 20 2", "ann 15 1", "cat 1 1"]);
    Ok(())
}

#[tokio::test]
async fn seasons_roll_over_at_midnight_and_the_old_ones_stay() -> Result<()> {
    let boards = r#"
[leaderboards.month]
metric = "kills"
season = "month"
[leaderboards.week]
metric = "kills"
season = "week"
[leaderboards.ever]
metric = "kills"
"#;
    let stage = Stage::start(boards).await?;
    // 2026-12-01T00:00:00Z, a Tuesday.
    let midnight = 1_796_083_200_000_000;
    let ended = |id: &str, micros: i64| {
        let at = Timestamp::from_micros(micros);
        stats_event(id, at, (13, 7), &[("ann", 5)], &[("bob", 3)], true, None)
    };
    stage.play(&[ended("m1", midnight - 1), ended("m2", midnight)]).await?;
    for (board, season) in [("month", "2026-11"), ("month", "2026-12")] {
        assert_eq!(stage.listed(board, season).await?, ["ann 5 1", "bob 3 1"], "{season}");
    }
    assert_eq!(stage.listed("week", "2026-W49").await?, ["ann 10 2", "bob 6 2"]);
    assert_eq!(stage.listed("ever", "all").await?, ["ann 10 2", "bob 6 2"]);
    // A match of the old month that comes late still belongs to it.
    stage.play(&[ended("m0", midnight - 2)]).await?;
    assert_eq!(stage.listed("month", "2026-11").await?, ["ann 10 2", "bob 6 2"]);
    assert_eq!(stage.listed("month", "2026-12").await?, ["ann 5 1", "bob 3 1"]);
    Ok(())
}

#[tokio::test]
async fn of_equal_scores_the_one_that_was_reached_first_is_better() -> Result<()> {
    let boards = r#"
[leaderboards.wins]
metric = "wins"
[leaderboards.deaths]
metric = "deaths"
direction = "asc"
"#;
    let stage = Stage::start(boards).await?;
    let win = |id: &str, at: i64, winner: &str, loser: &str| {
        shot(id, NOW + at, (13, 7), &[(winner, 1)], &[(loser, 1)])
    };
    // Ann reached her one win first; that she lost later changes nothing. Cat and dan won at the same moment.
    stage
        .play(&[
            win("m1", 1, "ann", "eve"),
            win("m2", 2, "bob", "eve"),
            win("m3", 3, "cat", "eve"),
            win("m4", 3, "dan", "ann"),
        ])
        .await?;
    let mut last = [("cat 1 1", key("servers", "cat")), ("dan 1 1", key("servers", "dan"))];
    last.sort_by_key(|(_, key)| *key);
    let wins = stage.listed("wins", "all").await?;
    assert_eq!(wins, ["ann 1 2", "bob 1 1", last[0].0, last[1].0, "eve 0 3"]);
    let deaths = stage.listed("deaths", "all").await?;
    assert_eq!((deaths[0].as_str(), deaths[4].as_str()), ("bob 10 1", "eve 30 3"));
    Ok(())
}

#[tokio::test]
async fn players_are_taken_off_a_board_and_let_back() -> Result<()> {
    let boards = "[leaderboards.kills]\nmetric = \"kills\"\nmin_matches = 2\nexclude_banned = true\n";
    let stage = Stage::start(boards).await?;
    let both = |id: &str, at: i64| shot(id, NOW + at, (13, 7), &[("ann", 5)], &[("bob", 3)]);
    let once = shot("m3", NOW + 3, (13, 7), &[("cat", 9)], &[("ann", 0)]);
    stage.play(&[both("m1", 1), both("m2", 2), once]).await?;
    assert_eq!(stage.listed("kills", "all").await?, ["ann 10 3", "bob 6 2"]);
    assert_eq!(stage.unlisted("kills").await?, ["cat too_few_matches"]);
    let decision = |reason: &str| Decision {
        board: board("kills"),
        player: key("servers", "ann"),
        actor: "ops".to_owned(),
        reason: reason.to_owned(),
    };
    let decide = async |exclude: bool| {
        let mut client = stage.store.client().await?;
        let tx = client.begin().await?;
        let done = match exclude {
            true => exclude_in_tx(&tx, &decision("cheats"), clock()).await?,
            false => readmit_in_tx(&tx, &decision("was wrong"), clock()).await?,
        };
        tx.commit().await?;
        anyhow::Ok(done)
    };
    assert!(decide(true).await?);
    assert!(!decide(true).await?, "it is done once");
    // At once, without waiting for the job; and the job does not undo it.
    assert_eq!(stage.listed("kills", "all").await?, ["bob 6 2"]);
    stage.play(&[both("m4", 4)]).await?;
    assert_eq!(stage.listed("kills", "all").await?, ["bob 9 3"]);
    assert_eq!(stage.unlisted("kills").await?, ["ann excluded", "cat too_few_matches"]);
    assert!(decide(false).await?);
    assert!(!decide(false).await?);
    stage.boards.settle().await?;
    assert_eq!(stage.listed("kills", "all").await?, ["ann 15 4", "bob 9 3"]);
    let recorded = "SELECT kind || ' ' || actor || ' ' || reason FROM board_operation";
    assert_eq!(stage.database.texts(recorded).await?, ["excluded ops cheats", "readmitted ops was wrong"]);
    Ok(())
}

#[tokio::test]
async fn who_is_banned_or_linked_to_somebody_who_is_is_not_listed() -> Result<()> {
    let boards = r#"
[leaderboards.strict]
metric = "kills"
exclude_banned = true
[leaderboards.open]
metric = "kills"
"#;
    let stage = Stage::start(boards).await?;
    stage.play(&[shot("m1", NOW, (13, 7), &[("ann", 5)], &[("bob", 3)])]).await?;
    let connection = stage.database.connection().await?;
    let (ann, bob, wall) = (key("servers", "ann"), key("servers", "bob"), key("wall", "b-17"));
    let stand = async |player: uuid::Uuid, standing: &str| {
        let sql = format!(
            "INSERT INTO player_standing (player_key, source, standing, changed_at, last_event_id)
             VALUES ('{player}', 'wall', '{standing}', now(), '{player}')
             ON CONFLICT (player_key) DO UPDATE SET standing = EXCLUDED.standing"
        );
        connection.batch_execute(&sql).await?;
        anyhow::Ok(stage.boards.settle().await?)
    };
    stand(ann, "banned").await?;
    assert_eq!(stage.listed("strict", "all").await?, ["bob 3 1"]);
    assert_eq!(stage.listed("open", "all").await?, ["ann 5 1", "bob 3 1"]);
    stand(ann, "good").await?;
    stand(wall, "banned").await?;
    assert_eq!(stage.listed("strict", "all").await?, ["ann 5 1", "bob 3 1"]);
    let link = format!(
        "INSERT INTO player_link (player_key, person) VALUES ('{bob}', '{bob}'), ('{wall}', '{bob}')"
    );
    connection.batch_execute(&link).await?;
    stage.boards.settle().await?;
    assert_eq!(stage.listed("strict", "all").await?, ["ann 5 1"]);
    assert_eq!(stage.unlisted("strict").await?, ["bob banned"]);
    connection.batch_execute("DELETE FROM player_link").await?;
    stage.boards.settle().await?;
    assert_eq!(stage.listed("strict", "all").await?, ["ann 5 1", "bob 3 1"]);
    Ok(())
}

#[tokio::test]
async fn a_new_definition_takes_the_place_of_the_old_one_when_it_is_made() -> Result<()> {
    let stage = Stage::start("[leaderboards.best]\nmetric = \"kills\"\nseason = \"month\"\n").await?;
    stage.play(&[shot("m1", NOW, (13, 7), &[("ann", 5)], &[("bob", 30)])]).await?;
    let changed = settings(&stage.database, "[leaderboards.best]\nmetric = \"wins\"\n")?;
    stage.boards.bring(&changed).await?;
    // The old one is read until the new one is made.
    assert_eq!(stage.listed("best", "2026-11").await?, ["bob 30 1", "ann 5 1"]);
    stage.boards.settle().await?;
    assert_eq!(stage.listed("best", "all").await?, ["ann 1 1", "bob 0 1"]);
    assert_eq!(stage.database.texts("SELECT state FROM board").await?, ["current"]);
    assert_eq!(stage.database.texts("SELECT DISTINCT season FROM board_entry").await?, ["all"]);
    // The same again is no new one; and what is taken out stays as it is.
    stage.boards.bring(&changed).await?;
    assert_eq!(stage.database.texts("SELECT state FROM board").await?, ["current"]);
    stage.boards.bring(&settings(&stage.database, "")?).await?;
    stage.play(&[shot("m2", NOW + 1, (13, 7), &[("bob", 5)], &[("ann", 30)])]).await?;
    assert_eq!(stage.listed("best", "all").await?, ["ann 1 1", "bob 0 1"]);
    stage.boards.bring(&changed).await?;
    stage.boards.settle().await?;
    assert_eq!(stage.listed("best", "all").await?, ["ann 1 2", "bob 1 2"]);
    Ok(())
}

#[tokio::test]
async fn a_source_that_changes_its_game_takes_its_matches_along() -> Result<()> {
    let stage = Stage::start(THREE).await?;
    stage
        .play(&[
            shot("m1", NOW - 9, (13, 7), &[("ann", 5)], &[("bob", 3)]),
            staked("s1", NOW - 5, "ann", "cat"),
        ])
        .await?;
    let games = "SELECT DISTINCT game FROM rating";
    assert_eq!(stage.database.texts(games).await?, ["shooter"]);
    let text = format!("[database]\nurl = \"postgres://x\"\n{}", crate::stage::SOURCES);
    let moved = text.replacen("game = \"shooter\"", "game = \"chess\"", 1);
    stage.boards.bring(&matchpurse_settings::Settings::parse_str(&moved)?).await?;
    stage.boards.settle().await?;
    let by_game = "SELECT game || ' ' || player_id FROM rating JOIN player USING (player_key)";
    assert_eq!(
        stage.database.texts(by_game).await?,
        ["chess ann", "chess bob", "shooter ann", "shooter cat"]
    );
    Ok(())
}

#[tokio::test]
async fn what_differs_from_the_matches_is_found_and_put_right() -> Result<()> {
    let stage = Stage::start(THREE).await?;
    stage.play(&crate::stage::season_of_matches()).await?;
    let made = stage.made().await?;
    let sources = [source("servers"), source("arena")].into();
    let compare = async || stage.boards.compare("shooter", &sources).await?.context("never at rest");
    let right = compare().await?;
    assert!(right.is_right() && right.matches == 40 && right.rated == 40 && right.players == 16, "{right:?}");
    let connection = stage.database.connection().await?;
    for wrong in [
        "UPDATE rating_step SET mean = mean + 1
          WHERE (ended_at, result_key) = (SELECT ended_at, result_key FROM rating_step
                                           ORDER BY ended_at, result_key OFFSET 40 LIMIT 1)",
        "UPDATE rating SET uncertainty = uncertainty + 1",
        "DELETE FROM rating_step WHERE nth = 2",
        "UPDATE result SET players[1] = players[2] WHERE kind = 'stats'",
        "INSERT INTO result VALUES (gen_random_uuid(), 'stats', 'servers', now(), '{}', '{}', '{}')",
    ] {
        connection.batch_execute(wrong).await?;
        let compared = compare().await?;
        assert!(!compared.is_right(), "{wrong}");
        stage.boards.repair("shooter", &compared).await?;
        assert!(compare().await?.is_right(), "{wrong}");
        assert_eq!(stage.made().await?, made, "{wrong}");
    }
    Ok(())
}
