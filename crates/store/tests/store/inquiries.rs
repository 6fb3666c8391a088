//! What providers are asked: which matches there is a reason for, whose turn it is, and what is evidence.

use anyhow::Result;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::calls::{self, Budget, Taken};
use matchpurse_store::inquiries::{
    self, Answered, Cursor, Evidence, Patience, Question, attach, claim, look, look_players, match_need,
    player_need,
};
use matchpurse_store::now;
use matchpurse_testkit::Database;
use uuid::Uuid;

const PATIENCE: Patience = Patience { silent_s: 600, ahead_s: 3_600 };

/// Of `games`: `fresh` had news a minute ago, `silent` an hour ago, `near` a minute ago with its deadline in half an hour,
/// `over` has ended; of `servers` one that is silent, and one that has ended. Of `over` an anomaly is open.
const MATCHES: &str = "
    INSERT INTO match (match_key, source, kind, match_id, status, rank, custody, currency, fee_bps, tie_policy,
                       first_event_id, last_event_id, created_at, updated_at, settlement, settled_at)
    SELECT gen_random_uuid(), 'games', 'recreational', id, status, rank, 'provider', 'USD', 0, 'refund_full',
           gen_random_uuid(), gen_random_uuid(), now() - age, now() - quiet, settlement,
           CASE WHEN settlement IS NOT NULL THEN now() END
      FROM (VALUES ('fresh', 'LOCKED', 30, interval '2 hours', interval '1 minute', NULL),
                   ('silent', 'OPEN', 10, interval '2 hours', interval '1 hour', NULL),
                   ('near', 'LOCKED', 30, interval '2 hours', interval '1 minute', NULL),
                   ('over', 'CANCELED_OTHER', 100, interval '2 hours', interval '1 hour', 'refund'))
        AS of (id, status, rank, age, quiet, settlement);
    INSERT INTO match_deadline (match_no, due_at)
    SELECT match_no, now() + CASE match_id WHEN 'near' THEN interval '30 minutes' ELSE interval '2 days' END
      FROM match WHERE match_id IN ('near', 'fresh');
    INSERT INTO stats_match (stats_key, source, match_id, finished, counted, ended_at, first_event_id, last_event_id,
                             created_at, updated_at)
    SELECT gen_random_uuid(), 'servers', id, ended, ended, CASE WHEN ended THEN now() END, gen_random_uuid(),
           gen_random_uuid(), now() - interval '2 hours', now() - interval '1 hour'
      FROM (VALUES ('played', false), ('done', true)) AS of (id, ended);
    INSERT INTO anomaly (key, kind, source, subject, detail)
    VALUES ('one', 'provider_failure', 'games', 'over', '{}'), ('two', 'other', 'games', 'no match of ours', '{}')";

fn of(source: &str, kind: &str, subject: &str) -> Question {
    Question { source: source.to_owned(), kind: kind.to_owned(), subject: subject.to_owned() }
}

async fn noted(database: &Database) -> Result<String> {
    let sql = "SELECT source || ' ' || kind || ' ' || subject FROM inquiry";
    let mut all = database.texts(sql).await?;
    all.sort();
    Ok(all.join("; "))
}

#[tokio::test]
async fn matches_are_asked_about_for_a_reason() -> Result<()> {
    let database = Database::create().await?;
    database.connection().await?.batch_execute(MATCHES).await?;
    let store = database.store().await?;
    let (client, at) = (store.client().await?, now());
    for source in ["games", "servers"] {
        look(&client, source, PATIENCE, Cursor::default(), at).await?;
        look(&client, source, PATIENCE, Cursor::default(), at).await?;
    }
    let expected = "games match near; games match over; games match silent; servers match played";
    assert_eq!(noted(&database).await?, expected);
    let need = async |source: &str, subject: &str| -> Result<String> {
        let need = match_need(&client, &of(source, "match", subject), PATIENCE, at).await?;
        let words = [(need.open, "open"), (need.deadline_near, "near"), (need.contradicted, "contradicted")];
        let words: Vec<&str> = words.into_iter().filter_map(|(is, word)| is.then_some(word)).collect();
        Ok(format!("{subject}: {} {}", words.join(" "), need.is_there(at, PATIENCE)))
    };
    let mut needs = Vec::new();
    for (source, subject) in [
        ("games", "fresh"),
        ("games", "silent"),
        ("games", "near"),
        ("games", "over"),
        ("games", "never heard of"),
        ("servers", "played"),
        ("servers", "done"),
    ] {
        needs.push(need(source, subject).await?);
    }
    assert_eq!(
        needs,
        [
            "fresh: open false",
            "silent: open true",
            "near: open near true",
            "over: contradicted true",
            "never heard of:  false",
            "played: open true",
            "done:  false",
        ]
    );
    Ok(())
}

#[tokio::test]
async fn a_look_goes_on_where_the_last_one_ended_and_begins_anew_at_the_end() -> Result<()> {
    let database = Database::create().await?;
    let many =
        "INSERT INTO match (match_key, source, kind, match_id, status, rank, custody, currency, fee_bps,
                       tie_policy, first_event_id, last_event_id, created_at, updated_at)
                SELECT gen_random_uuid(), 'games', 'recreational', 'm' || n, 'OPEN', 10, 'provider', 'USD', 0,
                       'refund_full', gen_random_uuid(), gen_random_uuid(), now() - interval '3 days',
                       now() - interval '1 day' FROM generate_series(1, 7000) n";
    database.connection().await?.batch_execute(many).await?;
    let store = database.store().await?;
    let client = store.client().await?;
    let count =
        async || Ok::<_, anyhow::Error>(database.texts("SELECT count(*)::text FROM inquiry").await?.join(""));
    let first = look(&client, "games", PATIENCE, Cursor::default(), now()).await?;
    assert_eq!(count().await?, "5000");
    let second = look(&client, "games", PATIENCE, first, now()).await?;
    assert_eq!(count().await?, "7000");
    assert_eq!(look(&client, "games", PATIENCE, second, now()).await?, Cursor::default());
    Ok(())
}

#[tokio::test]
async fn a_question_is_one_askers_until_its_lease_ends() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let (client, at) = (store.client().await?, now());
    inquiries::open(&client, &of("wall", "offers", ""), at).await?;
    inquiries::open(&client, &of("wall", "offers", ""), at.plus_seconds(99)).await?;
    let lease = at.plus_seconds(60);
    let kinds = ["offers"];
    assert!(claim(&client, "wall", &["match"], 9, at, lease).await?.is_empty(), "not its kind");
    let [first] = claim(&client, "wall", &kinds, 9, at, lease).await?.try_into().unwrap();
    assert!(claim(&client, "wall", &kinds, 9, at, lease).await?.is_empty(), "it is another's");
    let [second] =
        claim(&client, "wall", &kinds, 9, lease, lease.plus_seconds(60)).await?.try_into().unwrap();
    let answer = |failed| Answered {
        outcome: if failed { "later" } else { "found" },
        detail: "",
        is_answer: !failed,
        events: 2,
        etag: Some("v1"),
        empty_lists: 0,
        asked_at: at,
        due_at: at.plus_seconds(300),
    };
    assert!(!inquiries::answered(&client, &first, &answer(false)).await?, "its lease has ended");
    assert!(inquiries::answered(&client, &second, &answer(true)).await?);
    let [line] = inquiries::list(&client, None, 9).await?.try_into().unwrap();
    assert_eq!((line.failures, line.outcome.as_deref(), line.answered_at), (1, Some("later"), None));
    let due = at.plus_seconds(301);
    let overdue = inquiries::overdue_s(&client, "wall", due.plus_seconds(9)).await?;
    assert!((9.0..11.0).contains(&overdue), "{overdue}");
    let [third] = claim(&client, "wall", &kinds, 9, due, due.plus_seconds(60)).await?.try_into().unwrap();
    assert_eq!((third.failures, third.etag.as_deref()), (1, Some("v1")));
    assert!(inquiries::answered(&client, &third, &answer(false)).await?);
    let [line] = inquiries::list(&client, Some("wall"), 9).await?.try_into().unwrap();
    assert_eq!((line.failures, line.events, line.answered_at.is_some()), (0, 4, true));
    inquiries::close(&client, &second).await?;
    assert_eq!(noted(&database).await?, "wall offers ", "who lost it cannot close it");
    inquiries::close(&client, &third).await?;
    assert_eq!(noted(&database).await?, "");
    Ok(())
}

#[tokio::test]
async fn players_are_asked_about_while_they_play() -> Result<()> {
    let database = Database::create().await?;
    database.connection().await?.batch_execute(MATCHES).await?;
    let seats = "INSERT INTO player (player_key, source, player_id)
                 SELECT md5(id)::uuid, 'games', id FROM unnest(ARRAY['ann', 'bob']) AS id;
                 INSERT INTO match_participant (match_no, player_key)
                 SELECT match_no, md5(CASE match_id WHEN 'fresh' THEN 'ann' ELSE 'bob' END)::uuid
                   FROM match WHERE match_id IN ('fresh', 'over')";
    database.connection().await?.batch_execute(seats).await?;
    let store = database.store().await?;
    let (client, at) = (store.client().await?, now());
    look_players(&client, "games", at).await?;
    look_players(&client, "games", at).await?;
    assert_eq!(noted(&database).await?, "games players_matches ann");
    let needed = async |player: &str, at: Timestamp| {
        player_need(&client, &of("games", "players_matches", player), at).await
    };
    assert_eq!((needed("ann", at).await?, needed("bob", at).await?), (true, false));
    Ok(())
}

#[tokio::test]
async fn a_wanted_player_is_asked_about_at_once_and_for_a_while_though_no_match_is_known() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let (client, at) = (store.client().await?, now());
    let (question, kinds) = (of("games", "players_matches", "eve"), ["players_matches"]);
    let until = at.plus_seconds(600);
    assert!(!player_need(&client, &question, at).await?);
    inquiries::want(&client, &question, at, until).await?;
    let needed = async |at: Timestamp| player_need(&client, &question, at).await;
    assert_eq!((needed(at).await?, needed(until).await?), (true, false));
    let others = [of("games", "players_matches", "bob"), of("servers", "players_matches", "eve")];
    for other in others {
        assert!(!player_need(&client, &other, at).await?, "{other:?}");
    }

    // It was asked, and waits for its next turn; wanted again it does not wait, and is wanted for longer.
    let lease = at.plus_seconds(60);
    let [first] = claim(&client, "games", &kinds, 9, at, lease).await?.try_into().unwrap();
    let answer = Answered {
        outcome: "nothing_new",
        detail: "",
        is_answer: true,
        events: 0,
        etag: None,
        empty_lists: 0,
        asked_at: at,
        due_at: at.plus_seconds(300),
    };
    assert!(inquiries::answered(&client, &first, &answer).await?);
    assert!(claim(&client, "games", &kinds, 9, at, lease).await?.is_empty());
    let later = at.plus_seconds(5);
    inquiries::want(&client, &question, later, later.plus_seconds(600)).await?;
    inquiries::want(&client, &question, later, later).await?;
    assert!(needed(until).await?);
    let [second] = claim(&client, "games", &kinds, 9, later, lease).await?.try_into().unwrap();

    // Whoever asks meanwhile neither closes it nor puts it off.
    inquiries::want(&client, &question, later, until).await?;
    inquiries::close(&client, &second).await?;
    assert!(!inquiries::answered(&client, &second, &answer).await?);
    assert_eq!(claim(&client, "games", &kinds, 9, later, lease).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn who_is_erased_is_asked_about_no_more() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let (client, at) = (store.client().await?, now());
    for (source, kind, subject) in
        [("games", "players_matches", "ann"), ("other", "players_matches", "ann"), ("games", "match", "ann")]
    {
        inquiries::want(&client, &of(source, kind, subject), at, at.plus_seconds(600)).await?;
    }
    let erased =
        "INSERT INTO player (player_key, source, player_id) VALUES (md5('ann')::uuid, 'games', 'ann');
                  UPDATE player SET player_key = md5('nobody')::uuid, player_id = 'nobody'";
    database.connection().await?.batch_execute(erased).await?;
    assert_eq!(noted(&database).await?, "games match ann; other players_matches ann");
    Ok(())
}

#[tokio::test]
async fn an_answer_stands_once_beside_every_open_anomaly_of_its_match() -> Result<()> {
    let database = Database::create().await?;
    database.connection().await?.batch_execute(MATCHES).await?;
    let store = database.store().await?;
    let (mut client, question, at) = (store.client().await?, of("games", "match", "over"), now());
    for n in 0..30 {
        // Each twice, and more of them than are kept.
        let answer = format!(r#"{{"status":"{}"}}"#, n / 2);
        let evidence = Evidence { asked_at: at.plus_seconds(n), answer: answer.as_bytes() };
        assert_eq!(attach(&mut client, &question, &evidence).await?, 1);
    }
    let kept = "SELECT string_agg((f -> 'answer' ->> 'status') || CASE WHEN f ->> 'at' < f ->> 'last_at' THEN '+' ELSE '' END, ' ')
                  FROM anomaly, jsonb_array_elements(detail -> 'fetched') f WHERE subject = 'over'";
    assert_eq!(database.texts(kept).await?, ["0+ 1+ 2+ 3+ 4+ 5+ 6+ 7+ 8+ 14+"]);
    for odd in [&b"no JSON"[..], &[0xFF, 0x00, b'x'], &vec![b' '; 300_000]] {
        attach(&mut client, &question, &Evidence { asked_at: at, answer: odd }).await?;
    }
    let last = "SELECT (detail -> 'fetched' -> -1 -> 'answer')::text FROM anomaly WHERE subject = 'over'";
    assert_eq!(database.texts(last).await?, [r#"{"too_large": 300000}"#]);
    Ok(())
}

#[tokio::test]
async fn slots_of_a_limit_rest_and_say_when_one_is_free() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let (mut client, at) = (store.client().await?, now());
    let budget = Budget { id: Uuid::from_u128(7), slots: 2 };
    calls::prepare(&client, budget).await?;
    calls::prepare(&client, budget).await?;
    let (soon, late) = (at.plus_seconds(60), at.plus_seconds(90));
    let Taken::Slot(first) = calls::take(&mut client, budget, at, soon).await? else {
        panic!("none is free")
    };
    let Taken::Slot(_) = calls::take(&mut client, budget, at, late).await? else { panic!("none is free") };
    assert_eq!(calls::take(&mut client, budget, at, late).await?, Taken::NoneBefore(soon));
    calls::give_back(&mut client, first, at.plus_seconds(5), None).await?;
    assert_eq!(calls::take(&mut client, budget, at, late).await?, Taken::NoneBefore(at.plus_seconds(5)));
    let then = at.plus_seconds(6);
    let Taken::Slot(again) = calls::take(&mut client, budget, then, soon).await? else {
        panic!("none is free")
    };
    // The provider wants to be left alone: then all rest.
    calls::give_back(&mut client, again, then, Some(at.plus_seconds(600))).await?;
    assert_eq!(
        calls::take(&mut client, budget, late.plus_seconds(1), late).await?,
        Taken::NoneBefore(at.plus_seconds(600))
    );
    Ok(())
}
