//! Matches in pages, the newest first.
//!
//! A page costs the same however many matches there are: an index finds those of a source, a time or a player, and for
//! what no index knows (the status changes too often to be in one) at most [`LOOKED_AT_MAX`] matches are looked at a
//! page. Such a page may be short, even empty, though more follow; its `next` says so.

use matchpurse_domain::event::{MatchKind, MatchStatus};
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::time::Timestamp;
use tokio_postgres::Row;

use crate::conditions::Conditions;
use crate::time::At;
use crate::words::word;
use crate::{Client, Result};

/// The most matches that are looked at for one page.
pub const LOOKED_AT_MAX: u32 = 10_000;

/// Which matches to list; what is none does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MatchFilter {
    /// Of this source, and of one player of it.
    pub whose: Option<(SourceName, Option<PlayerId>)>,
    /// Of this kind.
    pub kind: Option<MatchKind>,
    /// With this status now.
    pub status: Option<MatchStatus>,
    /// First heard of at this time or later.
    pub since: Option<Timestamp>,
    /// First heard of before this time.
    pub until: Option<Timestamp>,
}

/// The place of a match in a list: when it was first heard of, and its number.
pub type MatchPlace = (Timestamp, i64);

/// A match in a list. Amounts are minor units of its currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchLine {
    /// Its number.
    pub match_no: i64,
    /// Its source.
    pub source: SourceName,
    /// Its kind.
    pub kind: MatchKind,
    /// The provider's id.
    pub match_id: String,
    /// Where it stands.
    pub status: MatchStatus,
    /// The provider's word for that.
    pub provider_status: String,
    /// `payout`, `tie` or `refund`; none while it has not ended.
    pub settlement: Option<String>,
    /// How often a person set the end anew.
    pub generation: i16,
    /// Its currency's code.
    pub currency: String,
    /// What each player stakes, where money is staked.
    pub buy_in: Option<i64>,
    /// All that was held.
    pub pot: i64,
    /// What winners got.
    pub paid: i64,
    /// What went back.
    pub refunded: i64,
    /// What was kept.
    pub fee: i64,
    /// How many have joined.
    pub players: i64,
    /// When it was first heard of.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// When the last end was settled.
    pub settled_at: Option<Timestamp>,
}

/// A page of matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchPage {
    /// At most as many as were asked for.
    pub lines: Vec<MatchLine>,
    /// The place behind which the next page begins; none at the end.
    pub next: Option<MatchPlace>,
}

/// The matches behind a place, at most `limit`.
///
/// # Errors
/// [`crate::Error`].
pub async fn list_matches(
    client: &Client,
    filter: &MatchFilter,
    before: Option<MatchPlace>,
    limit: u32,
) -> Result<MatchPage> {
    let search = Search::new(filter, before);
    let mut lines = search.read(client, limit.saturating_add(1)).await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    if lines.len() > shown {
        lines.truncate(shown);
        let next = lines.last().map(MatchLine::place);
        return Ok(MatchPage { lines, next });
    }
    let next = if search.passes_over { search.looked_up_to(client).await? } else { None };
    Ok(MatchPage { lines, next })
}

impl MatchLine {
    /// Its place in the list.
    pub const fn place(&self) -> MatchPlace {
        (self.created_at, self.match_no)
    }
}

/// Two steps of one search: the matches that an index finds, and of those the ones that are wanted.
struct Search {
    /// Those that are looked at, as `m`; `?` stands for how many of them.
    looked_at: String,
    /// The order of both steps.
    order: &'static str,
    /// What `m` must be besides.
    wanted: Conditions,
    /// The parameters of the first step.
    first: usize,
    /// Whether some that are looked at may not be wanted.
    passes_over: bool,
}

impl Search {
    fn new(filter: &MatchFilter, before: Option<MatchPlace>) -> Self {
        let MatchFilter { whose, kind, status, since, until } = filter;
        let (kind, status) = (kind.map(MatchKind::as_str), status.map(MatchStatus::as_str));
        let (since, until) = (since.map(At), until.map(At));
        let of_state = kind.is_some() || status.is_some();
        let player = whose.as_ref().and_then(|(source, player)| Some(player.as_ref()?.key(source)));
        let found = if player.is_some() {
            Conditions::new()
                .and("player_key = ?", player)
                .and("match_no < ?", before.map(|(_, match_no)| match_no))
        } else {
            Conditions::new()
                .and("source = ?", whose.as_ref().map(|(source, _)| source.as_str().to_owned()))
                .and("created_at >= ?", since)
                .and("created_at < ?", until)
                .and_both(
                    "(created_at, match_no) < (?1, ?2)",
                    before.map(|(at, match_no)| (At(at), match_no)),
                )
        };
        let first = found.params().len();
        let (found, wanted) = found.and_then();
        let wanted = wanted.and("m.kind = ?", kind).and("m.status = ?", status);
        if player.is_none() {
            let looked_at =
                format!("(SELECT * FROM match WHERE {found} ORDER BY created_at DESC, match_no DESC ?) m");
            let order = "m.created_at DESC, m.match_no DESC";
            return Self { looked_at, order, wanted, first, passes_over: of_state };
        }
        // A player's own index is in the order of the matches' numbers, which is that of the times but for matches of
        // the same moment.
        let looked_at = format!(
            "(SELECT match_no FROM match_participant WHERE {found} ORDER BY match_no DESC ?) p
             JOIN match m USING (match_no)"
        );
        let wanted = wanted.and("m.created_at >= ?", since).and("m.created_at < ?", until);
        let passes_over = of_state || since.is_some() || until.is_some();
        Self { looked_at, order: "m.match_no DESC", wanted, first, passes_over }
    }

    async fn read(&self, client: &Client, limit: u32) -> Result<Vec<MatchLine>> {
        let looked_at = self.looked_at.replace('?', &format!("LIMIT {LOOKED_AT_MAX}"));
        let (wanted, order) = (self.wanted.sql(), self.order);
        let sql = format!(
            "SELECT m.*, (SELECT count(*) FROM match_participant s WHERE s.match_no = m.match_no) AS players
               FROM {looked_at} WHERE {wanted} ORDER BY {order} LIMIT {limit}"
        );
        client.query(&sql, &self.wanted.params()).await?.iter().map(line).collect()
    }

    /// The place of the last match that was looked at, where there may be more behind it.
    async fn looked_up_to(&self, client: &Client) -> Result<Option<MatchPlace>> {
        let last = LOOKED_AT_MAX.saturating_sub(1);
        let looked_at = self.looked_at.replace('?', &format!("OFFSET {last} LIMIT 1"));
        let sql = format!("SELECT m.created_at, m.match_no FROM {looked_at}");
        let mut parameters = self.wanted.params();
        parameters.truncate(self.first);
        let Some(row) = client.query_opt(&sql, &parameters).await? else { return Ok(None) };
        let At(at) = row.try_get(0)?;
        Ok(Some((at, row.try_get(1)?)))
    }
}

fn line(row: &Row) -> Result<MatchLine> {
    let (At(created_at), At(updated_at)) = (row.try_get("created_at")?, row.try_get("updated_at")?);
    Ok(MatchLine {
        match_no: row.try_get("match_no")?,
        source: word(row, "source", |text| SourceName::parse(text).ok())?,
        kind: word(row, "kind", MatchKind::parse)?,
        match_id: row.try_get("match_id")?,
        status: word(row, "status", MatchStatus::parse)?,
        provider_status: row.try_get("provider_status")?,
        settlement: row.try_get("settlement")?,
        generation: row.try_get("generation")?,
        currency: row.try_get("currency")?,
        buy_in: row.try_get("buy_in")?,
        pot: row.try_get("pot")?,
        paid: row.try_get("paid")?,
        refunded: row.try_get("refunded")?,
        fee: row.try_get("fee")?,
        players: row.try_get("players")?,
        created_at,
        updated_at,
        settled_at: row.try_get::<_, Option<At>>("settled_at")?.map(|At(at)| at),
    })
}
