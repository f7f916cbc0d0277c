//! Asking a device: the challenge that waits for its answer, and the notification that tells it.
//!
//! There is one record. The client that waits holds the `oob_code`; the device holds another secret, the ticket it enrols with or the
//! token it answers with, which follows from the `oob_code` by a key that only we have. The record's key follows from the latter, so
//! either of them finds it and neither can be made from the other outside.

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use crate::{
    account::Account,
    app::{App, Origin},
    authenticator::Authenticator,
    challenge::{Approval, Asks, ChallengeRecord, Decision, NUMBER_TRIES},
    error::{Error, Reason, Throttle},
    factor::{oob, push},
    id::UserId,
    message::{Channel, Content, Message, NoticeEvent, OutboxRow, Push, PushContext},
    opaque::{self, TokenKind},
    port::{
        PortError,
        sealer::{DigestPurpose, Place, record},
        session_store::{AttemptId, Bucket, BucketKey, Reservation, Settlement},
    },
    registry::{Client, Limit},
    secret::{Digest, Secret},
    time::Timestamp,
};

/// Whom a device's answer is for.
pub(crate) struct Asking<'a> {
    /// The authenticator.
    pub authenticator: &'a Authenticator,
    /// The client that waits.
    pub client: &'a Client,
    /// Digest of the bearer it waits with.
    pub bearer: Digest,
}

/// A device that is told as soon as the row is in the outbox.
pub(crate) struct Asked {
    /// The handle of the challenge.
    pub oob_code: Secret<String>,
    /// The number to show, if the device asks for one.
    pub number: Option<Secret<String>>,
    /// The row.
    pub row: OutboxRow,
    /// What was paid for it.
    pub paid: Paid,
}

/// What a notification was charged to.
pub(crate) struct Paid {
    buckets: [Bucket; 2],
    attempt: AttemptId,
}

/// A challenge as it was found.
pub(crate) struct Found {
    /// Its key.
    pub digest: Digest,
    /// What it asks.
    pub approval: Approval,
    /// What became of it.
    pub decision: Decision,
}

impl App {
    /// The base URL of the device API; `aud` and `sh` are made of it.
    pub(crate) fn device_base_url(&self) -> String {
        format!("{}appliance-mfa", self.registry.issuer)
    }

    /// Whether `authenticator` can be asked now: its device has registered, and asks for the number if the policy demands that.
    ///
    /// # Errors
    ///
    /// Its sealed state does not open.
    pub(crate) fn device_to_ask(&self, authenticator: &Authenticator) -> Result<Option<push::Device>, Error> {
        let device = push::open(authenticator, self.sealer.as_ref())?;
        Ok(device.filter(|device| device.number_matching || !self.registry.policy.number_matching_required))
    }

    /// Whether a login was begun that shows no number, where none goes without.
    pub(crate) const fn lacks_number(&self, asks: &Asks) -> bool {
        matches!(asks, Asks::Login { number: None, .. }) && self.registry.policy.number_matching_required
    }

    /// Asks a device about a login. Charges the budget, and asks whether notifications leave; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Reason::DeliveryUnavailable`], [`Reason::MessageLimitReached`] with the wait; a store failed.
    pub(crate) async fn ask_device(
        &self,
        asking: Asking<'_>,
        device: &push::Device,
        account: &Account,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Asked, Error> {
        self.require_channel(Channel::Push, now).await?;
        let oob_code = opaque::mint(TokenKind::Approval, self.entropy.as_ref())?;
        let transaction_token = self.transaction_token(&oob_code);
        let digest = self.transaction_digest(&transaction_token);
        let nonce = self.nonce()?;
        let number = device.number_matching.then(|| oob::generate(self.entropy.as_ref())).transpose()?;
        let kept = |number: &Secret<String>| {
            let digest = oob::code_digest(&digest, number, self.sealer.as_ref());
            Zeroizing::new(HEXLOWER.encode(digest.as_bytes()))
        };
        let asks = Asks::Login { nonce: Zeroizing::new(nonce.expose().clone()), number: number.as_ref().map(kept) };
        let (record, expires_at) = self.approval(digest, &asking, asks, now)?;
        let context = PushContext {
            service: device.push.service,
            base_url: self.device_base_url(),
            device: push::device_id(&asking.authenticator.id).to_owned(),
            requested_at: now,
            client_name: asking.client.name.clone(),
            user_agent: origin.user_agent.clone(),
            address: asking.client.address_of(origin).map(|address| address.to_string()),
            number_matching: number.is_some(),
        };
        let message = Message {
            id: Message::new_id(self.entropy.as_ref())?,
            channel: Channel::Push,
            to: device.push.token.clone(),
            content: Content::Push(Push { challenge: nonce, transaction_token, context }),
            languages: origin.languages.clone(),
            created_at: now,
            expires_at,
        };
        let row = message.seal(&asking.authenticator.user, self.sealer.as_ref())?;
        let paid = self.charge_pushes(account, origin, now).await?;
        if let Err(error) = self.sessions.insert_challenge(record).await {
            // Whether or not it is kept: nobody will be asked.
            self.pay_back(paid, now).await;
            return Err(error.into());
        }
        Ok(Asked { oob_code, number, row, paid })
    }

    /// The challenge of an enrolment, which the device's registration answers: its `oob_code`, and the ticket the device scans.
    ///
    /// # Errors
    ///
    /// A store failed.
    pub(crate) async fn await_registration(
        &self,
        asking: Asking<'_>,
        now: Timestamp,
    ) -> Result<(Secret<String>, Secret<String>), Error> {
        let oob_code = opaque::mint(TokenKind::Approval, self.entropy.as_ref())?;
        let ticket = self.ticket(&oob_code);
        let (record, _) = self.approval(self.ticket_digest(&ticket), &asking, Asks::Registration, now)?;
        self.sessions.insert_challenge(record).await?;
        Ok((oob_code, ticket))
    }

    /// The challenge to keep, and when it expires.
    fn approval(
        &self,
        digest: Digest,
        asking: &Asking<'_>,
        asks: Asks,
        now: Timestamp,
    ) -> Result<(ChallengeRecord, Timestamp), Error> {
        let authenticator = asking.authenticator;
        let expires_at = now.plus(self.registry.policy.oob_code_lifetime);
        let approval = Approval {
            user: authenticator.user.clone(),
            authenticator: authenticator.id.clone(),
            client: asking.client.id.clone(),
            bearer: HEXLOWER.encode(asking.bearer.as_bytes()),
            asks,
            expires_at,
        };
        let plain = Zeroizing::new(serde_json::to_vec(&approval).map_err(|error| PortError::Corrupt(Box::new(error)))?);
        let sealed = self.sealer.seal(place(&HEXLOWER.encode(digest.as_bytes())), &plain)?;
        let slot = self.slot(&authenticator.user, authenticator);
        let (tries, decision) = (NUMBER_TRIES, None);
        Ok((ChallengeRecord { digest, slot, sealed, tries, decision, expires_at }, expires_at))
    }

    /// The challenge that an `oob_code` names.
    ///
    /// # Errors
    ///
    /// [`Reason::OobCodeInvalid`]: none of ours, superseded, used or swept; the store failed.
    pub(crate) async fn approval_of(&self, oob_code: &Secret<String>) -> Result<Found, Error> {
        let invalid = |why| Error::new(Reason::OobCodeInvalid).because(why);
        if !opaque::is_well_formed(TokenKind::Approval, oob_code.expose()) {
            return Err(invalid("malformed"));
        }
        let login = self.transaction_digest(&self.transaction_token(oob_code));
        if let Some(found) = self.find_approval(login).await? {
            return Ok(found);
        }
        let registration = self.ticket_digest(&self.ticket(oob_code));
        self.find_approval(registration).await?.ok_or_else(|| invalid("unknown, superseded or used"))
    }

    /// The challenge with this key.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub(crate) async fn find_approval(&self, digest: Digest) -> Result<Option<Found>, Error> {
        // Under a data key that was dropped: another one is asked.
        let record = self.sessions.find_challenge(&digest).await?;
        let record = record.filter(|record| !self.sealer.has_forgotten(&record.sealed));
        let Some(record) = record else { return Ok(None) };
        let plain = self.sealer.open(place(&HEXLOWER.encode(digest.as_bytes())), &record.sealed)?;
        let approval = serde_json::from_slice(plain.expose()).map_err(|error| PortError::Corrupt(Box::new(error)))?;
        let decision = self.decided(&digest, record.decision)?;
        Ok(Some(Found { digest, approval, decision }))
    }

    /// Decides a challenge and wakes who waits for it. The answer is what stands.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub(crate) async fn decide(&self, digest: &Digest, decision: Decision) -> Result<Option<Decision>, Error> {
        let stands = self.sessions.decide(digest, self.mark(digest, decision)).await?;
        self.wakes.wake(digest);
        stands.map(|mark| self.decided(digest, Some(mark))).transpose()
    }

    /// What a mark says. Whoever can write to the session store cannot write one.
    ///
    /// # Errors
    ///
    /// It is none of ours.
    pub(crate) fn decided(&self, digest: &Digest, mark: Option<Digest>) -> Result<Decision, Error> {
        let Some(mark) = mark else { return Ok(Decision::Pending) };
        let decision =
            [Decision::Approved, Decision::Rejected].into_iter().find(|decision| self.mark(digest, *decision) == mark);
        decision.ok_or_else(|| PortError::Corrupt(Box::from("the mark of a decision is none of ours")).into())
    }

    fn mark(&self, digest: &Digest, decision: Decision) -> Digest {
        let word: &[u8] = match decision {
            Decision::Pending => b"pending",
            Decision::Approved => b"approved",
            Decision::Rejected => b"rejected",
        };
        self.sealer.keyed_digest(DigestPurpose::Integrity, &[b"decision", digest.as_bytes(), word])
    }

    /// What a device is found by that brings `token`.
    pub(crate) fn transaction_digest(&self, token: &Secret<String>) -> Digest {
        self.sealer.token_digest(TokenKind::PushTransaction.digest_domain(), token.expose().as_bytes())
    }

    /// What an enrolment is found by whose device brings `ticket`.
    pub(crate) fn ticket_digest(&self, ticket: &Secret<String>) -> Digest {
        self.sealer.token_digest("enrollment_ticket", ticket.expose().as_bytes())
    }

    fn transaction_token(&self, oob_code: &Secret<String>) -> Secret<String> {
        let parts = [b"push-transaction".as_slice(), oob_code.expose().as_bytes()];
        let digest = self.sealer.keyed_digest(DigestPurpose::Integrity, &parts);
        opaque::of_bytes(TokenKind::PushTransaction, digest.as_bytes())
    }

    /// 160 bits in the 32 characters that devices expect.
    fn ticket(&self, oob_code: &Secret<String>) -> Secret<String> {
        let parts = [b"enrollment-ticket".as_slice(), oob_code.expose().as_bytes()];
        let digest = self.sealer.keyed_digest(DigestPurpose::Integrity, &parts);
        Secret::new(opaque::base32(digest.as_bytes().get(..20).unwrap_or_default()))
    }

    fn nonce(&self) -> Result<Secret<String>, Error> {
        let mut nonce = Zeroizing::new([0; 32]);
        self.entropy.fill(nonce.as_mut())?;
        Ok(Secret::new(opaque::base32(nonce.as_ref())))
    }

    /// Charges one notification: against the rate, and against those that nobody answered. People who agree to anything to have
    /// peace are not asked until they prove something else.
    async fn charge_pushes(&self, account: &Account, origin: &Origin, now: Timestamp) -> Result<Paid, Error> {
        let user = &account.user;
        let limits = &self.registry.policy.sends;
        let bucket = |counter, limit: Limit| Bucket {
            key: self.push_bucket(&user.id, counter),
            capacity: limit.capacity,
            refill: limit.refill,
            locks: false,
        };
        let buckets = [bucket("push-sent", limits.push), bucket("push-unanswered", limits.push_unanswered)];
        let attempt = self.attempt_id()?;
        let Reservation::Denied { bucket, retry_after } = self.sessions.reserve(&buckets, attempt, now).await? else {
            return Ok(Paid { buckets, attempt });
        };
        tracing::warn!(
            channel = "push",
            unanswered = bucket == 1,
            "a device was not asked: its owner's budget is spent"
        );
        if bucket == 1 {
            let messages = self.notices(user, NoticeEvent::DeviceSuspended, None, origin.languages.as_deref(), now)?;
            self.once_a_day(&user.id, "push-suspended", messages, now, |messages| self.outbox.insert(messages)).await?;
        }
        let limit = buckets.get(bucket).map_or(0, |bucket| bucket.capacity);
        Err(Error::new(Reason::MessageLimitReached)
            .with("channel", Channel::Push.as_str())
            .with("messages", "notifications")
            .throttled(Throttle { limit, retry_after }))
    }

    /// Gives back what a notification was charged to that does not leave.
    pub(crate) async fn pay_back(&self, paid: Paid, now: Timestamp) {
        let refund = paid.buckets.into_iter().map(|bucket| (bucket, paid.attempt)).collect();
        self.sessions.settle(Settlement { refund, ..Settlement::default() }, now).await;
    }

    /// The count of notifications that nobody answered, to be forgotten after any success.
    pub(crate) fn answered(&self, user: &UserId) -> Option<BucketKey> {
        let enabled = self.registry.factors.contains(&crate::authenticator::FactorKind::Push);
        enabled.then(|| self.push_bucket(user, "push-unanswered"))
    }

    fn push_bucket(&self, user: &UserId, counter: &'static str) -> BucketKey {
        let parts = [b"pushes".as_slice(), user.as_str().as_bytes()];
        BucketKey { subject: self.sealer.keyed_digest(DigestPurpose::Throttle, &parts), counter: counter.into() }
    }
}

fn place(id: &str) -> Place<'_> {
    Place { record: record::APPROVAL, id, owner: "" }
}
