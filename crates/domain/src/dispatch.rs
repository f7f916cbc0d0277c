//! Sending a code: whether it may be sent, and the challenge that waits for it.

mod budgets;

use std::time::Duration;

use data_encoding::HEXLOWER;

pub(crate) use self::budgets::Receipt;
use crate::{
    app::App,
    audit::AuditEvent,
    authenticator::{Authenticator, FactorKind},
    challenge::{Challenge, ChallengeRecord, TRIES},
    error::{Error, Reason},
    factor::oob,
    id::{ClientId, UserId},
    message::{Channel, Content, Message, OutboxRow, Purpose, day::DayCharged},
    opaque::{self, TokenKind},
    port::{
        PortError,
        sealer::{DigestPurpose, Place, record},
        sender::{Assessment, ChannelState},
    },
    secret::{Digest, Secret},
    time::Timestamp,
};

/// How long a message may wait, and none leave, before its channel counts as down.
const PATIENCE: Duration = Duration::from_secs(30);

/// That nobody could say whether something speaks against a number, in the audit trail.
pub(crate) const UNCHECKED: &str = "number not checked";

/// Why no message is sent, in the audit trail. `None`: a failure of ours.
pub(crate) const fn unsent(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::MessageLimitReached => Some("limit of messages"),
        Reason::DeliveryUnavailable => Some("no way to send"),
        Reason::NumberAtRisk => Some("number at risk"),
        _ => None,
    }
}

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
    /// What was paid for it, and what it is charged to when it is written.
    pub receipt: Receipt,
}

impl App {
    /// Makes a code and the challenge that waits for it. Asks whether the channel is up, looks at the counts of the day and charges every
    /// bucket; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`Reason::DeliveryUnavailable`], also of numbers whose kind or country is not sent to any more; [`Reason::NumberAtRisk`];
    /// [`Reason::MessageLimitReached`] with the wait; a store failed.
    pub(crate) async fn prepare(&self, sending: Sending<'_>, now: Timestamp) -> Result<Prepared, Error> {
        let authenticator = sending.authenticator;
        let channel = channel_of(authenticator.kind)?;
        self.require_channel(channel, now).await?;
        let budgets = self.budgets(&sending, channel, now)?;
        let unproven = budgets.unproven.clone();

        let expires_at = now.plus(self.registry.policy.oob_code_lifetime);
        let (oob_code, digest) = opaque::mint_handle(TokenKind::Oob, expires_at, &*self.entropy, &*self.sealer)?;
        let code = oob::generate(self.entropy.as_ref())?;
        let challenge = Challenge {
            user: authenticator.user.clone(),
            authenticator: authenticator.id.clone(),
            client: sending.client.clone(),
            bearer: HEXLOWER.encode(sending.bearer.as_bytes()),
            code: HEXLOWER.encode(oob::code_digest(&digest, &code, self.sealer.as_ref()).as_bytes()).into(),
            unproven: unproven.clone(),
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
        let slot = self.slot(&authenticator.user, authenticator);
        let record = ChallengeRecord { digest, slot, sealed, tries: TRIES, decision: None, expires_at };
        let mut receipt = self.charge_buckets(budgets, digest, now).await?;
        if channel != Channel::Email {
            // Charged already, and not given back where nothing is sent for it: to ask costs money too.
            match self.sender.assess(channel, sending.to, sending.purpose).await {
                Assessment::Clear => {}
                Assessment::Unknown => receipt.unchecked = true,
                Assessment::AtRisk => {
                    // But there is no code that somebody could have typed in.
                    self.take_back_unproven(&receipt, unproven.as_deref(), now).await;
                    return Err(Error::new(Reason::NumberAtRisk).with("channel", channel.as_str()));
                }
            }
        }
        // Before the row: a code must not arrive that nothing waits for.
        if let Err(error) = self.sessions.insert_challenge(record).await {
            // Whether or not it is kept: nothing will be sent.
            self.take_back(receipt, now).await;
            return Err(error.into());
        }
        Ok(Prepared { oob_code, row, receipt })
    }

    /// Has a code leave, with its row of the audit trail, unless its day is over. The answer is the handle of the challenge. If it does not
    /// leave, what was charged is given back, unless it may be in the outbox after all.
    ///
    /// # Errors
    ///
    /// [`Reason::MessageLimitReached`] with the wait; a store failed.
    pub(crate) async fn send(
        &self,
        prepared: Prepared,
        audit: AuditEvent,
        now: Timestamp,
    ) -> Result<Secret<String>, Error> {
        let Prepared { oob_code, row, receipt } = prepared;
        // Not from the moment the call began: the lease would end too soon.
        let claim = self.bell.claim(row.channel, self.clock.now());
        let row = match &claim {
            Some(claim) => row.claimed(claim.lease_until()),
            None => row,
        };
        match self.outbox.insert_charged(row.clone(), receipt.charges.clone(), audit).await {
            Ok(DayCharged::All) => {
                receipt.note_spent();
                match claim {
                    Some(claim) => claim.hand_over(row),
                    None => self.bell.ring(),
                }
                Ok(oob_code)
            }
            Ok(DayCharged::Reached { charge }) => {
                let refusal = receipt.day_is_over(charge, now);
                self.take_back(receipt, now).await;
                Err(refusal)
            }
            Err(error) => {
                self.take_back_unwritten(Some(receipt), &error, now).await;
                Err(error.into())
            }
        }
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

    /// Names the authenticator to the session store.
    pub(crate) fn slot(&self, user: &UserId, authenticator: &Authenticator) -> Digest {
        let parts = [b"challenge".as_slice(), user.as_str().as_bytes(), authenticator.id.as_str().as_bytes()];
        self.sealer.keyed_digest(DigestPurpose::Throttle, &parts)
    }
}

fn channel_of(kind: FactorKind) -> Result<Channel, Error> {
    kind.channel().ok_or_else(|| Error::new(Reason::Internal).because("nothing is sent to this kind of authenticator"))
}

fn place(id: &str) -> Place<'_> {
    Place { record: record::CHALLENGE, id, owner: "" }
}
