//! One file per route.

pub(crate) mod guardian;
pub(crate) mod mfa_associate;
pub(crate) mod mfa_authenticators;
pub(crate) mod mfa_challenge;
pub(crate) mod mfa_remembered_devices;
pub(crate) mod notices;
pub(crate) mod oauth_introspect;
pub(crate) mod oauth_revoke;
pub(crate) mod oauth_token;
pub(crate) mod userinfo;
pub(crate) mod well_known;
