//! What the database itself refuses, whatever a program does.

use anyhow::{Context as _, Result};
use matchpurse_testkit::{Database, fill_ledger};
use tokio_postgres::{Client, NoTls};

/// No privilege, by SQLSTATE.
const NO_PRIVILEGE: &str = "42501";

/// A match of the filled ledger that is settled, one that still holds 2000, and one that was corrected once.
const SETTLED: i64 = 3;
const OPEN: i64 = 35;
const CORRECTED: i64 = 37;

async fn filled() -> Result<Database> {
    let database = Database::create().await?;
    fill_ledger(&mut database.connection().await?, 1000).await?;
    Ok(database)
}

/// A connection with the rights of a service.
async fn service(database: &Database) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(&database.service_url(), NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// The SQLSTATE and the constraint with which a statement is refused.
async fn refusal(client: &Client, sql: &str) -> Result<(String, String)> {
    let error = client.batch_execute(sql).await.err().with_context(|| format!("not refused: {sql}"))?;
    let error = error.as_db_error().with_context(|| format!("{sql}: {error}"))?;
    Ok((error.code().code().to_owned(), error.constraint().unwrap_or_default().to_owned()))
}

#[tokio::test]
async fn a_service_takes_nothing_away() -> Result<()> {
    let database = filled().await?;
    let service = service(&database).await?;
    for table in ["transfer", "operation", "archive"] {
        let column = if table == "archive" { "seq" } else { "amount" };
        for sql in [
            format!("UPDATE {table} SET {column} = 1"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
        ] {
            assert_eq!(refusal(&service, &sql).await?.0, NO_PRIVILEGE, "{sql}");
        }
    }
    for table in ["account", "match", "match_participant", "correction", "match_status"] {
        for sql in [format!("DELETE FROM {table}"), format!("TRUNCATE {table}")] {
            assert_eq!(refusal(&service, &sql).await?.0, NO_PRIVILEGE, "{sql}");
        }
    }
    for sql in [
        "ALTER TABLE transfer DISABLE TRIGGER ALL",
        "DROP TRIGGER transfer_guard ON transfer",
        "CREATE RULE forgotten AS ON INSERT TO transfer DO INSTEAD NOTHING",
        "ALTER TABLE account DROP CONSTRAINT balance_floor",
        "CREATE OR REPLACE FUNCTION ledger_guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    ] {
        assert_eq!(refusal(&service, sql).await?.0, NO_PRIVILEGE, "{sql}");
    }
    Ok(())
}

#[tokio::test]
async fn not_even_the_owner_changes_what_was_moved_and_why() -> Result<()> {
    let database = filled().await?;
    let owner = database.connection().await?;
    for table in ["transfer", "operation"] {
        for sql in [
            format!("UPDATE {table} SET amount = 1"),
            format!("DELETE FROM {table}"),
            format!("TRUNCATE {table}"),
        ] {
            assert_eq!(refusal(&owner, &sql).await?.0, "ES003", "{sql}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_account_stays_whose_it_is_and_a_correction_stays_what_it_says() -> Result<()> {
    let database = filled().await?;
    let service = service(&database).await?;
    for changes in [
        "owner_key = gen_random_uuid()",
        "currency = 'JPY'",
        "source = 'other'",
        "kind = 3",
        "closed = false",
    ] {
        let sql = format!("UPDATE account SET {changes} WHERE closed");
        assert_eq!(refusal(&service, &sql).await?.0, "ES008", "{sql}");
    }
    service
        .batch_execute(&format!(
            "INSERT INTO correction (correction_id, match_no, generation, state, verdict, reason, seen_event_id,
                                     approvals, proposed_by)
             VALUES (gen_random_uuid(), {SETTLED}, 1, 'proposed', '{{}}', 'why', gen_random_uuid(), 1, 'olga')"
        ))
        .await?;
    let decided = "decided_by = 'olga', decided_at = now()";
    for sql in [
        format!(
            "UPDATE correction SET state = 'applied', reason = 'other', {decided} WHERE state = 'proposed'"
        ),
        "UPDATE correction SET state = 'rejected' WHERE state = 'applied'".to_owned(),
    ] {
        assert_eq!(refusal(&service, &sql).await?.0, "ES007", "{sql}");
    }
    Ok(())
}

#[tokio::test]
async fn a_settlement_is_written_once_and_only_a_correction_opens_a_generation() -> Result<()> {
    let database = filled().await?;
    let service = service(&database).await?;
    let of = |number: i64, changes: &str| format!("UPDATE match SET {changes} WHERE match_no = {number}");
    for (number, changes, expected) in [
        (SETTLED, "paid = paid + 100, fee = fee - 100", "ES001"),
        (SETTLED, "pot = pot + 100, refunded = 100", "ES001"),
        (SETTLED, "settlement = 'tie'", "ES001"),
        (SETTLED, "status = 'CLOSED_TIE'", "ES001"),
        (SETTLED, "settlement = NULL, settled_at = NULL, status = 'OPEN', rank = 10", "ES001"),
        (OPEN, "status = 'OPEN', rank = 10", "ES002"),
        (OPEN, "generation = 1", "ES006"),
        (SETTLED, "generation = 1, paid = 2000, fee = 0", "ES006"),
        (CORRECTED, "generation = 2", "ES006"),
        (CORRECTED, "generation = 3", "ES006"),
        (CORRECTED, "generation = 0", "ES006"),
    ] {
        let sql = of(number, changes);
        assert_eq!(refusal(&service, &sql).await?.0, expected, "{sql}");
    }
    // A proposal is not enough, and neither is a correction of another match.
    let propose =
        "INSERT INTO correction (correction_id, match_no, generation, state, verdict, reason, seen_event_id,
                     approvals, proposed_by, decided_by, decided_at)
                   SELECT gen_random_uuid(), ";
    let rest = "'{}', 'why', gen_random_uuid(), 1, 'olga'";
    service.batch_execute(&format!("{propose} {SETTLED}, 1, 'proposed', {rest}, NULL, NULL")).await?;
    service.batch_execute(&format!("{propose} {OPEN}, 1, 'applied', {rest}, 'olga', now()")).await?;
    assert_eq!(refusal(&service, &of(SETTLED, "generation = 1")).await?.0, "ES006");
    service.batch_execute(&format!("{propose} {SETTLED}, 1, 'applied', {rest}, 'olga', now()")).await?;
    service.batch_execute(&of(SETTLED, "generation = 1, paid = 2000, fee = 0")).await?;
    assert_eq!(refusal(&service, &of(SETTLED, "paid = 1800, fee = 200")).await?.0, "ES001");
    Ok(())
}

#[tokio::test]
async fn sums_that_do_not_fit_and_movements_that_were_made_are_refused() -> Result<()> {
    const COLUMNS: &str = "match_no, subject, kind, generation, debit_id, credit_id, amount, event_at";
    let database = filled().await?;
    let service = service(&database).await?;
    let again = |select: &str, of: &str| {
        format!("INSERT INTO transfer ({COLUMNS}) SELECT {select} FROM transfer WHERE {of} LIMIT 1")
    };
    let settled = format!("match_no = {SETTLED} AND kind = 2");
    let ended = "settled_at = now(), rank = 100";
    let correction = |state: &str, approvals: i16, decided: &str| {
        format!(
            "INSERT INTO correction (correction_id, match_no, generation, state, verdict, reason, seen_event_id,
                                     approvals, proposed_by, decided_by, decided_at)
             VALUES (gen_random_uuid(), {CORRECTED}, 1, '{state}', '{{}}', 'why', gen_random_uuid(), {approvals},
                     'olga', {decided})"
        )
    };
    service.batch_execute(&correction("proposed", 2, "NULL, NULL")).await?;
    let open = |changes: &str| format!("UPDATE match SET {changes} WHERE match_no = {OPEN}");
    for (sql, code, constraint) in [
        (open("paid = 2001"), "23514", "never_overpaid"),
        (open("pot = -1"), "23514", "amounts_not_negative"),
        (
            open(&format!("settlement = 'payout', status = 'CLOSED', paid = 1999, {ended}")),
            "23514",
            "settled_is_exact",
        ),
        (open("settlement = 'payout', paid = 2000, settled_at = now()"), "23514", "settled_iff_terminal"),
        (
            open("settlement = 'payout', status = 'CLOSED', paid = 2000, rank = 100"),
            "23514",
            "settled_at_set",
        ),
        (
            open(&format!(
                "settlement = 'refund', status = 'CANCELED_OTHER', refunded = 1900, fee = 100, {ended}"
            )),
            "23514",
            "refund_means_all",
        ),
        (
            "UPDATE account SET balance = -1 WHERE kind = 1 AND min_balance = 0".to_owned(),
            "23514",
            "balance_floor",
        ),
        (
            "UPDATE account SET balance = -1, min_balance = NULL WHERE kind = 2".to_owned(),
            "23514",
            "escrow_never_negative",
        ),
        ("UPDATE account SET balance = 1 WHERE closed".to_owned(), "23514", "closed_is_zero"),
        (
            "INSERT INTO account (source, kind, owner_key, currency)
             SELECT source, kind, owner_key, currency FROM account LIMIT 1"
                .to_owned(),
            "23505",
            "account_owner_key_kind_currency_key",
        ),
        (again(COLUMNS, &settled), "23505", "transfer_pkey"),
        (again(&COLUMNS.replace("kind", "3"), &settled), "23505", "one_settlement_per_player"),
        (
            again(&COLUMNS.replace("generation", "5").replace("amount", "0"), &settled),
            "23514",
            "transfer_amount_check",
        ),
        (
            again(&COLUMNS.replace("generation", "5").replace("kind", "10"), &settled),
            "23514",
            "transfer_kind_check",
        ),
        (
            again(&COLUMNS.replace("generation", "5").replace("match_no", "0"), &settled),
            "23514",
            "transfer_match_check",
        ),
        (again(&COLUMNS.replace("kind", "1"), "kind = 8"), "23514", "transfer_match_check"),
        (
            again(&COLUMNS.replace("generation", "5").replace("credit_id", "debit_id"), &settled),
            "23514",
            "transfer_check",
        ),
        (
            format!(
                "UPDATE match_participant SET refund = 501, payout = 0, state = 3 WHERE match_no = {OPEN}"
            ),
            "23514",
            "match_participant_check",
        ),
        (
            format!("UPDATE match_participant SET payout = 1 WHERE match_no = {OPEN}"),
            "23514",
            "match_participant_check2",
        ),
        (correction("proposed", 1, "NULL, NULL"), "23505", "one_proposal_per_match"),
        (correction("applied", 1, "'olga', now()"), "23505", "one_correction_per_generation"),
        (correction("applied", 2, "'olga', now()"), "23514", "two_persons"),
        (correction("applied", 1, "NULL, NULL"), "23514", "correction_check"),
    ] {
        let refused = refusal(&service, &sql).await?;
        assert_eq!((refused.0.as_str(), refused.1.as_str()), (code, constraint), "{sql}");
    }
    Ok(())
}
