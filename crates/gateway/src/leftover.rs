//! What is left of a request's body when the answer is there.
//!
//! An answer that overtakes the body makes HTTP/2 reset the stream (RFC 9113, section 8.1) and HTTP/1.1 close the connection. Not every client
//! looks at the answer then: curl reports an error of the stream instead. So the rest is read, and thrown away, before the answer leaves;
//! within limits, since nothing makes anybody stop.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use bytes::Bytes;
use http::{
    HeaderMap, StatusCode, Version,
    header::{CONTENT_LENGTH, EXPECT},
};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::{router::Gateway, transport::Transport};

/// How many times the limit of a body is read in vain.
const PATIENCE: usize = 512;

/// Answers when the body is read, by whomever.
pub(crate) async fn read<T: Transport>(
    State(gateway): State<Arc<Gateway<T>>>,
    request: Request,
    next: Next,
) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let most = gateway.config.body_limit.saturating_mul(PATIENCE);
    let within = announced(request.headers()).is_none_or(|length| length <= most);
    // Over HTTP/1.1 the first read would tell who asks first that the body is wanted (RFC 9110, section 10.1.1).
    let asks = request.version() < Version::HTTP_2 && request.headers().contains_key(EXPECT);
    let rest = Rest::default();
    let response = next.run(request.map(|body| rest.watch(body))).await;
    if let Some((body, begun)) = rest.take()
        && within
        && (begun || !asks)
        // Whoever was waited for in vain is not waited for again.
        && response.status() != StatusCode::REQUEST_TIMEOUT
    {
        // In time or not, the answer is the same.
        drop(timeout(gateway.config.body_read_timeout, discard(body, most)).await);
    }
    response
}

/// How long the body says that it is.
pub(crate) fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn discard(mut body: Body, most: usize) {
    let mut seen = 0;
    while seen <= most
        && let Some(Ok(frame)) = body.frame().await
    {
        seen += frame.data_ref().map_or(0, Bytes::len);
    }
}

/// A body that nobody wants any more, and whether somebody has begun to read it.
#[derive(Clone, Default)]
struct Rest(Arc<Mutex<Option<(Body, bool)>>>);

impl Rest {
    /// `body`, which comes back here when it is dropped before its end.
    fn watch(&self, body: Body) -> Body {
        Body::new(Watched { body, begun: false, ended: false, rest: self.clone() })
    }

    fn take(&self) -> Option<(Body, bool)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

struct Watched {
    body: Body,
    begun: bool,
    ended: bool,
    rest: Rest,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.begun = true;
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.ended = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if !self.ended && !self.body.is_end_stream() {
            let body = std::mem::take(&mut self.body);
            *self.rest.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((body, self.begun));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{
        convert::Infallible,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use futures_util::StreamExt as _;

    use super::*;

    /// Pieces of five bytes, and how many of them nobody has taken.
    fn counted(pieces: usize) -> (Body, Arc<AtomicUsize>) {
        let unread = Arc::new(AtomicUsize::new(pieces));
        let left = Arc::clone(&unread);
        let stream = futures_util::stream::iter(0..pieces).map(move |_| {
            left.fetch_sub(1, Ordering::Relaxed);
            Ok::<_, Infallible>(Bytes::from_static(b"12345"))
        });
        (Body::from_stream(stream), unread)
    }

    #[tokio::test]
    async fn what_was_not_read_comes_back_and_what_was_does_not() {
        let rest = Rest::default();
        drop(rest.watch(counted(3).0));
        assert!(matches!(rest.take(), Some((_, false))));
        let mut body = rest.watch(counted(3).0);
        assert!(body.frame().await.is_some());
        drop(body);
        assert!(matches!(rest.take(), Some((_, true))));
        assert_eq!(rest.watch(counted(3).0).collect().await.unwrap().to_bytes().len(), 15);
        assert!(rest.take().is_none());
    }

    #[tokio::test]
    async fn reading_in_vain_has_an_end() {
        for (pieces, left) in [(4, 0), (100, 79)] {
            let (body, unread) = counted(pieces);
            discard(body, 100).await;
            assert_eq!(unread.load(Ordering::Relaxed), left);
        }
    }
}
