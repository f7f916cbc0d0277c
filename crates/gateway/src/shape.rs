//! The documented HTTP bodies. `openapi.json` describes each; a test holds the two together.

use countersign_proto::v1::{Authenticator, AuthenticatorState, FactorType, OobChannel, authenticator::Factor};
use jiff::Timestamp;
use serde::{Serialize, Serializer};

/// An OAuth error (RFC 6749, section 5.2).
#[derive(Serialize)]
pub(crate) struct OAuthError<'a> {
    pub(crate) error: &'a str,
    pub(crate) error_description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error_uri: Option<&'a str>,
}

/// Tokens (RFC 6749, section 5.1).
#[derive(Serialize)]
pub(crate) struct Tokens<'a> {
    pub(crate) access_token: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) id_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<String>,
    pub(crate) expires_in: i64,
    pub(crate) token_type: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) refresh_token: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) recovery_code: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) device_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) enroll_by: Option<Moment>,
}

/// A remembered device.
#[derive(Serialize)]
pub(crate) struct RememberedDevice<'a> {
    pub(crate) id: &'a str,
    pub(crate) client_id: &'a str,
    pub(crate) created_at: Option<Moment>,
    pub(crate) last_used_at: Option<Moment>,
    pub(crate) expires_at: Option<Moment>,
}

impl<'a> RememberedDevice<'a> {
    /// The device as HTTP has it.
    pub(crate) fn of(device: &'a countersign_proto::v1::RememberedDevice) -> Self {
        Self {
            id: &device.device_id,
            client_id: &device.client_id,
            created_at: device.create_time.as_ref().map(Moment::of),
            last_used_at: device.use_time.as_ref().map(Moment::of),
            expires_at: device.expire_time.as_ref().map(Moment::of),
        }
    }
}

/// What a token says (RFC 7662, section 2.2). One that is not active says nothing.
#[derive(Default, Serialize)]
pub(crate) struct Introspection<'a> {
    pub(crate) active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scope: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) client_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) token_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) exp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) iat: Option<i64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) sub: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) aud: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) iss: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) jti: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) auth_time: Option<i64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) acr: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) amr: &'a [String],
}

/// The demand for a second factor.
#[derive(Serialize)]
pub(crate) struct MfaRequired<'a> {
    pub(crate) error: &'static str,
    pub(crate) error_description: &'static str,
    pub(crate) mfa_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mfa_requirements: Option<MfaRequirements>,
}

/// Which factors would do.
#[derive(Serialize)]
pub(crate) struct MfaRequirements {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) challenge: Vec<Requirement>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) enroll: Vec<Requirement>,
}

/// One of them.
#[derive(Serialize)]
pub(crate) struct Requirement {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
}

impl Requirement {
    /// Every factor HTTP has a word for.
    pub(crate) fn list(factors: impl Iterator<Item = FactorType>) -> Vec<Self> {
        factors
            .filter_map(|factor| match factor {
                FactorType::Otp => Some(Self { kind: "otp" }),
                FactorType::Phone => Some(Self { kind: "phone" }),
                FactorType::Email => Some(Self { kind: "email" }),
                FactorType::Push => Some(Self { kind: "push-notification" }),
                FactorType::RecoveryCode => Some(Self { kind: "recovery-code" }),
                FactorType::Unspecified => None,
            })
            .collect()
    }
}

/// A challenge of an authenticator app.
#[derive(Serialize)]
pub(crate) struct OtpChallenge<'a> {
    pub(crate) challenge_type: &'static str,
    pub(crate) authenticator_id: &'a str,
}

/// A challenge whose code was sent.
#[derive(Serialize)]
pub(crate) struct OobChallenge<'a> {
    pub(crate) challenge_type: &'static str,
    pub(crate) oob_code: &'a str,
    pub(crate) binding_method: &'static str,
    pub(crate) authenticator_id: &'a str,
    pub(crate) expires_in: i64,
}

/// A challenge that a device answers. The members of [`OobChallenge`] that are not here are absent unless there is a number to show.
#[derive(Serialize)]
pub(crate) struct PushChallenge<'a> {
    pub(crate) challenge_type: &'static str,
    pub(crate) oob_code: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) binding_method: Option<&'static str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) binding_code: &'a str,
    pub(crate) authenticator_id: &'a str,
    pub(crate) expires_in: i64,
    pub(crate) interval: i64,
}

/// A pending authenticator app. There is no member `recovery_code`: one SDK takes any answer with it for something else.
#[derive(Serialize)]
pub(crate) struct OtpAssociation<'a> {
    pub(crate) authenticator_type: &'static str,
    pub(crate) secret: &'a str,
    pub(crate) barcode_uri: &'a str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) recovery_codes: &'a [String],
}

/// A pending telephone or mailbox, whose code was sent.
#[derive(Serialize)]
pub(crate) struct OobAssociation<'a> {
    pub(crate) authenticator_type: &'static str,
    pub(crate) binding_method: &'static str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) recovery_codes: &'a [String],
    pub(crate) oob_channel: &'static str,
    pub(crate) oob_code: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) restricted: bool,
}

/// A pending device.
#[derive(Serialize)]
pub(crate) struct PushAssociation<'a> {
    pub(crate) authenticator_type: &'static str,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(crate) recovery_codes: &'a [String],
    pub(crate) barcode_uri: &'a str,
    pub(crate) oob_channel: &'static str,
    pub(crate) oob_code: &'a str,
}

/// A device that is registered.
#[derive(Serialize)]
pub(crate) struct Device<'a> {
    pub(crate) id: &'a str,
    pub(crate) url: &'a str,
    pub(crate) issuer: &'a str,
    pub(crate) user_id: &'a str,
    pub(crate) token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) totp: Option<DeviceTotp<'a>>,
}

/// The authenticator app on it.
#[derive(Serialize)]
pub(crate) struct DeviceTotp<'a> {
    pub(crate) secret: &'a str,
    pub(crate) algorithm: String,
    pub(crate) digits: u32,
    pub(crate) period: u32,
}

/// A device as it is kept after a change.
#[derive(Serialize)]
pub(crate) struct MaintainedDevice<'a> {
    pub(crate) id: &'a str,
    pub(crate) identifier: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) push_credentials: Option<PushCredentials<'a>>,
}

/// Where a device is notified.
#[derive(Serialize)]
pub(crate) struct PushCredentials<'a> {
    pub(crate) service: &'static str,
    pub(crate) token: &'a str,
}

/// An error as devices read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GuardianError<'a> {
    pub(crate) status_code: u16,
    pub(crate) error_code: &'static str,
    pub(crate) error: &'static str,
    pub(crate) message: &'a str,
}

/// The channel's name over HTTP; none for one HTTP has no word for.
pub(crate) const fn channel_name(channel: OobChannel) -> Option<&'static str> {
    match channel {
        OobChannel::Sms => Some("sms"),
        OobChannel::Voice => Some("voice"),
        OobChannel::Email => Some("email"),
        OobChannel::Push => Some("auth0"),
        OobChannel::Unspecified => None,
    }
}

/// An entry of the list of authenticators.
#[derive(Serialize)]
pub(crate) struct Entry<'a> {
    id: &'a str,
    authenticator_type: &'static str,
    active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    oob_channel: Option<&'static str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    preferred: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_auth: Option<Moment>,
}

impl<'a> Entry<'a> {
    /// None for a kind HTTP has no word for.
    pub(crate) fn of(authenticator: &'a Authenticator) -> Option<Self> {
        let (authenticator_type, oob_channel, kind) = match authenticator.factor.as_ref()? {
            Factor::Otp(_) => ("otp", None, "otp"),
            Factor::Oob(oob) => {
                let kind = match oob.channel() {
                    OobChannel::Email => "email",
                    OobChannel::Push => "push-notification",
                    _ => "phone",
                };
                ("oob", Some(channel_name(oob.channel())?), kind)
            }
            Factor::RecoveryCode(_) => ("recovery-code", None, "recovery-code"),
        };
        Some(Self {
            id: &authenticator.authenticator_id,
            authenticator_type,
            oob_channel,
            active: authenticator.state() == AuthenticatorState::Active,
            name: &authenticator.name,
            kind,
            // An extension of ours: said only where it says something.
            preferred: authenticator.preferred.then_some(true),
            created_at: authenticator.create_time.as_ref().map(Moment::of),
            last_auth: authenticator.last_use_time.as_ref().map(Moment::of),
        })
    }
}

/// Who an access token is about (OpenID Connect Core, section 5.3), with `updated_at` as the text Auth0 makes of it.
#[derive(Serialize)]
pub(crate) struct UserInfo<'a> {
    pub(crate) sub: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) nickname: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) given_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) family_name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(crate) picture: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) updated_at: Option<Moment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email_verified: Option<bool>,
}

/// The discovery document (OpenID Connect Discovery 1.0, section 3; RFC 8414, section 2). It names only what exists; members
/// that would be empty are left out, as RFC 8414, section 3.2 says.
#[derive(Serialize)]
pub(crate) struct Discovery<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) token_endpoint: String,
    pub(crate) userinfo_endpoint: String,
    pub(crate) revocation_endpoint: String,
    pub(crate) introspection_endpoint: String,
    pub(crate) mfa_challenge_endpoint: String,
    pub(crate) jwks_uri: String,
    pub(crate) scopes_supported: &'a [String],
    pub(crate) grant_types_supported: [&'static str; 8],
    pub(crate) subject_types_supported: [&'static str; 1],
    pub(crate) id_token_signing_alg_values_supported: &'a [String],
    pub(crate) token_endpoint_auth_methods_supported: [&'static str; 4],
    pub(crate) token_endpoint_auth_signing_alg_values_supported: [&'static str; 6],
    pub(crate) revocation_endpoint_auth_methods_supported: [&'static str; 4],
    pub(crate) revocation_endpoint_auth_signing_alg_values_supported: [&'static str; 6],
    pub(crate) introspection_endpoint_auth_methods_supported: [&'static str; 3],
    pub(crate) introspection_endpoint_auth_signing_alg_values_supported: [&'static str; 6],
    pub(crate) claims_supported: &'a [String],
    pub(crate) acr_values_supported: &'a [String],
    pub(crate) request_uri_parameter_supported: bool,
    pub(crate) request_parameter_supported: bool,
}

/// The public keys (RFC 7517, section 5).
#[derive(Serialize)]
pub(crate) struct KeySet<'a> {
    pub(crate) keys: Vec<Key<'a>>,
}

/// One of them (RFC 7517, section 4; RFC 7518, section 6).
#[derive(Serialize)]
pub(crate) struct Key<'a> {
    pub(crate) kty: &'static str,
    #[serde(rename = "use")]
    pub(crate) usage: &'static str,
    pub(crate) alg: &'a str,
    pub(crate) kid: &'a str,
    #[serde(flatten)]
    pub(crate) numbers: Numbers<'a>,
}

/// The key itself.
#[derive(Serialize)]
#[serde(untagged)]
pub(crate) enum Numbers<'a> {
    /// RSA.
    Rsa {
        n: &'a str,
        e: &'a str,
        /// RFC 7517, section 4.7: base64, not base64url.
        #[serde(skip_serializing_if = "Option::is_none")]
        x5c: Option<[String; 1]>,
    },
    /// Elliptic curve.
    Ec { crv: &'a str, x: &'a str, y: &'a str },
    /// Edwards curve: `kty` OKP.
    Okp { crv: &'a str, x: &'a str },
}

/// A time, written as `2023-06-14T21:36:26.399Z`.
pub(crate) struct Moment(Timestamp);

impl Moment {
    pub(crate) fn of(timestamp: &prost_types::Timestamp) -> Self {
        // Out of range means broken data; the epoch shows it and nothing falls over.
        Self(Timestamp::new(timestamp.seconds, timestamp.nanos).unwrap_or(Timestamp::UNIX_EPOCH))
    }
}

impl Moment {
    /// For people: `2023-06-14 21:36 UTC`.
    pub(crate) fn to_minute(&self) -> String {
        self.0.strftime("%Y-%m-%d %H:%M UTC").to_string()
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:.3}", self.0))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn times_have_milliseconds_and_a_z() {
        let written =
            |seconds, nanos| serde_json::to_string(&Moment::of(&prost_types::Timestamp { seconds, nanos })).unwrap();
        assert_eq!(written(1_686_778_586, 399_000_000), "\"2023-06-14T21:36:26.399Z\"");
        assert_eq!(written(0, 0), "\"1970-01-01T00:00:00.000Z\"");
    }
}
