//! The archive's days: made ahead, so that no batch has to, and let go when they are old enough.

use std::time::Duration;

use matchpurse_store::{Store, chain, now};
use matchpurse_worker_kit::Context;

/// How many days are made ahead: a week in which this job may fail and nobody notices.
const AHEAD: i32 = 7;
/// How often they are looked at.
const EVERY: Duration = Duration::from_secs(10 * 60);

/// Keeps the days, until shutdown.
pub(crate) async fn keep(context: Context) {
    let store = context.store.clone();
    let keep_days = context.settings.archive.keep_days;
    let turn = || async {
        store.make_archive_days(now(), AHEAD).await?;
        match i32::from(keep_days) {
            0 => Ok(()),
            days => let_go(&store, days).await,
        }
    };
    context.every(EVERY, "archive days", turn).await;
}

/// Detaches the days that are older than so many days, the oldest first, each when it is proved to be whole.
///
/// # Errors
/// When the database is away. A day that cannot leave, and then all behind it, stays; that is logged.
pub async fn let_go(store: &Store, keep_days: i32) -> matchpurse_store::Result<()> {
    for day in store.archive_days_older_than(keep_days).await? {
        if let Some((source, broken)) = broken_on(store, &day).await? {
            tracing::error!(
                day,
                source,
                broken,
                "a day stays in the archive, because its chain does not hold; see `matchpurse verify-archive`"
            );
            return Ok(());
        }
        match store.detach_archive_day(&day, None).await {
            Ok(()) => tracing::info!(day, "a day has left the archive"),
            // Somebody reads the archive now; the next turn tries again.
            Err(error) if error.is_contention() => {
                tracing::info!(day, reason = chain(&error), "a day stays in the archive for now");
                return Ok(());
            }
            Err(error) if error.is_transient() => return Err(error),
            Err(error) => {
                tracing::error!(day, reason = chain(&error), "a day cannot leave the archive");
                return Ok(());
            }
        }
    }
    Ok(())
}

/// The first place of a day where a source's chain does not hold.
async fn broken_on(store: &Store, day: &str) -> matchpurse_store::Result<Option<(String, String)>> {
    let mut broken = None;
    store
        .verify_archive_day(day, &mut |source, found| {
            broken.get_or_insert((source.to_owned(), found.to_string()));
        })
        .await?;
    Ok(broken)
}
