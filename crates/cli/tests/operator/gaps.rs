//! What should have come and has not, as an operator sees it.

use anyhow::Result;
use matchpurse_event_archive::EventArchive;
use serde_json::Value;

use crate::ground::{Played, deliver};

/// `games` was busy for a month and is silent since yesterday; a match on a game server had no news for four hours.
const HISTORY: &str = "
    INSERT INTO source_hour
    SELECT 'games', hour, 40, hour + interval '1 minute'
      FROM generate_series(date_trunc('hour', now()) - interval '30 days',
                           date_trunc('hour', now()) - interval '24 hours', interval '1 hour') AS heard (hour);
    INSERT INTO stats_match (stats_key, source, match_id, rounds_played, first_event_id, last_event_id, created_at,
                             updated_at)
    VALUES (gen_random_uuid(), 'servers', 'm-1', 3, gen_random_uuid(), gen_random_uuid(),
            now() - interval '5 hours', now() - interval '4 hours')";

#[tokio::test]
async fn what_is_missing_is_printed_and_makes_the_command_end_with_1() -> Result<()> {
    let played = Played::nothing("gaps", include_str!("../../demo/sources.toml")).await?;
    let printed = played.printed(&["gaps"], 0)?;
    assert!(printed.contains("games") && printed.contains("never_heard"), "{printed}");
    played.database.connection().await?.batch_execute(HISTORY).await?;
    deliver(
        &played,
        EventArchive,
        &[matchpurse_testkit::event(
            "offerwall",
            true,
            matchpurse_domain::event::Payload::PlayerKicked(matchpurse_domain::event::PlayerKicked {
                match_id: "m".into(),
                player_id: "p".into(),
            }),
        )],
    )
    .await?;

    let printed = played.printed(&["gaps"], 1)?;
    let line =
        |name: &str| printed.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
    assert!(line("games").contains("silent") && line("games").ends_with("1000000000"), "{printed}");
    assert!(line("offerwall").contains("too_new"), "{printed}");
    assert!(printed.lines().any(|line| line.contains("m-1") && line.contains("no_news")), "{printed}");

    let found: Value = serde_json::from_str(&played.printed(&["gaps", "--json", "--source", "servers"], 1)?)?;
    assert_eq!(found["sources"][0]["state"], "never_heard");
    assert_eq!(found["missing"][0]["gap"], "no_news");
    assert!((14_400..15_000).contains(&found["missing"][0]["age_s"].as_i64().unwrap()), "{found}");
    Ok(())
}
