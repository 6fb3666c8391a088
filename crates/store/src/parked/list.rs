use matchpurse_domain::time::Timestamp;

use super::{COLUMNS, Parked, ParkedKind, read};
use crate::conditions::Conditions;
use crate::search::Search;
use crate::time::At;
use crate::{Result, Store};

/// Which parked deliveries are wanted; by default those that wait for somebody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParkedFilter {
    /// Those that somebody has replayed or discarded, instead of those that wait.
    pub resolved: bool,
    /// The queue on which they were given up.
    pub queue: Option<String>,
    /// Why they are parked.
    pub kind: Option<ParkedKind>,
    /// The source.
    pub source: Option<String>,
    /// The provider's name for what happened, or ours: the first word of the routing key.
    pub event_type: Option<String>,
    /// Parked at this time or later.
    pub since: Option<Timestamp>,
}

impl ParkedFilter {
    fn conditions(&self) -> Conditions {
        Conditions::new()
            .always(if self.resolved { "resolved_at IS NOT NULL" } else { "resolved_at IS NULL" })
            .and("queue = ?", self.queue.clone())
            .and("kind = ?", self.kind.map(ParkedKind::as_str))
            .and("source = ?", self.source.clone())
            .and("(event_type = ? OR split_part(routing_key, '.', 1) = ?)", self.event_type.clone())
            .and("parked_at >= ?", self.since.map(At))
    }
}

/// The place of a parked delivery in a list: its number, and when it was parked.
pub type ParkedPlace = (i64, Timestamp);

/// A page of parked deliveries.
#[derive(Debug, Clone, PartialEq)]
pub struct ParkedPage {
    /// At most as many as were asked for. There may be fewer, and none, though more follow.
    pub lines: Vec<Parked>,
    /// The place behind which the next page begins; none at the end.
    pub next: Option<ParkedPlace>,
}

/// No transaction lasts so long; what was parked at a time has no smaller number than what was parked so much earlier.
const DISORDER_S: i64 = 3600;

impl ParkedFilter {
    /// An index has those that wait, those of a source and those of a kind.
    fn search(&self, before: Option<i64>) -> Search {
        let found = Conditions::new().and("id < ?", before);
        let (source, kind) = (self.source.clone(), self.kind.map(ParkedKind::as_str));
        let search = |found| Search::new("parked", found, "id DESC");
        let search = if !self.resolved {
            search(found.always("resolved_at IS NULL"))
                .wanting("source = ?", source)
                .wanting("kind = ?", kind)
        } else if source.is_some() {
            search(found.and("source = ?", source))
                .always("resolved_at IS NOT NULL")
                .wanting("kind = ?", kind)
        } else {
            search(found.and("kind = ?", kind)).always("resolved_at IS NOT NULL")
        };
        search
            .wanting("queue = ?", self.queue.clone())
            .wanting("(event_type = ? OR split_part(routing_key, '.', 1) = ?)", self.event_type.clone())
            .wanting("parked_at >= ?", self.since.map(At))
    }
}

impl Store {
    /// The newest parked deliveries of a kind, before the one with this number if one is given; at most `limit`.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn parked_page(
        &self,
        filter: &ParkedFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<ParkedPage> {
        let (client, search) = (self.client().await?, filter.search(before));
        let rows = search.read(&client, COLUMNS, limit.saturating_add(1)).await?;
        let mut lines = rows.iter().map(read).collect::<Result<Vec<Parked>>>()?;
        let shown = usize::try_from(limit).unwrap_or(usize::MAX);
        if lines.len() > shown {
            lines.truncate(shown);
            let next = lines.last().map(|last| (last.id, last.parked_at));
            return Ok(ParkedPage { lines, next });
        }
        let Some(row) = search.looked_up_to(&client, "id, parked_at").await? else {
            return Ok(ParkedPage { lines, next: None });
        };
        let (id, At(at)) = (row.try_get(0)?, row.try_get(1)?);
        let since = filter.since.map(|since| since.plus_seconds(-DISORDER_S));
        let next = since.is_none_or(|since| at >= since).then_some((id, at));
        Ok(ParkedPage { lines, next })
    }

    /// The newest parked deliveries of a kind, before the one with this number if one is given; at most `limit`, and
    /// all of them where there are not more.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn parked_before(
        &self,
        filter: &ParkedFilter,
        before: Option<i64>,
        limit: u32,
    ) -> Result<Vec<Parked>> {
        self.parked_of(filter.conditions().and("id < ?", before), "DESC", limit).await
    }

    /// The oldest parked deliveries of a kind after the one with this number (0: from the first), at most `limit`.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn parked_after(&self, filter: &ParkedFilter, after: i64, limit: u32) -> Result<Vec<Parked>> {
        self.parked_of(filter.conditions().and("id > ?", Some(after)), "ASC", limit).await
    }

    async fn parked_of(&self, conditions: Conditions, order: &str, limit: u32) -> Result<Vec<Parked>> {
        let sql = format!(
            "SELECT {COLUMNS} FROM parked WHERE {} ORDER BY id {order} LIMIT {limit}",
            conditions.sql()
        );
        self.client().await?.query(&sql, &conditions.params()).await?.iter().map(read).collect()
    }

    /// How many parked deliveries of a kind there are; counted no further than `most`.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn parked_at_least(&self, filter: &ParkedFilter, most: u32) -> Result<u64> {
        let conditions = filter.conditions();
        let counted = format!("SELECT FROM parked WHERE {} LIMIT {most}", conditions.sql());
        let sql = format!("SELECT count(*) FROM ({counted}) AS counted");
        let row = self.client().await?.query_one(&sql, &conditions.params()).await?;
        Ok(u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0))
    }

    /// How many parked deliveries of a kind there are, and the number of the newest; 0 where there is none.
    ///
    /// # Errors
    /// [`crate::Error`].
    pub async fn parked_count(&self, filter: &ParkedFilter) -> Result<(u64, i64)> {
        let conditions = filter.conditions();
        let sql = format!("SELECT count(*), coalesce(max(id), 0) FROM parked WHERE {}", conditions.sql());
        let row = self.client().await?.query_one(&sql, &conditions.params()).await?;
        Ok((u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0), row.try_get(1)?))
    }
}
