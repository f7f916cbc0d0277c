//! Accepts connections and serves them, within limits.
//!
//! hyper is driven directly because the limits that matter (headers, streams, resets, keep-alive, connections per address) are its
//! own, and because the address of the peer has to reach both HTTP and gRPC.

mod counter;
mod leftover;
mod patience;
mod progress;

use std::{convert::Infallible, net::SocketAddr, pin::Pin, sync::Arc, task, time::Duration};

use axum::{Router, body::Body, extract::ConnectInfo};
use countersign_server::Caller;
use countersign_telemetry::{Metrics, metrics::label::Listener as Label};
use http::{
    HeaderMap, HeaderValue, Request, StatusCode, Version,
    header::{CONNECTION, CONTENT_TYPE, EXPECT},
};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto::Builder,
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

pub use self::counter::Connections;
use self::{
    leftover::{Next, lend},
    patience::{Conversation, Patience},
    progress::Progress,
};
use crate::{
    system,
    tls::{Peer, Side},
};

/// How long a client may take for a TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// The most bytes of headers of a request.
const MAX_HEADERS: u32 = 16 * 1024;
/// The most requests at once on one HTTP/2 connection. An application's gRPC calls share one, and those that watch stay for minutes.
const MAX_STREAMS: u32 = 100;
const MAX_GRPC_STREAMS: u32 = 1000;
/// The most streams that may be reset before they were looked at (CVE-2023-44487).
const MAX_PENDING_RESETS: usize = 20;
/// How often a silent HTTP/2 connection is asked whether it is there, and how long it may take to answer.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
/// Bytes of a frame, and of what may be under way on one stream and on one connection. Requests are small: h2 ends a connection whose frames
/// of less than 256 bytes that nobody has read yet lack more than half of the connection's window of that, so it takes 512 for each stream.
const MAX_FRAME: u32 = 16 * 1024;
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 512 * (MAX_GRPC_STREAMS + 24);
/// How often the certificate of a client is judged again while its connection lasts.
const REJUDGE_EVERY: Duration = Duration::from_secs(60);
/// How long accepting rests when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What one listener serves.
pub struct Listener {
    /// Where connections come from.
    pub socket: TcpListener,
    /// TLS, if connections are encrypted.
    pub tls: Option<Side>,
    /// Who answers.
    pub router: Router,
    /// Counts connections, of several listeners together.
    pub connections: Connections,
    /// Where they are counted for others to see, and under which name.
    pub metrics: (Metrics, Label),
    /// Turns true when the server stops.
    pub stopping: watch::Receiver<bool>,
}

impl Listener {
    /// Serves until `stopping`, then lets requests that have begun end for at most `in_flight`.
    pub async fn run(mut self, in_flight: Duration) {
        let mut served = JoinSet::new();
        let streams = if self.metrics.1 == Label::Grpc { MAX_GRPC_STREAMS } else { MAX_STREAMS };
        let builder = Arc::new(engine(streams));
        while !*self.stopping.borrow() {
            tokio::select! {
                _ = self.stopping.changed() => {}
                Some(_) = served.join_next(), if !served.is_empty() => {}
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let (metrics, label) = &self.metrics;
                        let Some(permit) = self.connections.admit(peer.ip()) else {
                            metrics.connection_refused(*label);
                            continue;
                        };
                        let open = metrics.connection_opened(*label);
                        let connection = Connection {
                            builder: Arc::clone(&builder),
                            router: self.router.clone(),
                            tls: self.tls.clone(),
                            peer,
                            stopping: self.stopping.clone(),
                        };
                        served.spawn(async move {
                            connection.serve(stream).await;
                            drop((permit, open));
                        });
                    }
                    // The client went away, or there is no room for a descriptor: neither ends the listener.
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        system::pause(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        drop(self.socket);
        let drained = async { while served.join_next().await.is_some() {} };
        if tokio::time::timeout(in_flight, drained).await.is_err() {
            tracing::warn!(connections = served.len(), "requests were cut off");
            served.shutdown().await;
        }
    }
}

fn engine(streams: u32) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // `Patience` measures.
        .header_read_timeout(None)
        .max_buf_size(MAX_HEADERS as usize)
        .half_close(false);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(MAX_PENDING_RESETS)
        .max_header_list_size(MAX_HEADERS)
        .max_frame_size(MAX_FRAME)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE);
    builder
}

struct Connection {
    builder: Arc<Builder<TokioExecutor>>,
    router: Router,
    tls: Option<Side>,
    peer: SocketAddr,
    stopping: watch::Receiver<bool>,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        // Answers are small; waiting to fill a packet only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "the connection is gone");
            return;
        }
        let stream = Progress::new(stream);
        match self.tls.clone() {
            None => self.speak(stream, Shown(None)).await,
            Some(side) => {
                match tokio::time::timeout(HANDSHAKE, TlsAcceptor::from(side.config()).accept(stream)).await {
                    Ok(Ok(stream)) => {
                        let chain = stream.get_ref().1.peer_certificates();
                        let shown = Shown(chain.and_then(Peer::new).map(|peer| (side, peer)));
                        self.speak(stream, shown).await;
                    }
                    Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                    Err(_) => tracing::debug!("a TLS handshake took too long"),
                }
            }
        }
    }

    async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(mut self, stream: S, shown: Shown) {
        let conversation = Conversation::default();
        let stream = Patience::new(stream, conversation.clone());
        let service = PerConnection { router: self.router, peer: self.peer, caller: shown.caller(), conversation };
        let service = TowerToHyperService::new(service);
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        let ended = shown.ended();
        tokio::pin!(connection, ended);
        let mut told = false;
        let outcome = loop {
            tokio::select! {
                outcome = connection.as_mut() => break outcome,
                _ = self.stopping.wait_for(|stopping| *stopping), if !told => {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                }
                // What has begun goes on; whoever has a newer certificate comes back with it.
                () = ended.as_mut(), if !told => {
                    told = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        };
        if let Err(error) = outcome {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// The certificate that the client of a connection has shown, if any.
struct Shown(Option<(Side, Peer)>);

impl Shown {
    fn caller(&self) -> Caller {
        self.0.as_ref().map_or(Caller::Direct, |(side, peer)| side.caller(peer))
    }

    /// Until it is not good any more.
    async fn ended(self) {
        let Some((side, peer)) = self.0 else { return std::future::pending().await };
        let mut changes = side.changes();
        while side.is_good(&peer) {
            drop(tokio::time::timeout(REJUDGE_EVERY, changes.next()).await);
        }
    }
}

/// The router, told who calls.
#[derive(Clone)]
struct PerConnection {
    router: Router,
    peer: SocketAddr,
    caller: Caller,
    conversation: Conversation,
}

impl tower::Service<Request<Incoming>> for PerConnection {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> task::Poll<Result<(), Infallible>> {
        task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        // In HTTP/2 requests do not stand in each other's way.
        let in_line = request.version() < Version::HTTP_2;
        let asks_first = in_line && request.headers().contains_key(EXPECT);
        let (mut request, leftover) = if !request.body().is_end_stream() && !is_grpc(request.headers()) {
            let (head, body) = request.into_parts();
            let (body, leftover) = lend(body);
            (Request::from_parts(head, Body::new(body)), Some(leftover))
        } else {
            (request.map(Body::new), None)
        };
        request.extensions_mut().insert(ConnectInfo(self.peer));
        request.extensions_mut().insert(countersign_server::PeerAddress(self.peer));
        request.extensions_mut().insert(self.caller.clone());
        self.conversation.asked();
        let answer = self.router.clone().oneshot(request);
        let conversation = self.conversation.clone();
        Box::pin(async move {
            let mut answer = answer.await?;
            // Whoever was waited for in vain is not waited for again.
            let waits = answer.status() != StatusCode::REQUEST_TIMEOUT;
            if let Some(leftover) = leftover
                && (!waits || leftover.settle(asks_first).await == Next::Close)
                && in_line
            {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            conversation.answered();
            Ok(answer)
        })
    }
}

/// Whether tonic reads it, whose clients wait for the answer whatever became of the request.
fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

#[cfg(test)]
mod tests;
