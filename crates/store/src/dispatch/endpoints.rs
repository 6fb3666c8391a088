use matchpurse_domain::ids::SourceName;
use matchpurse_domain::time::Timestamp;
use matchpurse_domain::webhook::{EndpointName, EventPattern, TargetUrl};
use secrecy::SecretString;
use tokio_postgres::Row;

use super::removal::bring_back;
use super::{EndpointId, Health, TEST};
use crate::time::At;
use crate::words::{optional_word, word};
use crate::{Client, Error, Result};

/// How many deliveries leave their lines in one statement.
const FREED_AT_ONCE: i64 = 1_000;

/// What an endpoint wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointSpec {
    /// Its name, unique and never used again.
    pub name: EndpointName,
    /// Where notices go.
    pub url: TargetUrl,
    /// Which notices; none stands for all.
    pub events: Vec<EventPattern>,
    /// Of which sources; none stands for all.
    pub sources: Vec<SourceName>,
    /// Whether a subject's notices wait for each other.
    pub ordered: bool,
    /// Where to ask whether a notice has arrived, with `{webhook_id}` in it.
    pub status_url: Option<TargetUrl>,
}

/// An endpoint of the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// What it wants.
    pub spec: EndpointSpec,
    /// Whether it may be in a private network. Nothing but the configuration can say so.
    pub allow_private: bool,
}

/// Where an endpoint comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The configuration, which also has its secrets.
    Configuration,
    /// The API.
    Api,
}

/// Why nothing is sent to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disabled {
    /// It answered 410. What is for it waits.
    Gone,
    /// Somebody stopped it. What is for it waits.
    Operator,
    /// It left the configuration, or was removed. Nothing new is for it, and what it has not got is given up.
    Removed,
}

/// An endpoint as it is.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its number.
    pub id: EndpointId,
    /// What it wants.
    pub spec: EndpointSpec,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether it may be in a private network.
    pub allow_private: bool,
    /// Its secrets, the oldest first; none where the configuration has them.
    pub secrets: Vec<SecretString>,
    /// Why nothing is sent to it, and since when.
    pub disabled: Option<(Disabled, Timestamp)>,
    /// How it fares.
    pub health: Health,
}

/// A name of the configuration that an endpoint of the API has already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`endpoints.{0}`: an endpoint of this name was made through the API; take another name")]
pub struct NameTaken(pub String);

/// What [`bring`] changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Brought {
    /// Endpoints that are new or changed.
    pub changed: u64,
    /// Endpoints that left the configuration.
    pub removed: u64,
}

impl Origin {
    const ALL: [Self; 2] = [Self::Configuration, Self::Api];

    /// The word for it in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Api => "api",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|origin| origin.as_str() == text)
    }
}

impl Disabled {
    const ALL: [Self; 3] = [Self::Gone, Self::Operator, Self::Removed];

    /// The word for it in the database and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Operator => "operator",
            Self::Removed => "removed",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|disabled| disabled.as_str() == text)
    }
}

impl Endpoint {
    /// Whether it wants this notice. That it is tried with is its own, whatever else it wants.
    pub fn wants(&self, source: &str, kind: &str, subject: &str) -> bool {
        if kind == TEST {
            return subject == self.spec.name.as_str();
        }
        let EndpointSpec { events, sources, .. } = &self.spec;
        (events.is_empty() || events.iter().any(|pattern| pattern.matches(kind)))
            && (sources.is_empty() || sources.iter().any(|name| name.as_str() == source))
    }
}

impl EndpointSpec {
    pub(super) fn event_texts(&self) -> Vec<&str> {
        self.events.iter().map(EventPattern::as_str).collect()
    }

    pub(super) fn source_texts(&self) -> Vec<&str> {
        self.sources.iter().map(SourceName::as_str).collect()
    }
}

/// Makes the endpoints of the configuration be those: adds, changes, and disables those that left it. One that an
/// operator or an answer of 410 has stopped stays so, unless a new URL makes another server of it. What was given up
/// because an endpoint had left is for it again.
///
/// An endpoint that begins to want order gets it from the next notice on; one that wants it no more gets all at once.
///
/// # Errors
/// [`NameTaken`] inside, when the API has used a name first; then nothing is changed.
pub async fn bring(
    client: &mut Client,
    configured: &[Configured],
    now: Timestamp,
) -> Result<std::result::Result<Brought, NameTaken>> {
    let mut in_order: Vec<&Configured> = configured.iter().collect();
    in_order.sort_by(|one, other| one.spec.name.cmp(&other.spec.name));
    let names: Vec<&str> = in_order.iter().map(|endpoint| endpoint.spec.name.as_str()).collect();
    let tx = client.begin().await?;
    let taken = "SELECT name FROM endpoint WHERE origin = 'api' AND name = ANY ($1) ORDER BY 1 LIMIT 1";
    if let Some(row) = tx.query(taken, &[&names]).await?.first() {
        return Ok(Err(NameTaken(row.try_get(0)?)));
    }
    let sql = "INSERT INTO endpoint AS e (name, origin, url, events, sources, ordered, status_url, allow_private)
               VALUES ($1, 'configuration', $2, $3, $4, $5, $6, $7)
               ON CONFLICT (name) DO UPDATE
                  SET url = EXCLUDED.url, events = EXCLUDED.events, sources = EXCLUDED.sources,
                      ordered = EXCLUDED.ordered, status_url = EXCLUDED.status_url,
                      allow_private = EXCLUDED.allow_private,
                      disabled = CASE WHEN e.disabled = 'removed' OR e.disabled = 'gone' AND e.url <> EXCLUDED.url
                                      THEN NULL ELSE e.disabled END,
                      disabled_at = CASE WHEN e.disabled = 'removed' OR e.disabled = 'gone' AND e.url <> EXCLUDED.url
                                         THEN NULL ELSE e.disabled_at END,
                      failures = CASE WHEN e.url = EXCLUDED.url THEN e.failures ELSE 0 END,
                      openings = CASE WHEN e.url = EXCLUDED.url THEN e.openings ELSE 0 END,
                      width = CASE WHEN e.url = EXCLUDED.url THEN e.width END,
                      paused_until = CASE WHEN e.url = EXCLUDED.url THEN e.paused_until END
                WHERE (e.url, e.events, e.sources, e.ordered, e.status_url, e.allow_private) IS DISTINCT FROM
                      (EXCLUDED.url, EXCLUDED.events, EXCLUDED.sources, EXCLUDED.ordered, EXCLUDED.status_url,
                       EXCLUDED.allow_private) OR e.disabled = 'removed'";
    let mut brought = Brought::default();
    for Configured { spec, allow_private } in in_order {
        let (name, url) = (spec.name.as_str(), spec.url.expose());
        let status_url = spec.status_url.as_ref().map(TargetUrl::expose);
        let (events, sources) = (spec.event_texts(), spec.source_texts());
        let parameters: crate::client::Params<'_> =
            &[&name, &url, &events, &sources, &spec.ordered, &status_url, allow_private];
        brought.changed += tx.execute(sql, parameters).await?;
    }
    let left = "UPDATE endpoint SET disabled = 'removed', disabled_at = $2
                 WHERE origin = 'configuration' AND name <> ALL ($1) AND disabled IS DISTINCT FROM 'removed'";
    brought.removed = tx.execute(left, &[&names, &At(now)]).await?;
    tx.commit().await?;
    free_lines(client, now).await?;
    bring_back(client, now).await?;
    Ok(Ok(brought))
}

/// Makes due what is behind another one at endpoints that do not want order any more. From the moment that they do
/// not, nothing comes behind anything there, so this finds all.
pub(super) async fn free_lines(client: &Client, now: Timestamp) -> Result<()> {
    let sql = "UPDATE delivery SET state = 'waiting', next_attempt_at = $1
                WHERE delivery_id = ANY (ARRAY (
                  SELECT d.delivery_id FROM endpoint e JOIN delivery d USING (endpoint_id)
                   WHERE NOT e.ordered AND d.state = 'behind' ORDER BY d.delivery_id LIMIT $2))
                  AND state = 'behind'";
    while client.execute(sql, &[&At(now), &FREED_AT_ONCE]).await? > 0 {}
    Ok(())
}

const COLUMNS: &str = "e.endpoint_id, e.name, e.origin, e.url, e.events, e.sources, e.ordered, e.status_url, \
                       e.allow_private, e.disabled, e.disabled_at, e.failures, e.openings, e.width, e.paused_until, \
                       ARRAY (SELECT s.secret FROM endpoint_secret s WHERE s.endpoint_id = e.endpoint_id \
                       ORDER BY s.added_at, s.secret) AS secrets";

/// The endpoints that are not removed, with their secrets, for whoever sends.
///
/// # Errors
/// [`crate::Error`].
pub async fn endpoints(client: &Client) -> Result<Vec<Endpoint>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM endpoint e WHERE e.disabled IS DISTINCT FROM 'removed' ORDER BY e.endpoint_id"
    );
    client.query(&sql, &[]).await?.iter().map(read).collect()
}

/// As [`endpoints`], in a transaction. Those that want order are locked, in the order of their numbers: neither can a
/// delivery of theirs finish meanwhile, nor can they stop wanting it.
pub(super) async fn endpoints_in_tx(tx: &crate::Tx<'_>) -> Result<Vec<Endpoint>> {
    let lock = "SELECT FROM endpoint WHERE ordered ORDER BY endpoint_id FOR NO KEY UPDATE";
    tx.query(lock, &[]).await?;
    present_endpoints_in_tx(tx).await
}

/// The endpoints that are not removed at this moment; none is locked.
pub(super) async fn present_endpoints_in_tx(tx: &crate::Tx<'_>) -> Result<Vec<Endpoint>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM endpoint e WHERE e.disabled IS DISTINCT FROM 'removed' ORDER BY e.endpoint_id"
    );
    tx.query(&sql, &[]).await?.iter().map(read).collect()
}

/// When the next delivery of an endpoint that takes some is due, if one waits; it may be in the past. For tests that
/// move time, and for whoever wants to know how long to rest.
///
/// # Errors
/// [`crate::Error`].
pub async fn next_due(client: &Client) -> Result<Option<Timestamp>> {
    let sql = "SELECT min(greatest(d.next_attempt_at, e.paused_until)) FROM endpoint e
                CROSS JOIN LATERAL (
                  SELECT next_attempt_at FROM delivery
                   WHERE endpoint_id = e.endpoint_id AND state = 'waiting'
                   ORDER BY next_attempt_at LIMIT 1) d
                WHERE e.disabled IS NULL";
    let at: Option<At> = client.query_one(sql, &[]).await?.try_get(0)?;
    Ok(at.map(|at| at.0))
}

pub(super) fn read(row: &Row) -> Result<Endpoint> {
    let secrets: Vec<String> = row.try_get("secrets")?;
    let disabled = optional_word(row, "disabled", Disabled::parse)?;
    let disabled_at: Option<At> = row.try_get("disabled_at")?;
    Ok(Endpoint {
        id: EndpointId(row.try_get("endpoint_id")?),
        spec: read_spec(row)?,
        origin: word(row, "origin", Origin::parse)?,
        allow_private: row.try_get("allow_private")?,
        secrets: secrets.into_iter().map(SecretString::from).collect(),
        disabled: disabled.zip(disabled_at.map(|at| at.0)),
        health: read_health(row)?,
    })
}

pub(super) fn read_spec(row: &Row) -> Result<EndpointSpec> {
    fn stored<E: std::error::Error + Send + Sync + 'static>(what: &'static str) -> impl Fn(E) -> Error {
        move |error| Error::Stored { what, source: Box::new(error) }
    }
    let events: Vec<&str> = row.try_get("events")?;
    let sources: Vec<&str> = row.try_get("sources")?;
    let status_url: Option<&str> = row.try_get("status_url")?;
    let url = |text: &str| TargetUrl::parse(text).map_err(stored("endpoint's URL"));
    let pattern = |text: &str| EventPattern::parse(text).map_err(stored("endpoint's events"));
    let source = |text: &str| SourceName::parse(text).map_err(stored("endpoint's sources"));
    Ok(EndpointSpec {
        name: EndpointName::parse(row.try_get("name")?).map_err(stored("endpoint's name"))?,
        url: url(row.try_get("url")?)?,
        events: events.into_iter().map(pattern).collect::<Result<_>>()?,
        sources: sources.into_iter().map(source).collect::<Result<_>>()?,
        ordered: row.try_get("ordered")?,
        status_url: status_url.map(url).transpose()?,
    })
}

pub(super) fn read_health(row: &Row) -> Result<Health> {
    // The columns are never negative: nobody writes such a number.
    let count = |column: &str| Ok::<u32, Error>(u32::try_from(row.try_get::<_, i32>(column)?).unwrap_or(0));
    let width: Option<i32> = row.try_get("width")?;
    let paused_until: Option<At> = row.try_get("paused_until")?;
    Ok(Health {
        failures: count("failures")?,
        openings: count("openings")?,
        width: width.and_then(|width| u32::try_from(width).ok()),
        paused_until: paused_until.map(|at| at.0),
    })
}
