//! A virtual host of its own for each test, on the RabbitMQ that the environment names.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use base64::prelude::{BASE64_STANDARD, Engine as _};

/// Names the broker: `amqp://USER:PASSWORD@HOST:PORT/VHOST?OPTIONS`.
const AMQP_URL: &str = "MATCHPURSE_TEST_AMQP_URL";
/// Names its management API: `http://USER:PASSWORD@HOST:PORT`.
const MANAGEMENT_URL: &str = "MATCHPURSE_TEST_AMQP_MANAGEMENT_URL";

/// A virtual host that nobody else uses; deleted, with everything in it, on drop.
#[derive(Debug)]
pub struct Vhost {
    name: String,
    amqp: Url,
    management: Url,
}

/// `SCHEME://USER:PASSWORD@HOST:PORT`, and what follows.
#[derive(Debug, Clone)]
struct Url {
    user_info: String,
    address: String,
    query: String,
}

/// An answer of the management API.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body: JSON, or empty.
    pub body: String,
}

impl Vhost {
    /// Makes one.
    ///
    /// # Errors
    /// When the broker is away or refuses.
    ///
    /// # Panics
    /// When the environment does not name a broker: a test that needs one must not pass without.
    pub fn create() -> anyhow::Result<Self> {
        let [amqp, management] = [AMQP_URL, MANAGEMENT_URL].map(|variable| {
            let Ok(url) = std::env::var(variable) else {
                #[expect(clippy::panic, reason = "this is for tests, and says how to run them")]
                {
                    panic!("{variable} is not set: run tests/run, which starts a private RabbitMQ")
                }
            };
            url
        });
        Self::create_on(&amqp, &management)
    }

    /// Makes one on a given broker, by its URLs: one that a test has started for itself, to stop it.
    ///
    /// # Errors
    /// When the broker is away or refuses.
    pub fn create_on(amqp: &str, management: &str) -> anyhow::Result<Self> {
        let [amqp, management] = [(AMQP_URL, amqp), (MANAGEMENT_URL, management)]
            .map(|(variable, url)| Url::parse(url).with_context(|| format!("failed to read {variable}")));
        let vhost = Self { name: unique_name(), amqp: amqp?, management: management? };
        let answer = vhost.request("PUT", &format!("/api/vhosts/{}", vhost.name), "{}")?;
        ensure!(answer.status < 300, "the broker makes no virtual host: {answer:?}");
        Ok(vhost)
    }

    /// Its name; letters, digits and dashes.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where to connect to.
    pub fn amqp_url(&self) -> String {
        self.amqp_url_at(&self.amqp.address)
    }

    /// Where to connect to through a proxy at `address`, `HOST:PORT`.
    pub fn amqp_url_at(&self, address: &str) -> String {
        let Url { user_info, query, .. } = &self.amqp;
        format!("amqp://{user_info}@{address}/{}{query}", self.name)
    }

    /// The broker's `HOST:PORT`, for a proxy.
    pub fn broker_address(&self) -> &str {
        &self.amqp.address
    }

    /// Asks the management API, about anything; `path` begins with `/api/`. Blocks for some milliseconds.
    ///
    /// # Errors
    /// When no HTTP answer comes. A refusal is an answer.
    pub fn request(&self, method: &str, path: &str, body: &str) -> anyhow::Result<Answer> {
        let address = &self.management.address;
        let mut stream = TcpStream::connect(address).with_context(|| format!("connect to {address}"))?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        // HTTP/1.0: the answer is not chunked and ends with the connection.
        let head = format!(
            "{method} {path} HTTP/1.0\r\nhost: {address}\r\nauthorization: Basic {}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n",
            BASE64_STANDARD.encode(&self.management.user_info),
            body.len(),
        );
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
        let status = head.split(' ').nth(1).context("no HTTP status")?.parse()?;
        Ok(Answer { status, body: body.to_owned() })
    }

    /// Like [`Vhost::request`], with a path inside this virtual host and a refusal as an error:
    /// `on("DELETE", "queues", "matchpurse.player-stats", "")`.
    ///
    /// # Errors
    /// When the broker does not do it.
    pub fn on(&self, method: &str, kind: &str, rest: &str, body: &str) -> anyhow::Result<String> {
        let path = format!("/api/{kind}/{}/{rest}", self.name);
        let answer = self.request(method, path.trim_end_matches('/'), body)?;
        ensure!(answer.status < 300, "{method} {path} was answered with {}: {}", answer.status, answer.body);
        Ok(answer.body)
    }

    /// Deletes a queue with what is in it.
    ///
    /// # Errors
    /// When the broker does not do it.
    pub fn delete_queue(&self, queue: &str) -> anyhow::Result<()> {
        self.on("DELETE", "queues", queue, "").map(drop)
    }

    /// Publishes a message as a stranger might. `properties` is a JSON object: `{"message_id":"x","headers":{}}`.
    ///
    /// # Errors
    /// When the broker does not take it or routes it nowhere.
    pub fn publish(&self, exchange: &str, key: &str, properties: &str, payload: &str) -> anyhow::Result<()> {
        ensure!(!payload.contains(['"', '\\']), "the payload goes into JSON as it is");
        let body = format!(
            "{{\"properties\":{properties},\"routing_key\":\"{key}\",\"payload\":\"{payload}\",\
             \"payload_encoding\":\"string\"}}"
        );
        let answer = self.on("POST", "exchanges", &format!("{exchange}/publish"), &body)?;
        ensure!(answer.contains("\"routed\":true"), "no queue took the message: {answer}");
        Ok(())
    }

    /// How many messages are ready in a queue, asked of the queue itself: takes one and puts it back. (The
    /// management's own figures are up to five seconds old.)
    ///
    /// # Errors
    /// When the broker does not say.
    pub fn ready(&self, queue: &str) -> anyhow::Result<u64> {
        let body = "{\"count\":1,\"ackmode\":\"ack_requeue_true\",\"encoding\":\"base64\"}";
        let answer = self.on("POST", "queues", &format!("{queue}/get"), body)?;
        let Some((_, rest)) = answer.split_once("\"message_count\":") else { return Ok(0) };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        // The one that was taken is not counted.
        Ok(digits.parse::<u64>()? + 1)
    }

    /// Closes every client connection to this virtual host; false when there is none.
    ///
    /// # Errors
    /// When the broker does not do it.
    pub fn close_connections(&self) -> anyhow::Result<bool> {
        let answer = self.request("GET", &format!("/api/vhosts/{}/connections", self.name), "")?;
        ensure!(answer.status == 200, "the connections were not listed: {answer:?}");
        let names: Vec<String> = answer
            .body
            .split("\"name\":\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            // A connection's own name has the ports of both ends; other things are named too.
            .filter(|name| name.contains(" -> "))
            .map(|name| name.replace(' ', "%20").replace('>', "%3E"))
            .collect();
        for name in &names {
            let answer = self.request("DELETE", &format!("/api/connections/{name}"), "")?;
            ensure!(answer.status < 300 || answer.status == 404, "{name} was not closed: {answer:?}");
        }
        Ok(!names.is_empty())
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        // A test that failed because the broker went away must show that, not this.
        if let Err(error) = self.delete() {
            eprintln!("virtual host {} stays behind: {error:#}", self.name);
        }
    }
}

impl Vhost {
    /// RabbitMQ 3.10.8 cannot bear that a quorum queue which dead-letters at least once is deleted in the very
    /// moment in which it is declared: the node then has no such queues any more until it is restarted. What a
    /// test leaves running may just be declaring, so first it may no longer, and then it is given time to end.
    fn delete(&self) -> anyhow::Result<()> {
        const QUIET: Duration = Duration::from_millis(150);
        let user = self.amqp.user_info.split(':').next().unwrap_or_default();
        self.on("DELETE", "permissions", user, "")?;
        let mut queues = String::new();
        let mut since = Instant::now();
        while since.elapsed() < QUIET {
            let now = self.request("GET", &format!("/api/queues/{}?columns=name", self.name), "")?.body;
            if now != queues {
                (queues, since) = (now, Instant::now());
            }
        }
        let answer = self.request("DELETE", &format!("/api/vhosts/{}", self.name), "")?;
        ensure!(answer.status < 300, "the broker does not delete it: {answer:?}");
        Ok(())
    }
}

impl Url {
    fn parse(url: &str) -> anyhow::Result<Self> {
        let Some((_, rest)) = url.split_once("://") else { bail!("no URL") };
        let (rest, query) = rest.find('?').map_or((rest, ""), |at| rest.split_at(at));
        let (authority, _) = rest.split_once('/').unwrap_or((rest, ""));
        let (user_info, address) = authority.rsplit_once('@').unwrap_or(("guest:guest", authority));
        Ok(Self { user_info: user_info.to_owned(), address: address.to_owned(), query: query.to_owned() })
    }
}

fn unique_name() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let next = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("test-{}-{}-{next}", since.as_micros(), std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_comes_apart() {
        let url = Url::parse("amqp://u:p@127.0.0.1:5672/%2f?heartbeat=10").unwrap();
        assert_eq!((url.user_info.as_str(), url.address.as_str()), ("u:p", "127.0.0.1:5672"));
        assert_eq!(url.query, "?heartbeat=10");
    }
}
