//! The answers to wishes for credit: one for each, for ever.

use matchpurse_domain::ids::SourceName;

use crate::{Client, Result};

/// What a provider is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The provider's word, which decides what becomes of the money.
    pub word: String,
    /// The whole of what is answered, byte for byte.
    pub body: Vec<u8>,
}

/// The answer to a wish: the first one that was ever given, or `now`, which is the first one then. When this returns
/// it is durable, and whoever asks again gets the same, here and in any other process.
///
/// # Errors
/// [`crate::Error`]; whether the answer was kept is not known then, so none may be given.
pub async fn answer(client: &Client, source: &SourceName, intent_id: &str, now: Answer) -> Result<Answer> {
    let sql = "INSERT INTO conversion_answer (source, intent_id, answer, body) VALUES ($1, $2, $3, $4)
               ON CONFLICT (source, intent_id) DO NOTHING";
    let key: (&str, &str) = (source.as_str(), intent_id);
    if client.execute(sql, &[&key.0, &key.1, &now.word, &now.body]).await? == 1 {
        return Ok(now);
    }
    // The other one has committed: the insert waited for it. No row ever goes.
    let sql = "SELECT answer, body FROM conversion_answer WHERE source = $1 AND intent_id = $2";
    let row = client.query_one(sql, &[&key.0, &key.1]).await?;
    Ok(Answer { word: row.try_get(0)?, body: row.try_get(1)? })
}
