use anyhow::Result;
use matchpurse_store::Migrations;
use matchpurse_testkit::Database;
use secrecy::SecretString;

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
