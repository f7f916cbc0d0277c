//! Devices that register and answer, over either transport.

use aws_lc_rs::{
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256},
};
use countersign_domain::time::Timestamp;
use countersign_proto::v1::{
    DeviceEcKey, DeviceRsaKey, EnrollDeviceRequest, PushCredentials, PushService, enroll_device_request::PublicKey,
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};

use crate::{
    api::{Api, Asked, Barcode, Tokens},
    person::Person,
    tenant::{BACKEND, ISSUER},
    world::World,
};

/// The key of a device.
enum Key {
    Ec(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// A device. It is nobody's until it registers.
pub struct Device {
    /// The name its app goes by.
    pub identifier: String,
    /// What its owner calls it.
    pub name: String,
    /// Its token of a push service, unless it does not say.
    pub push_token: Option<String>,
    /// Whose token that is.
    pub push_service: PushService,
    /// Whether it asks for the number.
    pub number_matching: bool,
    /// Whether the times in what it signs have fractions of seconds.
    pub fractions: bool,
    key: Key,
}

/// What a device was told when it registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// `dev_…`
    pub id: String,
    /// The base URL of the device API.
    pub url: String,
    /// The deployment.
    pub issuer: String,
    /// Whose it is.
    pub user: String,
    /// The bearer of its maintenance.
    pub token: String,
    /// The secret of its authenticator app.
    pub totp_secret: Option<String>,
}

/// A notification that arrived.
#[derive(Clone, Debug)]
pub struct Pushed {
    /// What the device signs.
    pub challenge: String,
    /// The bearer of its answer.
    pub token: String,
    /// The whole line.
    pub line: Value,
}

impl Pushed {
    /// The notification of one line of an outbox, or of one request to a webhook.
    pub fn read(line: Value) -> Self {
        let member = |name: &str| line["push"][name].as_str().expect("it is text").to_owned();
        Self { challenge: member("challenge"), token: member("transaction_token"), line }
    }
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("identifier", &self.identifier).finish_non_exhaustive()
    }
}

impl Device {
    /// A device that asks for the number.
    pub fn new(identifier: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key is made");
        Self {
            identifier: identifier.to_owned(),
            name: format!("{identifier} phone"),
            push_token: Some(format!("push-{identifier}")),
            push_service: PushService::Fcm,
            number_matching: true,
            fractions: false,
            key: Key::Ec(key),
        }
    }

    /// An app of the plain Guardian protocol: RSA, and approve or deny.
    pub fn plain(identifier: &str) -> Self {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key is made");
        Self { key: Key::Rsa(key), number_matching: false, ..Self::new(identifier) }
    }

    /// An app that is built on Guardian's SDK for iOS.
    pub fn apple(identifier: &str) -> Self {
        Self { push_service: PushService::Apns, fractions: true, ..Self::plain(identifier) }
    }

    /// A time as it writes it.
    fn date(&self, seconds: i64) -> Value {
        // Parsed as text: it is what stands in the JSON.
        let text = if self.fractions { format!("{seconds}.359") } else { seconds.to_string() };
        serde_json::from_str(&text).expect("it is a number")
    }

    /// Its registration over HTTP.
    pub fn json(&self) -> Value {
        let key = match &self.key {
            Key::Ec(_) => {
                let (x, y) = self.point();
                json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "x": x, "y": y})
            }
            Key::Rsa(_) => {
                let (n, e) = self.numbers();
                json!({"kty": "RSA", "alg": "RS256", "use": "sig", "n": n, "e": e})
            }
        };
        let mut body = json!({"identifier": self.identifier, "name": self.name, "public_key": key});
        if self.number_matching {
            body["number_matching"] = json!(true);
        }
        if let Some(token) = &self.push_token {
            let service = if self.push_service == PushService::Apns { "APNS" } else { "GCM" };
            body["push_credentials"] = json!({"service": service, "token": token});
        }
        body
    }

    /// Its registration over gRPC.
    pub fn request(&self, ticket: &str) -> EnrollDeviceRequest {
        let key = match &self.key {
            Key::Ec(_) => {
                let (x, y) = self.point();
                PublicKey::Ec(DeviceEcKey { x, y })
            }
            Key::Rsa(_) => {
                let (modulus, exponent) = self.numbers();
                PublicKey::Rsa(DeviceRsaKey { modulus, exponent })
            }
        };
        let credentials = |token: &String| PushCredentials { service: self.push_service.into(), token: token.clone() };
        EnrollDeviceRequest {
            ticket: ticket.to_owned(),
            identifier: self.identifier.clone(),
            name: self.name.clone(),
            push_credentials: self.push_token.as_ref().map(credentials),
            public_key: Some(key),
            number_matching: self.number_matching,
        }
    }

    fn point(&self) -> (String, String) {
        let Key::Ec(key) = &self.key else { panic!("no point") };
        let point = key.public_key().as_ref();
        (BASE64URL_NOPAD.encode(&point[1..33]), BASE64URL_NOPAD.encode(&point[33..]))
    }

    fn numbers(&self) -> (String, String) {
        let Key::Rsa(key) = &self.key else { panic!("no numbers") };
        let public = key.public_key();
        let number = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let exponent = public.exponent().big_endian_without_leading_zero().to_vec();
        (number(public.modulus().big_endian_without_leading_zero()), number(&exponent))
    }

    /// A JWT over `claims`.
    pub fn sign(&self, claims: &Value) -> String {
        let alg = if matches!(self.key, Key::Ec(_)) { "ES256" } else { "RS256" };
        let header = json!({"alg": alg, "typ": "JWT"}).to_string();
        let input = format!(
            "{}.{}",
            BASE64URL_NOPAD.encode(header.as_bytes()),
            BASE64URL_NOPAD.encode(claims.to_string().as_bytes())
        );
        let random = SystemRandom::new();
        let signature = match &self.key {
            Key::Ec(key) => key.sign(&random, input.as_bytes()).expect("it signs").as_ref().to_vec(),
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, input.as_bytes(), &mut signature).expect("it signs");
                signature
            }
        };
        format!("{input}.{}", BASE64URL_NOPAD.encode(&signature))
    }

    /// The claims of its answer.
    pub fn claims(&self, world: &World, pushed: &Pushed, accepted: bool, number: Option<&str>) -> Value {
        self.claims_at(world.now(), pushed, accepted, number)
    }

    fn claims_at(&self, now: Timestamp, pushed: &Pushed, accepted: bool, number: Option<&str>) -> Value {
        let now = now.as_secs();
        let mut claims = json!({
            "iss": self.identifier, "sub": pushed.challenge, "aud": format!("{ISSUER}appliance-mfa/api/resolve-transaction"),
            "iat": self.date(now), "exp": self.date(now + 30), "auth0_guardian_method": "push", "auth0_guardian_accepted": accepted,
        });
        if let Some(number) = number {
            claims["binding_code"] = json!(number);
        }
        claims
    }

    /// Its answer.
    pub fn answer(&self, world: &World, pushed: &Pushed, accepted: bool, number: Option<&str>) -> String {
        self.answer_at(world.now(), pushed, accepted, number)
    }

    /// The same, by another clock than a world's.
    pub fn answer_at(&self, now: Timestamp, pushed: &Pushed, accepted: bool, number: Option<&str>) -> String {
        self.sign(&self.claims_at(now, pushed, accepted, number))
    }

    /// What it shows itself with instead of its token, where it calls itself `issuer`: by its identifier, or by the id it was given.
    pub fn own_bearer(&self, world: &World, user: &str, issuer: &str) -> String {
        let now = world.now().as_secs();
        let aud = format!("{ISSUER}appliance-mfa/api/device-accounts");
        let (iat, exp) = (self.date(now), self.date(now + 7200));
        self.sign(&json!({"iss": issuer, "sub": user, "aud": aud, "iat": iat, "exp": exp}))
    }
}

/// The ticket in what a device scans.
pub fn ticket(barcode: &Barcode) -> String {
    let (_, rest) = barcode.uri.split_once("?enrollment_tx_id=").expect("there is a ticket");
    rest.split('&').next().expect("it ends").to_owned()
}

/// A number that is not `number`.
pub fn other_number(number: &str) -> &'static str {
    if number == "271828" { "314159" } else { "271828" }
}

impl World {
    /// What `call` answers, and the one notification it leads to.
    pub async fn pushed<T: std::fmt::Debug, E: std::fmt::Debug>(
        &self,
        call: impl Future<Output = Result<T, E>>,
    ) -> (T, Pushed) {
        let before = self.pushes(0).await.len();
        let answer = call.await.expect("a device is asked");
        (answer, Pushed::read(self.pushes(before + 1).await.remove(before)))
    }
}

impl Person {
    /// Enrols `device` while logging in.
    pub async fn enrol_device(&self, api: &Api, device: &Device) -> (Tokens, Registration) {
        let token = self.mfa_token(api).await;
        let barcode = api.associate_push(&token).await.expect("nothing is enrolled yet");
        let registration = api.enroll_device(&ticket(&barcode), device).await.expect("the ticket is good");
        let tokens = api.poll(BACKEND, &token, &barcode.oob_code).await.expect("the device has registered");
        (tokens, registration)
    }

    /// The first factor, and the question to the device: the `mfa_token`, the handle, and what arrived.
    pub async fn asked(&self, world: &World, api: &Api) -> (String, Asked, Pushed) {
        let token = self.mfa_token(api).await;
        let (asked, pushed) = world.pushed(api.ask(BACKEND, &token, None)).await;
        (token, asked, pushed)
    }

    /// Both factors, the second by `device`.
    pub async fn log_in_by(&self, world: &World, api: &Api, device: &Device) -> Tokens {
        let (token, asked, pushed) = self.asked(world, api).await;
        let answer = device.answer(world, &pushed, true, asked.number.as_deref());
        api.resolve(&pushed.token, &answer).await.expect("the answer is right");
        api.poll(BACKEND, &token, &asked.oob_code).await.expect("the device agreed")
    }
}

/// What a login with a device says of itself.
pub fn strong() -> (Vec<String>, bool) {
    (vec!["pwd".into(), "swk".into(), "mfa".into()], true)
}
