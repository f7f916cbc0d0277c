//! What tokens are asked for besides a plain login, over gRPC.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use countersign_proto::v1::{
    IntrospectTokenRequest, IssueTokenRequest, OtpGrant, RefreshTokenGrant, TokenSet, issue_token_request::Grant,
    issue_token_response::Outcome,
};

use super::over_grpc::{GrpcClient, client};
use crate::people::{Pending, now};

/// What a login with `offline_access` left somebody with. Nobody else exchanges its refresh token.
#[derive(Clone)]
pub struct Session {
    refresh_token: Arc<Mutex<String>>,
    access_token: Arc<str>,
}

impl GrpcClient {
    /// Proves the second factor, for an access token and an ID token, both RS256.
    ///
    /// # Errors
    ///
    /// It was refused, or the tokens are not those that are meant to be measured.
    pub async fn for_two_tokens(self, pending: Pending) -> anyhow::Result<()> {
        let tokens = self.log_in(pending).await?;
        anyhow::ensure!(!tokens.id_token.is_empty(), "no ID token");
        Ok(())
    }

    /// Proves the second factor, for a refresh token.
    ///
    /// # Errors
    ///
    /// It was refused, or there is none.
    pub async fn for_a_refresh_token(self, pending: Pending) -> anyhow::Result<Session> {
        let tokens = self.log_in(pending).await?;
        anyhow::ensure!(!tokens.refresh_token.is_empty(), "no refresh token");
        Ok(Session {
            refresh_token: Arc::new(Mutex::new(tokens.refresh_token)),
            access_token: Arc::from(tokens.access_token),
        })
    }

    /// Exchanges the refresh token of `session` for its successor.
    ///
    /// # Errors
    ///
    /// It was refused, or does not rotate.
    pub async fn refresh(self, session: Session) -> anyhow::Result<()> {
        let refresh_token = session.refresh_token.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let grant = RefreshTokenGrant { refresh_token: refresh_token.clone() };
        let tokens = self.tokens_for(Grant::RefreshToken(grant)).await?;
        anyhow::ensure!(!tokens.access_token.is_empty(), "no access token");
        anyhow::ensure!(tokens.id_token.is_empty(), "an ID token, which is not meant to be measured");
        anyhow::ensure!(!["", &refresh_token].contains(&tokens.refresh_token.as_str()), "no successor");
        *session.refresh_token.lock().unwrap_or_else(PoisonError::into_inner) = tokens.refresh_token;
        Ok(())
    }

    /// Asks whether the access token of `session` is good.
    ///
    /// # Errors
    ///
    /// It is not.
    pub async fn introspect(mut self, session: Session) -> anyhow::Result<()> {
        let request =
            IntrospectTokenRequest { client: Some(client()), token: session.access_token.to_string(), end_user: None };
        let answer = self.tokens.introspect_token(request).await?.into_inner();
        anyhow::ensure!(answer.active.is_some(), "it is not active");
        Ok(())
    }

    /// What the password was offered for says which tokens these are.
    async fn log_in(self, pending: Pending) -> anyhow::Result<TokenSet> {
        let otp = pending.person.code(now())?;
        self.tokens_for(Grant::Otp(OtpGrant { mfa_token: pending.mfa_token, otp })).await
    }

    async fn tokens_for(mut self, grant: Grant) -> anyhow::Result<TokenSet> {
        let request = IssueTokenRequest { client: Some(client()), grant: Some(grant), ..IssueTokenRequest::default() };
        match self.tokens.issue_token(request).await?.into_inner().outcome.context("an answer without an outcome")? {
            Outcome::Tokens(tokens) => Ok(tokens),
            Outcome::MfaRequired(_) => bail!("a second factor was asked for again"),
        }
    }
}
