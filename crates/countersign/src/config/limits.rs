//! Lifetimes, limits, and when a second factor is asked for.

use std::time::Duration;

use countersign_domain::registry::{Limit, OtpWindow, Policy};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Lifetimes and limits.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Lifetime of an `mfa_token`, and of an enrolment that is not confirmed. 1m to 1h.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub mfa_token_lifetime: Duration,
    /// Lifetime of access tokens that are good for userinfo only. 1m to 30days.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub userinfo_token_lifetime: Duration,
    /// Wrong codes per person and factor.
    pub factor_failures: FactorFailures,
    /// Wrong passwords per account and address before it is locked.
    pub password_failures: PasswordFailures,
    /// Password logins per account and address, right or wrong.
    pub password_rate: PasswordRate,
    /// Userinfo requests per person.
    pub userinfo_rate: UserinfoRate,
    /// Whom the limits on passwords count.
    pub count_by: CountBy,
    /// Time steps whose codes are accepted besides the current one (RFC 6238, section 5.2).
    pub otp_window: OtpWindowConfig,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        let policy = Policy::default();
        Self {
            mfa_token_lifetime: policy.mfa_token_lifetime,
            userinfo_token_lifetime: policy.userinfo_token_lifetime,
            factor_failures: FactorFailures::default(),
            password_failures: PasswordFailures::default(),
            password_rate: PasswordRate::default(),
            userinfo_rate: UserinfoRate::default(),
            count_by: CountBy::UserAndAddress,
            otp_window: OtpWindowConfig::default(),
        }
    }
}

macro_rules! bucket {
    ($(#[$doc:meta])* $name:ident, $policy:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub struct $name {
            /// Attempts it holds.
            pub capacity: u32,
            /// How long until one comes back. 1ms to 365days.
            #[serde(with = "humantime_serde")]
            #[schemars(with = "String")]
            pub refill: Duration,
        }

        impl Default for $name {
            fn default() -> Self {
                let Limit { capacity, refill } = Policy::default().$policy;
                Self { capacity, refill }
            }
        }

        impl $name {
            /// The limit.
            pub const fn limit(&self) -> Limit {
                Limit { capacity: self.capacity, refill: self.refill }
            }
        }
    };
}

bucket! {
    /// Wrong codes per person and factor; capacity 1 to 100.
    FactorFailures, factor_failures
}
bucket! {
    /// Wrong passwords per account and address; capacity 1 to 100.
    PasswordFailures, password_failures
}
bucket! {
    /// Password logins per account and address; capacity 1 to 1000000.
    PasswordRate, password_rate
}
bucket! {
    /// Userinfo requests per person; capacity 1 to 1000000.
    UserinfoRate, userinfo_rate
}

/// Whom the limits on passwords count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CountBy {
    /// Each account and address: who guesses elsewhere does not lock the person out.
    UserAndAddress,
    /// Each account, whatever the address.
    User,
}

/// Time steps around the current one.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OtpWindowConfig {
    /// Steps behind. 0 to 2.
    pub behind: u64,
    /// Steps ahead. 0 to 2.
    pub ahead: u64,
}

impl Default for OtpWindowConfig {
    fn default() -> Self {
        let OtpWindow { behind, ahead } = Policy::default().otp_window;
        Self { behind, ahead }
    }
}

/// The second factor.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MfaConfig {
    /// When people are asked for it. A client may say otherwise.
    pub demand: MfaDemandName,
}

/// When people are asked for a second factor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum MfaDemandName {
    /// At every login; who has none must enrol.
    #[default]
    Always,
    /// At every login of who has one.
    IfEnrolled,
}
