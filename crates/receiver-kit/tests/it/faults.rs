use std::time::Duration;

use anyhow::Result;
use matchpurse_domain::webhook::TargetUrl;
use matchpurse_receiver_kit::{Case, EndpointSecret, Finding, Options, Report, Verdict, verify};

use crate::stand_in::{Fault, SECRET, StandIn};

fn options(stand_in: &StandIn) -> Result<Options> {
    let options = Options::new(TargetUrl::parse(&stand_in.url())?, EndpointSecret::parse(SECRET)?);
    Ok(Options {
        state_url: Some(TargetUrl::parse(&stand_in.state_url())?),
        status_url: Some(TargetUrl::parse(&stand_in.status_url())?),
        piece_pause: Duration::from_millis(10),
        // What is never done is asked for once.
        patience: Duration::ZERO,
        ..options
    })
}

async fn run(stand_in: &StandIn, options: &Options) -> Result<Report> {
    let report = verify(options, |case| {
        if case == Case::RepeatsAtOnce {
            stand_in.copies_come();
        }
    });
    Ok(report.await?)
}

/// The report, without what is another one each time.
fn text(report: &Report, stand_in: &StandIn) -> String {
    let text = report.to_string().replace(&stand_in.address.port().to_string(), "PORT");
    let words: Vec<&str> = text.split(' ').collect();
    let timed = |(place, word): (usize, &&str)| {
        let is_time =
            words.get(place + 1).is_some_and(|next| next.trim_end() == "ms" || next.starts_with("ms\n"));
        let number = word.bytes().all(|byte| byte.is_ascii_digit());
        if is_time && number { "N".to_owned() } else { (*word).to_owned() }
    };
    words.iter().enumerate().map(timed).collect::<Vec<_>>().join(" ")
}

/// What the kit says of an endpoint with this fault.
async fn complaints_about(fault: Fault) -> Result<String> {
    let stand_in = StandIn::start(fault).await?;
    let report = run(&stand_in, &options(&stand_in)?).await?;
    assert_eq!(report.good, fault == Fault::LimitsTheRate, "only what could not be seen may be good");
    Ok(complaints(&report, &stand_in))
}

/// What a report says that is wrong or could be better, and how much could not be seen.
fn complaints(report: &Report, stand_in: &StandIn) -> String {
    let told = |finding: &&Finding| matches!(finding.verdict, Verdict::Wrong | Verdict::Warning);
    let findings: Vec<Finding> = report.findings.iter().filter(told).cloned().collect();
    let unseen = report.findings.iter().filter(|finding| finding.verdict == Verdict::CouldNotSee).count();
    let text = text(&Report { findings, notes: Vec::new(), ..report.clone() }, stand_in);
    let lines: Vec<&str> =
        text.lines().skip(2).map(str::trim_end).take_while(|line| !line.is_empty()).collect();
    format!("{}\ncould not see {unseen}", lines.join("\n"))
}

#[tokio::test]
async fn signatures_that_are_not_checked_as_they_must_be() -> Result<()> {
    insta::assert_snapshot!(complaints_about(Fault::ChecksNothing).await?, @r#"
    WRONG          signed with another key: answered 204
                   > Anybody who knows the URL can make your side give rewards. Compute the signature with the
                     endpoint's secret, compare it in constant time, and refuse with 401 when none fits.
    WRONG          one byte of the body changed: answered 204
                   > As above: it is not the signature that decides.
    WRONG          the webhook-id changed: answered 204 (as above)
    WRONG          the webhook-timestamp changed: answered 204 (as above)
    WRONG          signed ten minutes ago: answered 204
                   > Who has overheard a delivery can send it again for ever. Refuse a webhook-timestamp that is
                     more than five minutes from your clock.
    WRONG          signed for ten minutes from now: answered 204
                   > Refuse a webhook-timestamp that is more than five minutes ahead of your clock, as well as an
                     old one.
    WRONG          a header missing: each answered 200 (as above)
    WRONG          the same webhook-id again, later: each answered 204; done 2 times
                   > Every delivery may come more than once, always under the same webhook-id. Insert that under a
                     unique index in the transaction of the effect, and do nothing when it is there.
    WRONG          the same webhook-id five times at once: each answered 204; done 5 times
                   > Two copies at once were both done: your side looks for the webhook-id first and writes it
                     afterwards. Insert it under a unique index in the transaction of the effect, and do nothing
                     when it is there.
    could not see 0
    "#);
    insta::assert_snapshot!(complaints_about(Fault::TakesSignaturesFromTheFirstOnly).await?, @r#"
    WRONG          signed by two keys, one of them unknown (rotation): the unknown one first: answered 401 "bad
                   signature"; the unknown one last: answered 204
                   > webhook-signature is a list with spaces between: one that fits is enough, wherever it stands.
                     Otherwise everything is refused while a secret is replaced.
    WRONG          a signature of an unknown scheme beside the right one: answered 401 "bad signature"
                   > Pass over signatures that do not begin with "v1,", and look for one that fits.
    could not see 0
    "#);
    insta::assert_snapshot!(complaints_about(Fault::SignsParsedJson).await?, @r#"
    WRONG          a body with unusual spaces, escapes and letters: answered 401 "bad signature"
                   > Sign the bytes as they came, before anything parses them; JSON that is parsed and written
                     again is not the same. And take any JSON, with letters beyond ASCII and members that you do
                     not know.
    could not see 0
    "#);
    insta::assert_snapshot!(complaints_about(Fault::IgnoresTime).await?, @r#"
    WRONG          signed ten minutes ago: answered 204
                   > Who has overheard a delivery can send it again for ever. Refuse a webhook-timestamp that is
                     more than five minutes from your clock.
    WRONG          signed for ten minutes from now: answered 204
                   > Refuse a webhook-timestamp that is more than five minutes ahead of your clock, as well as an
                     old one.
    could not see 0
    "#);
    insta::assert_snapshot!(complaints_about(Fault::FailsOverMissingHeaders).await?, @r#"
    WRONG          a header missing: each answered 500 "Cannot read properties of undefined"
                   > It was not accepted, but your code failed over it. Whoever knows the URL can do that; answer
                     401.
    could not see 0
    "#);
    insta::assert_snapshot!(complaints_about(Fault::ActsBeforeItChecks).await?, @r#"
    WRONG          signed with another key: answered 401 "bad signature"; done all the same
                   > It was refused, and acted upon all the same. Check the signature before anything else
                     happens.
    WRONG          one byte of the body changed: answered 401 "bad signature"; done all the same (as above)
    WRONG          the webhook-id changed: answered 401 "bad signature"; done all the same (as above)
    WRONG          the webhook-timestamp changed: answered 401 "bad signature"; done all the same (as above)
    WRONG          signed ten minutes ago: answered 401 "bad signature"; done all the same (as above)
    WRONG          signed for ten minutes from now: answered 401 "bad signature"; done all the same (as above)
    WRONG          a header missing: each answered 400 "a header is missing"; done all the same (as above)
    could not see 0
    "#);
    Ok(())
}

#[tokio::test]
async fn mistakes_that_refuse_everything_are_named() -> Result<()> {
    insta::assert_snapshot!(complaints_about(Fault::SignsSpacedJson).await?, @r#"
    WRONG          a correct delivery: answered 401 "bad signature"
                   > Your side parses the body and signs it as its own library writes it. Sign the bytes as they
                     came, before anything parses them.
    could not see 17
    "#);
    insta::assert_snapshot!(complaints_about(Fault::SignsSortedJson).await?, @r#"
    WRONG          a correct delivery: answered 401 "bad signature"
                   > Your side parses the body and signs it as its own library writes it. Sign the bytes as they
                     came, before anything parses them.
    could not see 17
    "#);
    insta::assert_snapshot!(complaints_about(Fault::SignsNoBody).await?, @r#"
    WRONG          a correct delivery: answered 401 "bad signature"
                   > Your side signs an empty body: something has read it before (a JSON parser that comes
                     first?), or it is not read at all. Keep the bytes as they came, and sign them.
    could not see 17
    "#);
    insta::assert_snapshot!(complaints_about(Fault::TakesTheSecretAsText).await?, @r#"
    WRONG          a correct delivery: answered 401 "bad signature"
                   > Your side expects another signature. It takes the whole text of the secret as key: take off
                     "whsec_" and decode the rest from base64.
    could not see 17
    "#);
    insta::assert_snapshot!(complaints_about(Fault::SignsAsAnotherScheme).await?, @r#"
    WRONG          a correct delivery: answered 401 "bad signature"
                   > Your side expects another signature. It takes the whole text of the secret as key: take off
                     "whsec_" and decode the rest from base64. It signs the body alone: what is signed is
                     webhook-id, a point, webhook-timestamp, a point, the body. It compares with hexadecimal
                     digits: the header is a list with spaces between, each "v1," and base64.
    could not see 17
    "#);
    insta::assert_snapshot!(complaints_about(Fault::ComparesMilliseconds).await?, @r#"
    WRONG          a correct delivery: answered 401 "bad signature"
                   > It was accepted with a webhook-timestamp in milliseconds. The header is in seconds: compare
                     it with your clock in seconds.
    could not see 17
    "#);
    insta::assert_snapshot!(complaints_about(Fault::HasAnotherSecret).await?, @r#"
    WRONG          a correct delivery: answered 401 "bad signature"
                   > The signature is not accepted. Is it the secret of this endpoint? Sign webhook-id, a point,
                     webhook-timestamp, a point and the body's bytes with the key that is base64 behind "whsec_".
    could not see 17
    "#);
    insta::assert_snapshot!(complaints_about(Fault::RefusesTheFirst).await?, @r#"
    WRONG          a correct delivery: answered 401
                   > Sent once more under another id, the same was accepted: your side does not always decide in
                     the same way. Look into its log for the first one.
    could not see 1
    "#);
    Ok(())
}

#[tokio::test]
async fn deliveries_that_are_not_taken_as_they_come() -> Result<()> {
    insta::assert_snapshot!(complaints_about(Fault::RefusesUnknownTypes).await?, @r#"
    WRONG          an unknown event type: answered 422 "unknown type"
                   > New event types are added. Answer 2xx to what you do not know, and do nothing: otherwise it
                     is sent again for days, and your endpoint counts as failing.
    could not see 0
    "#);
    insta::assert_snapshot!(complaints_about(Fault::NeedsOrder).await?, @r#"
    WRONG          out of order: match.settled, then match.held: match.settled: answered 409 "no such match";
                   match.held: answered 204
                   > Deliveries come in any order. Answer 2xx to a notice that came too late, and go by what the
                     payload says; it is the whole match as it was then.
    could not see 0
    "#);
    insta::assert_snapshot!(complaints_about(Fault::RefusesLargeBodies).await?, @r#"
    WRONG          a body of 256 KiB: answered 413
                   > Bodies may have up to 256 KiB. Raise the limit, of the server before your code as well
                     (nginx: client_max_body_size).
    could not see 0
    "#);
    insta::assert_snapshot!(complaints_about(Fault::ReadsOnePacket).await?, @r#"
    WRONG          a body of 256 KiB: answered 401 "bad signature"
                   > The body is not there as a whole when it is checked: read as many bytes as Content-Length
                     says, up to 256 KiB.
    WRONG          a slow sender: the body in pieces: answered 401 "bad signature"
                   > The body comes in several packets. Read as many bytes as Content-Length says before you check
                     it.
    could not see 0
    "#);
    Ok(())
}

#[tokio::test]
async fn work_that_is_done_twice_or_never() -> Result<()> {
    insta::assert_snapshot!(complaints_about(Fault::ForgetsIds).await?, @r#"
    WRONG          the same webhook-id again, later: each answered 204; done 2 times
                   > Every delivery may come more than once, always under the same webhook-id. Insert that under a
                     unique index in the transaction of the effect, and do nothing when it is there.
    WRONG          the same webhook-id five times at once: each answered 204; done 5 times
                   > Two copies at once were both done: your side looks for the webhook-id first and writes it
                     afterwards. Insert it under a unique index in the transaction of the effect, and do nothing
                     when it is there.
    could not see 0
    "#);
    insta::assert_snapshot!(complaints_about(Fault::LooksBeforeItWrites).await?, @r#"
    WRONG          the same webhook-id five times at once: each answered 204; done 5 times
                   > Two copies at once were both done: your side looks for the webhook-id first and writes it
                     afterwards. Insert it under a unique index in the transaction of the effect, and do nothing
                     when it is there.
    could not see 0
    "#);
    insta::assert_snapshot!(complaints_about(Fault::RefusesRepeats).await?, @r#"
    WRONG          the same webhook-id again, later: the first time: answered 204; again: answered 409 "duplicate"
                   > Answer the same 2xx to a webhook-id that you have already: it is repeated because the first
                     answer may not have arrived, until there is a 2xx.
    warning        the same webhook-id five times at once: answered 204; answered 409 "duplicate" (4 times)
                   > One copy was accepted and others were refused: they are sent again later, for nothing. A copy
                     whose twin is still in work can wait for it, and then answer the same 2xx.
    could not see 0
    "#);
    insta::assert_snapshot!(complaints_about(Fault::LosesWork).await?, @r#"
    WRONG          a correct delivery: answered 204; done 0 times
                   > It was acknowledged and not done. After a 2xx we never send it again: answer only when it is
                     on durable storage.
    WRONG          signed by two keys, one of them unknown (rotation): each answered 204; done 0 times (as above)
    WRONG          a signature of an unknown scheme beside the right one: answered 204; done 0 times (as above)
    WRONG          a body with unusual spaces, escapes and letters: answered 204; done 0 times (as above)
    WRONG          a body of 256 KiB: answered 204; done 0 times (as above)
    WRONG          a slow sender: the body in pieces: answered 204; done 0 times (as above)
    WRONG          the same webhook-id again, later: each answered 204; done 0 times (as above)
    WRONG          the same webhook-id five times at once: each answered 204; done 0 times (as above)
    WRONG          the status URL: for what was delivered: not received; for what never was: not received
                   > It does not know a webhook-id that was accepted, so this would be sent again. Answer
                     {"received": true} from the moment of the 2xx on.
    could not see 0
    "#);
    Ok(())
}

#[tokio::test]
async fn status_urls_that_say_too_much_or_too_little() -> Result<()> {
    insta::assert_snapshot!(complaints_about(Fault::ClaimsEverything).await?, @r#"
    WRONG          the status URL: for what was delivered: received; for what never was: received
                   > What the status URL claims is not sent again: what never came, or was not accepted, is lost.
                     Answer {"received": true} only for a webhook-id that is on durable storage.
    could not see 0
    "#);
    insta::assert_snapshot!(complaints_about(Fault::ClaimsNothing).await?, @r#"
    WRONG          the status URL: for what was delivered: not received; for what never was: not received
                   > It does not know a webhook-id that was accepted, so this would be sent again. Answer
                     {"received": true} from the moment of the 2xx on.
    could not see 0
    "#);
    insta::assert_snapshot!(complaints_about(Fault::HasNoStatus).await?, @r#"
    WRONG          the status URL: for what was delivered: answered 404; for what never was: answered 404
                   > It must answer a GET with 200 and {"received": true} or {"received": false}. Whatever else it
                     answers, everything is sent again.
    could not see 0
    "#);
    Ok(())
}

#[tokio::test]
async fn answers_that_are_none() -> Result<()> {
    insta::assert_snapshot!(complaints_about(Fault::Redirects).await?, @r#"
    WRONG          a correct delivery: answered 308, to https://game.example/hooks/
                   > Redirects are not followed: a signed delivery goes where the configuration says, not where an
                     answer points. Configure the URL that answers itself (http or https, with or without the last
                     slash?).
    could not see 16
    "#);
    insta::assert_snapshot!(complaints_about(Fault::IsGone).await?, @r#"
    WRONG          a correct delivery: answered 410
                   > 410 says that nobody will ever be here again: the endpoint is disabled and gets nothing more.
    could not see 16
    "#);
    insta::assert_snapshot!(complaints_about(Fault::IsNotThere).await?, @r#"
    WRONG          a correct delivery: answered 404 "<h1>Not Found</h1>"
                   > Nothing takes a POST here. Is it the right URL, with its whole path?
    could not see 16
    "#);
    insta::assert_snapshot!(complaints_about(Fault::Fails).await?, @r#"
    WRONG          a correct delivery: answered 500 "Internal Server Error"
                   > Your side failed. It is sent again later; look into your side's log for the cause.
    could not see 17
    "#);
    insta::assert_snapshot!(complaints_about(Fault::LimitsTheRate).await?, @r#"
    could not see 16
    "#);
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_does_everything_right() -> Result<()> {
    let stand_in = StandIn::start(Fault::Nothing).await?;
    let report = run(&stand_in, &options(&stand_in)?).await?;
    assert!(report.good);
    insta::assert_snapshot!(text(&report, &stand_in), @r#"
    http://127.0.0.1:PORT/hooks
    note           what is sent is about the source "endpoint-check", and about players and things that do not
                   exist; a correct endpoint acts on it, so let it be a test system
    note           127.0.0.1 is not an address of the public internet: it is tried because you named it; the
                   dispatcher sends there only where the endpoint has allow_private = true

    ok             a correct delivery: answered 204
    ok             signed by two keys, one of them unknown (rotation): each answered 204
    ok             a signature of an unknown scheme beside the right one: answered 204
    ok             signed with another key: answered 401 "bad signature"
    ok             one byte of the body changed: answered 401 "bad signature"
    ok             the webhook-id changed: answered 401 "bad signature"
    ok             the webhook-timestamp changed: answered 401 "bad signature"
    ok             signed ten minutes ago: answered 401 "bad signature"
    ok             signed for ten minutes from now: answered 401 "bad signature"
    ok             a header missing: each answered 400 "a header is missing"
    ok             a body with unusual spaces, escapes and letters: answered 204
    ok             a body of 256 KiB: answered 204
    ok             a slow sender: the body in pieces: answered 204
    ok             an unknown event type: answered 204
    ok             out of order: match.settled, then match.held: each answered 204
    ok             the same webhook-id again, later: each answered 204; done once
    ok             the same webhook-id five times at once: each answered 204; done once
    ok             the status URL: for what was delivered: received; for what never was: not received
    ok             answers in time: the slowest took N ms

    19 ok, 0 warning, 0 could not see, 0 WRONG
    "#);
    Ok(())
}

#[tokio::test]
async fn without_a_state_url_it_says_what_it_could_not_see() -> Result<()> {
    let stand_in = StandIn::start(Fault::Nothing).await?;
    let blind = Options { state_url: None, ..options(&stand_in)? };
    let report = run(&stand_in, &blind).await?;
    assert!(report.good);
    insta::assert_snapshot!(unseen(&report), @r#"
    the same webhook-id again, later: each answered 204
    > Whether it was done once cannot be seen from the answers. Give --state-url, where your test system tells how often it acted on each webhook-id.
    the same webhook-id five times at once: each answered 204
    > Whether it was done once cannot be seen from the answers. Give --state-url, where your test system tells how often it acted on each webhook-id.
    "#);

    // A fault that only the state shows is not called right either.
    let forgetful = StandIn::start(Fault::ForgetsIds).await?;
    let blind = Options { state_url: None, ..options(&forgetful)? };
    assert_eq!(unseen(&run(&forgetful, &blind).await?), unseen(&report));
    Ok(())
}

#[tokio::test]
async fn a_state_that_cannot_be_read_is_told() -> Result<()> {
    let stand_in = StandIn::start(Fault::Nothing).await?;
    let elsewhere = TargetUrl::parse(&stand_in.url())?;
    let report = run(&stand_in, &Options { state_url: Some(elsewhere), ..options(&stand_in)? }).await?;
    assert!(report.good);
    insta::assert_snapshot!(unseen(&report), @r#"
    the same webhook-id again, later: each answered 204
    > Whether it was done once cannot be seen: the state URL cannot be read; it answered 400.
    the same webhook-id five times at once: each answered 204
    > Whether it was done once cannot be seen: the state URL cannot be read; it answered 400.
    "#);
    Ok(())
}

#[tokio::test]
async fn a_state_may_be_asked_for_one_id_at_a_time() -> Result<()> {
    let stand_in = StandIn::start(Fault::ForgetsIds).await?;
    let one_at_a_time = TargetUrl::parse(&format!("{}/{{webhook_id}}", stand_in.state_url()))?;
    let report = run(&stand_in, &Options { state_url: Some(one_at_a_time), ..options(&stand_in)? }).await?;
    assert_eq!(wrong(&report), [Case::Repeat, Case::RepeatsAtOnce]);
    Ok(())
}

#[tokio::test]
async fn slow_answers_and_wrong_clocks_are_told() -> Result<()> {
    let stand_in = StandIn::start(Fault::Nothing).await?;
    let report = run(&stand_in, &Options { warn_after: Duration::ZERO, ..options(&stand_in)? }).await?;
    assert!(report.good);
    insta::assert_snapshot!(complaints(&report, &stand_in), @r#"
    warning        answers in time: the slowest took N ms
                   > An answer that takes too long counts as none, and the same is sent again. Store the delivery,
                     answer, and do the work afterwards.
    could not see 0
    "#);

    let stand_in = StandIn::start(Fault::HasAnotherClock).await?;
    let report = run(&stand_in, &options(&stand_in)?).await?;
    let clock = |text: &str| text.contains("s behind");
    assert!(clock(&report.findings[0].advice), "{report}");
    assert!(report.notes.iter().any(|note| clock(note)), "{report}");
    Ok(())
}

#[tokio::test]
async fn an_endpoint_that_hangs_or_is_away_is_asked_once() -> Result<()> {
    let stand_in = StandIn::start(Fault::Hangs).await?;
    let impatient = Options { time_limit: Duration::from_millis(300), ..options(&stand_in)? };
    insta::assert_snapshot!(complaints(&run(&stand_in, &impatient).await?, &stand_in), @r#"
    WRONG          a correct delivery: no answer within N ms
                   > Without an answer in time nobody knows whether it arrived, so the same is sent again. Store
                     the delivery, answer, and do the work afterwards.
    could not see 17
    "#);

    let away = Options { url: TargetUrl::parse("http://127.0.0.1:1/hooks")?, ..options(&stand_in)? };
    insta::assert_snapshot!(complaints(&run(&stand_in, &away).await?, &stand_in), @r#"
    WRONG          a correct delivery: no connection (Connection refused (os error 111))
                   > Is the server running, reachable from here, and its certificate valid?
    could not see 17
    "#);
    for (fault, requests) in [(Fault::Redirects, 1), (Fault::IsGone, 1), (Fault::Nothing, 26)] {
        let stand_in = StandIn::start(fault).await?;
        run(&stand_in, &options(&stand_in)?).await?;
        assert_eq!(stand_in.requests(), requests, "{fault:?}");
    }
    Ok(())
}

/// For programs, the same as for people.
#[tokio::test]
async fn a_report_as_json() -> Result<()> {
    let stand_in = StandIn::start(Fault::RefusesUnknownTypes).await?;
    let report = run(&stand_in, &options(&stand_in)?).await?;
    let json = serde_json::to_value(&report)?;
    let shown = format!("{json} {report:?} {:?}", options(&stand_in)?);
    assert!(!shown.contains(&SECRET[6..]), "the secret is shown");
    assert_eq!((&json["good"], &json["findings"][0]["verdict"]), (&false.into(), &"ok".into()));
    let finding = json["findings"].as_array().unwrap().iter().find(|one| one["case"] == "unknown_type");
    let mut finding = finding.unwrap().clone();
    let delivery = &mut finding["deliveries"][0];
    assert!(delivery["took_ms"].is_u64() && delivery["webhook_id"].is_string());
    (delivery["took_ms"], delivery["webhook_id"]) = (1.into(), "ID".into());
    insta::assert_snapshot!(serde_json::to_string_pretty(&finding)?, @r#"
    {
      "advice": "New event types are added. Answer 2xx to what you do not know, and do nothing: otherwise it is sent again for days, and your endpoint counts as failing.",
      "case": "unknown_type",
      "deliveries": [
        {
          "seen": "answered 422 \"unknown type\"",
          "status": 422,
          "took_ms": 1,
          "webhook_id": "ID"
        }
      ],
      "seen": "answered 422 \"unknown type\"",
      "title": "an unknown event type",
      "verdict": "wrong"
    }
    "#);
    Ok(())
}

fn wrong(report: &Report) -> Vec<Case> {
    report.findings.iter().filter(|one| one.verdict == Verdict::Wrong).map(|one| one.case).collect()
}

/// What could not be seen, with its advice.
fn unseen(report: &Report) -> String {
    let unseen = report.findings.iter().filter(|finding| finding.verdict == Verdict::CouldNotSee);
    let told = unseen.map(|finding| format!("{}: {}\n> {}", finding.title, finding.seen, finding.advice));
    told.collect::<Vec<_>>().join("\n")
}
