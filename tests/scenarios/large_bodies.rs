//! Bodies that nobody wants, by clients of HTTP/2: who is still sending must get the answer all the same.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use axum::body::Bytes;
use countersign::{
    demo::{DemoOptions, start},
    serve::Running,
};
use countersign_telemetry::Metrics;
use http::Version;
use http_body::Frame;
use tempfile::TempDir;

const PIECE: usize = 10_000;

/// As many zeros, and how many of them were not sent.
struct Zeros(Arc<AtomicUsize>);

impl http_body::Body for Zeros {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let left = self.0.load(Ordering::Relaxed);
        if left == 0 {
            return Poll::Ready(None);
        }
        let piece = left.min(PIECE);
        self.0.store(left - piece, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![b'0'; piece])))))
    }
}

/// The addresses of a server, without TLS and with it, and a client that speaks HTTP/2 to both.
async fn demo() -> (TempDir, Running, [String; 2], reqwest::Client) {
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = TempDir::new().unwrap();
    let dir = folder.path().to_owned();
    let options =
        DemoOptions { dir, users: 1, https_port: 0, http_port: 0, grpc_port: 0, ops_port: 0, ..DemoOptions::default() };
    let (running, description) = start(&options, Metrics::new()).await.expect("the demo starts");
    let ca = reqwest::Certificate::from_pem(&std::fs::read(&description.ca_file).unwrap()).unwrap();
    let client = reqwest::Client::builder().no_proxy().http2_prior_knowledge().tls_certs_only([ca]).build().unwrap();
    (folder, running, [description.http_url, description.https_url], client)
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_a_body_that_is_too_large_is_taken_and_answered() {
    let (_folder, _running, urls, client) = demo().await;
    for url in &urls {
        for (path, announced, status) in [
            ("oauth/token", false, 413),
            ("oauth/token", true, 413),
            ("mfa/associate", true, 413),
            ("nowhere", true, 404),
        ] {
            let unsent = Arc::new(AtomicUsize::new(3_000_000));
            let request = client
                .post(format!("{url}/{path}"))
                .header("content-type", "application/json")
                .bearer_auth("csmfa_x")
                .body(reqwest::Body::wrap(Zeros(Arc::clone(&unsent))));
            let request = if announced { request.header("content-length", 3_000_000) } else { request };
            let answer = request.send().await.unwrap_or_else(|error| panic!("{url} {path}: {error:?}"));
            assert_eq!((answer.version(), answer.status().as_u16()), (Version::HTTP_2, status), "{url} {path}");
            assert!(answer.text().await.unwrap().contains("error"), "{url} {path}");
            assert_eq!(unsent.load(Ordering::Relaxed), 0, "{url} {path}: no stream was reset while it was sent");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_read_for_ever() {
    let (_folder, _running, urls, client) = demo().await;
    for url in &urls {
        let unsent = Arc::new(AtomicUsize::new(100_000_000));
        let request = client.post(format!("{url}/oauth/token")).body(reqwest::Body::wrap(Zeros(Arc::clone(&unsent))));
        // An answer or a reset: what a client makes of both at once is its own affair.
        let answer = request.send().await;
        assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 413));
        assert!(unsent.load(Ordering::Relaxed) > 80_000_000, "{}", unsent.load(Ordering::Relaxed));
    }
}
