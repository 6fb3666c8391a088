//! Conversations as text: a request, then what was answered. What differs from run to run is masked.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::harness::{ANN, Api, BOB, READER, WRITER, request};
use crate::http::Answer;

/// The headers of an answer that a reader wants to see.
const SHOWN: [&str; 4] = ["allow", "location", "retry-after", "www-authenticate"];

/// A conversation so far.
pub(crate) struct Script<'a> {
    api: &'a Api,
    text: String,
    /// The UUIDs that were seen, shown by their places.
    ids: Vec<String>,
}

impl<'a> Script<'a> {
    pub(crate) fn new(api: &'a Api) -> Self {
        Self { api, text: String::new(), ids: Vec::new() }
    }

    /// Makes a request and returns the answer's JSON. In one line: who, method and path, `key=` with an idempotency
    /// key, and the body.
    pub(crate) async fn say(&mut self, line: &str) -> Result<Value> {
        let (head, body) = line.find(" {").map_or((line, ""), |at| line.split_at(at));
        let mut words = head.split_whitespace();
        let (who, method, path) = (words.next(), words.next(), words.next());
        let secret = match who.context("who?")? {
            "ann" => ANN,
            "bob" => BOB,
            "reader" => READER,
            "writer" => WRITER,
            other => other,
        };
        let mut request = request(secret, method.context("method?")?, path.context("path?")?, body.trim());
        for word in words {
            let key = word.strip_prefix("key=").context("neither a key nor a body")?;
            request.headers.push(("idempotency-key".to_owned(), key.as_bytes().to_vec()));
        }
        let answer = self.api.send(&request).await?;
        let shown = format!("> {}\n{}\n", line.replace(['\n', '\r'], " "), shown(&answer)?);
        let masked = self.masked(&shown);
        self.text.push_str(&masked);
        Ok(serde_json::from_str(&answer.body).unwrap_or_default())
    }

    /// All that was said.
    pub(crate) fn text(self) -> String {
        self.text
    }

    fn masked(&mut self, text: &str) -> String {
        let mut masked = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let (mask, length) = if is(rest, TIME) {
                ("<time>".to_owned(), TIME.len())
            } else if is(rest, UUID) {
                let id = rest[..UUID.len()].to_owned();
                let place = self.ids.iter().position(|seen| *seen == id).unwrap_or_else(|| {
                    self.ids.push(id);
                    self.ids.len() - 1
                });
                (format!("<id {}>", place + 1), UUID.len())
            } else {
                (c.to_string(), c.len_utf8())
            };
            masked.push_str(&mask);
            rest = &rest[length..];
        }
        masked
    }
}

/// A digit of a time is `0`, one of a UUID `x`.
const TIME: &str = "0000-00-00T00:00:00.000000Z";
const UUID: &str = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

fn is(text: &str, pattern: &str) -> bool {
    text.len() >= pattern.len()
        && pattern.bytes().zip(text.bytes()).all(|(pattern, byte)| match pattern {
            b'0' => byte.is_ascii_digit(),
            b'x' => byte.is_ascii_hexdigit(),
            other => other == byte,
        })
}

/// Status, the headers that matter, and the body: one line a member, and one a row of a list.
pub(crate) fn shown(answer: &Answer) -> Result<String> {
    let mut text = answer.status.to_string();
    for name in SHOWN {
        if let Some(value) = answer.header(name) {
            write!(text, "\n{name}: {value}")?;
        }
    }
    if answer.body.is_empty() {
        return Ok(text + "\n");
    }
    let Value::Object(members) = serde_json::from_str(&answer.body)? else {
        anyhow::bail!("no object: {}", answer.body)
    };
    for (name, value) in members {
        match value {
            Value::Array(rows) if rows.iter().any(Value::is_object) => {
                write!(text, "\n  {name}:")?;
                for row in rows {
                    write!(text, "\n    {}", compact(&row))?;
                }
            }
            // The document in a preview.
            Value::Object(inner) if inner.len() > 8 => {
                write!(text, "\n  {name}:")?;
                for (name, value) in inner {
                    write!(text, "\n    {name}: {}", compact(&value))?;
                }
            }
            Value::String(_) if name == "next" => write!(text, "\n  next: <cursor>")?,
            value => write!(text, "\n  {name}: {}", compact(&value))?,
        }
    }
    Ok(text + "\n")
}

/// Amounts as a person reads them, everything else as JSON. What an amount looks like on the wire has tests of its own.
fn compact(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            if let (Some(minor), Some(currency), 2) =
                (members.get("minor_units"), members.get("currency"), members.len())
            {
                return format!("{minor} {}", currency.as_str().unwrap_or_default());
            }
            let members: Vec<String> =
                members.iter().map(|(name, value)| format!("{name}: {}", compact(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
        Value::Array(rows) => format!("[{}]", rows.iter().map(compact).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}
