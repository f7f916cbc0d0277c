//! Over HTTP/1.1 with kept connections, one a caller, as forms.

use anyhow::Context as _;
use serde::Deserialize;

use crate::{
    deployment::{CLIENT, CLIENT_SECRET},
    people::{Pending, now},
};

/// A client.
#[derive(Clone)]
pub struct HttpClient {
    http: reqwest::Client,
    token_url: String,
}

/// What of an answer must be right.
#[derive(Deserialize)]
struct Tokens {
    access_token: String,
    id_token: Option<String>,
}

impl HttpClient {
    /// A client of the server at `url`.
    ///
    /// # Errors
    ///
    /// The client cannot be made.
    pub fn new(url: &str) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().http1_only().no_proxy().tcp_nodelay(true).build()?;
        Ok(Self { http, token_url: format!("{url}/oauth/token") })
    }

    /// Proves the second factor.
    ///
    /// # Errors
    ///
    /// It was refused, or the tokens are not those that are meant to be measured.
    pub async fn second_factor(self, pending: Pending) -> anyhow::Result<()> {
        let otp = pending.person.code(now())?;
        let form = [
            ("grant_type", "http://auth0.com/oauth/grant-type/mfa-otp"),
            ("client_id", CLIENT),
            ("client_secret", CLIENT_SECRET),
            ("mfa_token", &pending.mfa_token),
            ("otp", &otp),
        ];
        let answer = self.http.post(&self.token_url).form(&form).send().await?;
        let status = answer.status();
        anyhow::ensure!(status.is_success(), "HTTP {status}: {}", answer.text().await?);
        let tokens: Tokens = answer.json().await.context("no token answer")?;
        anyhow::ensure!(!tokens.access_token.is_empty(), "no access token");
        anyhow::ensure!(tokens.id_token.is_none(), "an ID token, which is not meant to be measured");
        Ok(())
    }
}
