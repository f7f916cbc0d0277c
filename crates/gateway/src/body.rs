//! Reading a request body, within its limits.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header::CONTENT_LENGTH};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use crate::{config::GatewayConfig, oauth_error::Problem};

/// The whole body. What is left of one that is too large is the listener's to read.
///
/// # Errors
///
/// [`Problem::BodyTooLarge`], [`Problem::BodyTooSlow`], [`Problem::BodyBroken`].
pub(crate) async fn read(config: &GatewayConfig, headers: &HeaderMap, mut body: Body) -> Result<Bytes, Problem> {
    if announced(headers).is_some_and(|length| length > config.body_limit) {
        return Err(Problem::BodyTooLarge);
    }
    timeout(config.body_read_timeout, collect(config.body_limit, &mut body)).await.unwrap_or(Err(Problem::BodyTooSlow))
}

/// How long the body says that it is.
fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
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
    async fn gives_up_on_a_body_that_never_ends() {
        let body = Body::new(Pieces(vec![b"1"], true));
        assert_eq!(read(&config(), &HeaderMap::new(), body).await.unwrap_err(), Problem::BodyTooSlow);
    }
}
