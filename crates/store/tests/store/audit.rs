use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use matchpurse_domain::time::Timestamp;
use matchpurse_store::audit::{self, Audit, CHAINS, CHECKS, Check};
use matchpurse_store::{Store, archive};
use matchpurse_testkit::{Database, fill_ledger};

use crate::samples::event;

/// What is tampered with, the words that only the broken check's name has, and what the finding says of the row.
///
/// In the filled ledger match 3 was paid, 29 refunded, 35 still holds 2000 and 37 was corrected once; of all these
/// the studio holds the stakes. `$player` is a player of match 3 who won.
const TAMPERINGS: &[(&str, &str, &str)] = &[
    // The ledger
    (
        "UPDATE account SET balance = balance + 5 WHERE kind = 4 AND source = 'provider'",
        "nothing is made or lost",
        "provider, USD: 5",
    ),
    (
        "UPDATE account SET balance = balance + 5 WHERE kind = 3 AND source = 'studio'",
        "every balance is the sum",
        "(house, studio, USD): balance 9005, transfers 9000",
    ),
    (
        "ALTER TABLE account DROP CONSTRAINT balance_floor; UPDATE account SET balance = -1 WHERE owner_key = $player",
        "no account is below its floor",
        "(player player-3, studio, USD): balance -1, floor 0",
    ),
    (
        "ALTER TABLE account DROP CONSTRAINT closed_is_zero;
         UPDATE account SET balance = 7 WHERE owner_key = (SELECT match_key FROM match WHERE match_no = 3)",
        "nothing is in a closed one",
        "(escrow of match-3, studio, USD): balance 7, floor 0, closed",
    ),
    (
        "UPDATE transfer SET recorded_at = '2030-01-01' WHERE kind = 8 AND amount = 100000000
            AND credit_id = (SELECT id FROM account WHERE owner_key = $player)",
        "was ever below",
        "(player player-3, studio, USD): -500 at 2026-01-",
    ),
    (
        "UPDATE transfer SET recorded_at = recorded_at - interval '1 day' WHERE match_no = 3 AND kind = 2",
        "was ever below",
        "(escrow of match-3, studio, USD): -1800 at 2026-01-0",
    ),
    (
        "UPDATE account SET owner_key = '00000000-0000-0000-0000-000000000001'
          WHERE owner_key = (SELECT match_key FROM match WHERE match_no = 35)",
        "an escrow account belongs to a match",
        "(escrow, studio, USD): owner 00000000-0000-0000-0000-000000000001, balance 2000",
    ),
    (
        "DELETE FROM player WHERE player_key = $player",
        "an escrow account belongs to a match",
        "(player, studio, USD): owner ",
    ),
    // What a transfer joins: one case for every kind, and for what is common to them
    (
        "UPDATE transfer SET credit_id = 999999 WHERE match_no = 3 AND kind = 1 AND subject = $player",
        "a transfer joins",
        "match 3 (studio/match-3, recreational), hold of generation 0 for player player-3: 500 from account",
    ),
    (
        "UPDATE transfer SET subject = gen_random_uuid() WHERE match_no = 3 AND kind = 2 AND subject = $player",
        "a transfer joins",
        "match 3 (studio/match-3, recreational), payout of generation 0 for subject ",
    ),
    (
        "UPDATE transfer SET debit_id = (SELECT id FROM account WHERE kind = 4 AND source = 'studio')
          WHERE match_no = 29 AND kind = 3 AND subject = (SELECT max(subject::text)::uuid FROM transfer WHERE match_no = 29)",
        "a transfer joins",
        "match 29 (studio/match-29, recreational), refund of generation 0 for player ",
    ),
    (
        "UPDATE transfer SET credit_id = (SELECT id FROM account WHERE kind = 4 AND source = 'studio')
          WHERE match_no = 3 AND kind = 4",
        "a transfer joins",
        "match 3 (studio/match-3, recreational), fee of generation 0 for subject ",
    ),
    (
        "UPDATE transfer SET kind = 6 WHERE match_no = 3 AND kind = 1 AND subject = $player",
        "a transfer joins",
        "match 3 (studio/match-3, recreational), top-up of generation 0 for player player-3: 500 from account",
    ),
    (
        "UPDATE transfer SET debit_id = (SELECT id FROM account WHERE kind = 4 AND source = 'studio')
          WHERE match_no = 37 AND kind = 7 AND amount = 200",
        "a transfer joins",
        "match 37 (studio/match-37, recreational), reversal of generation 0 for subject ",
    ),
    (
        "UPDATE transfer SET credit_id = (SELECT id FROM account WHERE kind = 3 AND source = 'studio')
          WHERE kind = 8 AND amount = 1011",
        "a transfer joins",
        "deposit of generation 0 for subject ",
    ),
    (
        "UPDATE transfer SET debit_id = (SELECT id FROM account WHERE kind = 3 AND source = 'studio')
          WHERE kind = 9 AND amount = 1020",
        "a transfer joins",
        "withdrawal of generation 0 for subject ",
    ),
    (
        "UPDATE transfer SET kind = 5 WHERE kind = 9 AND amount = 1020",
        "a transfer joins",
        "reward of generation 0 for subject ",
    ),
    (
        "UPDATE account SET currency = 'EUR' WHERE owner_key = $player",
        "a transfer joins",
        "for player player-3: 900 from account ",
    ),
    // Matches
    (
        "UPDATE match SET status = 'CANCELED_OTHER' WHERE match_no = 3",
        "rank and settlement are those of its status",
        "match 3 (studio/match-3, recreational): CANCELED_OTHER, rank 100, settled as payout",
    ),
    (
        "UPDATE match SET pot = 2500 WHERE match_no = 35",
        "escrow account holds what is left",
        "match 35 (studio/match-35, recreational): escrow 2000, pot 2500, paid 0, back 0, fee 0, settled as nothing",
    ),
    (
        "UPDATE account SET closed = false WHERE owner_key = (SELECT match_key FROM match WHERE match_no = 3)",
        "of a settled match is closed",
        "match 3 (studio/match-3, recreational): open, settled as payout",
    ),
    (
        "UPDATE match SET paid = 1900, fee = 100 WHERE match_no = 3",
        "sums are those of its generation's transfers",
        "match 3 (studio/match-3, recreational), generation 0: pot 2000, paid 1900, back 0, fee 100; \
         transfers 2000, 1800, 0, 200",
    ),
    (
        "DELETE FROM transfer WHERE match_no = 3 AND kind = 2 AND subject = $player",
        "sums are those of its generation's transfers",
        "paid 1800, back 0, fee 200; transfers 2000, 900, 0, 200",
    ),
    (
        "UPDATE match_participant SET payout = 800 WHERE match_no = 3 AND player_key = $player",
        "every seat is what",
        "match 3 (studio/match-3, recreational), player player-3: hold 500, payout 800, back 0, state 2; \
         transfers 500, 900, 0",
    ),
    (
        "UPDATE match_participant SET state = 0 WHERE match_no = 35",
        "every seat is what",
        "match 35 (studio/match-35, recreational), player player-4: hold 500, payout 0, back 0, state 0; \
         transfers 500, 0, 0",
    ),
    (
        "DELETE FROM match_participant WHERE match_no = 3 AND player_key = $player",
        "every seat is what",
        "match 3 (studio/match-3, recreational), player player-3: hold no seat",
    ),
    (
        "INSERT INTO match_participant (match_no, player_key) VALUES (999, $player)",
        "every seat is what",
        "match 999, which is not there, player player-3: hold 0",
    ),
    (
        "UPDATE transfer SET amount = 399 WHERE match_no = 37 AND kind = 7 AND amount = 400",
        "an overruled generation of a match moved is undone",
        "match 37 (studio/match-37, recreational), generation 0, player player-4: 1 left",
    ),
    (
        "DELETE FROM transfer WHERE match_no = 37 AND kind = 7 AND amount = 200",
        "an overruled generation of a match moved is undone",
        "match 37 (studio/match-37, recreational), generation 0, subject ",
    ),
    (
        "UPDATE match SET generation = 0 WHERE match_no = 37",
        "present generation is not reversed",
        "match 37 (studio/match-37, recreational), generation 0: fee of generation 1 for subject ",
    ),
    (
        "UPDATE transfer SET generation = 1 WHERE match_no = 37 AND kind = 7 AND amount = 200",
        "present generation is not reversed",
        "match 37 (studio/match-37, recreational), generation 1: reversal of generation 1 for subject ",
    ),
    (
        "DELETE FROM match_deadline WHERE match_no = 35",
        "holds money has a deadline",
        "match 35 (studio/match-35, recreational): holds 2000",
    ),
    (
        "INSERT INTO match_deadline VALUES (3, '2026-02-03 04:05Z')",
        "a settled match has no deadline",
        "match 3 (studio/match-3, recreational): due at 2026-02-03",
    ),
    (
        "UPDATE match_deadline SET match_no = 999 WHERE match_no = 35",
        "a settled match has no deadline",
        "match 999, which is not there: due at ",
    ),
    // Operations
    (
        "DELETE FROM transfer WHERE kind = 8 AND amount = 1011",
        "every deposit and withdrawal",
        "deposit of 1011 USD for player player-1 of studio; no transfer",
    ),
    (
        "DELETE FROM operation WHERE amount = 1011",
        "every deposit and withdrawal",
        "nothing of   for player  of ; deposit of generation 0 for subject ",
    ),
    (
        "UPDATE operation SET amount = 1012 WHERE amount = 1011",
        "every deposit and withdrawal",
        "deposit of 1012 USD for player player-1 of studio; deposit of generation 0",
    ),
    (
        "UPDATE operation SET kind = 'withdrawal' WHERE amount = 1011",
        "every deposit and withdrawal",
        "withdrawal of 1011 USD for player player-1 of studio; deposit of generation 0",
    ),
    (
        "UPDATE operation SET subject = 'player-2' WHERE amount = 1011",
        "every deposit and withdrawal",
        "deposit of 1011 USD for player player-2 of studio; deposit of generation 0",
    ),
    (
        "INSERT INTO transfer SELECT match_no, subject, kind, 1, debit_id, credit_id, amount, event_id, event_at
           FROM transfer WHERE kind = 8 AND amount = 1011",
        "every deposit and withdrawal",
        "deposit of 1011 USD for player player-1 of studio; deposit of generation 1",
    ),
    (
        "DELETE FROM operation WHERE match_no = 37",
        "every applied correction is an operation",
        "of match 37 (studio/match-37, recreational): applied; operation by nobody",
    ),
    (
        "UPDATE correction SET state = 'rejected' WHERE match_no = 37",
        "every applied correction is an operation",
        "of match 37 (studio/match-37, recreational): not there; operation by olga",
    ),
    (
        "UPDATE match SET generation = 2 WHERE match_no = 37",
        "the number of corrections",
        "match 37 (studio/match-37, recreational): generation 2, corrections 1, the last one made 1",
    ),
    (
        "UPDATE transfer SET event_id = '00000000-0000-0000-0000-000000000001'
          WHERE match_no = 37 AND generation = 1 AND kind = 4",
        "what a correction moved names its operation",
        "match 37 (studio/match-37, recreational), event 00000000-0000-0000-0000-000000000001: fee of generation 1",
    ),
    (
        "UPDATE match SET status = 'VOIDED_TIMEOUT' WHERE match_no = 29",
        "its deadline ended has the clock's operation",
        "match 29 (studio/match-29, recreational)",
    ),
    (
        "INSERT INTO match_result VALUES (35, '00000000-0000-0000-0000-000000000001')",
        "every result that was accepted",
        "result 00000000-0000-0000-0000-000000000001 of match 35 (studio/match-35, recreational): operation by nobody",
    ),
    // Guards
    (
        "ALTER TABLE account DROP CONSTRAINT balance_floor",
        "constraints, keys and triggers are there",
        "constraint balance_floor of account is not there",
    ),
    (
        "DROP INDEX one_settlement_per_player",
        "constraints, keys and triggers are there",
        "index one_settlement_per_player of transfer is not there",
    ),
    (
        "ALTER TABLE transfer DISABLE TRIGGER transfer_guard",
        "constraints, keys and triggers are there",
        "trigger transfer_guard of transfer is not in force",
    ),
    (
        "ALTER TABLE dispatch_operation DISABLE TRIGGER dispatch_operation_guard",
        "constraints, keys and triggers are there",
        "trigger dispatch_operation_guard of dispatch_operation is not in force",
    ),
    (
        "DROP TRIGGER dispatch_request_guard ON dispatch_request",
        "constraints, keys and triggers are there",
        "trigger dispatch_request_guard of dispatch_request is not there",
    ),
    (
        "GRANT DELETE ON dispatch_operation TO matchpurse_app",
        "take nothing away",
        "matchpurse_app has the right to DELETE on dispatch_operation",
    ),
    (
        "GRANT UPDATE ON transfer TO matchpurse_app",
        "take nothing away",
        "matchpurse_app has the right to UPDATE on transfer",
    ),
    // Effects
    (
        "INSERT INTO player_totals
         SELECT r.* FROM (SELECT jsonb_object_agg(column_name, 0) AS zeros FROM information_schema.columns
                           WHERE table_name = 'player_totals') z,
                jsonb_populate_record(NULL::player_totals, zeros || jsonb_build_object(
                  'player_key', $player, 'source', 'studio', 'updated_at', now())) r",
        "a player's totals",
        "matches none",
    ),
    (
        "WITH played AS (
           INSERT INTO stats_match (stats_key, source, match_id, finished, counted, ended_at, first_event_id,
                                    last_event_id)
           VALUES ($player, 'studio', 's', true, true, now(), $player, $player))
         INSERT INTO player_match_stats
         SELECT r.* FROM (SELECT jsonb_object_agg(column_name, 0) AS zeros FROM information_schema.columns
                           WHERE table_name = 'player_match_stats') z,
                jsonb_populate_record(NULL::player_match_stats, zeros || jsonb_build_object(
                  'stats_key', $player, 'player_key', $player, 'side', 'spectator', 'nickname', '', 'kicked', false,
                  'ended_at', '2026-02-03', 'outcome', NULL)) r",
        "a line has the end",
        "match s of studio, player ",
    ),
    (
        "UPDATE match_participant SET ended_at = NULL, currency = NULL WHERE match_no = 3 AND player_key = $player",
        "a seat has the end",
        "match 3 (studio/match-3, recreational), player player-3: ended never, no currency",
    ),
    (
        "INSERT INTO player_link VALUES ($player, '00000000-0000-0000-0000-000000000003')",
        "a person is two identities",
        "person 00000000-0000-0000-0000-000000000003: 1 identities, 1 of them known",
    ),
    (
        "INSERT INTO reward_grant (grant_id, contest_key, source, player_key, reward_ref, kind, state, event_id)
         VALUES ('00000000-0000-0000-0000-000000000002', gen_random_uuid(), 'studio', $player, 'r', 'studio',
                 'reserved', gen_random_uuid())",
        "a reward is only reserved",
        "grant 00000000-0000-0000-0000-000000000002: reserved, contest undecided",
    ),
    (
        "INSERT INTO reward_count VALUES ('studio', $player, '2026-01-01', 2, 300)",
        "what is counted against limits",
        "counted 2 grants and 300, given 0 and 0",
    ),
    (
        "INSERT INTO operation (operation_id, kind, source, subject, actor, reason, detail)
         VALUES (gen_random_uuid(), 'reward_release', 'studio', 'c', 'ann', 'why', '{\"grant_id\": \"nobody\"}')",
        "what a person did to a grant is so",
        "which is not there",
    ),
    (
        "WITH asked AS (
           INSERT INTO conversion_answer (source, intent_id, answer, body) VALUES ('studio', 'i', 'COMPLETED', ''))
         INSERT INTO credit_conversion
         VALUES ('studio', 'i', $player, 100, 'USD', '120', 'FAILED', gen_random_uuid(), now())",
        "recorded with the answer",
        "answered COMPLETED, recorded FAILED",
    ),
    // What providers are told, with a grant that is in no state in which they are, and one that keeps them waiting.
    (
        "WITH given AS (
           INSERT INTO reward_grant (grant_id, contest_key, source, player_key, reward_ref, kind, state, event_id)
           VALUES (gen_random_uuid(), $player, 'studio', $player, 'r', 'studio', 'reversed', gen_random_uuid()))
         INSERT INTO redemption_call (contest_key, player_key, source, state, redeemed_at, next_attempt_at, created_at)
         VALUES ($player, $player, 'studio', 'waiting', now(), now(), now())",
        "a provider is told of rewards",
        "of studio: waiting; given 0, on their way 0",
    ),
    (
        "WITH given AS (
           INSERT INTO reward_grant (grant_id, contest_key, source, player_key, reward_ref, kind, state, event_id)
           VALUES (gen_random_uuid(), $player, 'studio', $player, 'r', 'studio', 'fulfilled', gen_random_uuid()),
                  (gen_random_uuid(), $player, 'studio', $player, 's', 'studio', 'failed', gen_random_uuid()))
         INSERT INTO redemption_call (contest_key, player_key, source, state, redeemed_at, next_attempt_at, created_at)
         VALUES ($player, $player, 'studio', 'waiting', now(), now(), now())",
        "a provider is told of rewards",
        "of studio: waiting; given 1, on their way 1",
    ),
    (
        "WITH given AS (
           INSERT INTO reward_grant (grant_id, contest_key, source, player_key, reward_ref, kind, state, event_id)
           VALUES (gen_random_uuid(), $player, 'studio', $player, 'r', 'studio', 'fulfilled', gen_random_uuid()))
         INSERT INTO redemption_call (contest_key, player_key, source, state, redeemed_at, next_attempt_at, created_at)
         VALUES ($player, $player, 'studio', 'held', now(), now(), now())",
        "a provider is told of rewards",
        "of studio: held; given 1, on their way 0",
    ),
    (
        "WITH told AS (
           INSERT INTO outbox (webhook_id, source, kind, subject, payload, occurred_at)
           VALUES ($player, 'studio', 'reward.granted', 'nobody', '{}', now()))
         INSERT INTO delivery (endpoint_id, webhook_id, position, state, next_attempt_at, created_at, finished_at)
         VALUES (1, $player, 1, 'withdrawn', now(), now(), now())",
        "is withdrawn unsent",
        "reward.granted about nobody is withdrawn, its grant is not there",
    ),
];

async fn filled() -> Result<Database> {
    let database = Database::create().await?;
    fill_ledger(&mut database.connection().await?, 1000).await?;
    Ok(database)
}

/// What a whole audit finds, each as a line.
async fn audited(store: &Store) -> Result<Vec<String>> {
    let mut client = store.client().await?;
    let audit = Audit::begin(&mut client).await?;
    let mut lines = Vec::new();
    for check in CHECKS {
        audit.check(check, &mut |finding| lines.push(finding.to_string())).await?;
    }
    audit.chains(&mut |_| {}, &mut |finding| lines.push(finding.to_string())).await?;
    Ok(lines)
}

fn check_of(words: &str) -> Result<&'static Check> {
    let mut named = CHECKS.iter().filter(|check| check.name.contains(words));
    let check = named.next().with_context(|| format!("no check is about {words:?}"))?;
    ensure!(named.next().is_none(), "several checks are about {words:?}");
    Ok(check)
}

#[tokio::test]
async fn nothing_is_wrong_with_an_empty_or_a_valid_ledger() -> Result<()> {
    let none: [String; 0] = [];
    assert_eq!(audited(&Database::create().await?.store().await?).await?, none);
    let database = filled().await?;
    assert_eq!(audited(&database.store().await?).await?, none);
    Ok(())
}

/// Every tampering is undone, so that each is alone.
#[tokio::test]
async fn every_check_names_the_row_that_breaks_it() -> Result<()> {
    let database = filled().await?;
    let mut owner = database.connection().await?;
    let player: String = owner
        .query_one(
            "SELECT player_key::text FROM player WHERE (source, player_id) = ('studio', 'player-3')",
            &[],
        )
        .await?
        .get(0);
    let (mut tried, mut unnamed) = (BTreeSet::new(), Vec::new());
    for (tampering, words, row) in TAMPERINGS {
        let check = check_of(words)?;
        tried.insert(check.name);
        let tx = owner.transaction().await?;
        // The triggers that would refuse it are asleep, as they are for whoever has the server.
        tx.batch_execute("SET LOCAL session_replication_role = replica").await?;
        tx.batch_execute(&tampering.replace("$player", &format!("'{player}'")))
            .await
            .with_context(|| (*tampering).to_owned())?;
        let found = tx.query(check.sql(), &[]).await.with_context(|| check.name)?;
        let found: Vec<String> = found.iter().map(|row| row.get(0)).collect();
        if !found.iter().any(|what| what.contains(row)) {
            unnamed.push(format!("{tampering}\n  {}: {found:#?}\n  but not {row}", check.name));
        }
        tx.rollback().await?;
    }
    assert!(unnamed.is_empty(), "{}", unnamed.join("\n"));
    let untried: Vec<_> =
        CHECKS.iter().map(|check| check.name).filter(|name| !tried.contains(name)).collect();
    assert_eq!(untried, [""; 0], "a check that nobody has seen fail proves nothing");
    Ok(())
}

#[tokio::test]
async fn an_audit_sees_one_moment_and_names_every_row_of_it() -> Result<()> {
    let database = filled().await?;
    let store = database.store().await?;
    let balances = check_of("every balance is the sum")?;
    let mut client = store.client().await?;
    let before = Audit::begin(&mut client).await?;
    // The transaction has begun, but it is its first statement that looks at the clock.
    before.check(check_of("below its floor")?, &mut |_| {}).await?;
    let owner = database.connection().await?;
    let broken = owner.execute("UPDATE account SET balance = balance + 1 WHERE NOT closed", &[]).await?;
    let mut found = Vec::new();
    before.check(balances, &mut |finding| found.push(finding)).await?;
    assert_eq!(found, []);
    drop(before);

    let rest =
        "ALTER TABLE account DROP CONSTRAINT closed_is_zero; UPDATE account SET balance = 1 WHERE closed";
    owner.batch_execute(rest).await?;
    let mut other = store.client().await?;
    let after = Audit::begin(&mut other).await?;
    after.check(balances, &mut |finding| found.push(finding)).await?;
    let accounts: i64 = owner.query_one("SELECT count(*) FROM account", &[]).await?.get(0);
    assert!(accounts > 120 && broken < 120, "{broken} of {accounts}");
    assert_eq!(i64::try_from(found.len())?, accounts);
    assert_eq!(audit::run(&client, balances).await?, found);
    Ok(())
}

#[tokio::test]
async fn a_chain_is_named_wherever_it_does_not_hold() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    let events: Vec<_> = ["a", "b", "c"].iter().flat_map(|name| (0..10).map(|n| event(name, n))).collect();
    archive::append_in_tx(&tx, &events, Timestamp::from_seconds(1_790_000_000)).await?;
    tx.commit().await?;
    let owner = database.connection().await?;
    owner
        .batch_execute(
            "UPDATE archive SET raw = '{}' WHERE source = 'a' AND seq IN (2, 5);
             DELETE FROM archive WHERE source = 'a' AND seq IN (7, 8, 10);
             DELETE FROM archive_head WHERE source = 'c'",
        )
        .await?;
    let mut rows = Vec::new();
    let mut found = Vec::new();
    let audit = Audit::begin(&mut client).await?;
    audit.chains(&mut |walked| rows.push(walked), &mut |finding| found.push(finding.to_string())).await?;
    assert_eq!(rows, (1..=27).collect::<Vec<u64>>());
    let expected = [
        "a: row 2 has been changed",
        "a: row 5 has been changed",
        "a: rows 7 to 8 are missing",
        "a: row 10 is missing",
        "c: there are rows, but the chain has no end",
    ];
    assert_eq!(found, expected.map(|what| format!("{CHAINS}: source {what}")));
    Ok(())
}
