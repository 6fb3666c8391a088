use anyhow::Result;
use matchpurse_domain::event::Event;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::archive::{self, ChainBreak, ChainReport};
use matchpurse_store::{Client, Store};
use matchpurse_testkit::Database;

use crate::samples::{event, source};

const NOW: Timestamp = Timestamp::from_micros(1_700_000_200_000_002);

async fn append(client: &mut Client, events: &[Event]) -> Result<()> {
    let tx = client.begin().await?;
    archive::append_in_tx(&tx, events, NOW).await?;
    Ok(tx.commit().await?)
}

/// Ten events of a source in its chain, and one of another.
async fn archived(database: &Database) -> Result<Store> {
    let store = database.store().await?;
    let mut client = store.client().await?;
    let events: Vec<Event> = (1..=10).map(|n| event("s", n)).collect();
    append(&mut client, &events[..4]).await?;
    append(&mut client, &[events[3].clone(), event("other", 1), events[4].clone(), events[4].clone()])
        .await?;
    append(&mut client, &events[5..]).await?;
    append(&mut client, &events).await?;
    drop(client);
    Ok(store)
}

async fn report_after(tampering: &str) -> Result<ChainReport> {
    let database = Database::create().await?;
    let store = archived(&database).await?;
    database.connection().await?.batch_execute(tampering).await?;
    Ok(store.verify_chain(&source("s")).await?)
}

#[tokio::test]
async fn every_event_is_archived_once_in_its_sources_chain() -> Result<()> {
    let database = Database::create().await?;
    let store = archived(&database).await?;
    assert_eq!(store.verify_chain(&source("s")).await?, ChainReport { verified: 10, broken: None });
    assert_eq!(store.verify_chain(&source("other")).await?, ChainReport { verified: 1, broken: None });
    assert_eq!(store.verify_chain(&source("none")).await?, ChainReport { verified: 0, broken: None });
    assert_eq!(store.archived_sources().await?, ["other", "s"]);
    let sql = "SELECT raw, subject FROM archive WHERE source = 's' ORDER BY seq";
    let rows = database.connection().await?.query(sql, &[]).await?;
    assert_eq!(rows[6].get::<_, &[u8]>(0), b"{\"n\":7}");
    assert_eq!(rows[6].get::<_, &str>(1), "match-7");
    Ok(())
}

#[tokio::test]
async fn a_changed_row_is_found() -> Result<()> {
    for change in ["raw = '{}'", "subject = subject || '!'", "archived_at = archived_at + interval '1 us'"] {
        let report =
            report_after(&format!("UPDATE archive SET {change} WHERE source = 's' AND seq = 4")).await?;
        let expected = ChainReport { verified: 3, broken: Some(ChainBreak::Changed { seq: 4 }) };
        assert_eq!(report, expected, "{change}");
    }
    Ok(())
}

#[tokio::test]
async fn a_missing_row_is_found_wherever_it_was() -> Result<()> {
    for seq in [1, 5, 10] {
        let report = report_after(&format!("DELETE FROM archive WHERE source = 's' AND seq = {seq}")).await?;
        assert_eq!(report.broken, Some(ChainBreak::Missing { first: seq, last: seq }));
    }
    // Removed, and the others moved up to hide it.
    let hidden = "DELETE FROM archive WHERE source = 's' AND seq = 5;
                  ALTER TABLE archive DROP CONSTRAINT archive_pkey;
                  UPDATE archive SET seq = seq - 1 WHERE source = 's' AND seq > 5;
                  UPDATE archive_head SET seq = 9 WHERE source = 's'";
    assert_eq!(report_after(hidden).await?.broken, Some(ChainBreak::Moved { seq: 5, was: 6 }));
    Ok(())
}

/// Everything that a walk from the row `from` names, after tampering.
async fn named_after(tampering: &str, from: i64) -> Result<Vec<String>> {
    let database = Database::create().await?;
    let store = archived(&database).await?;
    database.connection().await?.batch_execute(tampering).await?;
    let mut named = Vec::new();
    store.walk_archive("s", from, &mut |_| {}, &mut |broken| named.push(broken.to_string())).await?;
    Ok(named)
}

#[tokio::test]
async fn every_place_is_named_and_only_that() -> Result<()> {
    // A row whose hash was changed; the rows around it are as they were.
    let hash = "UPDATE archive SET hash = sha256(hash) WHERE source = 's' AND seq IN (4, 8)";
    assert_eq!(named_after(hash, 1).await?, ["row 4 has been changed", "row 8 has been changed"]);
    assert_eq!(named_after(hash, 6).await?, ["row 8 has been changed"]);
    assert_eq!(
        named_after(hash, 9).await?,
        ["row 9 has been changed"],
        "it does not follow the hash of row 8"
    );
    // Two rows that changed places.
    let swapped = "ALTER TABLE archive DROP CONSTRAINT archive_pkey;
                   UPDATE archive SET seq = CASE seq WHEN 3 THEN 7 ELSE 3 END WHERE source = 's' AND seq IN (3, 7)";
    assert_eq!(
        named_after(swapped, 1).await?,
        [
            "row 3 holds the event that was archived as row 7",
            "row 4 has been changed",
            "row 7 holds the event that was archived as row 3",
            "row 8 has been changed",
        ]
    );
    let gone = "DELETE FROM archive WHERE source = 's' AND seq IN (5, 6)";
    assert_eq!(named_after(gone, 6).await?, ["rows 5 to 6 are missing"]);
    assert_eq!(named_after("", 1).await?, Vec::<String>::new());
    assert_eq!(named_after("", 10).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_chain_cut_at_its_end_is_found() -> Result<()> {
    let cut = "DELETE FROM archive WHERE source = 's' AND seq = 10;
               UPDATE archive_head SET seq = 9 WHERE source = 's'";
    assert_eq!(report_after(cut).await?.broken, Some(ChainBreak::Head { seq: 9 }));
    let report = report_after("DELETE FROM archive_head WHERE source = 's'").await?;
    assert_eq!(report.broken, Some(ChainBreak::Head { seq: 0 }));
    Ok(())
}

#[tokio::test]
async fn concurrent_appenders_make_one_chain() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let append_some = |offset: u32| {
        let store = store.clone();
        async move {
            let mut client = store.client().await?;
            for n in 0..20 {
                let events = [event("b", offset + n), event("a", offset + n), event("a", n)];
                append(&mut client, &events).await?;
            }
            anyhow::Ok(())
        }
    };
    tokio::try_join!(append_some(100), append_some(200), append_some(300))?;
    assert_eq!(store.verify_chain(&source("a")).await?, ChainReport { verified: 80, broken: None });
    assert_eq!(store.verify_chain(&source("b")).await?, ChainReport { verified: 60, broken: None });
    Ok(())
}

#[tokio::test]
async fn an_archived_event_comes_back_as_it_was() -> Result<()> {
    let database = Database::create().await?;
    let store = archived(&database).await?;
    let seven = event("s", 7);
    let found = store.archived(seven.id).await?.unwrap();
    assert_eq!((found.seq, found.archived_at, found.event), (7, NOW, seven));
    assert_eq!(store.archived(event("s", 11).id).await?, None);
    let page = store.archived_of(&source("s"), None, 4, 3).await?;
    assert_eq!(page.iter().map(|a| a.seq).collect::<Vec<_>>(), [5, 6, 7]);
    let about = store.archived_of(&source("s"), Some("match-2"), 0, 10).await?;
    assert_eq!(about.iter().map(|a| &a.event).collect::<Vec<_>>(), [&event("s", 2)]);
    Ok(())
}

const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Six events of two sources on three days, two a day and source.
async fn three_days(database: &Database) -> Result<Store> {
    let store = database.store().await?;
    let mut client = store.client().await?;
    for day in 0..3_u32 {
        let events: Vec<Event> =
            ["a", "b"].iter().flat_map(|name| [event(name, day * 2), event(name, day * 2 + 1)]).collect();
        let tx = client.begin().await?;
        archive::append_in_tx(&tx, &events, NOW.plus_seconds(i64::from(day) * DAY_SECONDS)).await?;
        tx.commit().await?;
    }
    drop(client);
    Ok(store)
}

/// What a walk along source `a` names, and how far it came.
async fn walked(store: &Store, from: i64) -> Result<(Vec<String>, u64, u64)> {
    let mut named = Vec::new();
    let walk =
        store.walk_archive("a", from, &mut |_| {}, &mut |broken| named.push(broken.to_string())).await?;
    Ok((named, walk.rows, walk.recorded))
}

#[tokio::test]
async fn a_day_leaves_and_the_chain_is_still_proved() -> Result<()> {
    let database = Database::create().await?;
    let store = three_days(&database).await?;
    assert_eq!(walked(&store, 1).await?, (vec![], 6, 0));
    // The services' own rights are enough, and only the first day may leave.
    let days = store.archive_days_before("2100-01-01").await?;
    assert_eq!(days, ["2023-11-14", "2023-11-15", "2023-11-16"]);
    let early = store.detach_archive_day(&days[1], None).await.unwrap_err();
    assert_eq!(early.code(), Some("ES022"));
    store.detach_archive_day(&days[0], Some("a.jsonl")).await?;
    store.detach_archive_day(&days[1], None).await?;
    assert_eq!(walked(&store, 1).await?, (vec![], 2, 4));
    assert_eq!(walked(&store, 4).await?, (vec![], 2, 2), "from the day that has row 4");
    assert_eq!(walked(&store, 5).await?, (vec![], 2, 0));
    assert_eq!(walked(&store, 6).await?, (vec![], 1, 0));
    // What came on a day that has left is known for ever, and is not archived again.
    let mut client = store.client().await?;
    append(&mut client, &[event("a", 0), event("a", 9)]).await?;
    assert_eq!(walked(&store, 1).await?, (vec![], 3, 4));
    assert_eq!(store.archived(event("a", 0).id).await?, None);
    assert_eq!(store.left_archive(event("a", 0).id).await?.as_deref(), Some("2023-11-14"));
    assert_eq!(store.left_archive(event("a", 9).id).await?, None);
    // Its clock said a day that has left; it is kept under the last one.
    let parts = store.archive_parts().await?;
    let shown: Vec<_> = parts.iter().map(|part| (part.day.as_str(), part.attached)).collect();
    assert_eq!(shown, [("2023-11-14", false), ("2023-11-15", false), ("2023-11-16", true)]);
    assert_eq!((parts[0].rows, parts[0].exported_to.as_deref()), (4, Some("a.jsonl")));

    let owner = database.connection().await?;
    owner.batch_execute("UPDATE archive_detached SET hash = sha256(hash) WHERE day = '2023-11-14'").await?;
    let (named, ..) = walked(&store, 1).await?;
    assert_eq!(
        named,
        [
            "what is recorded of 2023-11-15, which left the archive with row 3 as its first, does not follow the row \
         before"
        ]
    );
    owner.batch_execute("DELETE FROM archive_detached WHERE day = '2023-11-14'").await?;
    assert_eq!(walked(&store, 1).await?.0, ["rows 1 to 2 are missing"]);
    Ok(())
}

#[tokio::test]
async fn a_day_that_is_not_over_or_not_whole_does_not_leave() -> Result<()> {
    let database = Database::create().await?;
    let store = three_days(&database).await?;
    let owner = database.connection().await?;
    let refused = async |day: &str| {
        let error = store.detach_archive_day(day, None).await.unwrap_err();
        anyhow::Ok(error.code().unwrap_or_default().to_owned())
    };
    owner.batch_execute("DELETE FROM archive WHERE source = 'b' AND seq = 1").await?;
    assert_eq!(refused("2023-11-14").await?, "ES023");
    assert_eq!(refused("2023-11-13").await?, "ES020");
    owner.batch_execute("DELETE FROM archive").await?;
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    archive::append_in_tx(&tx, &[event("c", 1)], matchpurse_store::now()).await?;
    tx.commit().await?;
    let today: String = owner.query_one("SELECT max(day)::text FROM archive", &[]).await?.get::<_, String>(0);
    assert_eq!(refused(&today).await?, "ES021");
    // Days are made ahead, and making them again does nothing.
    for _ in 0..2 {
        store.make_archive_days(matchpurse_store::now(), 3).await?;
    }
    let days = store.archive_parts().await?;
    assert_eq!(days.len(), 3 + 4);
    let rights = "SELECT relname::text FROM pg_class WHERE relname LIKE 'archive\\_d2%' AND relkind = 'r'
                     AND (has_table_privilege('matchpurse_app', oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
                          OR NOT has_table_privilege('matchpurse_app', oid, 'SELECT'))";
    assert_eq!(database.texts(rights).await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn many_who_need_a_new_day_at_once_make_it_once() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let days = |offset: u32| {
        let store = store.clone();
        async move {
            let mut client = store.client().await?;
            for n in 0..10_u32 {
                // Each has a source of its own, so that the chains' ends do not make them take turns.
                let tx = client.begin().await?;
                let name = format!("s{offset}");
                let now = NOW.plus_seconds(i64::from(n) * DAY_SECONDS);
                archive::append_in_tx(&tx, &[event(&name, n)], now).await?;
                tx.commit().await?;
            }
            anyhow::Ok(())
        }
    };
    tokio::try_join!(days(1), days(2), days(3), days(4))?;
    assert_eq!(store.archive_parts().await?.len(), 10);
    for n in 1..=4 {
        let report = store.verify_chain(&source(&format!("s{n}"))).await?;
        assert_eq!(report, ChainReport { verified: 10, broken: None });
    }
    Ok(())
}

/// The lines of an export of everything.
async fn exported(store: &Store) -> Result<String> {
    let mut text = String::new();
    let mut each = |line: archive::Exported| {
        text.push_str(&serde_json::to_string(&line)?);
        text.push('\n');
        anyhow::Ok(())
    };
    store.export_archive(None, None, None, &mut each).await?;
    Ok(text)
}

/// What is wrong with a file of these lines.
fn checked(text: &str) -> Result<(Vec<String>, archive::FileReport)> {
    let mut found = Vec::new();
    let report = archive::check_file(text.as_bytes(), &mut |_| {}, &mut |problem| {
        found.push(problem.to_string());
    })?;
    Ok((found, report))
}

#[tokio::test]
async fn a_file_says_what_the_archive_says_and_is_proved_by_itself() -> Result<()> {
    let database = Database::create().await?;
    let store = three_days(&database).await?;
    let mut client = store.client().await?;
    let bytes = Event { raw: bytes::Bytes::from_static(b"\xff\x00"), ..event("a", 77) };
    append(&mut client, &[bytes]).await?;
    let text = exported(&store).await?;
    let lines: Vec<&str> = text.lines().collect();
    let (found, report) = checked(&text)?;
    assert_eq!(found, Vec::<String>::new());
    assert_eq!((report.sources["a"].first, report.sources["a"].last, report.sources["a"].rows), (1, 7, 7));
    for (name, segment) in &report.sources {
        assert_eq!(store.archived_hash(name, segment.last).await?.as_ref(), Some(&segment.hash));
    }
    let binary = lines.iter().filter(|line| line.contains("\"raw_base64\":\"/wA=\"")).count();
    assert_eq!(binary, 1);

    // A part of it holds too: what its first row follows is in it.
    let mut part = None;
    let mut each = |line: archive::Exported| {
        part.get_or_insert(line);
        anyhow::Ok(())
    };
    let rows = store.export_archive(Some("a"), Some("2023-11-15"), Some("2023-11-15"), &mut each).await?;
    let part = part.unwrap();
    assert_eq!((rows, part.seq, &part.source), (2, 3, &"a".to_owned()));
    assert_eq!(part.before.len(), 64);
    assert!(part.before.contains(|c| c != '0'));

    // Each kind of tampering is named.
    let changed = text.replacen("{\\\"n\\\":1}", "{\\\"n\\\":8}", 1);
    assert_eq!(checked(&changed)?.0, ["line 2: source a: row 2 has been changed"]);
    let cut: Vec<&str> = lines.iter().copied().filter(|line| !line.contains("\"seq\":4,")).collect();
    assert_eq!(
        checked(&cut.join("\n"))?.0,
        ["line 7: source a: row 4 is missing", "line 10: source b: row 4 is missing",]
    );
    let mut moved = lines.clone();
    moved.swap(0, 1);
    assert_eq!(checked(&moved.join("\n"))?.0, ["line 2: source a: row 1 stands behind row 2"]);
    let lie = text.replacen("\"subject\":\"match-0\",\"occurred", "\"subject\":\"match-9\",\"occurred", 1);
    assert_eq!(checked(&lie)?.0, ["line 1: source a: row 1 has been changed"]);
    let other = text.replacen("\"playerId\":\"7\"", "\"playerId\":\"8\"", 1);
    assert_ne!(other, text);
    assert_eq!(checked(&other)?.0, ["line 1: `normalized` is not what `event_base64` says"]);
    let broken = text.replacen("{\"source\"", "\"source\"", 1);
    assert!(checked(&broken)?.0[0].starts_with("line 1: it is no exported event"));
    Ok(())
}
