//! Who calls: client authentication (RFC 6749, section 2.3).

pub(crate) mod assertion;

use std::net::IpAddr;

use subtle::{Choice, ConstantTimeEq as _};

use crate::{
    app::{App, ClientCredentials, ClientProof, Origin},
    audit::{AuditEvent, Event},
    certificate::CertificateNames,
    error::{Error, Reason},
    id::ClientId,
    registry::{Client, ClientAuthMethod, GrantType},
    secret::Digest,
};

/// The longest secret of a client, in characters.
pub const MAX_SECRET_CHARS: usize = 512;

/// The domain of digests of client secrets.
pub const SECRET_DIGEST_DOMAIN: &str = "client_secret";

/// A client that may be asked for a challenge by its name alone, and whether it has proven itself.
pub(crate) struct Challenger<'a> {
    /// The client.
    pub client: &'a Client,
    /// Whether it has.
    pub proven: bool,
}

impl App {
    /// The client the credentials prove. Unknown clients and wrong secrets cannot be told apart. An assertion is spent. Who proves to be
    /// none leaves a row with the address of the call; what it forwards is nobody's word.
    ///
    /// # Errors
    ///
    /// [`Reason::ClientUnauthenticated`]; the store failed.
    pub(crate) async fn authenticate_client(
        &self,
        credentials: &ClientCredentials,
        origin: &Origin,
    ) -> Result<&Client, Error> {
        let outcome = self.proven_client(credentials).await;
        if let Err(error) = &outcome
            && error.reason() == Reason::ClientUnauthenticated
        {
            let row = AuditEvent::of_deployment(Event::ClientFailed, self.clock.now()).at_address(origin.address);
            // A name that no client has is whatever somebody typed.
            let named = credentials.client_id.as_ref().filter(|id| self.registry.clients.contains_key(*id));
            self.note_cheap(named.map_or(row.clone(), |id| row.by(id))).await?;
        }
        outcome
    }

    async fn proven_client(&self, credentials: &ClientCredentials) -> Result<&Client, Error> {
        let client = self.named_client(credentials)?;
        match (&client.authentication, &credentials.proof) {
            (ClientAuthMethod::None, None | Some(ClientProof::Secret(_))) => Ok(client),
            (ClientAuthMethod::None, Some(ClientProof::Assertion(_))) => Err(refused("a public client has no key")),
            (ClientAuthMethod::Certificate(names), None) => match &credentials.certificate {
                None => Err(refused("no certificate")),
                Some(shown) if names.is_disjoint(shown) => Err(refused("a certificate with other names")),
                Some(_) => Ok(client),
            },
            (_, None) => Err(refused("no proof")),
            (ClientAuthMethod::Secret(digests), Some(ClientProof::Secret(secret))) => {
                let presented = self.sealer.token_digest(SECRET_DIGEST_DOMAIN, secret.expose().as_bytes());
                if is_one_of(digests, &presented) { Ok(client) } else { Err(refused("wrong secret")) }
            }
            (ClientAuthMethod::PrivateKeyJwt, Some(ClientProof::Assertion(jwt))) => {
                self.prove_by_assertion(client, jwt, self.clock.now()).await?;
                Ok(client)
            }
            (ClientAuthMethod::Secret(_) | ClientAuthMethod::Certificate(_), Some(ClientProof::Assertion(_)))
            | (ClientAuthMethod::PrivateKeyJwt | ClientAuthMethod::Certificate(_), Some(ClientProof::Secret(_))) => {
                Err(refused("proves itself in another way than it is configured for"))
            }
        }
    }

    /// What came of a request that `client` may not be configured for. Where it is not, there is a row that names the grant.
    ///
    /// # Errors
    ///
    /// Those of `outcome`; the store failed.
    pub(crate) async fn unless_refused<T>(
        &self,
        outcome: Result<T, Error>,
        client: &Client,
        origin: &Origin,
    ) -> Result<T, Error> {
        if let Err(error) = &outcome
            && error.reason() == Reason::GrantNotAllowed
        {
            let row = AuditEvent::of_deployment(Event::GrantRefused, self.clock.now()).by(&client.id);
            let row = row.at_address(client.address_of(origin));
            let grant = error.metadata().iter().find(|(name, _)| *name == "grant_type");
            self.note_cheap(grant.map_or(row.clone(), |(_, grant)| row.because(grant.clone()))).await?;
        }
        outcome
    }

    /// The client of a request for a challenge. One that proves itself by assertions need not do so there, unless it is configured to:
    /// Auth0's libraries never send one with it. A proof that is sent is judged.
    ///
    /// # Errors
    ///
    /// As [`App::authenticate_client`].
    pub(crate) async fn authenticate_challenger(
        &self,
        credentials: &ClientCredentials,
        origin: &Origin,
    ) -> Result<Challenger<'_>, Error> {
        let client = self.named_client(credentials)?;
        let by_name = credentials.proof.is_none()
            && matches!(client.authentication, ClientAuthMethod::PrivateKeyJwt)
            && !client.challenges_need_assertion;
        if !by_name {
            self.authenticate_client(credentials, origin).await?;
        }
        Ok(Challenger { client, proven: !by_name })
    }

    /// The client that the credentials say they are of.
    fn named_client(&self, credentials: &ClientCredentials) -> Result<&Client, Error> {
        let id = match (&credentials.client_id, &credentials.proof) {
            (Some(id), _) => id.clone(),
            (None, Some(ClientProof::Assertion(jwt))) => {
                assertion::claimed_subject(jwt.expose()).map(ClientId::new).ok_or_else(|| refused("no subject"))?
            }
            (None, _) => return Err(Error::missing("client_id")),
        };
        let client = self.registry.clients.get(&id).ok_or_else(|| refused("unknown client"))?;
        if let Some(shown) = &credentials.certificate {
            self.speaks_for(client, shown)?;
        }
        Ok(client)
    }

    /// Refuses the certificate of another client, whatever else was sent.
    fn speaks_for(&self, client: &Client, shown: &CertificateNames) -> Result<(), Error> {
        let clients = self.registry.clients.values();
        let mut owners = clients.filter(|client| client.has_one_of(shown)).peekable();
        if owners.peek().is_none() || owners.any(|owner| owner.id == client.id) {
            return Ok(());
        }
        Err(refused("another client's certificate"))
    }
}

/// Whether `presented` is among `digests`. All are compared, so that the time does not tell which one matched.
fn is_one_of(digests: &[Digest], presented: &Digest) -> bool {
    let matched =
        digests.iter().fold(Choice::from(0), |found, digest| found | digest.as_bytes().ct_eq(presented.as_bytes()));
    matched.into()
}

fn refused(why: &'static str) -> Error {
    Error::new(Reason::ClientUnauthenticated).because(why)
}

impl Client {
    /// Whether a certificate with these names is the client's.
    fn has_one_of(&self, shown: &CertificateNames) -> bool {
        matches!(&self.authentication, ClientAuthMethod::Certificate(names) if !names.is_disjoint(shown))
    }

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

    /// Refuses unless the client is configured for `grant` and is one that proves itself: its name alone is nobody's word.
    ///
    /// # Errors
    ///
    /// [`Reason::GrantNotAllowed`], naming the grant.
    pub(crate) fn may_use_proven(&self, grant: GrantType) -> Result<(), Error> {
        self.may_use(grant)?;
        if matches!(self.authentication, ClientAuthMethod::None) {
            return Err(Error::new(Reason::GrantNotAllowed)
                .with("grant_type", grant.as_str())
                .because("public client"));
        }
        Ok(())
    }

    /// The person's address: the one the client forwarded, if it is trusted with that and is one that proves itself.
    pub(crate) fn address_of(&self, origin: &Origin) -> Option<IpAddr> {
        let trusted = self.trust_forwarded_for && !matches!(self.authentication, ClientAuthMethod::None);
        origin.forwarded_for.filter(|_| trusted).or(origin.address)
    }
}
