//! Messages of `TokenService`.

use std::time::Duration;

use countersign_domain::{
    app::{Origin, RequestedScopes},
    error::Error,
    id::{RealmName, Scope},
    login_name::{LoginName, MAX_CHARS},
    opaque::{self, TokenKind},
    port::signer::{KeyMaterial, PublicKey},
    secret::Secret,
    usecase::{
        describe::Metadata,
        introspect_token::{self, ActiveToken},
        issue_token::{
            AssertedLogin, Command, FactorType, Grant, MfaRequired, Outcome, PasswordGrant, StepUp, TokenSet,
        },
        manage_users::MAX_PASSWORD_BYTES,
        revoke_token,
        user_info::UserInfo,
    },
};
use countersign_proto::v1::{self, issue_token_request, issue_token_response, signing_key};

use super::{Known, Violations, asserted, client, given, timestamp};

const MAX_TOKEN: usize = 8192;

const MAX_SCOPES: usize = 100;

/// A command, or everything that is wrong with the request.
pub(crate) fn parse(request: v1::IssueTokenRequest, origin: Origin, known: Known<'_>) -> Result<Command, Error> {
    let mut violations = Violations::default();
    violations.at_most("device_token", &request.device_token, MAX_TOKEN);
    let device_token = given(request.device_token).map(Secret::new);
    let origin = Origin { device_token, remember_device: request.remember_device, ..origin };
    let client = client(request.client, known, &mut violations);
    let step_up = step_up(request.acr_values, request.max_age, &mut violations);
    let grant = match request.grant {
        None => {
            violations.add("grant_type", "Missing required parameter: grant_type".into());
            return violations.none(()).and_then(|()| Err(Error::missing("grant_type")));
        }
        Some(issue_token_request::Grant::Password(grant)) => {
            Grant::Password(password(grant, request.audience, request.scopes, &mut violations))
        }
        Some(issue_token_request::Grant::Otp(grant)) => {
            let mfa_token = mfa_token(grant.mfa_token, &mut violations);
            let code = violations.required("otp", grant.otp);
            violations.at_most("otp", &code, 64);
            Grant::Otp { mfa_token, code: Secret::new(code) }
        }
        Some(issue_token_request::Grant::Oob(grant)) => {
            let mfa_token = mfa_token(grant.mfa_token, &mut violations);
            let oob_code = violations.required("oob_code", grant.oob_code);
            violations.at_most("oob_code", &oob_code, MAX_TOKEN);
            let asks_device = opaque::is_well_formed(TokenKind::Approval, &oob_code);
            let code = if asks_device {
                None
            } else {
                let code = violations.required("binding_code", grant.binding_code);
                violations.at_most("binding_code", &code, 64);
                Some(Secret::new(code))
            };
            Grant::Oob { mfa_token, oob_code: Secret::new(oob_code), binding_code: code }
        }
        Some(issue_token_request::Grant::RefreshToken(grant)) => {
            let token = token("refresh_token", grant.refresh_token, &mut violations);
            Grant::Refresh { token, scopes: scopes(request.scopes, &mut violations) }
        }
        Some(issue_token_request::Grant::ClientCredentials(v1::ClientCredentialsGrant {})) => {
            Grant::ClientCredentials {
                audience: audience(request.audience, &mut violations),
                scopes: scopes(request.scopes, &mut violations),
            }
        }
        Some(issue_token_request::Grant::AssertedLogin(grant)) => Grant::AssertedLogin {
            login: AssertedLogin::Plain(asserted::subject(grant, &mut violations)),
            audience: audience(request.audience, &mut violations),
            scopes: scopes(request.scopes, &mut violations),
        },
        Some(issue_token_request::Grant::SignedLogin(grant)) => Grant::AssertedLogin {
            login: AssertedLogin::Signed(token("assertion", grant.assertion, &mut violations)),
            audience: audience(request.audience, &mut violations),
            scopes: scopes(request.scopes, &mut violations),
        },
        Some(issue_token_request::Grant::RecoveryCode(grant)) => {
            let mfa_token = mfa_token(grant.mfa_token, &mut violations);
            let code = violations.required("recovery_code", grant.recovery_code);
            violations.at_most("recovery_code", &code, 256);
            Grant::RecoveryCode { mfa_token, code: Secret::new(code) }
        }
    };
    violations.none(Command { client, grant, origin, step_up })
}

/// What is asked of the login behind the tokens.
fn step_up(acr_values: Vec<String>, max_age: Option<prost_types::Duration>, violations: &mut Violations) -> StepUp {
    if acr_values.len() > 20 || acr_values.iter().any(|acr| acr.len() > 256) {
        violations.add("acr_values", "acr_values must have at most 20 values of at most 256 characters".into());
    }
    let max_age = max_age.and_then(|age| {
        let seconds = u64::try_from(age.seconds).ok().filter(|_| age.nanos == 0);
        if seconds.is_none() {
            violations.add("max_age", "max_age must be a whole number of seconds, and not negative".into());
        }
        seconds.map(Duration::from_secs)
    });
    StepUp { acr_values: acr_values.into_iter().filter(|acr| !acr.is_empty()).collect(), max_age }
}

/// An `mfa_token` of any kind.
pub(crate) fn mfa_token(token: String, violations: &mut Violations) -> Secret<String> {
    self::token("mfa_token", token, violations)
}

fn token(field: &'static str, token: String, violations: &mut Violations) -> Secret<String> {
    let token = violations.required(field, token);
    violations.at_most(field, &token, MAX_TOKEN);
    Secret::new(token)
}

/// The API a request names.
fn audience(audience: String, violations: &mut Violations) -> Option<String> {
    violations.at_most("audience", &audience, 512);
    given(audience)
}

/// The scopes a request names.
fn scopes(scopes: Vec<String>, violations: &mut Violations) -> RequestedScopes {
    if scopes.len() > MAX_SCOPES || scopes.iter().any(|scope| scope.len() > Scope::MAX_CHARS) {
        let most = Scope::MAX_CHARS;
        violations.add("scope", format!("scope must have at most {MAX_SCOPES} values of at most {most} characters"));
    }
    let scopes: Vec<Scope> = scopes.into_iter().filter(|scope| !scope.is_empty()).map(Scope::new).collect();
    Some(scopes).filter(|scopes| !scopes.is_empty())
}

/// What is to be revoked, or everything that is wrong with the request.
pub(crate) fn parse_revocation(
    request: v1::RevokeTokenRequest,
    origin: Origin,
    known: Known<'_>,
) -> Result<revoke_token::Command, Error> {
    let mut violations = Violations::default();
    let client = client(request.client, known, &mut violations);
    let token = token("token", request.token, &mut violations);
    violations.none(revoke_token::Command { client, token, origin })
}

/// What is asked about, or everything that is wrong with the request.
pub(crate) fn parse_introspection(
    request: v1::IntrospectTokenRequest,
    origin: Origin,
    known: Known<'_>,
) -> Result<introspect_token::Command, Error> {
    let mut violations = Violations::default();
    let client = client(request.client, known, &mut violations);
    let token = token("token", request.token, &mut violations);
    violations.none(introspect_token::Command { client, token, origin })
}

/// What a token says as a message.
pub(crate) fn render_introspection(active: Option<ActiveToken>) -> v1::IntrospectTokenResponse {
    let active = active.map(|token| v1::ActiveToken {
        is_refresh_token: token.is_refresh_token,
        issuer: token.issuer,
        subject: token.subject,
        audiences: token.audiences,
        client_id: token.client,
        scopes: token.scope.split(' ').filter(|scope| !scope.is_empty()).map(str::to_owned).collect(),
        expire_time: token.expires_at.map(timestamp),
        issue_time: Some(timestamp(token.issued_at)),
        token_id: token.id.unwrap_or_default(),
        auth_time: token.authenticated_at.map(timestamp),
        methods: token.methods,
        acr: token.acr.unwrap_or_default(),
    });
    v1::IntrospectTokenResponse { active }
}

fn password(
    grant: v1::PasswordGrant,
    audience: String,
    scopes: Vec<String>,
    violations: &mut Violations,
) -> PasswordGrant {
    let username = violations.required("username", grant.username);
    violations.at_most("username", &username, MAX_CHARS);
    let password = Secret::new(violations.required("password", grant.password));
    if password.expose().len() > MAX_PASSWORD_BYTES {
        violations.add("password", format!("password must have at most {MAX_PASSWORD_BYTES} bytes"));
    }
    let realm = given(grant.realm);
    if grant.realm_required && realm.is_none() {
        violations.add("realm", "Missing required parameter: realm".into());
    }
    violations.at_most("realm", realm.as_deref().unwrap_or_default(), RealmName::MAX_CHARS);
    PasswordGrant {
        login: LoginName::parse(&username).ok(),
        password,
        realm: realm.map(RealmName::new),
        realm_grant: grant.realm_required,
        audience: self::audience(audience, violations),
        scopes: self::scopes(scopes, violations),
    }
}

/// The outcome as a message.
pub(crate) fn render(outcome: Outcome) -> v1::IssueTokenResponse {
    let outcome = match outcome {
        Outcome::Tokens(tokens) => issue_token_response::Outcome::Tokens(token_set(tokens)),
        Outcome::MfaRequired(required) => {
            countersign_telemetry::note(|facts| facts.outcome = Some("mfa_required"));
            issue_token_response::Outcome::MfaRequired(mfa_required(required))
        }
    };
    v1::IssueTokenResponse { outcome: Some(outcome) }
}

fn token_set(tokens: TokenSet) -> v1::TokenSet {
    let text = |secret: Option<Secret<String>>| secret.map(Secret::surrender).unwrap_or_default();
    v1::TokenSet {
        access_token: tokens.access_token.surrender(),
        lifetime: prost_types::Duration::try_from(tokens.lifetime).ok(),
        scopes: tokens.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        scopes_changed: tokens.scopes_changed,
        id_token: text(tokens.id_token),
        recovery_code: text(tokens.recovery_code),
        refresh_token: text(tokens.refresh_token),
        device_token: text(tokens.device_token),
        enroll_by_time: tokens.enroll_by.map(timestamp),
    }
}

fn mfa_required(required: MfaRequired) -> v1::MfaRequired {
    let types = |types: Vec<FactorType>| types.into_iter().map(|kind| factor_type(kind).into()).collect();
    v1::MfaRequired {
        mfa_token: required.mfa_token.surrender(),
        expire_time: Some(timestamp(required.expires_at)),
        challenge: types(required.challenge),
        enroll: types(required.enroll),
        requirements_published: required.published,
    }
}

const fn factor_type(kind: FactorType) -> v1::FactorType {
    match kind {
        FactorType::Otp => v1::FactorType::Otp,
        FactorType::Phone => v1::FactorType::Phone,
        FactorType::Email => v1::FactorType::Email,
        FactorType::Push => v1::FactorType::Push,
        FactorType::RecoveryCode => v1::FactorType::RecoveryCode,
    }
}

/// Claims as a message.
pub(crate) fn render_user_info(info: UserInfo) -> v1::GetUserInfoResponse {
    v1::GetUserInfoResponse {
        subject: info.subject.as_str().to_owned(),
        profile: info.profile.map(|profile| v1::Profile {
            name: profile.name,
            nickname: profile.nickname,
            given_name: profile.given_name.unwrap_or_default(),
            family_name: profile.family_name.unwrap_or_default(),
            picture: profile.picture.unwrap_or_default(),
            update_time: Some(timestamp(profile.updated_at)),
        }),
        email: info.email.map(|email| v1::Email { address: email.address, verified: email.verified }),
    }
}

/// Public keys as a message.
pub(crate) fn render_keys(keys: Vec<PublicKey>) -> v1::GetSigningKeysResponse {
    let keys = keys
        .into_iter()
        .map(|key| v1::SigningKey {
            key_id: key.id.as_str().to_owned(),
            algorithm: key.algorithm.as_str().to_owned(),
            key: Some(match key.material {
                KeyMaterial::Rsa { modulus, exponent } => {
                    let certificate = key.certificate.unwrap_or_default();
                    signing_key::Key::Rsa(v1::RsaPublicKey { modulus, exponent, certificate })
                }
                KeyMaterial::Ec { x, y } => signing_key::Key::Ec(v1::EcPublicKey { curve: "P-256".into(), x, y }),
                KeyMaterial::Okp { x } => signing_key::Key::Okp(v1::OkpPublicKey { curve: "Ed25519".into(), x }),
            }),
        })
        .collect();
    v1::GetSigningKeysResponse { keys }
}

/// The server's description as a message.
pub(crate) fn render_metadata(metadata: Metadata) -> v1::GetMetadataResponse {
    v1::GetMetadataResponse {
        issuer: metadata.issuer,
        scopes_supported: metadata.scopes,
        id_token_signing_algorithms: metadata.id_token_algorithms,
        claims_supported: metadata.claims,
        acr_values_supported: metadata.acr_values,
    }
}
