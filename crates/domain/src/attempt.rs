//! The permit to look at a proof. Comparing a code asks for one. A password is looked at by the hasher, which knows of no permits: whoever calls it
//! reserves first.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    app::{App, Origin},
    audit::{AuditEvent, Event},
    error::{Error, Reason, Throttle},
    factor::{otp, push, recovery_code},
    id::{ClientId, RealmName, UserId},
    login_name::LoginName,
    port::{
        sealer::DigestPurpose,
        session_store::{AttemptId, Bucket, BucketKey, Reservation},
    },
    registry::{Client, Limit},
    secret::Digest,
    time::Timestamp,
    user::User,
};

/// Proof that an attempt was reserved. Only this module makes one; comparing a code asks for one.
#[derive(Debug)]
pub struct AttemptPermit {
    attempt: AttemptId,
    /// The bucket that counts failures.
    bucket: Bucket,
    _looking: Option<Looking>,
}

impl AttemptPermit {
    /// What gives the attempt back after a success.
    pub fn refund(&self) -> (Bucket, AttemptId) {
        (self.bucket.clone(), self.attempt)
    }

    /// What forgets all failures after a success.
    pub fn reset(&self) -> BucketKey {
        self.bucket.key.clone()
    }
}

/// Tries at passwords in this process, by account, from before they are reserved until the password was looked at. While there are
/// others, an empty bucket says nothing yet: their attempts may come back.
#[derive(Debug, Default)]
pub struct InFlight(Mutex<HashMap<Digest, usize>>);

/// One of them, until it is dropped.
#[derive(Debug)]
struct Looking {
    all: Arc<InFlight>,
    subject: Digest,
}

impl InFlight {
    fn enter(self: &Arc<Self>, subject: Digest) -> Looking {
        *self.lock().entry(subject).or_default() += 1;
        Looking { all: Arc::clone(self), subject }
    }

    fn has(&self, subject: &Digest) -> bool {
        self.lock().contains_key(subject)
    }

    /// Whether there is one besides the caller's own.
    fn has_others(&self, subject: &Digest) -> bool {
        self.lock().get(subject).is_some_and(|count| *count > 1)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        let mut all = self.all.lock();
        if let Some(count) = all.get_mut(&self.subject) {
            *count -= 1;
            if *count == 0 {
                all.remove(&self.subject);
            }
        }
    }
}

/// Who asks for an attempt: what a row says of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker<'a> {
    /// The client.
    pub client: &'a ClientId,
    /// The person's address.
    pub address: Option<IpAddr>,
}

impl<'a> Asker<'a> {
    /// `client`, for the person at `origin`.
    pub(crate) fn of(client: &'a Client, origin: &Origin) -> Self {
        Self { client: &client.id, address: client.address_of(origin) }
    }
}

/// Whom a bucket belongs to.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// A person, for everything but passwords.
    User(&'a UserId),
    /// A person's password. A new password, a block or a reset by an operator begins a new count: the way out of a lock.
    Account(&'a User),
    /// A login name that nobody has; it is throttled exactly like one that somebody has.
    Unknown(&'a RealmName, Option<&'a LoginName>),
}

impl App {
    /// Reserves one try at a second factor of `user`.
    ///
    /// `failures` is the durable count of what would be compared: near the ceiling the bucket refills more slowly
    /// (NIST SP 800-63B-4, section 3.2.2).
    ///
    /// # Errors
    ///
    /// [`Reason::TooManyAttempts`] with the wait; the session store failed.
    pub(crate) async fn reserve_factor_attempt(
        &self,
        user: &UserId,
        factor: &'static str,
        failures: u32,
        asker: Asker<'_>,
        now: Timestamp,
    ) -> Result<AttemptPermit, Error> {
        let bucket = self.factor_bucket(user, factor, failures);
        let attempt = self.attempt_id()?;
        match self.sessions.reserve(std::slice::from_ref(&bucket), attempt, now).await? {
            Reservation::Granted => Ok(AttemptPermit { attempt, bucket, _looking: None }),
            Reservation::Denied { retry_after, .. } => {
                let event = match factor {
                    otp::CLASS => Event::OtpThrottled,
                    recovery_code::CLASS => Event::RecoveryThrottled,
                    push::CLASS => Event::PushThrottled,
                    _ => Event::OobThrottled,
                };
                let row = AuditEvent::about(event, user, now).by(asker.client).at_address(asker.address);
                self.note_cheap(row).await?;
                Err(Error::new(Reason::TooManyAttempts).throttled(Throttle { limit: bucket.capacity, retry_after }))
            }
        }
    }

    /// The bucket of a person's tries at one class of factor.
    pub(crate) fn factor_bucket(&self, user: &UserId, factor: &'static str, failures: u32) -> Bucket {
        let limit = self.registry.policy.factor_failures;
        Bucket {
            key: BucketKey { subject: self.subject_digest(Subject::User(user)), counter: Arc::from(factor) },
            capacity: limit.capacity,
            refill: slowed(limit.refill, failures),
            locks: self.registry.policy.factor_failures_lock,
        }
    }

    /// Reserves one try at a password: first against the failures that lock, then against the rate.
    ///
    /// # Errors
    ///
    /// [`Reason::AccountLocked`] or [`Reason::RateLimited`] with the wait; the session store failed.
    pub(crate) async fn reserve_password_attempt(
        &self,
        subject: Subject<'_>,
        asker: Asker<'_>,
        now: Timestamp,
    ) -> Result<AttemptPermit, Error> {
        let policy = &self.registry.policy;
        let place = match asker.address {
            Some(address) if !policy.limits_ignore_address => network_of(address).to_string(),
            _ => String::new(),
        };
        let row = match subject {
            Subject::Account(user) => AuditEvent::about(Event::PasswordThrottled, &user.id, now),
            Subject::User(_) | Subject::Unknown(..) => AuditEvent::of_deployment(Event::PasswordThrottled, now),
        };
        let subject = self.subject_digest(subject);
        let bucket = |counter: &str, limit: Limit| Bucket {
            key: BucketKey { subject, counter: Arc::from(format!("{counter}:{place}")) },
            capacity: limit.capacity,
            refill: limit.refill,
            locks: false,
        };
        let buckets = [bucket("password", policy.password_failures), bucket("password-rate", policy.password_rate)];
        let attempt = self.attempt_id()?;
        let [failures, rate] = &buckets;
        let others_before = self.in_flight.has(&subject);
        // Before the reservation: the store's answers may arrive in another order than it gave them.
        let looking = self.in_flight.enter(subject);
        let reservation = self.sessions.reserve(&buckets, attempt, now).await?;
        if !matches!(reservation, Reservation::Granted) {
            self.note_cheap(row.by(asker.client).at_address(asker.address)).await?;
        }
        match reservation {
            Reservation::Granted => Ok(AttemptPermit { attempt, bucket: failures.clone(), _looking: Some(looking) }),
            // Right passwords may be among those that are being looked at, or were when this began; a moment later it is known.
            Reservation::Denied { bucket: 0, .. } if others_before || self.in_flight.has_others(&subject) => {
                let retry_after = Duration::from_secs(1);
                Err(Error::new(Reason::RateLimited).throttled(Throttle { limit: failures.capacity, retry_after }))
            }
            Reservation::Denied { bucket: 0, retry_after } => {
                Err(Error::new(Reason::AccountLocked).throttled(Throttle { limit: failures.capacity, retry_after }))
            }
            Reservation::Denied { retry_after, .. } => {
                Err(Error::new(Reason::RateLimited).throttled(Throttle { limit: rate.capacity, retry_after }))
            }
        }
    }

    /// Charges one request of `user` to a rate that has nothing to do with proofs. What is answered gives it back.
    ///
    /// # Errors
    ///
    /// [`Reason::RateLimited`] with the wait; the session store failed.
    pub(crate) async fn charge_rate(
        &self,
        user: &UserId,
        counter: &'static str,
        limit: Limit,
        now: Timestamp,
    ) -> Result<(Bucket, AttemptId), Error> {
        let bucket = Bucket {
            key: BucketKey { subject: self.subject_digest(Subject::User(user)), counter: Arc::from(counter) },
            capacity: limit.capacity,
            refill: limit.refill,
            locks: false,
        };
        let attempt = self.attempt_id()?;
        match self.sessions.reserve(std::slice::from_ref(&bucket), attempt, now).await? {
            Reservation::Granted => Ok((bucket, attempt)),
            Reservation::Denied { retry_after, .. } => {
                Err(Error::new(Reason::RateLimited).throttled(Throttle { limit: limit.capacity, retry_after }))
            }
        }
    }

    pub(crate) fn attempt_id(&self) -> Result<AttemptId, Error> {
        let mut id = [0; 16];
        self.entropy.fill(&mut id)?;
        Ok(AttemptId(id))
    }

    fn subject_digest(&self, subject: Subject<'_>) -> Digest {
        match subject {
            Subject::User(user) => {
                self.sealer.keyed_digest(DigestPurpose::Throttle, &[b"user", user.as_str().as_bytes()])
            }
            Subject::Account(user) => self.sealer.keyed_digest(
                DigestPurpose::Throttle,
                &[b"password", user.id.as_str().as_bytes(), &user.tokens_valid_from.as_millis().to_be_bytes()],
            ),
            Subject::Unknown(realm, name) => self.sealer.keyed_digest(
                DigestPurpose::Throttle,
                &[b"name", realm.as_str().as_bytes(), name.map_or("", LoginName::as_str).as_bytes()],
            ),
        }
    }
}

/// The part of an address that one person cannot choose at will: a whole IPv4 address, the first 64 bits of an IPv6 one.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        address @ IpAddr::V4(_) => address,
    }
}

/// The refill interval after `failures` consecutive failures: at least half an hour from 50 on, an hour from 80 on.
fn slowed(refill: Duration, failures: u32) -> Duration {
    match failures {
        0..50 => refill,
        50..80 => refill.max(Duration::from_secs(1800)),
        80.. => refill.max(Duration::from_secs(3600)),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A permit for tests of what comes after the reservation.
    pub(crate) fn permit() -> AttemptPermit {
        AttemptPermit {
            attempt: AttemptId([0; 16]),
            bucket: Bucket {
                key: BucketKey { subject: Digest::new([0; 32]), counter: Arc::from("otp") },
                capacity: 1,
                refill: Duration::from_secs(1),
                locks: false,
            },
            _looking: None,
        }
    }

    #[test]
    fn an_ipv6_network_is_one_place() {
        let place = |text: &str| network_of(text.parse().unwrap()).to_string();
        assert_eq!(place("2001:db8:1:2:3:4:5:6"), place("2001:db8:1:2:ffff::1"));
        assert_ne!(place("2001:db8:1:2::1"), place("2001:db8:1:3::1"));
        assert_eq!(place("::ffff:192.0.2.1"), "192.0.2.1");
    }

    proptest! {
        #[test]
        fn the_refill_never_gets_faster_with_failures(refill in 1u64..10_000, fewer in 0u32..200, more in 0u32..200) {
            let refill = Duration::from_secs(refill);
            let (fewer, more) = (fewer.min(more), fewer.max(more));
            prop_assert!(slowed(refill, fewer) <= slowed(refill, more));
        }
    }
}
