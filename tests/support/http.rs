//! An HTTP client that holds every answer against the `OpenAPI` document.

use std::{collections::HashMap, sync::Arc, time::Duration};

use http::{HeaderMap, Method};
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::{openapi::OpenApi, signer::ASSERTION_TYPE, tenant::Client};

/// The client of one server.
#[derive(Clone)]
pub struct Http {
    base: String,
    client: reqwest::Client,
    /// Where requests say that they come from.
    from: Option<String>,
    document: Arc<OpenApi>,
    /// The assertion that bodies carry in the place of a secret.
    pub assertion: Option<String>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null if there is none.
    #[track_caller]
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A plain client, without pooling limits, proxies or redirects.
pub fn plain_client() -> reqwest::Client {
    client().build().expect("the client has no settings that can be wrong")
}

/// The same, which trusts the authority `pem` and nobody else.
pub fn trusting_client(pem: &str) -> reqwest::Client {
    let authority = reqwest::Certificate::from_pem(pem.as_bytes()).expect("it is a certificate");
    client().tls_certs_only([authority]).build().expect("the authority can be trusted")
}

fn client() -> reqwest::ClientBuilder {
    // The first one wins; a second start in the same process finds it there.
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
    reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).timeout(Duration::from_secs(120))
}

impl Http {
    /// A client of the server at `base`, which has no slash at its end.
    pub async fn new(base: String) -> Self {
        Self::over(plain_client(), base).await
    }

    /// The same over TLS, which trusts the authority `pem` and nobody else.
    pub async fn trusting(pem: &str, base: String) -> Self {
        Self::over(trusting_client(pem), base).await
    }

    async fn over(client: reqwest::Client, base: String) -> Self {
        let document = client.get(format!("{base}/openapi.json")).send().await.expect("/openapi.json is served");
        assert_eq!(document.status(), 200);
        let document = Arc::new(OpenApi::new(document.json().await.expect("/openapi.json is JSON")));
        Self { base, client, from: None, document, assertion: None }
    }

    /// The document.
    pub fn document(&self) -> &OpenApi {
        &self.document
    }

    /// The same, behind a proxy that says whose address it is.
    #[must_use]
    pub fn from(&self, address: &str) -> Self {
        Self { from: Some(address.to_owned()), ..self.clone() }
    }

    /// The address of `path`.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// A request to `path`, which begins with a slash and is sent as it stands.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, self.url(path));
        match &self.from {
            Some(address) => request.header("x-forwarded-for", address),
            None => request,
        }
    }

    /// Sends it and checks the answer.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let request = request.build().expect("the request is well-formed");
        let (method, path) = (request.method().to_string(), request.url().path().to_owned());
        let json = request.headers().get("content-type").is_some_and(|value| value == "application/json");
        let sent = request.body().and_then(|body| body.as_bytes()).filter(|_| json).map(<[u8]>::to_vec);
        let answer = self.client.execute(request).await.expect("the server answers");
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.bytes().await.expect("the body arrives").to_vec();
        let answer = Answer { status, headers, body };
        if method != "HEAD" && method != "OPTIONS" {
            self.document.check_answer(&method, &path, status, answer.header("content-type"), &answer.body);
            if let Some(sent) = sent.filter(|sent| status == 200 && !sent.is_empty()) {
                let sent = serde_json::from_slice(&sent).expect("what was accepted is JSON");
                self.document.check_request(&method, &path, &sent);
            }
        }
        answer
    }

    /// Posts `body` as JSON.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let mut body = body.clone();
        if let Some(assertion) = &self.assertion {
            body["client_assertion"] = json!(assertion);
            body["client_assertion_type"] = json!(ASSERTION_TYPE);
        }
        self.send(self.request(Method::POST, path).json(&body)).await
    }

    /// Posts `fields` as a form.
    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.send(self.request(Method::POST, path).form(fields)).await
    }

    /// Posts `body` as JSON with a bearer.
    pub async fn post_as(&self, bearer: &str, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).bearer_auth(bearer).json(body)).await
    }

    /// Posts `body` as JSON on a connection of its own, and resets that a `moment` after it was sent.
    pub async fn post_and_reset(&self, path: &str, body: &Value, moment: u32) {
        let (host, body) = (self.base.trim_start_matches("http://"), body.to_string());
        let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n");
        let request = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        let mut connection = TcpStream::connect(host).await.expect("the server listens");
        connection.write_all(request.as_bytes()).await.expect("the request is sent");
        for _ in 0..moment {
            tokio::task::yield_now().await;
        }
        connection.set_zero_linger().expect("closing may reset");
    }

    /// Gets `path`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// Gets, changes or deletes with a bearer.
    pub async fn call_as(&self, bearer: &str, method: Method, path: &str) -> Answer {
        self.send(self.request(method, path).bearer_auth(bearer)).await
    }
}

/// `fields` with the client's id and secret, as a JSON body.
pub fn body(client: Client, fields: &[(&str, &str)]) -> Value {
    let mut body: HashMap<&str, &str> = fields.iter().copied().collect();
    body.insert("client_id", client.id);
    if let Some(secret) = client.secret {
        body.insert("client_secret", secret);
    }
    serde_json::to_value(body).expect("text is JSON")
}
