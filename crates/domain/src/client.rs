//! Who calls: client authentication (RFC 6749, section 2.3).

use std::net::IpAddr;

use subtle::{Choice, ConstantTimeEq as _};

use crate::{
    app::{App, ClientCredentials, Origin},
    error::{Error, Reason},
    registry::{Client, ClientAuthMethod, GrantType},
};

/// The domain of digests of client secrets.
pub const SECRET_DIGEST_DOMAIN: &str = "client_secret";

impl App {
    /// The client the credentials prove. Unknown clients and wrong secrets cannot be told apart.
    ///
    /// # Errors
    ///
    /// [`Reason::ClientUnauthenticated`].
    pub(crate) fn authenticate_client(&self, credentials: &ClientCredentials) -> Result<&Client, Error> {
        let refused = |why| Error::new(Reason::ClientUnauthenticated).because(why);
        let client = self.registry.clients.get(&credentials.client_id).ok_or_else(|| refused("unknown client"))?;
        match (&client.authentication, &credentials.secret) {
            (ClientAuthMethod::None, _) => Ok(client),
            (ClientAuthMethod::Secret(_), None) => Err(refused("no secret")),
            (ClientAuthMethod::Secret(digests), Some(secret)) => {
                let presented = self.sealer.token_digest(SECRET_DIGEST_DOMAIN, secret.expose().as_bytes());
                // Every secret is compared, so that the time does not tell which one matched.
                let matched = digests
                    .iter()
                    .fold(Choice::from(0), |found, digest| found | digest.as_bytes().ct_eq(presented.as_bytes()));
                if bool::from(matched) { Ok(client) } else { Err(refused("wrong secret")) }
            }
        }
    }
}

impl Client {
    /// Refuses unless the client is configured for `grant`.
    ///
    /// # Errors
    ///
    /// [`Reason::GrantNotAllowed`], naming the grant.
    pub(crate) fn may_use(&self, grant: GrantType) -> Result<(), Error> {
        if self.grants.contains(&grant) {
            Ok(())
        } else {
            Err(Error::new(Reason::GrantNotAllowed).with("grant_type", grant.as_str()))
        }
    }

    /// The person's address: the one the client forwarded, if it is trusted with that and has proven itself with a secret.
    pub(crate) fn address_of(&self, origin: &Origin) -> Option<IpAddr> {
        let trusted = self.trust_forwarded_for && matches!(self.authentication, ClientAuthMethod::Secret(_));
        origin.forwarded_for.filter(|_| trusted).or(origin.address)
    }
}
