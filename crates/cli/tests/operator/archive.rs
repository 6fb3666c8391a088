//! The archive, proved, exported, and let go by day; and what is explained from it.

use std::path::Path;

use anyhow::Result;
use matchpurse_domain::event::{Event, Payload, PlayerKicked};
use matchpurse_domain::time::Timestamp;
use matchpurse_store::archive::append_in_tx;
use matchpurse_store::now;

use crate::ground::Played;

const DAY_S: i64 = 86_400;

fn kick(source: &str, n: i64) -> Event {
    let payload = PlayerKicked { match_id: format!("m{n}"), player_id: "p".into() };
    let event = matchpurse_testkit::event(source, true, Payload::PlayerKicked(payload));
    Event { raw: format!("{{\"n\":{n}}}").into(), ..event }
}

/// Four days with three events of one source each, and one of another; today is the last.
async fn days(played: &Played) -> Result<Vec<String>> {
    let store = played.database.store().await?;
    let mut client = store.client().await?;
    for ago in (0..4).rev() {
        let at = now().plus_seconds(-ago * DAY_S);
        let mut events: Vec<Event> = (0..3).map(|n| kick("games", ago * 10 + n)).collect();
        events.push(kick("other", ago));
        let tx = client.begin().await?;
        append_in_tx(&tx, &events, Timestamp::from_micros(at.micros())).await?;
        tx.commit().await?;
    }
    played.database.texts("SELECT DISTINCT day::text FROM archive").await
}

#[tokio::test]
async fn old_days_are_exported_proved_and_taken_out() -> Result<()> {
    let played = Played::nothing("days", "").await?;
    let days = days(&played).await?;
    assert_eq!(days.len(), 4, "{days:?}");
    let list = ["archive", "list", "--json"];
    let listed = played.printed(&list, 0)?;
    assert_eq!(listed.lines().count(), 4, "{listed}");
    assert!(listed.lines().all(|line| line.contains("\"place\":\"in the archive\"")), "{listed}");
    assert_eq!(played.printed(&["archive", "list"], 0)?.lines().count(), 5, "with a heading");

    // A file that is there already, and holds something else, is not written over, and the day stays.
    let folder = played.folder.join("old");
    let out = folder.display().to_string();
    let detach = ["archive", "detach", "--before", &days[2], "--out", &out];
    assert!(!played.run(&detach)?.status.success(), "there is no such folder");
    std::fs::create_dir(&folder)?;
    let file = folder.join(format!("archive-{}.jsonl", days[0]));
    std::fs::write(&file, "{}\n")?;
    assert!(!played.run(&detach)?.status.success());
    assert_eq!(std::fs::read_to_string(&file)?, "{}\n");
    // As is one that is whole, but not all of the day.
    std::fs::remove_file(&file)?;
    let path = file.display().to_string();
    played.printed(&["archive", "export", "--source", "games", "--to", &days[0], "--out", &path], 0)?;
    let refused = played.run(&detach)?;
    let said = String::from_utf8(refused.stderr)?;
    assert!(said.contains("has 3 events, but the day has 4"), "{said}");
    assert_eq!(played.printed(&list, 0)?, listed, "all days are still there");
    std::fs::remove_file(&file)?;

    let printed = played.printed(&detach, 0)?;
    for day in &days[..2] {
        let line = format!("{day} has left the archive, exported to archive-{day}.jsonl\n");
        assert!(printed.contains(&line), "{printed}");
    }
    assert_eq!(played.printed(&detach, 0)?, "", "there is no such day any more");
    let listed = played.printed(&list, 0)?;
    let first: serde_json::Value = serde_json::from_str(listed.lines().next().unwrap())?;
    assert_eq!((first["day"].as_str(), first["rows"].as_i64()), (Some(&*days[0]), Some(4)));
    assert_eq!(first["place"], "a table of its own");
    assert!(first["exported_to"].as_str().unwrap().starts_with("archive-"), "{first}");

    // The chains are proved over the days that have left, and the files against their records.
    played.printed(&["verify-archive"], 0)?;
    let files: Vec<String> = days[..2]
        .iter()
        .map(|day| folder.join(format!("archive-{day}.jsonl")).display().to_string())
        .collect();
    played.printed(&["verify-archive", "--file", &files[0], &files[1]], 0)?;
    let text = std::fs::read_to_string(&files[1])?;
    assert_eq!(text.lines().count(), 4);
    std::fs::write(&files[1], text.replacen("\"p\"", "\"q\"", 1))?;
    played.printed(&["verify-archive", "--file", &files[1]], 1)?;

    // What is left can be exported, on the standard output too; a file that is there is somebody's proof.
    let rest = played.printed(&["archive", "export", "--out", "-"], 0)?;
    assert_eq!(rest.lines().count(), 8);
    assert!(!played.run(&["archive", "export", "--out", &files[0]])?.status.success());
    // A day that is dropped, and one that is not over.
    let drop = ["archive", "detach", "--before", &days[3], "--out", &out, "--drop"];
    assert!(played.printed(&drop, 0)?.ends_with(", its table is dropped\n"));
    assert!(played.printed(&list, 0)?.contains("\"place\":\"dropped\""));
    let today = ["archive", "detach", "--before", "2999-01-01", "--no-export"];
    let refused = played.run(&today)?;
    assert!(!refused.status.success());
    assert!(String::from_utf8(refused.stderr)?.contains("is not over"));
    played.printed(&["verify-archive"], 0)?;
    Ok(())
}

#[tokio::test]
async fn the_archive_is_proved_exported_and_explained() -> Result<()> {
    let played = Played::new("archive", 60).await?;
    let all = played.printed(&["verify-archive"], 0)?;
    assert!(all.contains("4 chains") && all.contains("0 problems: as it was written"), "{all}");
    let file = played.folder.join("all.jsonl");
    let name = file.display().to_string();
    played.printed(&["archive", "export", "--out", &name], 0)?;
    played.printed(&["verify-archive", "--file", &name], 0)?;
    let lines = std::fs::read_to_string(Path::new(&name))?;
    assert!(lines.lines().count() > 50);
    // A changed byte, in the file and in the database.
    let changed = lines.replacen("\"seq\":3,", "\"seq\":30,", 1);
    let tampered = played.folder.join("tampered.jsonl").display().to_string();
    std::fs::write(&tampered, changed)?;
    let found = played.printed(&["verify-archive", "--offline", "--file", &tampered], 1)?;
    assert!(found.contains("are missing") && found.contains("NOT as it was written"), "{found}");
    let owner = played.database.connection().await?;
    owner
        .batch_execute(
            "UPDATE archive SET raw = overlay(raw placing '\\x20' from 1 for 1) WHERE source = 'games' AND seq = 5",
        )
        .await?;
    let found = played.printed(&["verify-archive", "--source", "games"], 1)?;
    assert!(found.starts_with("source games: row 5 has been changed\n1 chains, "), "{found}");
    let json: serde_json::Value =
        serde_json::from_str(&played.printed(&["verify-archive", "--json", "--source", "games"], 1)?)?;
    assert_eq!(json["verified"][0]["problems"]["listed"][0], "row 5 has been changed");
    played.printed(&["verify-archive", "--source", "games", "--from", "6"], 0)?;

    // Every kind of id is explained.
    let row = "SELECT m.source, m.match_id, m.first_event_id::text, p.player_id FROM match m
                 JOIN match_participant s USING (match_no) JOIN player p USING (player_key)
                WHERE m.settlement = 'payout' ORDER BY m.match_key, p.player_id LIMIT 1";
    let row = owner.query_one(row, &[]).await?;
    let (source, id, event, player): (String, String, String, String) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    let story = played.printed(&["explain", &source, &id], 0)?;
    assert!(story.contains("settled as payout") && story.contains("match.settled"), "{story}");
    assert_eq!(played.printed(&["explain", &id], 0)?, story);
    let story = played.printed(&["explain", &event], 0)?;
    for part in
        ["received  ", "verified  by the source's webhook key", "match-escrow: applied", "body      {"]
    {
        assert!(story.contains(part), "{part}\n{story}");
    }
    let story = played.printed(&["explain", &source, &player], 0)?;
    assert!(story.contains(&format!("player {player} of source {source}")), "{story}");
    played.printed(&["explain", "nobody-knows-this"], 1)?;
    Ok(())
}
