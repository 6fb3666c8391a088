//! The broker's users, against a real broker: what each can do, and what it cannot.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lapin::options::{
    BasicConsumeOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, ErrorKind, ExchangeKind};
use matchpurse_bus::{
    BusOptions, Delivery, Disposition, Permissions, Publisher as _, RabbitPublisher, RabbitTransport,
    Transport, declare_topology, permissions,
};
use matchpurse_contracts::topology::{DEAD_LETTER_QUEUE, EVENTS_EXCHANGE, Queue};
use matchpurse_domain::event::PayloadName;
use matchpurse_testkit::Vhost;
use serde_json::{Value, json};

use crate::rig::{Decider, Worker, delivered_ids, message, options, until};

const PASSWORD: &str = "of-a-test";

/// A virtual host with everything declared, and its users, who go with it.
struct Guarded {
    vhost: Vhost,
}

impl Guarded {
    async fn new() -> Result<Self> {
        let guarded = Self { vhost: Vhost::create()? };
        declare_topology(&guarded.vhost.amqp_url(), &options()).await?;
        for Permissions { user, configure, write, read } in permissions() {
            let name = guarded.user(user);
            let body = json!({ "password": PASSWORD, "tags": "" }).to_string();
            let made = guarded.vhost.request("PUT", &format!("/api/users/{name}"), &body)?;
            ensure!(made.status < 300, "no user: {made:?}");
            let rights = json!({ "configure": configure, "write": write, "read": read }).to_string();
            guarded.vhost.on("PUT", "permissions", &name, &rights)?;
        }
        Ok(guarded)
    }

    /// Users belong to the whole broker, so the name has the virtual host's in it.
    fn user(&self, user: &str) -> String {
        format!("{}-{user}", self.vhost.name())
    }

    fn url(&self, user: &str) -> String {
        let url = self.vhost.amqp_url();
        let rest = url.rsplit_once('@').map_or(url.as_str(), |(_, rest)| rest);
        format!("amqp://{}:{PASSWORD}@{rest}", self.user(user))
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        for Permissions { user, .. } in permissions() {
            let gone = self.vhost.request("DELETE", &format!("/api/users/{}", self.user(user)), "");
            if let Err(error) = gone {
                eprintln!("the user {} stays: {error:#}", self.user(user));
            }
        }
    }
}

/// For a user who may not declare.
fn looking() -> BusOptions {
    BusOptions { declare: false, ..options() }
}

#[derive(Debug, Clone, Copy)]
enum Try {
    Publish(&'static str),
    Get(&'static str),
    Consume(&'static str),
    Purge(&'static str),
    Delete(&'static str),
    Bind(&'static str, &'static str),
    MakeQueue(&'static str),
    MakeExchange(&'static str),
}

impl Try {
    async fn on(self, channel: &Channel) -> lapin::Result<()> {
        let none = FieldTable::default;
        match self {
            Self::Publish(exchange) => {
                channel.confirm_select(ConfirmSelectOptions::default()).await?;
                let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
                let key = "nobody.wants.this";
                channel
                    .basic_publish(exchange.into(), key.into(), options, b"", properties)
                    .await?
                    .await
                    .map(drop)
            }
            Self::Get(queue) => channel.basic_get(queue.into(), BasicGetOptions::default()).await.map(drop),
            Self::Consume(queue) => {
                let options = BasicConsumeOptions::default();
                channel.basic_consume(queue.into(), "".into(), options, none()).await.map(drop)
            }
            Self::Purge(queue) => {
                channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await.map(drop)
            }
            Self::Delete(queue) => {
                channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.map(drop)
            }
            Self::Bind(queue, exchange) => {
                let options = QueueBindOptions::default();
                channel.queue_bind(queue.into(), exchange.into(), "#".into(), options, none()).await
            }
            Self::MakeQueue(queue) => {
                channel.queue_declare(queue.into(), QueueDeclareOptions::default(), none()).await.map(drop)
            }
            Self::MakeExchange(name) => {
                let options = ExchangeDeclareOptions::default();
                channel.exchange_declare(name.into(), ExchangeKind::Fanout, options, none()).await
            }
        }
    }
}

/// Whether the broker refuses for want of a right; any other refusal is an error.
async fn is_refused(connection: &Connection, what: Try) -> Result<bool> {
    // A refusal closes the channel.
    let channel = connection.create_channel().await?;
    let Err(error) = what.on(&channel).await else { return Ok(false) };
    let refused = matches!(error.kind(), ErrorKind::ProtocolError(error)
        if *error.kind() == AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED));
    ensure!(refused, "{what:?}: {error}");
    Ok(true)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_service_can_do_on_the_broker_what_is_another_s() -> Result<()> {
    let guarded = Guarded::new().await?;
    let (escrow, archive, delay) =
        (Queue::MatchEscrow.name(), Queue::EventArchive.name(), "matchpurse.delay.1s");
    for user in permissions().iter().map(|permissions| permissions.user).filter(|user| *user != "topology") {
        let connection = Connection::connect(&guarded.url(user), ConnectionProperties::default()).await?;
        let is_worker = !matches!(user, "ingress" | "reconciler");
        let publishes = !is_worker || user == "event-archive";
        for (what, may) in [
            (Try::Publish(EVENTS_EXCHANGE), publishes),
            (Try::Publish(delay), is_worker),
            // To a queue by its name, past every exchange: forged events for one worker.
            (Try::Publish(""), false),
            (Try::Publish("matchpurse.dead-letter"), false),
            (Try::Get(escrow), user == "match-escrow"),
            (Try::Consume(archive), user == "event-archive"),
            (Try::Get(DEAD_LETTER_QUEUE), user == "event-archive"),
            (Try::Get(delay), false),
            // Whoever may consume from a queue may empty it: it is the same right.
            (Try::Purge(escrow), user == "match-escrow"),
            (Try::Delete(escrow), false),
            // A queue of one's own would get everybody's events.
            (Try::MakeQueue("matchpurse.mine"), false),
            (Try::MakeExchange("matchpurse.mine"), false),
            (Try::Bind(escrow, EVENTS_EXCHANGE), false),
        ] {
            assert_eq!(is_refused(&connection, what).await?, !may, "{user}: {what:?}");
        }
        connection.close(200, "done".into()).await?;
    }
    Ok(())
}

/// Publishing, consuming, retrying after a delay, and a topology that is whole: without a right to declare.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_work_with_the_rights_that_they_have() -> Result<()> {
    let guarded = Guarded::new().await?;
    let sender = RabbitPublisher::start(&guarded.url("ingress"), &looking())?;
    until("the ingress is ready", || sender.is_ready()).await?;
    let sent = message(PayloadName::OfferChanged);
    sender.publish(vec![sent.clone()]).await?;

    let worker = RabbitTransport::start(&guarded.url("offer-removal"), &looking())?;
    let decide = |delivery: &Delivery| {
        if delivery.redelivered { Disposition::Ack } else { Disposition::Retry(Duration::from_millis(1)) }
    };
    let mut consumer = Worker::start(&Transport::Rabbit(worker), Queue::OfferRemoval, Decider::new(decide));
    for _ in 0..2 {
        assert_eq!(delivered_ids(&consumer.batch().await?.1), [sent.id]);
    }
    consumer.end().await?;

    // What is missing is seen, and not made.
    guarded.vhost.delete_queue(Queue::PlayerStats.name())?;
    let late = RabbitPublisher::start(&guarded.url("ingress"), &looking())?;
    until("it is told", || late.status().state().problem.contains(Queue::PlayerStats.name())).await?;
    // Whoever may declare, does.
    declare_topology(&guarded.url("topology"), &options()).await?;
    until("the ingress is ready again", || late.is_ready()).await
}

/// The file that an administrator gives to RabbitMQ is what our code declares, and the users that the services need.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_definitions_are_what_the_code_declares() -> Result<()> {
    let vhost = Vhost::create()?;
    declare_topology(&vhost.amqp_url(), &options()).await?;
    let mut declared: Value = serde_json::from_str(&vhost.on("GET", "definitions", "", "")?)?;
    let mut take = |kind: &str| -> Result<Value> {
        let mut all = declared[kind].take();
        let list = all.as_array_mut().with_context(|| format!("no {kind}"))?;
        for one in list.iter_mut() {
            one["vhost"] = json!("/");
        }
        // Whatever the broker's order is.
        let place = ["name", "source", "destination_type", "destination", "routing_key"];
        list.sort_by_key(|one| place.map(|key| one[key].as_str().unwrap_or_default().to_owned()));
        Ok(all)
    };
    let users: Vec<Value> = permissions()
        .iter()
        .map(|one| {
            let name = format!("matchpurse-{}", one.user);
            // No password: until `rabbitmqctl change_password` gives it one, nobody can log in.
            json!({ "name": name, "password_hash": "", "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": [] })
        })
        .collect();
    let rights: Vec<Value> = permissions()
        .iter()
        .map(|one| {
            json!({ "user": format!("matchpurse-{}", one.user), "vhost": "/", "configure": one.configure,
                    "write": one.write, "read": one.read })
        })
        .collect();
    let definitions = json!({
        "vhosts": [{ "name": "/" }],
        "users": users,
        "permissions": rights,
        "exchanges": take("exchanges")?,
        "queues": take("queues")?,
        "bindings": take("bindings")?,
    });
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/rabbitmq-definitions.json");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&file, format!("{}\n", serde_json::to_string_pretty(&definitions)?))?;
    }
    let expected = std::fs::read_to_string(&file).context("with UPDATE_GOLDEN=1 it is written")?;
    assert_eq!(
        definitions,
        serde_json::from_str::<Value>(&expected)?,
        "UPDATE_GOLDEN=1 makes this what is expected"
    );
    Ok(())
}
