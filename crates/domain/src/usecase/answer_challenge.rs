//! A device's answer.

use serde::Deserialize;
use serde_json::Value;

use crate::{
    account::Account,
    app::{App, Origin},
    approval::Found,
    attempt::Asker,
    audit::{AuditEvent, Event},
    authenticator::{Authenticator, FAILURE_CEILING},
    challenge::{Approval, Asks, Decision},
    error::{Error, Reason},
    factor::{
        oob,
        push::{self, CLASS, Device},
    },
    grant::{oob::digest_of, proof_rejected},
    message::NoticeEvent,
    numeric_date::numeric_date,
    opaque::{self, TokenKind},
    port::{
        login_store::{Failure, FailureTarget},
        session_store::Settlement,
    },
    secret::Secret,
    time::Timestamp,
};

/// An answer.
#[derive(Clone, Debug)]
pub struct Command {
    /// What the notification brought: it names the login.
    pub transaction_token: Secret<String>,
    /// A JWT that the device signed.
    pub response: Secret<String>,
}

/// How far a device's clock may be from ours, in seconds. A replay is found by the nonce, not by the time.
const SKEW: i64 = 300;

/// The longest an answer may be good for, in seconds; Guardian's are good for 30.
const LONGEST: i64 = 600;

/// What the device signs; `binding_code` is ours.
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: String,
    #[serde(deserialize_with = "numeric_date")]
    iat: i64,
    #[serde(deserialize_with = "numeric_date")]
    exp: i64,
    auth0_guardian_method: String,
    auth0_guardian_accepted: bool,
    #[serde(default)]
    binding_code: Option<Value>,
}

impl App {
    /// Judges a device's answer. The same answer again changes nothing and is no error.
    ///
    /// # Errors
    ///
    /// Any reason `AnswerChallenge` lists in the protobuf contract.
    pub async fn answer_challenge(&self, command: Command) -> Result<(), Error> {
        let now = self.clock.now();
        let unknown = |why| Error::new(Reason::PushTransactionUnknown).because(why);
        if !opaque::is_well_formed(TokenKind::PushTransaction, command.transaction_token.expose()) {
            return Err(unknown("malformed"));
        }
        let digest = self.transaction_digest(&command.transaction_token);
        let found = self.find_approval(digest).await?.ok_or_else(|| unknown("unknown, superseded or used"))?;
        if now >= found.approval.expires_at {
            return Err(unknown("expired"));
        }
        let account = self.account(&found.approval.user).await?.ok_or_else(|| unknown("user is gone"))?;
        let authenticator = account
            .authenticator(&found.approval.authenticator)
            .filter(|authenticator| authenticator.is_active() && !account.user.blocked)
            .ok_or_else(|| unknown("the authenticator is gone"))?;
        let device = push::open(authenticator, self.sealer.as_ref())?.ok_or_else(|| unknown("no device"))?;
        let claims = self.claims_of(&device, &found.approval, &command.response, now)?;
        let wanted = if claims.auth0_guardian_accepted { Decision::Approved } else { Decision::Rejected };
        if wanted == Decision::Approved && self.lacks_number(&found.approval.asks) {
            return Err(unknown("no number is shown"));
        }
        if found.decision == Decision::Pending && wanted == Decision::Approved {
            self.judge_number(&found, &account, authenticator, &claims, now).await?;
        }
        if found.decision == Decision::Pending {
            self.record(&found.approval, &account, wanted, now).await?;
        }
        if self.decide(&digest, wanted).await? == Some(wanted) { Ok(()) } else { Err(unknown("decided otherwise")) }
    }

    /// Writes down what the device decided, before it is decided: what nobody knows of does not count. A refusal means that
    /// somebody else has the password, so its owner is told, once a day.
    async fn record(
        &self,
        approval: &Approval,
        account: &Account,
        decision: Decision,
        now: Timestamp,
    ) -> Result<(), Error> {
        let user = &account.user;
        let refused = decision == Decision::Rejected;
        let messages =
            if refused { self.notices(user, NoticeEvent::LoginRefused, None, None, now)? } else { Vec::new() };
        let event = if refused { Event::DeviceRefused } else { Event::DeviceApproved };
        let audit = AuditEvent::about(event, &user.id, now).by(&approval.client).on(&approval.authenticator);
        self.once_a_day(&user.id, "refusal-told", messages, now, |messages| self.logins.record(audit, messages)).await
    }

    /// The claims of a response that the device signed for this login, here and now.
    fn claims_of(
        &self,
        device: &Device,
        approval: &Approval,
        response: &Secret<String>,
        now: Timestamp,
    ) -> Result<Claims, Error> {
        let refused = |why| Error::new(Reason::DeviceAnswerRejected).because(why);
        let claims = self.devices.verify(&device.key, response.expose()).ok_or_else(|| refused("signature"))?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|_| refused("claims"))?;
        let Asks::Login { nonce, .. } = &approval.asks else { return Err(refused("not a login")) };
        let second = now.as_secs();
        let checks = [
            (claims.iss == device.identifier, "iss"),
            (claims.sub == **nonce, "sub"),
            (claims.aud == format!("{}/api/resolve-transaction", self.device_base_url()), "aud"),
            (claims.auth0_guardian_method == "push", "method"),
            ((second - SKEW..=second + SKEW).contains(&claims.iat), "iat"),
            (
                claims.exp > second - SKEW
                    && claims.exp > claims.iat
                    && claims.exp <= claims.iat.saturating_add(LONGEST),
                "exp",
            ),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            None => Ok(claims),
            Some((_, claim)) => Err(refused(claim)),
        }
    }

    /// Compares the number, if the login shows one. An attempt of the person is reserved and a try of the challenge taken first; the
    /// last wrong one refuses. Without a try nothing is compared and nothing counts.
    async fn judge_number(
        &self,
        found: &Found,
        account: &Account,
        authenticator: &Authenticator,
        claims: &Claims,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Asks::Login { number: Some(kept), .. } = &found.approval.asks else { return Ok(()) };
        let kept = digest_of(kept)?;
        let user = &account.user;
        let asker = Asker { client: &found.approval.client, address: None };
        let permit = self.reserve_factor_attempt(&user.id, CLASS, authenticator.failures, asker, now).await?;
        let before = self.sessions.take_try(&found.digest).await?;
        let tries = before.as_ref().map_or(0, |record| record.tries);
        let typed = claims.binding_code.as_ref().and_then(Value::as_str).and_then(oob::parse);
        let is_right = tries > 0 && oob::matches(typed.as_ref(), &found.digest, &kept, self.sealer.as_ref(), &permit);
        if is_right || tries == 0 {
            let refund = vec![permit.refund()];
            self.sessions.settle(Settlement { refund, ..Settlement::default() }, now).await;
        }
        if is_right {
            return Ok(());
        }
        if before.is_none() {
            return Err(Error::new(Reason::PushTransactionUnknown).because("superseded or used"));
        }
        if tries == 0 {
            // The last wrong number is about to refuse, or the right one was sent several times at once.
            return Err(Error::new(Reason::Overloaded).because("no try is left, and nothing is decided"));
        }
        let audit =
            AuditEvent::about(Event::PushFailed, &user.id, now).by(&found.approval.client).on(&authenticator.id);
        let target = FailureTarget::Authenticators(vec![authenticator.id.clone()]);
        let failure = Failure::new(target, FAILURE_CEILING, audit);
        // First, as with any answer: what nobody knows of is not decided. Where it cannot be written, the question is without tries until it is
        // over.
        self.logins.count_failure(&user.id, self.told(failure, account, &Origin::default())?).await?;
        if tries == 1 {
            self.decide(&found.digest, Decision::Rejected).await?;
        }
        Err(proof_rejected(CLASS))
    }
}
