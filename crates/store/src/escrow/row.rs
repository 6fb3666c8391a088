//! Rows of `match` and `match_participant` as the domain knows them.

use matchpurse_domain::escrow::{MatchState, Seat, SeatState, Settlement};
use matchpurse_domain::event::{MatchFormat, MatchKind, MatchStatus, Outcome};
use matchpurse_domain::ids::{PlayerId, SourceName};
use matchpurse_domain::money::CurrencyCode;
use matchpurse_domain::source::{Custody, TiePolicy};
use tokio_postgres::Row;

use crate::{Error, Result};

/// A stored word that this version does not know.
fn unknown(what: &'static str) -> impl Fn() -> Error {
    move || Error::Stored { what, source: "a value that this version does not know".into() }
}

/// Reads a word through its parser.
fn word<T>(row: &Row, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<T> {
    parse(row.try_get(column)?).ok_or_else(unknown(column))
}

fn optional_word<T>(row: &Row, column: &'static str, parse: impl Fn(&str) -> Option<T>) -> Result<Option<T>> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| parse(text).ok_or_else(unknown(column))).transpose()
}

/// A match without its seats and deadline, which stand in tables of their own.
pub(super) fn match_state(row: &Row) -> Result<MatchState> {
    let digest: Option<&[u8]> = row.try_get("outcome_digest")?;
    let other_ends: &[u8] = row.try_get("other_ends")?;
    let fee_bps: i32 = row.try_get("fee_bps")?;
    let created_by: Option<String> = row.try_get("created_by")?;
    Ok(MatchState {
        source: word(row, "source", |text| SourceName::parse(text).ok())?,
        match_id: row.try_get("match_id")?,
        kind: word(row, "kind", MatchKind::parse)?,
        status: word(row, "status", MatchStatus::parse)?,
        provider_status: row.try_get("provider_status")?,
        format: optional_word(row, "format", MatchFormat::parse)?,
        game_id: row.try_get("game_id")?,
        created_by: created_by.map(PlayerId::new),
        custody: word(row, "custody", Custody::parse)?,
        currency: word(row, "currency", |text| CurrencyCode::parse(text).ok())?,
        fee_bps: u16::try_from(fee_bps).map_err(|_| unknown("fee_bps")())?,
        tie_policy: word(row, "tie_policy", TiePolicy::parse)?,
        buy_in: row.try_get("buy_in")?,
        seats: std::collections::BTreeMap::new(),
        pot: row.try_get("pot")?,
        paid: row.try_get("paid")?,
        refunded: row.try_get("refunded")?,
        fee: row.try_get("fee")?,
        settlement: optional_word(row, "settlement", Settlement::parse)?,
        outcome_digest: digest
            .map(|bytes| bytes.try_into().map_err(|_| unknown("outcome_digest")()))
            .transpose()?,
        deadline: None,
        arbitration_asked: false,
        claimed_end: row.try_get("claimed_end")?,
        generation: row.try_get("generation")?,
        other_ends: other_ends.as_chunks().0.to_vec(),
    })
}

pub(super) fn seat(row: &Row) -> Result<(PlayerId, Seat)> {
    let player: String = row.try_get("player_id")?;
    let seat = Seat {
        group_id: row.try_get("group_id")?,
        state: SeatState::from_code(row.try_get("state")?).ok_or_else(unknown("seat state"))?,
        hold: row.try_get("hold")?,
        payout: row.try_get("payout")?,
        refund: row.try_get("refund")?,
        outcome: optional_word(row, "outcome", Outcome::parse)?,
    };
    Ok((PlayerId::new(player), seat))
}
