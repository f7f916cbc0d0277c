//! The API, whatever carries it: the same story over HTTP and over gRPC.

mod over_grpc;
mod over_http;

use crate::{grpc::Grpc, http::Http, refusal::Refusal, tenant::Client};

/// What carries the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// REST.
    Http,
    /// gRPC.
    Grpc,
}

/// The API of one server over one transport. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    transport: Transport,
    http: Http,
    grpc: Grpc,
}

/// What a first factor came to.
#[derive(Debug)]
pub enum Outcome {
    /// Tokens.
    Tokens(Tokens),
    /// A second factor is needed; this is the `mfa_token`.
    MfaRequired(String),
}

impl Outcome {
    /// The `mfa_token`.
    #[track_caller]
    pub fn mfa_token(self) -> String {
        match self {
            Self::MfaRequired(token) => token,
            Self::Tokens(tokens) => panic!("no second factor was asked for: {tokens:?}"),
        }
    }

    /// The tokens.
    #[track_caller]
    pub fn tokens(self) -> Tokens {
        match self {
            Self::Tokens(tokens) => tokens,
            Self::MfaRequired(_) => panic!("a second factor was asked for"),
        }
    }
}

/// What a complete login yields.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The access token.
    pub access_token: String,
    /// The ID token.
    pub id_token: Option<String>,
    /// Seconds the access token lives.
    pub expires_in: u64,
    /// The scopes, if the answer names them.
    pub scope: Option<String>,
    /// The new recovery code.
    pub recovery_code: Option<String>,
}

/// What an enrolment yields.
#[derive(Clone, Debug)]
pub struct Association {
    /// The secret, base32.
    pub secret: String,
    /// The otpauth URI.
    pub barcode_uri: String,
    /// The recovery codes.
    pub recovery_codes: Vec<String>,
}

/// One authenticator in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// `otp` or `recovery-code`.
    pub kind: String,
    /// Whether it can be used.
    pub active: bool,
    /// Its name.
    pub name: Option<String>,
}

/// What a login asks for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wish<'a> {
    /// The audience.
    pub audience: Option<&'a str>,
    /// The scopes, separated by blanks.
    pub scope: Option<&'a str>,
    /// The realm, by the grant that names one.
    pub realm: Option<&'a str>,
}

macro_rules! dispatch {
    ($api:ident.$method:ident($($argument:expr),*)) => {
        match $api.transport {
            Transport::Http => over_http::$method(&$api.http, $($argument),*).await,
            Transport::Grpc => over_grpc::$method(&$api.grpc, $($argument),*).await,
        }
    };
}

impl Api {
    /// The API of a server.
    pub fn new(transport: Transport, http: Http, grpc: Grpc) -> Self {
        Self { transport, http, grpc }
    }

    /// What carries it.
    pub fn transport(&self) -> Transport {
        self.transport
    }

    /// The HTTP client beneath.
    pub fn http(&self) -> &Http {
        &self.http
    }

    /// The gRPC clients beneath.
    pub fn grpc(&self) -> &Grpc {
        &self.grpc
    }

    /// The first factor, asking for nothing in particular.
    pub async fn login(&self, client: Client, username: &str, password: &str) -> Result<Outcome, Refusal> {
        self.login_for(client, username, password, Wish::default()).await
    }

    /// The first factor.
    pub async fn login_for(
        &self,
        client: Client,
        username: &str,
        password: &str,
        wish: Wish<'_>,
    ) -> Result<Outcome, Refusal> {
        dispatch!(self.login(client, username, password, wish))
    }

    /// A code of an authenticator app.
    pub async fn otp(&self, client: Client, token: &str, code: &str) -> Result<Tokens, Refusal> {
        dispatch!(self.otp(client, token, code))
    }

    /// The recovery code.
    pub async fn recovery(&self, client: Client, token: &str, code: &str) -> Result<Tokens, Refusal> {
        dispatch!(self.recovery(client, token, code))
    }

    /// A challenge; the answer is the id of the authenticator that was chosen.
    pub async fn challenge(
        &self,
        client: Client,
        token: &str,
        types: &str,
        authenticator: Option<&str>,
    ) -> Result<String, Refusal> {
        dispatch!(self.challenge(client, token, types, authenticator))
    }

    /// Begins an enrolment of an authenticator app.
    pub async fn associate(&self, bearer: &str) -> Result<Association, Refusal> {
        dispatch!(self.associate(bearer))
    }

    /// The authenticators, in the server's order.
    pub async fn list(&self, bearer: &str) -> Result<Vec<Entry>, Refusal> {
        dispatch!(self.list(bearer))
    }

    /// One authenticator.
    pub async fn find(&self, bearer: &str, id: &str) -> Result<Entry, Refusal> {
        dispatch!(self.find(bearer, id))
    }

    /// Changes one.
    pub async fn update(
        &self,
        bearer: &str,
        id: &str,
        name: Option<&str>,
        preferred: Option<bool>,
    ) -> Result<Entry, Refusal> {
        dispatch!(self.update(bearer, id, name, preferred))
    }

    /// Removes one.
    pub async fn delete(&self, bearer: &str, id: &str) -> Result<(), Refusal> {
        dispatch!(self.delete(bearer, id))
    }

    /// The subject a token is about.
    pub async fn subject(&self, access_token: &str) -> Result<String, Refusal> {
        dispatch!(self.subject(access_token))
    }
}
