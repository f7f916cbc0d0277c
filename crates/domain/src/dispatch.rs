//! Sending a code: whether it may be sent, and the challenge that waits for it.

use std::{sync::Arc, time::Duration};

use data_encoding::HEXLOWER;

use crate::{
    app::App,
    authenticator::{Authenticator, FactorKind},
    challenge::{Challenge, ChallengeRecord, TRIES},
    error::{Error, Reason, Throttle},
    factor::oob,
    id::{ClientId, UserId},
    message::{Channel, Content, Message, OutboxRow, Purpose},
    opaque::{self, TokenKind},
    phone::Phone,
    port::{
        PortError,
        sealer::{DigestPurpose, Place, record},
        sender::ChannelState,
        session_store::{Bucket, BucketKey, Reservation},
    },
    registry::Limit,
    secret::{Digest, Secret},
    time::Timestamp,
};

/// How long a message may wait, and none leave, before its channel counts as down.
const PATIENCE: Duration = Duration::from_secs(30);

/// The target of lines about messages that cost money, for filters: `countersign::spend=info`.
const SPEND_TARGET: &str = "countersign::spend";

/// A code that is to be sent.
pub(crate) struct Sending<'a> {
    /// To which authenticator.
    pub authenticator: &'a Authenticator,
    /// Where that is.
    pub to: &'a Secret<String>,
    /// What for.
    pub purpose: Purpose,
    /// Which client asked.
    pub client: &'a ClientId,
    /// Digest of the bearer the code must come back with.
    pub bearer: Digest,
    /// The languages its reader asked for.
    pub languages: Option<String>,
}

/// A code that is on its way as soon as its row is in the outbox.
pub(crate) struct Prepared {
    /// The handle of the challenge.
    pub oob_code: Secret<String>,
    /// The row.
    pub row: OutboxRow,
}

impl App {
    /// Makes a code and the challenge that waits for it. Charges every budget, and asks whether the channel is up; nothing is sent
    /// yet.
    ///
    /// # Errors
    ///
    /// [`Reason::DeliveryUnavailable`], also of numbers whose kind or country is not sent to any more; [`Reason::MessageLimitReached`] with the wait; a store failed.
    pub(crate) async fn prepare(&self, sending: Sending<'_>, now: Timestamp) -> Result<Prepared, Error> {
        let authenticator = sending.authenticator;
        let channel = channel_of(authenticator.kind)?;
        self.require_channel(channel, now).await?;
        let unproven = self.charge_budgets(&sending, channel, now).await?;

        let expires_at = now.plus(self.registry.policy.oob_code_lifetime);
        let (oob_code, digest) = opaque::mint_handle(TokenKind::Oob, expires_at, &*self.entropy, &*self.sealer)?;
        let code = oob::generate(self.entropy.as_ref())?;
        let challenge = Challenge {
            user: authenticator.user.clone(),
            authenticator: authenticator.id.clone(),
            client: sending.client.clone(),
            bearer: HEXLOWER.encode(sending.bearer.as_bytes()),
            code: HEXLOWER.encode(oob::code_digest(&digest, &code, self.sealer.as_ref()).as_bytes()).into(),
            unproven,
            expires_at,
        };
        let plain = serde_json::to_vec(&challenge).map_err(|error| PortError::Corrupt(Box::new(error)))?;
        let sealed = self.sealer.seal(place(&HEXLOWER.encode(digest.as_bytes())), &plain)?;
        let message = Message {
            id: Message::new_id(self.entropy.as_ref())?,
            channel,
            to: sending.to.clone(),
            content: Content::Code { purpose: sending.purpose, code },
            languages: sending.languages,
            created_at: now,
            expires_at,
        };
        let row = message.seal(&authenticator.user, self.sealer.as_ref())?;
        // Before the row: a code must not arrive that nothing waits for.
        let slot = self.slot(&authenticator.user, authenticator);
        self.sessions
            .insert_challenge(ChallengeRecord { digest, slot, sealed, tries: TRIES, decision: None, expires_at })
            .await?;
        Ok(Prepared { oob_code, row })
    }

    /// Takes one try at the challenge that `oob_code` names. The answer is the challenge, its key and the tries there were.
    ///
    /// # Errors
    ///
    /// [`Reason::OobCodeInvalid`]: none of ours, superseded, used or swept; a store failed.
    pub(crate) async fn take_try(&self, oob_code: &Secret<String>) -> Result<(Challenge, Digest, u32), Error> {
        let invalid = |why| Error::new(Reason::OobCodeInvalid).because(why);
        let digest = opaque::handle_key(TokenKind::Oob, oob_code.expose(), self.sealer.as_ref());
        let digest = digest.ok_or_else(|| invalid("malformed"))?;
        let record = self.sessions.take_try(&digest).await?;
        // Under a data key that was dropped: another one is sent.
        let record = record.filter(|record| !self.sealer.has_forgotten(&record.sealed));
        let record = record.ok_or_else(|| invalid("unknown, superseded or used"))?;
        let plain = self.sealer.open(place(&HEXLOWER.encode(digest.as_bytes())), &record.sealed)?;
        let challenge = serde_json::from_slice(plain.expose()).map_err(|error| PortError::Corrupt(Box::new(error)))?;
        Ok((challenge, digest, record.tries))
    }

    /// The bucket of codes that nobody typed in, by the name a challenge has of it.
    pub(crate) fn unproven_bucket(&self, counter: &str) -> Bucket {
        self.send_bucket(counter.into(), self.registry.policy.sends.unproven)
    }

    /// Refuses if messages of `channel` cannot leave: who asks must choose another factor, nobody chooses it for them.
    pub(crate) async fn require_channel(&self, channel: Channel, now: Timestamp) -> Result<(), Error> {
        let down = |why| Err(Error::new(Reason::DeliveryUnavailable).with("channel", channel.as_str()).because(why));
        match self.sender.state(channel) {
            ChannelState::Up => {}
            ChannelState::Absent => return down("no provider"),
            ChannelState::Down => return down("every provider has failed"),
        }
        match self.outbox.oldest(channel, now).await? {
            // If others have left since, what waits has a fault of its own.
            Some(oldest) if now.since(oldest) > PATIENCE && self.sender.last_sent(channel) < Some(oldest) => {
                down("messages are waiting")
            }
            _ => Ok(()),
        }
    }

    /// Charges everything a message is counted against, or nothing. The answer names the bucket that is paid back when the code is
    /// typed in.
    async fn charge_budgets(
        &self,
        sending: &Sending<'_>,
        channel: Channel,
        now: Timestamp,
    ) -> Result<Option<String>, Error> {
        let (user, to) = (&sending.authenticator.user, sending.to);
        let limits = &self.registry.policy.sends;
        // Text messages and calls share everything: each can be had instead of the other.
        let class = if channel == Channel::Email { "email" } else { "phone" };
        let counter = |what: &str, value: &str| {
            let digest = self.sealer.keyed_digest(DigestPurpose::Throttle, &[what.as_bytes(), value.as_bytes()]);
            format!("{class}-{what}:{}", HEXLOWER.encode(digest.as_bytes().get(..16).unwrap_or_default()))
        };
        // Anybody may wish to enrol a number; what that costs must not be taken from who logs in with it.
        let destination = match sending.purpose {
            Purpose::Enroll => "destination-enroll",
            Purpose::Verify => "destination-verify",
        };
        let mut buckets = vec![
            self.send_bucket(counter("person", user.as_str()), limits.of_person(channel)),
            self.send_bucket(counter(destination, &oob::one_destination(to.expose())), limits.destination),
        ];
        let (mut unproven, mut country) = (None, None);
        if channel != Channel::Email {
            let unsent = |why| Error::new(Reason::DeliveryUnavailable).with("channel", channel.as_str()).because(why);
            // Enrolled when numbers of its kind, or of its country, were still sent to.
            let phone = Phone::parse(to.expose()).ok_or_else(|| unsent("the number's kind is not sent to any more"))?;
            if !self.registry.countries.contains(phone.country()) {
                return Err(unsent("the number's country is not listed any more"));
            }
            buckets.extend([
                self.send_bucket(counter("prefix", phone.prefix()), limits.prefix),
                self.send_bucket(format!("phone-country:{}", phone.country()), limits.country),
                self.send_bucket("phone-deployment".into(), limits.deployment),
            ]);
            // A number that logs in was typed in from once: what others do next door is not held against it.
            if sending.purpose == Purpose::Enroll {
                let by_prefix = counter("unproven", phone.prefix());
                buckets.push(self.send_bucket(by_prefix.clone(), limits.unproven));
                unproven = Some(by_prefix);
            }
            country = Some(phone.country().to_owned());
        }
        match self.sessions.reserve(&buckets, self.attempt_id()?, now).await? {
            Reservation::Granted => {
                if let Some(country) = country {
                    // What costs money, for whoever adds it up.
                    tracing::info!(target: SPEND_TARGET, channel = channel.as_str(), country, "a message is paid for");
                }
                Ok(unproven)
            }
            Reservation::Denied { bucket, retry_after } => {
                let (limit, which) = buckets
                    .get(bucket)
                    .map_or((0, "unknown"), |bucket| (bucket.capacity, budget_of(&bucket.key.counter)));
                tracing::warn!(
                    channel = channel.as_str(),
                    budget = which,
                    "a message was not sent: its budget is spent"
                );
                let messages = match channel {
                    Channel::Sms => "SMS",
                    Channel::Voice => "calls",
                    Channel::Email => "emails",
                    Channel::Push => "notifications",
                };
                Err(Error::new(Reason::MessageLimitReached)
                    .with("channel", channel.as_str())
                    .with("messages", messages)
                    .because(which)
                    .throttled(Throttle { limit, retry_after }))
            }
        }
    }

    pub(crate) fn send_bucket(&self, counter: String, limit: Limit) -> Bucket {
        Bucket {
            key: BucketKey {
                // One subject for all, so that one step charges all or none.
                subject: self.sealer.keyed_digest(DigestPurpose::Throttle, &[b"messages"]),
                counter: Arc::from(counter),
            },
            capacity: limit.capacity,
            refill: limit.refill,
            locks: false,
        }
    }

    /// Names the authenticator to the session store.
    pub(crate) fn slot(&self, user: &UserId, authenticator: &Authenticator) -> Digest {
        let parts = [b"challenge".as_slice(), user.as_str().as_bytes(), authenticator.id.as_str().as_bytes()];
        self.sealer.keyed_digest(DigestPurpose::Throttle, &parts)
    }
}

/// The budget that `counter` belongs to, as the log names it.
fn budget_of(counter: &str) -> &'static str {
    const NAMES: [&str; 7] =
        ["person", "destination-enroll", "destination-verify", "prefix", "unproven", "country", "deployment"];
    NAMES.into_iter().find(|name| counter.contains(name)).unwrap_or("unknown")
}

fn channel_of(kind: FactorKind) -> Result<Channel, Error> {
    kind.channel().ok_or_else(|| Error::new(Reason::Internal).because("nothing is sent to this kind of authenticator"))
}

fn place(id: &str) -> Place<'_> {
    Place { record: record::CHALLENGE, id, owner: "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_of_one_budget() {
        for (counter, budget) in [
            ("phone-person:00ff", "person"),
            ("email-destination-enroll:00ff", "destination-enroll"),
            ("phone-destination-verify:00ff", "destination-verify"),
            ("phone-prefix:00ff", "prefix"),
            ("phone-unproven:00ff", "unproven"),
            ("phone-country:DE", "country"),
            ("phone-deployment", "deployment"),
            ("otp", "unknown"),
        ] {
            assert_eq!(budget_of(counter), budget, "{counter}");
        }
    }
}
