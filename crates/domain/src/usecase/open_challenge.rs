//! Choose the authenticator a pending login is to be completed with.

use crate::{
    app::{App, ClientCredentials, Origin},
    authenticator::FactorKind,
    error::{Error, Reason},
    id::AuthenticatorId,
    registry::GrantType,
    secret::Secret,
};

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
    /// The out-of-band channel it is narrowed to, if one was named.
    pub oob_channel: Option<String>,
    /// Where the person is.
    pub origin: Origin,
}

/// What the person has to prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The authenticator that was chosen.
    pub authenticator: AuthenticatorId,
    /// Its kind.
    pub kind: FactorKind,
}

impl App {
    /// Chooses an authenticator.
    ///
    /// # Errors
    ///
    /// Any reason `CreateChallenge` lists in the protobuf contract.
    pub async fn open_challenge(&self, command: Command) -> Result<Challenge, Error> {
        let client = self.authenticate_client(&command.client)?;
        if !client.grants.iter().any(|grant| grant.is_mfa()) {
            return Err(Error::new(Reason::GrantNotAllowed).with("grant_type", GrantType::MfaOtp.as_str()));
        }
        let now = self.clock.now();
        let login = self.pending_login(command.mfa_token.expose(), Some(client), now).await?;
        let accepts = |kind: FactorKind| {
            let listed = command.challenge_types.iter().any(|accepted| accepted == kind.challenge_type());
            (command.challenge_types.is_empty() || listed) && reaches(kind, command.oob_channel.as_deref())
        };
        let unsupported = || {
            let named =
                if command.challenge_types.is_empty() { "otp, oob".into() } else { command.challenge_types.join(", ") };
            Error::new(Reason::ChallengeTypeUnsupported).with("challenge_types", named)
        };
        let active = login.account.active();
        let chosen = match &command.authenticator {
            Some(id) => {
                let named = active.into_iter().find(|authenticator| authenticator.id == *id);
                let named = named.ok_or_else(|| Error::new(Reason::AuthenticatorNotFound))?;
                if accepts(named.kind) { named } else { return Err(unsupported()) }
            }
            None if !login.account.is_enrolled() => return Err(Error::new(Reason::NotEnrolled)),
            None => active.into_iter().find(|authenticator| accepts(authenticator.kind)).ok_or_else(unsupported)?,
        };
        Ok(Challenge { authenticator: chosen.id.clone(), kind: chosen.kind })
    }
}

/// Whether `kind` can be reached through the out-of-band channel a request is narrowed to. The channel says nothing about
/// kinds that are not out of band (contract, section 5).
fn reaches(kind: FactorKind, _oob_channel: Option<&str>) -> bool {
    match kind {
        FactorKind::Otp => true,
    }
}
