//! Records to store, each as plain as it can be.

use std::{sync::Arc, time::Duration};

use countersign_domain::{
    account::Account,
    audit::{AuditEvent, Event},
    authenticator::{Authenticator, FactorKind, RecoveryCode, RecoveryStatus, Status},
    challenge::{ChallengeRecord, TRIES},
    id::{Audience, AuthenticatorId, ClientId, FamilyId, MessageId, PairId, RealmName, Scope, UserId},
    login_name::LoginName,
    message::{Channel, OutboxRow, Urgency},
    port::{
        authenticator_store::{EnrollmentBegun, NewEnrollment},
        login_store::{
            Burn, CommitOutcome, ConsumedChallenge, ConsumedTransaction, Failure, FailureTarget, LoginCommit, Spent,
        },
        refresh_store::{FamilyKind, RefreshFamily, RefreshStep},
        session_store::{AttemptId, Bucket, BucketKey},
        user_store::{NewUser, UserInserted},
    },
    secret::{Digest, Sealed},
    time::Timestamp,
    transaction::TransactionRecord,
    user::{Email, PasswordHash, Profile, User},
};

use crate::open::Stores;

/// When everything happens.
pub const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_123);

/// `secs` seconds after [`NOW`].
pub fn later(secs: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(secs))
}

/// The `n`th digest.
pub fn digest(n: usize) -> Digest {
    let mut bytes = [0xd1; 32];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    Digest::new(bytes)
}

/// The `n`th attempt.
pub fn attempt(n: usize) -> AttemptId {
    let mut bytes = [0xa7; 16];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    AttemptId(bytes)
}

/// A row of the audit trail.
pub fn audit(user: &UserId) -> AuditEvent {
    AuditEvent::about(Event::OtpLogin, user, NOW)
        .by(&ClientId::new("client"))
        .at_address(Some(std::net::IpAddr::from([192, 0, 2, 7])))
}

/// An account of the realm "main".
pub fn new_user(username: &str, email: Option<&str>) -> NewUser {
    let id = UserId::new(format!("auth0|{username}"));
    let names = std::iter::once(username).chain(email).map(|name| LoginName::parse(name).unwrap()).collect();
    NewUser {
        names,
        audit: audit(&id),
        user: User {
            id,
            realm: RealmName::new("main"),
            username: username.to_owned(),
            email: email.map(|address| Email { address: address.to_owned(), verified: true }),
            profile: Profile { name: Some("Ann \u{1f512} O'Hara".into()), ..Profile::default() },
            password: PasswordHash::new("$argon2id$stored".into()),
            blocked: false,
            notification_addresses: vec![format!("{username}@home.example"), format!("{username}@work.example")],
            address_failures: 0,
            epoch: 0,
            spared: None,
            tokens_valid_from: NOW,
            told_at: None,
            created_at: NOW,
            updated_at: NOW,
        },
    }
}

/// Adds an account.
pub async fn add_user(stores: &Stores, username: &str) -> UserId {
    let new = new_user(username, None);
    let id = new.user.id.clone();
    assert_eq!(stores.users.insert(vec![new]).await.unwrap(), [UserInserted::Inserted]);
    id
}

/// The account.
pub async fn account(stores: &Stores, user: &UserId) -> Account {
    stores.users.find(user).await.unwrap().unwrap()
}

/// The `n`th authenticator of `user`, pending for ten minutes.
pub fn authenticator(user: &UserId, n: usize) -> Authenticator {
    Authenticator {
        id: authenticator_id(n),
        user: user.clone(),
        kind: FactorKind::Otp,
        status: Status::Pending { until: later(600), bearer: digest(0) },
        pair: None,
        state: Sealed::new(vec![0, 1, 2, 255]),
        address: None,
        implied: None,
        name: None,
        preferred: false,
        last_step: None,
        drift: 0,
        failures: 0,
        created_at: NOW,
        confirmed_at: None,
        last_used_at: None,
    }
}

/// Id of the `n`th authenticator.
pub fn authenticator_id(n: usize) -> AuthenticatorId {
    AuthenticatorId::new(format!("totp|dev_{n:016}"))
}

/// The `n`th recovery code; its digest is `digest(n)`.
pub fn recovery_code(n: usize, status: RecoveryStatus) -> RecoveryCode {
    RecoveryCode {
        id: AuthenticatorId::new(format!("recovery-code|dev_{n:016}")),
        status,
        failures: 0,
        created_at: NOW,
    }
}

/// The enrolment of the `n`th authenticator, with the `n`th recovery code.
pub fn enrollment(user: &UserId, n: usize) -> NewEnrollment {
    NewEnrollment {
        authenticator: authenticator(user, n),
        companion: None,
        recovery_code: (recovery_code(n, RecoveryStatus::Pending), digest(n)),
        epoch: 0,
        only_if_unenrolled: false,
        limit: 51,
        messages: Vec::new(),
        charges: Vec::new(),
        audit: audit(user),
    }
}

/// The enrolment of the `n`th authenticator for text messages and the one after it for calls, as a pair.
pub fn pair_enrollment(user: &UserId, n: usize) -> NewEnrollment {
    let member = |n, kind| Authenticator {
        kind,
        pair: Some(PairId::new(format!("dev_{n:016}"))),
        address: Some(digest(5000)),
        ..authenticator(user, n)
    };
    let mut companion = member(n, FactorKind::Voice);
    companion.id = authenticator_id(n + 1);
    NewEnrollment { authenticator: member(n, FactorKind::Sms), companion: Some(companion), ..enrollment(user, n) }
}

/// The enrolment of the `n`th authenticator for a device and the one after it for its app, as a pair.
pub fn device_enrollment(user: &UserId, n: usize) -> NewEnrollment {
    let member =
        |n, kind| Authenticator { kind, pair: Some(PairId::new(format!("dev_{n:016}"))), ..authenticator(user, n) };
    let mut companion = member(n, FactorKind::Otp);
    companion.id = authenticator_id(n + 1);
    NewEnrollment { authenticator: member(n, FactorKind::Push), companion: Some(companion), ..enrollment(user, n) }
}

/// A login of `user` that burns `burn`, at the first epoch.
pub fn login(user: &UserId, burn: Burn) -> LoginCommit {
    let (messages, audit) = (Vec::new(), audit(user));
    let (transaction, refresh, repudiation) = (None, RefreshStep::Nothing, None);
    LoginCommit {
        user: user.clone(),
        epoch: 0,
        transaction,
        burn,
        refresh,
        device: RefreshStep::Nothing,
        begins_grace: false,
        drift: None,
        proof: None,
        now: NOW,
        messages,
        repudiation,
        audit,
    }
}

/// The same with the `n`th transaction.
pub fn login_with(user: &UserId, n: usize, burn: Burn) -> LoginCommit {
    let transaction = Some(ConsumedTransaction { digest: digest(n), sweep_at: later(3600) });
    LoginCommit { transaction, ..login(user, burn) }
}

/// Burns `step` of the `n`th authenticator.
pub fn otp(n: usize, step: u64) -> Burn {
    Burn::Use { authenticator: authenticator_id(n), spent: Spent::Step(step), telephone: None }
}

/// Burns the `challenge`th challenge with the `n`th authenticator.
pub fn oob(n: usize, challenge: usize) -> Burn {
    Burn::Use { authenticator: authenticator_id(n), spent: Spent::Challenge(consumed(challenge)), telephone: None }
}

/// Burns a challenge that goes with the login, with the `n`th authenticator.
pub fn of_login(n: usize) -> Burn {
    Burn::Use { authenticator: authenticator_id(n), spent: Spent::OfLogin, telephone: None }
}

/// Confirms the `n`th authenticator, with step 100.
pub fn confirm(n: usize, only_if_unenrolled: bool) -> Burn {
    Burn::Confirm { authenticator: authenticator_id(n), spent: Spent::Step(100), only_if_unenrolled }
}

/// Confirms the `n`th authenticator, with the `challenge`th challenge.
pub fn confirm_oob(n: usize, challenge: usize) -> Burn {
    let spent = Spent::Challenge(consumed(challenge));
    Burn::Confirm { authenticator: authenticator_id(n), spent, only_if_unenrolled: false }
}

/// The mark of the `n`th challenge.
pub fn consumed(n: usize) -> ConsumedChallenge {
    ConsumedChallenge { digest: digest(n), sweep_at: later(3600) }
}

/// Uses the `n`th recovery code; the `successor`th follows.
pub fn recover(n: usize, successor: usize) -> Burn {
    Burn::RecoveryCode {
        presented: digest(n),
        successor: recovery_code(successor, RecoveryStatus::Active),
        successor_digest: digest(successor),
    }
}

/// Enrols and confirms the `n`th authenticator of `user`, at the first epoch, with step 100.
pub async fn enroll(stores: &Stores, user: &UserId, n: usize) {
    let begun = stores.authenticators.begin_enrollment(enrollment(user, n), NOW).await.unwrap();
    assert!(matches!(begun, EnrollmentBegun::Begun { .. }));
    assert_eq!(stores.logins.commit(login(user, confirm(n, false))).await.unwrap(), CommitOutcome::Committed);
}

/// Enrols the `n`th authenticator of `user` and the one after it as a pair, and confirms them with the `n`th challenge.
pub async fn enroll_pair(stores: &Stores, user: &UserId, n: usize) {
    let begun = stores.authenticators.begin_enrollment(pair_enrollment(user, n), NOW).await.unwrap();
    assert!(matches!(begun, EnrollmentBegun::Begun { .. }));
    assert_eq!(stores.logins.commit(login(user, confirm_oob(n, n))).await.unwrap(), CommitOutcome::Committed);
}

/// A wrong code of these authenticators, that nobody is told of.
pub fn failure(user: &UserId, ids: &[usize], ceiling: u32) -> Failure {
    let ids = ids.iter().map(|n| authenticator_id(*n)).collect();
    Failure::new(FailureTarget::Authenticators(ids), ceiling, audit(user))
}

/// The `n`th message, by SMS: due at once, and of no use after ten minutes.
pub fn message(n: usize) -> OutboxRow {
    OutboxRow {
        id: MessageId::new(format!("msg_{n:024}")),
        user: Some(UserId::new("auth0|reader")),
        channel: Channel::Sms,
        urgency: Urgency::Awaited,
        sealed: Sealed::new(vec![0, 255, 13, 10]),
        attempts: 0,
        doubts: 0,
        created_at: NOW,
        due_at: NOW,
        expires_at: later(600),
    }
}

/// The `n`th family of `user`, with the client "client": it ends in a day, and may be swept an hour later.
pub fn family(user: &UserId, n: usize) -> RefreshFamily {
    RefreshFamily {
        kind: FamilyKind::Refresh,
        id: family_id(n),
        user: user.clone(),
        client: ClientId::new("client"),
        audience: Audience::new("https://api.example.com"),
        scopes: ["openid", "offline_access"].map(Scope::new).to_vec(),
        epoch: 0,
        authenticated_at: NOW,
        methods: ["pwd", "otp", "mfa"].map(str::to_owned).to_vec(),
        salt: [0xff; 16],
        generation: 0,
        rotated_at: NOW,
        used_at: NOW,
        created_at: NOW,
        expires_at: Some(later(86_400)),
        sweep_at: Some(later(90_000)),
    }
}

/// Id of the `n`th family.
pub fn family_id(n: usize) -> FamilyId {
    let mut bytes = [0xfa; 16];
    bytes[..8].copy_from_slice(&n.to_be_bytes());
    FamilyId::new(bytes)
}

/// A login that opens a family.
pub fn open(family: RefreshFamily) -> LoginCommit {
    let user = family.user.clone();
    LoginCommit { refresh: RefreshStep::Open(Box::new(family)), ..login(&user, Burn::Nothing) }
}

/// Exchanges the token of the `n`th family that has this generation, for the next one.
pub fn rotate(user: &UserId, n: usize, generation: u32) -> LoginCommit {
    let refresh = RefreshStep::Exchange { family: family_id(n), generation, rotates: true, adds: Vec::new() };
    LoginCommit { refresh, ..login(user, Burn::Nothing) }
}

/// A challenge with five tries in the `slot`th slot that ends in ten minutes.
pub fn challenge(n: usize, slot: usize) -> ChallengeRecord {
    ChallengeRecord {
        digest: digest(n),
        slot: digest(7000 + slot),
        sealed: Sealed::new((0..=255).collect()),
        tries: TRIES,
        decision: None,
        expires_at: later(600),
    }
}

/// A transaction that ends in ten minutes.
pub fn transaction(n: usize) -> TransactionRecord {
    TransactionRecord {
        digest: digest(n),
        sealed: Sealed::new((0..=255).collect()),
        expires_at: later(600),
        exhausted: false,
    }
}

/// A bucket of ten an hour.
pub fn bucket(subject: usize, counter: &str) -> Bucket {
    Bucket {
        key: BucketKey { subject: digest(subject), counter: Arc::from(counter) },
        capacity: 10,
        refill: Duration::from_secs(360),
        locks: false,
    }
}
