//! The token that APNs knows us by, kept as long as it is good.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use countersign_domain::{port::sender::SendError, secret::Secret, time::Timestamp};
use serde_json::json;

use crate::{jwt::JwtKey, provider::http::unsent};

/// APNs refuses tokens of more than an hour.
const LIFETIME: Duration = Duration::from_secs(50 * 60);
/// APNs refuses to see new tokens more often than this.
const LEAST_AGE: Duration = Duration::from_secs(20 * 60);

/// The token and how to make the next.
pub(super) struct ProviderToken {
    key: JwtKey,
    key_id: String,
    team_id: String,
    current: Mutex<Option<Signed>>,
}

struct Signed {
    bearer: Secret<String>,
    at: Timestamp,
}

#[derive(Debug, thiserror::Error)]
#[error("the provider token cannot be signed")]
struct Unsigned;

impl ProviderToken {
    pub(super) fn new(key: JwtKey, key_id: String, team_id: String) -> Self {
        Self { key, key_id, team_id, current: Mutex::new(None) }
    }

    /// The token to use now.
    pub(super) fn bearer(&self, now: Timestamp) -> Result<Secret<String>, SendError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match current.as_ref().filter(|signed| now.since(signed.at) < LIFETIME) {
            Some(signed) => Ok(signed.bearer.clone()),
            None => self.sign(&mut current, now),
        }
    }

    /// The token to use after APNs called `refused` expired: the one that has taken its place, or a new one. `None` if `refused`
    /// is so young that a new one would be refused as well; then a clock is wrong.
    pub(super) fn renew(&self, refused: &Secret<String>, now: Timestamp) -> Result<Option<Secret<String>>, SendError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        match current.as_ref() {
            Some(signed) if signed.bearer.expose() != refused.expose() => Ok(Some(signed.bearer.clone())),
            Some(signed) if now.since(signed.at) < LEAST_AGE => Ok(None),
            _ => self.sign(&mut current, now).map(Some),
        }
    }

    fn sign(&self, current: &mut Option<Signed>, now: Timestamp) -> Result<Secret<String>, SendError> {
        let claims = json!({ "iss": self.team_id, "iat": now.as_secs() });
        let bearer = self.key.sign(&self.key_id, &claims).map_err(|_| unsent(Unsigned))?;
        *current = Some(Signed { bearer: bearer.clone(), at: now });
        Ok(bearer)
    }
}
