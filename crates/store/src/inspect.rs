//! What the database says of itself and of what waits in it, looked at without changing anything: for a person who asks
//! what is wrong.

use matchpurse_contracts::topology::Queue;
use matchpurse_domain::time::Timestamp;

use crate::time::At;
use crate::{Client, Result};

/// How many of the newest events are looked at for what was not applied.
const LOOKED_AT: i64 = 10_000;

/// What a worker has not applied after this time, in seconds, is late.
const LATE_S: f64 = 30.0;

/// The server, and who we are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerReport {
    /// As the server says it: `15.8 (Debian 15.8-1)`.
    pub version: String,
    /// The same as a number: 150008.
    pub version_num: i32,
    /// The server's clock.
    pub now: Timestamp,
    /// Whether a commit is on disk when it is answered: `fsync`, `full_page_writes`, and `synchronous_commit`.
    pub fsync: bool,
    /// See there.
    pub full_page_writes: bool,
    /// `on`, `off`, `local`, `remote_write` or `remote_apply`.
    pub synchronous_commit: String,
    /// True on a stand-by, which takes no writes.
    pub in_recovery: bool,
    /// Connections to the server now, and how many there can be.
    pub connections: (i64, i64),
    /// How large the database is, in bytes.
    pub bytes: i64,
    /// Who we are.
    pub role: String,
    /// Whether the role owns the tables, so that no right is missing and none is withheld.
    pub owner: bool,
    /// The rights that this role lacks, as `INSERT on inbox`; nothing is known before the migrations have run.
    pub missing_rights: Vec<String>,
}

/// What waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Messages in the spool, and since when the oldest waits.
    pub spool: (i64, Option<Timestamp>),
    /// Parked deliveries that nobody has decided about, and since when the oldest waits.
    pub parked: (i64, Option<Timestamp>),
    /// Anomalies that nobody has decided about.
    pub anomalies: i64,
    /// By worker: events that it wants and has neither applied nor parked, although they were archived half a minute ago;
    /// how many, and when the oldest was archived. Of the newest ten thousand events of the last day: the inbox forgets.
    pub late: Vec<(Queue, i64, Option<Timestamp>)>,
}

/// What the services read and write, and what they need for that. The rest they have as well where these are there. Who is
/// a member of one service's role has what `rights.sql` gives that one, and lacks the rest with intent.
const NEEDED: &str = "('SELECT', 'archive'), ('INSERT', 'archive'), ('INSERT', 'archive_event'), ('SELECT', 'inbox'),
  ('INSERT', 'inbox'), ('INSERT', 'transfer'), ('UPDATE', 'account'), ('INSERT', 'match'), ('UPDATE', 'match'),
  ('INSERT', 'outbox'), ('UPDATE', 'outbox'), ('INSERT', 'spool'), ('DELETE', 'spool'), ('INSERT', 'parked'),
  ('UPDATE', 'parked'), ('INSERT', 'anomaly'), ('INSERT', 'reward_grant'), ('INSERT', 'offer'),
  ('INSERT', 'player_totals'), ('INSERT', 'operation')";

/// Asks the server.
///
/// # Errors
/// [`crate::Error`].
pub async fn server(client: &Client) -> Result<ServerReport> {
    let sql = "SELECT current_setting('server_version') AS version, current_setting('server_version_num')::int AS num,
                      clock_timestamp() AS now, current_setting('fsync') = 'on' AS fsync,
                      current_setting('full_page_writes') = 'on' AS full_page_writes,
                      current_setting('synchronous_commit') AS synchronous_commit,
                      pg_is_in_recovery() AS in_recovery,
                      (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
                      current_setting('max_connections')::bigint AS connections_max,
                      pg_database_size(current_database()) AS bytes, current_user::text AS role,
                      coalesce((SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_class c
                                 WHERE c.oid = to_regclass('transfer')), false) AS owner";
    let row = client.query_one(sql, &[]).await?;
    let sql = format!(
        "SELECT right_name || ' on ' || table_name FROM (VALUES {NEEDED}) needed (right_name, table_name)
          WHERE to_regclass(table_name) IS NOT NULL
            AND NOT has_table_privilege(to_regclass(table_name), right_name)
            AND NOT EXISTS (SELECT FROM pg_roles r
                             WHERE r.rolname IN ('matchpurse_ingress', 'matchpurse_match_escrow',
                                   'matchpurse_reward_fulfillment', 'matchpurse_player_stats', 'matchpurse_offer_removal',
                                   'matchpurse_event_archive', 'matchpurse_dispatcher', 'matchpurse_api',
                                   'matchpurse_operator') AND pg_has_role(r.oid, 'USAGE'))
          ORDER BY 1"
    );
    let missing = client.query(&sql, &[]).await?;
    Ok(ServerReport {
        version: row.try_get("version")?,
        version_num: row.try_get("num")?,
        now: row.try_get::<_, At>("now")?.0,
        fsync: row.try_get("fsync")?,
        full_page_writes: row.try_get("full_page_writes")?,
        synchronous_commit: row.try_get("synchronous_commit")?,
        in_recovery: row.try_get("in_recovery")?,
        connections: (row.try_get("connections")?, row.try_get("connections_max")?),
        bytes: row.try_get("bytes")?,
        role: row.try_get("role")?,
        owner: row.try_get("owner")?,
        missing_rights: missing.iter().map(|row| Ok(row.try_get(0)?)).collect::<Result<_>>()?,
    })
}

/// Counts what waits.
///
/// # Errors
/// [`crate::Error`].
pub async fn waiting(client: &Client) -> Result<Waiting> {
    let sql =
        "SELECT (SELECT count(*) FROM spool) AS spool, (SELECT min(appended_at) FROM spool) AS spool_since,
                      (SELECT count(*) FROM parked WHERE resolved_at IS NULL) AS parked,
                      (SELECT min(parked_at) FROM parked WHERE resolved_at IS NULL) AS parked_since,
                      (SELECT count(*) FROM anomaly WHERE resolved_at IS NULL) AS anomalies";
    let row = client.query_one(sql, &[]).await?;
    let since =
        |name: &str| -> Result<Option<Timestamp>> { Ok(row.try_get::<_, Option<At>>(name)?.map(|at| at.0)) };
    let mut late = Vec::new();
    for queue in Queue::ALL {
        late.push(late_of(client, queue).await?);
    }
    Ok(Waiting {
        spool: (row.try_get("spool")?, since("spool_since")?),
        parked: (row.try_get("parked")?, since("parked_since")?),
        anomalies: row.try_get("anomalies")?,
        late,
    })
}

async fn late_of(client: &Client, queue: Queue) -> Result<(Queue, i64, Option<Timestamp>)> {
    if queue == Queue::EventArchive {
        // What it has not applied is not in the archive, where it would have to be looked for.
        return Ok((queue, 0, None));
    }
    let sql = "SELECT count(*) AS late, min(a.archived_at) AS since
                 FROM (SELECT event_id, payload, archived_at FROM archive ORDER BY received_at DESC LIMIT $5) a
                WHERE a.payload = ANY ($1) AND a.archived_at < now() - make_interval(secs => $4)
                  AND a.archived_at > now() - interval '1 day'
                  AND NOT EXISTS (SELECT FROM inbox i WHERE i.worker = $2 AND i.event_id = a.event_id)
                  AND NOT EXISTS (SELECT FROM parked p WHERE p.event_id = a.event_id AND p.queue = $3)";
    let payloads: Vec<&str> = queue.payloads().iter().map(|name| name.as_str()).collect();
    let (worker, name) = (queue.worker(), queue.name());
    let row = client.query_one(sql, &[&payloads, &worker, &name, &LATE_S, &LOOKED_AT]).await?;
    Ok((queue, row.try_get("late")?, row.try_get::<_, Option<At>>("since")?.map(|at| at.0)))
}
