//! Reading a body as it comes over the wire: byte for byte, up to a limit, within a time.

use std::time::Duration;

use actix_web::http::header::{CONTENT_LENGTH, HeaderMap};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt as _;
use tokio::time::timeout;

use crate::refusal::Refusal;

/// Reads the body. It is not decompressed: what the sender signed are the bytes on the wire. What is over
/// the limit is not read.
///
/// # Errors
/// [`Refusal::TooLarge`], [`Refusal::TooSlow`] or [`Refusal::BrokenBody`].
pub(crate) async fn read(
    headers: &HeaderMap,
    payload: Payload,
    limit: usize,
    time_limit: Duration,
) -> Result<Bytes, Refusal> {
    // The server has refused a length that is no number; a chunked body announces none.
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok())
        .map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
    if announced > limit {
        return Err(Refusal::TooLarge { limit });
    }
    timeout(time_limit, collect(payload, limit)).await.unwrap_or(Err(Refusal::TooSlow))
}

async fn collect(mut payload: Payload, limit: usize) -> Result<Bytes, Refusal> {
    let Some(first) = next(&mut payload).await? else { return Ok(Bytes::new()) };
    if first.len() > limit {
        return Err(Refusal::TooLarge { limit });
    }
    let Some(second) = next(&mut payload).await? else {
        // Most bodies come in one piece and are never copied.
        return Ok(first);
    };
    let mut body = BytesMut::from(first);
    let mut piece = Some(second);
    while let Some(bytes) = piece {
        if bytes.len() > limit.saturating_sub(body.len()) {
            return Err(Refusal::TooLarge { limit });
        }
        body.extend_from_slice(&bytes);
        piece = next(&mut payload).await?;
    }
    Ok(body.freeze())
}

async fn next(payload: &mut Payload) -> Result<Option<Bytes>, Refusal> {
    payload.next().await.transpose().map_err(|_| Refusal::BrokenBody)
}
