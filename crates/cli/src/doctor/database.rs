//! The database: reachable, up to date, durable, with the rights that services need; the clock; and what waits.

use matchpurse_domain::time::Timestamp;
use matchpurse_settings::Settings;
use matchpurse_store::audit::{Audit, QUICK};
use matchpurse_store::dispatch::{self, EndpointFilter};
use matchpurse_store::events::{EventFilter, newest};
use matchpurse_store::inspect::{self, ServerReport, Waiting};
use matchpurse_store::{Client, Migrations, Store, chain, now, survey};
use matchpurse_wiring::store_options;

use super::report::{Area, Report};
use crate::moment::clock;

/// The oldest PostgreSQL that this is tested with.
const VERSION_MIN: i32 = 150_000;

/// How far apart the two clocks may be, in microseconds: from when it is said, and from when it is a failure. Tokens
/// that providers sign hold for minutes.
const CLOCK_WARNING_US: i64 = 2_000_000;
const CLOCK_FAILED_US: i64 = 30_000_000;

/// Looks at the database; returns it where it can be used.
pub(super) async fn look(settings: &Settings, report: &mut Report) -> Option<Store> {
    let url = settings.database.url.redacted();
    let store = match Store::connect(&store_options(settings, "matchpurse-doctor")).await {
        Ok(store) => store,
        Err(error) => {
            let advice = "is PostgreSQL running, does `database.url` name it, and may this machine connect?";
            report.away(Area::Database, "connection", format!("{url}: {}", chain(&error)), advice);
            return None;
        }
    };
    report.ok(Area::Database, "connection", url);
    let before = now();
    let client = match store.client().await {
        Ok(client) => client,
        Err(error) => {
            report.away(Area::Database, "connection", chain(&error), "look at the server's log");
            return None;
        }
    };
    match inspect::server(&client).await {
        Ok(server) => {
            clock_of(before, now(), server.now, report);
            of_server(&server, report);
        }
        Err(error) => {
            report.failed(Area::Database, "server", chain(&error), "look at the server's log");
        }
    }
    if !migrated(settings, report).await {
        return None;
    }
    if let Err(error) = contents(&client, report).await {
        let advice = "run `matchpurse migrate`, and see whether the role may read all tables";
        report.failed(Area::Database, "tables", chain(&error), advice);
    }
    drop(client);
    quick_checks(&store, report).await;
    Some(store)
}

/// The two clocks: that of the database is asked between two looks at ours.
fn clock_of(before: Timestamp, after: Timestamp, theirs: Timestamp, report: &mut Report) {
    let middle = before.micros() / 2 + after.micros() / 2;
    let apart = (theirs.micros() - middle).abs();
    let detail = format!("{}.{:03} s from the database's", apart / 1_000_000, apart / 1_000 % 1_000);
    let advice = "have both machines keep time by NTP: signed tokens, deadlines and seasons go by the clock";
    if apart >= CLOCK_FAILED_US {
        report.failed(Area::Database, "clock", detail, advice);
    } else if apart >= CLOCK_WARNING_US {
        report.warning(Area::Database, "clock", detail, advice);
    } else {
        report.ok(Area::Database, "clock", detail);
    }
}

fn of_server(server: &ServerReport, report: &mut Report) {
    let area = Area::Database;
    let version = format!("PostgreSQL {}", server.version);
    if server.version_num < VERSION_MIN {
        report.warning(area, "version", version, "this is tested with PostgreSQL 15 and later");
    } else {
        report.ok(area, "version", version);
    }
    if server.in_recovery {
        let advice = "let `database.url` name the primary: a stand-by takes no writes";
        report.failed(area, "primary", "this server is a stand-by", advice);
    }
    let durable = server.fsync && server.full_page_writes && server.synchronous_commit != "off";
    let detail = format!(
        "fsync {}, full_page_writes {}, synchronous_commit {}",
        on(server.fsync),
        on(server.full_page_writes),
        server.synchronous_commit
    );
    if durable {
        report.ok(area, "durability", detail);
    } else {
        let advice = "turn them on: a 2xx promises that an event is on disk, and money was moved by it";
        report.failed(area, "durability", detail, advice);
    }
    let (used, most) = server.connections;
    let detail = format!("{used} of {most} in use, by all databases of the server");
    if used.saturating_mul(10) >= most.saturating_mul(9) {
        let advice = "raise max_connections, or lower `database.pool_size`: services wait for each other";
        report.warning(area, "connections", detail, advice);
    } else {
        report.ok(area, "connections", detail);
    }
    report.ok(area, "size", format!("{} MB", server.bytes >> 20));
    let role = format!("role {}", server.role);
    match (&server.missing_rights[..], server.owner) {
        ([], true) => report.ok(area, "rights", format!("{role}, which owns the tables")),
        ([], false) => report.ok(area, "rights", format!("{role} has what services need")),
        (missing, _) => {
            let advice = "run `matchpurse migrate` as the owner while the role `matchpurse_app` is there, and let the \
                          services log in as a member of it";
            report.failed(area, "rights", format!("{role} lacks {}", missing.join(", ")), advice);
        }
    }
}

const fn on(value: bool) -> &'static str {
    if value { "on" } else { "off" }
}

/// Whether the schema is that of this program.
async fn migrated(settings: &Settings, report: &mut Report) -> bool {
    let url = settings.database.url.expose().to_owned().into();
    match Migrations::pending(&url).await {
        Ok(pending) if pending.is_empty() => {
            report.ok(Area::Database, "migrations", "the schema is up to date");
            true
        }
        Ok(pending) => {
            let all = pending.join(", ");
            let detail = format!("{} not applied: {all}", pending.len());
            report.failed(
                Area::Database,
                "migrations",
                detail,
                "run `matchpurse migrate` as the tables' owner",
            );
            false
        }
        Err(error) => {
            report.failed(Area::Database, "migrations", chain(&error), "look at the server's log");
            false
        }
    }
}

/// What is in the tables, and waits there.
async fn contents(client: &Client, report: &mut Report) -> matchpurse_store::Result<()> {
    let area = Area::Database;
    let Waiting { spool, parked, anomalies, late } = inspect::waiting(client).await?;
    let since =
        |at: Option<Timestamp>| at.map_or_else(String::new, |at| format!(", the oldest since {}", clock(at)));
    let old = |at: Option<Timestamp>| at.is_some_and(|at| now().micros() - at.micros() > 60_000_000);
    let detail = format!("{} events{}", spool.0, since(spool.1));
    if old(spool.1) {
        let advice = "is the broker there, and does the ingress's relay run? Where the database carries the events: do \
                      the workers?";
        report.warning(area, "spool", detail, advice);
    } else {
        report.ok(area, "spool", detail);
    }
    for (queue, count, at) in late.into_iter().filter(|(_, count, _)| *count > 0) {
        let detail = format!("{count} archived events are not applied{}", since(at));
        let advice = format!(
            "is {} running, and what does its log say? `matchpurse explain ID` shows what each worker did with an event",
            queue.worker()
        );
        report.warning(area, queue.worker(), detail, advice);
    }
    if parked.0 > 0 {
        let detail = format!("{} wait for a decision{}", parked.0, since(parked.1));
        report.warning(area, "parked deliveries", detail, "see `matchpurse parked list`");
    } else {
        report.ok(area, "parked deliveries", "none");
    }
    if anomalies > 0 {
        let detail = format!("{anomalies} wait for a decision");
        report.warning(area, "anomalies", detail, "see `matchpurse anomalies list`");
    } else {
        report.ok(area, "anomalies", "none");
    }
    let last = newest(client, &EventFilter::default(), None, 1).await?.lines;
    if let Some(last) =
        last.first().filter(|last| last.event.received_at.micros() > now().micros() + 300_000_000)
    {
        let detail = format!("the newest event came at {}, which is to come", clock(last.event.received_at));
        report.failed(
            area,
            "clock",
            detail,
            "a clock has been set back, or the ingress's is ahead: keep time by NTP",
        );
    }
    endpoints(client, report).await
}

async fn endpoints(client: &Client, report: &mut Report) -> matchpurse_store::Result<()> {
    let lines = dispatch::page_of_endpoints(client, &EndpointFilter::default(), 1_000).await?;
    if lines.is_empty() {
        report.ok(Area::Services, "endpoints", "none: nobody is told what happens");
    }
    for line in lines {
        let (name, health) = (line.endpoint.spec.name.to_string(), &line.endpoint.health);
        let detail = format!(
            "{}: {} wait, {} given up, {} failures in a row",
            line.endpoint.spec.url, line.waiting, line.given_up, health.failures
        );
        let what = format!("endpoint {name}");
        if line.endpoint.disabled.is_some() {
            let advice =
                format!("`matchpurse endpoints show {name}` says why; `endpoints enable` starts it again");
            report.warning(Area::Services, what, format!("disabled; {detail}"), advice);
        } else if health.failures > 0 || line.given_up > 0 {
            let advice = format!(
                "see `matchpurse deliveries list --endpoint {name}`; `matchpurse verify-endpoint` tries it"
            );
            report.warning(Area::Services, what, detail, advice);
        } else {
            report.ok(Area::Services, what, detail);
        }
    }
    Ok(())
}

/// The standing checks that take no time however much there is.
async fn quick_checks(store: &Store, report: &mut Report) {
    let mut found = Vec::new();
    let checked = async {
        let mut client = store.client().await?;
        let audit = Audit::begin(&mut client).await?;
        for check in QUICK {
            audit.check(check, &mut |finding| found.push(finding.to_string())).await?;
        }
        drop(audit);
        let client = store.client().await?;
        survey::trial_balance(&client).await
    };
    match checked.await {
        Ok(balance) => {
            let off = balance.into_iter().filter(|(_, minor)| *minor != 0);
            found.extend(off.map(|(code, minor)| format!("the trial balance of {code} is {minor}, not 0")));
        }
        Err(error) => {
            let advice = "run `matchpurse audit`";
            return report.failed(Area::Database, "quick audit", chain(&error), advice);
        }
    }
    if found.is_empty() {
        report.ok(Area::Database, "quick audit", "the guards are in force, and the books balance");
    } else {
        let advice = "nobody but an owner can do this: find out who, and run `matchpurse audit`";
        report.failed(Area::Database, "quick audit", found.join("; "), advice);
    }
}
