use matchpurse_domain::grants::Counted;
use matchpurse_domain::time::Timestamp;
use uuid::Uuid;

use crate::time::At;
use crate::{Client, Result};

/// A window of a limit in which a grant was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowLine {
    /// Whether it is a day of the player, and not an hour of the whole source.
    pub of_player: bool,
    /// When it begins.
    pub starts_at: Timestamp,
    /// What has been given in it so far, this grant included.
    pub counted: Counted,
}

/// The windows in which a grant was counted: none where its source had no limits then, or where it was held.
///
/// # Errors
/// [`crate::Error`].
pub async fn windows(client: &Client, grant: Uuid) -> Result<Vec<WindowLine>> {
    let sql = "SELECT w.of_player, w.starts_at, c.grants, c.amount
                 FROM reward_grant g
                CROSS JOIN LATERAL (VALUES (true, g.player_key, g.counted_day),
                                           (false, '00000000-0000-0000-0000-000000000000'::uuid, g.counted_hour))
                   AS w (of_player, player_key, starts_at)
                 JOIN reward_count c ON (c.source, c.player_key, c.starts_at) = (g.source, w.player_key, w.starts_at)
                WHERE g.grant_id = $1 ORDER BY w.of_player DESC";
    let rows = client.query(sql, &[&grant]).await?;
    rows.iter()
        .map(|row| {
            Ok(WindowLine {
                of_player: row.try_get(0)?,
                starts_at: row.try_get::<_, At>(1)?.0,
                counted: Counted { count: row.try_get(2)?, amount: row.try_get(3)? },
            })
        })
        .collect()
}
