//! Reading a request body, within its limits.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::{config::GatewayConfig, oauth_error::Problem};

/// How many times the limit is still read, and thrown away, of a body that is too large.
const PATIENCE: usize = 8;

/// The whole body.
///
/// Of one that is somewhat too large the rest is awaited first: over HTTP/2 a client whose stream is reset while it sends may never
/// look at the answer.
///
/// # Errors
///
/// [`Problem::BodyTooLarge`], [`Problem::BodyTooSlow`], [`Problem::BodyBroken`].
pub(crate) async fn read(config: &GatewayConfig, headers: &HeaderMap, mut body: Body) -> Result<Bytes, Problem> {
    let most = config.body_limit.saturating_mul(PATIENCE);
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(Problem::BodyTooLarge);
    }
    let collected = match announced {
        Some(length) if length > config.body_limit => Err(Problem::BodyTooLarge),
        _ => timeout(config.body_read_timeout, collect(config.body_limit, &mut body))
            .await
            .unwrap_or(Err(Problem::BodyTooSlow)),
    };
    if collected == Err(Problem::BodyTooLarge) {
        // In time or not, the answer is the same.
        drop(timeout(config.body_read_timeout, discard(body, most)).await);
    }
    collected
}

async fn discard(mut body: Body, most: usize) {
    let mut seen = 0;
    while seen <= most
        && let Some(Ok(frame)) = body.frame().await
    {
        seen += frame.data_ref().map_or(0, Bytes::len);
    }
}

async fn collect(limit: usize, body: &mut Body) -> Result<Bytes, Problem> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Problem::BodyBroken)?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > limit {
            return Err(Problem::BodyTooLarge);
        }
        // Nearly every body comes in one piece and is not copied.
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(first.len() + rest.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest);
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::{convert::Infallible, sync::Arc, time::Duration};

    use futures_util::StreamExt as _;

    use super::*;

    fn config() -> GatewayConfig {
        GatewayConfig {
            body_limit: 8,
            body_read_timeout: Duration::from_millis(20),
            ..GatewayConfig::new("https://id.example/", Arc::new(String::new), Arc::new(|| 0))
        }
    }

    struct Pieces(Vec<&'static [u8]>, bool);

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
            if self.0.is_empty() {
                return if self.1 { std::task::Poll::Pending } else { std::task::Poll::Ready(None) };
            }
            let piece = self.0.remove(0);
            std::task::Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(piece)))))
        }
    }

    /// Pieces of five bytes, and how many of them nobody has taken.
    fn counted(pieces: usize) -> (Body, Arc<std::sync::atomic::AtomicUsize>) {
        let unread = Arc::new(std::sync::atomic::AtomicUsize::new(pieces));
        let left = Arc::clone(&unread);
        let stream = futures_util::stream::iter(0..pieces).map(move |_| {
            left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed);
            Ok::<_, Infallible>(Bytes::from_static(b"12345"))
        });
        (Body::from_stream(stream), unread)
    }

    #[tokio::test]
    async fn joins_pieces_in_order() {
        let body = Body::new(Pieces(vec![b"ab", b"cd", b"ef"], false));
        assert_eq!(read(&config(), &HeaderMap::new(), body).await.unwrap(), "abcdef");
    }

    #[tokio::test]
    async fn refuses_more_than_the_limit_announced_or_not() {
        let mut announced = HeaderMap::new();
        announced.insert(CONTENT_LENGTH, http::HeaderValue::from_static("9"));
        assert_eq!(read(&config(), &announced, Body::empty()).await.unwrap_err(), Problem::BodyTooLarge);
        let body = Body::new(Pieces(vec![b"12345678", b"9"], false));
        assert_eq!(read(&config(), &HeaderMap::new(), body).await.unwrap_err(), Problem::BodyTooLarge);
    }

    #[tokio::test]
    async fn lets_who_sends_somewhat_too_much_finish_and_nobody_else() {
        for (announced, pieces, left) in [("20", 4, 0), ("1000", 4, 4), ("", 40, 25)] {
            let (pieces, unread) = counted(pieces);
            let mut headers = HeaderMap::new();
            if !announced.is_empty() {
                headers.insert(CONTENT_LENGTH, http::HeaderValue::from_static(announced));
            }
            assert_eq!(read(&config(), &headers, pieces).await.unwrap_err(), Problem::BodyTooLarge);
            assert_eq!(unread.load(std::sync::atomic::Ordering::Relaxed), left, "{announced}");
        }
    }

    #[tokio::test]
    async fn gives_up_on_a_body_that_never_ends() {
        let body = Body::new(Pieces(vec![b"1"], true));
        assert_eq!(read(&config(), &HeaderMap::new(), body).await.unwrap_err(), Problem::BodyTooSlow);
    }
}
