//! What the fakes of FCM and APNs share: a server, the check of a token, and a login to ask about.

use std::{
    collections::VecDeque,
    error::Error,
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::signature::{UnparsedPublicKey, VerificationAlgorithm};
use bytes::Bytes;
use countersign_delivery::provider::{Rendered, http::HttpSettings};
use countersign_domain::{
    id::MessageId,
    message::{Channel, Content, Message, Push, PushContext, PushService},
    port::sender::SendError,
    secret::Secret,
    time::Timestamp,
};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::{HeaderMap, Method, Response, Version};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

pub const START: Timestamp = Timestamp::from_millis(1_790_000_000_250);
pub const CHALLENGE: &str = "the-challenge";
pub const TRANSACTION_TOKEN: &str = "the-transaction-token";

/// A request, read to its end.
pub struct Request {
    pub method: Method,
    pub version: Version,
    pub path: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// What is done with a request.
pub enum Reply {
    Answer(u16, Vec<(&'static str, &'static str)>, Value),
    /// Nothing, ever.
    Silence,
    /// The end of the connection or stream.
    Reset,
}

impl Reply {
    pub fn status(status: u16, body: Value) -> Self {
        Self::Answer(status, Vec::new(), body)
    }
}

/// Answers requests. What is scripted comes first.
pub trait Service: Send + Sync + 'static {
    fn answer(&self, request: &Request) -> Reply;
}

/// Replies that stand in for those of a service, in turn.
#[derive(Default)]
pub struct Script(Mutex<VecDeque<Reply>>);

impl Script {
    pub fn push(&self, reply: Reply) {
        self.0.lock().unwrap().push_back(reply);
    }

    pub fn next(&self) -> Option<Reply> {
        self.0.lock().unwrap().pop_front()
    }
}

/// A server on a port of its own, until it is dropped.
pub struct Server {
    pub base: String,
    task: JoinHandle<()>,
}

impl Server {
    /// HTTP/1.1 and HTTP/2, in the clear.
    pub async fn start(service: Arc<dyn Service>) -> Self {
        Self::listen(None, service).await
    }

    /// HTTP/2 alone, at `localhost`.
    pub async fn start_tls(authority: &Authority, service: Arc<dyn Service>) -> Self {
        Self::listen(Some(authority.acceptor.clone()), service).await
    }

    async fn listen(tls: Option<TlsAcceptor>, service: Arc<dyn Service>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let base = if tls.is_some() { format!("https://localhost:{port}") } else { format!("http://127.0.0.1:{port}") };
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (tls, service) = (tls.clone(), Arc::clone(&service));
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, service).await,
                        // Who does not trust us goes away in the handshake.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, service).await;
                            }
                        }
                    }
                });
            }
        });
        Self { base, task }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, service: Arc<dyn Service>) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let service = Arc::clone(&service);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let path = parts.uri.path().to_owned();
            let request = Request { method: parts.method, version: parts.version, path, headers: parts.headers, body };
            match service.answer(&request) {
                Reply::Silence => std::future::pending().await,
                Reply::Reset => Err(io::Error::other("reset")),
                Reply::Answer(status, headers, body) => {
                    let response =
                        headers.into_iter().fold(Response::builder().status(status), |response, (name, value)| {
                            response.header(name, value)
                        });
                    Ok(response.body(Full::new(Bytes::from(body.to_string()))).unwrap())
                }
            }
        }
    });
    // A connection that breaks is what some tests are about.
    drop(auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await);
}

/// An address where nobody listens.
pub async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A certificate authority of one test, and a server's certificate from it.
pub struct Authority {
    folder: TempDir,
    acceptor: TlsAcceptor,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key.serialize_der().try_into().unwrap())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("root.pem"), root.pem()).unwrap();
        Self { folder, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }
}

/// The header and the claims of a token, if `key` signed it.
pub fn verified(token: &str, algorithm: &'static dyn VerificationAlgorithm, key: &[u8]) -> Option<(Value, Value)> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (header, claims) = signed.split_once('.')?;
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).ok()?;
    UnparsedPublicKey::new(algorithm, key).verify(signed.as_bytes(), &signature).ok()?;
    let decode = |part: &str| serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).ok()?).ok();
    Some((decode(header)?, decode(claims)?))
}

/// A private key as its owner downloads it.
pub fn pem(pkcs8: &[u8]) -> String {
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64.encode(pkcs8))
}

/// A login that waits for an answer on the device `to`.
pub fn login(service: PushService, to: &str) -> Message {
    let context = PushContext {
        service,
        base_url: "https://mfa.example.com".into(),
        device: "dev_0123456789abcdef".into(),
        requested_at: START,
        client_name: "Shop".into(),
        user_agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0".into()),
        address: Some("192.0.2.7".into()),
        number_matching: true,
    };
    Message {
        id: MessageId::new("msg_4fzyo82mvyr2k9q1w7h3x5t6"),
        channel: Channel::Push,
        to: Secret::new(to.into()),
        content: Content::Push(Push {
            challenge: Secret::new(CHALLENGE.into()),
            transaction_token: Secret::new(TRANSACTION_TOKEN.into()),
            context,
        }),
        languages: None,
        created_at: START,
        expires_at: START.plus(Duration::from_secs(300)),
    }
}

pub fn words() -> Rendered {
    Rendered {
        language: "en".into(),
        subject: Some("Example".into()),
        text: Secret::new("Are you signing in?".into()),
        html: None,
    }
}

/// Limits for servers that never answer.
pub fn impatient() -> HttpSettings {
    HttpSettings { timeout: Duration::from_secs(1), ..HttpSettings::default() }
}

/// The kind of an error and its whole chain, which holds nothing of a message.
pub fn told(error: &SendError) -> String {
    let mut text = format!("{error:?}");
    let mut next: Option<&dyn Error> = Some(error);
    while let Some(error) = next {
        text = format!("{text}: {error}");
        next = error.source();
    }
    for secret in [CHALLENGE, TRANSACTION_TOKEN, "device", "Are you", "eyJ", "ya29"] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    text
}

/// An error text as providers write it: with what it is about.
pub fn talkative() -> Value {
    json!(format!("device-1 {CHALLENGE} {TRANSACTION_TOKEN}"))
}
