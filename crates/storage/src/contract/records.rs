//! Records to store, each as plain as it can be.

use std::{sync::Arc, time::Duration};

use countersign_domain::{
    account::Account,
    audit::{AuditEvent, Event},
    authenticator::{Authenticator, FactorKind, RecoveryCode, RecoveryStatus, Status},
    id::{AuthenticatorId, ClientId, RealmName, UserId},
    login_name::LoginName,
    port::{
        authenticator_store::{EnrollmentBegun, NewEnrollment},
        login_store::{Burn, CommitOutcome, ConsumedTransaction, LoginCommit},
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
    AuditEvent {
        event: Event::OtpLogin,
        user: user.clone(),
        client: Some(ClientId::new("client")),
        authenticator: None,
        address: Some(std::net::IpAddr::from([192, 0, 2, 7])),
        at: NOW,
    }
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
            epoch: 0,
            tokens_valid_from: NOW,
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
        state: Sealed::new(vec![0, 1, 2, 255]),
        name: None,
        preferred: false,
        last_step: None,
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
        recovery_code: (recovery_code(n, RecoveryStatus::Pending), digest(n)),
        epoch: 0,
        only_if_unenrolled: false,
        limit: 51,
        audit: audit(user),
    }
}

/// A login of `user` that burns `burn`, at the first epoch.
pub fn login(user: &UserId, burn: Burn) -> LoginCommit {
    LoginCommit { user: user.clone(), epoch: 0, transaction: None, burn, now: NOW, audit: audit(user) }
}

/// The same with the `n`th transaction.
pub fn login_with(user: &UserId, n: usize, burn: Burn) -> LoginCommit {
    let transaction = Some(ConsumedTransaction { digest: digest(n), sweep_at: later(3600) });
    LoginCommit { transaction, ..login(user, burn) }
}

/// Burns `step` of the `n`th authenticator.
pub fn otp(n: usize, step: u64) -> Burn {
    Burn::OtpStep { authenticator: authenticator_id(n), step }
}

/// Confirms the `n`th authenticator.
pub fn confirm(n: usize, only_if_unenrolled: bool) -> Burn {
    Burn::ConfirmOtp { authenticator: authenticator_id(n), step: 100, only_if_unenrolled }
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
    }
}
