use anyhow::Result;
use matchpurse_store::{Error, Store, StoreOptions};
use matchpurse_testkit::Database;

#[tokio::test]
async fn a_database_that_is_away_is_a_transient_error_and_comes_back_by_itself() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    store.ping().await?;
    database.cut_off().await?;
    // The first call may still find the old connection in the pool.
    for _ in 0..2 {
        let error = store.ping().await.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
    }
    database.restore().await?;
    store.ping().await?;
    Ok(())
}

#[tokio::test]
async fn a_transaction_whose_connection_dies_is_a_transient_error() -> Result<()> {
    let database = Database::create().await?;
    let store = database.store().await?;
    let mut client = store.client().await?;
    let tx = client.begin().await?;
    database.cut_off().await?;
    let error = tx.commit().await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn nobody_waits_for_ever_for_a_connection() -> Result<()> {
    let database = Database::create().await?;
    let mut options = StoreOptions::new(database.url().into(), "test");
    options.pool_size = 1;
    options.wait_timeout = std::time::Duration::from_millis(20);
    let store = Store::connect(&options).await?;
    let _held = store.client().await?;
    let error = store.client().await.err().unwrap();
    assert!(matches!(error, Error::Pool(_)) && error.is_transient(), "{error:?}");
    Ok(())
}
