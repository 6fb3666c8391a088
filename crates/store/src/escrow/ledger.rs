//! Accounts and transfers.

use std::collections::{BTreeMap, BTreeSet};

use matchpurse_domain::escrow::{Account, Funds, MatchState, Transfer};
use matchpurse_domain::ids::{EventId, PlayerId, SourceName, derived_uuid};
use matchpurse_domain::money::CurrencyCode;
use matchpurse_domain::source::Custody;
use matchpurse_domain::time::Timestamp;
use uuid::Uuid;

use super::MatchKey;
use crate::client::Params;
use crate::later::own;
use crate::time::At;
use crate::{Error, Result, Tx};

/// What names an account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AccountKey {
    owner: Uuid,
    kind: i16,
    currency: String,
    source: String,
    /// The least that it may hold; none for accounts that only record.
    floor: Option<i64>,
}

/// A transfer to post.
pub(crate) struct Posting {
    /// 0 where it belongs to no match.
    pub(crate) match_no: i64,
    pub(crate) subject: Uuid,
    pub(crate) kind: i16,
    pub(crate) generation: i16,
    pub(crate) debit: AccountKey,
    pub(crate) credit: AccountKey,
    /// Minor units, above zero.
    pub(crate) amount: i64,
    pub(crate) event_id: EventId,
    pub(crate) at: Timestamp,
}

impl Posting {
    /// A transfer of a match.
    pub(super) fn of_match(
        match_no: i64,
        state: &MatchState,
        transfer: &Transfer,
        event_id: EventId,
        at: Timestamp,
    ) -> Self {
        Self {
            match_no,
            subject: AccountKey::of(&transfer.subject, state).owner,
            kind: transfer.kind.code(),
            generation: transfer.generation,
            debit: AccountKey::of(&transfer.debit, state),
            credit: AccountKey::of(&transfer.credit, state),
            amount: transfer.amount,
            event_id,
            at,
        }
    }
}

impl AccountKey {
    pub(super) fn of(account: &Account, state: &MatchState) -> Self {
        let source = &state.source;
        let (owner, kind, floor) = match account {
            Account::Player(player) => {
                return Self::of_player(source, player, &state.currency, state.custody);
            }
            Account::Escrow => {
                let (kind, match_id) = (state.kind, state.match_id.clone());
                (MatchKey { source: source.clone(), kind, match_id }.uuid(), 2, Some(0))
            }
            Account::House => (derived_uuid("house", &[source.as_str()]), 3, Some(0)),
            Account::External => return Self::external(source, &state.currency),
        };
        Self::new(source, owner, kind, &state.currency, floor)
    }

    /// A player's own account. Where the studio holds the stakes it never goes below zero; where a provider does
    /// it only records, and must never refuse.
    pub(crate) fn of_player(
        source: &SourceName,
        player: &PlayerId,
        currency: &CurrencyCode,
        custody: Custody,
    ) -> Self {
        let floor = (custody == Custody::Studio).then_some(0);
        Self::new(source, player.key(source), 1, currency, floor)
    }

    /// The outside of a source's ledger: the provider, or where deposits come from.
    pub(crate) fn external(source: &SourceName, currency: &CurrencyCode) -> Self {
        Self::new(source, derived_uuid("external", &[source.as_str()]), 4, currency, None)
    }

    fn new(source: &SourceName, owner: Uuid, kind: i16, currency: &CurrencyCode, floor: Option<i64>) -> Self {
        let (source, currency) = (source.as_str().to_owned(), currency.as_str().to_owned());
        Self { owner, kind, currency, source, floor }
    }
}

/// An account, locked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Locked {
    id: i64,
    balance: i64,
    floor: Option<i64>,
}

impl Locked {
    /// What may be taken from it; none from an account that only records what a provider did. It has no floor, and what
    /// stands on it is nobody's here: a source that had its provider's custody once keeps such accounts.
    pub(crate) fn funds(self) -> Option<i64> {
        self.floor.map(|_| self.balance)
    }
}

/// The accounts, made where they are new, locked in the order of their ids.
pub(crate) async fn lock(tx: &Tx<'_>, keys: &BTreeSet<AccountKey>) -> Result<BTreeMap<AccountKey, Locked>> {
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let owners: Vec<Uuid> = keys.iter().map(|key| key.owner).collect();
    let kinds: Vec<i16> = keys.iter().map(|key| key.kind).collect();
    let currencies: Vec<&str> = keys.iter().map(|key| key.currency.as_str()).collect();
    let sources: Vec<&str> = keys.iter().map(|key| key.source.as_str()).collect();
    let floors: Vec<Option<i64>> = keys.iter().map(|key| key.floor).collect();
    // They are made before any is locked, so that whoever waits for somebody else's holds nothing that is waited for.
    let open = "INSERT INTO account (owner_key, kind, currency, source, min_balance)
               SELECT o, k, c, s, f FROM unnest($1::uuid[], $2::smallint[], $3::text[], $4::text[], $5::bigint[])
                 AS new (o, k, c, s, f)
                WHERE NOT EXISTS (SELECT FROM account WHERE owner_key = o AND kind = k AND currency = c)
                ORDER BY o, k, c
               ON CONFLICT (owner_key, kind, currency) DO NOTHING";
    let lock = "SELECT id, owner_key, kind, currency, balance, min_balance FROM account
                WHERE (owner_key, kind, currency)
                   IN (SELECT * FROM unnest($1::uuid[], $2::smallint[], $3::text[]))
                ORDER BY id FOR NO KEY UPDATE";
    let opening: Params<'_> = &[&owners, &kinds, &currencies, &sources, &floors];
    let (_, rows) = tx.query_both((open, opening), (lock, &[&owners, &kinds, &currencies])).await?;
    let mut found = BTreeMap::new();
    for row in &rows {
        let named: (Uuid, i16, &str) = (row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        let locked = Locked { id: row.try_get(0)?, balance: row.try_get(4)?, floor: row.try_get(5)? };
        found.insert((named.0, named.1, named.2.to_owned()), locked);
    }
    let with_key = |key: &AccountKey| {
        let found = found.get(&(key.owner, key.kind, key.currency.clone())).copied();
        found.map(|account| (key.clone(), account)).ok_or_else(|| Error::Stored {
            what: "account",
            source: "it is not there although it was just made".into(),
        })
    };
    let mut accounts = keys.iter().map(with_key).collect::<Result<_>>()?;
    lift_floors(tx, &mut accounts).await?;
    Ok(accounts)
}

/// An account that was opened where the studio holds the stakes gets no floor any more once a provider holds
/// them: what only records must never refuse. They are locked.
async fn lift_floors(tx: &Tx<'_>, accounts: &mut BTreeMap<AccountKey, Locked>) -> Result<()> {
    let floored = accounts
        .iter_mut()
        .filter(|(key, account)| key.kind == 1 && key.floor.is_none() && account.floor.is_some());
    let mut ids = Vec::new();
    for (_, account) in floored {
        account.floor = None;
        ids.push(account.id);
    }
    if !ids.is_empty() {
        tx.execute("UPDATE account SET min_balance = NULL WHERE id = ANY($1)", &[&ids]).await?;
    }
    Ok(())
}

/// What the players have, locked; for matches whose stakes the studio holds. Whoever has nothing that the studio holds
/// is not in it.
///
/// # Errors
/// [`crate::Error`].
pub async fn funds_in_tx(
    tx: &Tx<'_>,
    players: &BTreeSet<(SourceName, CurrencyCode, PlayerId)>,
) -> Result<BTreeMap<(SourceName, CurrencyCode), Funds>> {
    let key = |(source, currency, player): &(SourceName, CurrencyCode, PlayerId)| {
        AccountKey::of_player(source, player, currency, Custody::Studio)
    };
    let accounts = lock(tx, &players.iter().map(key).collect()).await?;
    let mut funds: BTreeMap<_, Funds> = BTreeMap::new();
    for wanted in players {
        if let Some(has) = accounts.get(&key(wanted)).and_then(|account| account.funds()) {
            let (source, currency, player) = wanted.clone();
            funds.entry((source, currency)).or_default().0.insert(player, has);
        }
    }
    Ok(funds)
}

/// Posts transfers and moves the balances by what was inserted, with what comes next in the transaction. A transfer
/// that is there already is refused: the match's sums count every transfer, so a match that was decided by another state
/// than the ledger's must not be written.
pub(crate) async fn post(tx: &Tx<'_>, postings: &[Posting]) -> Result<()> {
    if postings.is_empty() {
        return Ok(());
    }
    let both = |p: &Posting| [p.debit.clone(), p.credit.clone()];
    let accounts = lock(tx, &postings.iter().flat_map(both).collect()).await?;
    let id = |key: &AccountKey| accounts.get(key).map_or(0, |account| account.id);

    let mut ordered: Vec<&Posting> = postings.iter().collect();
    ordered.sort_unstable_by_key(|p| (p.match_no, p.subject, p.kind, p.generation));
    let all = || ordered.iter();
    let numbers: Vec<i64> = all().map(|p| p.match_no).collect();
    let subjects: Vec<Uuid> = all().map(|p| p.subject).collect();
    let kinds: Vec<i16> = all().map(|p| p.kind).collect();
    let generations: Vec<i16> = all().map(|p| p.generation).collect();
    let debits: Vec<i64> = all().map(|p| id(&p.debit)).collect();
    let credits: Vec<i64> = all().map(|p| id(&p.credit)).collect();
    let amounts: Vec<i64> = all().map(|p| p.amount).collect();
    let events: Vec<Uuid> = all().map(|p| p.event_id.uuid()).collect();
    let times: Vec<At> = all().map(|p| At(p.at)).collect();
    let sql = "WITH added AS (
                 INSERT INTO transfer (match_no, subject, kind, generation, debit_id, credit_id, amount, event_id,
                                       event_at, recorded_at)
                 SELECT t.*, (SELECT clock_timestamp())
                   FROM unnest($1::bigint[], $2::uuid[], $3::smallint[], $4::smallint[], $5::bigint[],
                               $6::bigint[], $7::bigint[], $8::uuid[], $9::timestamptz[])
                   AS t (m, s, k, g, d, c, a, e, at)
                 RETURNING debit_id, credit_id, amount
               ), delta AS (
                 SELECT account_id, sum(x)::bigint AS x, count(*) AS n FROM (
                   SELECT debit_id AS account_id, -amount AS x FROM added
                   UNION ALL SELECT credit_id, amount FROM added) legs GROUP BY account_id
               )
               UPDATE account a SET balance = a.balance + d.x, version = a.version + d.n
                 FROM delta d WHERE a.id = d.account_id";
    let params = vec![
        own(numbers),
        own(subjects),
        own(kinds),
        own(generations),
        own(debits),
        own(credits),
        own(amounts),
        own(events),
        own(times),
    ];
    tx.later(sql, params);
    Ok(())
}

/// Closes the escrow accounts of settled matches: what is closed must be zero and stays so.
pub(super) fn close_escrow(tx: &Tx<'_>, owners: Vec<Uuid>) {
    if !owners.is_empty() {
        let sql = "UPDATE account SET closed = true WHERE owner_key = ANY($1) AND kind = 2 AND NOT closed";
        tx.later(sql, vec![own(owners)]);
    }
}
