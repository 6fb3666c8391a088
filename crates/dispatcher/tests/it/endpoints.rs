//! What endpoints want, how they are stopped and slowed down, and where they may be.

use anyhow::Result;
use matchpurse_domain::webhook::{EndpointName, EventPattern, SigningKey, TargetUrl, verify};
use matchpurse_store::dispatch::{self, Changed, Disabled, EndpointSpec};
use matchpurse_testkit::{Reply, Request, Studio};

use crate::stage::{BEGIN_S, SECRET, Stage, endpoint, ids, notice, notices, source};

const LONG_S: i64 = 6 * 86_400;

fn subjects(requests: &[Request]) -> Vec<String> {
    let mut subjects: Vec<String> = requests
        .iter()
        .map(|r| crate::stage::json(r)["data"]["subject"].as_str().unwrap().to_owned())
        .collect();
    subjects.sort_unstable();
    subjects
}

#[tokio::test]
async fn an_endpoint_gets_what_it_wants_and_nothing_else() -> Result<()> {
    let stage = Stage::new().await?;
    let studios = [Studio::start().await?, Studio::start().await?, Studio::start().await?];
    let settings = [
        endpoint("all", &studios[0], ""),
        endpoint("matches", &studios[1], "events = [\"match.*\", \"offer.removed\"]"),
        endpoint("other", &studios[2], "sources = [\"other\"]"),
        "[sources.other]\nprovider = \"someone\"\ncurrency = \"USD\"\ncustody = \"studio\"\n".to_owned(),
    ];
    let mut dispatcher = stage.dispatcher(&settings.concat()).await?;
    let mut others = notice("player.kicked", "e", 5);
    others.source = source("other");
    let told = [
        notice("match.held", "a", 1),
        notice("matches.odd", "b", 2),
        notice("offer.removed", "c", 3),
        notice("offer.removed_again", "d", 4),
        others,
    ];
    stage.tell(&told).await?;
    dispatcher.settle().await?;
    assert_eq!(subjects(&studios[0].requests()), ["a", "b", "c", "d", "e"]);
    assert_eq!(subjects(&studios[1].requests()), ["a", "c"]);
    assert_eq!(subjects(&studios[2].requests()), ["e"]);
    // One notice, one id, the same bytes for all.
    let of = |studio: &Studio, id: &str| {
        studio.requests().into_iter().find(|request| request.webhook_id() == id).map(|request| request.body)
    };
    let id = told[0].webhook_id().to_string();
    assert!(of(&studios[0], &id).is_some());
    assert_eq!(of(&studios[0], &id), of(&studios[1], &id));
    Ok(())
}

/// Without anybody to tell, a notice is done with, and needs no body.
#[tokio::test]
async fn what_nobody_wants_is_not_kept_for_anybody() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let mut dispatcher = stage.dispatcher("").await?;
    stage.tell(&notices(3)).await?;
    dispatcher.settle().await?;
    let done = "SELECT count(*)::text FROM outbox WHERE fanned_out_at IS NOT NULL AND body IS NULL";
    assert_eq!(stage.texts(done).await?, ["3"]);
    // Who comes later gets what comes later.
    let mut dispatcher = stage.dispatcher(&endpoint("late", &studio, "")).await?;
    stage.tell(&[notice("match.held", "new", 9)]).await?;
    dispatcher.settle().await?;
    assert_eq!(subjects(&studio.requests()), ["new"]);
    Ok(())
}

#[tokio::test]
async fn an_answer_of_410_stops_an_endpoint_until_somebody_enables_it() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(|_, _| Reply::status(410));
    let settings = endpoint("game", &studio, "");
    let mut dispatcher =
        stage.dispatcher(&format!("dispatcher.sends_per_endpoint_max = 1\n{settings}")).await?;
    let mut told = stage.tell(&notices(5)).await?;
    stage.live(&mut dispatcher, LONG_S).await?;
    assert_eq!(studio.requests().len(), 1, "one answer is enough");
    let line = stage.endpoint("game").await?;
    assert!(matches!(line.endpoint.disabled, Some((Disabled::Gone, at)) if at.seconds() == BEGIN_S));
    assert_eq!(line.waiting, 5);
    // Another start does not wake it, and what comes meanwhile waits with the rest.
    studio.behave(|_, _| Reply::ok());
    let mut dispatcher = stage.dispatcher(&settings).await?;
    told.extend(stage.tell(&[notice("match.held", "meanwhile", 1)]).await?);
    stage.live(&mut dispatcher, LONG_S).await?;
    assert_eq!((studio.requests().len(), stage.states().await?.as_str()), (1, "waiting 6"));

    let name = EndpointName::parse("game")?;
    let enable =
        async |tx: &matchpurse_store::Tx<'_>| Ok(dispatch::enable_in_tx(tx, &name, "ann", "is back").await?);
    assert_eq!(stage.in_tx(enable).await?, Changed::Done);
    stage.live(&mut dispatcher, LONG_S).await?;
    assert_eq!(ids(studio.work()), told);
    let operations = "SELECT kind || ' ' || actor FROM dispatch_operation";
    assert_eq!(stage.texts(operations).await?, ["endpoint_disabled dispatcher", "endpoint_enabled ann"]);
    Ok(())
}

#[tokio::test]
async fn retry_after_is_honoured_for_the_endpoint_as_a_whole() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(|_, nth| match nth {
        1 => Reply::status(429).header("Retry-After", "900"),
        _ => Reply::ok(),
    });
    let settings = format!("dispatcher.sends_per_endpoint_max = 1\n{}", endpoint("game", &studio, ""));
    let mut dispatcher = stage.dispatcher(&settings).await?;
    stage.tell(&notices(2)).await?;
    dispatcher.settle().await?;
    assert_eq!(studio.requests().len(), 1, "the other one waits as well");
    let waits = stage.endpoint("game").await?.endpoint.health.paused_until.unwrap();
    assert_eq!(waits.seconds() - BEGIN_S, 900);
    stage.live(&mut dispatcher, 899).await?;
    assert_eq!(studio.requests().len(), 1);
    stage.live(&mut dispatcher, 1).await?;
    // The one that waited comes first, and is told to wait as well.
    assert_eq!((studio.requests().len(), studio.work().len()), (2, 0));
    stage.live(&mut dispatcher, LONG_S).await?;
    assert_eq!((studio.work().len(), studio.requests().len()), (2, 4));
    Ok(())
}

/// A date, and more than a day: which is as long as anybody may ask.
#[tokio::test]
async fn retry_after_is_bounded() -> Result<()> {
    for header in ["99999999", "Fri, 01 Jan 2100 00:00:00 GMT"] {
        let (stage, studio) = (Stage::new().await?, Studio::start().await?);
        studio.behave(
            |_, nth| {
                if nth == 1 { Reply::status(503).header("Retry-After", header) } else { Reply::ok() }
            },
        );
        let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, "")).await?;
        stage.tell(&notices(1)).await?;
        stage.live(&mut dispatcher, 86_399).await?;
        assert_eq!(studio.requests().len(), 1, "{header}");
        stage.live(&mut dispatcher, 1).await?;
        assert_eq!(studio.work().len(), 1, "{header}");
    }
    Ok(())
}

#[tokio::test]
async fn the_circuit_breaker_opens_and_lets_one_through_at_a_time() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(|_, _| Reply::status(500));
    let settings = endpoint("game", &studio, "");
    let (mut one, mut other) = (stage.dispatcher(&settings).await?, stage.dispatcher(&settings).await?);
    let told = stage.tell(&notices(100)).await?;
    one.settle().await?;
    let at_first = studio.requests().len();
    assert!((5..=12).contains(&at_first), "{at_first}: the slots that were taken before it opened");
    // All of them are due; of two dispatchers one sends one.
    for (pause, probes) in [(10, 1), (20, 2), (40, 3), (80, 4)] {
        stage.advance(pause - 1);
        tokio::try_join!(one.settle(), other.settle())?;
        assert_eq!(studio.requests().len(), at_first + probes - 1, "before {pause} s are over");
        stage.advance(1);
        tokio::try_join!(one.settle(), other.settle())?;
        assert_eq!(studio.requests().len(), at_first + probes, "after {pause} s");
    }
    studio.behave(|_, _| Reply::ok());
    stage.live(&mut one, LONG_S).await?;
    assert_eq!(ids(studio.work()), told);
    assert_eq!(stage.endpoint("game").await?.endpoint.health, dispatch::Health::default());
    Ok(())
}

/// A probe that dies with its dispatcher leaves the breaker half open when its lease has ended.
#[tokio::test]
async fn a_probe_that_dies_is_followed_by_another() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(|_, _| Reply::status(500));
    let settings = endpoint("game", &studio, "");
    let mut first = stage.dispatcher(&settings).await?;
    let told = stage.tell(&notices(20)).await?;
    first.settle().await?;
    let before = studio.requests().len();
    studio.behave(|_, _| Reply::hang());
    stage.advance(10);
    assert_eq!(first.turn().await?.begun, 1);
    studio.received(before + 1).await?;
    drop(first);
    studio.behave(|_, _| Reply::ok());
    let mut second = stage.dispatcher(&settings).await?;
    second.settle().await?;
    assert_eq!(studio.requests().len(), before + 1, "somebody probes");
    stage.advance(61);
    stage.live(&mut second, LONG_S).await?;
    assert_eq!(ids(studio.work()), told);
    Ok(())
}

/// Old and new secret sign together while they are rotated; a receiver that knows either believes every notice.
#[tokio::test]
async fn secrets_are_rotated_without_a_gap() -> Result<()> {
    const NEXT: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let both = format!("{SECRET}\", \"{NEXT}");
    let believed = |request: &Request, secret: &str| {
        let (at, signatures) = (request.header("webhook-timestamp"), request.header("webhook-signature"));
        let keys = [SigningKey::parse(secret).unwrap()];
        verify(&keys, request.webhook_id(), at, signatures, &request.body, BEGIN_S).is_ok()
    };
    for (n, (secrets, by_old, by_new)) in
        (0_usize..).zip([(SECRET, true, false), (both.as_str(), true, true), (NEXT, false, true)])
    {
        let settings = endpoint("game", &studio, "").replace(SECRET, secrets);
        let mut dispatcher = stage.dispatcher(&settings).await?;
        stage.tell(&[notice("match.held", "m", n)]).await?;
        dispatcher.settle().await?;
        let last = studio.requests().pop().unwrap();
        assert_eq!((believed(&last, SECRET), believed(&last, NEXT)), (by_old, by_new), "{n}");
    }
    Ok(())
}

/// Where an endpoint is not allowed to be: nothing is ever sent there, whatever it is called.
#[tokio::test]
async fn private_targets_are_refused() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let port = studio.url("").rsplit(':').next().unwrap().to_owned();
    let hosts = [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "[fd00::1]",
        "[fe80::1]",
        "224.0.0.1",
    ];
    let table = |(n, host): (usize, &&str)| {
        format!("[endpoints.e{n:02}]\nurl = \"http://{host}:{port}/hook\"\nsecrets = [\"{SECRET}\"]\n")
    };
    let settings: String = hosts.iter().enumerate().map(table).collect();
    let mut dispatcher = stage.dispatcher(&settings).await?;
    stage.tell(&notices(1)).await?;
    dispatcher.settle().await?;
    assert_eq!(studio.requests().len(), 0);
    let told = stage.texts("SELECT outcome || ': ' || detail FROM delivery_attempt").await?;
    assert_eq!(told.len(), hosts.len());
    for line in told {
        assert!(line.starts_with("not_sent: the target is not allowed: "), "{line}");
    }
    // The same place with leave to be there.
    let mut dispatcher = stage.dispatcher(&endpoint("allowed", &studio, "")).await?;
    stage.tell(&[notice("match.held", "m", 1)]).await?;
    dispatcher.settle().await?;
    assert_eq!(studio.work().len(), 1);
    Ok(())
}

/// A redirect from an allowed endpoint leads nowhere, and the studio's status URL is under the same guard.
#[tokio::test]
async fn neither_a_redirect_nor_a_status_url_leads_to_a_private_target() -> Result<()> {
    let (stage, studio, inside) = (Stage::new().await?, Studio::start().await?, Studio::start().await?);
    let to = inside.url("/secret");
    studio.behave(move |_, _| Reply::status(302).header("Location", &to));
    let guarded = format!(
        "[endpoints.guarded]\nurl = \"http://192.0.2.1/hook\"\nsecrets = [\"{SECRET}\"]\nstatus_url = \"{}\"\n",
        inside.url("/received/{webhook_id}")
    );
    let mut dispatcher = stage.dispatcher(&format!("{}{guarded}", endpoint("game", &studio, ""))).await?;
    stage.tell(&notices(1)).await?;
    dispatcher.settle().await?;
    // As if it had been sent and nobody had answered.
    stage.database.connection().await?.execute("UPDATE delivery SET unknown = true", &[]).await?;
    stage.live(&mut dispatcher, 3_600).await?;
    assert!(studio.requests().len() > 1);
    assert_eq!((inside.requests().len(), inside.questions().len()), (0, 0));
    Ok(())
}

/// Nobody knows whether it arrived; where the studio can be asked, it is asked before it is sent again.
#[tokio::test]
async fn of_what_may_have_arrived_the_studio_is_asked_first() -> Result<()> {
    for (arrived, sent) in [(true, 1), (false, 2)] {
        let (stage, studio) = (Stage::new().await?, Studio::start().await?);
        studio.behave(move |_, nth| match (nth, arrived) {
            (1, true) => Reply::hang().working(),
            (1, false) => Reply::hang(),
            _ => Reply::ok(),
        });
        let asks = format!("status_url = \"{}\"", studio.url("/received/{webhook_id}"));
        let mut dispatcher = stage.dispatcher(&endpoint("game", &studio, &asks)).await?;
        let told = stage.tell(&notices(1)).await?;
        stage.live(&mut dispatcher, LONG_S).await?;
        assert_eq!(stage.states().await?, "delivered 1");
        assert_eq!(ids(studio.work()), told);
        assert_eq!((studio.requests().len(), studio.questions().len()), (sent, 1));
        let question = &studio.questions()[0];
        let id = told.first().unwrap();
        assert_eq!((&question.path, question.webhook_id()), (&format!("/received/{id}"), id.as_str()));
        let (at, signatures) = (question.header("webhook-timestamp"), question.header("webhook-signature"));
        let keys = [SigningKey::parse(SECRET)?];
        assert_eq!(verify(&keys, id, at, signatures, b"", at.parse()?), Ok(()));
        let last = stage.outcomes().await?.pop().unwrap();
        assert_eq!(last, if arrived { "confirmed" } else { "delivered 204" });
    }
    Ok(())
}

/// Without anybody to ask, and where the one to ask does not answer, it is sent again under the same id.
#[tokio::test]
async fn what_may_have_arrived_is_sent_again() -> Result<()> {
    let (nobody, silent) = (Studio::start().await?, Studio::start().await?);
    silent.take_down().await;
    for asks in [String::new(), format!("status_url = \"{}\"", silent.url("/{webhook_id}"))] {
        let stage = Stage::new().await?;
        nobody.behave(|_, nth| if nth % 2 == 1 { Reply::hang().working() } else { Reply::ok() });
        let mut dispatcher = stage.dispatcher(&endpoint("game", &nobody, &asks)).await?;
        stage.tell(&notices(1)).await?;
        stage.live(&mut dispatcher, LONG_S).await?;
        assert_eq!(stage.outcomes().await?, ["unknown", "delivered 204"]);
    }
    assert_eq!((nobody.requests().len(), nobody.work().len()), (4, 1));
    Ok(())
}

/// Out of the configuration and back: what was for it waits meanwhile, what comes meanwhile is not for it.
#[tokio::test]
async fn an_endpoint_that_left_the_configuration_gets_nothing_until_it_is_back() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    studio.behave(|_, _| Reply::status(500));
    let settings = endpoint("game", &studio, "");
    stage.tell(&[notice("match.held", "before", 1)]).await?;
    stage.dispatcher(&settings).await?.settle().await?;
    studio.behave(|_, _| Reply::ok());
    let mut without = stage.dispatcher("").await?;
    stage.tell(&[notice("match.held", "meanwhile", 2)]).await?;
    stage.live(&mut without, LONG_S).await?;
    assert_eq!(studio.work().len(), 0);
    let mut with = stage.dispatcher(&settings).await?;
    stage.tell(&[notice("match.held", "after", 3)]).await?;
    stage.live(&mut with, LONG_S).await?;
    let arrived = studio.requests();
    assert_eq!(subjects(&arrived[1..]), ["after", "before"]);
    Ok(())
}

fn api_endpoint(name: &str, url: &str) -> EndpointSpec {
    EndpointSpec {
        name: EndpointName::parse(name).unwrap(),
        url: TargetUrl::parse(url).unwrap(),
        events: vec![EventPattern::parse("match.*").unwrap()],
        sources: Vec::new(),
        ordered: false,
        status_url: None,
    }
}

/// What the API adds is sent to from the next turn on, with its own secrets, and in a private
/// network only where the configuration says so.
#[tokio::test]
async fn an_endpoint_of_the_api_is_known_at_once_and_never_private() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let mut dispatcher = stage.dispatcher("").await?;
    let spec = api_endpoint("added", &studio.url("/hook"));
    let add = async |tx: &matchpurse_store::Tx<'_>| {
        Ok(dispatch::add_in_tx(tx, &spec, &[SECRET.into()], "ann", "the new server").await?)
    };
    assert!(stage.in_tx(add).await?.is_some());
    assert!(stage.in_tx(add).await?.is_none(), "the name is taken");
    stage.tell(&notices(1)).await?;
    dispatcher.settle().await?;
    assert_eq!(stage.outcomes().await?, ["not_sent"]);
    // A row could not say otherwise; only who writes the configuration can.
    let allow =
        "ALTER TABLE endpoint DROP CONSTRAINT endpoint_check1; UPDATE endpoint SET allow_private = true";
    stage.database.connection().await?.batch_execute(allow).await?;
    stage.advance(60);
    dispatcher.settle().await?;
    assert_eq!(stage.outcomes().await?, ["not_sent", "not_sent"]);
    let mut dispatcher = stage.dispatcher("api.endpoints_allow_private = true").await?;
    stage.live(&mut dispatcher, LONG_S).await?;
    let request = studio.requests().pop().unwrap();
    let (at, signatures) = (request.header("webhook-timestamp"), request.header("webhook-signature"));
    let keys = [SigningKey::parse(SECRET)?];
    assert_eq!(verify(&keys, request.webhook_id(), at, signatures, &request.body, at.parse()?), Ok(()));
    let shown = format!("{:?}", stage.endpoint("added").await?);
    assert!(!shown.contains("C2FVs"), "{shown}");

    // The configuration cannot take its name.
    let error = stage.dispatcher(&endpoint("added", &studio, "")).await.err().unwrap();
    assert!(format!("{error:#}").contains("made through the API"), "{error:#}");
    Ok(())
}
