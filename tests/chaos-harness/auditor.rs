//! What must hold. It knows the log of what was answered with 2xx, the studio's log, the database, and what the
//! simulator says must come of what was taken; of the system itself it knows nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context as _, Result};
use uuid::Uuid;

use crate::rig::Rig;
use crate::stand_in::StandIn;
use crate::system::service::program;

/// Each must find nothing; it returns texts.
const NEVER: &[&str] = &[
    "SELECT format('parked by %s, %s: %s', queue, kind, reason) FROM parked
      WHERE kind <> 'unrecognized' OR reason = ''",
    "SELECT format('grant %s of %s is %s after %s', grant_id, source, state, reason) FROM reward_grant
      WHERE state IN ('granted', 'delivering', 'failed')",
    "SELECT format('grant %s is fulfilled by %s notices', g.grant_id, count(o.webhook_id))
       FROM reward_grant g LEFT JOIN outbox o ON o.kind = 'reward.granted' AND o.subject = g.grant_id::text
      WHERE g.state = 'fulfilled' GROUP BY g.grant_id HAVING count(o.webhook_id) <> 1",
    "SELECT format('notice %s of a grant that is %s', o.webhook_id, coalesce(g.state, 'not there'))
       FROM outbox o LEFT JOIN reward_grant g ON o.subject = g.grant_id::text
      WHERE o.kind = 'reward.granted' AND coalesce(g.state, '') NOT IN ('fulfilled', 'reversed')",
    // What was taken back before anybody can have heard of it need not be told.
    "SELECT format('notice %s has %s deliveries, %s of them ended well', webhook_id, count(d.delivery_id),
                   count(*) FILTER (WHERE d.state IN ('delivered', 'withdrawn')))
       FROM outbox LEFT JOIN delivery d USING (webhook_id) GROUP BY webhook_id
     HAVING count(d.delivery_id) <> 2 OR count(*) FILTER (WHERE d.state IN ('delivered', 'withdrawn')) <> 2",
    "SELECT format('the delivery of %s is withdrawn, and its grant is %s', o.webhook_id, coalesce(g.state, 'not there'))
       FROM delivery d JOIN outbox o USING (webhook_id) LEFT JOIN reward_grant g ON o.subject = g.grant_id::text
      WHERE d.state = 'withdrawn' AND g.state IS DISTINCT FROM 'reversed'",
    "SELECT format('endpoint %s is disabled: %s', name, disabled) FROM endpoint WHERE disabled IS NOT NULL",
    "SELECT format('the balances of %s in %s add up to %s', source, currency, sum(balance))
       FROM account GROUP BY source, currency HAVING sum(balance) <> 0",
    "SELECT format('an event that cannot be applied is still tried by %s: %s', worker, last_error) FROM attempts",
];

/// The deliveries that a log says were taken.
pub(crate) fn read_journal(path: &Path) -> Result<Vec<Uuid>> {
    let text = std::fs::read_to_string(path)?;
    let mut ids = Vec::new();
    for line in text.lines() {
        let entry: serde_json::Value = serde_json::from_str(line)?;
        if let Some(id) = entry["accepted"].as_str() {
            ids.push(Uuid::try_parse(id)?);
        }
    }
    Ok(ids)
}

/// What is still under way of these deliveries, and behind them.
pub(crate) async fn not_through(rig: &mut Rig, accepted: &[Uuid]) -> Result<Option<String>> {
    for stand_in in &mut rig.stand_ins {
        stand_in.read()?;
    }
    // What is asked in no time comes first: this is asked again and again.
    let under_way = [
        (
            "deliveries wait for the studio",
            "SELECT count(*) FROM delivery WHERE state IN ('waiting', 'behind')",
        ),
        ("destinations have spooled messages", "SELECT count(*) FROM spool_destination"),
        (
            "grants are on their way",
            "SELECT count(*) FROM reward_grant WHERE state IN ('granted', 'delivering')",
        ),
    ];
    for (what, sql) in under_way {
        let count = rig.system.count(sql).await?;
        if count > 0 {
            return Ok(Some(format!("{count} {what}")));
        }
    }
    if let Some(objection) = rig.system.not_applied(accepted).await? {
        return Ok(Some(objection));
    }
    // Of a delivery with several events that asks for one.
    let events: Vec<Uuid> = rig.events.keys().copied().collect();
    let sql =
        "SELECT count(*) FROM (SELECT unnest($1::uuid[]) EXCEPT SELECT event_id FROM archive) AS missing";
    let missing: i64 = rig.system.client.query_one(sql, &[&events]).await?.try_get(0)?;
    if missing > 0 {
        return Ok(Some(format!("{missing} events are not in the archive")));
    }
    rig.waiting()
}

/// Everything that is not as it must be, when everything is through.
pub(crate) async fn violations(rig: &mut Rig) -> Result<Vec<String>> {
    let mut wrong = seen(rig).await?;
    wrong.extend(audit(rig)?);
    Ok(wrong)
}

/// The part that is seen through the harness's own connection.
async fn seen(rig: &mut Rig) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for sql in NEVER {
        wrong.extend(rig.system.lines(sql).await?);
    }
    archive(rig, &mut wrong).await?;
    notices(rig, &mut wrong).await?;
    Ok(wrong)
}

/// What must be found when somebody does it, and the words that tell of it. An auditor who finds nothing proves nothing
/// before that.
const TAMPERING: &[(&str, &str)] = &[
    (
        "DELETE FROM archive WHERE delivery_id = (SELECT max(delivery_id::text)::uuid FROM archive)",
        "was taken and is lost",
    ),
    (
        // One of as many as any delivery has, and not the one whose id is the delivery's where there is another.
        "DELETE FROM archive WHERE event_id = (SELECT (array_agg(event_id ORDER BY event_id = delivery_id))[1]
           FROM archive GROUP BY delivery_id ORDER BY count(*) DESC, 1 LIMIT 1)",
        "was taken and is lost",
    ),
    ("UPDATE archive SET delivery_id = gen_random_uuid() WHERE seq = 1", "was never taken"),
    (
        "UPDATE archive SET delivery_id = (SELECT min(delivery_id::text)::uuid FROM archive)
          WHERE event_id = (SELECT max(event_id::text)::uuid FROM archive)",
        "was never taken",
    ),
    ("UPDATE archive SET event_id = gen_random_uuid() WHERE seq = 1", "was never taken"),
    ("UPDATE parked SET kind = 'technical'", "parked by"),
    ("UPDATE reward_grant SET state = 'delivering' WHERE state = 'fulfilled'", "is delivering after"),
    ("DELETE FROM outbox WHERE kind = 'reward.granted'", "is fulfilled by 0 notices"),
    ("DELETE FROM delivery", "has 0 deliveries"),
    ("UPDATE outbox SET body = body || ' '::bytea", "is not what came"),
    ("UPDATE outbox SET webhook_id = gen_random_uuid()", "came, and nobody knows it"),
    (
        "ALTER TABLE outbox ALTER position DROP IDENTITY; UPDATE outbox SET position = -position",
        "came before",
    ),
    ("UPDATE account SET balance = balance + 1 WHERE kind = 4", "add up to"),
];

/// Whether the auditor finds everything of a list that somebody might do; it is undone again.
pub(crate) async fn finds_what_is_wrong(rig: &mut Rig) -> Result<Vec<String>> {
    let mut missed = Vec::new();
    for (tampering, words) in TAMPERING {
        let begin = format!("BEGIN; SET LOCAL session_replication_role = replica; {tampering}");
        rig.system.client.batch_execute(&begin).await.with_context(|| (*tampering).to_owned())?;
        let found = seen(rig).await;
        rig.system.client.batch_execute("ROLLBACK").await?;
        if !found?.iter().any(|line| line.contains(words)) {
            missed.push(format!("the auditor does not see it: {tampering}"));
        }
    }
    let expected = rig.expected.clone();
    for effects in rig.expected.effects.values_mut() {
        effects.events += 1;
    }
    let found = audit(rig)?;
    rig.expected = expected;
    if !found.iter().any(|line| line.contains("distinct events")) {
        missed.push("the auditor does not miss an event that should be there".to_owned());
    }
    Ok(missed)
}

/// Every event of what was taken is in the archive once, and nothing else is. Which events those are say the providers'
/// scripts, whose numbers the tests of the providers hold against the adapters, and the rule by which ids are made.
async fn archive(rig: &Rig, wrong: &mut Vec<String>) -> Result<()> {
    let (events, deliveries): (Vec<Uuid>, Vec<Uuid>) = rig.events.iter().unzip();
    let sql =
        "WITH wanted AS (SELECT * FROM unnest($1::uuid[], $2::uuid[]) AS wanted (event_id, delivery_id)),
                    found AS (SELECT event_id, delivery_id FROM archive)
               SELECT true, * FROM (SELECT * FROM wanted EXCEPT ALL SELECT * FROM found) AS lost
               UNION ALL
               SELECT false, * FROM (SELECT * FROM found EXCEPT ALL SELECT * FROM wanted) AS unknown";
    for row in rig.system.client.query(sql, &[&events, &deliveries]).await? {
        let (lost, event, delivery): (bool, Uuid, Uuid) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        wrong.push(match rig.accepted.get(&delivery).filter(|_| lost) {
            Some(round) => {
                format!("event {event} of delivery {delivery} of round {round} was taken and is lost")
            }
            None => format!("event {event} of delivery {delivery} is in the archive and was never taken"),
        });
    }
    // What the scripts know nothing of was taken all the same.
    let scripted: BTreeSet<Uuid> = deliveries.into_iter().collect();
    let unknown = rig.accepted.keys().filter(|id| !scripted.contains(id));
    wrong.extend(unknown.map(|id| format!("delivery {id} was taken, and no event of it is known")));
    Ok(())
}

/// What the database says that the studio was told, and what the studio took, are the same.
async fn notices(rig: &mut Rig, wrong: &mut Vec<String>) -> Result<()> {
    let sql = "SELECT webhook_id, source, kind, subject, sha256(body),
                      ARRAY (SELECT name FROM delivery JOIN endpoint USING (endpoint_id)
                              WHERE delivery.webhook_id = outbox.webhook_id AND state = 'withdrawn')
                 FROM outbox ORDER BY position";
    let mut grants: BTreeMap<(String, String), Uuid> = BTreeMap::new();
    let rows = rig.system.client.query(sql, &[]).await?;
    for stand_in in &mut rig.stand_ins {
        // What the database calls delivered has come by now.
        stand_in.read()?;
        wrong.append(&mut stand_in.wrong);
        let mut lines: BTreeMap<(String, String), (usize, Uuid)> = BTreeMap::new();
        for row in &rows {
            let id: Uuid = row.try_get(0)?;
            let (source, kind, subject): (String, String, String) =
                (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            let digest: Option<Vec<u8>> = row.try_get(4)?;
            let withdrawn: Vec<String> = row.try_get(5)?;
            let Some(taken) = stand_in.taken.get(&id) else {
                if withdrawn.iter().any(|name| name == stand_in.name) {
                    continue;
                }
                wrong.push(format!("{}: notice {id} ({kind}) never came", stand_in.name));
                continue;
            };
            if digest.as_ref() != Some(&taken.digest) || taken.kind != kind {
                wrong.push(format!("{}: notice {id} is not what came", stand_in.name));
            }
            if kind == "reward.granted" {
                let first = *grants.entry((source.clone(), subject.clone())).or_insert(id);
                if first != id {
                    wrong.push(format!("grant {subject} was told under {first} and {id}"));
                }
            }
            if stand_in.ordered
                && let Some((place, before)) = lines.insert((source, subject), (taken.place, id))
                && place > taken.place
            {
                wrong.push(format!("{}: {id} came before {before}", stand_in.name));
            }
        }
        wrong.extend(strangers(stand_in, &rows)?);
    }
    Ok(())
}

/// What came, and is not in the outbox.
fn strangers(stand_in: &StandIn, rows: &[tokio_postgres::Row]) -> Result<Vec<String>> {
    let known = rows.iter().map(|row| row.try_get(0)).collect::<Result<BTreeSet<Uuid>, _>>()?;
    let unknown = stand_in.taken.keys().filter(|id| !known.contains(id));
    Ok(unknown.map(|id| format!("{}: {id} came, and nobody knows it", stand_in.name)).collect())
}

/// `matchpurse audit`, with what the simulator expects.
fn audit(rig: &Rig) -> Result<Vec<String>> {
    let path = rig.file("expected.json");
    std::fs::write(&path, serde_json::to_vec(&rig.expected)?)?;
    let audit = program("matchpurse")?
        .args(["audit", "--config"])
        .arg(rig.system.config())
        .arg("--expect")
        .arg(&path)
        .output()
        .context("the audit does not run")?;
    if audit.status.success() {
        return Ok(Vec::new());
    }
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let lines = told(&audit.stdout);
    let mut wrong: Vec<String> = lines.lines().map(|line| format!("audit: {line}")).collect();
    if wrong.is_empty() {
        wrong.push(format!("the audit failed: {}", told(&audit.stderr)));
    }
    Ok(wrong)
}
