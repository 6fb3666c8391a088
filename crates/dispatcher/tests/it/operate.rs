//! What operators see and do.

use anyhow::Result;
use matchpurse_domain::webhook::{EndpointName, EventPattern, TargetUrl};
use matchpurse_store::Tx;
use matchpurse_store::dispatch::{
    self, AttemptOutcome, Changed, DeliveryFilter, DeliveryState, Disabled, EndpointSpec, Retried,
};
use matchpurse_testkit::{Reply, Studio};

use crate::stage::{BEGIN_S, SECRET, Stage, endpoint, notice, notices};

#[tokio::test]
async fn deliveries_and_their_attempts_can_be_seen() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(|request, nth| match (crate::stage::json(request)["data"]["n"].as_u64(), nth) {
        (Some(1), 1) => Reply::status(500).body("out of\0coins"),
        (Some(2), _) => Reply::status(400).body(vec![0xff; 2_000]),
        _ => Reply::ok(),
    });
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
    stage.tell(&notices(3)).await?;
    stage.live(&mut dispatcher, 60).await?;

    let client = stage.store.client().await?;
    let all = dispatch::deliveries(&client, &DeliveryFilter::default(), 10).await?;
    let seen: Vec<_> = all.iter().map(|line| (line.subject.as_str(), line.state, line.attempts)).collect();
    assert_eq!(
        seen,
        [
            ("m2", DeliveryState::Waiting, 2),
            ("m1", DeliveryState::Delivered, 2),
            ("m0", DeliveryState::Delivered, 1),
        ]
    );
    let [waiting, mended, _] = all.as_slice() else { panic!("{all:?}") };
    assert_eq!((waiting.endpoint.as_str(), waiting.kind.as_str()), ("game", "match.settled"));
    assert!(waiting.next_attempt_at.unwrap() > stage.now() && mended.next_attempt_at.is_none());
    let tried = dispatch::attempts(&client, mended.delivery_id).await?;
    assert_eq!(
        tried.iter().map(|one| one.outcome).collect::<Vec<_>>(),
        [AttemptOutcome::Refused, AttemptOutcome::Delivered]
    );
    assert_eq!((tried[0].status, tried[0].detail.as_str()), (Some(500), "out of\u{fffd}coins"));
    assert_eq!((tried[0].at.seconds(), tried[1].status), (BEGIN_S, Some(204)));
    assert_eq!(mended.last.as_ref(), tried.last());
    assert_eq!(dispatch::delivery(&client, mended.delivery_id).await?.as_ref(), Some(mended));

    let some = async |filter: DeliveryFilter<'_>| {
        let lines = dispatch::deliveries(&client, &filter, 2).await?;
        anyhow::Ok(lines.into_iter().map(|line| line.subject).collect::<Vec<_>>())
    };
    let any = DeliveryFilter::default;
    assert_eq!(some(any()).await?, ["m2", "m1"]);
    assert_eq!(some(DeliveryFilter { before: Some(mended.delivery_id), ..any() }).await?, ["m0"]);
    assert_eq!(some(DeliveryFilter { state: Some(DeliveryState::Waiting), ..any() }).await?, ["m2"]);
    assert_eq!(some(DeliveryFilter { webhook_id: Some(mended.webhook_id), ..any() }).await?, ["m1"]);
    assert_eq!(some(DeliveryFilter { subject: Some(("arena", "m0")), ..any() }).await?, ["m0"]);
    assert_eq!(some(DeliveryFilter { endpoint: Some("nobody"), ..any() }).await?, [""; 0]);
    let narrow = DeliveryFilter { endpoint: Some("game"), state: Some(DeliveryState::Delivered), ..any() };
    assert_eq!(some(narrow).await?, ["m1", "m0"]);
    Ok(())
}

#[tokio::test]
async fn a_delivery_is_brought_forward_unless_somebody_has_it() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(|_, nth| if nth == 1 { Reply::status(500) } else { Reply::hang() });
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
    stage.tell(&notices(1)).await?;
    dispatcher.settle().await?;
    let delivery: i64 = stage.texts("SELECT delivery_id::text FROM delivery").await?[0].parse()?;
    let now = stage.now();
    let retry = async |id: i64| {
        stage.in_tx(async |tx| Ok(dispatch::retry_in_tx(tx, id, "ann", "cannot wait", now).await?)).await
    };
    assert_eq!(retry(delivery + 1).await?, Retried::Unknown);
    assert_eq!(retry(delivery).await?, Retried::Done);
    assert_eq!(dispatcher.turn().await?.begun, 1, "5 s have not passed");
    assert_eq!(retry(delivery).await?, Retried::InFlight);
    Ok(())
}

fn spec(name: &str, url: &str) -> EndpointSpec {
    EndpointSpec {
        name: EndpointName::parse(name).unwrap(),
        url: TargetUrl::parse(url).unwrap(),
        events: Vec::new(),
        sources: Vec::new(),
        ordered: true,
        status_url: None,
    }
}

/// Every change of an endpoint, what it comes to for one of the API, of the configuration, and of nobody, and that it
/// is written down.
#[tokio::test]
async fn endpoints_are_changed_and_every_change_is_recorded() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    stage.dispatcher(&endpoint("configured", &studio, "")).await?;
    let added = spec("added", "https://game.example/hook?token=x");
    stage
        .in_tx(async |tx| Ok(dispatch::add_in_tx(tx, &added, &[SECRET.into()], "ann", "why").await?))
        .await?;
    let now = stage.now();
    let name = |text: &str| EndpointName::parse(text).unwrap();
    let change = async |to: &EndpointSpec| {
        stage.in_tx(async |tx: &Tx<'_>| Ok(dispatch::change_in_tx(tx, to, "ann", "why", now).await?)).await
    };
    let changed = EndpointSpec { events: vec![EventPattern::parse("match.*")?], ..added.clone() };
    assert_eq!(change(&changed).await?, Changed::Done);
    assert_eq!(change(&changed).await?, Changed::Unchanged);
    assert_eq!(change(&spec("configured", "https://a/")).await?, Changed::Configured);
    assert_eq!(change(&spec("nobody", "https://a/")).await?, Changed::Unknown);
    let added = stage.endpoint("added").await?.endpoint.id;
    let secrets = async || {
        let both = [SECRET.into(), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()];
        stage.in_tx(async |tx| Ok(dispatch::set_secrets_in_tx(tx, added, &both, "ann", "why").await?)).await
    };
    assert_eq!((secrets().await?, secrets().await?), (true, false));
    let known = dispatch::endpoints(&stage.store.client().await?).await?;
    let secrets: Vec<usize> = known.iter().map(|endpoint| endpoint.secrets.len()).collect();
    assert_eq!(secrets, [0, 2]);
    let disable = async |of: &str| {
        let name = name(of);
        stage.in_tx(async |tx| Ok(dispatch::disable_in_tx(tx, &name, "ann", "why", now).await?)).await
    };
    let enable = async |of: &str| {
        let name = name(of);
        stage.in_tx(async |tx| Ok(dispatch::enable_in_tx(tx, &name, "ann", "why").await?)).await
    };
    for of in ["added", "configured"] {
        assert_eq!((disable(of).await?, disable(of).await?), (Changed::Done, Changed::Unchanged));
        assert!(matches!(stage.endpoint(of).await?.endpoint.disabled, Some((Disabled::Operator, _))));
        assert_eq!((enable(of).await?, enable(of).await?), (Changed::Done, Changed::Unchanged));
        assert!(stage.endpoint(of).await?.endpoint.disabled.is_none());
    }
    let remove = async |of: &str| {
        let name = name(of);
        stage.in_tx(async |tx| Ok(dispatch::remove_in_tx(tx, &name, "ann", "why", now).await?)).await
    };
    assert_eq!(remove("configured").await?, Changed::Configured);
    assert_eq!((remove("added").await?, remove("added").await?), (Changed::Done, Changed::Unknown));
    assert_eq!(stage.texts("SELECT count(*)::text FROM endpoint_secret").await?, ["0"]);
    assert_eq!(disable("nobody").await?, Changed::Unknown);
    let recorded = "SELECT kind || ' ' || count(*) FROM dispatch_operation WHERE actor = 'ann' GROUP BY kind";
    assert_eq!(
        stage.texts(recorded).await?,
        [
            "endpoint_added 1",
            "endpoint_changed 1",
            "endpoint_disabled 2",
            "endpoint_enabled 2",
            "endpoint_removed 1",
            "endpoint_secrets_changed 1"
        ]
    );
    Ok(())
}

/// What an operator has stopped waits, with what comes meanwhile.
#[tokio::test]
async fn an_endpoint_that_was_stopped_keeps_what_is_for_it() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let settings = endpoint("game", &studio, "");
    let mut dispatcher = stage.dispatcher(&settings).await?;
    let (name, now) = (EndpointName::parse("game")?, stage.now());
    stage.in_tx(async |tx| Ok(dispatch::disable_in_tx(tx, &name, "ann", "works on it", now).await?)).await?;
    stage.tell(&[notice("match.held", "m", 1)]).await?;
    stage.live(&mut dispatcher, 3_600).await?;
    // Neither another start nor another URL does what only a person should.
    let moved = settings.replace("/hook", "/moved");
    let mut dispatcher = stage.dispatcher(&moved).await?;
    stage.live(&mut dispatcher, 3_600).await?;
    assert_eq!((stage.states().await?.as_str(), studio.requests().len()), ("waiting 1", 0));
    stage.in_tx(async |tx| Ok(dispatch::enable_in_tx(tx, &name, "ann", "works").await?)).await?;
    dispatcher.settle().await?;
    assert_eq!(studio.requests()[0].path, "/moved");
    Ok(())
}

/// The trail of operators and the bytes that were sent cannot be changed by a service, nor by its owner's mistake.
#[tokio::test]
async fn what_was_done_and_sent_stays_as_it_is() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
    stage.tell(&notices(1)).await?;
    dispatcher.settle().await?;
    let (name, now) = (EndpointName::parse("game")?, stage.now());
    stage.in_tx(async |tx| Ok(dispatch::disable_in_tx(tx, &name, "ann", "why", now).await?)).await?;
    let owner = stage.database.connection().await?;
    for (sql, code) in [
        ("UPDATE dispatch_operation SET actor = 'bob'", "ES003"),
        ("DELETE FROM dispatch_operation", "ES003"),
        ("TRUNCATE dispatch_operation", "ES003"),
        ("UPDATE outbox SET body = 'other'", "ES011"),
        ("UPDATE outbox SET body = NULL", "ES011"),
        ("UPDATE endpoint SET allow_private = true, origin = 'api'", "23514"),
    ] {
        let error = owner.batch_execute(sql).await.unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some(code), "{sql}: {error:?}");
    }
    Ok(())
}
