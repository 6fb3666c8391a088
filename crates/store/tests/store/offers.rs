//! Who may see an offer, who has started it, and in which order what changes is told.

use std::time::Duration;

use anyhow::Result;
use matchpurse_domain::event::Standing;
use matchpurse_domain::ids::{EventId, PlayerId, SourceName};
use matchpurse_domain::offers::{Description, Eligibility, Offer, OfferState, PlayerRecord};
use matchpurse_domain::time::Timestamp;
use matchpurse_store::offers::{
    ChangeKind, NewChange, Position, Question, Slice, Start, Started, State, changes_after, eligible,
    load_offers_in_tx, load_standings_in_tx, position, prune_changes, record_changes_in_tx,
    save_offers_in_tx, save_standings_in_tx, start, withdraw_start,
};
use matchpurse_store::{Client, Store, Tx, now, players};
use matchpurse_testkit::Database;
use uuid::Uuid;

fn wall() -> SourceName {
    SourceName::parse("wall").unwrap()
}

fn event() -> EventId {
    EventId::from_uuid(Uuid::nil())
}

/// What the worker does with an offer.
async fn set_in_tx(tx: &Tx<'_>, offer_id: &str, state: OfferState) -> Result<()> {
    let key = (wall(), offer_id.to_owned());
    load_offers_in_tx(tx, &[(key.clone(), event())].into()).await?;
    let description = Description { at: None, data: "{}".to_owned(), app_id: None, campaign_id: None };
    let offer = Offer { state, state_at: Some(Timestamp::from_seconds(1)), description };
    save_offers_in_tx(tx, &[(key, (offer, event()))].into()).await?;
    let kind = match state {
        OfferState::Active => ChangeKind::OfferCreated,
        OfferState::Removed => ChangeKind::OfferRemoved,
    };
    record_changes_in_tx(tx, &[change(offer_id, kind, State::Offer(state))]).await?;
    // Written now, and not with the commit: who writes first matters here.
    Ok(tx.settle().await?)
}

fn change(subject: &str, kind: ChangeKind, state: State) -> NewChange {
    let changed_at = Timestamp::from_seconds(1);
    NewChange { source: wall(), kind, subject: subject.to_owned(), state, changed_at }
}

async fn set(store: &Store, offer_id: &str, state: OfferState) -> Result<()> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    set_in_tx(&tx, offer_id, state).await?;
    Ok(tx.commit().await?)
}

async fn judge(store: &Store, player: &str, standing: Standing) -> Result<()> {
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let key = (wall(), PlayerId::from(player));
    players::remember_in_tx(&tx, std::slice::from_ref(&key)).await?;
    load_standings_in_tx(&tx, &[(key.clone(), event())].into()).await?;
    let record = PlayerRecord { standing, changed_at: Timestamp::from_seconds(1), reason: None };
    save_standings_in_tx(&tx, &[(key, (record, event()))].into()).await?;
    Ok(tx.commit().await?)
}

fn of(offer: &str, player: &str) -> Start {
    Start { source: wall(), offer_id: offer.to_owned(), player: player.into() }
}

async fn words(client: &Client, player: &str, offers: &[&str]) -> Result<Vec<&'static str>> {
    let question =
        Question { player: player.into(), offers: offers.iter().map(ToString::to_string).collect() };
    let answers = eligible(client, &wall(), &[question]).await?;
    Ok(answers.into_iter().flatten().map(Eligibility::as_str).collect())
}

#[tokio::test]
async fn questions_are_answered_one_by_one_in_their_order() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let client = store.client().await?;
    set(&store, "open", OfferState::Active).await?;
    set(&store, "gone", OfferState::Active).await?;
    assert!(matches!(start(&client, &of("gone", "early")).await?, Started::Now(_)));
    assert!(matches!(start(&client, &of("open", "banned")).await?, Started::Now(_)));
    set(&store, "gone", OfferState::Removed).await?;
    judge(&store, "banned", Standing::Banned).await?;
    judge(&store, "forgiven", Standing::Good).await?;

    let all = ["gone", "open", "nothing", "open", "gone"];
    assert_eq!(words(&client, "new", &all).await?, ["removed", "active", "unknown", "active", "removed"]);
    assert_eq!(words(&client, "early", &all).await?, ["started", "active", "unknown", "active", "started"]);
    assert_eq!(words(&client, "forgiven", &["open"]).await?, ["active"]);
    assert_eq!(words(&client, "banned", &["open", "nothing"]).await?, ["player_banned", "player_banned"]);
    assert_eq!(words(&client, "new", &[]).await?, Vec::<&str>::new());

    // Together they get the same answers as alone.
    let mut questions = Vec::new();
    let mut expected = Vec::new();
    for (player, offers) in [("new", &all[..]), ("early", &[]), ("early", &all[..2]), ("banned", &all[..1])] {
        let offers: Vec<String> = offers.iter().map(ToString::to_string).collect();
        let question = Question { player: player.into(), offers };
        expected.extend(eligible(&client, &wall(), std::slice::from_ref(&question)).await?);
        questions.push(question);
    }
    assert_eq!(eligible(&client, &wall(), &questions).await?, expected);
    assert_eq!(eligible(&client, &wall(), &[]).await?, Vec::<Vec<Eligibility>>::new());
    // An offer of one source is none of another.
    let other = SourceName::parse("other")?;
    assert_eq!(eligible(&client, &other, &questions[..1]).await?[0], [Eligibility::Unknown; 5]);
    Ok(())
}

#[tokio::test]
async fn five_hundred_offers_are_one_question() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let mut client = store.client().await?;
    let ids: Vec<String> = (0..500).map(|n| format!("{}", 1_000_000_000_000_000_000_u64 + n)).collect();
    let tx = client.begin().await?;
    for (n, id) in ids.iter().enumerate() {
        set_in_tx(&tx, id, if n % 3 == 0 { OfferState::Removed } else { OfferState::Active }).await?;
    }
    tx.commit().await?;
    let question = Question { player: "p".into(), offers: ids };
    let answers = eligible(&client, &wall(), &[question]).await?;
    for (n, answer) in answers[0].iter().enumerate() {
        assert_eq!(*answer, if n % 3 == 0 { Eligibility::Removed } else { Eligibility::Active }, "{n}");
    }
    assert_eq!(answers[0].len(), 500);
    Ok(())
}

#[tokio::test]
async fn a_start_is_recorded_once_and_refused_with_the_reason() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let client = store.client().await?;
    set(&store, "o", OfferState::Active).await?;
    let Started::Now(at) = start(&client, &of("o", "ann")).await? else { panic!("refused") };
    assert_eq!(start(&client, &of("o", "ann")).await?, Started::Before(at));
    judge(&store, "bob", Standing::Banned).await?;
    assert_eq!(start(&client, &of("o", "bob")).await?, Started::Refused(Eligibility::PlayerBanned));
    assert_eq!(start(&client, &of("none", "ann")).await?, Started::Refused(Eligibility::Unknown));
    set(&store, "o", OfferState::Removed).await?;
    assert_eq!(start(&client, &of("o", "cat")).await?, Started::Refused(Eligibility::Removed));
    // Who had started it before may say so again, and may go on.
    assert_eq!(start(&client, &of("o", "ann")).await?, Started::Before(at));
    assert_eq!(words(&client, "ann", &["o"]).await?, ["started"]);

    assert_eq!(withdraw_start(&client, &of("o", "ann"), "op", "a mistake").await?, Some(at));
    assert_eq!(withdraw_start(&client, &of("o", "ann"), "op", "a mistake").await?, None);
    assert_eq!(words(&client, "ann", &["o"]).await?, ["removed"]);
    assert_eq!(start(&client, &of("o", "ann")).await?, Started::Refused(Eligibility::Removed));
    let kept = "SELECT concat_ws(' ', player_id, actor, reason) FROM offer_start_withdrawal JOIN player USING (player_key)";
    assert_eq!(database.texts(kept).await?, ["ann op a mistake"]);
    // Neither the service nor its owner can make it another one.
    for sql in [
        "UPDATE offer_start_withdrawal SET actor = 'x'",
        "DELETE FROM offer_start_withdrawal",
        "TRUNCATE offer_start_withdrawal",
    ] {
        let error = database.connection().await?.batch_execute(sql).await.unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("ES018"), "{sql}");
    }
    Ok(())
}

/// True when a backend of this database waits for a lock.
async fn someone_waits(database: &Database) -> Result<bool> {
    let sql = "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    Ok(!database.texts(sql).await?.is_empty())
}

async fn until_someone_waits(database: &Database) -> Result<()> {
    while !someone_waits(database).await? {
        tokio::task::yield_now().await;
    }
    Ok(())
}

#[tokio::test]
async fn a_start_waits_for_a_removal_that_is_on_its_way_and_is_refused_after_it() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    set(&store, "o", OfferState::Active).await?;
    for (commits, expected) in [(false, "active"), (true, "removed")] {
        let mut client = store.client().await?;
        let tx = client.begin().await?;
        set_in_tx(&tx, "o", OfferState::Removed).await?;
        let starting = tokio::spawn({
            let store = store.clone();
            let player = format!("player when it commits: {commits}");
            async move { anyhow::Ok(start(&store.client().await?, &of("o", &player)).await?) }
        });
        until_someone_waits(&database).await?;
        if commits {
            tx.commit().await?
        } else {
            tx.rollback().await?
        }
        let started = starting.await??;
        assert_eq!(matches!(started, Started::Now(_)), !commits, "{started:?}");
        assert_eq!(words(&client, "somebody else", &["o"]).await?, [expected]);
    }
    Ok(())
}

#[tokio::test]
async fn starts_at_the_moment_of_a_removal_are_answered_as_they_are_judged_ever_after() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    for round in 0..10 {
        let offer = format!("o{round}");
        set(&store, &offer, OfferState::Active).await?;
        let starting: Vec<_> = (0..6)
            .map(|n| {
                let (store, offer) = (store.clone(), offer.clone());
                tokio::spawn(async move {
                    let client = store.client().await?;
                    anyhow::Ok((n, start(&client, &of(&offer, &format!("p{}", n / 2))).await?))
                })
            })
            .collect();
        let removing = tokio::spawn({
            let (store, offer) = (store.clone(), offer.clone());
            async move { set(&store, &offer, OfferState::Removed).await }
        });
        removing.await??;
        let client = store.client().await?;
        for starting in starting {
            let (n, started) = starting.await??;
            let expected = match started {
                Started::Now(_) | Started::Before(_) => "started",
                Started::Refused(why) => why.as_str(),
            };
            let judged = words(&client, &format!("p{}", n / 2), &[&offer]).await?;
            // Also of two that say the same at once.
            assert_eq!(judged, [expected], "{offer} {n}");
        }
    }
    Ok(())
}

fn subjects(slice: &Slice) -> Vec<&str> {
    slice.changes.iter().map(|change| change.change.subject.as_str()).collect()
}

/// Reads on until nothing is held up any more. Other databases' transactions hold changes up as well.
async fn settled(client: &Client, after: Position) -> Result<Slice> {
    loop {
        let slice = changes_after(client, Some(&wall()), after, 100).await?;
        if !slice.held {
            return Ok(slice);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn what_commits_late_is_never_skipped() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let reader = store.client().await?;
    let from = position(&reader).await?;
    let (mut one, mut two) = (store.client().await?, store.client().await?);
    let early = one.begin().await?;
    let late = two.begin().await?;
    // Both are written, in this order; the second one commits first.
    set_in_tx(&early, "early", OfferState::Active).await?;
    set_in_tx(&late, "late", OfferState::Active).await?;
    late.commit().await?;
    let slice = changes_after(&reader, None, from, 100).await?;
    assert_eq!(subjects(&slice), Vec::<&str>::new(), "the later one would hide the earlier one");
    assert!(slice.held && !slice.lost && !slice.more);
    // Whoever goes on from there misses nothing.
    let from = slice.upto;
    early.commit().await?;
    let slice = settled(&reader, from).await?;
    assert_eq!(subjects(&slice), ["early", "late"]);
    assert_eq!(settled(&reader, slice.upto).await?.changes, []);
    // From any place between them too, and page by page.
    assert_eq!(subjects(&settled(&reader, slice.changes[0].position).await?), ["late"]);
    let page = changes_after(&reader, Some(&wall()), from, 1).await?;
    assert!(page.more && page.upto == page.changes[0].position);
    assert_eq!(subjects(&page), ["early"]);
    Ok(())
}

#[tokio::test]
async fn a_subjects_changes_are_told_in_the_order_in_which_they_were_made() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let reader = store.client().await?;
    let from = position(&reader).await?;
    let (mut one, mut two) = (store.client().await?, store.client().await?);
    // The first transaction is the older one, and comes to the offer last.
    let older = one.begin().await?;
    set_in_tx(&older, "another", OfferState::Active).await?;
    let newer = two.begin().await?;
    set_in_tx(&newer, "o", OfferState::Removed).await?;
    newer.commit().await?;
    set_in_tx(&older, "o", OfferState::Active).await?;
    assert_eq!(changes_after(&reader, None, from, 100).await?.changes, []);
    older.commit().await?;
    let slice = settled(&reader, from).await?;
    let of_o: Vec<&str> = slice
        .changes
        .iter()
        .filter(|change| change.change.subject == "o")
        .map(|change| change.change.state.as_str())
        .collect();
    assert_eq!(of_o, ["removed", "active"]);
    assert_eq!(slice.changes.len(), 3);
    Ok(())
}

#[tokio::test]
async fn many_writers_and_a_reader_who_goes_on_from_where_he_was() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let reader = store.client().await?;
    let mut at = position(&reader).await?;
    let writing: Vec<_> = (0..4)
        .map(|writer| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..25 {
                    set(&store, &format!("{writer}-{n}"), OfferState::Active).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    let mut seen = Vec::new();
    while seen.len() < 100 {
        let slice = changes_after(&reader, None, at, 7).await?;
        seen.extend(slice.changes.iter().map(|change| change.change.subject.clone()));
        assert!(slice.upto >= at && !slice.lost);
        at = slice.upto;
    }
    for writing in writing {
        writing.await??;
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 100, "each once");
    Ok(())
}

#[tokio::test]
async fn who_has_missed_what_was_forgotten_is_told_so() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let mut client = store.client().await?;
    let before = position(&client).await?;
    for offer in ["a", "b", "c"] {
        set(&store, offer, OfferState::Active).await?;
    }
    let all = settled(&client, before).await?;
    assert_eq!(prune_changes(&mut client, Timestamp::from_seconds(1), 10).await?, 0);
    let soon = Timestamp::from_micros(now().micros() + 60_000_000);
    assert_eq!(prune_changes(&mut client, soon, 2).await?, 2);
    assert!(changes_after(&client, None, before, 10).await?.lost);
    assert!(changes_after(&client, None, all.changes[0].position, 10).await?.lost);
    let rest = changes_after(&client, None, all.changes[1].position, 10).await?;
    assert!(!rest.lost);
    assert_eq!(subjects(&rest), ["c"]);
    assert_eq!(prune_changes(&mut client, soon, 2).await?, 1);
    assert!(!changes_after(&client, None, all.changes[2].position, 10).await?.lost);
    // A place that this database has never had belongs to another one.
    let elsewhere = Position { xid: u64::MAX, id: 0 };
    assert!(changes_after(&client, None, elsewhere, 10).await?.lost);
    Ok(())
}
