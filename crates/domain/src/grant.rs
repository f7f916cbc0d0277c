//! The grants, one file each; [`crate::usecase::issue_token`] chooses.

pub mod asserted;
pub mod client_credentials;
pub mod oob;
pub mod otp;
pub mod password;
pub mod push;
pub mod recovery_code;
pub mod refresh;
mod refused;

use crate::{
    account::Account,
    app::{App, Origin},
    audit::{AuditEvent, Event},
    authentication::Authentication,
    claims::{AccessToken, Issue},
    error::{Error, Reason},
    grant::refresh::Ending,
    id::{Audience, AuthenticatorId, Scope},
    over::Over,
    pending_login::PendingLogin,
    port::login_store::{CommitOutcome, Counted, Failure, LoginCommit},
    registry::Client,
    secret::Secret,
    time::Timestamp,
    transaction::OriginalGrant,
    usecase::issue_token::TokenSet,
    user::User,
};

/// A login that was committed and may be answered with tokens.
pub(crate) struct Granted<'a> {
    /// Who.
    pub user: &'a User,
    /// Through which client.
    pub client: &'a Client,
    /// For which API.
    pub audience: &'a Audience,
    /// With which scopes.
    pub scopes: Vec<Scope>,
    /// Whether the answer must name them.
    pub scopes_changed: bool,
    /// How it ended.
    pub ending: Ending,
    /// By which grant: `gty`.
    pub grant: &'static str,
    /// When.
    pub now: Timestamp,
}

impl App {
    /// Decides a login. Nothing but `Ok` lets tokens out.
    ///
    /// # Errors
    ///
    /// [`Reason::MfaTokenInvalid`], [`Reason::RefreshTokenInvalid`], [`Reason::ProofRejected`] for the factor `class`; the store
    /// failed.
    pub(crate) async fn commit_login(&self, login: LoginCommit, class: &'static str) -> Result<(), Error> {
        let sends = !login.messages.is_empty();
        let row = login.audit.clone();
        let outcome = self.logins.commit(login).await?;
        if outcome == CommitOutcome::Committed {
            if sends {
                self.bell.ring();
            }
        } else if let Some(row) = refused::uncommitted(row, outcome) {
            self.note_cheap(row).await?;
        }
        Self::judged(outcome, class)
    }

    /// What a login is told that was decided so.
    ///
    /// # Errors
    ///
    /// As [`App::commit_login`].
    pub(crate) fn judged(outcome: CommitOutcome, class: &'static str) -> Result<(), Error> {
        match outcome {
            CommitOutcome::Committed => Ok(()),
            CommitOutcome::TransactionSpent => Err(Error::new(Reason::MfaTokenInvalid).because("used before")),
            CommitOutcome::AccountChanged | CommitOutcome::ToldBefore => {
                Err(Error::new(Reason::MfaTokenInvalid).because("account has changed"))
            }
            CommitOutcome::RefreshSpent => {
                Err(Error::new(Reason::RefreshTokenInvalid).because("exchanged or revoked meanwhile"))
            }
            CommitOutcome::ProofSpent => Err(proof_rejected(class).because("used before")),
        }
    }

    /// Counts what was presented and is wrong, and tells its person if that is due. The answer is what the caller is told.
    pub(crate) async fn failed(
        &self,
        failure: Failure,
        account: &Account,
        origin: &Origin,
        class: &'static str,
    ) -> Error {
        let failure = match self.told(failure, account, origin) {
            Ok(failure) => failure,
            Err(error) => return error,
        };
        match self.logins.count_failure(&account.user.id, failure).await {
            Ok(Counted::Yes) => proof_rejected(class),
            Ok(Counted::LoginSpent) => Error::new(Reason::MfaTokenInvalid).because("used before"),
            Err(error) => error.into(),
        }
    }

    /// Signs what a committed login yields.
    ///
    /// # Errors
    ///
    /// The signer failed.
    pub(crate) async fn answer(&self, granted: Granted<'_>) -> Result<TokenSet, Error> {
        let issued = self
            .sign_tokens(&Issue {
                user: granted.user,
                client: granted.client,
                audience: granted.audience,
                scopes: &granted.scopes,
                authentication: &granted.ending.authentication,
                grant: granted.grant,
                family: granted.ending.refreshing.as_ref().map(|refreshing| &refreshing.family),
                now: granted.now,
            })
            .await?;
        Ok(TokenSet {
            access_token: issued.access_token,
            lifetime: issued.lifetime,
            scopes: granted.scopes,
            scopes_changed: granted.scopes_changed,
            id_token: issued.id_token,
            refresh_token: granted.ending.refreshing.map(|refreshing| refreshing.token),
            device_token: granted.ending.remembering.map(|remembering| remembering.token),
            enroll_by: granted.ending.grace_until,
            recovery_code: None,
        })
    }
}

/// An enrolment that is confirmed with an access token of the MFA API.
pub(crate) struct Confirming {
    /// What the token says.
    pub access: AccessToken,
    /// Whose it is.
    pub account: Account,
}

impl App {
    /// Whoever presents an access token of the MFA API in the place of an `mfa_token`. Who may not confirm with it leaves a row.
    ///
    /// # Errors
    ///
    /// [`Reason::MfaTokenInvalid`], [`Reason::MfaTokenOfOtherClient`], [`Reason::ScopeMissing`], [`Reason::StepUpRequired`],
    /// [`Reason::UserBlocked`]; the store failed.
    pub(crate) async fn confirming(
        &self,
        client: &Client,
        token: &Secret<String>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Confirming, Error> {
        let confirming = match self.presented(token, now).await {
            Ok(confirming) => confirming,
            Err(over) => {
                let address = client.address_of(origin);
                let error = self.note_over(Event::AccessTokenRefused, over, Some(client), address, now).await;
                return Err(no_mfa_token(error));
            }
        };
        match self.may_confirm(client, &confirming) {
            Ok(()) => Ok(confirming),
            Err(error) => {
                let (user, address) = (&confirming.account.user, client.address_of(origin));
                let row = audit(Event::EnrollmentUnconfirmed, user, client, None, address, now);
                Err(self.refused_exchange(error, None, row).await)
            }
        }
    }

    /// The same of who only watches: that is no result.
    ///
    /// # Errors
    ///
    /// As [`App::confirming`].
    pub(crate) async fn watching(
        &self,
        client: &Client,
        token: &Secret<String>,
        now: Timestamp,
    ) -> Result<Account, Error> {
        let confirming = self.presented(token, now).await.map_err(|over| no_mfa_token(over.error))?;
        self.may_confirm(client, &confirming).map(|()| confirming.account)
    }

    async fn presented(&self, token: &Secret<String>, now: Timestamp) -> Result<Confirming, Over> {
        let (access, account) = self.management_token(token.expose(), now).await?;
        Ok(Confirming { access, account })
    }

    fn may_confirm(&self, client: &Client, Confirming { access, account }: &Confirming) -> Result<(), Error> {
        if access.client != client.id {
            return Err(Error::new(Reason::MfaTokenOfOtherClient));
        }
        access.require("enroll")?;
        self.require_second_factor(access, account)
    }
}

/// Where an `mfa_token` belongs, anything else is a malformed one.
fn no_mfa_token(error: Error) -> Error {
    match error.reason() {
        Reason::AccessTokenInvalid => Error::new(Reason::MfaTokenInvalid).because("no access token either"),
        _ => error,
    }
}

impl App {
    /// What a committed login yields: tokens for what it asked for.
    ///
    /// # Errors
    ///
    /// The signer failed.
    pub(crate) async fn answer_login(
        &self,
        login: PendingLogin,
        client: &Client,
        ending: Ending,
        now: Timestamp,
    ) -> Result<TokenSet, Error> {
        let PendingLogin { transaction, account, .. } = login;
        self.answer(Granted {
            user: &account.user,
            client,
            audience: &transaction.audience,
            scopes: transaction.scopes,
            scopes_changed: transaction.scopes_changed,
            ending,
            grant: transaction.grant.name(),
            now,
        })
        .await
    }

    /// What confirms an enrolment with an access token of the MFA API: such a token again, with the factor that was confirmed.
    ///
    /// # Errors
    ///
    /// The signer failed.
    pub(crate) async fn answer_confirmation(
        &self,
        confirmed: Confirming,
        client: &Client,
        by: impl FnOnce(Authentication) -> Authentication,
        now: Timestamp,
    ) -> Result<TokenSet, Error> {
        let Confirming { access, account } = confirmed;
        let authentication = by(access.authentication());
        let audience = self.registry.mfa_audience();
        self.answer(Granted {
            user: &account.user,
            client,
            audience: &audience,
            scopes: access.scopes.into_iter().collect(),
            scopes_changed: true,
            ending: Ending {
                authentication,
                refreshing: None,
                remembering: None,
                reasons: None,
                grace_until: None,
                messages: Vec::new(),
                proof: None,
            },
            grant: OriginalGrant::of_login(access.grant.as_deref()),
            now,
        })
        .await
    }
}

/// A wrong code of the factor `class`.
pub(crate) fn proof_rejected(class: &'static str) -> Error {
    Error::new(Reason::ProofRejected).with("factor", class)
}

/// An audit row about `user`.
pub(crate) fn audit(
    event: Event,
    user: &User,
    client: &Client,
    authenticator: Option<AuthenticatorId>,
    address: Option<std::net::IpAddr>,
    at: Timestamp,
) -> AuditEvent {
    AuditEvent { authenticator, ..AuditEvent::about(event, &user.id, at).by(&client.id).at_address(address) }
}
