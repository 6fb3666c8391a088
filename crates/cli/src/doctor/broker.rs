//! The broker: reachable, with everything that has to be there, consumed, and confirming.

use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Uri};
use matchpurse_bus::{BrokerReport, Expected, QueueReport, RabbitError, inspect};
use matchpurse_contracts::topology::{DEAD_LETTER_QUEUE, Queue};
use matchpurse_service_kit::http_client::{HttpClient, HttpClientOptions};
use matchpurse_settings::Settings;
use matchpurse_wiring::bus_options;
use serde_json::Value;

use super::report::{Area, Report};

/// Messages that may wait in a worker's queue before it is said.
const BACKLOG: u32 = 10_000;

/// The least RabbitMQ that hands on at least once what it gives up.
const VERSION_MIN: (u32, u32) = (3, 10);

/// Looks at the broker.
pub(super) async fn look(settings: &Settings, url: &str, management: Option<&str>, report: &mut Report) {
    let area = Area::Broker;
    let shown = settings.broker.url.as_ref().map(|url| url.redacted()).unwrap_or_default();
    let found = match inspect(url, &bus_options(settings, "matchpurse-doctor")).await {
        Ok(found) => found,
        Err(error @ (RabbitError::Url(_) | RabbitError::Tls(_))) => {
            report.failed(area, "connection", matchpurse_store::chain(&error), "mend `broker.url`");
            return;
        }
        Err(error) => {
            let advice = "is RabbitMQ running, does `broker.url` name it with its virtual host, and are user and \
                          password right? Meanwhile the spool takes what comes, if `ingress.spool` is on";
            let detail = format!("{shown}: {}", matchpurse_store::chain(&error));
            report.away(area, "connection", detail, advice);
            return;
        }
    };
    report.ok(area, "connection", shown);
    topology(&found, report);
    match &found.confirms {
        Ok(()) => report.ok(area, "confirms", "a message of our own was confirmed"),
        Err(why) => {
            let advice = "an alarm about memory or disk stops all publishers: `rabbitmqctl status` names it";
            report.failed(area, "confirms", why, advice);
        }
    }
    match Management::of(url, management) {
        Some(management) => management.look(settings.broker.shards, report).await,
        None => {
            report.warning(area, "bindings", "not looked at: no management API", "give --management-url URL")
        }
    }
}

fn topology(found: &BrokerReport, report: &mut Report) {
    let area = Area::Broker;
    let missing: Vec<&str> =
        found.queues.iter().filter(|queue| queue.found.is_none()).map(|queue| queue.name.as_str()).collect();
    let advice = "start or restart any service: each declares what is missing when it connects, and every 15 s; what \
                  was lost meanwhile is brought from the archive";
    if !missing.is_empty() {
        report.failed(area, "queues", format!("not there: {}", missing.join(", ")), advice);
    }
    if !found.missing_exchanges.is_empty() {
        report.failed(
            area,
            "exchanges",
            format!("not there: {}", found.missing_exchanges.join(", ")),
            advice,
        );
    }
    if missing.is_empty() && found.missing_exchanges.is_empty() {
        report.ok(
            area,
            "topology",
            format!("all {} queues and their exchanges are there", found.queues.len()),
        );
    }
    for QueueReport { name, found } in &found.queues {
        let Some((messages, consumers)) = *found else { continue };
        if name == DEAD_LETTER_QUEUE && messages > 0 {
            let advice = "the event-archive parks them: is it running?";
            report.warning(area, "dead letters", format!("{messages} wait to be parked"), advice);
        }
        let Some(worker) = Queue::of_name(name).map(Queue::worker) else { continue };
        let detail = format!("{messages} messages wait, {consumers} consumers");
        if consumers == 0 && (messages > 0 || Queue::by_name(name).is_some()) {
            let advice = format!("is {worker} running? Its events wait, and nothing is lost");
            report.warning(area, name, detail, advice);
        } else if messages >= BACKLOG {
            let advice = format!("{worker} is behind: start another one, or see its log");
            report.warning(area, name, detail, advice);
        } else {
            report.ok(area, name, detail);
        }
    }
}

/// The broker's management API.
struct Management {
    url: String,
    authorization: String,
    vhost: String,
    /// Whether somebody said where it is.
    given: bool,
}

impl Management {
    /// That of a broker, by its AMQP URL; none where it says too little.
    fn of(amqp: &str, given: Option<&str>) -> Option<Self> {
        let amqp: Uri = amqp.parse().ok()?;
        let url: Option<Uri> = given.map(str::parse).transpose().ok()?;
        let authority = amqp.authority()?.as_str();
        let own = authority.rsplit_once('@').map_or("guest:guest", |(own, _)| own);
        let user = url.as_ref().and_then(|url| url.authority()?.as_str().rsplit_once('@'));
        let user = decoded(user.map_or(own, |(user, _)| user));
        let address = match &url {
            Some(url) => {
                let host = url.authority()?.as_str();
                let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
                format!("{}://{host}", url.scheme_str().unwrap_or("http"))
            }
            None => format!("http://{}:15672", amqp.host()?),
        };
        let path = amqp.path().trim_start_matches('/');
        let vhost = if path.is_empty() { "%2f" } else { path };
        let authorization = format!("Basic {}", base64(user.as_bytes()));
        Some(Self { url: address, authorization, vhost: vhost.to_owned(), given: given.is_some() })
    }

    async fn look(&self, shards: u16, report: &mut Report) {
        let area = Area::Broker;
        let overview = match self.get("/api/overview").await {
            Ok(overview) => overview,
            Err(why) => {
                let detail = format!("not looked at: {}: {why}", self.url);
                let advice = "enable RabbitMQ's plugin rabbitmq_management, or give --management-url URL";
                if self.given {
                    return report.failed(area, "bindings", detail, advice);
                }
                return report.warning(area, "bindings", detail, advice);
            }
        };
        version(overview.get("rabbitmq_version").and_then(Value::as_str).unwrap_or_default(), report);
        match self.get("/api/nodes").await {
            Ok(nodes) => alarms(&nodes, report),
            // Only a monitoring user sees the nodes.
            Err(why) => report.ok(area, "alarms", format!("not shown to this user: {why}")),
        }
        match self.get(&format!("/api/bindings/{}", self.vhost)).await {
            Ok(found) => bindings(&found, shards, report),
            Err(why) => {
                report.warning(area, "bindings", why, "is the user allowed to see this virtual host?")
            }
        }
    }

    async fn get(&self, path: &str) -> Result<Value, String> {
        let client = HttpClient::new(&HttpClientOptions {
            time_limit: Duration::from_secs(5),
            connect_time_limit: Duration::from_secs(2),
            response_bytes_max: 64 * 1024 * 1024,
            proxy_from_environment: false,
            user_agent: "matchpurse-doctor",
            ..HttpClientOptions::default()
        });
        let client = client.map_err(|error| error.to_string())?;
        let request = Request::get(format!("{}{path}", self.url)).header(AUTHORIZATION, &self.authorization);
        let request = request.body(Bytes::new()).map_err(|error| error.to_string())?;
        let answer = client.send(request).await.map_err(|error| matchpurse_store::chain(&error))?;
        if !answer.status().is_success() {
            return Err(format!("it answers {}", answer.status()));
        }
        serde_json::from_slice(answer.body()).map_err(|_| "it answers something else".to_owned())
    }
}

fn version(text: &str, report: &mut Report) {
    let mut numbers = text.split('.').map(|part| part.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version < VERSION_MIN {
        let advice =
            "3.10 is the first that hands on, at least once, what it gives up; dead letters may be lost";
        report.failed(Area::Broker, "version", format!("RabbitMQ {text}"), advice);
    } else {
        report.ok(Area::Broker, "version", format!("RabbitMQ {text}"));
    }
}

fn alarms(nodes: &Value, report: &mut Report) {
    for node in nodes.as_array().into_iter().flatten() {
        let text = |name: &str| node.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let is = |name: &str| node.get(name).and_then(Value::as_bool);
        let free = node.get("disk_free").and_then(Value::as_i64).map(|bytes| bytes >> 20);
        let free = free.map_or_else(String::new, |mb| format!(", {mb} MB of disk free"));
        let name = text("name");
        let advice =
            "publishers are stopped until it is over: give the broker more of it, or let workers catch up";
        if is("running") == Some(false) {
            report.failed(Area::Broker, "node", format!("{name} does not run"), "start it");
        } else if is("mem_alarm") == Some(true) {
            report.failed(Area::Broker, "alarms", format!("{name} has an alarm about memory"), advice);
        } else if is("disk_free_alarm") == Some(true) {
            report.failed(
                Area::Broker,
                "alarms",
                format!("{name} has an alarm about its disk{free}"),
                advice,
            );
        } else {
            report.ok(Area::Broker, "alarms", format!("{name} has none{free}"));
        }
    }
}

fn bindings(found: &Value, shards: u16, report: &mut Report) {
    let there = |(from, to, key): &&(String, String, String)| {
        let has = |one: &Value, name: &str, value: &str| one.get(name).and_then(Value::as_str) == Some(value);
        let mut all = found.as_array().into_iter().flatten();
        !all.any(|one| {
            has(one, "source", from) && has(one, "destination", to) && has(one, "routing_key", key)
        })
    };
    let expected = Expected::new(shards).bindings;
    let missing: Vec<String> =
        expected.iter().filter(there).map(|(_, to, key)| format!("{to} by {key}")).collect();
    if missing.is_empty() {
        report.ok(Area::Broker, "bindings", format!("all {} are there", expected.len()));
    } else {
        let advice = "start or restart any service, which binds anew; what was not routed meanwhile is brought from the \
                      archive";
        report.failed(Area::Broker, "bindings", format!("not there: {}", missing.join(", ")), advice);
    }
}

/// What stands in a URL's user part, without its escapes.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let escape = (byte == b'%').then(|| rest.clone().take(2).map(char::from).collect::<String>());
        match escape.and_then(|digits| u8::from_str_radix(&digits, 16).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                rest.nth(1);
            }
            None => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_management_api_is_found_by_the_brokers_url() {
        let own = Management::of("amqp://ann:p%40ss@broker:5672/%2f", None).unwrap();
        assert_eq!((own.url.as_str(), own.vhost.as_str()), ("http://broker:15672", "%2f"));
        assert_eq!(own.authorization, format!("Basic {}", base64(b"ann:p@ss")));
        let given = Management::of("amqp://ann:p@broker/app", Some("https://eva:x@admin:443/")).unwrap();
        assert_eq!((given.url.as_str(), given.vhost.as_str()), ("https://admin:443", "app"));
        assert_eq!(given.authorization, format!("Basic {}", base64(b"eva:x")));
    }

    #[test]
    fn an_alarm_an_old_version_and_a_missing_binding_are_failures() {
        let mut report = Report::default();
        alarms(&json!([{ "name": "rabbit@a", "running": true, "mem_alarm": true }]), &mut report);
        version("3.9.13", &mut report);
        bindings(&json!([]), 1, &mut report);
        let found = report.json();
        let states: Vec<&str> =
            found.as_array().unwrap().iter().map(|one| one["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["failed"; 3]);
        let mut report = Report::default();
        version("4.1.0", &mut report);
        alarms(&json!([{ "name": "rabbit@a", "running": true, "disk_free": 1_048_576 }]), &mut report);
        assert!(report.json()[1]["detail"].as_str().unwrap().ends_with("1 MB of disk free"));
    }
}
