//! Devices: they register with what they scanned, and keep what they are reached by up to date.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;

use crate::{
    account::Account,
    app::App,
    audit::{AuditEvent, Event},
    authenticator::{Authenticator, FactorKind},
    challenge::{Approval, Asks, Decision},
    error::{Error, Reason},
    factor::{
        otp::{OtpAlgorithm, OtpSecret},
        push::{self, Device, PushAddress},
    },
    id::{AuthenticatorId, UserId},
    numeric_date::numeric_date,
    port::{authenticator_store::DeviceRecord, device_verifier::DeviceKey, sealer::DigestPurpose},
    secret::{Digest, Sealed, Secret},
    time::Timestamp,
};

/// A device that registers.
#[derive(Clone, Debug)]
pub struct EnrollCommand {
    /// What it scanned: the `enrollment_tx_id`.
    pub ticket: Secret<String>,
    /// The name its app goes by.
    pub identifier: String,
    /// What its owner calls it.
    pub name: String,
    /// Where it is notified.
    pub push: PushAddress,
    /// Its public key.
    pub key: DeviceKey,
    /// Whether it asks its owner for the number that the login shows.
    pub number_matching: bool,
}

/// A device that is registered.
#[derive(Debug)]
pub struct Registration {
    /// `dev_{16 alphanumerics}`.
    pub device_id: String,
    /// The base URL of the device API.
    pub url: String,
    /// The name of the deployment, for the app to show.
    pub issuer: String,
    /// Whose it is.
    pub user: UserId,
    /// The bearer of its own maintenance.
    pub token: Secret<String>,
    /// The authenticator app that was enrolled with it.
    pub totp: Option<Companion>,
}

/// The authenticator app on a device.
#[derive(Debug)]
pub struct Companion {
    /// Base32 without padding.
    pub secret: Secret<String>,
    /// Hash of the HMAC.
    pub algorithm: OtpAlgorithm,
    /// Digits of a code.
    pub digits: u8,
}

/// A device that changes.
#[derive(Clone, Debug)]
pub struct UpdateCommand {
    /// Which.
    pub device_id: String,
    /// Its token, or a JWT it signed.
    pub bearer: Secret<String>,
    /// The new identifier.
    pub identifier: Option<String>,
    /// The new name.
    pub name: Option<String>,
    /// Where it is notified now.
    pub push: Option<PushAddress>,
}

/// A device as it is kept now.
#[derive(Debug)]
pub struct Maintained {
    /// The name its app goes by.
    pub identifier: String,
    /// What its owner calls it.
    pub name: Option<String>,
    /// Where it is notified.
    pub push: PushAddress,
}

/// A device that proved itself.
struct Known {
    account: Account,
    id: AuthenticatorId,
    /// What it is called.
    name: Option<String>,
    /// What it says of itself, sealed and open.
    state: Sealed,
    device: Device,
    key: Digest,
}

/// What a device signs to show who it is.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    #[serde(deserialize_with = "numeric_date")]
    iat: i64,
    #[serde(deserialize_with = "numeric_date")]
    exp: i64,
}

/// How far a device's clock may be from ours, in seconds.
const SKEW: i64 = 300;

/// The longest a device's own token may be good for, in seconds; Guardian's are good for two hours, give or take a rounding.
const LONGEST: i64 = 2 * 3600 + 1;

/// The front of device tokens, what scanners look for.
const TOKEN_PREFIX: &str = "csdev_";

impl App {
    /// Registers a device, which confirms nothing yet: who waits with the `oob_code` does that. The same key with the same ticket is
    /// the same registration, however often it comes.
    ///
    /// # Errors
    ///
    /// Any reason `EnrollDevice` lists in the protobuf contract.
    pub async fn enroll_device(&self, command: EnrollCommand) -> Result<Registration, Error> {
        let now = self.clock.now();
        let invalid = |why| Error::new(Reason::EnrollmentTicketInvalid).because(why);
        let digest = self.ticket_digest(&command.ticket);
        let found = self.find_approval(digest).await?.ok_or_else(|| invalid("unknown, superseded or used"))?;
        if !matches!(found.approval.asks, Asks::Registration) || now >= found.approval.expires_at {
            return Err(invalid("expired"));
        }
        if !self.devices.accepts(&command.key) {
            return Err(Error::malformed(
                "public_key",
                "public_key is no RSA key of 2048 bits or more and no P-256 key",
            ));
        }
        if self.registry.policy.number_matching_required && !command.number_matching {
            return Err(Error::malformed("number_matching", "Devices must ask for the number that the login shows."));
        }
        let key = push::key_digest(&command.key, self.sealer.as_ref())?;
        let device = Device {
            identifier: command.identifier,
            push: command.push,
            key: command.key,
            number_matching: command.number_matching,
        };
        let name = Some(command.name).filter(|name| !name.is_empty());
        let account = self.with_device(&found.approval, &device, key, name, now).await?;
        let authenticator =
            account.authenticator(&found.approval.authenticator).ok_or_else(|| invalid("the authenticator is gone"))?;
        // Afterwards: who is told to go on must find the device.
        if self.decide(&digest, Decision::Approved).await? != Some(Decision::Approved) {
            return Err(invalid("superseded meanwhile"));
        }
        // Of one that is confirmed the secret is never shown again.
        let companion = account.authenticators.iter().find(|other| {
            let paired = other.pair.is_some() && other.pair == authenticator.pair;
            other.kind == FactorKind::Otp && paired && other.is_pending(now)
        });
        Ok(Registration {
            device_id: push::device_id(&authenticator.id).to_owned(),
            url: self.device_base_url(),
            issuer: self.registry.app_name.clone(),
            token: self.device_token(&account.user.id, &authenticator.id, &key),
            totp: companion.map(|app| self.companion(app)).transpose()?,
            user: account.user.id,
        })
    }

    /// Changes what a device is called and reached by, and says how it is kept now.
    ///
    /// # Errors
    ///
    /// Any reason `UpdateDevice` lists in the protobuf contract.
    pub async fn update_device(&self, command: UpdateCommand) -> Result<Maintained, Error> {
        let now = self.clock.now();
        let name = command.name.filter(|name| !name.is_empty());
        // Again if it was changed meanwhile, until it is gone: each time round, somebody else's change was kept.
        loop {
            let known = self.known_device(&command.device_id, &command.bearer, now).await?;
            let mut device = known.device;
            if let Some(identifier) = &command.identifier {
                device.identifier.clone_from(identifier);
            }
            if let Some(push) = &command.push {
                device.push = push.clone();
            }
            let user = known.account.user.id;
            let record = DeviceRecord {
                state: push::seal(Some(&device), &known.id, &user, self.sealer.as_ref())?,
                before: known.state,
                key: known.key,
                name: name.clone(),
                registers: false,
                audit: row(Event::DeviceUpdated, &user, &known.id, now),
                authenticator: known.id,
                user,
            };
            if self.authenticators.keep_device(record, now).await? {
                let name = name.or(known.name);
                return Ok(Maintained { identifier: device.identifier, name, push: device.push });
            }
        }
    }

    /// Removes a device's authenticator, and what was enrolled with it.
    ///
    /// # Errors
    ///
    /// Any reason `DeleteDevice` lists in the protobuf contract.
    pub async fn delete_device(&self, device_id: &str, bearer: &Secret<String>) -> Result<(), Error> {
        let now = self.clock.now();
        let known = self.known_device(device_id, bearer, now).await?;
        let user = &known.account.user;
        let messages = self.notices_of_removal(user, known.account.authenticator(&known.id), None, now)?;
        let sends = !messages.is_empty();
        let audit = row(Event::DeviceRemoved, &user.id, &known.id, now);
        if !self.authenticators.delete(&user.id, &known.id, None, messages, audit).await? {
            return Err(Error::new(Reason::DeviceNotFound));
        }
        if sends {
            self.bell.ring();
        }
        Ok(())
    }

    /// The account whose pending authenticator has the device with this `key`: from now on, or already.
    async fn with_device(
        &self,
        approval: &Approval,
        device: &Device,
        key: Digest,
        name: Option<String>,
        now: Timestamp,
    ) -> Result<Account, Error> {
        let invalid = |why| Error::new(Reason::EnrollmentTicketInvalid).because(why);
        let mut before = None;
        loop {
            let account = self.account(&approval.user).await?.ok_or_else(|| invalid("user is gone"))?;
            if account.user.blocked {
                return Err(invalid("user is blocked"));
            }
            let authenticator =
                account.authenticator(&approval.authenticator).ok_or_else(|| invalid("the authenticator is gone"))?;
            match authenticator.address {
                // Nothing changes, whatever it says of itself now: nobody has signed it.
                Some(registered) if registered == key => return Ok(account),
                Some(_) => return Err(self.another_was_first(authenticator, now).await),
                // Nobody was faster, and nobody sealed it anew: it is over.
                None if before.as_ref() == Some(&authenticator.state) => return Err(invalid("expired")),
                None => {}
            }
            let record = DeviceRecord {
                user: account.user.id.clone(),
                authenticator: authenticator.id.clone(),
                state: push::seal(Some(device), &authenticator.id, &account.user.id, self.sealer.as_ref())?,
                before: authenticator.state.clone(),
                key,
                name: name.clone(),
                registers: true,
                audit: row(Event::DeviceRegistered, &account.user.id, &authenticator.id, now),
            };
            before = Some(record.before.clone());
            if self.authenticators.keep_device(record, now).await? {
                return Ok(account);
            }
        }
    }

    /// The ticket of an enrolment has come from two devices: somebody has seen what was to be scanned. It leaves a row.
    async fn another_was_first(&self, authenticator: &Authenticator, now: Timestamp) -> Error {
        let audit = row(Event::EnrollmentUnconfirmed, &authenticator.user, &authenticator.id, now);
        let noted = self.note_cheap(audit.because("another device was first")).await;
        noted.err().unwrap_or_else(|| Error::new(Reason::DeviceConflict))
    }

    fn companion(&self, app: &Authenticator) -> Result<Companion, Error> {
        let secret = OtpSecret::open(app, self.sealer.as_ref())?;
        Ok(Companion {
            secret: Secret::new(secret.base32().to_string()),
            algorithm: secret.algorithm(),
            digits: secret.digits(),
        })
    }

    /// The device that `bearer` proves. Who names another's finds nothing: ids are not to be guessed, so this says nothing either.
    async fn known_device(&self, device_id: &str, bearer: &Secret<String>, now: Timestamp) -> Result<Known, Error> {
        let refused = |why| Error::new(Reason::DeviceUnauthenticated).because(why);
        let user = claimed_user(bearer.expose()).ok_or_else(|| refused("malformed"))?;
        let gone = |why| Error::new(Reason::DeviceNotFound).because(why);
        let account = self.account(&user).await?.ok_or_else(|| gone("user is gone"))?;
        let id = AuthenticatorId::new(format!("{}|{device_id}", FactorKind::Push.id_prefix()));
        let authenticator = account.authenticator(&id).ok_or_else(|| gone("no such device"))?;
        if !authenticator.is_active() {
            return Err(refused("not active"));
        }
        let device = push::open(authenticator, self.sealer.as_ref())?.ok_or_else(|| refused("not registered"))?;
        let key = push::key_digest(&device.key, self.sealer.as_ref())?;
        if authenticator.address != Some(key) {
            return Err(refused("registered with another key"));
        }
        let proven = if bearer.expose().starts_with(TOKEN_PREFIX) {
            let expected = self.device_token(&user, &id, &key);
            digest_equal(self, &expected, bearer)
        } else {
            self.signed_by(&device, device_id, bearer, &user, now)
        };
        if !proven || account.user.blocked {
            return Err(refused("bearer"));
        }
        let (name, state) = (authenticator.name.clone(), authenticator.state.clone());
        Ok(Known { account, id, name, state, device, key })
    }

    /// Whether the device signed `bearer`. It calls itself by its identifier, or by the id we gave it, as the Guardian SDKs do.
    fn signed_by(
        &self,
        device: &Device,
        device_id: &str,
        bearer: &Secret<String>,
        user: &UserId,
        now: Timestamp,
    ) -> bool {
        let Some(claims) = self.devices.verify(&device.key, bearer.expose()) else { return false };
        let Ok(claims) = serde_json::from_slice::<Claims>(&claims) else { return false };
        let second = now.as_secs();
        (claims.iss == device.identifier || claims.iss == device_id)
            && claims.sub == user.as_str()
            && claims.aud == format!("{}/api/device-accounts", self.device_base_url())
            && claims.iat <= second + SKEW
            && claims.exp > second
            && claims.exp <= claims.iat.saturating_add(LONGEST)
    }

    /// What a device proves itself with that cannot sign: it follows from whose it is and its key, so nobody has to keep it.
    fn device_token(&self, user: &UserId, id: &AuthenticatorId, key: &Digest) -> Secret<String> {
        let parts = [b"device-token".as_slice(), user.as_str().as_bytes(), id.as_str().as_bytes(), key.as_bytes()];
        let proof = self.sealer.keyed_digest(DigestPurpose::Integrity, &parts);
        let (user, proof) = (user.as_str().as_bytes(), BASE64URL_NOPAD.encode(proof.as_bytes()));
        Secret::new(format!("{TOKEN_PREFIX}{}.{proof}", BASE64URL_NOPAD.encode(user)))
    }
}

/// Whom a bearer claims to be of. It proves nothing yet.
fn claimed_user(bearer: &str) -> Option<UserId> {
    if bearer.len() > 8 * 1024 {
        return None;
    }
    let decoded = |part: &str| String::from_utf8(BASE64URL_NOPAD.decode(part.as_bytes()).ok()?).ok();
    if let Some(token) = bearer.strip_prefix(TOKEN_PREFIX) {
        return decoded(token.split_once('.')?.0).map(UserId::new);
    }
    let claims: Claims = serde_json::from_str(&decoded(bearer.split('.').nth(1)?)?).ok()?;
    Some(UserId::new(claims.sub))
}

/// Compares in constant time.
fn digest_equal(app: &App, one: &Secret<String>, other: &Secret<String>) -> bool {
    let digest = |secret: &Secret<String>| app.sealer.token_digest("device_token", secret.expose().as_bytes());
    digest(one) == digest(other)
}

fn row(event: Event, user: &UserId, id: &AuthenticatorId, at: Timestamp) -> AuditEvent {
    AuditEvent::about(event, user, at).on(id)
}
