//! Copies of what was played, until there is as much as wanted.
//!
//! Every copy is a play of its own, some days earlier: keys that point from row to row point within the copy. One copy in
//! ten is of the same players, so that those have played very much. Constraints between tables and triggers are off while
//! rows are copied, and sums and chains of hashes are not made anew; indexes are as they are.

use anyhow::{Context as _, Result};
use tokio_postgres::Client;

use crate::say;
use crate::servers::number;

/// So many copies are made by one statement.
const AT_ONCE: i64 = 20;
/// The copies are spread over so many days.
const DAYS: i64 = 30;
/// What numbers of two copies differ by: more than one play has of anything.
const STRIDE: i64 = 10_000_000;

/// The kinds of accounts of players, and of where their money comes from.
const OF_PLAYERS: &str = "(1, 4)";

/// What is copied.
const TABLES: [&str; 21] = [
    "archive",
    "archive_event",
    "player",
    "account",
    "match",
    "match_participant",
    "transfer",
    "contest",
    "reward_grant",
    "outbox",
    "delivery",
    "parked",
    "anomaly",
    "offer",
    "stats_match",
    "player_match_stats",
    "player_totals",
    "player_standing",
    "board_entry",
    "rating",
    "result",
];

/// Fills the tables up to so many events, and says how many rows each has.
pub(super) async fn fill(client: &Client, events: i64) -> Result<Vec<(String, i64)>> {
    client.batch_execute("SET session_replication_role = replica; SET synchronous_commit = off").await?;
    client.batch_execute(ARRIVED).await?;
    let played = number(client, "SELECT count(*) FROM archive").await?;
    partitions(client).await?;
    let copies = (events / played.max(1)).max(1) - 1;
    say(&format!("lists: {played} events were played; making {copies} copies"));
    for table in TABLES {
        client.batch_execute(&format!("CREATE TEMP TABLE played_{table} AS SELECT * FROM {table}")).await?;
    }
    client.batch_execute("CREATE INDEX ON played_account (id)").await?;
    for table in TABLES {
        let statement = statement(client, table).await?;
        let mut first = 1;
        while first <= copies {
            let last = (first + AT_ONCE - 1).min(copies);
            client
                .execute(&statement, &[&first, &last])
                .await
                .with_context(|| format!("{table}: {statement}"))?;
            first = last + 1;
        }
        say(&format!("lists: {table}"));
    }
    client.batch_execute(RARE).await?;
    client.batch_execute("RESET session_replication_role; RESET synchronous_commit").await?;
    for table in TABLES {
        client.batch_execute(&format!("VACUUM (ANALYZE) {table}")).await?;
    }
    let mut rows = Vec::new();
    for table in TABLES {
        rows.push((table.to_owned(), number(client, &format!("SELECT count(*) FROM {table}")).await?));
    }
    Ok(rows)
}

/// The studio did not listen while it was played; most of what was for it has arrived.
const ARRIVED: &str =
    "UPDATE delivery SET state = 'delivered', attempts = 1, claimed_at = NULL, finished_at = created_at
    WHERE delivery_id % 500 <> 0";

/// A few rows of a state that is rare, far from the newest.
const RARE: &str = "
    UPDATE reward_grant SET state = 'failed', detail = 'refused' WHERE grant_id IN
        (SELECT grant_id FROM reward_grant WHERE state = 'granted' ORDER BY created_at LIMIT 5);
    UPDATE delivery SET state = 'given_up', finished_at = created_at WHERE delivery_id IN
        (SELECT delivery_id FROM delivery WHERE state = 'delivered' ORDER BY delivery_id LIMIT 5);
    UPDATE anomaly SET kind = 'seldom' WHERE id IN (SELECT id FROM anomaly ORDER BY id LIMIT 5);
    UPDATE parked SET event_type = 'seldom' WHERE id IN (SELECT id FROM parked ORDER BY id LIMIT 5)";

/// The days of the copies.
async fn partitions(client: &Client) -> Result<()> {
    let sql = "SELECT to_char(day, 'YYYYMMDD'), day::text, (day + 1)::text
        FROM (SELECT min(day) - n AS day FROM archive, generate_series(1, $1::bigint::int) n GROUP BY n) days
        WHERE to_regclass('archive_d' || to_char(day, 'YYYYMMDD')) IS NULL";
    for row in client.query(sql, &[&DAYS]).await? {
        let (name, day, next): (String, String, String) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let sql = format!(
            "CREATE TABLE archive_d{name} PARTITION OF archive FOR VALUES FROM ('{day}') TO ('{next}')"
        );
        client.batch_execute(&sql).await?;
    }
    Ok(())
}

/// The statement that makes a table's copies; $1 and $2 are the first and the last one.
async fn statement(client: &Client, table: &str) -> Result<String> {
    let sql = "SELECT column_name::text, data_type::text FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name = $1 AND is_generated = 'NEVER' ORDER BY ordinal_position";
    let (mut names, mut values) = (Vec::new(), Vec::new());
    for row in client.query(sql, &[&table]).await? {
        let (name, kind): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        values.push(copied(&name, &kind));
        names.push(format!("\"{name}\""));
    }
    Ok(format!(
        "INSERT INTO {table} ({}) OVERRIDING SYSTEM VALUE SELECT {} FROM played_{table} t, \
         generate_series($1::bigint, $2::bigint) k ON CONFLICT DO NOTHING",
        names.join(", "),
        values.join(", ")
    ))
}

/// A column's value in the copy `k`.
fn copied(name: &str, kind: &str) -> String {
    let column = format!("t.\"{name}\"");
    let same_players = |other: String| format!("CASE WHEN k % 10 = 0 THEN {column} ELSE {other} END");
    let uuid = format!("md5({column}::text || k)::uuid");
    let text = format!("{column} || '.' || k");
    let number = format!("{column} + k * {STRIDE}");
    match (name, kind) {
        ("player_key", _) => same_players(uuid),
        ("player_id", _) => same_players(text),
        ("owner_key", _) => {
            format!("CASE WHEN k % 10 = 0 AND t.kind IN {OF_PLAYERS} THEN {column} ELSE {uuid} END")
        }
        ("debit_id" | "credit_id", _) => format!(
            "CASE WHEN k % 10 = 0 AND (SELECT a.kind IN {OF_PLAYERS} FROM played_account a WHERE a.id = {column}) \
             THEN {column} ELSE {number} END"
        ),
        ("match_no", _) => format!("CASE WHEN {column} = 0 THEN 0 ELSE {number} END"),
        (_, "uuid") => uuid,
        ("id" | "seq" | "position" | "delivery_id", "bigint") => number,
        ("match_id" | "contest_id" | "offer_id" | "subject" | "key", "text") => text,
        (_, "timestamp with time zone") => format!("{column} - make_interval(days => (k % {DAYS})::int)"),
        ("day", "date") => format!("{column} - (k % {DAYS})::int"),
        _ => column,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_copy_point_within_the_copy() {
        assert_eq!(
            copied("match_no", "bigint"),
            "CASE WHEN t.\"match_no\" = 0 THEN 0 ELSE t.\"match_no\" + k * 10000000 END"
        );
        assert_eq!(copied("event_id", "uuid"), "md5(t.\"event_id\"::text || k)::uuid");
        assert_eq!(
            copied("player_key", "uuid"),
            "CASE WHEN k % 10 = 0 THEN t.\"player_key\" ELSE md5(t.\"player_key\"::text || k)::uuid END"
        );
        assert_eq!(copied("amount", "bigint"), "t.\"amount\"");
    }
}
