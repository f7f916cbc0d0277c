//! Whom a bearer token stands for at the MFA API.

use crate::{
    account::Account,
    app::{App, Bearer},
    claims::AccessToken,
    error::{Error, Reason},
    factor_set::FactorSet,
    id::ClientId,
    opaque::{self, TokenKind},
    over::Over,
    secret::Digest,
    time::Timestamp,
    transaction::MfaTransaction,
};

/// The person behind a bearer, and how well they are known.
pub(crate) struct Actor {
    /// The account now.
    pub account: Account,
    /// The client the bearer was issued to.
    pub client: ClientId,
    /// What an access token says; `None`: the bearer is an `mfa_token`.
    pub token: Option<AccessToken>,
    /// When the person logged in. A pending login that goes on with a refresh token is as old as that.
    pub authenticated_at: Option<Timestamp>,
    /// The factors that may be enrolled with it.
    pub allowed: FactorSet,
}

impl Actor {
    /// Whether a second factor was proven for the bearer.
    pub(crate) fn has_mfa(&self) -> bool {
        self.token.as_ref().is_some_and(AccessToken::has_mfa)
    }
}

impl App {
    /// What binds an enrolment to the bearer token it was begun with.
    pub(crate) fn bearer_digest(&self, bearer: &Bearer) -> Digest {
        self.sealer.token_digest("bearer", bearer.expose().as_bytes())
    }

    /// The person an `mfa_token`, or an access token of the MFA API with `scope`, stands for.
    ///
    /// # Errors
    ///
    /// [`Reason::MfaTokenInvalid`], [`Reason::MfaTokenExpired`], [`Reason::AccessTokenInvalid`], [`Reason::ScopeMissing`],
    /// [`Reason::UserBlocked`]; a store failed.
    pub(crate) async fn actor(&self, bearer: &str, scope: &'static str, now: Timestamp) -> Result<Actor, Over> {
        if opaque::is_well_formed(TokenKind::Mfa, bearer) {
            let login = self.find_login(bearer, None, now).await.map_err(|over| match over.error.reason() {
                // Here the token is a credential like any other: it is void once the attempts ran out in it.
                Reason::TooManyAttempts => {
                    Over { error: Error::new(Reason::MfaTokenInvalid).because("exhausted"), ..over }
                }
                _ => over,
            })?;
            let MfaTransaction { client, allowed, authenticated_at, .. } = login.transaction;
            if !self.registry.clients.contains_key(&client) {
                let error = Error::new(Reason::MfaTokenInvalid).because("client is gone");
                return Err(Over::of(&login.account.user.id, &client, error));
            }
            let authenticated_at = Some(authenticated_at);
            return Ok(Actor { account: login.account, client, token: None, authenticated_at, allowed });
        }
        let (token, account) = self.management_token(bearer, now).await?;
        token.require(scope)?;
        let authenticated_at = token.authenticated_at;
        Ok(Actor {
            account,
            client: token.client.clone(),
            token: Some(token),
            authenticated_at,
            allowed: FactorSet::ALL,
        })
    }

    /// An access token of the MFA API, and its person.
    ///
    /// # Errors
    ///
    /// [`Reason::AccessTokenInvalid`]: not one, or of an epoch of its person that is over; [`Reason::UserBlocked`]; the
    /// store failed.
    pub(crate) async fn management_token(&self, bearer: &str, now: Timestamp) -> Result<(AccessToken, Account), Over> {
        let token = self.access_token(bearer, &self.registry.mfa_audience(), now)?;
        let over = |error| Over::of(&token.user, &token.client, error);
        let invalid = |why| over(Error::new(Reason::AccessTokenInvalid).because(why));
        let account = self.account(&token.user).await?.ok_or_else(|| invalid("user is gone"))?;
        if account.user.blocked {
            return Err(over(Error::new(Reason::UserBlocked)));
        }
        if self.is_void(&token.id, &account.user) {
            return Err(invalid("voided"));
        }
        Ok((token, account))
    }
}
