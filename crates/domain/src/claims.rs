//! What tokens say.

use std::{borrow::Cow, collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    app::App,
    authentication::Authentication,
    error::{Error, Reason},
    id::{Audience, ClientId, FamilyId, Scope, UserId},
    over::Over,
    port::{
        PortError,
        signer::{Algorithm, TokenType, Unsigned},
    },
    registry::{Client, MFA_API_TOKEN_LIFETIME, TokenDialect},
    secret::Secret,
    time::Timestamp,
    user::User,
};

/// A decision to issue: everything the claims are made of.
pub struct Issue<'a> {
    /// To whom.
    pub user: &'a User,
    /// For which client.
    pub client: &'a Client,
    /// For which API.
    pub audience: &'a Audience,
    /// With which scopes.
    pub scopes: &'a [Scope],
    /// How they authenticated.
    pub authentication: &'a Authentication,
    /// By which grant: `gty`.
    pub grant: &'static str,
    /// The refresh tokens that came of the same login, if any: `sid`.
    pub family: Option<&'a FamilyId>,
    /// When.
    pub now: Timestamp,
}

/// How access tokens of an API are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TokenShape {
    pub algorithm: Algorithm,
    pub dialect: TokenDialect,
    pub lifetime: Duration,
}

/// A signed access token and perhaps an ID token.
pub struct Issued {
    /// The access token.
    pub access_token: Secret<String>,
    /// How long it lives.
    pub lifetime: Duration,
    /// The ID token.
    pub id_token: Option<Secret<String>>,
}

#[derive(Serialize)]
struct AuthenticationClaims<'a> {
    auth_time: i64,
    amr: &'a [Cow<'static, str>],
    acr: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum AudienceClaim<'a> {
    One(&'a str),
    Two([&'a str; 2]),
}

#[derive(Serialize)]
struct AccessTokenClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: AudienceClaim<'a>,
    iat: i64,
    exp: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    azp: Option<&'a str>,
    client_id: &'a str,
    jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    gty: Option<&'static str>,
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<String>,
    #[serde(flatten)]
    authentication: Option<AuthenticationClaims<'a>>,
}

#[derive(Serialize)]
struct IdTokenClaims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: i64,
    exp: i64,
    #[serde(flatten)]
    profile: Option<ProfileClaims<'a>>,
    #[serde(flatten)]
    email: Option<EmailClaims<'a>>,
    #[serde(flatten)]
    authentication: Option<AuthenticationClaims<'a>>,
}

#[derive(Serialize)]
struct ProfileClaims<'a> {
    name: &'a str,
    nickname: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    given_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    family_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    picture: Option<&'a str>,
    /// A text, as Auth0 has it, where OpenID Connect has a number.
    updated_at: String,
}

#[derive(Serialize)]
struct EmailClaims<'a> {
    email: &'a str,
    email_verified: bool,
}

impl App {
    /// Signs the tokens of a login that was committed.
    ///
    /// # Errors
    ///
    /// The signer failed; then the proofs are burnt and nothing is issued.
    pub(crate) async fn sign_tokens(&self, issue: &Issue<'_>) -> Result<Issued, Error> {
        let TokenShape { algorithm, dialect, lifetime } = self.token_shape(issue.audience);
        let as_auth0 = dialect == TokenDialect::Auth0;
        let has = |scope: &str| issue.scopes.iter().any(|granted| granted.as_str() == scope);
        let jti = self.new_token_id(issue.user)?;
        let manages = self.registry.is_mfa_audience(issue.audience.as_str());
        // Who manages factors has not met what the client demands of a login: no such token says who they are, whatever was granted.
        let identifies = has("openid") && !manages;
        // A client that asked for "openid" may also call userinfo, which verifies RS256 like everybody else.
        let userinfo = (identifies && algorithm == Algorithm::Rs256).then(|| self.registry.userinfo_audience());
        let userinfo = userinfo.filter(|userinfo| userinfo != issue.audience);
        let scope = issue.scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ");
        let iat = issue.now.as_secs();
        let claims = AccessTokenClaims {
            iss: &self.registry.issuer,
            sub: issue.user.id.as_str(),
            aud: match &userinfo {
                Some(userinfo) => AudienceClaim::Two([issue.audience.as_str(), userinfo.as_str()]),
                None => AudienceClaim::One(issue.audience.as_str()),
            },
            iat,
            exp: issue.now.plus(lifetime).as_secs(),
            azp: as_auth0.then_some(issue.client.id.as_str()),
            client_id: issue.client.id.as_str(),
            jti: &jti,
            gty: as_auth0.then_some(issue.grant),
            scope: &scope,
            sid: issue.family.map(FamilyId::to_string),
            authentication: Self::authentication_claims(issue, manages),
        };
        let mut tokens = vec![Unsigned { algorithm, token_type: dialect.token_type(), claims: to_json(&claims)? }];
        if identifies {
            let user = issue.user;
            let claims = IdTokenClaims {
                iss: &self.registry.issuer,
                sub: user.id.as_str(),
                aud: issue.client.id.as_str(),
                iat,
                exp: issue.now.plus(issue.client.id_token_lifetime).as_secs(),
                profile: has("profile").then(|| ProfileClaims {
                    name: user.shown_name(),
                    nickname: user.nickname(),
                    given_name: user.profile.given_name.as_deref(),
                    family_name: user.profile.family_name.as_deref(),
                    picture: user.profile.picture.as_deref(),
                    updated_at: user.updated_at.to_rfc3339(),
                }),
                email: user
                    .email
                    .as_ref()
                    .filter(|_| has("email"))
                    .map(|email| EmailClaims { email: &email.address, email_verified: email.verified }),
                authentication: Self::authentication_claims(issue, false),
            };
            let claims = to_json(&claims)?;
            tokens.push(Unsigned { algorithm: Algorithm::Rs256, token_type: TokenType::Jwt, claims });
        }
        let mut signed = self.signer.sign_all(tokens).await?.into_iter();
        let access_token = signed.next().ok_or_else(|| Error::from(PortError::Corrupt("nothing was signed".into())))?;
        Ok(Issued { access_token, lifetime, id_token: signed.next() })
    }

    fn authentication_claims<'a>(issue: &Issue<'a>, always: bool) -> Option<AuthenticationClaims<'a>> {
        (always || issue.client.authentication_claims).then(|| AuthenticationClaims {
            auth_time: issue.authentication.at.as_secs(),
            amr: &issue.authentication.methods,
            acr: issue.authentication.acr(),
        })
    }

    /// How access tokens for `audience` are signed, and how long they live.
    pub(crate) fn token_shape(&self, audience: &Audience) -> TokenShape {
        let own = |lifetime| TokenShape { algorithm: Algorithm::Rs256, dialect: TokenDialect::Auth0, lifetime };
        if self.registry.is_mfa_audience(audience.as_str()) {
            own(MFA_API_TOKEN_LIFETIME)
        } else if let Some(api) = self.registry.apis.get(audience) {
            TokenShape { algorithm: api.algorithm, dialect: api.dialect, lifetime: api.token_lifetime }
        } else {
            own(self.registry.policy.userinfo_token_lifetime)
        }
    }

    /// The claims of one of our access tokens, if it is good for `audience` at `now`.
    ///
    /// # Errors
    ///
    /// [`Reason::AccessTokenInvalid`], whatever is wrong with it.
    pub(crate) fn access_token(&self, token: &str, audience: &Audience, now: Timestamp) -> Result<AccessToken, Over> {
        let claims = self.verified_claims(token, now)?;
        if !claims.is_for(audience) {
            let error = Error::new(Reason::AccessTokenInvalid).because("audience");
            return Err(Over::of(&UserId::new(claims.sub), &ClientId::new(claims.client_id), error));
        }
        Ok(AccessToken {
            user: UserId::new(claims.sub),
            client: ClientId::new(claims.client_id),
            scopes: claims.scope.split(' ').filter(|scope| !scope.is_empty()).map(Scope::new).collect(),
            id: claims.jti,
            issued_at: seconds(claims.iat),
            authenticated_at: claims.auth_time.map(seconds),
            methods: claims.amr,
            grant: claims.gty,
        })
    }

    /// The claims of one of our access tokens, if it is good at `now`, whatever for.
    ///
    /// # Errors
    ///
    /// [`Reason::AccessTokenInvalid`], whatever is wrong with it.
    pub(crate) fn verified_claims(&self, token: &str, now: Timestamp) -> Result<VerifiedClaims, Over> {
        let invalid = |why| Error::new(Reason::AccessTokenInvalid).because(why);
        let verified = self.signer.verify(token).ok_or_else(|| invalid("signature or form"))?;
        let claims: VerifiedClaims =
            serde_json::from_slice(&verified.claims).map_err(|_wrong_type| invalid("claims"))?;
        if claims.azp.as_ref().is_some_and(|azp| *azp != claims.client_id) {
            return Err(invalid("two clients").into());
        }
        if claims.iss != self.registry.issuer {
            return Err(invalid("issuer").into());
        }
        let over = |claims: VerifiedClaims, why| {
            Err(Over::of(&UserId::new(claims.sub), &ClientId::new(claims.client_id), invalid(why)))
        };
        if now.as_secs() >= claims.exp {
            return over(claims, "expired");
        }
        if !self.registry.clients.contains_key(&ClientId::new(claims.client_id.as_str())) {
            return over(claims, "client is gone");
        }
        Ok(claims)
    }
}

/// What one of our access tokens says.
#[derive(Clone, Debug)]
pub struct AccessToken {
    /// `sub`.
    pub user: UserId,
    /// `client_id`.
    pub client: ClientId,
    /// `scope`.
    pub scopes: BTreeSet<Scope>,
    /// `jti`.
    pub id: String,
    /// `iat`.
    pub issued_at: Timestamp,
    /// `auth_time`.
    pub authenticated_at: Option<Timestamp>,
    /// `amr`.
    pub methods: Vec<String>,
    /// `gty`.
    pub grant: Option<String>,
}

impl AccessToken {
    /// How the person authenticated for it. Tokens of the MFA API always say it.
    pub(crate) fn authentication(&self) -> Authentication {
        let methods = self.methods.iter().cloned().map(Cow::Owned).collect();
        Authentication { at: self.authenticated_at.unwrap_or(self.issued_at), methods }
    }

    /// Whether a second factor was proven for it.
    pub fn has_mfa(&self) -> bool {
        self.methods.iter().any(|method| method == "mfa")
    }

    /// Refuses unless `scope` was granted.
    ///
    /// # Errors
    ///
    /// [`Reason::ScopeMissing`], naming it.
    pub fn require(&self, scope: &'static str) -> Result<(), Error> {
        if self.scopes.contains(&Scope::new(scope)) {
            Ok(())
        } else {
            Err(Error::new(Reason::ScopeMissing).with("scope", scope))
        }
    }
}

/// Every claim an access token must have, typed: a number that is a string is no number (RFC 7519, section 4.1).
#[derive(Deserialize)]
pub(crate) struct VerifiedClaims {
    pub iss: String,
    pub sub: String,
    aud: OneOrMany,
    pub iat: i64,
    pub exp: i64,
    /// Whom it was issued to: `client_id` in either dialect, and Auth0's `azp` beside it.
    pub client_id: String,
    azp: Option<String>,
    /// Only access tokens have it: an ID token must not pass for one.
    pub jti: String,
    pub scope: String,
    pub sid: Option<String>,
    pub auth_time: Option<i64>,
    gty: Option<String>,
    #[serde(default)]
    pub amr: Vec<String>,
    pub acr: Option<String>,
}

impl VerifiedClaims {
    /// `aud`.
    pub fn audiences(&self) -> &[String] {
        match &self.aud {
            OneOrMany::One(one) => std::slice::from_ref(one),
            OneOrMany::Many(many) => many.as_slice(),
        }
    }

    fn is_for(&self, audience: &Audience) -> bool {
        self.audiences().iter().any(|aud| aud == audience.as_str())
    }
}

/// A time of a claim.
pub(crate) fn seconds(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds.saturating_mul(1000))
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// The claims as they are signed.
pub(crate) fn to_json(claims: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(claims).map_err(|error| PortError::Corrupt(Box::new(error)).into())
}
