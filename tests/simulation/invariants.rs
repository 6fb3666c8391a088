//! What must hold when nothing is left to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use matchpurse_bus::{BusOptions, Destination, EmbeddedTransport, FailureLog, Spool, Status, Transport};
use matchpurse_contracts::topology::Queue;
use matchpurse_domain::ids::{EventId, SourceName};
use matchpurse_operations::parked;
use matchpurse_operations::parked::{Author, Outlet};
use matchpurse_operations::replay::{self, Scope, WORKERS};
use matchpurse_store::audit::{Audit, CHECKS};
use matchpurse_store::events::EventFilter;
use matchpurse_store::parked::{ParkedFilter, ParkedKind};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::lab::Lab;
use crate::observe;
use crate::worker::plain;
use crate::world::{Site, World};

/// As many as a seed never has.
const ALL: u32 = 100_000;

/// What is broken, in words; none when everything is as promised. A thorough look also makes the standing checks of an
/// audit, and replays everything.
pub(crate) async fn broken(lab: &Lab, world: &World<'_>, thorough: bool) -> Result<Option<String>> {
    let site = &world.site;
    let mut broken = world.provider.objections.clone();
    let names: Vec<SourceName> =
        world.provider.plan.source_names().map(SourceName::parse).collect::<Result<_, _>>()?;
    // What is parked is not lost: somebody has it applied.
    operator(site, &names).await?;
    kept(lab, world, &names, &mut broken).await?;
    applied(lab, &names, &mut broken).await?;
    let observed = observe::effects(&lab.store, names.iter()).await?;
    let differences = world.provider.plan.expected().audit(&observed);
    broken.extend(differences.iter().map(|difference| format!("not as it must be: {difference}")));
    if thorough {
        standing(lab, &mut broken).await?;
    }
    if thorough && broken.is_empty() {
        // The archive keeps the copy of a delivery that it got first, and a worker may have applied another one. They are
        // equal but for the time of reception, and where nobody says when a match ended, the earliest of these counts.
        // So the first replay may bring that one forward, and the second changes nothing at all.
        replay_changes(site, &names, &["ended_at", "result_feed"], &mut broken).await?;
        replay_changes(site, &names, &[], &mut broken).await?;
    }
    let mut text = String::new();
    for line in &broken {
        writeln!(text, "  {line}")?;
    }
    Ok((!broken.is_empty()).then_some(text))
}

/// Replays everything and says what that has changed, but for the tables and columns of `may`.
async fn replay_changes(
    site: &Site<'_>,
    names: &[SourceName],
    may: &[&str],
    broken: &mut Vec<String>,
) -> Result<()> {
    let before = tables(site.lab, names, may).await?;
    replay_all(site, names).await?;
    let after = tables(site.lab, names, may).await?;
    let none = BTreeSet::new();
    for (name, rows) in &after {
        let known = before.get(name).unwrap_or(&none);
        broken.extend(rows.difference(known).map(|row| format!("a replay added to {name}: {row}")));
        broken.extend(known.difference(rows).map(|row| format!("a replay took from {name}: {row}")));
    }
    Ok(())
}

/// What was taken is in the archive, and nothing that nobody sent.
async fn kept(lab: &Lab, world: &World<'_>, names: &[SourceName], broken: &mut Vec<String>) -> Result<()> {
    let sources: Vec<&str> = names.iter().map(SourceName::as_str).collect();
    let sql = "SELECT DISTINCT delivery_id FROM archive WHERE source = ANY ($1)";
    let rows = lab.client.query(sql, &[&sources]).await?;
    let archived: BTreeSet<EventId> =
        rows.iter().map(|row| Ok(EventId::from_uuid(row.try_get::<_, Uuid>(0)?))).collect::<Result<_>>()?;
    let missing = world.provider.taken.difference(&archived);
    broken.extend(missing.map(|id| format!("{id} was taken and is not in the archive")));
    let sent: BTreeSet<EventId> = world.provider.plan.delivery_ids().collect();
    broken.extend(archived.difference(&sent).map(|id| format!("{id} is in the archive, and nobody sent it")));
    let all = sent.difference(&world.provider.taken);
    broken.extend(all.map(|id| format!("{id} was never taken")));
    Ok(())
}

/// Every worker that wants an archived event has applied it, if not by itself then when the operator wanted it.
async fn applied(lab: &Lab, names: &[SourceName], broken: &mut Vec<String>) -> Result<()> {
    let (mut payloads, mut workers) = (Vec::new(), Vec::new());
    for queue in Queue::ALL {
        for payload in queue.payloads() {
            payloads.push(payload.as_str());
            workers.push(queue.worker());
        }
    }
    let sources: Vec<&str> = names.iter().map(SourceName::as_str).collect();
    let sql = "SELECT w.worker, a.payload, a.event_id
                 FROM archive a JOIN unnest($1::text[], $2::text[]) AS w (payload, worker) USING (payload)
                WHERE a.source = ANY ($3)
                  AND NOT EXISTS (SELECT FROM inbox i WHERE i.worker = w.worker AND i.event_id = a.event_id)";
    for row in lab.client.query(sql, &[&payloads, &workers, &sources]).await? {
        let (worker, payload, id): (&str, &str, Uuid) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        broken.push(format!("{id} was taken and {worker} has not applied it ({payload})"));
    }
    Ok(())
}

/// Whoever operates this has what was given up applied after all.
async fn operator(site: &Site<'_>, names: &[SourceName]) -> Result<()> {
    let author = Author { actor: "operator".to_owned(), reason: "it works again".to_owned() };
    let mut some = false;
    for name in names {
        for kind in [ParkedKind::Technical, ParkedKind::DeadLetter] {
            let filter = ParkedFilter {
                source: Some(name.as_str().to_owned()),
                kind: Some(kind),
                ..ParkedFilter::default()
            };
            for parked in site.lab.store.parked_after(&filter, 0, ALL).await? {
                let reader = |_: &_| Err("nothing is read anew here".to_owned());
                parked::replay(&site.lab.store, parked.id, &author, &reader, Outlet::Workers).await?;
                some = true;
            }
        }
    }
    if some { work_off(site).await } else { Ok(()) }
}

/// Applies every archived event once more.
async fn replay_all(site: &Site<'_>, names: &[SourceName]) -> Result<()> {
    let author = Author { actor: "operator".to_owned(), reason: "everything once more".to_owned() };
    for name in names {
        let filter = EventFilter { source: Some(name.as_str().to_owned()), ..EventFilter::default() };
        let scope = Scope { filter, workers: WORKERS.to_vec() };
        let mut replaying = replay::begin(&site.lab.store, scope, &author).await?;
        while replaying.page(&site.lab.store, 1000).await?.read > 0 {}
        replaying.finish(&site.lab.store).await?;
    }
    work_off(site).await
}

/// Lets the workers take from the spool what is addressed to them, by the real way of replays.
async fn work_off(site: &Site<'_>) -> Result<()> {
    let spool: Arc<dyn Spool> = Arc::new(site.lab.store.spool(u64::MAX));
    let options = BusOptions { spool_poll: Duration::from_millis(1), ..BusOptions::default() };
    let transport = Transport::Embedded(EmbeddedTransport::beside_broker(Arc::clone(&spool), &options));
    let log: Arc<dyn FailureLog> = Arc::new(site.lab.store.clone());
    for queue in Queue::ALL {
        let shutdown = CancellationToken::new();
        let handler = plain(site, queue)?;
        let running = transport.run_worker(queue, handler, Arc::clone(&log), Status::new(), shutdown.clone());
        let emptied = async {
            while spool.backlog(Destination::Worker(queue)).await?.0 > 0 {
                tokio::task::yield_now().await;
            }
            shutdown.cancel();
            anyhow::Ok(())
        };
        let (emptied, ()) = tokio::join!(tokio::time::timeout(Duration::from_secs(60), emptied), running);
        ensure!(emptied.is_ok(), "{} does not come to an end with what is replayed", queue.worker());
        emptied??;
    }
    Ok(())
}

/// The standing checks of an audit.
async fn standing(lab: &Lab, broken: &mut Vec<String>) -> Result<()> {
    let mut client = lab.store.client().await?;
    let audit = Audit::begin(&mut client).await?;
    let mut found = |finding| broken.push(format!("the audit: {finding}"));
    for check in CHECKS {
        audit.check(check, &mut found).await?;
    }
    Ok(audit.chains(&mut |_| {}, &mut found).await?)
}

/// The rows of all tables that a replay must not change, without what only says when something was seen.
async fn tables(lab: &Lab, names: &[SourceName], may: &[&str]) -> Result<BTreeMap<String, BTreeSet<String>>> {
    let without = [&["inbox", "replay", "updated_at", "seen_at"], may].concat();
    let sources: Vec<&str> = names.iter().map(SourceName::as_str).collect();
    let sql = "SELECT t.table_name::text, EXISTS (SELECT FROM information_schema.columns c
                       WHERE c.table_schema = 'public' AND c.table_name = t.table_name AND c.column_name = 'source')
                 FROM information_schema.tables t
                WHERE t.table_schema = 'public' AND t.table_type = 'BASE TABLE'";
    let mut tables = BTreeMap::new();
    for row in lab.client.query(sql, &[]).await? {
        let (name, of_source): (String, bool) = (row.try_get(0)?, row.try_get(1)?);
        if without.contains(&name.as_str()) {
            continue;
        }
        // Where it says whose a row is, the rows of other seeds are left out.
        let condition = if of_source { "t.source = ANY ($2)" } else { "$2::text[] IS NOT NULL" };
        let sql = format!("SELECT (to_jsonb(t) - $1::text[])::text FROM {name} t WHERE {condition}");
        let rows = lab.client.query(&sql, &[&without, &sources]).await?;
        let rows = rows.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<_>>()?;
        tables.insert(name, rows);
    }
    Ok(tables)
}
