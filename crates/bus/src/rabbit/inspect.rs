//! What is on the broker, looked at without changing anything: for a person who asks what is wrong.

use std::time::Duration;

use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ExchangeKind};
use matchpurse_contracts::topology::{DEAD_LETTER_EXCHANGE, DEAD_LETTER_QUEUE, EVENTS_EXCHANGE, Queue};

use super::address::Address;
use super::connection::{close, connect};
use super::error::RabbitError;
use super::topology::{DELAY_LEVELS, short};
use crate::BusOptions;

/// What has to be there, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Exchanges.
    pub exchanges: Vec<String>,
    /// Queues.
    pub queues: Vec<String>,
    /// The bindings by which events reach the workers: from an exchange, to a queue or exchange, by a key.
    pub bindings: Vec<(String, String, String)>,
}

/// What was found of a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueReport {
    /// Its name.
    pub name: String,
    /// How many messages wait in it and how many consumers it has; none when it is not there.
    pub found: Option<(u32, u32)>,
}

/// What was found on the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerReport {
    /// The exchanges that have to be there and are not.
    pub missing_exchanges: Vec<String>,
    /// The queues that have to be there.
    pub queues: Vec<QueueReport>,
    /// Whether a message of our own, to a queue of our own, was confirmed, or why not: a broker with an alarm about
    /// memory or disk accepts connections and confirms nothing.
    pub confirms: Result<(), String>,
}

impl Expected {
    /// With so many shards a worker.
    pub fn new(shards: u16) -> Self {
        let mut expected = Self {
            exchanges: vec![EVENTS_EXCHANGE.to_owned(), DEAD_LETTER_EXCHANGE.to_owned()],
            queues: vec![DEAD_LETTER_QUEUE.to_owned()],
            bindings: Vec::new(),
        };
        for level in &DELAY_LEVELS {
            expected.exchanges.push(level.name.to_owned());
            expected.queues.push(level.name.to_owned());
        }
        for queue in Queue::ALL {
            expected.queues.push(queue.name().to_owned());
            let sharded = shards > 1 && queue.can_be_sharded();
            if sharded {
                expected.exchanges.extend([queue.shards_exchange(), queue.rest_exchange()]);
                expected.queues.extend((0..shards).map(|shard| queue.shard_name(shard)));
            }
            let to = if sharded { queue.shards_exchange() } else { queue.name().to_owned() };
            let bound = queue.binding_keys().into_iter();
            expected.bindings.extend(bound.map(|key| (EVENTS_EXCHANGE.to_owned(), to.clone(), key)));
        }
        expected
    }
}

/// Connects once and looks; declares nothing that stays.
///
/// # Errors
/// [`RabbitError`], when there is no connection. What is missing is no error but found.
pub async fn inspect(url: &str, options: &BusOptions) -> Result<BrokerReport, RabbitError> {
    let address = Address::new(url, options)?;
    let connection = connect(&address, &options.service, options.connection_timeout).await?;
    let report = look(&connection, options).await;
    close(&connection).await;
    report.map_err(|error| RabbitError::Connect(error.into()))
}

async fn look(connection: &Connection, options: &BusOptions) -> Result<BrokerReport, lapin::Error> {
    let expected = Expected::new(options.shards);
    let mut missing_exchanges = Vec::new();
    for name in expected.exchanges {
        // An answer of "not found" closes the channel, so each has its own.
        let channel = connection.create_channel().await?;
        let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
        let found =
            channel.exchange_declare(short(&name), ExchangeKind::Topic, passive, FieldTable::default());
        if found.await.is_err() {
            missing_exchanges.push(name);
        }
    }
    let mut queues = Vec::new();
    for name in expected.queues {
        let channel = connection.create_channel().await?;
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let found = channel.queue_declare(short(&name), passive, FieldTable::default()).await;
        let found = found.ok().map(|queue| (queue.message_count(), queue.consumer_count()));
        queues.push(QueueReport { name, found });
    }
    let channel = connection.create_channel().await?;
    let confirms = match tokio::time::timeout(options.confirm_timeout, probe(&channel)).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err("the broker refused a message".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(silent(options.confirm_timeout)),
    };
    Ok(BrokerReport { missing_exchanges, queues, confirms })
}

fn silent(limit: Duration) -> String {
    format!("no message was confirmed within {} ms", limit.as_millis())
}

/// Publishes to a queue that ends with the connection, and waits for the confirm.
async fn probe(channel: &Channel) -> Result<bool, lapin::Error> {
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let own = QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare(short(""), own, FieldTable::default()).await?;
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let sent = channel.basic_publish(short(""), queue.name().clone(), options, b"probe", properties).await?;
    Ok(matches!(sent.await?, Confirmation::Ack(None)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_to_be_there_grows_with_the_shards() {
        let one = Expected::new(1);
        assert!(one.queues.contains(&"matchpurse.match-escrow".to_owned()));
        let archive = (EVENTS_EXCHANGE.to_owned(), "matchpurse.event-archive".to_owned(), "#".to_owned());
        assert!(one.bindings.contains(&archive));
        let three = Expected::new(3);
        assert_eq!(three.queues.len(), one.queues.len() + 4 * 3);
        assert!(three.bindings.contains(&archive));
        assert_eq!(three.bindings.len(), one.bindings.len());
    }
}
