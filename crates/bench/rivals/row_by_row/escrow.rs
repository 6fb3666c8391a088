use anyhow::{Context as _, Result};
use matchpurse_domain::event::{Disposition, MatchSnapshot};
use tokio_postgres::{Client, Statement, Transaction};

/// The statements of the escrow.
pub(crate) struct Escrow {
    make: Statement,
    lock: Statement,
    held: Statement,
    ended: Statement,
    transfer: Statement,
    balance: Statement,
}

impl Escrow {
    pub(crate) async fn prepare(client: &Client) -> Result<Self> {
        Ok(Self {
            make: client
                .prepare("INSERT INTO rival_match (match_id) VALUES ($1) ON CONFLICT DO NOTHING")
                .await?,
            lock: client
                .prepare("SELECT held, ended FROM rival_match WHERE match_id = $1 FOR UPDATE")
                .await?,
            held: client.prepare("UPDATE rival_match SET held = true WHERE match_id = $1").await?,
            ended: client.prepare("UPDATE rival_match SET ended = true WHERE match_id = $1").await?,
            transfer: client
                .prepare(
                    "INSERT INTO rival_transfer (match_id, player_id, kind, amount) VALUES ($1, $2, $3, $4)
                     ON CONFLICT DO NOTHING",
                )
                .await?,
            balance: client
                .prepare(
                    "INSERT INTO rival_account VALUES ($1, $2)
                     ON CONFLICT (owner) DO UPDATE SET balance = rival_account.balance + excluded.balance",
                )
                .await?,
        })
    }

    pub(crate) async fn apply(&self, tx: &Transaction<'_>, snapshot: &MatchSnapshot) -> Result<()> {
        let id = &snapshot.match_id;
        tx.execute(&self.make, &[id]).await?;
        let row = tx.query_one(&self.lock, &[id]).await?;
        let (held, ended): (bool, bool) = (row.try_get(0)?, row.try_get(1)?);
        let disposition = snapshot.status.disposition();
        if ended || disposition == Disposition::None {
            return Ok(());
        }
        let stake = snapshot.buy_in.as_ref().context("a match without a stake")?.minor_units;
        let refund = disposition == Disposition::Refund;
        if !held && !refund {
            for player in snapshot.players() {
                self.transfer(tx, id, player.as_str(), "hold", stake, (player.as_str(), id)).await?;
            }
            tx.execute(&self.held, &[id]).await?;
        }
        match disposition {
            Disposition::Payout => {
                let mut left = stake * i64::try_from(snapshot.players().count())?;
                for player in snapshot.groups.iter().flat_map(|group| &group.players) {
                    let reward = player.reward.as_ref().and_then(|reward| reward.amount.as_ref());
                    let Some(reward) = reward else { continue };
                    let name = player.player_id.as_str();
                    self.transfer(tx, id, name, "payout", reward.minor_units, (id, name)).await?;
                    left -= reward.minor_units;
                }
                self.transfer(tx, id, "house", "fee", left, (id, "house")).await?;
            }
            Disposition::Tie | Disposition::Refund if held || !refund => {
                for player in snapshot.players() {
                    self.transfer(tx, id, player.as_str(), "refund", stake, (id, player.as_str())).await?;
                }
            }
            _ => {}
        }
        if snapshot.status.is_terminal() {
            tx.execute(&self.ended, &[id]).await?;
        }
        Ok(())
    }

    /// Moves money, once; `from_to` are the owners of the accounts.
    async fn transfer(
        &self,
        tx: &Transaction<'_>,
        id: &String,
        player: &str,
        kind: &str,
        amount: i64,
        from_to: (&str, &str),
    ) -> Result<()> {
        if tx.execute(&self.transfer, &[id, &player, &kind, &amount]).await? == 1 {
            tx.execute(&self.balance, &[&from_to.0, &-amount]).await?;
            tx.execute(&self.balance, &[&from_to.1, &amount]).await?;
        }
        Ok(())
    }
}
