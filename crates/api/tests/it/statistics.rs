//! What players did, which ids are one player's, and which of two ends of a match stands.

use anyhow::Result;
use insta::assert_snapshot;
use matchpurse_domain::event::*;
use matchpurse_domain::ids::EventId;
use matchpurse_domain::time::Timestamp;
use matchpurse_player_stats::PlayerStats as Worker;
use matchpurse_store::archive;
use matchpurse_worker_kit::Effects as _;

use crate::events::snapshot as of_stakes;
use crate::harness::{Api, READER, request};
use crate::script::Script;

const NOW: Timestamp = Timestamp::from_seconds(1_790_000_000);

/// An end of a match in `theirs`, of a and c against b; a is the player of the rating's published example.
pub(crate) fn ended(match_id: &str, at: i64, one: u32, two: u32, kills: i32) -> Event {
    let player = |id: &str, side, counts: &[(usize, i32)]| {
        let mut counters = Counters::default();
        counts.iter().for_each(|(place, count)| counters.0[*place] = *count);
        let (player_id, nickname) = (id.into(), format!("the {id}"));
        PlayerStats { player_id, side, nickname, connected: true, kicked: false, counters }
    };
    let line = |index, name: &str, player: Option<&str>| HistoryEntry {
        index,
        name: name.to_owned(),
        at: Timestamp::from_seconds(at),
        player_id: player.map(Into::into),
    };
    matchpurse_testkit::event(
        "theirs",
        false,
        Payload::MatchStatsSnapshot(MatchStatsSnapshot {
            match_id: match_id.to_owned(),
            map: Some("de_nuke".to_owned()),
            team1: TeamScore { name: "Alpha".to_owned(), score: Some(one) },
            team2: TeamScore { name: "Bravo".to_owned(), score: Some(two) },
            rounds_played: one + two,
            finished: true,
            cancel_reason: None,
            players: vec![
                player("a", Side::Team1, &[(0, kills), (2, 12), (5, 3), (6, 1), (8, 1), (9, 6), (12, 1700)]),
                player("b", Side::Team2, &[(0, 12), (2, 24)]),
                player("c", Side::Spectator, &[]),
            ],
            history: vec![line(0, "player_connected", Some("b")), line(1, "match_ended", None)],
        }),
    )
}

pub(crate) async fn apply(api: &Api, events: &[Event]) -> Result<()> {
    let store = api.database.store().await?;
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    Worker.apply_in_tx(&tx, events, NOW).await?;
    archive::append_in_tx(&tx, events, NOW).await?;
    Ok(tx.commit().await?)
}

#[tokio::test]
async fn a_player_has_figures_streaks_and_a_record() -> Result<()> {
    let api = Api::start().await?;
    let mut script = Script::new(&api);
    script.say("reader GET /v1/players/theirs/a/statistics").await?;
    apply(&api, &[ended("s1", 1_789_000_000, 13, 7, 24), ended("s2", 1_789_100_000, 12, 12, 0)]).await?;
    api.apply(&[
        of_stakes("theirs", MatchStatus::Confirmed, None),
        of_stakes("theirs", MatchStatus::Closed, Some("g1")),
    ])
    .await?;
    script.say("reader GET /v1/players/theirs/a/statistics?identity_only=true").await?;
    script.say("reader GET /v1/players/theirs/c/statistics").await?;
    script.say("reader GET /v1/players/nobody/a/statistics").await?;
    script.say("reader GET /v1/players/theirs/a/statistics?only=true").await?;
    script.say("reader POST /v1/players/theirs/a/statistics").await?;
    assert_snapshot!(script.text());
    api.stop().await
}

#[tokio::test]
async fn a_players_matches_are_listed_the_latest_first_page_by_page() -> Result<()> {
    let api = Api::start().await?;
    let matches: Vec<Event> = (0..5).map(|n| ended(&format!("s{n}"), 1_789_000_000 + n, 13, 7, 24)).collect();
    // Two of them end in the same second, and one comes late.
    let tie = ended("s9", 1_789_000_002, 7, 13, 24);
    apply(&api, &matches[1..]).await?;
    apply(&api, &[tie, matches[0].clone()]).await?;
    let (mut seen, mut path) = (Vec::new(), "/v1/players/theirs/a/matches?limit=2".to_owned());
    loop {
        let answer = api.send(&request(READER, "GET", &path, "")).await?;
        assert_eq!(answer.status, 200, "{answer:?}");
        let page: serde_json::Value = serde_json::from_str(&answer.body)?;
        let items = page["items"].as_array().unwrap();
        seen.extend(items.iter().map(|item| item["match_id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        assert_eq!(items.len(), 2);
        path = format!("/v1/players/theirs/a/matches?limit=2&cursor={next}");
    }
    assert_eq!(seen.len(), 6);
    assert_eq!((seen[0].as_str(), seen[1].as_str(), seen[5].as_str()), ("s4", "s3", "s0"));
    let mut script = Script::new(&api);
    script.say("reader GET /v1/players/theirs/a/matches?limit=1").await?;
    // Who only watched played nothing.
    script.say("reader GET /v1/players/theirs/c/matches").await?;
    script.say("reader GET /v1/players/theirs/x/matches").await?;
    script.say("reader GET /v1/players/theirs/a/matches?cursor=abc").await?;
    assert_snapshot!(script.text());
    api.stop().await
}

#[tokio::test]
async fn ids_are_linked_unlinked_and_shown_together() -> Result<()> {
    let api = Api::start().await?;
    apply(&api, &[ended("s1", 1_789_000_000, 13, 7, 24)]).await?;
    let mut script = Script::new(&api);
    script.say("reader GET /v1/players/theirs/a/links").await?;
    script.say(r#"reader PUT /v1/players/theirs/a/links {"links": []}"#).await?;
    script.say(r#"ann PUT /v1/players/theirs/a/links {"links": [{"source": "ours", "player_id": "a"}, {"source": "theirs", "player_id": "b"}], "reason": "case 7"}"#).await?;
    script.say("reader GET /v1/players/ours/a/links").await?;
    // Another person's is not moved.
    script
        .say(r#"ann PUT /v1/players/theirs/z/links {"links": [{"source": "theirs", "player_id": "b"}]}"#)
        .await?;
    let both = script.say("reader GET /v1/players/ours/a/statistics").await?;
    script.say("ann DELETE /v1/players/theirs/a/links/theirs/b").await?;
    script.say("ann DELETE /v1/players/theirs/a/links/theirs/b").await?;
    script
        .say(r#"ann PUT /v1/players/theirs/z/links {"links": [{"source": "theirs", "player_id": "b"}]}"#)
        .await?;
    for (links, why) in [
        (r#"[{"source": "nobody", "player_id": "b"}]"#, ""),
        (r#"[{"source": "theirs", "player_id": ""}]"#, ""),
        (r#"[{"source": "theirs"}]"#, ""),
        ("[]", r#", "reason": " ""#),
    ] {
        script.say(&format!(r#"ann PUT /v1/players/theirs/a/links {{"links": {links}{why}}}"#)).await?;
    }
    script.say("ann POST /v1/players/theirs/a/links").await?;
    script.say(r#"ann PUT /v1/players/theirs/a/links {"links": []}"#).await?;
    assert_eq!(both["statistics"]["matches"], 2);
    assert_eq!(both["statistics"]["wins"], 1);
    assert_eq!(both["identities"].as_array().unwrap().len(), 3);
    assert_snapshot!(script.text());
    let recorded = "SELECT concat_ws(' ', subject, actor, reason) FROM operation WHERE kind = 'player_links'";
    assert_eq!(api.database.texts(recorded).await?, ["a ann ", "a ann ", "a ann case 7", "z ann "]);
    api.stop().await
}

#[tokio::test]
async fn a_match_is_shown_whole_and_a_person_decides_which_end_stands() -> Result<()> {
    let api = Api::start().await?;
    let kick = PlayerKicked { match_id: "s1".to_owned(), player_id: "b".into() };
    let kick = matchpurse_testkit::event("theirs", false, Payload::PlayerKicked(kick));
    let (first, other) = (ended("s1", 1_789_000_000, 13, 7, 24), ended("s1", 1_789_000_000, 7, 13, 24));
    apply(&api, &[kick]).await?;
    let mut script = Script::new(&api);
    script.say("reader GET /v1/matches/theirs/s1/statistics").await?;
    apply(&api, &[first, other.clone()]).await?;
    let shown = script.say("reader GET /v1/matches/theirs/s1/statistics").await?;
    assert_eq!(shown["team1"]["players"][0]["figures"]["rating"].to_string(), "1.794");
    let path = "/v1/matches/theirs/s1/statistics/corrections";
    let as_event = |id: EventId| {
        format!(r#"{{"stands": {{"as": "event", "event_id": "{}"}}, "reason": "case 7"}}"#, id.uuid())
    };
    let (by, unknown) = (as_event(other.id), as_event(EventId::from_uuid(uuid::Uuid::nil())));
    script.say(&format!("reader POST {path} key=k1 {by}")).await?;
    script.say(&format!("ann POST {path} {by}")).await?;
    script.say(&format!("ann POST {path} key=k1 {unknown}")).await?;
    script.say(&format!("ann POST /v1/matches/theirs/s9/statistics/corrections key=k1 {by}")).await?;
    script
        .say(&format!(
            r#"ann POST {path} key=k1 {{"stands": {{"as": "first", "event_id": "x"}}, "reason": "r"}}"#
        ))
        .await?;
    let done = script.say(&format!("ann POST {path} key=k1 {by}")).await?;
    assert_eq!(done["match"]["result"], "team2");
    let again = script.say(&format!("ann POST {path} key=k1 {by}")).await?;
    assert_eq!(again["operation"], done["operation"]);
    script.say(&format!("ann POST {path} key=k2 {by}")).await?;
    script.say(&format!(r#"ann POST {path} key=k1 {{"stands": {{"as": "first"}}, "reason": "r"}}"#)).await?;
    script.say(&format!(r#"ann POST {path} key=k3 {{"stands": {{"as": "first"}}, "reason": "r"}}"#)).await?;
    script.say("reader GET /v1/matches/theirs/s9/statistics").await?;
    script.say("reader GET /v1/matches/nobody/s1/statistics").await?;
    assert_snapshot!(script.text());
    api.stop().await
}
