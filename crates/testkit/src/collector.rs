use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::studio::{Reply, Request, Studio};

/// A collector of traces: a real HTTP server on the loopback that takes OTLP in its JSON form and remembers it.
pub struct Collector {
    server: Studio,
}

/// A span as it was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// `service.name` of its resource.
    pub service: String,
    /// What it is called.
    pub name: String,
    /// The trace, in hexadecimal.
    pub trace: String,
    /// Its own id, in hexadecimal.
    pub id: String,
    /// That of the span that it is a part of.
    pub parent: Option<String>,
    /// The ids of those that it is linked with.
    pub links: Vec<String>,
    /// In the order in which they were set.
    pub attributes: Vec<(String, String)>,
    /// Why it failed.
    pub error: Option<String>,
    /// In nanoseconds since 1970.
    pub began: u64,
    /// In nanoseconds since 1970.
    pub ended: u64,
}

impl Exported {
    /// An attribute; empty when it was not set.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }
}

impl Collector {
    /// One that takes everything, on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> Result<Self> {
        let server = Studio::start_for(|request| format!("{:?}", request.body)).await?;
        server.behave(|_, _| Reply::status(200).body("{}"));
        Ok(Self { server })
    }

    /// Where it takes traces.
    pub fn url(&self) -> String {
        self.server.url("/v1/traces")
    }

    /// Answers so from now on. The number tells how often the same request has come, from 1.
    pub fn behave(&self, behaviour: impl Fn(&Request, usize) -> Reply + Send + Sync + 'static) {
        self.server.behave(behaviour);
    }

    /// Everything that was sent to it.
    pub fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }

    /// Waits until so many requests have come.
    ///
    /// # Errors
    /// Never while this value lives.
    pub async fn received(&self, count: usize) -> Result<()> {
        self.server.received(count).await
    }

    /// Goes away: who connects is refused.
    pub async fn take_down(&self) {
        self.server.take_down().await;
    }

    /// The spans, in the order in which they came.
    ///
    /// # Errors
    /// When something came that is no OTLP.
    pub fn spans(&self) -> Result<Vec<Exported>> {
        let mut spans = Vec::new();
        for request in self.requests() {
            let body: Value = serde_json::from_slice(&request.body).context("no JSON")?;
            for resource in list(&body, "resourceSpans") {
                let of_resource = attributes(resource.get("resource").unwrap_or(&Value::Null));
                let service = of_resource.into_iter().find(|(name, _)| name == "service.name");
                let (_, service) = service.context("a resource without service.name")?;
                for scope in list(resource, "scopeSpans") {
                    for span in list(scope, "spans") {
                        spans.push(exported(&service, span)?);
                    }
                }
            }
        }
        Ok(spans)
    }

    /// The traces as text: a line a span, its parts below it, in the order of the alphabet. Ids and times are left
    /// out, and so are the attributes `without` which the text is wanted.
    ///
    /// # Errors
    /// As [`Collector::spans`].
    pub fn tree(&self, without: &[&str]) -> Result<String> {
        let spans = self.spans()?;
        let known = |id: &String| spans.iter().any(|span| span.id == *id);
        let roots = spans.iter().filter(|span| span.parent.as_ref().is_none_or(|parent| !known(parent)));
        let mut text = String::new();
        branches(&mut text, &spans, roots.collect(), 0, without);
        Ok(text)
    }
}

/// Writes these spans with their parts.
fn branches(text: &mut String, spans: &[Exported], of: Vec<&Exported>, depth: usize, without: &[&str]) {
    let mut lines: Vec<(String, &Exported)> =
        of.into_iter().map(|span| (line(spans, span, without), span)).collect();
    lines.sort_by(|(one, first), (other, second)| (one, first.began).cmp(&(other, second.began)));
    for (line, span) in lines {
        text.push_str(&"  ".repeat(depth));
        text.push_str(&line);
        text.push('\n');
        let is_part = |part: &&Exported| part.parent.as_ref() == Some(&span.id) && part.trace == span.trace;
        branches(text, spans, spans.iter().filter(is_part).collect(), depth + 1, without);
    }
}

fn line(spans: &[Exported], span: &Exported, without: &[&str]) -> String {
    let mut line = format!("{} ({})", span.name, span.service);
    for (name, value) in span.attributes.iter().filter(|(name, _)| !without.contains(&name.as_str())) {
        line.push_str(&format!(" {name}={value}"));
    }
    if let Some(error) = &span.error {
        line.push_str(&format!(" FAILED: {error}"));
    }
    let mut linked: BTreeMap<&str, usize> = BTreeMap::new();
    for link in &span.links {
        let name = spans.iter().find(|other| other.id == *link).map_or("?", |other| other.name.as_str());
        *linked.entry(name).or_default() += 1;
    }
    for (name, count) in linked {
        line.push_str(&format!(" LINKED: {count} {name}"));
    }
    line
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text(value: &Value, name: &str) -> Option<String> {
    value.get(name)?.as_str().map(str::to_owned)
}

fn exported(service: &str, span: &Value) -> Result<Exported> {
    let time = |name: &str| -> Result<u64> { Ok(text(span, name).context("no time")?.parse()?) };
    Ok(Exported {
        service: service.to_owned(),
        name: text(span, "name").context("no name")?,
        trace: text(span, "traceId").context("no trace")?,
        id: text(span, "spanId").context("no id")?,
        parent: text(span, "parentSpanId"),
        links: list(span, "links").iter().filter_map(|link| text(link, "spanId")).collect(),
        attributes: attributes(span),
        error: span.get("status").and_then(|status| text(status, "message")),
        began: time("startTimeUnixNano")?,
        ended: time("endTimeUnixNano")?,
    })
}

/// Names and values, whatever kind these are of.
fn attributes(of: &Value) -> Vec<(String, String)> {
    let attribute = |attribute: &Value| {
        let (_, value) = attribute.get("value")?.as_object()?.iter().next()?;
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Some((text(attribute, "key")?, value))
    };
    list(of, "attributes").iter().filter_map(attribute).collect()
}
