//! The mfa-otp grant: a code of an authenticator app completes a login, or confirms an enrolment.

use crate::{
    account::Account,
    app::{App, Origin},
    attempt::{Asker, AttemptPermit},
    audit::Event,
    authenticator::{Authenticator, FAILURE_CEILING, FactorKind},
    error::{Error, Reason},
    factor::{
        drift::{learned, window_of},
        otp::{CLASS, OtpCode, OtpSecret, step_at},
    },
    grant::{Confirming, audit},
    id::UserId,
    opaque::{self, TokenKind},
    policy::Strength,
    port::{
        login_store::{Burn, ConsumedTransaction, Failure, FailureTarget, LoginCommit, Spent},
        session_store::Settlement,
    },
    registry::{Client, GrantType},
    secret::{Digest, Secret},
    time::Timestamp,
    usecase::issue_token::TokenSet,
};

/// What is to be proven, and against what.
struct Proof<'a> {
    client: &'a Client,
    account: &'a Account,
    candidates: Vec<&'a Authenticator>,
    origin: &'a Origin,
    now: Timestamp,
}

impl App {
    /// Judges a code.
    pub(crate) async fn otp_grant(
        &self,
        client: &Client,
        token: &Secret<String>,
        code: &Secret<String>,
        origin: &Origin,
    ) -> Result<TokenSet, Error> {
        client.may_use(GrantType::MfaOtp)?;
        let now = self.clock.now();
        if opaque::is_well_formed(TokenKind::Mfa, token.expose()) {
            self.complete_login_with_otp(client, token, code, origin, now).await
        } else {
            self.confirm_enrollment_with_otp(client, token, code, origin, now).await
        }
    }

    /// An `mfa_token`: the code of an active app completes the login; while the person is not enrolled, the code of a pending
    /// app does, and activates it.
    async fn complete_login_with_otp(
        &self,
        client: &Client,
        token: &Secret<String>,
        code: &Secret<String>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<TokenSet, Error> {
        let login = self.pending_login(token.expose(), client, origin, now).await?;
        let account = &login.account;
        let enrolled = account.is_enrolled();
        let candidates = if !login.transaction.allowed.has(FactorKind::Otp) {
            // What may not complete this login is not there: the code is wrong, and counts.
            Vec::new()
        } else if enrolled {
            account.active_of(FactorKind::Otp).collect()
        } else {
            self.pending(account, token, now)
        };
        let proof = Proof { client, account, candidates, origin, now };
        let (permit, found, step) = self.judge_otp(&proof, code, Some(login.consumed())).await?;
        let authenticator = found.id.clone();
        let burn = if enrolled {
            Burn::Use { authenticator, spent: Spent::Step(step), telephone: None }
        } else {
            Burn::Confirm { authenticator, spent: Spent::Step(step), only_if_unenrolled: true }
        };
        let ending =
            self.ending(&login, client, (Strength::of(FactorKind::Otp), |first| first.and("otp")), origin, now).await?;
        let commit = self.learning(proof.commit(burn, Some(login.consumed()), found), found, step);
        let commit = self.telling(commit, account, origin)?;
        self.commit_login(ending.of(commit), CLASS).await?;
        self.settle_success(Some(login.digest), &account.user.id, &permit, now).await;
        self.answer_login(login, client, ending, now).await
    }

    /// An access token of the MFA API: the code confirms a pending app, and nothing else.
    async fn confirm_enrollment_with_otp(
        &self,
        client: &Client,
        token: &Secret<String>,
        code: &Secret<String>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<TokenSet, Error> {
        let confirming = self.confirming(client, token, origin, now).await?;
        let Confirming { access, account } = &confirming;
        let proof = Proof { client, account, candidates: self.pending(account, token, now), origin, now };
        let (permit, found, step) = self.judge_otp(&proof, code, None).await?;
        let burn = Burn::Confirm {
            authenticator: found.id.clone(),
            spent: Spent::Step(step),
            only_if_unenrolled: !access.has_mfa() && !account.is_enrolled(),
        };
        let commit = self.learning(proof.commit(burn, None, found), found, step);
        let commit = self.telling(commit, account, origin)?;
        self.commit_login(commit, CLASS).await?;
        self.settle_success(None, &account.user.id, &permit, now).await;
        self.answer_confirmation(confirming, client, |first| first.and("otp"), now).await
    }

    /// The apps that wait for their first code and were begun with this token. One that comes with a device is shown to nobody before
    /// that has registered.
    fn pending<'a>(&self, account: &'a Account, token: &Secret<String>, now: Timestamp) -> Vec<&'a Authenticator> {
        let bearer = Some(self.bearer_digest(token));
        let bare = |a: &Authenticator| {
            let device = account.authenticators.iter().find(|b| b.kind == FactorKind::Push && b.pair == a.pair);
            a.pair.is_some() && device.is_some_and(|device| device.address.is_none())
        };
        let begun =
            |a: &&Authenticator| a.kind == FactorKind::Otp && a.is_pending(now) && a.bearer() == bearer && !bare(a);
        account.authenticators.iter().filter(begun).collect()
    }

    /// Reserves an attempt, then compares the code with every candidate. A wrong code counts against all of them.
    async fn judge_otp<'a>(
        &self,
        proof: &Proof<'a>,
        code: &Secret<String>,
        login: Option<ConsumedTransaction>,
    ) -> Result<(AttemptPermit, &'a Authenticator, u64), Error> {
        let failures = proof.candidates.iter().map(|candidate| candidate.failures).max().unwrap_or(0);
        let user = &proof.account.user;
        let asker = Asker::of(proof.client, proof.origin);
        let permit = match self.reserve_factor_attempt(&user.id, CLASS, failures, asker, proof.now).await {
            Ok(permit) => permit,
            Err(error) => {
                if proof.candidates.is_empty() {
                    self.tell_of_exhaustion(&error, proof.account, proof.origin, proof.now).await?;
                }
                return Err(self.out_of_attempts(error, login.as_ref().map(|login| &login.digest)).await);
            }
        };
        if let Some(code) = OtpCode::parse(code.expose()) {
            let window = self.registry.policy.otp_window;
            for candidate in &proof.candidates {
                let secret = OtpSecret::open(candidate, self.sealer.as_ref())?;
                let window = window_of(window, candidate);
                if let Some(step) = secret.matched_step(&code, window, candidate.last_step, proof.now, &permit) {
                    return Ok((permit, candidate, step));
                }
            }
        }
        let compared = proof.candidates.iter().map(|candidate| candidate.id.clone()).collect();
        let address = proof.client.address_of(proof.origin);
        let row = audit(Event::OtpFailed, user, proof.client, None, address, proof.now);
        let failure = Failure::new(FailureTarget::Authenticators(compared), FAILURE_CEILING, row);
        Err(self.failed(Failure { login, ..failure }, proof.account, proof.origin, CLASS).await)
    }

    /// `commit`, with what the code of `step` says of the app's clock.
    fn learning(&self, commit: LoginCommit, app: &Authenticator, step: u64) -> LoginCommit {
        let drift = learned(self.registry.policy.otp_window, app, step, step_at(commit.now));
        LoginCommit { drift: (drift != app.drift).then_some(drift), ..commit }
    }

    /// When the attempts run out, the login they ran out in ends: guessing must go through the first factor again.
    pub(crate) async fn out_of_attempts(&self, error: Error, login: Option<&Digest>) -> Error {
        if error.reason() == Reason::TooManyAttempts
            && let Some(login) = login
            && let Err(error) = self.sessions.exhaust_transaction(login).await
        {
            return error.into();
        }
        error
    }

    /// Best effort, after the commit: forget the login and the notifications that nobody answered, give the attempt back.
    pub(crate) async fn settle_success(
        &self,
        login: Option<Digest>,
        user: &UserId,
        permit: &AttemptPermit,
        now: Timestamp,
    ) {
        let settlement = Settlement {
            transaction: login,
            refund: vec![permit.refund()],
            reset: self.answered(user),
            ..Settlement::default()
        };
        self.sessions.settle(settlement, now).await;
    }
}

impl Proof<'_> {
    fn commit(&self, burn: Burn, transaction: Option<ConsumedTransaction>, found: &Authenticator) -> LoginCommit {
        let user = &self.account.user;
        let event = match burn {
            Burn::Confirm { .. } => Event::EnrollmentCompleted,
            _ => Event::OtpLogin,
        };
        let address = self.client.address_of(self.origin);
        let audit = audit(event, user, self.client, Some(found.id.clone()), address, self.now);
        LoginCommit::new(user, transaction, burn, audit)
    }
}
