//! Looks for questions and has them asked, a few at a time, for one source.

use std::sync::Arc;
use std::time::Duration;

use matchpurse_providers::InquiryKind;
use matchpurse_store::inquiries::{self, Claimed, Cursor, Question};
use matchpurse_store::{chain, now};
use metrics::gauge;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::asker::Calling;
use crate::asking::Asking;
use crate::metric;

/// Between looks for what is due.
const POLL: Duration = Duration::from_millis(500);

/// Asks one source until `stop`, then lets what is being asked end for as long as the settings allow. `turned` is told of
/// each look.
pub(crate) async fn ask_source(
    asking: Arc<Asking>,
    calling: Arc<Calling>,
    stop: CancellationToken,
    turned: impl Fn(matchpurse_store::Result<()>),
) {
    let every = Duration::from_millis(asking.settings.look_every_ms);
    let (mut cursor, mut look_at) = (Cursor::default(), Instant::now());
    let mut prepared = false;
    let mut asked: JoinSet<()> = JoinSet::new();
    while !stop.is_cancelled() {
        let began = Instant::now();
        let turn = async {
            if !prepared {
                prepare(&asking, &calling).await?;
            }
            if began >= look_at {
                cursor = look(&asking, &calling, cursor).await?;
            }
            while asked.try_join_next().is_some() {}
            let free = usize::from(asking.settings.asks_max).saturating_sub(asked.len());
            claim(&asking, &calling, u32::try_from(free).unwrap_or(0)).await
        };
        let outcome = turn.await;
        if outcome.is_ok() {
            prepared = true;
            look_at = if began >= look_at { began + every } else { look_at };
        }
        let claimed = outcome.map(|claimed| {
            for (claimed, lease_ends) in claimed {
                let (asking, calling) = (Arc::clone(&asking), Arc::clone(&calling));
                asked.spawn(async move { asking.ask(&calling, &claimed, lease_ends).await });
            }
        });
        if let Err(error) = &claimed {
            let (source, reason) = (calling.asker.source.as_str(), chain(error));
            tracing::warn!(source, reason, "a look for what is to be asked failed; it is done again");
        }
        turned(claimed);
        // Whoever is free asks the next one at once; nobody else is waited for.
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep_until(Instant::now() + POLL) => {}
            Some(_) = asked.join_next() => {}
        }
    }
    let patience = Duration::from_millis(asking.settings.drain_timeout_ms);
    if timeout(patience, async { while asked.join_next().await.is_some() {} }).await.is_err() {
        tracing::warn!(
            source = calling.asker.source.as_str(),
            "questions were still being asked; they are asked again"
        );
    }
}

/// The slots of its limit, and the questions that are always asked.
async fn prepare(asking: &Asking, calling: &Calling) -> matchpurse_store::Result<()> {
    calling.caller.prepare().await?;
    let (client, asker, now) = (asking.store.client().await?, &calling.asker, now());
    let always = [
        (InquiryKind::Offers, asker.answers(InquiryKind::Offers)),
        (InquiryKind::PlayersMatches, asker.inquiries.tells_of_all_players(now)),
    ];
    for (kind, _) in always.into_iter().filter(|(_, is_asked)| *is_asked) {
        let source = asker.source.to_string();
        let question = Question { source, kind: kind.as_str().to_owned(), subject: String::new() };
        inquiries::open(&client, &question, now).await?;
    }
    Ok(())
}

/// Notes what there is a reason to ask about.
async fn look(asking: &Asking, calling: &Calling, cursor: Cursor) -> matchpurse_store::Result<Cursor> {
    let (client, source, now) = (asking.store.client().await?, calling.asker.source.as_str(), now());
    gauge!(metric::OVERDUE_SECONDS, "source" => source.to_owned())
        .set(inquiries::overdue_s(&client, source, now).await?);
    if calling.asker.inquiries.tells_of_one_player(now) {
        inquiries::look_players(&client, source, now).await?;
    }
    if !calling.asker.answers(InquiryKind::Match) {
        return Ok(cursor);
    }
    inquiries::look(&client, source, asking.patience(), cursor, now).await
}

async fn claim(
    asking: &Asking,
    calling: &Calling,
    most: u32,
) -> matchpurse_store::Result<Vec<(Claimed, Instant)>> {
    if most == 0 {
        return Ok(Vec::new());
    }
    let lease = Duration::from_millis(asking.settings.lease_ms);
    let lease_ends = Instant::now() + lease;
    let (client, asker, now) = (asking.store.client().await?, &calling.asker, now());
    let lease_s = i64::try_from(lease.as_secs()).unwrap_or(i64::MAX);
    let until = now.plus_seconds(lease_s.saturating_add(1));
    let claimed = inquiries::claim(&client, asker.source.as_str(), &asker.kinds(), most, now, until).await?;
    Ok(claimed.into_iter().map(|claimed| (claimed, lease_ends)).collect())
}
