use matchpurse_domain::escrow::{MatchState, Seat};
use matchpurse_domain::ids::{PlayerId, SourceName};
use uuid::Uuid;

use super::ledger::{Posting, close_escrow, post};
use super::{MatchChange, MatchKey};
use crate::boards::{FeedKind, feed_in_tx};
use crate::later::{Owned, own};
use crate::time::At;
use crate::{Result, Tx, players};

/// Writes what a batch did: each match once. The matches must be locked by [`super::load_in_tx`]. Most of it travels with
/// what comes next in the transaction.
///
/// # Errors
/// [`crate::Error`]; a constraint that refuses is a defect of ours, and nothing is written.
pub async fn save_in_tx(tx: &Tx<'_>, changes: &[MatchChange]) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let named = |change: &MatchChange| {
        let source = change.state.source.clone();
        changed_seats(change).map(move |(player, _)| (source.clone(), player.clone())).collect::<Vec<_>>()
    };
    let everybody: Vec<(SourceName, PlayerId)> = changes.iter().flat_map(named).collect();
    players::remember_in_tx(tx, &everybody).await?;
    // Transfers first: a settled match's checks look at sums that the ledger must agree with.
    let postings: Vec<Posting> = changes.iter().flat_map(postings_of).collect();
    post(tx, &postings).await?;
    matches(tx, changes);
    seats(tx, changes);
    deadlines(tx, changes);
    feed_in_tx(
        tx,
        FeedKind::Match,
        &changes.iter().filter(|c| has_new_end(c)).map(key_of).collect::<Vec<_>>(),
    )
    .await?;
    let settled = changes.iter().filter(|change| change.state.settlement.is_some() && change.state.pot > 0);
    close_escrow(tx, settled.map(key_of).collect());
    Ok(())
}

fn postings_of(change: &MatchChange) -> impl Iterator<Item = Posting> {
    change.transfers.iter().map(|(transfer, event_id, at)| {
        Posting::of_match(change.match_no, &change.state, transfer, *event_id, *at)
    })
}

/// The match's key, which owns its escrow account.
fn key_of(change: &MatchChange) -> Uuid {
    let state = &change.state;
    MatchKey { source: state.source.clone(), kind: state.kind, match_id: state.match_id.clone() }.uuid()
}

/// True when the match has ended, or ended another way or earlier than was known: boards and ratings must know.
fn has_new_end(change: &MatchChange) -> bool {
    let end = |state: &MatchState| (state.settlement, state.generation);
    let known = change.before.as_ref().map(end) == Some(end(&change.state))
        && (change.ended_before.is_none() || change.ended_before == change.ended_at);
    change.state.settlement.is_some() && !known
}

fn matches(tx: &Tx<'_>, changes: &[MatchChange]) {
    let numbers: Vec<i64> = changes.iter().map(|c| c.match_no).collect();
    let all = || changes.iter().map(|c| &c.state);
    let statuses: Vec<&str> = all().map(|s| s.status.as_str()).collect();
    let ranks: Vec<i16> = all().map(|s| s.status.rank()).collect();
    let provider_statuses: Vec<String> = all().map(|s| s.provider_status.clone()).collect();
    let formats: Vec<Option<&str>> = all().map(|s| s.format.map(|f| f.as_str())).collect();
    let games: Vec<Option<String>> = all().map(|s| s.game_id.clone()).collect();
    let creators: Vec<Option<String>> =
        all().map(|s| s.created_by.as_ref().map(|player| player.as_str().to_owned())).collect();
    let buy_ins: Vec<Option<i64>> = all().map(|s| s.buy_in).collect();
    let pots: Vec<i64> = all().map(|s| s.pot).collect();
    let paid: Vec<i64> = all().map(|s| s.paid).collect();
    let refunded: Vec<i64> = all().map(|s| s.refunded).collect();
    let fees: Vec<i64> = all().map(|s| s.fee).collect();
    let settlements: Vec<Option<&str>> = all().map(|s| s.settlement.map(|s| s.as_str())).collect();
    let digests: Vec<Option<Vec<u8>>> =
        all().map(|s| s.outcome_digest.map(|digest| digest.to_vec())).collect();
    let claimed: Vec<bool> = all().map(|s| s.claimed_end).collect();
    let generations: Vec<i16> = all().map(|s| s.generation).collect();
    let others: Vec<Vec<u8>> = all().map(|s| s.other_ends.concat()).collect();
    let events: Vec<Uuid> = changes.iter().map(|c| c.last_event.uuid()).collect();
    let times: Vec<At> = changes.iter().map(|c| At(c.at)).collect();
    let ended: Vec<Option<At>> = changes.iter().map(|c| c.ended_at.map(At)).collect();
    let sql = "UPDATE match m
                  SET status = u.status, rank = u.rank, provider_status = u.provider_status, format = u.format,
                      game_id = u.game_id, created_by = u.created_by, buy_in = u.buy_in, pot = u.pot,
                      paid = u.paid, refunded = u.refunded, fee = u.fee, settlement = u.settlement,
                      settled_at = CASE WHEN u.settlement IS NULL THEN NULL
                                        WHEN u.generation > m.generation THEN u.at
                                        ELSE coalesce(m.settled_at, u.at) END,
                      ended_at = coalesce(u.ended_at, m.ended_at),
                      claimed_end = u.claimed_end, generation = u.generation, other_ends = u.other_ends,
                      outcome_digest = u.digest, last_event_id = u.event, updated_at = now()
                 FROM unnest($1::bigint[], $2::text[], $3::smallint[], $4::text[], $5::text[], $6::text[],
                             $7::text[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[],
                             $13::text[], $14::bytea[], $15::uuid[], $16::timestamptz[], $17::bool[],
                             $18::smallint[], $19::bytea[], $20::timestamptz[])
                   AS u (match_no, status, rank, provider_status, format, game_id, created_by, buy_in, pot, paid,
                         refunded, fee, settlement, digest, event, at, claimed_end, generation, other_ends,
                         ended_at)
                WHERE m.match_no = u.match_no";
    let params = vec![
        own(numbers),
        own(statuses),
        own(ranks),
        own(provider_statuses),
        own(formats),
        own(games),
        own(creators),
        own(buy_ins),
        own(pots),
        own(paid),
        own(refunded),
        own(fees),
        own(settlements),
        own(digests),
        own(events),
        own(times),
        own(claimed),
        own(generations),
        own(others),
        own(ended),
    ];
    tx.later(sql, params);
}

/// Seats that are not what they were: a large match is not written whole for everybody who joins. With an end all are
/// written, because each has the end's time.
fn changed_seats(change: &MatchChange) -> impl Iterator<Item = (&PlayerId, &Seat)> {
    let before = change.before.as_ref().filter(|_| !has_new_end(change)).map(|before| &before.seats);
    let same = move |player: &PlayerId, seat: &Seat| {
        before.and_then(|seats| seats.get(player)).is_some_and(|before| before == seat)
    };
    change.state.seats.iter().filter(move |(player, seat)| !same(player, seat))
}

/// A seat with its match, its player, and whether the match is new.
type Placed<'c> = (&'c MatchChange, Uuid, &'c Seat);

/// Those of new matches that have not ended are inserted without looking: nobody else has the match. What has ended has
/// its end's time, which stands in the match.
fn seats(tx: &Tx<'_>, changes: &[MatchChange]) {
    let mut all: Vec<Placed<'_>> = Vec::new();
    for change in changes {
        let source = &change.state.source;
        all.extend(changed_seats(change).map(|(player, seat)| (change, player.key(source), seat)));
    }
    all.sort_unstable_by_key(|(change, player, _)| (change.match_no, *player));
    let (new, others): (Vec<Placed<'_>>, Vec<Placed<'_>>) =
        all.into_iter().partition(|(change, ..)| change.before.is_none() && !has_end(change));
    if !new.is_empty() {
        let sql = "INSERT INTO match_participant (match_no, player_key, group_id, state, hold, payout, refund, outcome)
                   SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::smallint[], $5::bigint[],
                                        $6::bigint[], $7::bigint[], $8::text[])";
        tx.later(sql, columns(&new));
    }
    if !others.is_empty() {
        let sql = "INSERT INTO match_participant AS p
                          (match_no, player_key, group_id, state, hold, payout, refund, outcome, ended_at, currency)
                   SELECT s.*, coalesce(settled.ended_at, settled.settled_at), settled.currency
                     FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::smallint[], $5::bigint[],
                                 $6::bigint[], $7::bigint[], $8::text[]) AS s (m, k, g, st, h, pay, back, o)
                     LEFT JOIN match settled ON settled.match_no = s.m AND settled.settlement IN ('payout', 'tie')
                                            AND s.o IS NOT NULL
                    ORDER BY m, k
                   ON CONFLICT (match_no, player_key) DO UPDATE
                      SET group_id = EXCLUDED.group_id, state = EXCLUDED.state, hold = EXCLUDED.hold,
                          payout = EXCLUDED.payout, refund = EXCLUDED.refund, outcome = EXCLUDED.outcome,
                          ended_at = EXCLUDED.ended_at, currency = EXCLUDED.currency
                    WHERE (p.group_id, p.state, p.hold, p.payout, p.refund, p.outcome, p.ended_at)
                          IS DISTINCT FROM (EXCLUDED.group_id, EXCLUDED.state, EXCLUDED.hold, EXCLUDED.payout,
                                            EXCLUDED.refund, EXCLUDED.outcome, EXCLUDED.ended_at)";
        tx.later(sql, columns(&others));
    }
}

const fn has_end(change: &MatchChange) -> bool {
    change.state.settlement.is_some()
}

fn columns(seats: &[Placed<'_>]) -> Vec<Owned> {
    let of = || seats.iter().map(|(.., seat)| seat);
    vec![
        own(seats.iter().map(|(change, ..)| change.match_no).collect::<Vec<i64>>()),
        own(seats.iter().map(|(_, player, _)| *player).collect::<Vec<Uuid>>()),
        own(of().map(|seat| seat.group_id.clone()).collect::<Vec<String>>()),
        own(of().map(|seat| seat.state.code()).collect::<Vec<i16>>()),
        own(of().map(|seat| seat.hold).collect::<Vec<i64>>()),
        own(of().map(|seat| seat.payout).collect::<Vec<i64>>()),
        own(of().map(|seat| seat.refund).collect::<Vec<i64>>()),
        own(of().map(|seat| seat.outcome.map(|outcome| outcome.as_str())).collect::<Vec<Option<&str>>>()),
    ]
}

fn deadlines(tx: &Tx<'_>, changes: &[MatchChange]) {
    // A deadline is set once and changes only by somebody being asked; most events leave it as it is.
    let is_new = |change: &&MatchChange| {
        let before = change.before.as_ref();
        before.and_then(|before| before.deadline) != change.state.deadline
            || before.is_some_and(|before| before.arbitration_asked) != change.state.arbitration_asked
    };
    let changed: Vec<&MatchChange> = changes.iter().filter(is_new).collect();
    let due =
        || changed.iter().filter_map(|c| Some((c.match_no, c.state.deadline?, c.state.arbitration_asked)));
    let over: Vec<i64> = changed.iter().filter(|c| c.state.deadline.is_none()).map(|c| c.match_no).collect();
    let mut due: Vec<_> = due().collect();
    due.sort_unstable_by_key(|(number, ..)| *number);
    if !due.is_empty() {
        let sql = "INSERT INTO match_deadline AS d (match_no, due_at, asked_at)
                   SELECT m, at, CASE WHEN asked THEN now() END
                     FROM unnest($1::bigint[], $2::timestamptz[], $3::bool[]) AS new (m, at, asked)
                   ON CONFLICT (match_no) DO UPDATE SET asked_at = EXCLUDED.asked_at
                    WHERE d.asked_at IS NULL AND EXCLUDED.asked_at IS NOT NULL";
        let params = vec![
            own(due.iter().map(|(number, ..)| *number).collect::<Vec<i64>>()),
            own(due.iter().map(|(_, at, _)| At(*at)).collect::<Vec<At>>()),
            own(due.iter().map(|(.., asked)| *asked).collect::<Vec<bool>>()),
        ];
        tx.later(sql, params);
    }
    if !over.is_empty() {
        tx.later("DELETE FROM match_deadline WHERE match_no = ANY($1)", vec![own(over)]);
    }
}
