//! Grants that a person releases, takes back, or has told again.

use anyhow::Result;
use matchpurse_domain::event::*;
use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;
use matchpurse_domain::webhook::{EndpointName, TargetUrl};
use matchpurse_operations::rewards::{Author, Done, Error, release, retry, reverse};
use matchpurse_reward_fulfillment::RewardFulfillment;
use matchpurse_settings::Settings;
use matchpurse_store::dispatch::{EndpointSpec, FannedOut, add_in_tx, fan_out_in_tx, take_in_tx};
use matchpurse_store::{Store, audit};
use matchpurse_testkit::{Database, Trial};
use uuid::Uuid;

use crate::ground::{NOW, usd};

struct Rewards {
    database: Database,
    store: Store,
    worker: Trial<RewardFulfillment>,
}

fn author(actor: &str) -> Author {
    Author { actor: actor.to_owned(), reason: "seen on the recording".to_owned() }
}

fn earned(conversion: &str, kind: ConversionKind) -> Event {
    matchpurse_testkit::event(
        "wall",
        true,
        Payload::RewardPostback(RewardPostback {
            conversion_id: conversion.to_owned(),
            request_id: None,
            player_id: "ann".into(),
            offer_id: None,
            goal_id: None,
            goal_name: None,
            kind,
            amount: (kind == ConversionKind::Reward).then(|| usd(150)),
            payout: None,
        }),
    )
}

fn won(contest: &str, metadata: Option<&str>) -> Event {
    let reward = Reward {
        kind: RewardKind::Studio,
        amount: None,
        value: None,
        reference: Some("r".to_owned()),
        metadata: metadata.map(str::to_owned),
    };
    let entry = PlayerOutcome { player_id: "ann".into(), outcome: Outcome::Win, reward: Some(reward) };
    let contest =
        ContestOutcome { contest_id: contest.to_owned(), addressed_to: "ann".into(), outcomes: vec![entry] };
    matchpurse_testkit::event("wall", true, Payload::ContestOutcome(contest))
}

fn promised(contest: &str, metadata: &str) -> Event {
    let reward = Reward {
        kind: RewardKind::Studio,
        amount: None,
        value: Some("drink".to_owned()),
        reference: Some("r".to_owned()),
        metadata: Some(metadata.to_owned()),
    };
    let players = vec![Participant { player_id: "ann".into(), reward: Some(reward) }];
    let groups = vec![Group { group_id: "g".to_owned(), name: None, players }];
    let snapshot = MatchSnapshot {
        match_id: contest.to_owned(),
        kind: MatchKind::FreeToPlay,
        status: MatchStatus::Open,
        provider_status: String::new(),
        format: None,
        game_id: None,
        created_by: None,
        buy_in: None,
        groups,
        winner_group_ids: Vec::new(),
    };
    matchpurse_testkit::event("wall", true, Payload::MatchSnapshot(snapshot))
}

impl Rewards {
    /// A source that wants objects of its rewards, and limits none.
    async fn new() -> Result<Self> {
        let database = Database::create().await?;
        let store = database.store().await?;
        let settings = Settings::parse_str(
            r#"
            database.url = "postgres://nobody@127.0.0.1/none"
            [sources.wall]
            provider = "any"
            currency = "USD"
            custody = "provider"
            rewards.player_day_count = 100
            rewards.schemas.studio = '{ "type": "object" }'
            "#,
        )?;
        let effects = RewardFulfillment::new(&settings)?;
        Ok(Self { database, store, worker: Trial { effects, events: Vec::new(), tables: &[], versions: "" } })
    }

    /// Applies an event, and returns the id of the grant that it is about.
    async fn apply(&self, event: Event) -> Result<Uuid> {
        self.worker.apply(&self.store, &[event]).await?;
        let rows = self.database.texts("SELECT grant_id::text FROM reward_grant").await?;
        Ok(rows[0].parse()?)
    }

    async fn set_state(&self, state: &str) -> Result<()> {
        let sql = "UPDATE reward_grant SET state = $1 WHERE state <> $1";
        self.database.connection().await?.execute(sql, &[&state]).await?;
        Ok(())
    }

    async fn state(&self) -> Result<String> {
        let sql = "SELECT concat_ws(' ', state, reason, detail) FROM reward_grant";
        Ok(self.database.texts(sql).await?.join("; "))
    }

    /// What the studio was told.
    async fn told(&self) -> Result<Vec<String>> {
        self.database.texts("SELECT kind || ' ' || (payload ->> 'state') FROM outbox").await
    }

    /// What was recorded: `kind by actor: reason, was state`.
    async fn recorded(&self) -> Result<Vec<String>> {
        let sql = "SELECT kind || ' by ' || actor || ': ' || reason || ', was ' || (detail ->> 'state')
                          || coalesce(' for ' || (detail ->> 'held_for'), '') FROM operation";
        self.database.texts(sql).await
    }

    async fn sound(&self) -> Result<()> {
        let client = self.store.client().await?;
        for check in audit::CHECKS {
            let found = audit::run(&client, check).await?;
            assert!(found.is_empty(), "{found:?}");
        }
        Ok(())
    }

    /// An endpoint that wants everything, and a delivery of every notice so far to it.
    async fn fan_out(&self) -> Result<()> {
        let mut client = self.store.client().await?;
        let tx = client.begin().await?;
        let spec = EndpointSpec {
            name: EndpointName::parse("studio")?,
            url: TargetUrl::parse("https://studio.example/hooks")?,
            events: Vec::new(),
            sources: Vec::new(),
            ordered: false,
            status_url: None,
        };
        add_in_tx(&tx, &spec, &["whsec_x".to_owned().into()], "ann", "new").await?;
        let (notices, endpoints) = take_in_tx(&tx, 100).await?.unwrap();
        let decided: Vec<_> = notices
            .iter()
            .map(|notice| FannedOut {
                notice,
                endpoints: endpoints.iter().collect(),
                body: Some(b"{}".to_vec()),
            })
            .collect();
        fan_out_in_tx(&tx, &decided, NOW).await?;
        Ok(tx.commit().await?)
    }

    /// Every delivery was tried often enough.
    async fn give_up(&self) -> Result<()> {
        let sql = "UPDATE delivery SET state = 'given_up', finished_at = now(), attempts = 10";
        self.database.connection().await?.execute(sql, &[]).await?;
        self.set_state("failed").await
    }
}

#[tokio::test]
async fn what_is_held_is_released_once_whatever_it_was_held_for() -> Result<()> {
    for (metadata, held) in [
        (Some(r#"["drink"]"#), r#"needs_review payload_refused ["drink"] is not of type "object""#),
        (Some("{"), "needs_review payload_not_json EOF while parsing an object at line 1 column 1"),
        (None, r#"needs_review payload_refused null is not of type "object""#),
    ] {
        let rewards = Rewards::new().await?;
        let grant = rewards.apply(won("c", metadata)).await?;
        assert_eq!(rewards.state().await?, held);
        let done = release(&rewards.store, grant, &author("ann"), NOW).await?;
        assert!(!done.repeated);
        assert_eq!(rewards.state().await?, "granted");
        assert_eq!(rewards.told().await?, ["reward.granted granted", "reward.held needs_review"]);
        let payload = "SELECT (payload ->> 'payload') FROM outbox WHERE kind = 'reward.granted'
                          AND payload ->> 'payload' IS NOT NULL";
        let sent = metadata.filter(|text| text.starts_with('[')).map(str::to_owned);
        assert_eq!(rewards.database.texts(payload).await?, sent.as_slice(), "what came along goes along");
        // Another person who asks for the same learns that it is done, and by whom.
        let again = release(&rewards.store, grant, &author("bob"), NOW).await?;
        assert_eq!((again.repeated, again.operation), (true, done.operation));
        let reason = held.split(' ').nth(1).unwrap();
        let recorded = format!("reward_release by ann: seen on the recording, was needs_review for {reason}");
        assert_eq!(rewards.recorded().await?, [recorded]);
        // The event comes again, and changes nothing.
        rewards.apply(won("c", metadata)).await?;
        assert_eq!((rewards.state().await?.as_str(), rewards.told().await?.len()), ("granted", 2));
        rewards.sound().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_grant_is_taken_back_wherever_it_is_and_stays_so() -> Result<()> {
    for state in ["granted", "delivering", "failed", "fulfilled"] {
        let rewards = Rewards::new().await?;
        let grant = rewards.apply(earned("c", ConversionKind::Reward)).await?;
        rewards.set_state(state).await?;
        let done = reverse(&rewards.store, grant, &author("ann"), NOW).await?;
        assert!(!done.repeated && reverse(&rewards.store, grant, &author("bob"), NOW).await?.repeated);
        assert_eq!(rewards.state().await?, "reversed");
        assert_eq!(rewards.told().await?, ["reward.granted granted", "reward.reversed reversed"]);
        let recorded = format!("reward_reversal by ann: seen on the recording, was {state}");
        assert_eq!(rewards.recorded().await?, [recorded]);
        // Neither the event nor a person brings it back.
        rewards.apply(earned("c", ConversionKind::Reward)).await?;
        let error = release(&rewards.store, grant, &author("ann"), NOW).await.unwrap_err();
        assert_eq!(error.to_string(), "the grant is reversed, not held for review");
        assert_eq!(rewards.state().await?, "reversed");
        rewards.sound().await?;
    }
    // Rejected in review.
    let rewards = Rewards::new().await?;
    let grant = rewards.apply(won("c", None)).await?;
    reverse(&rewards.store, grant, &author("ann"), NOW).await?;
    assert_eq!(rewards.state().await?, "reversed");
    rewards.apply(promised("c", "{}")).await?;
    assert_eq!(rewards.state().await?, "reversed", "the payload that was missing comes too late");
    rewards.sound().await
}

#[tokio::test]
async fn what_cannot_be_done_says_why_and_records_nothing() -> Result<()> {
    let rewards = Rewards::new().await?;
    let nobody = Uuid::nil();
    for refused in [
        release(&rewards.store, nobody, &author("ann"), NOW).await,
        reverse(&rewards.store, nobody, &author("ann"), NOW).await,
        retry(&rewards.store, nobody, &author("ann"), "key", NOW).await,
    ] {
        assert!(matches!(refused, Err(Error::NoGrant)), "{refused:?}");
    }
    let grant = rewards.apply(promised("c", "{}")).await?;
    let told = |refused: Result<Done, Error>| refused.unwrap_err().to_string();
    let reserved = told(reverse(&rewards.store, grant, &author("ann"), NOW).await);
    assert_eq!(reserved, "the grant is reserved, so there is nothing to take back");
    let unsent = told(retry(&rewards.store, grant, &author("ann"), "key", NOW).await);
    assert_eq!(unsent, "no notice of the grant waits to be delivered");
    rewards.apply(won("c", None)).await?;
    let given = told(release(&rewards.store, grant, &author("ann"), NOW).await);
    assert_eq!(given, "the grant is granted, not held for review");
    let unwanted = told(retry(&rewards.store, grant, &author("ann"), "key", NOW).await);
    assert_eq!(unwanted, "no endpoint wants the grant's notices: add one that does, and retry then");
    assert_eq!(rewards.recorded().await?, [""; 0]);
    Ok(())
}

/// The offerwall took it back after the studio had given it; the person who then takes it back answers the anomaly.
#[tokio::test]
async fn a_reversal_by_hand_answers_the_anomaly() -> Result<()> {
    let rewards = Rewards::new().await?;
    let grant = rewards.apply(earned("c", ConversionKind::Reward)).await?;
    rewards.set_state("fulfilled").await?;
    rewards.apply(earned("c", ConversionKind::Reversal)).await?;
    let anomalies = "SELECT kind || ' ' || coalesce(resolved_by, 'open') FROM anomaly";
    assert_eq!(rewards.database.texts(anomalies).await?, ["reversed_too_late open"]);
    let done = reverse(&rewards.store, grant, &author("ann"), NOW).await?;
    assert_eq!(rewards.database.texts(anomalies).await?, ["reversed_too_late ann"]);
    let resolution = rewards.database.texts("SELECT resolution FROM anomaly").await?;
    assert_eq!(resolution, [format!("operation {}", done.operation)]);
    rewards.sound().await
}

#[tokio::test]
async fn people_at_the_same_grant_do_each_thing_once() -> Result<()> {
    let rewards = Rewards::new().await?;
    for round in 0..6 {
        let contest = format!("c{round}");
        rewards.worker.apply(&rewards.store, &[won(&contest, None)]).await?;
        let sql = format!(
            "SELECT grant_id::text FROM reward_grant JOIN contest USING (contest_key) WHERE contest_id = '{contest}'"
        );
        let grant: Uuid = rewards.database.texts(&sql).await?[0].parse()?;
        let people: Vec<String> = (0..4).map(|n| format!("person-{n}")).collect();
        let (store, promise) = (&rewards.store, [promised(&contest, "{}")]);
        let release_one = |n: usize| {
            let author = author(&people[n]);
            async move { release(store, grant, &author, NOW).await }
        };
        let reverse_one = |n: usize| {
            let author = author(&people[n]);
            async move { reverse(store, grant, &author, NOW).await }
        };
        // The payload that was missing comes at the same moment, which gives the grant too.
        let (a, b, c, d, applied) = tokio::join!(
            release_one(0),
            release_one(1),
            reverse_one(2),
            reverse_one(3),
            rewards.worker.apply(store, &promise)
        );
        applied?;
        let new = |done: &[Result<Done, Error>]| done.iter().flatten().filter(|done| !done.repeated).count();
        assert!(new(&[a, b]) <= 1);
        assert_eq!(new(&[c, d]), 1);
        let count = |kind: &str| {
            format!("SELECT count(*)::text FROM outbox WHERE kind = '{kind}' AND subject = '{grant}'")
        };
        assert_eq!(rewards.database.texts(&count("reward.reversed")).await?, ["1"]);
        let state = format!("SELECT state FROM reward_grant WHERE grant_id = '{grant}'");
        assert_eq!(rewards.database.texts(&state).await?, ["reversed"]);
    }
    rewards.sound().await
}

#[tokio::test]
async fn what_was_given_up_is_told_again_under_the_same_id() -> Result<()> {
    let rewards = Rewards::new().await?;
    let grant = rewards.apply(earned("c", ConversionKind::Reward)).await?;
    rewards.fan_out().await?;
    rewards.give_up().await?;
    let ids = rewards.database.texts("SELECT webhook_id::text FROM outbox").await?;
    let later = Timestamp::from_seconds(NOW.seconds() + 100_000);
    let done = retry(&rewards.store, grant, &author("ann"), "case 7", later).await?;
    assert!(!done.repeated);
    let deliveries =
        "SELECT concat_ws(' ', state, attempts, extract(epoch FROM next_attempt_at)::bigint) FROM delivery";
    assert_eq!(rewards.database.texts(deliveries).await?, [format!("waiting 0 {}", later.seconds())]);
    assert_eq!(
        (rewards.state().await?.as_str(), done.grant.grant.state.as_str()),
        ("delivering", "delivering")
    );
    assert_eq!(rewards.database.texts("SELECT webhook_id::text FROM outbox").await?, ids, "no second notice");
    // A lost answer.
    let again = retry(&rewards.store, grant, &author("ann"), "case 7", later).await?;
    assert_eq!((again.repeated, again.operation), (true, done.operation));
    assert_eq!(rewards.recorded().await?, ["reward_retry by ann: seen on the recording, was failed"]);
    let actor = rewards
        .database
        .texts("SELECT actor FROM dispatch_operation WHERE kind = 'delivery_retried'")
        .await?;
    assert_eq!(actor, ["ann"]);
    // Given up again, it is another retry under another key, and the key stands for this grant alone.
    rewards.give_up().await?;
    assert!(!retry(&rewards.store, grant, &author("bob"), "case 8", later).await?.repeated);
    rewards
        .database
        .connection()
        .await?
        .execute("UPDATE delivery SET state = 'delivered', finished_at = now()", &[])
        .await?;
    let nothing = retry(&rewards.store, grant, &author("bob"), "case 9", later).await.unwrap_err();
    assert!(matches!(nothing, Error::NothingToRetry), "{nothing}");
    rewards.worker.apply(&rewards.store, &[earned("d", ConversionKind::Reward)]).await?;
    let sql =
        "SELECT grant_id::text FROM reward_grant JOIN contest USING (contest_key) WHERE contest_id = 'd'";
    let second = rewards.database.texts(sql).await?.remove(0);
    let reused = retry(&rewards.store, second.parse()?, &author("bob"), "case 8", later).await.unwrap_err();
    assert!(matches!(reused, Error::KeyReused), "{reused}");
    rewards.sound().await
}

#[tokio::test]
async fn grants_are_listed_with_what_was_done_to_them() -> Result<()> {
    use matchpurse_domain::grants::GrantState;
    use matchpurse_store::grants::{GrantFilter, find, list, operations};
    let rewards = Rewards::new().await?;
    for n in 0..5 {
        rewards.apply(earned(&format!("c{n}"), ConversionKind::Reward)).await?;
    }
    rewards.apply(won("held", None)).await?;
    let client = rewards.store.client().await?;
    let all = list(&client, &GrantFilter::default(), 100).await?;
    assert_eq!(all.len(), 6);
    assert!(all.windows(2).all(|two| (two[0].created_at, two[0].id) > (two[1].created_at, two[1].id)));
    // Page by page it is the same list.
    let mut paged = Vec::new();
    loop {
        let before =
            paged.last().map(|line: &matchpurse_store::grants::GrantLine| (line.created_at, line.id));
        let page = list(&client, &GrantFilter { before, ..GrantFilter::default() }, 4).await?;
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, all);
    let of = |state, source: &str, player: Option<&str>| GrantFilter {
        state,
        whose: Some((SourceName::parse(source).unwrap(), player.map(Into::into))),
        ..GrantFilter::default()
    };
    for (filter, expected) in [
        (of(None, "wall", None), 6),
        (of(Some(GrantState::NeedsReview), "wall", Some("ann")), 1),
        (of(Some(GrantState::Fulfilled), "wall", None), 0),
        (of(None, "wall", Some("bob")), 0),
        (of(None, "other", None), 0),
    ] {
        assert_eq!(list(&client, &filter, 100).await?.len(), expected, "{filter:?}");
    }
    let held = list(&client, &of(Some(GrantState::NeedsReview), "wall", None), 1).await?.remove(0);
    assert_eq!(held.contest.contest_id, "held");
    assert_eq!(find(&client, held.id).await?.as_ref(), Some(&held));
    release(&rewards.store, held.id, &author("ann"), NOW).await?;
    reverse(&rewards.store, held.id, &author("bob"), NOW).await?;
    let done: Vec<String> = operations(&client, held.id)
        .await?
        .into_iter()
        .map(|o| format!("{} by {}", o.kind, o.actor))
        .collect();
    assert_eq!(done, ["reward_release by ann", "reward_reversal by bob"]);
    Ok(())
}
