//! The people who log in, put into the stores before the server starts.
//!
//! Everything goes through the server's own library, so that rows are exactly those a server would have written. Only their
//! passwords are believed unseen: a hash for each of tens of thousands would take longer than everything that is measured.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use countersign::{
    config::layers::{self, Variables},
    serve::{self, StartOptions},
};
use countersign_domain::{
    app::{App, ClientCredentials, ClientProof, Origin},
    audit::{AuditEvent, Event},
    authenticator::{Authenticator, FactorKind, MAX_PER_USER, RecoveryCode, RecoveryStatus, Status},
    factor::{
        oob,
        otp::{OtpAlgorithm, OtpSecret, step_at},
        push::{self, Device, PushAddress},
    },
    id::{AuthenticatorId, ClientId, RealmName, Scope, UserId},
    login_name::LoginName,
    message::PushService,
    opaque::{ALPHANUMERIC, random_text},
    port::{
        PortError,
        authenticator_store::{EnrollmentBegun, NewEnrollment},
        clock::Clock,
        device_verifier::DeviceKey,
        login_store::{Burn, CommitOutcome, ConsumedChallenge, LoginCommit, Spent},
        password_hasher::{PasswordHasher, PasswordVerdict},
        refresh_store::RefreshStep,
        signer::{Algorithm as SignatureAlgorithm, KeyMaterial},
    },
    presence::Presence,
    secret::{Digest, Secret},
    time::Timestamp,
    usecase::{
        issue_token::{Command, Grant, Outcome, PasswordGrant, StepUp},
        manage_users::{AddUser, Added, NewPassword},
    },
    user::{PasswordHash, Profile},
};
use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use totp_rs::{Algorithm, Builder};

use crate::{
    deployment::{AUDIENCE, CLIENT, CLIENT_SECRET, Deployment, REALM, SCOPE},
    measure::drive,
};

/// The name of every device's app.
pub const DEVICE: &str = "bench";

/// Everybody's password.
pub const PASSWORD: &str = "pass wörd of all";

/// Steps to the store that are under way at once; they share commits.
const AT_ONCE: usize = 64;

/// Steps between the one that confirmed an authenticator and now, so that every code of now is new.
const STEPS_AGO: u64 = 10;

/// Somebody who can log in.
#[derive(Clone)]
pub struct Person {
    id: UserId,
    /// Their username.
    pub username: String,
    seed: Option<Arc<Vec<u8>>>,
    /// Their telephone, in E.164.
    pub phone: Option<Arc<str>>,
    /// The key of their device, whose push token is their username.
    pub device: Option<Arc<EcdsaKeyPair>>,
}

/// Somebody whose password was right.
#[derive(Clone)]
pub struct Pending {
    /// Who.
    pub person: Person,
    /// Handle of the pending login.
    pub mfa_token: String,
}

impl Person {
    /// The code their authenticator app shows at `now`.
    ///
    /// # Errors
    ///
    /// They have no app.
    pub fn code(&self, now: Timestamp) -> anyhow::Result<String> {
        let seed = self.seed.as_ref().context("has no authenticator app")?;
        let totp = Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(6)
            .with_secret(seed.to_vec())
            .with_step_duration(30)
            .build_noncompliant();
        Ok(totp.generate(u64::try_from(now.as_secs())?).to_string())
    }
}

/// The stores of a deployment, opened by a server within this process.
pub struct Stores {
    running: serve::Running,
    /// The same application with a hasher that believes everything.
    credulous: Arc<App>,
}

impl Stores {
    /// Opens them. Listeners are elsewhere than the deployment says, so that its own stay free.
    ///
    /// # Errors
    ///
    /// The configuration is wrong; a store cannot be opened.
    pub async fn open(deployment: &Deployment) -> anyhow::Result<Self> {
        let config = layers::load(Some(&deployment.config), &Variables::new())?;
        let running = serve::start_checked(config, StartOptions::default()).await?;
        let app = &running.app;
        let hasher = Arc::new(Credulous(Arc::clone(&app.hasher)));
        let credulous = App { hasher, ..App::clone(app) };
        Ok(Self { credulous: Arc::new(credulous), running })
    }

    /// Closes them.
    pub async fn close(self) {
        drop(self.credulous);
        self.running.stop().await;
    }

    /// Adds `count` people without a second factor, whose usernames begin with `prefix`. Their password is hashed once.
    ///
    /// # Errors
    ///
    /// The store or the hasher failed.
    pub async fn add(&self, prefix: &str, count: usize) -> anyhow::Result<Vec<Person>> {
        let names: Vec<String> = (0..count).map(|number| format!("{prefix}{number:06}")).collect();
        let users = names.iter().map(|username| AddUser {
            realm: RealmName::new(REALM),
            username: username.clone(),
            email: None,
            notification_addresses: Vec::new(),
            profile: Profile::default(),
            password: NewPassword::Plain(Secret::new(PASSWORD.to_owned())),
        });
        let added = self.running.app.add_users(users.collect()).await?;
        let people = names.into_iter().zip(added).map(|(username, added)| match added {
            Added::Added(id) => Ok(Person { id, username, seed: None, phone: None, device: None }),
            Added::NameTaken => bail!("{username} is there already"),
        });
        people.collect()
    }

    /// Gives each of `people` a confirmed telephone with a number of its own.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn enroll_phones(&self, people: Vec<Person>) -> anyhow::Result<Vec<Person>> {
        let app = Arc::clone(&self.running.app);
        let numbered = people.into_iter().enumerate().map(|(number, person)| {
            let phone = Some(Arc::from(format!("+1202{}", 2_000_000 + number)));
            Person { phone, ..person }
        });
        let enroll = move |person| {
            let app = Arc::clone(&app);
            async move { enroll(&app, person).await }
        };
        Ok(drive(numbered.collect(), AT_ONCE, enroll).await?.0)
    }

    /// Gives each of `people` a confirmed device.
    ///
    /// # Errors
    ///
    /// The store failed, or no key can be made.
    pub async fn enroll_devices(&self, people: Vec<Person>) -> anyhow::Result<Vec<Person>> {
        let app = Arc::clone(&self.running.app);
        let enroll = move |person| {
            let app = Arc::clone(&app);
            async move {
                let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).context("no key")?;
                enroll(&app, Person { device: Some(Arc::new(key)), ..person }).await
            }
        };
        Ok(drive(people, AT_ONCE, enroll).await?.0)
    }

    /// Gives each of `people` an authenticator app that is confirmed and was last used a while ago.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn enroll(&self, people: Vec<Person>) -> anyhow::Result<Vec<Person>> {
        let app = Arc::clone(&self.running.app);
        let enroll = move |person| {
            let app = Arc::clone(&app);
            async move { enroll(&app, person).await }
        };
        Ok(drive(people, AT_ONCE, enroll).await?.0)
    }

    /// Lets each of `people` prove the first factor, for a token of [`AUDIENCE`].
    ///
    /// # Errors
    ///
    /// A store failed, or somebody was not asked for a second factor.
    pub async fn prove_password(&self, people: Vec<Person>) -> anyhow::Result<Vec<Pending>> {
        self.prove_password_for(people, AUDIENCE, &[SCOPE]).await
    }

    /// The same, for a token of `audience` with `scopes`.
    ///
    /// # Errors
    ///
    /// As [`Stores::prove_password`].
    pub async fn prove_password_for(
        &self,
        people: Vec<Person>,
        audience: &'static str,
        scopes: &'static [&'static str],
    ) -> anyhow::Result<Vec<Pending>> {
        let app = Arc::clone(&self.credulous);
        let prove = move |person| {
            let app = Arc::clone(&app);
            async move { prove_password(&app, person, audience, scopes).await }
        };
        Ok(drive(people, AT_ONCE, prove).await?.0)
    }
}

async fn enroll(app: &App, person: Person) -> anyhow::Result<Person> {
    let now = app.clock.now();
    let entropy = app.entropy.as_ref();
    let epoch = app.users.find(&person.id).await?.context("the account is gone")?.user.epoch;
    let dev =
        |prefix| anyhow::Ok(AuthenticatorId::new(format!("{prefix}|dev_{}", random_text(ALPHANUMERIC, 16, entropy)?)));
    let kind = match (&person.phone, &person.device) {
        (Some(_), _) => FactorKind::Sms,
        (None, Some(_)) => FactorKind::Push,
        (None, None) => FactorKind::Otp,
    };
    let id = dev(kind.id_prefix())?;
    let secret = OtpSecret::generate(OtpAlgorithm::Sha1, 6, entropy)?;
    let mut digest = [0; 32];
    entropy.fill(&mut digest)?;
    let sealer = app.sealer.as_ref();
    let device = person.device.as_ref().map(|key| device(&person, key)).transpose()?;
    let state = match (&person.phone, &device) {
        (Some(phone), _) => oob::seal(&Secret::new(phone.to_string()), &id, &person.id, sealer)?,
        (None, Some(device)) => push::seal(Some(device), &id, &person.id, sealer)?,
        (None, None) => secret.seal(&id, &person.id, sealer)?,
    };
    let address = device.map(|device| push::key_digest(&device.key, sealer)).transpose()?;
    let spent = match kind {
        // A challenge that nobody opened.
        FactorKind::Sms | FactorKind::Push => {
            Spent::Challenge(ConsumedChallenge { digest: Digest::new(digest), sweep_at: now })
        }
        _ => Spent::Step(step_at(now).saturating_sub(STEPS_AGO)),
    };
    let audit = |event| AuditEvent::about(event, &person.id, now).by(&ClientId::new(CLIENT)).on(&id);
    let recovery =
        RecoveryCode { id: dev("recovery-code")?, status: RecoveryStatus::Pending, failures: 0, created_at: now };
    let enrollment = NewEnrollment {
        authenticator: Authenticator {
            state,
            id: id.clone(),
            user: person.id.clone(),
            kind,
            pair: None,
            address,
            implied: None,
            status: Status::Pending {
                until: now.plus(app.registry.policy.mfa_token_lifetime),
                bearer: Digest::new([0; 32]),
            },
            name: None,
            preferred: false,
            last_step: None,
            drift: 0,
            failures: 0,
            created_at: now,
            confirmed_at: None,
            last_used_at: None,
        },
        companion: None,
        recovery_code: (recovery, Digest::new(digest)),
        epoch,
        only_if_unenrolled: true,
        limit: MAX_PER_USER,
        messages: Vec::new(),
        charges: Vec::new(),
        audit: audit(Event::EnrollmentStarted),
    };
    let begun = app.authenticators.begin_enrollment(enrollment, now).await?;
    anyhow::ensure!(matches!(begun, EnrollmentBegun::Begun { .. }), "not enrolled: {begun:?}");
    let commit = LoginCommit {
        user: person.id.clone(),
        epoch,
        transaction: None,
        burn: Burn::Confirm { authenticator: id.clone(), spent, only_if_unenrolled: true },
        now,
        messages: Vec::new(),
        repudiation: None,
        refresh: RefreshStep::Nothing,
        device: RefreshStep::Nothing,
        begins_grace: false,
        drift: None,
        proof: None,
        audit: audit(Event::EnrollmentCompleted),
    };
    let outcome = app.logins.commit(commit).await?;
    anyhow::ensure!(outcome == CommitOutcome::Committed, "not confirmed: {outcome:?}");
    let seed = BASE32_NOPAD.decode(secret.base32().as_bytes())?;
    Ok(Person { seed: Some(Arc::new(seed)), ..person })
}

fn device(person: &Person, key: &EcdsaKeyPair) -> anyhow::Result<Device> {
    let (x, y) = match key.public_key().as_ref().split_first() {
        Some((4, coordinates)) if coordinates.len() == 64 => coordinates.split_at(32),
        _ => bail!("no uncompressed point"),
    };
    let material = KeyMaterial::Ec { x: BASE64URL_NOPAD.encode(x), y: BASE64URL_NOPAD.encode(y) };
    Ok(Device {
        identifier: DEVICE.to_owned(),
        push: PushAddress { service: PushService::Fcm, token: Secret::new(person.username.clone()) },
        key: DeviceKey { algorithm: SignatureAlgorithm::Es256, material },
        number_matching: true,
    })
}

async fn prove_password(app: &App, person: Person, audience: &str, scopes: &[&str]) -> anyhow::Result<Pending> {
    let grant = PasswordGrant {
        login: Some(LoginName::parse(&person.username)?),
        password: Secret::new(PASSWORD.to_owned()),
        realm: None,
        realm_grant: false,
        audience: Some(audience.to_owned()),
        scopes: Some(scopes.iter().map(|scope| Scope::new(*scope)).collect()),
    };
    let secret = Secret::new(CLIENT_SECRET.to_owned());
    let client = ClientCredentials {
        client_id: Some(ClientId::new(CLIENT)),
        proof: Some(ClientProof::Secret(secret)),
        certificate: None,
    };
    let command =
        Command { client, grant: Grant::Password(grant), origin: Origin::default(), step_up: StepUp::default() };
    match app.issue_token(command).await? {
        Outcome::MfaRequired(required) => Ok(Pending { person, mfa_token: required.mfa_token.expose().clone() }),
        Outcome::Tokens(_) => bail!("{} was not asked for a second factor", person.username),
    }
}

/// Believes every password, and makes verifiers as the real one does.
struct Credulous(Arc<dyn PasswordHasher>);

#[async_trait]
impl PasswordHasher for Credulous {
    async fn verify(
        &self,
        stored: Option<PasswordHash>,
        _password: Secret<String>,
        _asked_by: &Presence,
    ) -> Result<PasswordVerdict, PortError> {
        Ok(if stored.is_some() { PasswordVerdict::Right } else { PasswordVerdict::Wrong })
    }

    async fn hash(&self, password: Secret<String>) -> Result<PasswordHash, PortError> {
        self.0.hash(password).await
    }

    fn import(&self, phc: &Secret<String>) -> Result<PasswordHash, PortError> {
        self.0.import(phc)
    }
}

/// The time, for codes.
pub fn now() -> Timestamp {
    countersign::system::SystemClock.now()
}
