//! What should have come and has not: over the API, in the console, and in the metrics.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant, sleep};

use crate::console_studio::Browser;
use crate::harness::{ANN, Api, READER, SETTINGS, WRITER, request};

const PATIENCE: Duration = Duration::from_secs(60);

/// `ours` has sent sixty an hour for a month, until six hours ago; `theirs` until now; of `coins` nothing was ever heard.
/// A match holds money and has had no news for 25 hours, and one on a game server was over before it began.
const HISTORY: &str = "
    INSERT INTO source_hour
    SELECT source, hour, 60, hour + interval '59 minutes'
      FROM (VALUES ('ours', 6), ('theirs', 0)) AS silent (source, hours)
     CROSS JOIN LATERAL generate_series(date_trunc('hour', now()) - interval '30 days',
                                        date_trunc('hour', now()) - make_interval(hours => hours + 1),
                                        interval '1 hour') AS heard (hour);
    INSERT INTO match (match_key, source, kind, match_id, status, rank, custody, currency, fee_bps, tie_policy,
                       first_event_id, last_event_id, created_at, updated_at)
    VALUES (gen_random_uuid(), 'ours', 'recreational', 'm/1', 'LOCKED', 30, 'studio', 'USD', 0, 'refund_full',
            gen_random_uuid(), gen_random_uuid(), now() - interval '30 hours', now() - interval '25 hours');
    INSERT INTO match_deadline (match_no, due_at) SELECT match_no, now() + interval '42 hours' FROM match;
    INSERT INTO stats_match (stats_key, source, match_id, rounds_played, finished, counted, ended_at, first_event_id,
                             last_event_id, created_at)
    VALUES (gen_random_uuid(), 'theirs', 's-1', 0, true, true, now() - interval '2 hours', gen_random_uuid(),
            gen_random_uuid(), now() - interval '3 hours')";

async fn asked(api: &Api, who: &str, path: &str) -> Result<(u16, Value)> {
    let answer = api.send(&request(who, "GET", path, "")).await?;
    Ok((answer.status, serde_json::from_str(&answer.body)?))
}

/// Numbers that depend on the clock, as whole hours.
fn hours(value: &Value) -> i64 {
    (value.as_i64().unwrap() + 60).div_euclid(3_600)
}

#[tokio::test]
async fn what_is_missing_is_shown_with_its_age() -> Result<()> {
    let api = Api::start_with(SETTINGS).await?;
    api.database.connection().await?.batch_execute(HISTORY).await?;
    let (status, found) = asked(&api, READER, "/v1/gaps").await?;
    assert_eq!(status, 200);
    let states: Vec<Value> =
        found["sources"].as_array().unwrap().iter().map(|own| json!([own["source"], own["state"]])).collect();
    assert_eq!(json!(states), json!([["coins", "never_heard"], ["ours", "silent"], ["theirs", "usual"]]));
    let ours = &found["sources"][1];
    assert!((6..=7).contains(&hours(&ours["silent_s"])), "{ours}");
    assert!((290..=360).contains(&ours["expected"].as_i64().unwrap()), "{ours}");
    assert_eq!(ours["one_in"], 1_000_000_000);
    assert_eq!(found["sources"][0]["last_at"], Value::Null);
    let missing: Vec<Value> = found["missing"]
        .as_array()
        .unwrap()
        .iter()
        .map(|own| json!([own["source"], own["match_id"], own["about"], own["gap"], hours(&own["age_s"])]))
        .collect();
    let expected = json!([
        ["ours", "m/1", "match", "no_news", 25],
        ["theirs", "s-1", "statistics", "end_without_rounds", 2]
    ]);
    assert_eq!((json!(missing), &found["more"]), (expected, &json!(false)));

    let (_, theirs) = asked(&api, READER, "/v1/gaps?source=theirs").await?;
    assert_eq!(theirs["sources"].as_array().unwrap().len(), 1);
    assert_eq!(theirs["missing"].as_array().unwrap().len(), 1);
    for (who, path, problem) in [
        (READER, "/v1/gaps?source=none", "urn:matchpurse:problem:unknown-source"),
        (READER, "/v1/gaps?source=%00", "urn:matchpurse:problem:invalid-query"),
        (READER, "/v1/gaps?since=now", "urn:matchpurse:problem:invalid-query"),
        (WRITER, "/v1/gaps", "urn:matchpurse:problem:insufficient-scope"),
    ] {
        assert_eq!(asked(&api, who, path).await?.1["type"], problem, "{path}");
    }
    api.stop().await
}

#[tokio::test]
async fn what_providers_are_asked_is_shown_with_what_came_of_it() -> Result<()> {
    let api = Api::start_with(SETTINGS).await?;
    let questions = "
        INSERT INTO inquiry (source, kind, subject, due_at, failures, asked_at, answered_at, outcome, detail, events)
        VALUES ('ours', 'match', 'm/1', '2026-11-23T10:00:00Z', 3, '2026-11-23T09:59:00Z', NULL, 'later',
                'the provider cannot answer now', 0),
               ('theirs', 'offers', '', '2026-11-23T09:00:00Z', 0, '2026-11-23T08:55:00Z', '2026-11-23T08:55:01Z',
                'found', '', 7)";
    assert_eq!(asked(&api, READER, "/v1/inquiries").await?, (200, json!({ "inquiries": [], "more": false })));
    api.database.connection().await?.batch_execute(questions).await?;
    let (status, found) = asked(&api, READER, "/v1/inquiries").await?;
    assert_eq!(status, 200);
    let expected = json!([
        { "source": "ours", "kind": "match", "subject": "m/1", "due_at": "2026-11-23T10:00:00.000000Z",
          "asked_at": "2026-11-23T09:59:00.000000Z", "answered_at": null, "outcome": "later",
          "detail": "the provider cannot answer now", "failures": 3, "events": 0 },
        { "source": "theirs", "kind": "offers", "subject": null, "due_at": "2026-11-23T09:00:00.000000Z",
          "asked_at": "2026-11-23T08:55:00.000000Z", "answered_at": "2026-11-23T08:55:01.000000Z",
          "outcome": "found", "detail": null, "failures": 0, "events": 7 },
    ]);
    assert_eq!((&found["inquiries"], &found["more"]), (&expected, &json!(false)));
    let (_, theirs) = asked(&api, READER, "/v1/inquiries?source=theirs").await?;
    assert_eq!(theirs["inquiries"].as_array().unwrap().len(), 1);
    for (who, path, problem) in [
        (READER, "/v1/inquiries?source=none", "urn:matchpurse:problem:unknown-source"),
        (READER, "/v1/inquiries?limit=1", "urn:matchpurse:problem:invalid-query"),
        (WRITER, "/v1/inquiries", "urn:matchpurse:problem:insufficient-scope"),
    ] {
        assert_eq!(asked(&api, who, path).await?.1["type"], problem, "{path}");
    }
    api.stop().await
}

#[tokio::test]
async fn the_console_shows_who_is_silent_and_what_is_missing() -> Result<()> {
    let api = Api::start_with(SETTINGS).await?;
    let ann = Browser::log_in(&api, ANN).await?;
    let page = ann.page("/console/sources").await?;
    for text in ["Nothing is missing", "never heard"] {
        assert!(page.contains(text), "{text}\n{page}");
    }
    api.database.connection().await?.batch_execute(HISTORY).await?;
    let page = ann.page("/console/sources").await?;
    for text in [
        "silent</span>",
        "would have come; of 1,000,000,000 silences one is as long",
        "as usual</span>",
        "href=\"/console/matches/ours/m%2F1\"",
        "no news since",
        "over without a round",
    ] {
        assert!(page.contains(text), "{text}\n{page}");
    }
    api.stop().await
}

/// They are read when the API starts, and once a minute.
#[tokio::test]
async fn what_is_missing_stands_in_the_metrics() -> Result<()> {
    let database = matchpurse_testkit::Database::create().await?;
    database.connection().await?.batch_execute(HISTORY).await?;
    // The gauges are the process's, so the sources are this test's own.
    let settings = SETTINGS
        .replace("[sources.ours]", "[sources.gap-ours]")
        .replace("[sources.theirs]", "[sources.gap-theirs]");
    let renamed = "
        INSERT INTO source_hour SELECT 'gap-' || source, hour, deliveries, last_at FROM source_hour;
        UPDATE match SET source = 'gap-' || source; UPDATE stats_match SET source = 'gap-' || source";
    database.connection().await?.batch_execute(renamed).await?;
    let settings = matchpurse_settings::Settings::parse_str(&crate::harness::on(&database.url(), &settings))?;
    let application = matchpurse_api::Application::build(&settings).await?;
    let admin = application.admin_address().unwrap().to_string();
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(application.run_until_stopped(stop.clone()));
    let begun = Instant::now();
    let lines = [
        r#"matchpurse_source_silent{source="gap-ours"} 1"#,
        r#"matchpurse_source_silent{source="gap-theirs"} 0"#,
        r#"matchpurse_source_silence_seconds{source="gap-ours"} "#,
        r#"matchpurse_gaps{source="gap-ours",about="match",gap="no_news"} 1"#,
        r#"matchpurse_gaps_oldest_seconds{source="gap-theirs",about="statistics",gap="end_without_rounds"} "#,
        "matchpurse_gaps_read_timestamp_seconds ",
    ];
    loop {
        let text = crate::http::Request::new("GET", "/metrics", b"").send(&admin).await?.body;
        if lines.iter().all(|line| text.contains(line)) {
            break;
        }
        ensure!(begun.elapsed() < PATIENCE, "something is not shown:\n{text}");
        sleep(Duration::from_millis(20)).await;
    }
    stop.cancel();
    Ok(running.await??)
}
