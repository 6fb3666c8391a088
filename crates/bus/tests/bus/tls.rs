//! A RabbitMQ that shows a certificate: who is believed, and that publishing and consuming go over it.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use matchpurse_bus::{BusOptions, RabbitError, declare_topology, inspect};
use matchpurse_local_servers::{Rabbitmq, RabbitmqOptions, ServerTls};
use matchpurse_testkit::Authority;

fn believing(tls_ca: PathBuf) -> BusOptions {
    let connection_timeout = Duration::from_secs(20);
    BusOptions { tls_ca: Some(tls_ca), connection_timeout, ..BusOptions::for_service("test") }
}

/// An error with its causes.
fn told(error: &RabbitError) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn a_broker_is_believed_whom_our_authority_vouches_for_by_its_name() -> Result<()> {
    let (ours, other) = (Authority::new()?, Authority::new()?);
    let identity = ours.vouch_for(&["localhost"])?;
    let tls = Some(ServerTls { certificate: identity.certificate, key: identity.key });
    let data_dir = ours.folder().join("rabbitmq");
    let rabbitmq = Rabbitmq::start(RabbitmqOptions { data_dir, tls, ..RabbitmqOptions::default() }).await?;
    let url = |host: &str| format!("amqps://guest:guest@{host}:{}/%2f", rabbitmq.tls_port());

    let good = believing(ours.certificate());
    declare_topology(&url("localhost"), &good).await?;
    let found = inspect(&url("localhost"), &good).await?;
    assert_eq!(found.confirms, Ok(()));
    assert!(found.queues.iter().all(|queue| queue.found.is_some()), "{found:?}");

    let wrong_name = declare_topology(&url("127.0.0.1"), &good).await.unwrap_err();
    assert!(told(&wrong_name).contains("not valid for name"), "{}", told(&wrong_name));
    let wrong_authority =
        declare_topology(&url("localhost"), &believing(other.certificate())).await.unwrap_err();
    assert!(told(&wrong_authority).contains("UnknownIssuer"), "{}", told(&wrong_authority));
    // A broker that speaks plain text is none.
    let plain = format!("amqps://guest:guest@localhost:{}/%2f", rabbitmq.port());
    assert!(matches!(declare_topology(&plain, &good).await, Err(RabbitError::Connect(_))));
    rabbitmq.stop().await?;
    Ok(())
}
