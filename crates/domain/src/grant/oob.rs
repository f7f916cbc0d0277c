//! The mfa-oob grant: a code that was sent completes a login, or confirms an enrolment.

use crate::{
    account::Account,
    app::{App, Origin},
    attempt::{Asker, AttemptPermit},
    audit::Event,
    authentication::Authentication,
    authenticator::{Authenticator, FAILURE_CEILING, FactorKind},
    challenge::Challenge,
    error::{Error, Reason},
    factor::{
        oob::{self, CLASS},
        push,
    },
    grant::{Confirming, audit},
    opaque::{self, TokenKind},
    policy::Strength,
    port::login_store::{Burn, ConsumedTransaction, Failure, FailureTarget, LoginCommit, Spent},
    port::session_store::Settlement,
    registry::{Client, GrantType},
    secret::{Digest, Secret},
    time::Timestamp,
    usecase::issue_token::TokenSet,
};

/// What is offered.
pub(crate) struct Offer<'a> {
    /// The pending login, or the token an enrolment was begun with.
    pub token: &'a Secret<String>,
    /// The challenge.
    pub oob_code: &'a Secret<String>,
    /// The code as it was typed.
    pub binding_code: &'a Secret<String>,
}

/// A code that was right.
struct Proven<'a> {
    authenticator: &'a Authenticator,
    challenge: Challenge,
    digest: Digest,
    permit: AttemptPermit,
}

impl App {
    /// Judges a code.
    pub(crate) async fn oob_grant(
        &self,
        client: &Client,
        offer: Offer<'_>,
        origin: &Origin,
    ) -> Result<TokenSet, Error> {
        client.may_use(GrantType::MfaOob)?;
        let now = self.clock.now();
        if opaque::is_well_formed(TokenKind::Mfa, offer.token.expose()) {
            self.complete_login_with_oob(client, &offer, origin, now).await
        } else {
            self.confirm_enrollment_with_oob(client, &offer, origin, now).await
        }
    }

    /// An `mfa_token`: the code of an active authenticator completes the login; while the person is not enrolled, the code of a
    /// pending one does, and activates it.
    async fn complete_login_with_oob(
        &self,
        client: &Client,
        offer: &Offer<'_>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<TokenSet, Error> {
        let login = self.pending_login(offer.token.expose(), client, origin, now).await?;
        let account = &login.account;
        let proven = self.judge_oob(client, account, offer, origin, Some(login.consumed()), now).await?;
        let burn = proven.burn(Some(&login.consumed()), true);
        let kind = proven.authenticator.kind;
        let second = (Strength::of(kind), |first| authentication(first, kind));
        let ending = self.ending(&login, client, second, origin, now).await?;
        let commit = proven.commit(burn, Some(login.consumed()), account, client, origin, now);
        self.commit_login(ending.of(self.telling(commit, account, origin)?), CLASS).await?;
        self.settle_proven(Some(login.digest), &proven, now).await;
        self.answer_login(login, client, ending, now).await
    }

    /// An access token of the MFA API: the code confirms a pending authenticator, and nothing else.
    async fn confirm_enrollment_with_oob(
        &self,
        client: &Client,
        offer: &Offer<'_>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<TokenSet, Error> {
        let confirming = self.confirming(client, offer.token, origin, now).await?;
        let Confirming { access, account } = &confirming;
        let proven = self.judge_oob(client, account, offer, origin, None, now).await?;
        if !proven.authenticator.is_pending(now) {
            let error = Error::new(Reason::OobCodeInvalid).because("not of an enrolment");
            let id = Some(proven.authenticator.id.clone());
            let row = audit(Event::EnrollmentUnconfirmed, &account.user, client, id, client.address_of(origin), now);
            return Err(self.refused_exchange(error, None, row).await);
        }
        let burn = proven.burn(None, !access.has_mfa() && !account.is_enrolled());
        let commit = proven.commit(burn, None, account, client, origin, now);
        self.commit_login(self.telling(commit, account, origin)?, CLASS).await?;
        self.settle_proven(None, &proven, now).await;
        let kind = proven.authenticator.kind;
        self.answer_confirmation(confirming, client, |first| authentication(first, kind), now).await
    }

    /// Passes over what cannot be a handle, reserves an attempt of the person, takes a try of the challenge, then compares. What a
    /// challenge is bound to is compared before its code.
    async fn judge_oob<'a>(
        &self,
        client: &Client,
        account: &'a Account,
        offer: &Offer<'_>,
        origin: &Origin,
        login: Option<ConsumedTransaction>,
        now: Timestamp,
    ) -> Result<Proven<'a>, Error> {
        if !opaque::is_well_formed(TokenKind::Oob, offer.oob_code.expose()) {
            return Err(Error::new(Reason::OobCodeInvalid).because("malformed"));
        }
        let user = &account.user;
        let usable = |a: &&Authenticator| a.kind.channel().is_some();
        let failures = account.authenticators.iter().filter(usable).map(|a| a.failures).max().unwrap_or(0);
        let asker = Asker::of(client, origin);
        let permit = match self.reserve_factor_attempt(&user.id, CLASS, failures, asker, now).await {
            Ok(permit) => permit,
            Err(error) => return Err(self.out_of_attempts(error, login.as_ref().map(|login| &login.digest)).await),
        };
        let bound = self.bound_challenge(client, account, offer, now).await;
        let (challenge, digest, tries, authenticator) = match bound {
            Ok(bound) => bound,
            Err(error) => {
                // No code was looked at.
                let refund = vec![permit.refund()];
                self.sessions.settle(Settlement { refund, ..Settlement::default() }, now).await;
                let event = if login.is_some() { Event::ExchangeRefused } else { Event::EnrollmentUnconfirmed };
                let row = audit(event, user, client, None, client.address_of(origin), now);
                return Err(self.refused_exchange(error, login, row).await);
            }
        };
        let typed = oob::parse(offer.binding_code.expose());
        let kept = digest_of(&challenge.code)?;
        if tries > 0 && oob::matches(typed.as_ref(), &digest, &kept, self.sealer.as_ref(), &permit) {
            return Ok(Proven { authenticator, challenge, digest, permit });
        }
        let target = if authenticator.implied.is_some() {
            FailureTarget::Address
        } else {
            FailureTarget::Authenticators(vec![authenticator.id.clone()])
        };
        let address = client.address_of(origin);
        let audit = audit(Event::OobFailed, user, client, Some(authenticator.id.clone()), address, now);
        let failure = Failure { login, ..Failure::new(target, FAILURE_CEILING, audit) };
        Err(self.failed(failure, account, origin, CLASS).await)
    }

    /// The challenge that `offer` names, if it is this client's, this person's and of this token, and of an authenticator that can be
    /// used now.
    async fn bound_challenge<'a>(
        &self,
        client: &Client,
        account: &'a Account,
        offer: &Offer<'_>,
        now: Timestamp,
    ) -> Result<(Challenge, Digest, u32, &'a Authenticator), Error> {
        let (challenge, digest, tries) = self.take_try(offer.oob_code).await?;
        let bearer = digest_of(&challenge.bearer)?;
        if challenge.user != account.user.id
            || challenge.client != client.id
            || bearer != self.bearer_digest(offer.token)
        {
            return Err(Error::new(Reason::OobCodeMismatched));
        }
        if now >= challenge.expires_at {
            return Err(Error::new(Reason::OobCodeExpired));
        }
        let gone = || Error::new(Reason::OobCodeInvalid).because("the authenticator is gone");
        let authenticator = account.authenticator(&challenge.authenticator).ok_or_else(gone)?;
        // The deployment may have stopped using it since the code was sent.
        if !self.registry.factors.contains(&authenticator.kind) {
            return Err(Error::new(Reason::OobCodeInvalid).because("the factor is off"));
        }
        let begun_here = authenticator.is_pending(now) && authenticator.bearer() == Some(bearer);
        if authenticator.is_active() || begun_here {
            Ok((challenge, digest, tries, authenticator))
        } else {
            Err(gone())
        }
    }

    /// Best effort, after the commit: forget the login and the challenge, give the attempt back, and the message too: its reader is
    /// real.
    async fn settle_proven(&self, login: Option<Digest>, proven: &Proven<'_>, now: Timestamp) {
        let mut refund = vec![proven.permit.refund()];
        if let Some(counter) = &proven.challenge.unproven {
            refund.push((self.unproven_bucket(counter), proven.permit.refund().1));
        }
        let settlement = Settlement {
            transaction: login,
            challenge: Some(proven.digest),
            refund,
            reset: self.answered(&proven.challenge.user),
        };
        self.sessions.settle(settlement, now).await;
    }
}

impl Proven<'_> {
    /// `only_if_unenrolled`: for pending authenticators.
    fn burn(&self, login: Option<&ConsumedTransaction>, only_if_unenrolled: bool) -> Burn {
        let authenticator = self.authenticator.id.clone();
        let spent = Spent::challenge(self.digest, self.challenge.expires_at, login);
        if self.authenticator.implied.is_some() {
            Burn::UseAddress
        } else if self.authenticator.is_active() {
            Burn::Use { authenticator, spent, telephone: self.authenticator.telephone().cloned() }
        } else {
            Burn::Confirm { authenticator, spent, only_if_unenrolled }
        }
    }

    fn commit(
        &self,
        burn: Burn,
        transaction: Option<ConsumedTransaction>,
        account: &Account,
        client: &Client,
        origin: &Origin,
        now: Timestamp,
    ) -> LoginCommit {
        let event = match burn {
            Burn::Confirm { .. } => Event::EnrollmentCompleted,
            _ => Event::OobLogin,
        };
        let id = Some(self.authenticator.id.clone());
        let audit = audit(event, &account.user, client, id, client.address_of(origin), now);
        LoginCommit::new(&account.user, transaction, burn, audit)
    }
}

/// How a person authenticated who returned a code of `kind`, by RFC 8176's names.
fn authentication(first: Authentication, kind: FactorKind) -> Authentication {
    match kind {
        FactorKind::Sms => first.and("sms"),
        FactorKind::Voice => first.and("tel"),
        FactorKind::Email => first.with("otp"),
        FactorKind::Otp => first.and("otp"),
        FactorKind::Push => first.and(push::METHOD),
    }
}

pub(crate) fn digest_of(hexadecimal: &str) -> Result<Digest, Error> {
    let mut bytes = [0; 32];
    match data_encoding::HEXLOWER.decode_mut(hexadecimal.as_bytes(), &mut bytes) {
        Ok(32) => Ok(Digest::new(bytes)),
        _ => Err(Error::new(Reason::Internal).because("a challenge holds no digest")),
    }
}
