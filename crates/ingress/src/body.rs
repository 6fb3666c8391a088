//! Reading a body as it comes over the wire: byte for byte, up to a limit, within a time, in memory that was
//! taken for it before.

use std::time::Duration;

use actix_web::http::header::{CONTENT_LENGTH, HeaderMap};
use actix_web::web::{Bytes, Payload};
use futures_util::StreamExt as _;
use tokio::time::timeout;

use crate::memory::Taken;
use crate::refusal::Refusal;

/// Reads the body. It is not decompressed: what the sender signed are the bytes on the wire. What is over
/// the limit is not read. Memory is taken for what has come, not for what was announced: an announcement
/// costs a sender nothing.
///
/// # Errors
/// [`Refusal::TooLarge`], [`Refusal::TooSlow`], [`Refusal::BrokenBody`] or [`Refusal::NoMemory`].
pub(crate) async fn read(
    headers: &HeaderMap,
    payload: Payload,
    limit: usize,
    time_limit: Duration,
    memory: &mut Taken,
) -> Result<Bytes, Refusal> {
    // The server has refused a length that is no number; a chunked body announces none.
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
        .map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
    if announced > limit {
        return Err(Refusal::TooLarge { limit });
    }
    timeout(time_limit, collect(payload, limit, memory)).await.unwrap_or(Err(Refusal::TooSlow))
}

async fn collect(mut payload: Payload, limit: usize, memory: &mut Taken) -> Result<Bytes, Refusal> {
    let Some(first) = next(&mut payload).await? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(Refusal::TooLarge { limit });
    }
    memory.grow_to(first.len())?;
    let Some(second) = next(&mut payload).await? else {
        // Most bodies come in one piece and are never copied.
        return Ok(first);
    };
    let mut body = Vec::from(first);
    let mut piece = Some(second);
    while let Some(bytes) = piece {
        if bytes.len() > limit.saturating_sub(body.len()) {
            return Err(Refusal::TooLarge { limit });
        }
        let length = body.len() + bytes.len();
        if length > body.capacity() {
            // Doubled, so that many small pieces are not copied over and over.
            let capacity = body.capacity().saturating_mul(2).clamp(length, limit);
            memory.grow_to(capacity)?;
            body.reserve_exact(capacity - body.len());
        }
        body.extend_from_slice(&bytes);
        piece = next(&mut payload).await?;
    }
    Ok(Bytes::from(body))
}

async fn next(payload: &mut Payload) -> Result<Option<Bytes>, Refusal> {
    payload.next().await.transpose().map_err(|_| Refusal::BrokenBody)
}
