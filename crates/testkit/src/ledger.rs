use anyhow::{Context as _, Result, ensure};
use matchpurse_domain::event::MatchKind;
use matchpurse_domain::ids::{PlayerId, SourceName, derived_uuid};
use matchpurse_store::escrow::MatchKey;
use tokio_postgres::Client;
use uuid::Uuid;

/// The sources of a filled ledger: of the first the provider holds the stakes, of the second the studio does.
pub const LEDGER_SOURCES: [&str; 2] = ["provider", "studio"];

/// So many matches live every life once a source; see `ledger.sql`.
const MATCHES_A_ROUND: i64 = 40;

/// The transfers of those.
const TRANSFERS_A_ROUND: i64 = 2 * (14 * 7 + 2 * 8 + 8 + 4 + 19);

/// How many keys travel in one statement.
const CHUNK: usize = 10_000;

/// Fills a migrated database without transfers with a valid ledger of exactly so many: matches in every state with
/// their seats and deadlines, corrections, deposits and withdrawals, and the balances that follow. An audit of it
/// is clean. A million take about a minute. The keys are those that the services would give, so that they can go on
/// with it: match `match-N` (from 1) and player `player-N` (from 0) of a source.
///
/// # Errors
/// When there are transfers, fewer than 100 are wanted, or the database refuses.
pub async fn fill_ledger(client: &mut Client, transfers: i64) -> Result<()> {
    ensure!(transfers >= 100, "a ledger of fewer than 100 transfers has not all that it should");
    let tx = client.transaction().await?;
    let some: bool = tx.query_one("SELECT EXISTS (SELECT FROM transfer)", &[]).await?.try_get(0)?;
    ensure!(!some, "the database has transfers already");
    let players = (transfers / 100).clamp(8, 10_000);
    let matches = (transfers - players) / TRANSFERS_A_ROUND * MATCHES_A_ROUND;
    let deposits = transfers - matches / MATCHES_A_ROUND * TRANSFERS_A_ROUND;
    tx.batch_execute(&format!(
        "CREATE TEMP TABLE filling ON COMMIT DROP AS
           SELECT {players}::bigint AS players, {matches}::bigint AS matches, {deposits}::bigint AS deposits;
         CREATE TEMP TABLE new_player (n bigint, source text, player_id text, player_key uuid) ON COMMIT DROP;
         CREATE TEMP TABLE new_match (n bigint, source text, match_id text, match_key uuid) ON COMMIT DROP;
         CREATE TEMP TABLE new_side (source text, kind smallint, owner_key uuid) ON COMMIT DROP;
         SET LOCAL work_mem = '128MB'; SET LOCAL jit = off"
    ))
    .await?;
    for (parity, name) in (0..).zip(LEDGER_SOURCES) {
        let source = SourceName::parse(name)?;
        let sides = "INSERT INTO new_side VALUES ($1, 3, $2), ($1, 4, $3)";
        let owner = |side: &str| derived_uuid(side, &[name]);
        tx.execute(sides, &[&name, &owner("house"), &owner("external")]).await?;
        let player = |n: i64| {
            let id = format!("player-{n}");
            let key = PlayerId::new(id.clone()).key(&source);
            (n, id, key)
        };
        add(&tx, "new_player", name, (0..players).map(player)).await?;
        let of_match = |n: i64| {
            let match_id = format!("match-{n}");
            let kind = MatchKind::Recreational;
            let key = MatchKey { source: source.clone(), kind, match_id: match_id.clone() }.uuid();
            (n, match_id, key)
        };
        add(&tx, "new_match", name, (1..=matches).filter(|n| n % 2 == parity).map(of_match)).await?;
    }
    tx.batch_execute("ANALYZE new_player; ANALYZE new_match").await?;
    tx.batch_execute(include_str!("ledger.sql")).await.context("failed to fill the ledger")?;
    let filled: i64 = tx.query_one("SELECT count(*) FROM transfer", &[]).await?.try_get(0)?;
    ensure!(filled == transfers, "{filled} transfers were made instead of {transfers}");
    tx.commit().await?;
    // As a server would have done in the meantime.
    Ok(client.batch_execute("VACUUM (ANALYZE)").await?)
}

async fn add(
    tx: &tokio_postgres::Transaction<'_>,
    table: &str,
    source: &str,
    rows: impl Iterator<Item = (i64, String, Uuid)>,
) -> Result<()> {
    let rows: Vec<_> = rows.collect();
    let sql = format!(
        "INSERT INTO {table} SELECT n, $1, id, key FROM unnest($2::bigint[], $3::text[], $4::uuid[]) AS u (n, id, key)"
    );
    for chunk in rows.chunks(CHUNK) {
        let numbers: Vec<i64> = chunk.iter().map(|(n, ..)| *n).collect();
        let ids: Vec<&str> = chunk.iter().map(|(_, id, _)| id.as_str()).collect();
        let keys: Vec<Uuid> = chunk.iter().map(|(.., key)| *key).collect();
        tx.execute(&sql, &[&source, &numbers, &ids, &keys]).await?;
    }
    Ok(())
}
