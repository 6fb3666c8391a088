use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use matchpurse_domain::ids::{EventId, PlayerId, derived_uuid};
use matchpurse_domain::money::{CurrencyCode, Money};
use matchpurse_domain::time::Timestamp;
use matchpurse_store::balances::{self, AccountKind, Cursor, Order};
use matchpurse_store::{Client, Store, audit, funds};
use matchpurse_testkit::{Database, fill_ledger};

use crate::samples::source;

/// Every entry of the ledger as the test reads it: when, in microseconds, which account, how much.
async fn all_entries(database: &Database) -> Result<Vec<(i64, i64, i64)>> {
    let sql = "SELECT (extract(epoch FROM recorded_at) * 1000000)::bigint, account_id, amount FROM entry
                ORDER BY recorded_at";
    let rows = database.connection().await?.query(sql, &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

async fn filled() -> Result<(Database, Store)> {
    let database = Database::create().await?;
    fill_ledger(&mut database.connection().await?, 1000).await?;
    let store = database.store().await?;
    Ok((database, store))
}

async fn total(client: &Client, moment: Option<Timestamp>) -> Result<BTreeMap<(String, String), i64>> {
    let mut totals = BTreeMap::new();
    for line in balances::trial_balance(client, moment).await? {
        *totals.entry((line.source, line.currency)).or_insert(0) += line.balance;
    }
    Ok(totals)
}

#[tokio::test]
async fn at_every_moment_everything_adds_up_to_zero() -> Result<()> {
    let (database, store) = filled().await?;
    let client = store.client().await?;
    let mut moments: Vec<i64> = all_entries(&database).await?.iter().map(|(at, ..)| *at).collect();
    moments.dedup();
    assert!(moments.len() > 300, "{}", moments.len());
    for moment in moments.iter().step_by(7) {
        let totals = total(&client, Some(Timestamp::from_micros(*moment))).await?;
        assert!(totals.values().all(|sum| *sum == 0), "{moment}: {totals:?}");
    }
    let last = Some(Timestamp::from_micros(*moments.last().context("no entry")?));
    assert_eq!(balances::trial_balance(&client, last).await?, balances::trial_balance(&client, None).await?);
    assert_eq!(balances::trial_balance(&client, Some(Timestamp::from_micros(0))).await?, []);
    Ok(())
}

#[tokio::test]
async fn an_accounts_balance_at_any_moment_is_what_was_moved_until_then() -> Result<()> {
    let (database, store) = filled().await?;
    let client = store.client().await?;
    let mut running: BTreeMap<i64, BTreeMap<i64, i64>> = BTreeMap::new();
    for (at, account, amount) in all_entries(&database).await? {
        let moments = running.entry(account).or_default();
        let before = moments.last_key_value().map_or(0, |(_, balance)| *balance);
        moments.insert(at, before + amount);
    }
    let mut looked_at = 0;
    for (account, moments) in running.iter().step_by(5) {
        let first = *moments.first_key_value().context("no moment")?.0;
        let before = Timestamp::from_micros(first - 1);
        assert_eq!(balances::at(&client, *account, Some(before)).await?, Some(0));
        for (moment, expected) in moments.iter().step_by(3) {
            let moment = Timestamp::from_micros(*moment);
            let found = balances::at(&client, *account, Some(moment)).await?;
            assert_eq!(found, Some(*expected), "account {account} at {moment:?}");
            looked_at += 1;
        }
        let now = moments.last_key_value().map(|(_, balance)| *balance);
        assert_eq!(balances::at(&client, *account, None).await?, now);
    }
    assert!(looked_at > 50, "{looked_at}");
    assert_eq!(balances::at(&client, 999_999, None).await?, None);
    assert_eq!(balances::at(&client, 999_999, Some(Timestamp::from_micros(0))).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_statement_is_read_page_by_page_from_either_end() -> Result<()> {
    let (_database, store) = filled().await?;
    let client = store.client().await?;
    let accounts =
        balances::accounts_of_player(&client, &source("studio"), &PlayerId::from("player-3")).await?;
    let [account] = &accounts[..] else { panic!("{accounts:?}") };
    assert_eq!(
        (account.kind, account.floor, account.currency.as_str()),
        (AccountKind::Player, Some(0), "USD")
    );
    assert_eq!(balances::account(&client, account.id).await?.as_ref(), Some(account));

    let whole = balances::entries(&client, account.id, Order::Oldest, None, 10_000).await?;
    assert!(whole.len() > 40 && whole.is_sorted_by(|a, b| a.cursor < b.cursor), "{}", whole.len());
    assert_eq!(whole.iter().map(|entry| entry.amount).sum::<i64>(), account.balance);
    assert_eq!((whole[0].what, whole[0].amount, &whole[0].of_match), ("deposit", 100_000_000, &None));
    let hold = whole.iter().find(|entry| entry.what == "hold").context("no hold")?;
    assert_eq!(hold.amount, -500);
    assert_eq!(hold.of_match.as_ref().map(|(kind, _)| kind.as_str()), Some("recreational"));
    let escrow = balances::account(&client, hold.other_account).await?.context("no escrow")?;
    assert_eq!((escrow.kind, escrow.balance, escrow.closed), (AccountKind::Escrow, 0, true));

    for (order, backwards) in [(Order::Oldest, false), (Order::Newest, true)] {
        let (mut paged, mut after): (Vec<_>, Option<Cursor>) = (Vec::new(), None);
        loop {
            let page = balances::entries(&client, account.id, order, after.as_ref(), 7).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.cursor.to_string().parse()?);
            paged.extend(page);
        }
        if backwards {
            paged.reverse();
        }
        assert_eq!(paged, whole, "{order:?}");
    }
    Ok(())
}

/// A transaction that began first and waited is recorded last: the history is that of the account, not of the
/// transactions' beginnings.
#[tokio::test]
async fn who_waited_for_an_account_is_recorded_behind_whom_he_waited_for() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let (games, player) = (source("games"), PlayerId::from("steve"));
    let amount = Money::new(100, CurrencyCode::parse("USD")?);
    let now = Timestamp::from_seconds(1_790_000_000);
    let id = |name: &str| EventId::from_uuid(derived_uuid("test", &[name]));
    let (mut early, mut late) = (store.client().await?, store.client().await?);

    let withdrawal = early.begin().await?;
    // It has begun: its `now()` is before the deposit's.
    assert!(matchpurse_store::operations::find_in_tx(&withdrawal, id("none")).await?.is_none());
    let deposit = late.begin().await?;
    funds::move_in_tx(&deposit, &games, &player, &amount, false, id("deposit"), now).await?;
    deposit.commit().await?;
    assert_eq!(funds::lock_in_tx(&withdrawal, &games, &player, &amount).await?, Some(100));
    funds::move_in_tx(&withdrawal, &games, &player, &amount, true, id("withdrawal"), now).await?;
    withdrawal.commit().await?;

    let account = balances::accounts_of_player(&late, &games, &player).await?.remove(0);
    let entries = balances::entries(&late, account.id, Order::Oldest, None, 10).await?;
    let told: Vec<_> = entries.iter().map(|entry| (entry.what, entry.amount)).collect();
    assert_eq!(told, [("deposit", 100), ("withdrawal", -100)]);
    assert_eq!(balances::at(&late, account.id, Some(entries[0].cursor.recorded_at)).await?, Some(100));
    let never_below =
        audit::CHECKS.iter().find(|check| check.name.contains("ever below")).context("no check")?;
    assert_eq!(audit::run(&late, never_below).await?, []);
    Ok(())
}
