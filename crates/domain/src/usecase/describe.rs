//! Describe the authorization server.

use crate::{
    app::App,
    port::signer::PublicKey,
    registry::{OFFLINE_ACCESS, OIDC_SCOPES},
};

/// What discovery documents say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// The issuer.
    pub issuer: String,
    /// Scopes of OpenID Connect.
    pub scopes: Vec<String>,
    /// Algorithms ID tokens are signed with.
    pub id_token_algorithms: Vec<String>,
    /// Authentication classes of tokens.
    pub acr_values: Vec<String>,
    /// Claims of ID tokens and userinfo.
    pub claims: Vec<String>,
}

impl App {
    /// The public keys that verify our tokens: each that is not retired, whatever APIs are configured for now. So these are RSA keys
    /// only, until an API is configured for another algorithm or an operator adds a key of one.
    pub fn signing_keys(&self) -> Vec<PublicKey> {
        self.signer.public_keys()
    }

    /// What discovery documents say.
    pub fn metadata(&self) -> Metadata {
        let owned = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        Metadata {
            issuer: self.registry.issuer.clone(),
            scopes: OIDC_SCOPES.iter().chain([&OFFLINE_ACCESS]).map(|scope| (*scope).to_owned()).collect(),
            id_token_algorithms: owned(&["RS256"]),
            acr_values: owned(&self.acr_values()),
            claims: owned(&[
                "acr",
                "amr",
                "aud",
                "auth_time",
                "email",
                "email_verified",
                "exp",
                "family_name",
                "given_name",
                "iat",
                "iss",
                "name",
                "nickname",
                "picture",
                "sub",
                "updated_at",
            ]),
        }
    }
}
