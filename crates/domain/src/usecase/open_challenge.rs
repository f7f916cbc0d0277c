//! Choose the authenticator a pending login is to be completed with.

use std::time::Duration;

use crate::{
    app::{App, ClientCredentials, Origin},
    approval::Asking,
    audit::{AuditEvent, Event},
    authenticator::FactorKind,
    client::Challenger,
    dispatch::{Sending, UNCHECKED, unsent},
    error::{Error, Reason},
    factor::oob,
    grant::audit,
    id::AuthenticatorId,
    message::{Channel, Purpose},
    registry::GrantType,
    secret::Secret,
    time::Timestamp,
};

/// The challenge type of everything that has a channel.
const OOB: &str = FactorKind::Sms.challenge_type();

/// A wish for a challenge.
#[derive(Clone, Debug)]
pub struct Command {
    /// The calling client.
    pub client: ClientCredentials,
    /// The pending login.
    pub mfa_token: Secret<String>,
    /// Challenge types the caller can handle, lower-cased; empty: all.
    pub challenge_types: Vec<String>,
    /// The authenticator to challenge, if one was named.
    pub authenticator: Option<AuthenticatorId>,
    /// The out-of-band channel it is narrowed to, if one was named. It says nothing to callers that cannot handle out-of-band ones.
    pub oob_channel: Option<Channel>,
    /// Where the person is.
    pub origin: Origin,
}

/// What the person has to prove.
#[derive(Clone, Debug)]
pub struct Challenge {
    /// The authenticator that was chosen.
    pub authenticator: AuthenticatorId,
    /// What it asks for.
    pub proof: RequiredProof,
}

/// What the person has to come back with.
#[derive(Clone, Debug)]
pub enum RequiredProof {
    /// A code of the authenticator app.
    Otp,
    /// The code that was sent.
    Oob {
        /// The handle it comes back with.
        oob_code: Secret<String>,
        /// The way it took.
        channel: Channel,
        /// How long it is good for.
        lifetime: Duration,
    },
    /// Nothing: a device is asked.
    Push {
        /// The handle of the challenge.
        oob_code: Secret<String>,
        /// The number to show: the device asks its owner for it.
        number: Option<Secret<String>>,
        /// How long the device has.
        lifetime: Duration,
        /// How long to wait between two looks.
        interval: Duration,
    },
}

impl App {
    /// Chooses an authenticator.
    ///
    /// # Errors
    ///
    /// Any reason `CreateChallenge` lists in the protobuf contract.
    pub async fn open_challenge(&self, mut command: Command) -> Result<Challenge, Error> {
        let Challenger { client, proven } = self.authenticate_challenger(&command.client, &command.origin).await?;
        // What a client says of where the person is needs its proof.
        if !proven {
            command.origin.forwarded_for = None;
        }
        if !client.grants.iter().any(|grant| grant.is_mfa()) {
            let refused = Error::new(Reason::GrantNotAllowed).with("grant_type", GrantType::MfaOtp.as_str());
            return self.unless_refused(Err(refused), client, &command.origin).await;
        }
        let now = self.clock.now();
        let login = self.pending_login(command.mfa_token.expose(), client, &command.origin, now).await?;
        // A code that the client cannot bring back would be sent for nothing.
        let may_return_codes = client.may_use(GrantType::MfaOob).is_ok();
        let handles =
            |kind: &str| command.challenge_types.is_empty() || command.challenge_types.iter().any(|t| t == kind);
        let wanted = command.oob_channel.filter(|_| handles(OOB));
        let accepts = |kind: FactorKind| {
            handles(kind.challenge_type())
                && login.transaction.allowed.has(kind)
                && (wanted.is_none() || kind.channel() == wanted)
                && (kind.channel().is_none() || (self.registry.factors.contains(&kind) && may_return_codes))
        };
        let unsupported = || {
            let named = match wanted {
                Some(_) => OOB.to_owned(),
                None if command.challenge_types.is_empty() => "otp, oob".to_owned(),
                None => command.challenge_types.join(", "),
            };
            Error::new(Reason::ChallengeTypeUnsupported).with("challenge_types", named)
        };
        let mut active = Vec::new();
        for authenticator in login.account.active() {
            // A device that may not be asked is as good as none.
            if authenticator.kind != FactorKind::Push || self.device_to_ask(authenticator)?.is_some() {
                active.push(authenticator);
            }
        }
        let chosen = match &command.authenticator {
            Some(id) => {
                let named = active.into_iter().find(|authenticator| authenticator.id == *id);
                let named = named.ok_or_else(|| Error::new(Reason::AuthenticatorNotFound))?;
                if accepts(named.kind) { named } else { return Err(unsupported()) }
            }
            None if active.is_empty() && !login.account.is_enrolled() => return Err(Error::new(Reason::NotEnrolled)),
            None => active.into_iter().find(|authenticator| accepts(authenticator.kind)).ok_or_else(unsupported)?,
        };
        let opened = |channel: Channel| {
            let address = client.address_of(&command.origin);
            let row = audit(Event::ChallengeOpened, &login.account.user, client, Some(chosen.id.clone()), address, now);
            row.because(channel.as_str())
        };
        let proof = match chosen.kind.channel() {
            None => RequiredProof::Otp,
            Some(Channel::Push) => {
                let device = self.device_to_ask(chosen)?.ok_or_else(unsupported)?;
                let bearer = self.bearer_digest(&command.mfa_token);
                let asking = Asking { authenticator: chosen, client, bearer };
                let asked = match self.ask_device(asking, &device, &login.account, &command.origin, now).await {
                    Ok(asked) => asked,
                    Err(error) => return Err(self.unopened(error, opened(Channel::Push)).await),
                };
                if let Err(error) = self.logins.record(opened(Channel::Push), vec![asked.row]).await {
                    // A device that may be asked stays paid for.
                    if error.did_not_happen() {
                        self.pay_back(asked.paid, now).await;
                    }
                    return Err(error.into());
                }
                self.bell.ring();
                RequiredProof::Push {
                    oob_code: asked.oob_code,
                    number: asked.number,
                    lifetime: self.registry.policy.oob_code_lifetime,
                    interval: self.registry.policy.poll_rate.refill,
                }
            }
            Some(channel) => {
                let to = oob::destination(chosen, self.sealer.as_ref())?;
                let sending = Sending {
                    authenticator: chosen,
                    to: &to,
                    purpose: Purpose::Verify,
                    client: &client.id,
                    bearer: self.bearer_digest(&command.mfa_token),
                    languages: command.origin.languages.clone(),
                };
                let oob_code = self.send_or_tell(sending, channel, opened(channel), now).await?;
                let lifetime = self.registry.policy.oob_code_lifetime;
                RequiredProof::Oob { oob_code, channel, lifetime }
            }
        };
        Ok(Challenge { authenticator: chosen.id.clone(), proof })
    }

    /// Has a code leave with the row `opened`, or leaves the row that says why it does not.
    async fn send_or_tell(
        &self,
        sending: Sending<'_>,
        channel: Channel,
        opened: AuditEvent,
        now: Timestamp,
    ) -> Result<Secret<String>, Error> {
        let prepared = match self.prepare(sending, now).await {
            Ok(prepared) => prepared,
            Err(error) => return Err(self.unopened(error, opened).await),
        };
        let row = opened.clone();
        let unchecked = prepared.receipt.unchecked;
        let row = if unchecked { row.because(format!("{}; {UNCHECKED}", channel.as_str())) } else { row };
        match self.send(prepared, row, now).await {
            Ok(oob_code) => Ok(oob_code),
            Err(error) => Err(self.unopened(error, opened).await),
        }
    }

    /// The refusal to send, with the row it leaves instead of `opened`.
    async fn unopened(&self, error: Error, opened: AuditEvent) -> Error {
        let Some(why) = unsent(error.reason()) else { return error };
        let row = AuditEvent { event: Event::ChallengeRefused, ..opened.because(why) };
        self.note_cheap(row).await.err().unwrap_or(error)
    }
}
