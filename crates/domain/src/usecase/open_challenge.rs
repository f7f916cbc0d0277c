//! Choose the authenticator a pending login is to be completed with.

use crate::{
    app::{App, ClientCredentials, Origin},
    authenticator::FactorKind,
    error::Error,
    id::AuthenticatorId,
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
        let _ = command;
        Err(Error::new(crate::error::Reason::Internal))
    }
}
