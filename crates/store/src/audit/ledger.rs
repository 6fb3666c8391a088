//! Accounts and transfers.

use super::Check;

pub(super) const NOTHING_MADE_OR_LOST: Check = Check {
    name: "nothing is made or lost: the balances of a source and currency add up to zero",
    sql: "SELECT format('%s, %s: %s', source, currency, sum(balance))
            FROM account GROUP BY source, currency HAVING sum(balance) <> 0",
};

pub(super) const BALANCES: Check = Check {
    name: "every balance is the sum of its transfers",
    sql: concat!(
        "SELECT format('%s: balance %s, transfers %s', ",
        account_label!("a.id"),
        ", a.balance, coalesce(j.total, 0))
           FROM account a
           LEFT JOIN (SELECT account_id, sum(amount) AS total FROM entry GROUP BY account_id) j
                  ON j.account_id = a.id
          WHERE a.balance <> coalesce(j.total, 0)"
    ),
};

pub(super) const FLOORS: Check = Check {
    name: "no account is below its floor, and nothing is in a closed one",
    sql: concat!(
        "SELECT format('%s: balance %s, floor %s%s', ",
        account_label!("a.id"),
        ", a.balance, coalesce(a.min_balance::text, 'none'), CASE WHEN a.closed THEN ', closed' END)
           FROM account a
          WHERE a.balance < a.min_balance OR (a.kind = 2 AND a.balance < 0) OR (a.closed AND a.balance <> 0)"
    ),
};

// What is recorded at one moment counts as one: the window's default frame takes in the rows of the same time. The
// rows come in the order of the two indexes and are never gathered.
pub(super) const NEVER_BELOW_FLOOR: Check = Check {
    name: "no account with a floor was ever below it",
    sql: concat!(
        "SELECT format('%s: %s at %s, the lowest %s, floor %s', ",
        account_label!("b.id"),
        ", (array_agg(b.balance ORDER BY b.recorded_at))[1], min(b.recorded_at), min(b.balance), min(b.floor))
           FROM (SELECT a.id, a.min_balance AS floor, e.recorded_at,
                        sum(e.amount) OVER (PARTITION BY e.account_id ORDER BY e.recorded_at) AS balance
                   FROM (SELECT debit_id AS account_id, recorded_at, -amount AS amount FROM transfer
                         UNION ALL SELECT credit_id, recorded_at, amount FROM transfer) e
                   JOIN account a ON a.id = e.account_id
                  WHERE a.min_balance IS NOT NULL) b
          WHERE b.balance < b.floor GROUP BY b.id"
    ),
};

// An account of a player who never had money may be there before anybody remembers the player's name.
pub(super) const OWNERS: Check = Check {
    name: "an escrow account belongs to a match, and a player's account to a player, of its source",
    sql: concat!(
        "SELECT format('%s: owner %s, balance %s', ",
        account_label!("a.id"),
        ", a.owner_key, a.balance)
           FROM account a
           LEFT JOIN match m ON a.kind = 2 AND m.match_key = a.owner_key
           LEFT JOIN player p ON a.kind = 1 AND p.player_key = a.owner_key
          WHERE (a.kind = 2 AND (m.source, m.currency) IS DISTINCT FROM (a.source, a.currency))
             OR (a.kind = 1 AND a.version > 0 AND p.source IS DISTINCT FROM a.source)"
    ),
};

pub(super) const JOINED_ACCOUNTS: Check = Check {
    name: "a transfer joins the accounts that its kind, match and subject call for, of one source and currency",
    sql: concat!(
        "SELECT CASE WHEN t.match_no = 0 THEN '' ELSE ",
        match_no_label!("t.match_no"),
        " || ', ' END || ",
        transfer_label!(),
        " FROM transfer t
           LEFT JOIN account d ON d.id = t.debit_id
           LEFT JOIN account c ON c.id = t.credit_id
           LEFT JOIN match m ON m.match_no = t.match_no
          WHERE (d.source = c.source AND d.currency = c.currency
            AND (t.match_no = 0 OR (m.source = d.source AND m.currency = d.currency))
            AND CASE t.kind
                  WHEN 1 THEN d.kind = 1 AND d.owner_key = t.subject AND c.kind = 2 AND c.owner_key = m.match_key
                  WHEN 2 THEN d.kind = 2 AND d.owner_key = m.match_key AND c.kind = 1 AND c.owner_key = t.subject
                  WHEN 3 THEN d.kind = 2 AND d.owner_key = m.match_key AND c.kind = 1 AND c.owner_key = t.subject
                  WHEN 4 THEN d.kind = 2 AND d.owner_key = m.match_key AND c.owner_key = t.subject
                    AND c.kind = CASE m.custody WHEN 'studio' THEN 3 ELSE 4 END
                  WHEN 5 THEN d.kind = 5 AND c.kind = 1 AND c.owner_key = t.subject
                  WHEN 6 THEN d.kind = 4 AND d.owner_key = t.subject AND c.kind = 2 AND c.owner_key = m.match_key
                  WHEN 7 THEN (d.kind = 2 AND d.owner_key = m.match_key
                                 AND c.kind IN (1, 3, 4) AND c.owner_key = t.subject)
                           OR (c.kind = 2 AND c.owner_key = m.match_key
                                 AND d.kind IN (1, 3, 4) AND d.owner_key = t.subject)
                  WHEN 8 THEN d.kind = 4 AND c.kind = 1
                  WHEN 9 THEN d.kind = 1 AND c.kind = 4
                END) IS NOT TRUE"
    ),
};
