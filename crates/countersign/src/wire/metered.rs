//! Ports that count what goes through them. What is decided is decided where it was; this only watches.

use std::sync::Arc;

use async_trait::async_trait;
use countersign_domain::{
    account::Account,
    audit::{AuditEvent, Event},
    authenticator::FactorKind,
    challenge::ChallengeRecord,
    id::{AuthenticatorId, FamilyId, MessageId, RealmName, UserId},
    login_name::LoginName,
    message::{
        Channel, OutboxRow,
        day::{DayCharge, DayCharged},
    },
    port::{
        PortError,
        authenticator_store::{
            AuthenticatorChange, AuthenticatorStore, DeviceRecord, EnrollmentBegun, NewEnrollment, Spared,
        },
        login_store::{
            Burn, CommitOutcome, ConsumedTransaction, Counted, Failure, FailureTarget, LastProven, LoginCommit,
            LoginStore, ProofQuery, Spent, UsedAssertion,
        },
        outbox_store::{Ended, OutboxStore},
        password_hasher::{PasswordHasher, PasswordVerdict},
        refresh_store::{FamilyKind, RefreshFamily, RefreshStep, RefreshStore, RevocationReach},
        repudiation_store::{Redemption, Repudiation, RepudiationStore},
        session_store::{AttemptId, Bucket, Reservation, SessionStore, Settlement},
        user_store::{AddressesChanged, NewUser, UserInserted, UserStore},
    },
    presence::Presence,
    secret::{Digest, Secret},
    time::Timestamp,
    transaction::TransactionRecord,
    user::{AddressChange, PasswordHash},
};
use countersign_telemetry::{
    Metrics,
    metrics::label::{Counter, Factor, Grant, GrantOutcome, Store, StoreFailure},
};

/// A port, and where it is counted.
pub struct Metered<P: ?Sized> {
    metrics: Metrics,
    port: Arc<P>,
}

impl<P: ?Sized> Metered<P> {
    /// Counts what goes through `port`.
    pub fn new(port: Arc<P>, metrics: &Metrics) -> Arc<Self> {
        Arc::new(Self { metrics: metrics.clone(), port })
    }

    /// Counts a failure of `store`.
    fn watch<T>(&self, store: Store, answer: Result<T, PortError>) -> Result<T, PortError> {
        if let Err(error) = &answer {
            let kind = match error {
                PortError::Unavailable(..) | PortError::Undone(..) => StoreFailure::Unavailable,
                PortError::Overloaded | PortError::Abandoned => StoreFailure::Overloaded,
                PortError::Corrupt(_) => StoreFailure::Corrupt,
            };
            self.metrics.store_failed(store, kind);
        }
        answer
    }
}

#[async_trait]
impl PasswordHasher for Metered<dyn PasswordHasher> {
    async fn verify(
        &self,
        stored: Option<PasswordHash>,
        password: Secret<String>,
        asked_by: &Presence,
    ) -> Result<PasswordVerdict, PortError> {
        let verdict = self.port.verify(stored, password, asked_by).await;
        match &verdict {
            Ok(verdict) => {
                self.metrics.proof_evaluated(Factor::Password);
                if *verdict == PasswordVerdict::Wrong {
                    self.metrics.grant_judged(Grant::Password, GrantOutcome::Refused);
                }
            }
            Err(PortError::Abandoned) => {}
            Err(error) => {
                if matches!(error, PortError::Overloaded) {
                    self.metrics.hasher_shed();
                }
                self.metrics.grant_judged(Grant::Password, GrantOutcome::Failed);
            }
        }
        verdict
    }

    async fn hash(&self, password: Secret<String>) -> Result<PasswordHash, PortError> {
        self.port.hash(password).await
    }

    fn import(&self, phc: &Secret<String>) -> Result<PasswordHash, PortError> {
        self.port.import(phc)
    }
}

#[async_trait]
impl RefreshStore for Metered<dyn RefreshStore> {
    async fn find_family(&self, id: &FamilyId) -> Result<Option<RefreshFamily>, PortError> {
        self.watch(Store::Durable, self.port.find_family(id).await)
    }

    async fn list_families(&self, user: &UserId, kind: FamilyKind) -> Result<Vec<RefreshFamily>, PortError> {
        self.watch(Store::Durable, self.port.list_families(user, kind).await)
    }

    async fn revoke_family(
        &self,
        id: &FamilyId,
        reach: RevocationReach,
        audit: AuditEvent,
        messages: Vec<OutboxRow>,
    ) -> Result<bool, PortError> {
        self.watch(Store::Durable, self.port.revoke_family(id, reach, audit, messages).await)
    }
}

#[async_trait]
impl LoginStore for Metered<dyn LoginStore> {
    async fn commit(&self, login: LoginCommit) -> Result<CommitOutcome, PortError> {
        let (grant, factor) = match &login.burn {
            Burn::Nothing if matches!(login.refresh, RefreshStep::Exchange { .. }) => (Grant::RefreshToken, None),
            Burn::Nothing if login.audit.event == Event::AssertedLogin => (Grant::AssertedLogin, None),
            Burn::Nothing => (Grant::Password, None),
            Burn::Use { spent: Spent::Step(_), .. } | Burn::Confirm { spent: Spent::Step(_), .. } => {
                (Grant::Otp, Some(Factor::Otp))
            }
            Burn::Use { authenticator, .. } | Burn::Confirm { authenticator, .. }
                if authenticator.as_str().starts_with(FactorKind::Push.id_prefix()) =>
            {
                (Grant::Oob, Some(Factor::Push))
            }
            Burn::Use { .. } | Burn::Confirm { .. } | Burn::UseAddress => (Grant::Oob, Some(Factor::Oob)),
            Burn::RecoveryCode { .. } => (Grant::RecoveryCode, Some(Factor::RecoveryCode)),
        };
        let outcome = self.watch(Store::Durable, self.port.commit(login).await);
        if matches!((grant, &outcome), (Grant::RecoveryCode, Ok(CommitOutcome::ProofSpent))) {
            // A wrong recovery code: the failure that is counted next counts it here too.
            return outcome;
        }
        if let Some(factor) = factor {
            self.metrics.proof_evaluated(factor);
        }
        self.metrics.grant_judged(
            grant,
            match outcome {
                Ok(CommitOutcome::Committed) => GrantOutcome::Issued,
                Ok(_) => GrantOutcome::Refused,
                Err(_) => GrantOutcome::Failed,
            },
        );
        outcome
    }

    async fn is_completed(&self, login: &ConsumedTransaction) -> Result<bool, PortError> {
        self.watch(Store::Durable, self.port.is_completed(login).await)
    }

    async fn last_proven(&self, user: &UserId, query: ProofQuery) -> Result<LastProven, PortError> {
        self.watch(Store::Durable, self.port.last_proven(user, query).await)
    }

    async fn count_failure(&self, user: &UserId, failure: Failure) -> Result<Counted, PortError> {
        let (grant, factor) = match (&failure.target, failure.audit.event) {
            (FailureTarget::RecoveryCode, _) => (Grant::RecoveryCode, Factor::RecoveryCode),
            (FailureTarget::Authenticators(_), Event::OtpFailed) => (Grant::Otp, Factor::Otp),
            (FailureTarget::Authenticators(_), Event::PushFailed) => (Grant::Oob, Factor::Push),
            (FailureTarget::Authenticators(_) | FailureTarget::Address, _) => (Grant::Oob, Factor::Oob),
        };
        self.metrics.proof_evaluated(factor);
        self.metrics.grant_judged(grant, GrantOutcome::Refused);
        self.watch(Store::Durable, self.port.count_failure(user, failure).await)
    }

    async fn redeem_assertion(&self, assertion: UsedAssertion) -> Result<bool, PortError> {
        self.watch(Store::Durable, self.port.redeem_assertion(assertion).await)
    }

    async fn record(&self, audit: AuditEvent, messages: Vec<OutboxRow>) -> Result<(), PortError> {
        self.watch(Store::Durable, self.port.record(audit, messages).await)
    }

    async fn note(&self, audit: AuditEvent) -> Result<(), PortError> {
        self.watch(Store::Durable, self.port.note(audit).await)
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, PortError> {
        self.watch(Store::Durable, self.port.purge(now).await)
    }
}

#[async_trait]
impl SessionStore for Metered<dyn SessionStore> {
    async fn insert_transaction(&self, record: TransactionRecord) -> Result<(), PortError> {
        let answer = self.watch(Store::Session, self.port.insert_transaction(record).await);
        let outcome = if answer.is_ok() { GrantOutcome::MfaRequired } else { GrantOutcome::Failed };
        self.metrics.grant_judged(Grant::Password, outcome);
        answer
    }

    async fn find_transaction(&self, digest: &Digest) -> Result<Option<TransactionRecord>, PortError> {
        self.watch(Store::Session, self.port.find_transaction(digest).await)
    }

    async fn exhaust_transaction(&self, digest: &Digest) -> Result<(), PortError> {
        self.watch(Store::Session, self.port.exhaust_transaction(digest).await)
    }

    async fn insert_challenge(&self, record: ChallengeRecord) -> Result<(), PortError> {
        self.watch(Store::Session, self.port.insert_challenge(record).await)
    }

    async fn take_try(&self, digest: &Digest) -> Result<Option<ChallengeRecord>, PortError> {
        self.watch(Store::Session, self.port.take_try(digest).await)
    }

    async fn find_challenge(&self, digest: &Digest) -> Result<Option<ChallengeRecord>, PortError> {
        self.watch(Store::Session, self.port.find_challenge(digest).await)
    }

    async fn decide(&self, digest: &Digest, mark: Digest) -> Result<Option<Digest>, PortError> {
        self.watch(Store::Session, self.port.decide(digest, mark).await)
    }

    async fn reserve(&self, buckets: &[Bucket], attempt: AttemptId, now: Timestamp) -> Result<Reservation, PortError> {
        let answer = self.watch(Store::Session, self.port.reserve(buckets, attempt, now).await);
        if let Ok(Reservation::Denied { bucket, .. }) = &answer
            && let Some(bucket) = buckets.get(*bucket)
        {
            self.metrics.attempt_denied(counter(&bucket.key.counter));
        }
        answer
    }

    async fn wait_of(&self, bucket: &Bucket, now: Timestamp) -> Result<std::time::Duration, PortError> {
        self.watch(Store::Session, self.port.wait_of(bucket, now).await)
    }

    async fn settle(&self, settlement: Settlement, now: Timestamp) {
        self.port.settle(settlement, now).await;
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, PortError> {
        self.watch(Store::Session, self.port.purge(now).await)
    }

    async fn ping(&self) -> Result<(), PortError> {
        self.watch(Store::Session, self.port.ping().await)
    }
}

/// Buckets are named for what they count; what follows a colon is whom.
fn counter(name: &str) -> Counter {
    match name.split(':').next().unwrap_or_default() {
        "otp" => Counter::Otp,
        "oob" => Counter::Oob,
        "push" => Counter::Push,
        "recovery-code" => Counter::RecoveryCode,
        "password" => Counter::Password,
        name if ["phone-", "email-", "push-"].iter().any(|front| name.starts_with(front)) => Counter::Message,
        _ => Counter::Rate,
    }
}

#[async_trait]
impl UserStore for Metered<dyn UserStore> {
    async fn find_by_login(&self, realm: &RealmName, name: &LoginName) -> Result<Option<Account>, PortError> {
        self.watch(Store::Durable, self.port.find_by_login(realm, name).await)
    }

    async fn find(&self, user: &UserId) -> Result<Option<Account>, PortError> {
        self.watch(Store::Durable, self.port.find(user).await)
    }

    async fn insert(&self, users: Vec<NewUser>) -> Result<Vec<UserInserted>, PortError> {
        self.watch(Store::Durable, self.port.insert(users).await)
    }

    async fn list(&self, after: Option<(RealmName, String)>, limit: usize) -> Result<Vec<Account>, PortError> {
        self.watch(Store::Durable, self.port.list(after, limit).await)
    }

    async fn set_password(
        &self,
        user: &UserId,
        password: PasswordHash,
        now: Timestamp,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        self.watch(Store::Durable, self.port.set_password(user, password, now, audit).await)
    }

    async fn set_blocked(
        &self,
        user: &UserId,
        blocked: bool,
        now: Timestamp,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        self.watch(Store::Durable, self.port.set_blocked(user, blocked, now, audit).await)
    }

    async fn reset_factors(
        &self,
        user: &UserId,
        now: Timestamp,
        messages: Vec<OutboxRow>,
        audit: AuditEvent,
    ) -> Result<Option<u64>, PortError> {
        self.watch(Store::Durable, self.port.reset_factors(user, now, messages, audit).await)
    }

    async fn change_addresses(
        &self,
        user: &UserId,
        change: AddressChange,
        audit: AuditEvent,
    ) -> Result<AddressesChanged, PortError> {
        self.watch(Store::Durable, self.port.change_addresses(user, change, audit).await)
    }

    async fn ping(&self) -> Result<(), PortError> {
        self.watch(Store::Durable, self.port.ping().await)
    }
}

#[async_trait]
impl AuthenticatorStore for Metered<dyn AuthenticatorStore> {
    async fn begin_enrollment(&self, enrollment: NewEnrollment, now: Timestamp) -> Result<EnrollmentBegun, PortError> {
        let begun = self.watch(Store::Durable, self.port.begin_enrollment(enrollment, now).await);
        if matches!(begun, Ok(EnrollmentBegun::DayIsOver { .. })) {
            self.metrics.attempt_denied(Counter::Message);
        }
        begun
    }

    async fn keep_device(&self, device: DeviceRecord, now: Timestamp) -> Result<bool, PortError> {
        self.watch(Store::Durable, self.port.keep_device(device, now).await)
    }

    async fn update(
        &self,
        user: &UserId,
        authenticator: &AuthenticatorId,
        change: AuthenticatorChange,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        self.watch(Store::Durable, self.port.update(user, authenticator, change, audit).await)
    }

    async fn delete(
        &self,
        user: &UserId,
        authenticator: &AuthenticatorId,
        spares: Option<Spared>,
        messages: Vec<OutboxRow>,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        self.watch(Store::Durable, self.port.delete(user, authenticator, spares, messages, audit).await)
    }
}

#[async_trait]
impl RepudiationStore for Metered<dyn RepudiationStore> {
    async fn find(&self, digest: &Digest) -> Result<Option<Repudiation>, PortError> {
        self.watch(Store::Durable, self.port.find(digest).await)
    }

    async fn redeem(&self, redemption: Redemption) -> Result<bool, PortError> {
        self.watch(Store::Durable, self.port.redeem(redemption).await)
    }
}

impl Metered<dyn OutboxStore> {
    fn watch_day(&self, charged: Result<DayCharged, PortError>) -> Result<DayCharged, PortError> {
        if matches!(charged, Ok(DayCharged::Reached { .. })) {
            self.metrics.attempt_denied(Counter::Message);
        }
        self.watch(Store::Durable, charged)
    }
}

#[async_trait]
impl OutboxStore for Metered<dyn OutboxStore> {
    async fn insert(&self, rows: Vec<OutboxRow>) -> Result<(), PortError> {
        self.watch(Store::Durable, self.port.insert(rows).await)
    }

    async fn insert_charged(
        &self,
        row: OutboxRow,
        charges: Vec<DayCharge>,
        audit: AuditEvent,
    ) -> Result<DayCharged, PortError> {
        self.watch_day(self.port.insert_charged(row, charges, audit).await)
    }

    async fn look_at_day(&self, charges: &[DayCharge]) -> Result<DayCharged, PortError> {
        self.watch_day(self.port.look_at_day(charges).await)
    }

    async fn claim(
        &self,
        channel: Channel,
        now: Timestamp,
        lease: Timestamp,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, PortError> {
        self.watch(Store::Durable, self.port.claim(channel, now, lease, limit).await)
    }

    async fn postpone(&self, id: &MessageId, due_at: Timestamp, ended: Ended) -> Result<(), PortError> {
        self.watch(Store::Durable, self.port.postpone(id, due_at, ended).await)
    }

    async fn remove(&self, id: &MessageId, audit: AuditEvent) -> Result<(), PortError> {
        self.watch(Store::Durable, self.port.remove(id, audit).await)
    }

    async fn oldest(&self, channel: Channel, now: Timestamp) -> Result<Option<Timestamp>, PortError> {
        self.watch(Store::Durable, self.port.oldest(channel, now).await)
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, PortError> {
        self.watch(Store::Durable, self.port.purge(now).await)
    }
}
