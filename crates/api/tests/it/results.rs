//! Results of matches, told by the studio's back-end.

use anyhow::Result;
use futures_util::future::try_join_all;
use insta::assert_snapshot;
use matchpurse_domain::event::{Event, MatchKind, MatchStatus};

use crate::events::{of_kind, snapshot};
use crate::harness::{ANN, Api, SETTINGS, request};
use crate::script::Script;

/// A source whose provider is told of results.
const TOLD: &str = r#"
[sources.told]
provider = "okletsplay"
currency = "USD"
custody = "provider"
fee_bps = 1000
secrets = []
options.api_url = "https://api.provider.example"
options.token_url = "https://id.provider.example/token"
options.client_id = "our-game"
"#;

const RESULT: &str = r#"{"groups": [{"group_id": "g1", "score": 300}, {"group_id": "g2", "score": 4294967296, "forfeit": true}]}"#;

fn arranged(source: &str, status: MatchStatus, winner: Option<&str>) -> Event {
    of_kind(MatchKind::Platform, source, status, winner)
}

#[tokio::test]
async fn a_result_is_told_once_and_read_by_anybody() -> Result<()> {
    let api = Api::start_with(&format!("{SETTINGS}\n{TOLD}")).await?;
    api.apply(&[
        arranged("told", MatchStatus::Confirmed, None),
        arranged("theirs", MatchStatus::Confirmed, None),
    ])
    .await?;
    let mut script = Script::new(&api);
    let path = "/v1/matches/told/m1/result";
    let other = RESULT.replace("300", "301");
    for line in [
        &format!("reader GET {path}"),
        &format!("reader POST {path} key=r1 {RESULT}"),
        &format!("ann POST {path} {RESULT}"),
        &format!("writer POST {path} key=r1 {RESULT}"),
        &format!("bob POST {path} key=r1 {RESULT}"),
        &format!("bob POST {path} key=r2 {RESULT}"),
        &format!("bob POST {path} key=r1 {other}"),
        &format!("bob POST {path} key=r2 {other}"),
        &format!("reader GET {path}?kind=platform"),
        "reader GET /v1/matches/told/m1",
        // Its provider is told nothing.
        &format!("ann POST /v1/matches/theirs/m1/result key=r1 {RESULT}"),
        "reader GET /v1/matches/told/m1/timeline",
    ] {
        script.say(line).await?;
    }
    assert_snapshot!(script.text());
    api.stop().await
}

#[tokio::test]
async fn what_is_no_result_is_refused_with_the_reason() -> Result<()> {
    let api = Api::start().await?;
    api.deposit("a", 100).await?;
    api.apply(&[
        arranged("theirs", MatchStatus::Confirmed, None),
        snapshot("ours", MatchStatus::Open, None),
        arranged("ours", MatchStatus::CanceledOther, None),
    ])
    .await?;
    let mut script = Script::new(&api);
    for kind in ["", "?kind=platform", "?kind=recreational", "?kind=tournament", "?kind=none"] {
        script.say(&format!("ann POST /v1/matches/ours/m1/result{kind} key=r1 {RESULT}")).await?;
    }
    for (source, body) in [
        ("nobody", RESULT),
        ("theirs", r#"{"groups": [{"group_id": "g1", "score": 1}]}"#),
        ("theirs", r#"{"groups": [{"group_id": "g1", "score": 1}, {"group_id": "g3", "score": 1}]}"#),
        ("theirs", r#"{"groups": [{"group_id": "g1", "score": 1}, {"group_id": "g1", "score": 1}]}"#),
        ("theirs", r#"{"groups": [{"group_id": "g1", "score": 1.5}]}"#),
        ("theirs", r#"{"groups": [{"group_id": "g1", "score": 9223372036854775808}]}"#),
        ("theirs", r#"{"groups": [], "winner": "g1"}"#),
    ] {
        script.say(&format!("ann POST /v1/matches/{source}/m1/result key=r1 {body}")).await?;
    }
    script.say(&format!("ann POST /v1/matches/theirs/m2/result key=r1 {RESULT}")).await?;
    script.say("reader GET /v1/matches/theirs/m1/result").await?;
    script.say("reader GET /v1/matches/theirs/m2/result").await?;
    script.say("reader GET /v1/matches/nobody/m1/result").await?;
    assert_snapshot!(script.text());
    api.stop().await
}

#[tokio::test]
async fn twenty_equal_results_at_once_are_one() -> Result<()> {
    let api = Api::start().await?;
    api.apply(&[arranged("theirs", MatchStatus::Confirmed, None)]).await?;
    let asked = (0..20).map(|n| {
        let mut asked = request(ANN, "POST", "/v1/matches/theirs/m1/result", RESULT);
        asked.headers.push(("idempotency-key".to_owned(), format!("r{}", n % 4).into_bytes()));
        asked
    });
    let asked: Vec<_> = asked.collect();
    let answers = try_join_all(asked.iter().map(|asked| api.send(asked))).await?;
    let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [vec![200; 19], vec![201]].concat(), "{answers:?}");
    assert!(answers.iter().all(|answer| answer.body == answers[0].body));
    let moved = api.database.texts("SELECT sum(amount)::text FROM transfer WHERE kind IN (2, 3, 4)").await?;
    assert_eq!(moved, ["2000"]);
    api.stop().await
}

/// A source whose finals decide matches of others.
const SERVERS: &str = r#"
[sources.servers]
provider = "any"
currency = "USD"
custody = "provider"
decides_linked = true
"#;

#[tokio::test]
async fn a_match_on_a_server_is_linked_where_its_source_is_trusted() -> Result<()> {
    let api = Api::start_with(&format!("{SETTINGS}\n{SERVERS}")).await?;
    api.apply(&[arranged("theirs", MatchStatus::Confirmed, None)]).await?;
    let mut script = Script::new(&api);
    let path = "/v1/matches/theirs/m1/links";
    let link = |source: &str, match_id: &str, team: &str| {
        format!(
            r#"{{"decided_by": {{"source": "{source}", "match_id": "{match_id}"}}, "team1": "{team}", "team2": "g2"}}"#
        )
    };
    for line in [
        &format!("reader GET {path}"),
        &format!("reader PUT {path} {}", link("servers", "s1", "g1")),
        &format!("ann PUT {path} {}", link("ours", "s1", "g1")),
        &format!("ann PUT {path} {}", link("nobody", "s1", "g1")),
        &format!("ann PUT {path} {}", link("servers", "", "g1")),
        &format!("ann PUT {path} {}", link("servers", "s1", "g3")),
        &format!("ann PUT {path} {}", link("servers", "s1", "g2")),
        &format!("ann PUT /v1/matches/theirs/m2/links {}", link("servers", "s1", "g1")),
        &format!("ann PUT {path} {}", link("servers", "s1", "g1")),
        &format!("bob PUT {path} {}", link("servers", "s1", "g1")),
        &format!("bob PUT {path} {}", link("servers", "s2", "g1")),
        &format!("reader GET {path}"),
        &format!("ann POST /v1/matches/theirs/m1/result key=r1 {RESULT}"),
        &format!("bob PUT {path} {}", link("servers", "s3", "g1")),
    ] {
        script.say(line).await?;
    }
    assert_snapshot!(script.text());
    let operations =
        api.database.texts("SELECT kind || ' by ' || actor FROM operation ORDER BY position").await?;
    assert_eq!(operations, ["match_link by ann", "match_link by bob", "match_result by ann"]);
    api.stop().await
}
