use anyhow::Result;
use matchpurse_domain::event::Event;
use matchpurse_domain::time::Timestamp;
use matchpurse_store::archive::{ChainReport, append_in_tx};
use matchpurse_store::{Migrations, Store, StoreOptions};
use matchpurse_testkit::Database;
use secrecy::SecretString;

use crate::samples::{event, source};

/// An empty database beside the given one, on the same server.
async fn empty(database: &Database) -> Result<SecretString> {
    let connection = database.connection().await?;
    connection.batch_execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await?;
    Ok(database.url().into())
}

#[tokio::test]
async fn migrating_twice_changes_nothing_the_second_time() -> Result<()> {
    let database = Database::create().await?;
    assert!(Migrations::pending(&database.url().into()).await?.is_empty());
    let url = empty(&database).await?;
    let pending = Migrations::pending(&url).await?;
    assert!(!pending.is_empty());
    assert_eq!(Migrations::run(&url).await?, pending);
    assert!(Migrations::run(&url).await?.is_empty());
    assert!(Migrations::pending(&url).await?.is_empty());
    Ok(())
}

/// Who waits is told what is missing, and goes on once it is there.
#[tokio::test]
async fn a_service_waits_for_the_migrations() -> Result<()> {
    let database = Database::create().await?;
    let url = empty(&database).await?;
    let (told, mut problems) = tokio::sync::mpsc::unbounded_channel();
    let waiting = Migrations::await_all(&url, |problem| told.send(problem).unwrap());
    let migrating = async {
        let problem = problems.recv().await.unwrap_or_default();
        assert!(problem.starts_with("the database lacks migrations: V1__"), "{problem}");
        Migrations::run(&url).await
    };
    let ((), applied) = tokio::join!(waiting, migrating);
    assert!(!applied?.is_empty());
    Ok(())
}

#[tokio::test]
async fn of_many_that_migrate_at_once_one_does_it() -> Result<()> {
    let database = Database::create().await?;
    let url = empty(&database).await?;
    let all = Migrations::pending(&url).await?.len();
    let (a, b, c) = tokio::try_join!(Migrations::run(&url), Migrations::run(&url), Migrations::run(&url))?;
    let mut applied = [a.len(), b.len(), c.len()];
    applied.sort_unstable();
    assert_eq!(applied, [0, 0, all]);
    Ok(())
}

/// What services log in as may add to the archive, and never change it.
#[tokio::test]
async fn the_services_role_cannot_change_the_archive() -> Result<()> {
    let database = Database::create().await?;
    let connection = database.connection().await?;
    let may = async |table: &str, right: &str| {
        let sql = "SELECT has_table_privilege('matchpurse_app', $1, $2)";
        anyhow::Ok(connection.query_one(sql, &[&table, &right]).await?.get::<_, bool>(0))
    };
    assert!(may("archive", "INSERT").await? && may("archive", "SELECT").await?);
    assert!(!may("archive", "UPDATE").await? && !may("archive", "DELETE").await?);
    assert!(!may("archive", "TRUNCATE").await?);
    assert!(may("spool", "DELETE").await? && may("archive_head", "UPDATE").await?);
    Ok(())
}

/// Archives some, each at so many seconds before or behind a midnight.
async fn archive_at(store: &Store, rows: &[(Event, i64)]) -> Result<()> {
    const MIDNIGHT: i64 = 1_790_035_200;
    for (event, second) in rows {
        let mut client = store.client().await?;
        let tx = client.begin().await?;
        append_in_tx(&tx, std::slice::from_ref(event), Timestamp::from_seconds(MIDNIGHT + second)).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Rows that were archived before the archive was cut by day go to the days under which they would be kept now, their
/// chains stay whole, and what is known stays known.
#[tokio::test]
async fn an_archive_of_before_it_was_cut_by_day_is_moved_whole() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let day = 86_400;
    // A clock that goes back over midnight, days without a row, and a second source.
    let rows = [
        (event("s", 1), -1),
        (event("other", 1), 5),
        (event("s", 2), 1),
        (event("s", 3), -1),
        (event("s", 4), 3 * day),
        (event("s", 5), 3 * day + 7),
        (event("other", 2), 4 * day),
    ];
    archive_at(&store, &rows).await?;

    let owner = database.connection().await?;
    owner.batch_execute("CREATE SCHEMA old").await?;
    let old = SecretString::from(format!("{}?options=-c%20search_path%3Dold", database.url()));
    Migrations::run_up_to(&old, 12).await?;
    let columns =
        "source, seq, event_id, delivery_id, payload, provider, provider_type, subject, occurred_at,
                   received_at, archived_at, raw, event, hash";
    owner
        .batch_execute(&format!(
            "INSERT INTO old.archive ({columns}) SELECT {columns} FROM public.archive;
             INSERT INTO old.archive_head (source, seq, hash) SELECT source, seq, hash FROM public.archive_head"
        ))
        .await?;
    Migrations::run(&old).await?;

    for table in ["archive", "archive_event", "archive_head"] {
        let sql = format!(
            "SELECT coalesce(a.source, b.source) FROM public.{table} a FULL JOIN old.{table} b
               ON to_jsonb(a) = to_jsonb(b) WHERE a.source IS NULL OR b.source IS NULL"
        );
        assert!(database.texts(&sql).await?.is_empty(), "{table} is as if it had always been so");
    }
    let days = "SELECT concat_ws(' ', source, string_agg(to_char(day, 'DD'), ' ' ORDER BY seq))
                  FROM old.archive GROUP BY source";
    assert_eq!(database.texts(days).await?, ["other 22 26", "s 21 22 22 25 25"]);
    let parts = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'old.archive'::regclass";
    assert_eq!(database.texts(parts).await?.len(), 4);

    // It goes on: proved, with what is known not taken again, and the chain behind its last row.
    let moved = Store::connect(&StoreOptions::for_worker(old, "test")).await?;
    let whole = |verified| ChainReport { verified, broken: None };
    assert_eq!(moved.verify_chain(&source("s")).await?, whole(5));
    archive_at(&moved, &[(event("s", 2), 5 * day), (event("s", 6), 5 * day), (event("s", 6), 6 * day)])
        .await?;
    assert_eq!(moved.verify_chain(&source("s")).await?, whole(6));
    assert_eq!(moved.verify_chain(&source("other")).await?, whole(2));
    Ok(())
}
