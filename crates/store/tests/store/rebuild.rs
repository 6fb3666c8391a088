use std::collections::BTreeSet;

use anyhow::Result;
use matchpurse_store::rebuild::tables::{Compared, TABLES};
use matchpurse_store::rebuild::{Rebuild, RebuildError};
use matchpurse_testkit::Database;
use secrecy::SecretString;

/// A new table must be compared, or say why it is not.
#[tokio::test]
async fn every_table_is_compared_or_left_out_with_a_reason() -> Result<()> {
    let database = Database::create().await?;
    let sql = "SELECT relname::text FROM pg_class
                WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
                  AND relname <> 'refinery_schema_history'";
    let there: BTreeSet<String> = database.texts(sql).await?.into_iter().collect();
    let named: BTreeSet<String> = TABLES.iter().map(|table| table.name.to_owned()).collect();
    assert_eq!(named.len(), TABLES.len(), "a table stands twice");
    let lacking: Vec<_> = there.difference(&named).collect();
    assert!(lacking.is_empty(), "store::rebuild::tables says nothing of {lacking:?}");
    let gone: Vec<_> = named.difference(&there).collect();
    assert!(gone.is_empty(), "store::rebuild::tables names what is not there: {gone:?}");
    for table in TABLES {
        if let Compared::Left(reason) = table.compared {
            assert!(reason.split_whitespace().count() >= 4, "{}: {reason}", table.name);
        }
    }
    Ok(())
}

/// What is compared by must tell rows apart: two rows of one key could hide behind each other.
#[tokio::test]
async fn every_comparison_is_a_statement_of_key_and_what() -> Result<()> {
    let database = Database::create().await?;
    let connection = database.connection().await?;
    for table in TABLES {
        let (Compared::Rows(sql) | Compared::Prunable(sql) | Compared::Copied(sql)) = table.compared else {
            continue;
        };
        let sql = format!("SELECT key::text, what::jsonb FROM ({}) t", sql.replace("{s}", "public"));
        let rows = connection.query(&sql, &[]).await;
        assert!(rows.is_ok(), "{}: {rows:?}", table.name);
    }
    Ok(())
}

#[tokio::test]
async fn a_rebuild_goes_only_where_nothing_else_is() -> Result<()> {
    let database = Database::create().await?;
    let url = SecretString::from(database.url());
    let connection = database.connection().await?;
    connection.batch_execute("CREATE SCHEMA taken").await?;
    for name in ["public", "pg_x", "A", "a-b", "", "1a", "x; drop schema public"] {
        assert!(matches!(Rebuild::begin(&url, name).await, Err(RebuildError::Name(_))), "{name}");
    }
    assert!(matches!(Rebuild::begin(&url, "taken").await, Err(RebuildError::Foreign(_))));
    assert!(matches!(Rebuild::open(&url, "none").await, Err(RebuildError::None(_))));
    // Begun twice it is the same one, of nothing.
    for _ in 0..2 {
        let rebuild = Rebuild::begin(&url, "again").await?;
        assert_eq!(rebuild.plan().await?, Default::default());
        assert!(rebuild.next().await?.is_none());
        let mut tables = 0;
        let newer = rebuild
            .diff(10, &mut |table| {
                assert_eq!(
                    (table.live_rows, table.built_rows, table.differing),
                    (0, 0, 0),
                    "{}",
                    table.table
                );
                tables += 1;
            })
            .await?;
        assert!(newer.is_none() && tables > 20);
    }
    // Nothing can be written through what it sees of the archive.
    let written =
        connection.batch_execute("INSERT INTO again.archive_event VALUES (gen_random_uuid(), 's', 1, now())");
    assert!(written.await.is_err());
    Ok(())
}
