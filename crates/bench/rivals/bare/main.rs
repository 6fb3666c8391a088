//! The least that may answer a webhook: the HMAC over the body, parsing, and a confirmed publish, and nothing else. It
//! knows one source, keeps no count, has no time limits, and loses what comes while the broker is away.

use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::{Context as _, Result};
use hmac::{Hmac, KeyInit as _, Mac as _};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::Value;
use sha2::Sha256;
use tokio::sync::{Mutex, oneshot};

/// A body that is longer is refused.
const BODY_MAX: usize = 256 * 1024;
/// On disk before the confirm.
const PERSISTENT: u8 = 2;

struct Bare {
    header: String,
    prefix: String,
    mac: Hmac<Sha256>,
    publishers: Vec<Publisher>,
    turn: AtomicUsize,
}

/// A channel. lapin numbers a message before it queues it, so one at a time may be on its way into it.
struct Publisher {
    channel: Mutex<Channel>,
    exchange: ShortString,
    routing_key: ShortString,
}

#[tokio::main]
async fn main() -> Result<()> {
    let given = |name: &str| env::var(name).with_context(|| name.to_owned());
    let connection = Connection::connect(&given("BENCH_AMQP")?, ConnectionProperties::default()).await?;
    let mut publishers = Vec::new();
    for _ in 0..2 {
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        publishers.push(Publisher {
            channel: Mutex::new(channel),
            exchange: ShortString::try_new(given("BENCH_EXCHANGE")?)?,
            routing_key: ShortString::try_new(given("BENCH_ROUTING_KEY")?)?,
        });
    }
    let mac = Hmac::<Sha256>::new_from_slice(given("BENCH_SECRET")?.as_bytes())?;
    let (header, prefix) = (given("BENCH_HEADER")?, given("BENCH_PREFIX")?);
    let bare = web::Data::new(Bare { header, prefix, mac, publishers, turn: AtomicUsize::new(0) });
    let (path, port) = (given("BENCH_PATH")?, given("BENCH_PORT")?);
    let runtime = tokio::runtime::Handle::current();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(bare.clone())
            .app_data(web::Data::new(runtime.clone()))
            .app_data(web::PayloadConfig::new(BODY_MAX))
            .route(&path, web::post().to(deliver))
            .route("/healthz", web::get().to(HttpResponse::Ok))
    });
    Ok(server.bind(format!("127.0.0.1:{port}"))?.run().await?)
}

async fn deliver(
    request: HttpRequest,
    body: web::Bytes,
    bare: web::Data<Bare>,
    runtime: web::Data<tokio::runtime::Handle>,
) -> HttpResponse {
    let signature = request.headers().get(&bare.header).and_then(|value| value.to_str().ok());
    let signature = signature.and_then(|value| value.strip_prefix(&bare.prefix));
    let Some(signature) = signature.and_then(|digits| hex::decode(digits).ok()) else {
        return HttpResponse::Unauthorized().finish();
    };
    if bare.mac.clone().chain_update(&body).verify_slice(&signature).is_err() {
        return HttpResponse::Unauthorized().finish();
    }
    if serde_json::from_slice::<Value>(&body).is_err() {
        return HttpResponse::UnprocessableEntity().finish();
    }
    // In the runtime that the connection lives in, as our ingress does.
    let (tell, told) = oneshot::channel();
    runtime.spawn(async move {
        // Whoever hung up hears nothing.
        tell.send(publish(&bare, &body).await).ok();
    });
    match told.await {
        Ok(Ok(true)) => HttpResponse::Ok().finish(),
        _ => HttpResponse::ServiceUnavailable().finish(),
    }
}

async fn publish(bare: &Bare, body: &[u8]) -> Result<bool> {
    let turn = bare.turn.fetch_add(1, Ordering::Relaxed) % bare.publishers.len();
    let Publisher { channel, exchange, routing_key } = bare.publishers.get(turn).context("no channel")?;
    let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
    let options = BasicPublishOptions::default();
    let confirm = {
        let channel = channel.lock().await;
        channel.basic_publish(exchange.clone(), routing_key.clone(), options, body, properties).await?
    };
    Ok(matches!(confirm.await?, Confirmation::Ack(None)))
}
