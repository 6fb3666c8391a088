//! What we send is what receivers of Standard Webhooks expect, by the public library.

use anyhow::Result;
use matchpurse_domain::webhook::{SigningKey, sign, verify};
use standardwebhooks::Webhook;

use crate::stage::{SECRET, Stage, endpoint, json, notice};
use matchpurse_testkit::Studio;

const OTHER: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk";
const BODY: &[u8] = br#"{"email":"test@example.com","username":"test_user"}"#;

/// The vector of the specification's libraries, made and read by them and by us.
#[test]
fn the_reference_library_and_ours_make_and_read_the_same_signatures() -> Result<()> {
    const AT: i64 = 1_649_367_553;
    const SIGNATURE: &str = "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=";
    let (theirs, ours) = (Webhook::new(SECRET)?, SigningKey::parse(SECRET)?);
    assert_eq!(theirs.sign(ID, AT, BODY)?, SIGNATURE);
    assert_eq!(sign(std::slice::from_ref(&ours), ID, AT, BODY), SIGNATURE);
    assert_eq!(
        verify(std::slice::from_ref(&ours), ID, &AT.to_string(), &theirs.sign(ID, AT, BODY)?, BODY, AT),
        Ok(())
    );
    let mut headers = http::HeaderMap::new();
    // It goes by the real time.
    let now = matchpurse_store::now().seconds();
    let (at, signatures) = (now.to_string(), sign(&[SigningKey::parse(OTHER)?, ours], ID, now, BODY));
    let values = [("webhook-id", ID), ("webhook-timestamp", &at), ("webhook-signature", &signatures)];
    for (name, value) in values {
        headers.insert(name, value.parse()?);
    }
    theirs.verify(BODY, &headers)?;
    Ok(())
}

/// A notice as it arrives: three headers, the body of the specification, signed by every secret of the endpoint.
#[tokio::test]
async fn a_notice_arrives_as_the_specification_says() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let both = endpoint("game", &studio, "").replace("secrets = [", &format!("secrets = [\"{OTHER}\", "));
    let mut dispatcher = stage.dispatcher(&both).await?;
    // The library goes by the real time.
    stage.set(matchpurse_store::now());
    let told = notice("match.settled", "m1", 7);
    stage.tell(std::slice::from_ref(&told)).await?;
    dispatcher.settle().await?;

    let requests = studio.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook"));
    assert_eq!(request.header("content-type"), "application/json");
    assert_eq!(request.webhook_id(), told.webhook_id().to_string());
    assert_eq!(request.header("webhook-timestamp"), stage.now().seconds().to_string());
    assert!(request.header("user-agent").starts_with("Matchpurse/"));
    assert_eq!(
        json(request),
        serde_json::json!({
            "type": "match.settled",
            "timestamp": "2026-09-21T14:12:20.000000Z",
            "data": {"n": 7, "prize": 900, "source": "arena", "subject": "m1"},
        })
    );
    let mut headers = http::HeaderMap::new();
    for name in ["webhook-id", "webhook-timestamp", "webhook-signature"] {
        headers.insert(name, request.header(name).parse()?);
    }
    assert_eq!(request.header("webhook-signature").split(' ').count(), 2);
    for secret in [SECRET, OTHER] {
        Webhook::new(secret)?.verify(&request.body, &headers)?;
    }
    let stranger = Webhook::new("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")?;
    assert!(stranger.verify(&request.body, &headers).is_err());
    Ok(())
}
