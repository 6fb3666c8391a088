//! What stands in the database, in the metrics of the admin port.

use anyhow::{Result, ensure};
use matchpurse_api::Application;
use matchpurse_settings::Settings;
use matchpurse_testkit::Database;
use tokio::time::{Duration, Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::harness::{SETTINGS, on};
use crate::http::Request;

const PATIENCE: Duration = Duration::from_secs(20);

/// What waits for a person, and notices that nobody has handed out. The gauges are the process's, so the sources are
/// this test's own.
const WAITING: &str = "
    INSERT INTO anomaly (key, kind, source, subject, detail)
    SELECT 'standing-' || n, 'standing_kind', 'standing', 'm1', '{}' FROM generate_series(1, 3) AS n;
    INSERT INTO parked (event_id, queue, kind, reason, body, routing_key)
    VALUES (gen_random_uuid(), 'matchpurse.match-escrow', 'technical', 'it broke', '', 'x.y.standing');
    INSERT INTO outbox (webhook_id, source, kind, subject, payload, occurred_at, created_at)
    VALUES (gen_random_uuid(), 'standing', 'match.settled', 'm1', '{}', now(), now() - interval '1 hour')";

#[tokio::test]
async fn what_stands_in_the_database_is_shown() -> Result<()> {
    let database = Database::create().await?;
    database.connection().await?.batch_execute(WAITING).await?;
    let application = Application::build(&Settings::parse_str(&on(&database.url(), SETTINGS))?).await?;
    let admin = application.admin_address().unwrap().to_string();
    let stop = CancellationToken::new();
    let running = tokio::spawn(application.run_until_stopped(stop.clone()));

    let begun = Instant::now();
    let text = loop {
        let text = Request::new("GET", "/metrics", b"").send(&admin).await?.body;
        // The last of a reading.
        if text.contains("\nmatchpurse_ledger_read_timestamp_seconds ") {
            break text;
        }
        ensure!(begun.elapsed() < PATIENCE, "nothing is shown:\n{text}");
        sleep(Duration::from_millis(20)).await;
    };
    for line in [
        r#"matchpurse_anomalies_open{source="standing",kind="standing_kind"} 3"#,
        r#"matchpurse_parked_open{kind="technical"} 1"#,
        r#"matchpurse_outbox_new_notices 1"#,
        r#"matchpurse_worker_oldest_event_seconds{worker="match-escrow"} 0"#,
        r#"matchpurse_database_connections_max{pool="matchpurse-api"} "#,
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    let oldest = text.lines().find_map(|line| line.strip_prefix("matchpurse_outbox_new_oldest_seconds "));
    let oldest: f64 = oldest.unwrap().parse()?;
    assert!((3600.0..3700.0).contains(&oldest), "{oldest}");
    stop.cancel();
    Ok(running.await??)
}
