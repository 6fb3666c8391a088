//! One dead endpoint delays nobody.

use anyhow::Result;
use matchpurse_testkit::{Reply, Studio};

use crate::stage::{Stage, endpoint, notices};

/// Nineteen endpoints get everything while the twentieth has not answered a single request.
#[tokio::test]
async fn one_hanging_endpoint_among_twenty_delays_none_of_the_others() -> Result<()> {
    const NOTICES: usize = 40;
    let (stage, dead) = (Stage::new().await?, Studio::start().await?);
    dead.behave(|_, _| Reply::hang());
    // It is the first one everywhere, and answers may take longer than the test.
    let mut settings = String::new();
    settings.push_str(&endpoint("a-dead-one", &dead, ""));
    let mut others = Vec::new();
    for n in 0..19 {
        let studio = Studio::start().await?;
        settings.push_str(&endpoint(&format!("other{n:02}"), &studio, ""));
        others.push(studio);
    }
    let mut dispatcher = stage.patient_dispatcher(&settings).await?;
    stage.tell(&notices(NOTICES)).await?;
    while others.iter().any(|studio| studio.work().len() < NOTICES) {
        if !dispatcher.turn().await?.more() {
            assert!(dispatcher.next_ended().await);
        }
    }
    assert_eq!((dead.requests().len(), dead.at_once_max()), (8, 8), "its own slots, and no others");
    assert_eq!(stage.endpoint("a-dead-one").await?.waiting, 40);
    let done = "SELECT DISTINCT count(*)::text FROM delivery WHERE state = 'delivered' GROUP BY endpoint_id";
    while dispatcher.turn().await?.more() {}
    assert!(stage.texts(done).await?.iter().all(|count| count.parse::<usize>().unwrap() >= NOTICES - 2));
    Ok(())
}

/// A long backlog that is not due, and one that is due at an endpoint that is paused, are not read by a claim.
#[tokio::test]
async fn a_claim_reads_no_backlog() -> Result<()> {
    let (stage, studio) = (Stage::new().await?, Studio::start().await?);
    let settings =
        [endpoint("later", &studio, ""), endpoint("paused", &studio, ""), endpoint("quick", &studio, "")];
    let mut dispatcher = stage.dispatcher(&settings.concat()).await?;
    let connection = stage.database.connection().await?;
    let backlog = "
        WITH told AS (
          INSERT INTO outbox (webhook_id, source, kind, subject, payload, occurred_at, fanned_out_at, body)
          SELECT gen_random_uuid(), 'arena', 'match.held', 'm' || n, '{}', now(), now(), '{}'
            FROM generate_series(1, 20000) n RETURNING webhook_id, position)
        INSERT INTO delivery (endpoint_id, webhook_id, position, state, next_attempt_at, created_at)
        SELECT endpoint_id, webhook_id, position, 'waiting',
               to_timestamp(1790000000) + CASE name WHEN 'later' THEN interval '1 hour' ELSE interval '-1 hour' END,
               now()
          FROM told, endpoint WHERE name IN ('later', 'paused');
        UPDATE endpoint SET paused_until = to_timestamp(1790000000) + interval '1 hour' WHERE name = 'paused';
        ANALYZE";
    connection.batch_execute(backlog).await?;
    let read = async || {
        connection.batch_execute("SELECT pg_stat_force_next_flush()").await?;
        let sql = "SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0)::bigint FROM pg_stat_user_tables
                    WHERE relname = 'delivery'";
        anyhow::Ok(connection.query_one(sql, &[]).await?.get::<_, i64>(0))
    };
    stage.tell(&notices(20)).await?;
    let before = read().await?;
    dispatcher.settle().await?;
    assert_eq!(studio.work().len(), 20);
    drop(dispatcher);
    stage.store.close();
    let rows = read().await? - before;
    assert!(rows < 2_000, "{rows} rows were read for 20 deliveries beside a backlog of 40,000");
    Ok(())
}
