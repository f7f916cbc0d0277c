//! End what a login may be continued with (RFC 7009).

use crate::{
    app::{App, ClientCredentials, Origin},
    audit::Event,
    error::Error,
    port::refresh_store::{FamilyKind, RevocationReach},
    refresh_token::PresentedRefreshToken,
    secret::Secret,
};

/// A token that is to end.
#[derive(Clone, Debug)]
pub struct Command {
    /// The calling client.
    pub client: ClientCredentials,
    /// The refresh token, of any generation.
    pub token: Secret<String>,
    /// Where the person is.
    pub origin: Origin,
}

impl App {
    /// Ends the family of the client's own refresh token. Access tokens of it live on, but are inactive to who introspects them. For
    /// anything else there is nothing to do, and the answer is the same (RFC 7009, section 2.2).
    ///
    /// # Errors
    ///
    /// Any reason `RevokeToken` lists in the protobuf contract.
    pub async fn revoke_token(&self, command: Command) -> Result<(), Error> {
        let client = self.authenticate_client(&command.client, &command.origin).await?;
        let Some(presented) = PresentedRefreshToken::parse(FamilyKind::Refresh, command.token.expose()) else {
            return Ok(());
        };
        let Some(family) = self.refresh.find_family(&presented.family).await? else { return Ok(()) };
        let now = self.clock.now();
        let why = if presented.is_of(&family, self) {
            (family.client != client.id).then_some("of another client")
        } else {
            Some("forged")
        };
        if let Some(why) = why {
            let row = family.audit(Event::RevocationRefused, client, &command.origin, now);
            return self.note_cheap(row.because(why)).await;
        }
        let reach = if client.refresh.revocation_ends_grant { RevocationReach::Grant } else { RevocationReach::Family };
        let audit = family.audit(Event::TokenRevoked, client, &command.origin, now);
        self.refresh.revoke_family(&family.id, reach, audit, Vec::new()).await.map(|_| ()).map_err(Error::from)
    }
}
