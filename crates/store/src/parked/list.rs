use matchpurse_domain::time::Timestamp;

use super::{COLUMNS, Parked, ParkedKind, read};
use crate::conditions::Conditions;
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

impl Store {
    /// The newest parked deliveries of a kind, before the one with this number if one is given; at most `limit`.
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
