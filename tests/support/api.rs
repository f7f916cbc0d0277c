//! The API, whatever carries it: the same story over HTTP and over gRPC.

mod over_grpc;
mod over_http;

use crate::{
    device::{Device, Registration},
    grpc::Grpc,
    http::Http,
    refusal::Refusal,
    tenant::Client,
};

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
    /// The token to go on with.
    pub refresh_token: Option<String>,
    /// What the device is remembered by.
    pub device_token: Option<String>,
    /// Until when a second factor must be enrolled.
    pub enroll_by: Option<String>,
}

impl Tokens {
    /// The token to go on with.
    #[track_caller]
    pub fn refresh(&self) -> &str {
        self.refresh_token.as_deref().expect("there is a refresh token")
    }
}

/// What a token that is good says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introspected {
    /// Whether it is an access token.
    pub is_access_token: bool,
    /// Whose it is.
    pub subject: String,
    /// Whom it was issued to.
    pub client: String,
    /// For which APIs.
    pub audiences: Vec<String>,
    /// With which scopes.
    pub scope: String,
    /// When it expires.
    pub expires_at: Option<i64>,
    /// When the person authenticated.
    pub authenticated_at: Option<i64>,
    /// How.
    pub methods: Vec<String>,
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

/// A code that was sent.
#[derive(Clone, Debug)]
pub struct Sent {
    /// The handle it comes back with.
    pub oob_code: String,
    /// The authenticator that was chosen, of a challenge.
    pub authenticator: Option<String>,
    /// The recovery codes, of an enrolment.
    pub recovery_codes: Vec<String>,
    /// Whether the person must be told of the risks, of an enrolment.
    pub restricted: bool,
}

/// What a device scans.
#[derive(Clone, Debug)]
pub struct Barcode {
    /// The handle to wait with.
    pub oob_code: String,
    /// The otpauth URI.
    pub uri: String,
    /// The recovery codes.
    pub recovery_codes: Vec<String>,
}

/// A device that was asked.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The handle to wait with.
    pub oob_code: String,
    /// The number that is shown.
    pub number: Option<String>,
    /// The authenticator that was chosen.
    pub authenticator: String,
    /// Seconds to leave between two questions what it answered.
    pub interval: u64,
}

/// Where a new authenticator's codes go.
#[derive(Clone, Copy, Debug)]
pub enum To<'a> {
    /// `sms` or `voice`, and a number.
    Phone(&'a str, &'a str),
    /// A mailbox; the account's own if none.
    Email(Option<&'a str>),
}

/// One authenticator in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: String,
    /// `otp`, `oob` or `recovery-code`.
    pub kind: String,
    /// `sms`, `voice`, `email` or `auth0`, of an `oob` one.
    pub channel: Option<String>,
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
    /// Authentication classes, separated by blanks.
    pub acr_values: Option<&'a str>,
    /// The longest time since the login, in seconds.
    pub max_age: Option<u64>,
    /// What the device was last remembered by.
    pub device_token: Option<&'a str>,
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

    /// The same over HTTP for somebody at `address`, as a proxy in front says, which the tenant must trust.
    #[must_use]
    pub fn from(&self, address: &str) -> Self {
        Self { transport: Transport::Http, http: self.http.from(address), grpc: self.grpc.clone() }
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

    /// The same, with `assertion` in the place of secrets.
    #[must_use]
    pub fn signed(&self, assertion: &str) -> Self {
        let mut signed = self.clone();
        signed.http.assertion = Some(assertion.to_owned());
        signed.grpc.assertion = Some(assertion.to_owned());
        signed
    }

    /// A token of the client's own.
    pub async fn service(&self, client: Client, wish: Wish<'_>) -> Result<Tokens, Refusal> {
        dispatch!(self.service(client, wish))
    }

    /// A login that the client has signed.
    pub async fn signed_login(&self, client: Client, jwt: &str, wish: Wish<'_>) -> Result<Outcome, Refusal> {
        dispatch!(self.signed_login(client, jwt, wish))
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

    /// A code of an authenticator app, on a device that is to be remembered.
    pub async fn otp_remembering(&self, client: Client, token: &str, code: &str) -> Result<Tokens, Refusal> {
        dispatch!(self.otp_remembering(client, token, code))
    }

    /// The ids of the remembered devices, the newest first.
    pub async fn remembered(&self, bearer: &str) -> Result<Vec<String>, Refusal> {
        dispatch!(self.remembered(bearer))
    }

    /// Has a device forgotten.
    pub async fn forget(&self, bearer: &str, id: &str) -> Result<(), Refusal> {
        dispatch!(self.forget(bearer, id))
    }

    /// A code that was sent.
    pub async fn oob(&self, client: Client, token: &str, oob_code: &str, code: &str) -> Result<Tokens, Refusal> {
        dispatch!(self.oob(client, token, oob_code, code))
    }

    /// A refresh token, for all that was granted or for `scope`.
    pub async fn refresh(&self, client: Client, token: &str, scope: Option<&str>) -> Result<Outcome, Refusal> {
        self.refresh_for(client, token, Wish { scope, ..Wish::default() }).await
    }

    /// A refresh token, asking for something.
    pub async fn refresh_for(&self, client: Client, token: &str, wish: Wish<'_>) -> Result<Outcome, Refusal> {
        dispatch!(self.refresh(client, token, wish))
    }

    /// Ends a refresh token.
    pub async fn revoke(&self, client: Client, token: &str) -> Result<(), Refusal> {
        dispatch!(self.revoke(client, token))
    }

    /// What a token says, if it is good.
    pub async fn introspect(&self, client: Client, token: &str) -> Result<Option<Introspected>, Refusal> {
        dispatch!(self.introspect(client, token))
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

    /// A challenge that is narrowed to a channel; the answer is the id of the authenticator that was chosen.
    pub async fn narrowed(
        &self,
        client: Client,
        token: &str,
        types: &str,
        authenticator: Option<&str>,
        channel: &str,
    ) -> Result<String, Refusal> {
        dispatch!(self.narrowed(client, token, types, authenticator, channel))
    }

    /// A challenge whose code is sent: of an authenticator, or over a channel, or as the server chooses.
    pub async fn send_code(
        &self,
        client: Client,
        token: &str,
        authenticator: Option<&str>,
        channel: Option<&str>,
    ) -> Result<Sent, Refusal> {
        dispatch!(self.send_code(client, token, authenticator, channel))
    }

    /// Begins an enrolment of a telephone or a mailbox.
    pub async fn associate_oob(&self, bearer: &str, to: To<'_>) -> Result<Sent, Refusal> {
        dispatch!(self.associate_oob(bearer, to))
    }

    /// Begins an enrolment of a device.
    pub async fn associate_push(&self, bearer: &str) -> Result<Barcode, Refusal> {
        dispatch!(self.associate_push(bearer))
    }

    /// Has a device asked.
    pub async fn ask(&self, client: Client, token: &str, authenticator: Option<&str>) -> Result<Asked, Refusal> {
        dispatch!(self.ask(client, token, authenticator))
    }

    /// Asks what a device answered.
    pub async fn poll(&self, client: Client, token: &str, oob_code: &str) -> Result<Tokens, Refusal> {
        dispatch!(self.oob(client, token, oob_code, ""))
    }

    /// Registers a device.
    pub async fn enroll_device(&self, ticket: &str, device: &Device) -> Result<Registration, Refusal> {
        dispatch!(self.enroll_device(ticket, device))
    }

    /// Hands in what a device signed.
    pub async fn resolve(&self, transaction_token: &str, response: &str) -> Result<(), Refusal> {
        dispatch!(self.resolve(transaction_token, response))
    }

    /// Has a device renamed and reached elsewhere.
    pub async fn update_device(&self, id: &str, bearer: &str, name: &str, token: &str) -> Result<(), Refusal> {
        dispatch!(self.update_device(id, bearer, name, token))
    }

    /// Has a device removed.
    pub async fn delete_device(&self, id: &str, bearer: &str) -> Result<(), Refusal> {
        dispatch!(self.delete_device(id, bearer))
    }

    /// Begins an enrolment of an authenticator app.
    pub async fn associate(&self, bearer: &str) -> Result<Association, Refusal> {
        dispatch!(self.associate(bearer, None))
    }

    /// The same, of an app with this hash, as `SHA512`, and so many digits.
    pub async fn associate_with(&self, bearer: &str, algorithm: &str, digits: u8) -> Result<Association, Refusal> {
        dispatch!(self.associate(bearer, Some((algorithm, digits))))
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
