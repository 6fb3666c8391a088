//! Grants, and what providers are told of them: in words, in a table, as JSON.

use matchpurse_store::grants::GrantLine;
use matchpurse_store::redemptions::{CallLine, CallState};
use serde_json::{Value, json};

use crate::moment::{clock, stamp};
use crate::money::{Coins, amount};
use crate::table::{Table, left, or_dash, state, words};

/// `id state what for whom, by what`, and below it why it is held.
pub(super) fn text(line: &GrantLine, coins: Coins<'_>) -> String {
    let GrantLine { id, contest, slot, grant, .. } = line;
    let reference = if slot.reward_ref.is_empty() { String::new() } else { format!(", {}", slot.reward_ref) };
    let held = held(line).map_or_else(String::new, |why| format!("\n    held for {why}"));
    format!(
        "{id} {:12} {} for player {}: {} {} of {}{reference}{held}",
        grant.state.as_str(),
        what(line, coins),
        slot.player_id,
        contest.kind.as_str(),
        contest.contest_id,
        contest.source
    )
}

/// Why a grant waits for a person.
fn held(line: &GrantLine) -> Option<String> {
    let detail = line.grant.detail.as_ref().map_or_else(String::new, |detail| format!(": {detail}"));
    Some(format!("{}{detail}", line.grant.reason?.as_str()))
}

/// `points 1.50 USD`, `studio drink-1`.
fn what(line: &GrantLine, coins: Coins<'_>) -> String {
    let grant = &line.grant;
    let amount = grant.amount.as_ref().map(|money| coins.money(money));
    [Some(grant.kind.as_str().to_owned()), amount, grant.value.clone()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ")
}

pub(super) fn table(lines: &[GrantLine], coins: Coins<'_>) -> Table {
    let mut table = Table::new([
        left("grant"),
        left("state"),
        words("what"),
        words("player"),
        words("for"),
        words("held because"),
    ]);
    for line in lines {
        let contest = &line.contest;
        table.row([
            line.id.into(),
            state(line.grant.state.as_str()),
            what(line, coins).into(),
            (&line.slot.player_id).into(),
            format!("{} {} of {}", contest.kind.as_str(), contest.contest_id, contest.source).into(),
            or_dash(held(line)),
        ]);
    }
    table
}

pub(super) fn json(line: &GrantLine) -> Value {
    let GrantLine { id, contest, slot, grant, cause, created_at, updated_at } = line;
    json!({
        "id": id,
        "source": contest.source.as_str(),
        "contest_kind": contest.kind.as_str(),
        "contest_id": contest.contest_id,
        "player_id": slot.player_id.as_str(),
        "reward_ref": slot.reward_ref,
        "state": grant.state.as_str(),
        "kind": grant.kind.as_str(),
        "amount": grant.amount.as_ref().map(|money| amount(money.minor_units, money.currency.as_str())),
        "value": grant.value,
        "held_for": grant.reason.map(|reason| reason.as_str()),
        "detail": grant.detail,
        "payload": grant.payload,
        "cause": cause.to_string(),
        "created_at": stamp(*created_at),
        "updated_at": stamp(*updated_at),
    })
}

pub(super) fn call_table(lines: &[CallLine]) -> Table {
    let mut table = Table::new([
        left("grant"),
        left("state"),
        words("player"),
        words("for"),
        left("given"),
        words("how it goes"),
    ]);
    for line in lines {
        table.row([
            or_dash(line.grant_id),
            state(line.state.as_str()),
            (&line.player_id).into(),
            format!("{} {} of {}", line.contest_kind.as_str(), line.contest_id, line.source).into(),
            clock(line.redeemed_at).into(),
            course(line).into(),
        ]);
    }
    table
}

/// Whether the provider knows that the player has got what was won.
pub(super) fn call(line: &CallLine) -> String {
    let (given, state) = (clock(line.redeemed_at), line.state.as_str());
    format!("given {given}, the provider's call {state}: {}", course(line))
}

fn course(line: &CallLine) -> String {
    let CallLine { state, attempts, next_attempt_at, last, last_status, last_detail, .. } = line;
    let why = match state {
        CallState::Held => "other rewards of the player are on their way, ",
        CallState::Withdrawn => "what was given has been taken back, ",
        _ => "",
    };
    let next = next_attempt_at.map_or_else(String::new, |at| format!(", next at {}", clock(at)));
    let last = last.map_or_else(String::new, |(outcome, at)| {
        let status = last_status.map_or_else(String::new, |status| format!(" {status}"));
        let words = if last_detail.is_empty() { String::new() } else { format!(", {last_detail:?}") };
        format!(", last {}{status} at {}{words}", outcome.as_str(), clock(at))
    });
    format!("{why}{}{next}{last}", crate::moment::attempts(*attempts))
}

pub(super) fn call_json(line: &CallLine) -> Value {
    json!({
        "source": line.source,
        "contest_kind": line.contest_kind.as_str(),
        "contest_id": line.contest_id,
        "player_id": line.player_id,
        "grant_id": line.grant_id,
        "state": line.state.as_str(),
        "redeemed_at": stamp(line.redeemed_at),
        "attempts": line.attempts,
        "next_attempt_at": line.next_attempt_at.map(stamp),
        "last": line.last.map(|(outcome, at)| json!({
            "outcome": outcome.as_str(),
            "at": stamp(at),
            "status": line.last_status,
            "detail": line.last_detail,
        })),
    })
}

#[cfg(test)]
mod tests {
    use matchpurse_domain::grants::{
        ContestKey, ContestKind, Grant, GrantKind, GrantState, ReviewReason, Slot,
    };
    use matchpurse_domain::ids::{EventId, SourceName};
    use matchpurse_domain::money::{CurrencyCode, Money};
    use matchpurse_domain::time::Timestamp;
    use matchpurse_store::dispatch::AttemptOutcome;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_grant_is_one_line_and_why_it_is_held_another() {
        let mut line = GrantLine {
            id: Uuid::nil(),
            contest: ContestKey {
                source: SourceName::parse("wall").unwrap(),
                kind: ContestKind::Postback,
                contest_id: "c1".to_owned(),
            },
            slot: Slot { player_id: "ann".into(), reward_ref: "c1".to_owned() },
            grant: Grant {
                kind: GrantKind::Points,
                state: GrantState::Granted,
                reason: None,
                detail: None,
                amount: Some(Money::new(150, CurrencyCode::parse("USD").unwrap())),
                value: None,
                payload: None,
            },
            cause: EventId::from_uuid(Uuid::nil()),
            created_at: Timestamp::default(),
            updated_at: Timestamp::default(),
        };
        let id = Uuid::nil();
        assert_eq!(
            text(&line, Coins(None)),
            format!("{id} granted      points 1.50 USD for player ann: postback c1 of wall, c1")
        );
        line.slot.reward_ref.clear();
        line.grant = Grant {
            kind: GrantKind::Studio,
            state: GrantState::NeedsReview,
            reason: Some(ReviewReason::PayloadRefused),
            detail: Some("\"sku\" is a required property".to_owned()),
            amount: None,
            value: Some("drink-1".to_owned()),
            ..line.grant
        };
        assert_eq!(
            text(&line, Coins(None)),
            format!(
                "{id} needs_review studio drink-1 for player ann: postback c1 of wall\n    \
                 held for payload_refused: \"sku\" is a required property"
            )
        );
    }

    #[test]
    fn a_call_tells_whether_the_provider_knows() {
        let mut line = CallLine {
            source: "lounge".to_owned(),
            contest_kind: ContestKind::Contest,
            contest_id: "c1".to_owned(),
            player_id: "ann".to_owned(),
            grant_id: Some(Uuid::nil()),
            state: CallState::Held,
            redeemed_at: Timestamp::default(),
            attempts: 0,
            next_attempt_at: None,
            last: None,
            last_status: None,
            last_detail: String::new(),
        };
        assert_eq!(
            call(&line),
            "given 1970-01-01 00:00:00, the provider's call held: other rewards of the player are on their way, \
             0 attempts"
        );
        line.state = CallState::Waiting;
        line.attempts = 2;
        line.next_attempt_at = Some(Timestamp::from_seconds(300));
        line.last = Some((AttemptOutcome::Refused, Timestamp::from_seconds(5)));
        line.last_status = Some(500);
        line.last_detail = "no".to_owned();
        assert_eq!(
            call(&line),
            "given 1970-01-01 00:00:00, the provider's call waiting: 2 attempts, next at 1970-01-01 00:05:00, last \
             refused 500 at 1970-01-01 00:00:05, \"no\""
        );
    }
}
