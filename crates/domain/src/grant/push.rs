//! The mfa-oob grant while a device is asked: the client comes again until its owner has answered.

use crate::{
    account::Account,
    app::{App, Origin},
    approval::Found,
    audit::Event,
    authentication::Authentication,
    authenticator::{Authenticator, FactorKind},
    challenge::{Asks, Decision},
    error::{Error, Reason, Throttle},
    factor::push::{CLASS, METHOD},
    grant::{Confirming, audit, oob::digest_of},
    opaque::{self, TokenKind},
    policy::Strength,
    port::{
        login_store::{Burn, ConsumedTransaction, LoginCommit, Spent},
        sealer::DigestPurpose,
        session_store::{Bucket, BucketKey, Reservation, Settlement},
    },
    registry::{Client, GrantType},
    secret::{Digest, Secret},
    time::Timestamp,
    usecase::issue_token::TokenSet,
};

/// A device that agreed.
struct Approved<'a> {
    found: Found,
    authenticator: &'a Authenticator,
}

impl App {
    /// Tells what became of a challenge, or turns it into tokens.
    pub(crate) async fn push_grant(
        &self,
        client: &Client,
        token: &Secret<String>,
        oob_code: &Secret<String>,
        origin: &Origin,
    ) -> Result<TokenSet, Error> {
        client.may_use(GrantType::MfaOob)?;
        let now = self.clock.now();
        if opaque::is_well_formed(TokenKind::Mfa, token.expose()) {
            self.complete_login_with_push(client, token, oob_code, origin, now).await
        } else {
            self.confirm_enrollment_with_push(client, token, oob_code, origin, now).await
        }
    }

    async fn complete_login_with_push(
        &self,
        client: &Client,
        token: &Secret<String>,
        oob_code: &Secret<String>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<TokenSet, Error> {
        let login = self.pending_login(token.expose(), client, origin, now).await?;
        let account = &login.account;
        let approved = match self.poll(client, account, token, oob_code, now).await {
            Ok(approved) => approved,
            Err(error) => {
                let row = audit(Event::ExchangeRefused, &account.user, client, None, client.address_of(origin), now);
                return Err(self.refused_exchange(error, Some(login.consumed()), row).await);
            }
        };
        let second = (Strength::of(FactorKind::Push), |first: Authentication| first.and(METHOD));
        let ending = self.ending(&login, client, second, origin, now).await?;
        let commit = approved.commit(true, Some(login.consumed()), account, client, origin, now);
        self.commit_login(ending.of(self.telling(commit, account, origin)?), CLASS).await.map_err(spent)?;
        self.settle_approved(Some(login.digest), &approved, now).await;
        self.answer_login(login, client, ending, now).await
    }

    /// An access token of the MFA API: the registration of the device confirms its authenticator, and nothing else.
    async fn confirm_enrollment_with_push(
        &self,
        client: &Client,
        token: &Secret<String>,
        oob_code: &Secret<String>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<TokenSet, Error> {
        let confirming = self.confirming(client, token, origin, now).await?;
        let Confirming { access, account } = &confirming;
        let approved = match self.poll(client, account, token, oob_code, now).await.and_then(Approved::of_enrolment) {
            Ok(approved) => approved,
            Err(error) => {
                let address = client.address_of(origin);
                let row = audit(Event::EnrollmentUnconfirmed, &account.user, client, None, address, now);
                return Err(self.refused_exchange(error, None, row).await);
            }
        };
        let only_if_unenrolled = !access.has_mfa() && !account.is_enrolled();
        let commit = approved.commit(only_if_unenrolled, None, account, client, origin, now);
        self.commit_login(self.telling(commit, account, origin)?, CLASS).await.map_err(spent)?;
        self.settle_approved(None, &approved, now).await;
        self.answer_confirmation(confirming, client, |first| first.and(METHOD), now).await
    }

    /// What became of the challenge, if it is this client's, this person's and of this token. It may be asked for at a limited rate.
    async fn poll<'a>(
        &self,
        client: &Client,
        account: &'a Account,
        token: &Secret<String>,
        oob_code: &Secret<String>,
        now: Timestamp,
    ) -> Result<Approved<'a>, Error> {
        let found = self.bound_approval(client, account, token, oob_code, now).await?;
        self.charge_poll(&found.approval.bearer, now).await?;
        match found.decision {
            Decision::Pending => return Err(Error::new(Reason::AuthorizationPending)),
            Decision::Rejected => return Err(Error::new(Reason::AuthorizationRejected)),
            Decision::Approved => {}
        }
        let gone = || Error::new(Reason::OobCodeInvalid).because("the authenticator is gone");
        let authenticator = account.authenticator(&found.approval.authenticator).ok_or_else(gone)?;
        if !self.registry.factors.contains(&authenticator.kind) {
            return Err(Error::new(Reason::OobCodeInvalid).because("the factor is off"));
        }
        if self.lacks_number(&found.approval.asks) {
            return Err(Error::new(Reason::OobCodeInvalid).because("approved without a number"));
        }
        let bearer = digest_of(&found.approval.bearer)?;
        let fits = match found.approval.asks {
            // Whatever the session store says, there is a device.
            Asks::Registration => {
                authenticator.is_pending(now)
                    && authenticator.bearer() == Some(bearer)
                    && authenticator.address.is_some()
            }
            Asks::Login { .. } => authenticator.is_active(),
        };
        if fits { Ok(Approved { found, authenticator }) } else { Err(gone()) }
    }

    /// The challenge behind `oob_code`, if it was opened for this client, person and token, and goes on.
    ///
    /// # Errors
    ///
    /// [`Reason::OobCodeInvalid`], [`Reason::OobCodeMismatched`], [`Reason::OobCodeExpired`]; the store failed.
    pub(crate) async fn bound_approval(
        &self,
        client: &Client,
        account: &Account,
        token: &Secret<String>,
        oob_code: &Secret<String>,
        now: Timestamp,
    ) -> Result<Found, Error> {
        let found = self.approval_of(oob_code).await?;
        let approval = &found.approval;
        if approval.user != account.user.id
            || approval.client != client.id
            || digest_of(&approval.bearer)? != self.bearer_digest(token)
        {
            return Err(Error::new(Reason::OobCodeMismatched));
        }
        if now >= approval.expires_at { Err(Error::new(Reason::OobCodeExpired)) } else { Ok(found) }
    }

    /// The budget is that of the login or the token, not of the challenge: another challenge gives no new one.
    pub(crate) async fn charge_poll(&self, bearer: &str, now: Timestamp) -> Result<(), Error> {
        let limit = self.registry.policy.poll_rate;
        let subject = self.sealer.keyed_digest(DigestPurpose::Throttle, &[b"poll", bearer.as_bytes()]);
        let key = BucketKey { subject, counter: "poll".into() };
        let bucket = Bucket { key, capacity: limit.capacity, refill: limit.refill, locks: false };
        match self.sessions.reserve(&[bucket], self.attempt_id()?, now).await? {
            Reservation::Granted => Ok(()),
            Reservation::Denied { retry_after, .. } => {
                Err(Error::new(Reason::PollingTooFast).throttled(Throttle { limit: limit.capacity, retry_after }))
            }
        }
    }

    /// Best effort, after the commit: forget the login, the challenge, and the notifications that nobody answered. The challenge of an
    /// enrolment stays until it expires: its device may not have heard yet that it registered, and asks again.
    async fn settle_approved(&self, login: Option<Digest>, approved: &Approved<'_>, now: Timestamp) {
        let settlement = Settlement {
            transaction: login,
            challenge: matches!(approved.found.approval.asks, Asks::Login { .. }).then_some(approved.found.digest),
            reset: self.answered(&approved.authenticator.user),
            ..Settlement::default()
        };
        self.sessions.settle(settlement, now).await;
    }
}

impl Approved<'_> {
    /// It, if a device registered.
    fn of_enrolment(self) -> Result<Self, Error> {
        match self.found.approval.asks {
            Asks::Registration => Ok(self),
            Asks::Login { .. } => Err(Error::new(Reason::OobCodeInvalid).because("not of an enrolment")),
        }
    }

    /// `only_if_unenrolled`: for pending authenticators.
    fn commit(
        &self,
        only_if_unenrolled: bool,
        transaction: Option<ConsumedTransaction>,
        account: &Account,
        client: &Client,
        origin: &Origin,
        now: Timestamp,
    ) -> LoginCommit {
        let authenticator = self.authenticator.id.clone();
        let spent = Spent::challenge(self.found.digest, self.found.approval.expires_at, transaction.as_ref());
        let (burn, event) = if self.authenticator.is_active() {
            (Burn::Use { authenticator, spent, telephone: None }, Event::PushLogin)
        } else {
            (Burn::Confirm { authenticator, spent, only_if_unenrolled }, Event::EnrollmentCompleted)
        };
        let id = Some(self.authenticator.id.clone());
        let audit = audit(event, &account.user, client, id, client.address_of(origin), now);
        LoginCommit::new(&account.user, transaction, burn, audit)
    }
}

/// No code was typed in, so none was wrong: the approval was fetched, or its authenticator is gone.
fn spent(error: Error) -> Error {
    match error.reason() {
        Reason::ProofRejected => Error::new(Reason::OobCodeInvalid).because("used before"),
        _ => error,
    }
}
