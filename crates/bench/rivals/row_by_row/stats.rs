use anyhow::Result;
use matchpurse_domain::event::{MatchStatsSnapshot, PlayerStats};
use tokio_postgres::{Client, Statement, Transaction};

/// The statements of the statistics.
pub(crate) struct Stats {
    make: Statement,
    lock: Statement,
    update: Statement,
    player: Statement,
    total: Statement,
}

impl Stats {
    pub(crate) async fn prepare(client: &Client) -> Result<Self> {
        let add = "INSERT INTO rival_totals VALUES ($1, 1, $2, $3)
                   ON CONFLICT (player_id) DO UPDATE
                     SET matches = rival_totals.matches + 1, kills = rival_totals.kills + excluded.kills,
                         counters = (SELECT array_agg(a + b ORDER BY n)
                                       FROM unnest(rival_totals.counters, excluded.counters)
                                            WITH ORDINALITY AS pair(a, b, n))";
        Ok(Self {
            make: client
                .prepare("INSERT INTO rival_stats_match (match_id) VALUES ($1) ON CONFLICT DO NOTHING")
                .await?,
            lock: client
                .prepare("SELECT rounds, finished FROM rival_stats_match WHERE match_id = $1 FOR UPDATE")
                .await?,
            update: client
                .prepare("UPDATE rival_stats_match SET rounds = $2, finished = $3 WHERE match_id = $1")
                .await?,
            player: client
                .prepare(
                    "INSERT INTO rival_stats VALUES ($1, $2, $3, $4)
                     ON CONFLICT (match_id, player_id) DO UPDATE
                       SET kills = excluded.kills, counters = excluded.counters",
                )
                .await?,
            total: client.prepare(add).await?,
        })
    }

    pub(crate) async fn apply(&self, tx: &Transaction<'_>, snapshot: &MatchStatsSnapshot) -> Result<()> {
        let id = &snapshot.match_id;
        tx.execute(&self.make, &[id]).await?;
        let row = tx.query_one(&self.lock, &[id]).await?;
        let (rounds, finished): (i32, bool) = (row.try_get(0)?, row.try_get(1)?);
        let played = i32::try_from(snapshot.rounds_played)?;
        if finished || played <= rounds {
            return Ok(());
        }
        tx.execute(&self.update, &[id, &played, &snapshot.finished]).await?;
        for player in &snapshot.players {
            let (name, kills, counters) = numbers(player);
            tx.execute(&self.player, &[id, &name, &kills, &counters]).await?;
            if snapshot.finished {
                let counters: Vec<i64> = counters.iter().copied().map(i64::from).collect();
                tx.execute(&self.total, &[&name, &i64::from(kills), &counters]).await?;
            }
        }
        Ok(())
    }
}

fn numbers(player: &PlayerStats) -> (&str, i32, Vec<i32>) {
    let counters = player.counters.0;
    (player.player_id.as_str(), counters.first().copied().unwrap_or(0), counters.to_vec())
}
