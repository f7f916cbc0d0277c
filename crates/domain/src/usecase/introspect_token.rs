//! Tell an API whether a token is good now (RFC 7662).

use crate::{
    app::{App, ClientCredentials, Origin},
    audit::{AuditEvent, Event},
    claims::{VerifiedClaims, seconds},
    error::{Error, Reason},
    grant::client_credentials,
    id::{Audience, FamilyId, UserId},
    port::refresh_store::FamilyKind,
    refresh_token::PresentedRefreshToken,
    registry::Client,
    secret::Secret,
    time::Timestamp,
};

/// A token that is asked about.
#[derive(Clone, Debug)]
pub struct Command {
    /// The calling client.
    pub client: ClientCredentials,
    /// The token.
    pub token: Secret<String>,
    /// Where the caller is.
    pub origin: Origin,
}

/// What a token that is good says (RFC 7662, section 2.2; RFC 9470, section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActiveToken {
    /// Whether it is a refresh token.
    pub is_refresh_token: bool,
    /// `iss`
    pub issuer: String,
    /// `sub`
    pub subject: String,
    /// `aud`
    pub audiences: Vec<String>,
    /// `client_id`
    pub client: String,
    /// `scope`
    pub scope: String,
    /// `exp`; of a refresh token, when it ends if it is not used before. `None`: never.
    pub expires_at: Option<Timestamp>,
    /// `iat`
    pub issued_at: Timestamp,
    /// `jti`, of an access token.
    pub id: Option<String>,
    /// `auth_time`, where the token says it.
    pub authenticated_at: Option<Timestamp>,
    /// `amr`
    pub methods: Vec<String>,
    /// `acr`
    pub acr: Option<String>,
}

impl ActiveToken {
    /// What an access token says.
    fn access(claims: VerifiedClaims) -> Self {
        Self {
            is_refresh_token: false,
            audiences: claims.audiences().to_vec(),
            issuer: claims.iss,
            subject: claims.sub,
            client: claims.client_id,
            scope: claims.scope,
            expires_at: Some(seconds(claims.exp)),
            issued_at: seconds(claims.iat),
            id: Some(claims.jti),
            authenticated_at: claims.auth_time.map(seconds),
            methods: claims.amr,
            acr: claims.acr,
        }
    }
}

impl App {
    /// What the token says, if it is good now: signed by us, not expired, of an API this client may ask about, of a person who is
    /// there, not blocked and has not voided it, of a client that is there, and not of a login whose refresh tokens were revoked. `None`
    /// in every other case.
    ///
    /// A refresh token is told only to the client it was issued to; asking does not spend it.
    ///
    /// # Errors
    ///
    /// Any reason `IntrospectToken` lists in the protobuf contract.
    pub async fn introspect_token(&self, command: Command) -> Result<Option<ActiveToken>, Error> {
        let client = self.authenticate_client(&command.client, &command.origin).await?;
        if client.introspects.is_empty() {
            let row = AuditEvent::of_deployment(Event::IntrospectionRefused, self.clock.now()).by(&client.id);
            self.note_cheap(row.at_address(client.address_of(&command.origin))).await?;
            return Err(Error::new(Reason::IntrospectionNotAllowed));
        }
        let now = self.clock.now();
        match PresentedRefreshToken::parse(FamilyKind::Refresh, command.token.expose()) {
            Some(presented) => self.introspect_refresh_token(client, &presented, now).await,
            None => self.introspect_access_token(client, command.token.expose(), now).await,
        }
    }

    async fn introspect_access_token(
        &self,
        client: &Client,
        token: &str,
        now: Timestamp,
    ) -> Result<Option<ActiveToken>, Error> {
        let Ok(claims) = self.verified_claims(token, now) else { return Ok(None) };
        let asked_about = |audience: &String| client.introspects.contains(&Audience::new(audience.as_str()));
        if !claims.audiences().iter().any(asked_about) {
            return Ok(None);
        }
        if claims.sub.ends_with(client_credentials::SUBJECT_SUFFIX) {
            // Nothing of a service is in the store. But while it is away, nothing is said.
            self.users.find(&UserId::new(claims.sub.as_str())).await?;
            let stands = self.service_stands(&claims.client_id, &claims.sub, claims.audiences());
            return Ok(stands.then(|| ActiveToken::access(claims)));
        }
        let Some(account) = self.users.find(&UserId::new(claims.sub.as_str())).await? else { return Ok(None) };
        let user = account.user;
        if let Some(sid) = &claims.sid {
            let Some(id) = FamilyId::parse(sid) else { return Ok(None) };
            let family = self.refresh.find_family(&id).await?;
            if family.is_none_or(|family| family.epoch != user.epoch) {
                return Ok(None);
            }
        }
        let stands = !user.blocked && !self.is_void(&claims.jti, &user);
        Ok(stands.then(|| ActiveToken::access(claims)))
    }

    async fn introspect_refresh_token(
        &self,
        client: &Client,
        presented: &PresentedRefreshToken,
        now: Timestamp,
    ) -> Result<Option<ActiveToken>, Error> {
        let Some(family) = self.refresh.find_family(&presented.family).await? else { return Ok(None) };
        let good = presented.is_of(&family, self)
            && presented.generation == family.generation
            && family.client == client.id
            && !family.has_expired(client, now);
        if !good {
            return Ok(None);
        }
        let stands = self
            .users
            .find(&family.user)
            .await?
            .is_some_and(|account| !account.user.blocked && account.user.epoch == family.epoch);
        Ok(stands.then(|| ActiveToken {
            is_refresh_token: true,
            issuer: self.registry.issuer.clone(),
            subject: family.user.as_str().to_owned(),
            audiences: vec![family.audience.as_str().to_owned()],
            client: family.client.as_str().to_owned(),
            scope: family.scopes.iter().map(crate::id::Scope::as_str).collect::<Vec<_>>().join(" "),
            expires_at: family.ends_at(client),
            issued_at: family.rotated_at,
            id: None,
            authenticated_at: Some(family.authenticated_at),
            acr: Some(family.authentication().acr().to_owned()),
            methods: family.methods,
        }))
    }
}
