//! JWTs that clients sign with their private keys (RFC 7521, RFC 7523 and its successor).
//!
//! The audience is the issuer, as one string: an assertion that was meant for another server, or for two, must be good at neither
//! (CVE-2025-27370).

use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, de::DeserializeOwned};

use super::refused;
use crate::{
    app::App,
    claims::seconds,
    error::Error,
    numeric_date::{numeric_date, optional_date},
    port::login_store::{UsedAssertion, sweep_at},
    registry::Client,
    secret::Secret,
    time::Timestamp,
};

/// The longest assertion that is looked at, in bytes.
pub(crate) const MAX_BYTES: usize = 2048;
/// The longest `iss`, `sub` and `jti`, in characters.
const MAX_CLAIM: usize = 64;
/// How far ahead `exp` may be.
const MAX_LIFETIME: Duration = Duration::from_secs(300);
/// How much the clocks of a client and of this server may differ.
pub(crate) const SKEW: Duration = Duration::from_secs(10);

/// Types of a client's authentication: none, the general one, and the one of RFC 7523's successor.
const AUTHENTICATION_TYPES: [&str; 3] = ["", "JWT", "client-authentication+jwt"];

/// Whom an assertion is for.
#[derive(Deserialize)]
#[serde(untagged)]
enum Intended {
    One(String),
    List(Vec<String>),
}

impl Intended {
    /// The only one. A list, even of one, is taken from clients alone that may write one.
    fn alone(&self, may_list: bool) -> Option<&str> {
        match self {
            Self::One(audience) => Some(audience),
            Self::List(audiences) => match audiences.as_slice() {
                [audience] if may_list => Some(audience),
                _ => None,
            },
        }
    }
}

/// What every assertion must say. A number that is a string is no number.
#[derive(Deserialize)]
struct BasicClaims {
    iss: String,
    sub: String,
    aud: Intended,
    #[serde(deserialize_with = "numeric_date")]
    exp: i64,
    #[serde(default, deserialize_with = "optional_date")]
    nbf: Option<i64>,
    #[serde(default, deserialize_with = "optional_date")]
    iat: Option<i64>,
    jti: String,
}

/// An assertion of a client that is good, and not used up yet.
pub(crate) struct Asserted<T> {
    /// About whom.
    pub subject: String,
    /// What else it says.
    pub claims: T,
    /// The mark that uses it up.
    pub mark: UsedAssertion,
}

impl App {
    /// Checks that `jwt` is the client's own, and uses it up.
    ///
    /// # Errors
    ///
    /// [`Reason::ClientUnauthenticated`](crate::error::Reason::ClientUnauthenticated); the store failed.
    pub(super) async fn prove_by_assertion(
        &self,
        client: &Client,
        jwt: &Secret<String>,
        now: Timestamp,
    ) -> Result<(), Error> {
        #[derive(Deserialize)]
        struct Nothing {}
        let found = self.assertion::<Nothing>(client, jwt, &AUTHENTICATION_TYPES, now).map_err(refused)?;
        if found.subject != client.id.as_str() {
            return Err(refused("assertion: sub"));
        }
        if self.logins.redeem_assertion(found.mark).await? { Ok(()) } else { Err(refused("assertion: used before")) }
    }

    /// What `jwt` says, if the client signed it for this server and it is good at `now`.
    ///
    /// # Errors
    ///
    /// A word for the log.
    pub(crate) fn assertion<T: DeserializeOwned>(
        &self,
        client: &Client,
        jwt: &Secret<String>,
        types: &[&str],
        now: Timestamp,
    ) -> Result<Asserted<T>, &'static str> {
        let keys = client.keys.as_ref().ok_or("assertion: the client has no key")?;
        if jwt.expose().len() > MAX_BYTES {
            return Err("assertion: too long");
        }
        let bytes = keys.verify(jwt.expose(), types).ok_or("assertion: form, type or signature")?;
        let basic: BasicClaims = serde_json::from_slice(&bytes).map_err(|_wrong| "assertion: claims")?;
        let token_endpoint = client.token_endpoint_audience.then(|| format!("{}oauth/token", self.registry.issuer));
        let audiences = [Some(self.registry.issuer.as_str()), token_endpoint.as_deref()];
        if !basic.aud.alone(client.audience_list).is_some_and(|audience| audiences.contains(&Some(audience))) {
            return Err("assertion: aud");
        }
        basic.judge(client.id.as_str(), now)?;
        let claims = serde_json::from_slice(&bytes).map_err(|_wrong| "assertion: claims")?;
        // No client has a name with a NUL in it.
        let named = [client.id.as_str(), basic.jti.as_str()].join("\0");
        let mark = UsedAssertion {
            digest: self.sealer.token_digest("assertion", named.as_bytes()),
            sweep_at: sweep_at(seconds(basic.exp).plus(SKEW)),
            usable_from: basic.usable_from(),
        };
        Ok(Asserted { subject: basic.sub, claims, mark })
    }
}

impl BasicClaims {
    fn judge(&self, client: &str, now: Timestamp) -> Result<(), &'static str> {
        if self.iss != client {
            return Err("assertion: iss");
        }
        if [&self.iss, &self.sub, &self.jti].iter().any(|claim| claim.chars().count() > MAX_CLAIM) {
            return Err("assertion: a claim is too long");
        }
        if self.jti.is_empty() || self.sub.is_empty() {
            return Err("assertion: an empty claim");
        }
        let expires_at = seconds(self.exp);
        if now >= expires_at.plus(SKEW) {
            return Err("assertion: expired");
        }
        if expires_at > now.plus(MAX_LIFETIME).plus(SKEW) {
            return Err("assertion: lives too long");
        }
        if [self.nbf, self.iat].into_iter().flatten().any(|from| seconds(from) > now.plus(SKEW)) {
            return Err("assertion: of the future");
        }
        Ok(())
    }

    /// The first moment at which [`judge`](Self::judge) may have said yes.
    fn usable_from(&self) -> Timestamp {
        let near_its_end = seconds(self.exp).minus(MAX_LIFETIME);
        let starts = [self.nbf, self.iat].into_iter().flatten().map(seconds);
        starts.fold(near_its_end, Timestamp::max).minus(SKEW)
    }
}

/// The `sub` that an assertion claims. It chooses the key; nothing else of it is believed before that has verified it.
pub(super) fn claimed_subject(jwt: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Subject {
        sub: String,
    }
    let payload = jwt.split('.').nth(1).filter(|_| jwt.len() <= MAX_BYTES)?;
    let bytes = BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?;
    let claims: Subject = serde_json::from_slice(&bytes).ok()?;
    Some(claims.sub).filter(|sub| !sub.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn judged(change: impl FnOnce(&mut BasicClaims)) -> Result<(), &'static str> {
        claims(change).judge("web", seconds(NOW))
    }

    fn claims(change: impl FnOnce(&mut BasicClaims)) -> BasicClaims {
        let mut claims = BasicClaims {
            iss: "web".into(),
            sub: "web".into(),
            aud: Intended::One("https://id.test/".into()),
            exp: NOW + 60,
            nbf: None,
            iat: Some(NOW),
            jti: "j".into(),
        };
        change(&mut claims);
        claims
    }

    #[test]
    fn a_list_of_audiences_is_one_audience_only_where_it_may_be() {
        let alone = |json: &str, may_list| {
            serde_json::from_str::<Intended>(json).ok().and_then(|aud| aud.alone(may_list).map(str::to_owned))
        };
        let issuer = Some("https://id.test/".to_owned());
        for may_list in [false, true] {
            assert_eq!(alone("\"https://id.test/\"", may_list), issuer);
            assert_eq!(alone("[\"https://id.test/\"]", may_list), issuer.clone().filter(|_| may_list));
            for many in
                ["[]", "[\"https://id.test/\",\"https://id.test/\"]", "[[\"https://id.test/\"]]", "null", "{}", "7"]
            {
                assert_eq!(alone(many, may_list), None, "{many}");
            }
        }
    }

    #[test]
    fn nothing_is_taken_before_it_is_said_to_be_usable() {
        for (exp, nbf, iat) in [(60, None, Some(0)), (60, None, None), (300, Some(-5), Some(-9)), (310, Some(7), None)]
        {
            let claims = claims(|claims| {
                (claims.exp, claims.nbf, claims.iat) = (NOW + exp, nbf.map(|at| NOW + at), iat.map(|at| NOW + at));
            });
            let judged = |at: Timestamp| claims.judge("web", at);
            let first = claims.usable_from();
            assert!(judged(first).is_ok(), "{exp} {nbf:?} {iat:?}");
            assert!(judged(first.minus(Duration::from_secs(1))).is_err(), "{exp} {nbf:?} {iat:?}");
        }
    }

    #[test]
    fn lifetimes_end_where_they_are_said_to() {
        for (exp, good) in [(-10, false), (-9, true), (0, true), (300, true), (310, true), (311, false)] {
            assert_eq!(judged(|claims| claims.exp = NOW + exp).is_ok(), good, "{exp}");
        }
        for (start, good) in [(-600, true), (10, true), (11, false)] {
            assert_eq!(judged(|claims| claims.iat = Some(NOW + start)).is_ok(), good, "{start}");
            assert_eq!(judged(|claims| claims.nbf = Some(NOW + start)).is_ok(), good, "{start}");
        }
        assert!(judged(|claims| claims.exp = i64::MAX).is_err());
    }

    #[test]
    fn names_are_compared_and_bounded() {
        assert!(judged(|_| ()).is_ok());
        assert!(judged(|claims| claims.iss = "other".into()).is_err());
        for (jti, good) in [("", false), (&*"j".repeat(64), true), (&*"j".repeat(65), false)] {
            assert_eq!(judged(|claims| claims.jti = jti.into()).is_ok(), good);
        }
        assert!(judged(|claims| claims.sub = "s".repeat(65)).is_err());
    }

    #[test]
    fn a_number_that_is_a_text_is_none() {
        let claims = r#"{"iss":"web","sub":"web","aud":"https://id.test/","exp":"1","jti":"j"}"#;
        assert!(serde_json::from_str::<BasicClaims>(claims).is_err());
    }
}
