//! Ports that do what a test tells them to, and remember which throttles were asked.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use countersign_domain::{
    account::Account,
    audit::AuditEvent,
    challenge::ChallengeRecord,
    id::{AuthenticatorId, FamilyId, MessageId, RealmName, UserId},
    login_name::LoginName,
    message::{
        Channel, Message, OutboxRow,
        day::{DayCharge, DayCharged},
    },
    port::{
        PortError,
        authenticator_store::{
            AuthenticatorChange, AuthenticatorStore, DeviceRecord, EnrollmentBegun, NewEnrollment, Spared,
        },
        device_verifier::{DeviceKey, DeviceVerifier},
        login_store::{
            CommitOutcome, ConsumedTransaction, Counted, Failure, LastProven, LoginCommit, LoginStore, ProofQuery,
            UsedAssertion,
        },
        outbox_store::{Bell, Claim, Ended, OutboxStore},
        password_hasher::{PasswordHasher, PasswordVerdict},
        refresh_store::{FamilyKind, RefreshFamily, RefreshStore, RevocationReach},
        repudiation_store::{Redemption, Repudiation, RepudiationStore},
        sealer::{DigestPurpose, Place, Sealer},
        sender::{ChannelState, ProviderName, SendError, Sender},
        session_store::{AttemptId, Bucket, Reservation, SessionStore, Settlement},
        signer::{PublicKey, Signer, Unsigned, Verified},
        user_store::{AddressesChanged, NewUser, UserInserted, UserStore},
    },
    presence::Presence,
    secret::{Digest, Sealed, Secret},
    time::Timestamp,
    transaction::TransactionRecord,
    user::{AddressChange, PasswordHash},
};
use tokio::sync::Semaphore;
use tonic::async_trait;

/// What happens when an account is looked up, the first thing a password grant does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lookup {
    /// Nobody has the name.
    #[default]
    Finds,
    /// The store does not answer; the text is the driver's.
    Fails(&'static str),
    /// What is stored makes no sense; the text is the driver's.
    IsCorrupt(&'static str),
    /// The code panics with a message that was put together from this.
    Panics(&'static str),
    /// It waits for [`Ports::release`].
    Waits,
}

/// The ports of one rig. The stores are there and empty.
pub struct Ports {
    script: Mutex<Script>,
    gate: Semaphore,
    /// One permit for each who waits, or has waited.
    pub waiting: Semaphore,
    /// One permit for each throttle that was asked.
    pub asked: Semaphore,
}

#[derive(Default)]
struct Script {
    lookup: Lookup,
    denied: Option<Duration>,
    buckets: Vec<String>,
}

impl Ports {
    pub fn new() -> Self {
        Self { script: Mutex::default(), gate: Semaphore::new(0), waiting: Semaphore::new(0), asked: Semaphore::new(0) }
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }

    pub fn lookup(&self, lookup: Lookup) {
        self.script().lookup = lookup;
    }

    /// From now on the first throttle refuses for so long.
    pub fn deny_for(&self, wait: Duration) {
        self.script().denied = Some(wait);
    }

    /// Lets those go on who wait.
    pub fn release(&self, waiting: usize) {
        self.gate.add_permits(waiting);
    }

    /// Names of the throttles that were asked.
    pub fn buckets(&self) -> Vec<String> {
        self.script().buckets.clone()
    }
}

fn unscripted<T>() -> Result<T, PortError> {
    Err(PortError::Unavailable("script", Box::from("no test wants this")))
}

#[async_trait]
impl UserStore for Ports {
    async fn find_by_login(&self, _: &RealmName, _: &LoginName) -> Result<Option<Account>, PortError> {
        let lookup = self.script().lookup;
        match lookup {
            Lookup::Finds => Ok(None),
            Lookup::Fails(driver) => Err(PortError::Unavailable("durable store", Box::from(driver))),
            Lookup::IsCorrupt(driver) => Err(PortError::Corrupt(Box::from(driver))),
            Lookup::Panics(secret) => panic!("cannot read {secret}"),
            Lookup::Waits => {
                self.waiting.add_permits(1);
                self.gate.acquire().await.unwrap().forget();
                Ok(None)
            }
        }
    }
    async fn find(&self, _: &UserId) -> Result<Option<Account>, PortError> {
        unscripted()
    }
    async fn insert(&self, _: Vec<NewUser>) -> Result<Vec<UserInserted>, PortError> {
        unscripted()
    }
    async fn list(&self, _: Option<(RealmName, String)>, _: usize) -> Result<Vec<Account>, PortError> {
        unscripted()
    }
    async fn set_password(&self, _: &UserId, _: PasswordHash, _: Timestamp, _: AuditEvent) -> Result<bool, PortError> {
        unscripted()
    }
    async fn set_blocked(&self, _: &UserId, _: bool, _: Timestamp, _: AuditEvent) -> Result<bool, PortError> {
        unscripted()
    }
    async fn reset_factors(
        &self,
        _: &UserId,
        _: Timestamp,
        _: Vec<OutboxRow>,
        _: AuditEvent,
    ) -> Result<Option<u64>, PortError> {
        unscripted()
    }
    async fn change_addresses(
        &self,
        _: &UserId,
        _: AddressChange,
        _: AuditEvent,
    ) -> Result<AddressesChanged, PortError> {
        unscripted()
    }
    async fn ping(&self) -> Result<(), PortError> {
        Ok(())
    }
}

#[async_trait]
impl SessionStore for Ports {
    async fn insert_transaction(&self, _: TransactionRecord) -> Result<(), PortError> {
        unscripted()
    }
    async fn find_transaction(&self, _: &Digest) -> Result<Option<TransactionRecord>, PortError> {
        Ok(None)
    }
    async fn exhaust_transaction(&self, _: &Digest) -> Result<(), PortError> {
        unscripted()
    }
    async fn insert_challenge(&self, _: ChallengeRecord) -> Result<(), PortError> {
        unscripted()
    }
    async fn find_challenge(&self, _: &Digest) -> Result<Option<ChallengeRecord>, PortError> {
        Ok(None)
    }
    async fn decide(&self, _: &Digest, _: Digest) -> Result<Option<Digest>, PortError> {
        unscripted()
    }
    async fn take_try(&self, _: &Digest) -> Result<Option<ChallengeRecord>, PortError> {
        unscripted()
    }
    async fn reserve(&self, buckets: &[Bucket], _: AttemptId, _: Timestamp) -> Result<Reservation, PortError> {
        let mut script = self.script();
        script.buckets.extend(buckets.iter().map(|bucket| bucket.key.counter.to_string()));
        self.asked.add_permits(1);
        Ok(match script.denied {
            Some(retry_after) => Reservation::Denied { bucket: 0, retry_after },
            None => Reservation::Granted,
        })
    }
    async fn wait_of(&self, _: &Bucket, _: Timestamp) -> Result<Duration, PortError> {
        unscripted()
    }
    async fn settle(&self, _: Settlement, _: Timestamp) {}
    async fn purge(&self, _: Timestamp) -> Result<u64, PortError> {
        unscripted()
    }
    async fn ping(&self) -> Result<(), PortError> {
        Ok(())
    }
}

#[async_trait]
impl AuthenticatorStore for Ports {
    async fn keep_device(&self, _: DeviceRecord, _: Timestamp) -> Result<bool, PortError> {
        unscripted()
    }
    async fn begin_enrollment(&self, _: NewEnrollment, _: Timestamp) -> Result<EnrollmentBegun, PortError> {
        unscripted()
    }
    async fn update(
        &self,
        _: &UserId,
        _: &AuthenticatorId,
        _: AuthenticatorChange,
        _: AuditEvent,
    ) -> Result<bool, PortError> {
        unscripted()
    }
    async fn delete(
        &self,
        _: &UserId,
        _: &AuthenticatorId,
        _: Option<Spared>,
        _: Vec<OutboxRow>,
        _: AuditEvent,
    ) -> Result<bool, PortError> {
        unscripted()
    }
}

#[async_trait]
impl RepudiationStore for Ports {
    async fn find(&self, _: &Digest) -> Result<Option<Repudiation>, PortError> {
        unscripted()
    }
    async fn redeem(&self, _: Redemption) -> Result<bool, PortError> {
        unscripted()
    }
}

#[async_trait]
impl RefreshStore for Ports {
    async fn find_family(&self, _: &FamilyId) -> Result<Option<RefreshFamily>, PortError> {
        unscripted()
    }
    async fn list_families(&self, _: &UserId, _: FamilyKind) -> Result<Vec<RefreshFamily>, PortError> {
        unscripted()
    }
    async fn revoke_family(
        &self,
        _: &FamilyId,
        _: RevocationReach,
        _: AuditEvent,
        _: Vec<OutboxRow>,
    ) -> Result<bool, PortError> {
        unscripted()
    }
}

#[async_trait]
impl LoginStore for Ports {
    async fn note(&self, _: AuditEvent) -> Result<(), PortError> {
        Ok(())
    }
    async fn redeem_assertion(&self, _: UsedAssertion) -> Result<bool, PortError> {
        unscripted()
    }
    async fn record(&self, _: AuditEvent, _: Vec<OutboxRow>) -> Result<(), PortError> {
        unscripted()
    }
    async fn commit(&self, _: LoginCommit) -> Result<CommitOutcome, PortError> {
        unscripted()
    }
    async fn is_completed(&self, _: &ConsumedTransaction) -> Result<bool, PortError> {
        unscripted()
    }
    async fn last_proven(&self, _: &UserId, _: ProofQuery) -> Result<LastProven, PortError> {
        unscripted()
    }
    async fn count_failure(&self, _: &UserId, _: Failure) -> Result<Counted, PortError> {
        unscripted()
    }
    async fn purge(&self, _: Timestamp) -> Result<u64, PortError> {
        unscripted()
    }
}

#[async_trait]
impl OutboxStore for Ports {
    async fn insert(&self, _: Vec<OutboxRow>) -> Result<(), PortError> {
        unscripted()
    }
    async fn insert_charged(&self, _: OutboxRow, _: Vec<DayCharge>, _: AuditEvent) -> Result<DayCharged, PortError> {
        unscripted()
    }
    async fn look_at_day(&self, _: &[DayCharge]) -> Result<DayCharged, PortError> {
        unscripted()
    }
    async fn claim(&self, _: Channel, _: Timestamp, _: Timestamp, _: usize) -> Result<Vec<OutboxRow>, PortError> {
        unscripted()
    }
    async fn postpone(&self, _: &MessageId, _: Timestamp, _: Ended) -> Result<(), PortError> {
        unscripted()
    }
    async fn remove(&self, _: &MessageId, _: AuditEvent) -> Result<(), PortError> {
        unscripted()
    }
    async fn oldest(&self, _: Channel, _: Timestamp) -> Result<Option<Timestamp>, PortError> {
        unscripted()
    }
    async fn purge(&self, _: Timestamp) -> Result<u64, PortError> {
        unscripted()
    }
}

#[async_trait]
impl Sender for Ports {
    fn state(&self, _: Channel) -> ChannelState {
        ChannelState::Absent
    }
    fn last_sent(&self, _: Channel) -> Option<Timestamp> {
        None
    }
    async fn send(&self, _: &Message) -> Result<ProviderName, SendError> {
        unreachable!("nothing is sent here")
    }
}

impl Bell for Ports {
    fn ring(&self) {}

    fn claim(&self, _: Channel, _: Timestamp) -> Option<Box<dyn Claim>> {
        None
    }
}

#[async_trait]
impl PasswordHasher for Ports {
    async fn verify(
        &self,
        _: Option<PasswordHash>,
        _: Secret<String>,
        _: &Presence,
    ) -> Result<PasswordVerdict, PortError> {
        Ok(PasswordVerdict::Wrong)
    }
    async fn hash(&self, _: Secret<String>) -> Result<PasswordHash, PortError> {
        unscripted()
    }
    fn import(&self, _: &Secret<String>) -> Result<PasswordHash, PortError> {
        unscripted()
    }
}

impl Sealer for Ports {
    fn seal(&self, _: Place<'_>, _: &[u8]) -> Result<Sealed, PortError> {
        unscripted()
    }
    fn open(&self, _: Place<'_>, _: &Sealed) -> Result<Secret<Vec<u8>>, PortError> {
        unscripted()
    }
    fn keyed_digest(&self, _: DigestPurpose, _: &[&[u8]]) -> Digest {
        Digest::new([0; 32])
    }
    fn token_digest(&self, _: &'static str, _: &[u8]) -> Digest {
        Digest::new([0; 32])
    }
}

#[async_trait]
impl Signer for Ports {
    async fn sign_all(&self, _: Vec<Unsigned>) -> Result<Vec<Secret<String>>, PortError> {
        unscripted()
    }
    fn verify(&self, _: &str) -> Option<Verified> {
        None
    }
    fn public_keys(&self) -> Vec<PublicKey> {
        Vec::new()
    }
}

impl DeviceVerifier for Ports {
    fn accepts(&self, _: &DeviceKey) -> bool {
        false
    }
    fn verify(&self, _: &DeviceKey, _: &str) -> Option<Vec<u8>> {
        None
    }
}
