//! Events in pages, the newest first.
//!
//! Of one source it is the order of its chain, in which an index has them however seldom it sends; everywhere else, and
//! between two times, the order in which they came. Types are in no index, because every index on the archive costs the
//! worker that writes it: for those a bounded number of events is looked at a page.

use matchpurse_contracts::wire;
use matchpurse_domain::ids::EventId;
use tokio_postgres::Row;

use super::{EventFilter, EventLine, Place, columns};
use crate::conditions::Conditions;
use crate::search::Search;
use crate::time::At;
use crate::{Client, Error, Result};

/// A page of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPage {
    /// At most as many as were asked for. There may be fewer, and none, though more follow.
    pub lines: Vec<EventLine>,
    /// The place behind which the next page begins; none at the end.
    pub next: Option<Place>,
}

const COLUMNS: &str = "seq, archived_at, event";
const BY_TIME: &str = "received_at DESC, event_id";
const BY_CHAIN: &str = "seq DESC";

/// The events that came last, those before a place if one is given; at most `limit`.
///
/// # Errors
/// [`crate::Error`].
pub async fn newest(
    client: &Client,
    filter: &EventFilter,
    before: Option<Place>,
    limit: u32,
) -> Result<EventPage> {
    let search = match of_chain(client, filter, before).await? {
        Some(search) => search,
        None => by_time(filter, before),
    };
    let search = search.wanting("(provider_type = ? OR payload = ?)", filter.event_type.clone());
    let rows = search.read(client, COLUMNS, limit.saturating_add(1)).await?;
    let mut lines = rows.iter().map(line).collect::<Result<Vec<EventLine>>>()?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    if lines.len() > shown {
        lines.truncate(shown);
        let next = lines.last().map(EventLine::place);
        return Ok(EventPage { lines, next });
    }
    let last = search.looked_up_to(client, "received_at, event_id").await?;
    Ok(EventPage { lines, next: last.as_ref().map(place).transpose()? })
}

/// A search of one source's chain from its end; none where its order is not wanted, or the place is not in it.
async fn of_chain(client: &Client, filter: &EventFilter, before: Option<Place>) -> Result<Option<Search>> {
    let EventFilter { source: Some(source), subject, from: None, to: None, .. } = filter else {
        return Ok(None);
    };
    let behind: Option<(i64, String)> = match before {
        None => None,
        Some((_, id)) => {
            let sql = "SELECT seq, day::text FROM archive_event WHERE event_id = $1 AND source = $2";
            let Some(row) = client.query_opt(sql, &[&id.uuid(), source]).await? else { return Ok(None) };
            Some((row.try_get(0)?, row.try_get(1)?))
        }
    };
    let found = Conditions::new()
        .and("source = ?", Some(source.clone()))
        .and("subject = ?", subject.clone())
        // Days behind it have only later ones.
        .and_both("seq < ?1 AND day <= ?2::text::date", behind);
    Ok(Some(Search::new("archive", found, BY_CHAIN)))
}

fn by_time(filter: &EventFilter, before: Option<Place>) -> Search {
    let EventFilter { source, subject, from, to, .. } = filter;
    let found = Conditions::new();
    // The index of subjects begins with the source, so it is asked for each that there is.
    let (found, source) = match (source, subject) {
        (None, Some(_)) => (found.always("source = ANY (ARRAY(SELECT source FROM archive_head))"), None),
        (Some(source), Some(_)) => (found.and("source = ?", Some(source.clone())), None),
        (source, None) => (found, source.clone()),
    };
    let place = "received_at <= ?1 AND (received_at < ?1 OR event_id > ?2)";
    let found = found
        .and("subject = ?", subject.clone())
        .and("received_at >= ?", from.map(At))
        // What came then was not archived before, but for clocks that differ.
        .and("day >= (?::timestamptz AT TIME ZONE 'UTC')::date - 1", from.map(At))
        .and("received_at < ?", to.map(At))
        .and_both(place, before.map(columns));
    Search::new("archive", found, BY_TIME).wanting("source = ?", source)
}

pub(super) fn line(row: &Row) -> Result<EventLine> {
    let event = wire::decode(row.try_get("event")?)
        .map_err(|error| Error::Stored { what: "event of the archive", source: error.into() })?;
    Ok(EventLine { seq: row.try_get("seq")?, archived_at: row.try_get::<_, At>("archived_at")?.0, event })
}

fn place(row: &Row) -> Result<Place> {
    Ok((row.try_get::<_, At>("received_at")?.0, EventId::from_uuid(row.try_get("event_id")?)))
}
