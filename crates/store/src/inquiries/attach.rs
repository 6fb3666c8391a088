use matchpurse_domain::time::Timestamp;
use serde_json::{Value, json};

use super::Question;
use crate::time::At;
use crate::words::storable;
use crate::{Client, Result};

/// How many different answers an anomaly keeps: the first ones, and the last.
const KEPT_MAX: usize = 10;
/// The largest answer that is kept whole, in bytes.
const BYTES_MAX: usize = 256 * 1024;
/// The zero character, as JSON writes it.
const NUL: &[u8] = b"\\u0000";

/// What a provider has answered about something that it contradicts itself about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Evidence<'e> {
    /// When it was asked.
    pub asked_at: Timestamp,
    /// The answer, without what is secret in it.
    pub answer: &'e [u8],
}

/// Puts an answer into the details of all open anomalies about its subject, under `fetched`. The same answer once more
/// only says when. Returns how many anomalies there are.
///
/// # Errors
/// [`crate::Error`].
pub async fn attach(client: &mut Client, question: &Question, evidence: &Evidence<'_>) -> Result<usize> {
    let tx = client.begin().await?;
    let sql =
        "SELECT id, detail, to_char($3 AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"') FROM anomaly
                WHERE (source, subject) = ($1, $2) AND resolved_at IS NULL ORDER BY id FOR UPDATE";
    let asked_at = At(evidence.asked_at);
    let rows = tx.query(sql, &[&question.source, &question.subject, &asked_at]).await?;
    let answer = readable(evidence.answer);
    for row in &rows {
        let (id, mut detail): (i64, Value) = (row.try_get(0)?, row.try_get(1)?);
        if add(&mut detail, &answer, row.try_get(2)?) {
            tx.execute("UPDATE anomaly SET detail = $2 WHERE id = $1", &[&id, &detail]).await?;
        }
    }
    tx.commit().await?;
    Ok(rows.len())
}

/// As JSON, so that an erasure finds who is named in it.
fn readable(answer: &[u8]) -> Value {
    if answer.len() > BYTES_MAX {
        return json!({ "too_large": answer.len() });
    }
    // PostgreSQL's JSON has no zero character, written in whichever way.
    let with_zero = answer.windows(NUL.len()).any(|part| part == NUL);
    serde_json::from_slice(answer)
        .ok()
        .filter(|_| !with_zero)
        .unwrap_or_else(|| Value::String(storable(&String::from_utf8_lossy(answer), BYTES_MAX).into_owned()))
}

fn add(detail: &mut Value, answer: &Value, at: &str) -> bool {
    let Some(detail) = detail.as_object_mut() else { return false };
    let kept = detail.entry("fetched").or_insert_with(|| json!([]));
    let Some(kept) = kept.as_array_mut() else { return false };
    if let Some(last) = kept.last_mut().filter(|last| last.get("answer") == Some(answer)) {
        if let Some(last) = last.as_object_mut() {
            last.insert("last_at".to_owned(), json!(at));
        }
        return true;
    }
    if kept.len() >= KEPT_MAX {
        kept.pop();
    }
    kept.push(json!({ "at": at, "last_at": at, "answer": answer }));
    true
}
