//! What people and the clock did: deposits, withdrawals, corrections, deadlines.

use super::Check;

pub(super) const FUNDS: Check = Check {
    name: "every deposit and withdrawal is one operation and one transfer, of one player and amount",
    sql: concat!(
        "SELECT format('operation %s: %s of %s %s for player %s of %s; ', coalesce(o.operation_id, t.event_id),
                       coalesce(o.kind, 'nothing'), o.amount, o.currency, o.subject, o.source)
                || CASE WHEN t.event_id IS NULL THEN 'no transfer' ELSE ",
        transfer_label!(),
        " END
           FROM (SELECT * FROM operation WHERE kind IN ('deposit', 'withdrawal')) o
           FULL JOIN (SELECT * FROM transfer WHERE kind IN (8, 9)) t ON t.event_id = o.operation_id
           LEFT JOIN account a ON a.id = CASE t.kind WHEN 8 THEN t.credit_id ELSE t.debit_id END
           LEFT JOIN player p ON p.player_key = a.owner_key
          WHERE (o.operation_id = t.subject AND t.generation = 0 AND o.amount = t.amount AND o.currency = a.currency
                 AND o.kind = CASE t.kind WHEN 8 THEN 'deposit' ELSE 'withdrawal' END
                 AND o.source = p.source AND o.subject = p.player_id) IS NOT TRUE"
    ),
};

pub(super) const CORRECTIONS: Check = Check {
    name: "every applied correction is an operation, and the other way round",
    sql: concat!(
        "SELECT format('correction %s of %s: %s; operation by %s', coalesce(c.correction_id, o.operation_id), ",
        match_no_label!("coalesce(c.match_no, o.match_no)"),
        ", coalesce(c.state, 'not there'), coalesce(o.actor, 'nobody'))
           FROM (SELECT * FROM correction WHERE state = 'applied') c
           FULL JOIN (SELECT * FROM operation WHERE kind = 'correction') o ON o.operation_id = c.correction_id
           LEFT JOIN match m ON m.match_no = o.match_no
          WHERE c.match_no IS DISTINCT FROM o.match_no OR m.match_no IS NULL"
    ),
};

pub(super) const GENERATION: Check = Check {
    name: "a match's generation is the number of corrections that made one",
    sql: concat!(
        "SELECT format('%s: generation %s, corrections %s, the last one made %s', ",
        match_label!(),
        ", m.generation, coalesce(c.applied, 0), coalesce(c.last, 0))
           FROM match m
           LEFT JOIN (SELECT match_no, count(*) AS applied, max(generation) AS last FROM correction
                       WHERE state = 'applied' AND generation > 0 GROUP BY match_no) c USING (match_no)
          WHERE (m.generation, m.generation) IS DISTINCT FROM (coalesce(c.applied, 0), coalesce(c.last, 0))"
    ),
};

pub(super) const CAUSES: Check = Check {
    name: "what a correction moved names its operation",
    sql: concat!(
        "SELECT format('%s, event %s: ', ",
        match_no_label!("t.match_no"),
        ", t.event_id) || ",
        transfer_label!(),
        " FROM transfer t
           LEFT JOIN operation o ON o.operation_id = t.event_id AND o.kind = 'correction'
                                AND o.match_no = t.match_no
          WHERE (t.kind = 7 OR t.generation > 0) AND o.operation_id IS NULL"
    ),
};

pub(super) const TIMEOUTS: Check = Check {
    name: "a match that its deadline ended has the clock's operation",
    sql: concat!(
        "SELECT ",
        match_label!(),
        " FROM match m
          WHERE m.status = 'VOIDED_TIMEOUT'
            AND NOT EXISTS (SELECT FROM operation o
                             WHERE o.kind = 'deadline' AND o.match_no = m.match_no
                               AND (o.source, o.subject) = (m.source, m.match_id))"
    ),
};

pub(super) const RESULTS: Check = Check {
    name: "every result that was accepted is an operation of its match, and the match has ended",
    sql: concat!(
        "SELECT format('result %s of %s: operation by %s', coalesce(r.operation_id, o.operation_id), ",
        match_no_label!("coalesce(r.match_no, o.match_no)"),
        ", coalesce(o.actor, 'nobody'))
           FROM match_result r
           FULL JOIN (SELECT * FROM operation WHERE kind = 'match_result') o USING (operation_id)
           LEFT JOIN match m ON m.match_no = r.match_no
          WHERE r.match_no IS DISTINCT FROM o.match_no OR m.settlement IS NULL
             OR (m.source, m.match_id) IS DISTINCT FROM (o.source, o.subject)"
    ),
};
