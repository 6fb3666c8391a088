//! The ledger itself: what all accounts hold together, and what one of them held and got.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use matchpurse_store::balances::{self, Account, AccountKind, Cursor, Entry, Order, TrialLine};
use matchpurse_store::escrow::{AccountOwner, account_owner};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::api::Api;
use crate::cursor::List;
use crate::failure::Result;
use crate::moment::Moment;
use crate::request::{self, Query, unknown_account};
use crate::wire::{Amount, Page, answer, answer_one};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MomentQuery {
    at: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EntriesQuery {
    cursor: Option<String>,
    limit: Option<String>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct TrialBalance {
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Moment>,
    /// True when the balances of every source and currency add up to zero, as they must.
    balanced: bool,
    /// The sums, by source and currency.
    totals: Vec<Total>,
    /// The balances of all accounts of a kind together.
    lines: Vec<TrialLineView>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = TrialBalanceTotal)]
pub(crate) struct Total {
    source: String,
    balance: Amount,
}

#[derive(Serialize, ToSchema)]
#[schema(as = TrialBalanceLine)]
pub(crate) struct TrialLineView {
    source: String,
    kind: &'static str,
    balance: Amount,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LedgerAccount)]
pub(crate) struct AccountView {
    id: String,
    source: String,
    kind: &'static str,
    /// Of a player's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    player_id: Option<String>,
    /// Of an escrow account.
    #[serde(skip_serializing_if = "Option::is_none")]
    r#match: Option<MatchName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Moment>,
    balance: Amount,
    /// The least that may be on it; none for an account that only records what a provider did.
    floor: Option<Amount>,
    closed: bool,
    opened_at: Moment,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LedgerMatch)]
pub(crate) struct MatchName {
    kind: String,
    match_id: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LedgerEntry)]
pub(crate) struct EntryView {
    recorded_at: Moment,
    /// `hold`, `payout`, `refund`, `fee`, `reward`, `top-up`, `reversal`, `deposit` or `withdrawal`.
    what: &'static str,
    /// What the account received; negative where it gave.
    amount: Amount,
    /// The account on the other side.
    other_account: String,
    r#match: Option<MatchName>,
    generation: i16,
    /// The event or operation that caused it.
    cause: Option<String>,
    /// The cause's own time.
    caused_at: Moment,
}

pub(crate) async fn trial_balance(api: web::Data<Api>, query: Query<MomentQuery>) -> Result<HttpResponse> {
    let at = request::moment(query.0.at.as_deref())?;
    let store = api.store.clone();
    let lines = api
        .run(async move {
            let client = store.client().await?;
            Ok(balances::trial_balance(&client, at.map(|Moment(at)| at)).await?)
        })
        .await?;
    let mut totals: BTreeMap<(&str, &str), i64> = BTreeMap::new();
    for TrialLine { source, currency, balance, .. } in &lines {
        let total = totals.entry((source, currency)).or_default();
        *total = total.saturating_add(*balance);
    }
    let shown = TrialBalance {
        at,
        balanced: totals.values().all(|total| *total == 0),
        totals: totals
            .into_iter()
            .map(|((source, currency), total)| Total {
                source: source.to_owned(),
                balance: Amount::new(total, currency),
            })
            .collect(),
        lines: lines
            .iter()
            .map(|line| TrialLineView {
                source: line.source.clone(),
                kind: line.kind.as_str(),
                balance: Amount::new(line.balance, &line.currency),
            })
            .collect(),
    };
    Ok(answer_one(&shown))
}

pub(crate) async fn account(
    api: web::Data<Api>,
    path: web::Path<String>,
    query: Query<MomentQuery>,
) -> Result<HttpResponse> {
    let id = request::account(&path)?;
    let at = request::moment(query.0.at.as_deref())?;
    let store = api.store.clone();
    let shown = api
        .run(async move {
            let client = store.client().await?;
            let account = balances::account(&client, id).await?.ok_or_else(unknown_account)?;
            let balance = match at {
                None => account.balance,
                // The account is there, and an account is never taken away.
                Some(Moment(at)) => balances::at(&client, id, Some(at)).await?.unwrap_or_default(),
            };
            let owner = match account.kind {
                AccountKind::Player | AccountKind::Escrow => account_owner(&client, account.owner).await?,
                AccountKind::House | AccountKind::External | AccountKind::RewardFund => None,
            };
            Ok(AccountView::of(account, balance, at, owner))
        })
        .await?;
    Ok(answer_one(&shown))
}

impl AccountView {
    fn of(account: Account, balance: i64, at: Option<Moment>, owner: Option<AccountOwner>) -> Self {
        let (player_id, of_match) = match owner {
            None => (None, None),
            Some(AccountOwner::Player(player_id)) => (Some(player_id), None),
            Some(AccountOwner::Match(kind, match_id)) => (None, Some(MatchName { kind, match_id })),
        };
        Self {
            id: account.id.to_string(),
            kind: account.kind.as_str(),
            player_id,
            r#match: of_match,
            at,
            balance: Amount::new(balance, &account.currency),
            floor: account.floor.map(|floor| Amount::new(floor, &account.currency)),
            closed: account.closed,
            opened_at: account.opened_at.into(),
            source: account.source,
        }
    }
}

/// The newest first.
pub(crate) async fn entries(
    api: web::Data<Api>,
    path: web::Path<String>,
    query: Query<EntriesQuery>,
) -> Result<HttpResponse> {
    let id = request::account(&path)?;
    let list = List::Entries(id);
    let after = request::cursor(list, query.0.cursor.as_deref(), |place| place.parse::<Cursor>().ok())?;
    let limit = request::limit(query.0.limit.as_deref())?;
    let store = api.store.clone();
    let (account, mut found) = api
        .run(async move {
            let client = store.client().await?;
            let account = balances::account(&client, id).await?.ok_or_else(unknown_account)?;
            // One more than is shown tells whether a page follows.
            let limit = limit.saturating_add(1);
            let found = balances::entries(&client, id, Order::Newest, after.as_ref(), limit).await?;
            Ok((account, found))
        })
        .await?;
    let shown = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > shown;
    found.truncate(shown);
    let next = found.last().filter(|_| more).map(|last| list.cursor(&last.cursor.to_string()));
    let items: Vec<EntryView> =
        found.into_iter().map(|entry| EntryView::of(entry, &account.currency)).collect();
    Ok(answer(StatusCode::OK, &Page { items, next }))
}

impl EntryView {
    fn of(entry: Entry, currency: &str) -> Self {
        Self {
            recorded_at: entry.cursor.recorded_at.into(),
            what: entry.what,
            amount: Amount::new(entry.amount, currency),
            other_account: entry.other_account.to_string(),
            r#match: entry.of_match.map(|(kind, match_id)| MatchName { kind, match_id }),
            generation: entry.cursor.generation,
            cause: entry.event_id.map(|id| id.to_string()),
            caused_at: entry.event_at.into(),
        }
    }
}
