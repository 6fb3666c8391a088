//! How findings name rows: fragments of SQL, each a text that is never null, also where the row is not there.
//! What costs a lookup is a subquery, so that it costs something only for a finding.

/// The match of alias `m`.
macro_rules! match_label {
    () => {
        "format('match %s (%s/%s, %s)', m.match_no, m.source, m.match_id, m.kind)"
    };
}

/// The match of a number.
macro_rules! match_no_label {
    ($number:literal) => {
        concat!(
            "coalesce((SELECT ",
            match_label!(),
            " FROM match m WHERE m.match_no = ",
            $number,
            "), format('match %s, which is not there', ",
            $number,
            "))"
        )
    };
}

/// The player of a key, or whoever else has the key.
macro_rules! player_label {
    ($key:literal) => {
        concat!(
            "coalesce((SELECT 'player ' || player_id FROM player WHERE player_key = ",
            $key,
            "), format('subject %s', ",
            $key,
            "))"
        )
    };
}

/// The account of an id.
macro_rules! account_label {
    ($id:literal) => {
        concat!(
            "coalesce((SELECT format('account %s (%s%s, %s, %s)', x.id,
                       (ARRAY['player', 'escrow', 'house', 'external', 'reward fund'])[x.kind],
                       CASE x.kind
                         WHEN 1 THEN (SELECT ' ' || player_id FROM player WHERE player_key = x.owner_key)
                         WHEN 2 THEN (SELECT ' of ' || match_id FROM match WHERE match_key = x.owner_key)
                       END, x.source, x.currency)
                FROM account x WHERE x.id = ",
            $id,
            "), format('account %s, which is not there', ",
            $id,
            "))"
        )
    };
}

/// The transfer of alias `t`, without its match.
macro_rules! transfer_label {
    () => {
        concat!(
            "format('%s of generation %s for %s: %s from %s to %s',
                    (ARRAY['hold', 'payout', 'refund', 'fee', 'reward', 'top-up', 'reversal', 'deposit',
                           'withdrawal'])[t.kind], t.generation, ",
            player_label!("t.subject"),
            ", t.amount, ",
            account_label!("t.debit_id"),
            ", ",
            account_label!("t.credit_id"),
            ")"
        )
    };
}
