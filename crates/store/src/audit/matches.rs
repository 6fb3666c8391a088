//! Matches, their seats and deadlines, and the transfers of their generations.

use super::Check;

pub(super) const STATUS: Check = Check {
    name: "a match's rank and settlement are those of its status",
    sql: concat!(
        "SELECT format('%s: %s, rank %s, settled as %s', ",
        match_label!(),
        ", m.status, m.rank, coalesce(m.settlement, 'nothing'))
           FROM match m LEFT JOIN match_status s ON s.code = m.status
          WHERE (m.rank, m.settlement)
                IS DISTINCT FROM (s.rank, CASE WHEN s.terminal THEN s.disposition END)"
    ),
};

pub(super) const ESCROW: Check = Check {
    name: "a match's escrow account holds what is left of its pot, and nothing once it is settled",
    sql: concat!(
        "SELECT format('%s: escrow %s, pot %s, paid %s, back %s, fee %s, settled as %s', ",
        match_label!(),
        ", coalesce(a.balance, 0), m.pot, m.paid, m.refunded, m.fee, coalesce(m.settlement, 'nothing'))
           FROM match m
           LEFT JOIN account a ON a.owner_key = m.match_key AND a.kind = 2 AND a.currency = m.currency
          WHERE coalesce(a.balance, 0) <> m.pot - m.paid - m.refunded - m.fee
             OR (m.settlement IS NOT NULL AND (coalesce(a.balance, 0) <> 0
                                               OR m.pot <> m.paid + m.refunded + m.fee))"
    ),
};

pub(super) const CLOSED: Check = Check {
    name: "the escrow account of a settled match is closed, and no other",
    sql: concat!(
        "SELECT format('%s: %s, settled as %s', ",
        match_label!(),
        ", CASE WHEN a.closed THEN 'closed' ELSE 'open' END, coalesce(m.settlement, 'nothing'))
           FROM match m JOIN account a ON a.owner_key = m.match_key AND a.kind = 2
          WHERE a.closed <> (m.settlement IS NOT NULL)"
    ),
};

pub(super) const SUMS: Check = Check {
    name: "a match's sums are those of its generation's transfers",
    sql: concat!(
        "SELECT format('%s, generation %s: pot %s, paid %s, back %s, fee %s; transfers %s, %s, %s, %s', ",
        match_label!(),
        ", m.generation, m.pot, m.paid, m.refunded, m.fee,
                coalesce(s.pot, 0), coalesce(s.paid, 0), coalesce(s.refunded, 0), coalesce(s.fee, 0))
           FROM match m
           LEFT JOIN (SELECT match_no, generation,
                             sum(amount) FILTER (WHERE kind IN (1, 6)) AS pot,
                             sum(amount) FILTER (WHERE kind = 2) AS paid,
                             sum(amount) FILTER (WHERE kind = 3) AS refunded,
                             sum(amount) FILTER (WHERE kind = 4) AS fee
                        FROM transfer WHERE match_no > 0 GROUP BY match_no, generation) s
                  USING (match_no, generation)
          WHERE (m.pot, m.paid, m.refunded, m.fee) IS DISTINCT FROM
                (coalesce(s.pot, 0), coalesce(s.paid, 0), coalesce(s.refunded, 0), coalesce(s.fee, 0))"
    ),
};

// An older generation has transfers of players who need no hold any more, but still a seat.
pub(super) const SEATS: Check = Check {
    name: "every seat is what its generation's transfers made of it, and nobody is moved money without a seat",
    sql: concat!(
        "SELECT format('%s, %s: hold %s, payout %s, back %s, state %s; transfers %s, %s, %s', ",
        match_no_label!("coalesce(p.match_no, s.match_no)"),
        ", ",
        player_label!("coalesce(p.player_key, s.subject)"),
        ", coalesce(p.hold::text, 'no seat'), p.payout, p.refund, p.state,
                coalesce(s.hold, 0), coalesce(s.payout, 0), coalesce(s.refund, 0))
           FROM (SELECT p.*, m.generation, m.settlement, m.match_no IS NULL AS orphan
                   FROM match_participant p LEFT JOIN match m USING (match_no)) p
           FULL JOIN (SELECT match_no, subject, generation,
                             sum(amount) FILTER (WHERE kind = 1) AS hold,
                             sum(amount) FILTER (WHERE kind = 2) AS payout,
                             sum(amount) FILTER (WHERE kind = 3) AS refund
                        FROM transfer WHERE kind IN (1, 2, 3) GROUP BY match_no, subject, generation) s
                  ON (s.match_no, s.subject, s.generation) = (p.match_no, p.player_key, p.generation)
          WHERE CASE WHEN p.match_no IS NULL
                THEN NOT EXISTS (SELECT FROM match_participant
                                  WHERE (match_no, player_key) = (s.match_no, s.subject))
                ELSE p.orphan
                  OR (p.hold, p.payout, p.refund) IS DISTINCT FROM
                     (coalesce(s.hold, 0), coalesce(s.payout, 0), coalesce(s.refund, 0))
                  OR (p.state = 1) <> (p.hold > 0 AND p.settlement IS NULL AND p.refund = 0 AND p.payout = 0)
                END"
    ),
};

// An older generation is a few matches' matter: they are looked up, not the whole ledger.
pub(super) const REVERSED: Check = Check {
    name: "what an overruled generation of a match moved is undone exactly, subject by subject",
    sql: concat!(
        "SELECT format('%s, generation %s, %s: %s left', ",
        match_label!(),
        ", t.generation, ",
        player_label!("t.subject"),
        ", sum(CASE t.debit_id WHEN e.id THEN t.amount ELSE -t.amount END))
           FROM match m
           JOIN transfer t USING (match_no)
           LEFT JOIN account e ON e.owner_key = m.match_key AND e.kind = 2 AND e.currency = m.currency
          WHERE m.generation > 0 AND t.generation < m.generation
          GROUP BY m.match_no, t.generation, t.subject
         HAVING sum(CASE t.debit_id WHEN e.id THEN t.amount ELSE -t.amount END) <> 0"
    ),
};

pub(super) const GENERATIONS: Check = Check {
    name: "a match's present generation is not reversed, and none is ahead of it",
    sql: concat!(
        "SELECT format('%s, generation %s: ', ",
        match_label!(),
        ", m.generation) || ",
        transfer_label!(),
        " FROM transfer t JOIN match m USING (match_no)
          WHERE t.generation > m.generation OR (t.kind = 7 AND t.generation = m.generation)"
    ),
};

pub(super) const DEADLINES: Check = Check {
    name: "a match that holds money has a deadline",
    sql: concat!(
        "SELECT format('%s: holds %s', ",
        match_label!(),
        ", m.pot - m.paid - m.refunded - m.fee)
           FROM match m LEFT JOIN match_deadline d USING (match_no)
          WHERE m.settlement IS NULL AND m.pot > 0 AND d.match_no IS NULL"
    ),
};

pub(super) const NO_DEADLINES: Check = Check {
    name: "a settled match has no deadline",
    sql: concat!(
        "SELECT format('%s: due at %s', ",
        match_no_label!("d.match_no"),
        ", d.due_at)
           FROM match_deadline d LEFT JOIN match m USING (match_no)
          WHERE m.match_no IS NULL OR m.settlement IS NOT NULL"
    ),
};
