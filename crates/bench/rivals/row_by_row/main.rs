//! A worker as it is written first: one event, one transaction, row by row. It is honest: statements are prepared, an
//! inbox keeps repeats out, rows are locked before they are changed, and nothing is acknowledged before its commit.

mod escrow;
mod stats;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use futures_util::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Connection, ConnectionProperties};
use matchpurse_contracts::wire;
use matchpurse_domain::event::Payload;
use tokio_postgres::{Client, NoTls};

/// Deliveries that the broker sends ahead.
const PREFETCH: u16 = 200;

#[derive(Parser)]
struct Arguments {
    #[arg(long)]
    worker: String,
    #[arg(long)]
    queue: String,
    #[arg(long)]
    amqp: String,
    #[arg(long)]
    database: String,
}

/// What it can do.
enum Worker {
    Escrow(escrow::Escrow),
    Stats(stats::Stats),
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let (mut client, connection) = tokio_postgres::connect(&arguments.database, NoTls).await?;
    tokio::spawn(connection);
    let worker = match arguments.worker.as_str() {
        "match-escrow" => Worker::Escrow(escrow::Escrow::prepare(&client).await?),
        "player-stats" => Worker::Stats(stats::Stats::prepare(&client).await?),
        other => bail!("no worker {other}"),
    };
    let inbox = client
        .prepare("INSERT INTO rival_inbox VALUES ($1) ON CONFLICT DO NOTHING")
        .await
        .context("the tables are not there")?;
    let connection = Connection::connect(&arguments.amqp, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
    let queue = ShortString::try_new(arguments.queue)?;
    let options = BasicConsumeOptions::default();
    let mut consumer =
        channel.basic_consume(queue, ShortString::default(), options, FieldTable::default()).await?;
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery?;
        apply(&mut client, &worker, &inbox, &delivery.data).await?;
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}

async fn apply(
    client: &mut Client,
    worker: &Worker,
    inbox: &tokio_postgres::Statement,
    body: &[u8],
) -> Result<()> {
    let event = wire::decode(body)?;
    let tx = client.transaction().await?;
    if tx.execute(inbox, &[&event.id.uuid()]).await? == 1 {
        match (worker, &event.payload) {
            (Worker::Escrow(escrow), Payload::MatchSnapshot(snapshot)) => escrow.apply(&tx, snapshot).await?,
            (Worker::Stats(stats), Payload::MatchStatsSnapshot(snapshot)) => {
                stats.apply(&tx, snapshot).await?
            }
            (_, other) => bail!("{} is not for this worker", other.name().as_str()),
        }
    }
    Ok(tx.commit().await?)
}
