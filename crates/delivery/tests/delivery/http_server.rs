//! An HTTP server that answers as a test says, on a port of its own.

use std::{
    convert::Infallible,
    io,
    path::Path,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Method, Response};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::{
    body::{Frame, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use super::authority::Authority;

/// A request, read to its end.
#[derive(Clone)]
pub struct Request {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// A field of a form.
    pub fn field(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(&self.body).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

/// What the server does with a request.
pub enum Reply {
    /// Status, headers, body.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// Nothing, ever.
    Silence,
    /// The beginning of a body, then the connection breaks.
    Cut(u16),
    /// A body without an end.
    Endless(u16),
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new(), String::new())
    }
}

type Body = BoxBody<Bytes, io::Error>;
type Handler = dyn Fn(&Request) -> Reply + Send + Sync;

struct Shared {
    handler: Box<Handler>,
    seen: Mutex<Vec<Request>>,
}

pub struct HttpServer {
    pub base: String,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl HttpServer {
    pub async fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(None, handler).await
    }

    /// With TLS, at `localhost`.
    pub async fn start_tls(authority: &Authority, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(Some(acceptor(&authority.certificate(), &authority.key())), handler).await
    }

    async fn listen(tls: Option<TlsAcceptor>, handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let base = if tls.is_some() { format!("https://localhost:{port}") } else { format!("http://127.0.0.1:{port}") };
        let shared = Arc::new(Shared { handler: Box::new(handler), seen: Mutex::default() });
        let task = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    let (tls, shared) = (tls.clone(), Arc::clone(&shared));
                    tokio::spawn(async move {
                        match tls {
                            None => serve(stream, shared).await,
                            // A client that does not trust us goes away in the handshake.
                            Some(tls) => {
                                if let Ok(stream) = tls.accept(stream).await {
                                    serve(stream, shared).await;
                                }
                            }
                        }
                    });
                }
            }
        });
        Self { base, shared, task }
    }

    /// The requests so far.
    pub fn seen(&self) -> Vec<Request> {
        self.shared.seen.lock().unwrap().clone()
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn acceptor(certificate: &Path, key: &Path) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap())
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(request, Arc::clone(&shared)));
    // A broken connection is what some tests are about.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

async fn answer(request: hyper::Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes().to_vec();
    let request = Request { method: parts.method, path: parts.uri.path().into(), headers: parts.headers, body };
    shared.seen.lock().unwrap().push(request.clone());
    let chunk = || Ok(Frame::data(Bytes::from_static(&[b' '; 1024])));
    let (status, headers, body) = match (shared.handler)(&request) {
        Reply::Answer(status, headers, body) => {
            (status, headers, Full::new(Bytes::from(body)).map_err(|never| match never {}).boxed())
        }
        Reply::Silence => std::future::pending().await,
        Reply::Cut(status) => {
            let parts = [chunk(), Err(io::Error::other("cut"))];
            (status, Vec::new(), StreamBody::new(stream::iter(parts)).boxed())
        }
        Reply::Endless(status) => (status, Vec::new(), StreamBody::new(stream::repeat_with(chunk)).boxed()),
    };
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    Ok(response.body(body).unwrap())
}
