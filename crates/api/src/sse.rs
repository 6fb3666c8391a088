//! Server-Sent Events: answers that have no end, and what every stream does alike.

use std::convert::Infallible;
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use tokio::sync::mpsc;
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::api::Api;
use crate::auth::GoodUntil;
use crate::failure::{Failure, Result};

/// Pieces that may wait for the client.
const PIECES_MAX: usize = 4;

/// Where a stream's pieces go.
pub(crate) struct Pipe {
    pieces: mpsc::Sender<Bytes>,
    /// How long a client may take nothing.
    patience: Duration,
    stop: CancellationToken,
    until: GoodUntil,
}

/// That a stream ends: its client is gone or takes nothing, its token is not good any more, or the service is about to
/// end.
pub(crate) struct Ended;

/// The body: it ends when the stream does.
pub(crate) struct Pieces(mpsc::Receiver<Bytes>);

/// A pipe to the client of this request, for as long as its token is good.
pub(crate) fn pipe(api: &Api, request: &HttpRequest) -> (Pipe, Pieces) {
    let (pieces, body) = mpsc::channel(PIECES_MAX);
    let pipe = Pipe {
        pieces,
        patience: api.stream_patience,
        stop: api.hub.closing(),
        until: GoodUntil::of(request),
    };
    (pipe, Pieces(body))
}

/// The answer that the pieces are the body of.
pub(crate) fn answer(body: Pieces) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((CONTENT_TYPE, "text/event-stream"))
        .insert_header((CACHE_CONTROL, "no-store"))
        // What stands between may not wait for more before it passes on what it has.
        .insert_header(("x-accel-buffering", "no"))
        .body(body)
}

/// The place behind which the client wants to know; none for the present one. The header counts more: whoever reconnects
/// does so by the same URL.
pub(crate) fn resume_from<T: FromStr>(
    request: &HttpRequest,
    query: Option<&str>,
    expected: &str,
) -> Result<Option<T>> {
    let header = request.headers().get("last-event-id").map(|value| value.to_str().unwrap_or("?"));
    let (name, text) = match (header, query) {
        (Some(text), _) => ("Last-Event-ID", text),
        (None, Some(text)) => ("after", text),
        (None, None) => return Ok(None),
    };
    text.parse().map(Some).map_err(|_| Failure::invalid_query(name, expected))
}

impl Pipe {
    /// Hands a piece to the client, and gives up on one that takes nothing for too long. An empty one is none.
    pub(crate) async fn send(&self, piece: impl Into<Bytes>) -> Result<(), Ended> {
        let piece = piece.into();
        if piece.is_empty() {
            return Ok(());
        }
        tokio::select! {
            () = self.over() => Err(Ended),
            sent = timeout(self.patience, self.pieces.send(piece)) => match sent {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(Ended),
            },
        }
    }

    /// Waits until the client is gone, or the stream must end.
    pub(crate) async fn ended(&self) {
        tokio::select! {
            () = self.over() => {}
            () = self.pieces.closed() => {}
        }
    }

    /// Waits until the service is about to end, or the token is not good any more.
    async fn over(&self) {
        let expired = async {
            match self.until.0 {
                Some(until) => sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = expired => {}
        }
    }
}

impl MessageBody for Pieces {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(Ok))
    }
}
