//! Asking the device API.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use countersign_domain::secret::Secret;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header::AUTHORIZATION, redirect};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{barcode::Barcode, base_url::BaseUrl, code::Totp, phone::Account};
use crate::{cli::exit::Failure, tls};

/// Where answers to logins go.
pub const RESOLVE: &str = "/api/resolve-transaction";
/// Limit for making a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Limit of a request, from connecting to the end of the answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// More of an answer is not read.
const LONGEST_ANSWER: usize = 64 * 1024;

/// A client of the API.
pub struct Guardian(Client);

/// What an enrolment is answered with.
#[derive(Debug)]
pub struct Registration {
    /// The server's name for it.
    pub id: String,
    /// Where the device API is from now on.
    pub url: BaseUrl,
    /// Who runs it.
    pub issuer: String,
    /// Whose it is.
    pub user_id: String,
    /// The bearer of requests about it.
    pub token: Secret<String>,
    /// What codes are made with.
    pub totp: Option<Totp>,
}

/// Why it was not done.
#[derive(Debug)]
pub enum Problem {
    /// The server says no: its status, its word for the reason, and its sentence.
    Refused(StatusCode, String, String),
    /// Nobody answers, or nobody who speaks the protocol. Whether it was done is not known.
    Unanswered(anyhow::Error),
}

impl Guardian {
    /// A client that trusts the authorities of the file `authority` and nobody else, or those of the system.
    ///
    /// # Errors
    ///
    /// The file holds no certificates; the system has none.
    pub fn new(authority: Option<&Path>) -> anyhow::Result<Self> {
        let builder = ClientConfig::builder_with_provider(tls::provider()).with_safe_default_protocol_versions()?;
        let tls = if let Some(path) = authority {
            let mut roots = RootCertStore::empty();
            for certificate in tls::certificates(path)? {
                roots.add(certificate).with_context(|| format!("{} holds no authority", path.display()))?;
            }
            builder.with_root_certificates(roots)
        } else {
            let verifier = Verifier::new(tls::provider()).context("the system trusts no authorities")?;
            // Not dangerous: it verifies against the roots of the system.
            builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier))
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls.with_no_client_auth())
            .redirect(redirect::Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT)
            .timeout(PATIENCE)
            .user_agent(concat!("countersign-device/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self(client.context("cannot set up an HTTP client")?))
    }

    /// Enrols with the ticket of `barcode`. Done again with the same ticket and key it is the same registration.
    ///
    /// # Errors
    ///
    /// See [`Problem`].
    pub async fn enrol(&self, barcode: &Barcode, device: &Value) -> Result<Registration, Problem> {
        let ticket = Secret::new(format!(r#"Ticket id="{}""#, barcode.ticket.expose()));
        let request = self.request(Method::POST, &barcode.base_url, "/api/enroll", &ticket);
        let answer = ask(request.json(device)).await?;
        registration(&answer).map_err(Problem::Unanswered)
    }

    /// Brings the signed answer `token` to the login that `bearer` stands for.
    ///
    /// # Errors
    ///
    /// See [`Problem`].
    pub async fn resolve(
        &self,
        base: &BaseUrl,
        bearer: &Secret<String>,
        token: &Secret<String>,
    ) -> Result<(), Problem> {
        let request = self.request(Method::POST, base, RESOLVE, &bearing(bearer));
        ask(request.json(&json!({ "challenge_response": token.expose() }))).await.map(drop)
    }

    /// Ends the enrolment of `account`.
    ///
    /// # Errors
    ///
    /// See [`Problem`].
    pub async fn remove(&self, account: &Account) -> Result<(), Problem> {
        let path = format!("/api/device-accounts/{}", account.id);
        ask(self.request(Method::DELETE, &account.url, &path, &bearing(&account.token))).await.map(drop)
    }

    fn request(&self, method: Method, base: &BaseUrl, path: &str, authorization: &Secret<String>) -> RequestBuilder {
        self.0.request(method, base.at(path)).header(AUTHORIZATION, authorization.expose())
    }
}

fn bearing(token: &Secret<String>) -> Secret<String> {
    Secret::new(format!("Bearer {}", token.expose()))
}

/// The body of a good answer.
async fn ask(request: RequestBuilder) -> Result<Secret<Vec<u8>>, Problem> {
    let response = request.send().await.map_err(|error| {
        let error = anyhow::Error::from(error.without_url());
        Problem::Unanswered(error.context("the server cannot be reached"))
    })?;
    let status = response.status();
    let body = read(response).await.map_err(|error| {
        let error = anyhow::Error::from(error.without_url());
        Problem::Unanswered(error.context("the server gave no whole answer"))
    })?;
    if status.is_success() { Ok(body) } else { Err(refusal(status, body.expose())) }
}

async fn read(mut response: Response) -> Result<Secret<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        body.extend(chunk.iter().take(LONGEST_ANSWER.saturating_sub(body.len())));
        if body.len() >= LONGEST_ANSWER {
            break;
        }
    }
    Ok(Secret::new(body))
}

fn registration(body: &Secret<Vec<u8>>) -> anyhow::Result<Registration> {
    #[derive(Deserialize)]
    struct Body {
        id: String,
        url: String,
        issuer: String,
        user_id: String,
        #[serde(with = "super::phone::kept")]
        token: Secret<String>,
        totp: Option<Totp>,
    }
    // The text of an error could quote a secret.
    let body: Body = serde_json::from_slice(body.expose())
        .map_err(|error| anyhow::anyhow!("the server's answer is no registration: column {}", error.column()))?;
    let url = BaseUrl::parse(&body.url).map_err(|error| anyhow::anyhow!("{error}"))?;
    // It becomes part of a path.
    if body.id.is_empty() || !body.id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte)) {
        anyhow::bail!("the server's answer is no registration: its id cannot be used");
    }
    let Body { id, issuer, user_id, token, totp, .. } = body;
    Ok(Registration { id, url, issuer, user_id, token, totp })
}

/// What the server says of the reason, as far as it speaks the protocol.
fn refusal(status: StatusCode, body: &[u8]) -> Problem {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Body {
        error_code: String,
        message: String,
    }
    let Body { error_code, message } = serde_json::from_slice(body).unwrap_or_default();
    Problem::Refused(status, error_code, message)
}

impl Problem {
    /// Whether asking again brings nothing else.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Refused(status, ..) if status.is_client_error() && *status != StatusCode::TOO_MANY_REQUESTS)
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let is_final = problem.is_final();
        match problem {
            Problem::Unanswered(error) => Self::Unavailable(format!("{error:#}")),
            Problem::Refused(status, code, message) => {
                let code = if code.is_empty() { "without a reason" } else { &code };
                let said = if message.is_empty() { String::new() } else { format!(": {message}") };
                let said = super::outbox::shown(&format!("The server refused, {} {code}{said}", status.as_u16()));
                if is_final { Self::Data(said) } else { Self::Unavailable(said) }
            }
        }
    }
}
