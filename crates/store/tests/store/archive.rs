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
    assert_eq!(report_after(hidden).await?.broken, Some(ChainBreak::Changed { seq: 5 }));
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
