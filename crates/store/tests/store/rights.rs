//! What each service's role may do, and what it must not.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use matchpurse_store::{Migrations, Store, StoreOptions};
use matchpurse_testkit::Database;
use tokio_postgres::{Client, NoTls};

/// No privilege, by SQLSTATE.
const NO_PRIVILEGE: &str = "42501";

const ROLES: [&str; 10] = [
    "matchpurse_ingress",
    "matchpurse_match_escrow",
    "matchpurse_reward_fulfillment",
    "matchpurse_player_stats",
    "matchpurse_offer_removal",
    "matchpurse_event_archive",
    "matchpurse_dispatcher",
    "matchpurse_reconciler",
    "matchpurse_api",
    "matchpurse_operator",
];

async fn as_role(database: &Database, role: &str) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(&database.url_as(role), NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Whether the statement is refused for want of a right. What it would do is undone.
async fn is_refused(client: &Client, sql: &str) -> Result<bool> {
    client.batch_execute("BEGIN").await?;
    let done = client.batch_execute(sql).await;
    client.batch_execute("ROLLBACK").await?;
    Ok(match done {
        Ok(()) => false,
        // Any other refusal comes after the rights.
        Err(error) => {
            error.as_db_error().with_context(|| format!("{sql}: {error}"))?.code().code() == NO_PRIVILEGE
        }
    })
}

/// Every right of every role as one text, a line a table. Who changes it must change this file, and think.
#[tokio::test]
async fn each_role_has_the_rights_that_are_written_down() -> Result<()> {
    let database = Database::create().await?;
    let owner = database.connection().await?;
    let sql = "SELECT c.relname::text,
                      ARRAY (SELECT concat(
                               CASE WHEN has_table_privilege(role, c.oid, 'SELECT') THEN 'S' END,
                               CASE WHEN has_table_privilege(role, c.oid, 'INSERT') THEN 'I' END,
                               CASE WHEN has_table_privilege(role, c.oid, 'UPDATE') THEN 'U'
                                    WHEN has_any_column_privilege(role, c.oid, 'UPDATE') THEN 'u' END,
                               CASE WHEN has_table_privilege(role, c.oid, 'DELETE') THEN 'D' END,
                               CASE WHEN has_table_privilege(role, c.oid, 'TRUNCATE, REFERENCES, TRIGGER') THEN '!' END)
                               FROM unnest($1::text[]) WITH ORDINALITY AS asked (role, nth) ORDER BY nth)
                 FROM pg_class c
                WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v')
                ORDER BY c.relname COLLATE \"C\"";
    let mut text = String::from("S SELECT, I INSERT, U UPDATE (u: of some columns), D DELETE\n\n");
    write!(text, "{:24}", "")?;
    for role in ROLES {
        write!(text, " {:>8.8}", role.trim_start_matches("matchpurse_"))?;
    }
    text.push('\n');
    for row in owner.query(sql, &[&ROLES.as_slice()]).await? {
        let rights: Vec<String> = row.get(1);
        write!(text, "{:24}", row.get::<_, String>(0))?;
        for right in rights {
            write!(text, " {:>8}", if right.is_empty() { "." } else { &right })?;
        }
        text.push('\n');
    }
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/store/rights.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&golden, &text)?;
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(text, expected, "with UPDATE_GOLDEN=1 this becomes what is expected");
    Ok(())
}

#[tokio::test]
async fn no_role_takes_anything_away_or_makes_anything() -> Result<()> {
    let database = Database::create().await?;
    for role in ROLES {
        let client = as_role(&database, role).await?;
        for (table, column) in [
            ("transfer", "amount"),
            ("operation", "source"),
            ("archive", "source"),
            ("archive_event", "event_id"),
            ("archive_detached", "source"),
            ("conversion_answer", "source"),
            ("dispatch_operation", "at"),
            ("board_operation", "at"),
            ("erasure", "actor"),
            ("erasure_work", "stage"),
            ("erased_event", "event_id"),
            ("archive_tombstone", "source"),
        ] {
            for sql in [
                format!("UPDATE {table} SET {column} = {column}"),
                format!("DELETE FROM {table}"),
                format!("TRUNCATE {table}"),
                format!("ALTER TABLE {table} DISABLE TRIGGER ALL"),
            ] {
                assert!(is_refused(&client, &sql).await?, "{role}: {sql}");
            }
        }
        for table in
            ["account", "match", "match_participant", "correction", "match_status", "reward_grant", "parked"]
        {
            assert!(
                is_refused(&client, &format!("DELETE FROM {table}")).await?,
                "{role}: DELETE FROM {table}"
            );
        }
        // Whom an erasure is about while it runs, nobody sees; and only two begin one.
        assert!(is_refused(&client, "SELECT FROM erasure_work").await?, "{role}");
        let may = matches!(role, "matchpurse_api" | "matchpurse_operator");
        assert_eq!(is_refused(&client, "SELECT erasure_step(gen_random_uuid(), 1)").await?, !may, "{role}");
        for sql in ["CREATE TABLE mine (a int)", "DROP TABLE spool", "SELECT archive_make_day('2000-01-01')"]
        {
            let may = role == "matchpurse_event_archive" && sql.contains("archive_make_day");
            assert_eq!(is_refused(&client, sql).await?, !may, "{role}: {sql}");
        }
    }
    Ok(())
}

/// A service that was broken into must not reach what is another's: that is what the roles are for.
#[tokio::test]
async fn a_service_reaches_what_is_its_own() -> Result<()> {
    let database = Database::create().await?;
    // Of nothing: only the right counts.
    let takes = |role: &str, sql: &str| {
        let (role, sql) = (format!("matchpurse_{role}"), sql.to_owned());
        let database = &database;
        async move { anyhow::Ok(!is_refused(&as_role(database, &role).await?, &sql).await?) }
    };
    for (sql, roles) in [
        ("INSERT INTO transfer SELECT * FROM transfer", &["match_escrow", "api", "operator"][..]),
        ("UPDATE account SET balance = balance", &["match_escrow", "api", "operator"]),
        ("UPDATE match SET status = status", &["match_escrow", "api", "operator"]),
        ("INSERT INTO reward_grant SELECT * FROM reward_grant", &["reward_fulfillment"]),
        ("UPDATE reward_grant SET state = state", &["reward_fulfillment", "dispatcher", "api", "operator"]),
        ("UPDATE player_totals SET source = source", &["player_stats", "api", "operator"]),
        ("UPDATE offer SET state = state", &["offer_removal"]),
        ("INSERT INTO archive_event SELECT * FROM archive_event", &["event_archive"]),
        ("INSERT INTO archive SELECT * FROM archive", &["event_archive"]),
        (
            "SELECT raw FROM archive",
            &[
                "match_escrow",
                "reward_fulfillment",
                "player_stats",
                "offer_removal",
                "event_archive",
                "api",
                "operator",
            ],
        ),
        ("SELECT FROM account", &["match_escrow", "api", "operator"]),
        ("SELECT secret FROM endpoint_secret", &["dispatcher", "api", "operator"]),
        (
            "SELECT FROM player",
            &[
                "match_escrow",
                "reward_fulfillment",
                "player_stats",
                "offer_removal",
                "dispatcher",
                "reconciler",
                "api",
                "operator",
            ],
        ),
        (
            "SELECT FROM refinery_schema_history",
            &[
                "ingress",
                "match_escrow",
                "reward_fulfillment",
                "player_stats",
                "offer_removal",
                "event_archive",
                "dispatcher",
                "reconciler",
                "api",
                "operator",
            ],
        ),
    ] {
        for role in ROLES.map(|role| role.trim_start_matches("matchpurse_")) {
            assert_eq!(takes(role, sql).await?, roles.contains(&role), "{role}: {sql}");
        }
    }
    Ok(())
}

/// Who migrates may be the owner of one database and nobody on the server: what is there is granted, what is missing is
/// not made, and nothing fails.
#[tokio::test]
async fn who_migrates_needs_no_rights_on_the_server() -> Result<()> {
    let database = Database::create().await?;
    let admin = database.connection().await?;
    let name: String = admin.query_one("SELECT current_database()::text", &[]).await?.get(0);
    let owner = format!("{name}_owner");
    admin
        .batch_execute(&format!(
            "DROP SCHEMA public CASCADE; CREATE ROLE {owner}; CREATE SCHEMA public AUTHORIZATION {owner}"
        ))
        .await?;
    let url = database.url_as(&owner);
    let migrated = Migrations::run(&url.clone().into()).await;
    let again = Migrations::run(&url.into()).await;
    let sql = "SELECT has_table_privilege('matchpurse_ingress', 'spool', 'INSERT')";
    let granted = admin.query_one(sql, &[]).await.map(|row| row.get::<_, bool>(0));
    let store =
        Store::connect(&StoreOptions::new(database.url_as("matchpurse_ingress").into(), "test")).await;
    admin.batch_execute(&format!("DROP OWNED BY {owner} CASCADE; DROP ROLE {owner}")).await?;
    assert!(!migrated?.is_empty() && again?.is_empty() && granted?);
    store?;
    Ok(())
}
