use matchpurse_domain::grants::ContestKind;
use matchpurse_domain::time::Timestamp;
use uuid::Uuid;

use crate::outbox::OUTBOX_CHANNEL;
use crate::time::At;
use crate::{Result, Tx};

/// Whether a grant `g` is still on its way: neither given, nor the provider's to give, nor taken back.
macro_rules! on_its_way {
    () => {
        "g.state IN ('reserved', 'granted', 'needs_review', 'delivering', 'failed')"
    };
}

/// A grant was given, in this transaction, which has locked all that the player has in its contest: so of two that are
/// given at once, one sees the other.
pub(crate) async fn given_in_tx(
    tx: &Tx<'_>,
    grant: Uuid,
    kinds: &[ContestKind],
    now: Timestamp,
) -> Result<()> {
    let kinds: Vec<&str> = kinds.iter().map(|kind| kind.as_str()).collect();
    let sql = concat!(
        "INSERT INTO redemption_call AS r (contest_key, player_key, source, state, redeemed_at, next_attempt_at,
                                           created_at)
         SELECT given.contest_key, given.player_key, given.source,
                CASE WHEN EXISTS (SELECT FROM reward_grant g
                                   WHERE (g.contest_key, g.player_key) = (given.contest_key, given.player_key)
                                     AND ",
        on_its_way!(),
        ") THEN 'held' ELSE 'waiting' END, $3, $3, $3
           FROM reward_grant given JOIN contest c USING (contest_key) JOIN player USING (player_key)
          WHERE given.grant_id = $1 AND given.state = 'fulfilled' AND c.kind = ANY ($2)
         ON CONFLICT (contest_key, player_key) DO UPDATE
            SET state = EXCLUDED.state, redeemed_at = EXCLUDED.redeemed_at, attempts = 0,
                next_attempt_at = EXCLUDED.next_attempt_at, claimed_at = NULL, changed_at = now()
          WHERE r.state IN ('held', 'withdrawn')"
    );
    tx.execute(sql, &[&grant, &kinds, &At(now)]).await?;
    Ok(())
}

/// Grants were taken back, in this transaction: nobody waits for them any more, and where nothing is left that was
/// given, there is nothing to tell.
pub(crate) async fn taken_back_in_tx(tx: &Tx<'_>, grants: &[Uuid]) -> Result<()> {
    if grants.is_empty() {
        return Ok(());
    }
    // Due at once: the time when the last one was given has passed.
    let sql = concat!(
        "WITH judged AS (
           SELECT r.contest_key, r.player_key, bool_or(g.state = 'fulfilled') AS given, bool_or(",
        on_its_way!(),
        ") AS on_its_way
             FROM redemption_call r JOIN reward_grant g USING (contest_key, player_key)
            WHERE (r.contest_key, r.player_key)
               IN (SELECT contest_key, player_key FROM reward_grant WHERE grant_id = ANY ($1))
            GROUP BY r.contest_key, r.player_key)
         UPDATE redemption_call AS r
            SET state = CASE WHEN given THEN 'waiting' ELSE 'withdrawn' END, next_attempt_at = redeemed_at,
                claimed_at = NULL, changed_at = now()
           FROM judged
          WHERE (r.contest_key, r.player_key) = (judged.contest_key, judged.player_key)
            AND (r.state = 'held' AND given AND NOT on_its_way
                 OR r.state IN ('held', 'waiting', 'refused', 'given_up') AND NOT given)"
    );
    tx.execute(sql, &[&grants]).await?;
    Ok(())
}

/// Has the provider told now that what a grant's player won was given, where that was refused, given up or waits for
/// its next attempt; none of the schedule is used up then. False when there is no such call, or somebody is making it.
///
/// # Errors
/// [`crate::Error`].
pub async fn retry_in_tx(tx: &Tx<'_>, grant: Uuid, now: Timestamp) -> Result<bool> {
    let sql = "UPDATE redemption_call AS r
                  SET state = 'waiting', next_attempt_at = $2, changed_at = now(),
                      attempts = CASE WHEN r.state = 'waiting' THEN r.attempts ELSE 0 END
                 FROM reward_grant g
                WHERE g.grant_id = $1 AND (r.contest_key, r.player_key) = (g.contest_key, g.player_key)
                  AND (r.state IN ('refused', 'given_up')
                       OR r.state = 'waiting' AND (r.claimed_at IS NULL OR r.next_attempt_at <= $2))";
    let retried = tx.execute(sql, &[&grant, &At(now)]).await? > 0;
    if retried {
        tx.tell(OUTBOX_CHANNEL);
    }
    Ok(retried)
}
