use std::convert::Infallible;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use reqwest::Body;
use tokio::time::{Instant, Sleep, sleep};

/// How a body goes out when it does not go out at once.
#[derive(Debug, Clone, Copy)]
pub struct Pieces {
    /// In how many pieces of about the same size; a body has no more pieces than bytes.
    pub count: NonZeroU32,
    /// How long each piece is held back, the first one too.
    pub pause: Duration,
}

impl Pieces {
    pub(super) fn body(self, whole: Bytes) -> Body {
        let count = usize::try_from(self.count.get()).unwrap_or(usize::MAX);
        let size = whole.len().div_ceil(count);
        Body::wrap(SlowBody { rest: whole, size, pause: self.pause, wait: Box::pin(sleep(self.pause)) })
    }
}

/// What is still to be sent. Its size is known, so the head has a `Content-Length`.
struct SlowBody {
    rest: Bytes,
    size: usize,
    pause: Duration,
    wait: Pin<Box<Sleep>>,
}

impl HttpBody for SlowBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            return Poll::Ready(None);
        }
        ready!(this.wait.as_mut().poll(context));
        let piece = this.rest.split_to(this.size.min(this.rest.len()));
        this.wait.as_mut().reset(Instant::now() + this.pause);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.rest.len()).unwrap_or(u64::MAX))
    }
}
