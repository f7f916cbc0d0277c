//! The `client_credentials` grant: a service calls an API as itself (RFC 6749, section 4.4).

use serde::Serialize;

use crate::{
    app::{App, Origin, RequestedScopes},
    audit::{AuditEvent, Event},
    claims::{TokenShape, to_json},
    error::{Error, Reason},
    grant::password::named_differently,
    id::{Audience, ClientId, Scope},
    opaque::{ALPHANUMERIC, random_text},
    port::signer::Unsigned,
    registry::{Client, GrantType, TokenDialect},
    usecase::issue_token::TokenSet,
};

/// What `gty` says of it.
const NAME: &str = "client-credentials";

/// What follows the client's name in the `sub` of its tokens, which tells them from a person's: no person's id ends so.
pub(crate) const SUBJECT_SUFFIX: &str = "@clients";

#[derive(Serialize)]
struct ServiceClaims<'a> {
    iss: &'a str,
    sub: String,
    aud: &'a str,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    azp: Option<&'a str>,
    client_id: &'a str,
    jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    gty: Option<&'static str>,
    scope: &'a str,
}

impl App {
    /// An access token for the client itself: no person, no ID token, nothing to go on with.
    ///
    /// # Errors
    ///
    /// [`Reason::GrantNotAllowed`], [`Reason::AudienceUnknown`], [`Reason::ApiNotAllowed`]; no audience is named and none is the
    /// default; the store or the signer failed.
    pub(crate) async fn client_credentials_grant(
        &self,
        client: &Client,
        audience: Option<&str>,
        requested: &RequestedScopes,
        origin: &Origin,
    ) -> Result<TokenSet, Error> {
        let outcome = self.authorize_service(client, audience, requested, origin).await;
        if let Err(error) = &outcome
            && let Some(why) = refusal(error.reason())
        {
            let row = AuditEvent::of_deployment(Event::ServiceRefused, self.clock.now()).by(&client.id);
            self.note_cheap(row.at_address(client.address_of(origin)).because(why)).await?;
        }
        outcome
    }

    async fn authorize_service(
        &self,
        client: &Client,
        audience: Option<&str>,
        requested: &RequestedScopes,
        origin: &Origin,
    ) -> Result<TokenSet, Error> {
        client.may_use_proven(GrantType::ClientCredentials)?;
        let audience = audience.map(Audience::new).or_else(|| self.registry.default_audience.clone());
        let audience = audience.ok_or_else(|| Error::missing("audience"))?;
        if !self.registry.apis.contains_key(&audience) {
            return Err(Error::new(Reason::AudienceUnknown).with("audience", audience.as_str()));
        }
        let offered = client
            .services
            .get(&audience)
            .ok_or_else(|| Error::new(Reason::ApiNotAllowed).with("audience", audience.as_str()))?;
        let scopes: Vec<Scope> = match requested {
            None => offered.iter().cloned().collect(),
            Some(requested) => offered.iter().filter(|scope| requested.contains(scope)).cloned().collect(),
        };
        let now = self.clock.now();
        let TokenShape { algorithm, dialect, lifetime } = self.token_shape(&audience);
        let auth0 = dialect == TokenDialect::Auth0;
        let row = AuditEvent::of_deployment(Event::ServiceAuthorized, now).by(&client.id);
        let narrowed = requested.as_ref().is_some_and(|named| named.iter().any(|scope| !offered.contains(scope)));
        let row = if narrowed { row.because("fewer scopes than asked for") } else { row };
        self.logins.record(row.at_address(client.address_of(origin)), Vec::new()).await?;
        let jti = random_text(ALPHANUMERIC, 22, self.entropy.as_ref())?;
        let claims = ServiceClaims {
            iss: &self.registry.issuer,
            sub: format!("{}{SUBJECT_SUFFIX}", client.id),
            aud: audience.as_str(),
            iat: now.as_secs(),
            exp: now.plus(lifetime).as_secs(),
            azp: auth0.then_some(client.id.as_str()),
            client_id: client.id.as_str(),
            jti: &jti,
            gty: auth0.then_some(NAME),
            scope: &scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" "),
        };
        let token = Unsigned { algorithm, token_type: dialect.token_type(), claims: to_json(&claims)? };
        Ok(TokenSet {
            access_token: self.signer.sign(token).await?,
            lifetime,
            scopes_changed: named_differently(requested.as_ref(), &scopes),
            scopes,
            id_token: None,
            refresh_token: None,
            recovery_code: None,
            device_token: None,
            enroll_by: None,
        })
    }

    /// Whether a service's token stands: its client is there still, and may call one of the APIs that the token is for.
    pub(crate) fn service_stands(&self, client: &str, subject: &str, audiences: &[String]) -> bool {
        let known = self.registry.clients.get(&ClientId::new(client));
        subject.strip_suffix(SUBJECT_SUFFIX) == Some(client)
            && known.is_some_and(|known| {
                known.may_use_proven(GrantType::ClientCredentials).is_ok()
                    && audiences.iter().any(|aud| known.services.contains_key(&Audience::new(aud.as_str())))
            })
    }
}

/// Why a service was refused, for the audit trail. `None`: a request that lacks something, or a failure of ours.
const fn refusal(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::GrantNotAllowed => Some("grant not allowed"),
        Reason::AudienceUnknown => Some("unknown API"),
        Reason::ApiNotAllowed => Some("API not allowed"),
        _ => None,
    }
}
