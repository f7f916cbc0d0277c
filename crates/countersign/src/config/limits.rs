//! Lifetimes, limits, and when a second factor is asked for.

use std::time::Duration;

use countersign_domain::{
    authenticator::FactorKind,
    registry::{Limit, OtpWindow, Policy, SendLimits},
};
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
    /// Whether the last wrong code locks the factor: the next try is one `factor_failures.refill` after it. Without, one comes back that long
    /// after the first.
    pub factor_failures_lock: bool,
    /// Wrong passwords per account and address before it is locked.
    pub password_failures: PasswordFailures,
    /// Password logins per account and address, right or wrong.
    pub password_rate: PasswordRate,
    /// Userinfo requests per person.
    pub userinfo_rate: UserinfoRate,
    /// Lifetime of a code that was sent, of a question to a device, and of the ticket it enrols with. 2m to 10m (NIST SP 800-63B-4, section 3.1.3.2).
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub oob_code_lifetime: Duration,
    /// How long after the login an access token of the MFA API may add, change and remove factors, and an `mfa_token` enrol the first one. 1m to 1h.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub management_max_age: Duration,
    /// Messages that are sent.
    pub sends: SendLimitsConfig,
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
            factor_failures_lock: policy.factor_failures_lock,
            password_failures: PasswordFailures::default(),
            password_rate: PasswordRate::default(),
            userinfo_rate: UserinfoRate::default(),
            oob_code_lifetime: policy.oob_code_lifetime,
            management_max_age: policy.management_max_age,
            sends: SendLimitsConfig::default(),
            count_by: CountBy::UserAndAddress,
            otp_window: OtpWindowConfig::default(),
        }
    }
}

macro_rules! bucket {
    ($(#[$doc:meta])* $name:ident, $($policy:ident).+) => {
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
                let Limit { capacity, refill } = Policy::default().$($policy).+;
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
bucket! {
    /// Text messages and calls per person; capacity 1 to 1000000.
    PhoneSends, sends.phone
}
bucket! {
    /// E-mails per person; capacity 1 to 1000000.
    EmailSends, sends.email
}
bucket! {
    /// Notifications per person; capacity 1 to 1000000.
    PushSends, sends.push
}
bucket! {
    /// Notifications per person since their last success with any factor; capacity 1 to 1000000.
    UnansweredPushes, sends.push_unanswered
}
bucket! {
    /// Messages to one number or address; capacity 1 to 1000000.
    DestinationSends, sends.destination
}
bucket! {
    /// Text messages and calls to numbers that differ in their last four digits only; capacity 1 to 1000000.
    PrefixSends, sends.prefix
}
bucket! {
    /// Text messages and calls to one country; capacity 1 to 1000000.
    CountrySends, sends.country
}
bucket! {
    /// Text messages and calls of the deployment; capacity 1 to 1000000.
    DeploymentSends, sends.deployment
}
bucket! {
    /// Enrolments of numbers that differ in their last four digits only, whose codes nobody typed in; capacity 1 to 1000000.
    UnprovenSends, sends.unproven
}

/// Limits on what is sent: messages cost money, and can be used to bomb people.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SendLimitsConfig {
    /// Text messages and calls per person.
    pub phone: PhoneSends,
    /// E-mails per person.
    pub email: EmailSends,
    /// Notifications to the devices of a person.
    pub push: PushSends,
    /// Notifications to the devices of a person since their last success with any factor.
    pub push_unanswered: UnansweredPushes,
    /// Messages to one number or address, whoever asks; enrolments and logins are counted apart.
    pub destination: DestinationSends,
    /// Text messages and calls to numbers that differ in their last four digits only.
    pub prefix: PrefixSends,
    /// Text messages and calls to one country.
    pub country: CountrySends,
    /// Text messages and calls of the deployment.
    pub deployment: DeploymentSends,
    /// Text messages and calls of enrolments whose codes nobody typed in, to numbers that differ in their last four digits only. Numbers
    /// that take messages and are never enrolled are what pumping looks like.
    pub unproven: UnprovenSends,
}

impl SendLimitsConfig {
    /// The limits.
    pub const fn limits(&self) -> SendLimits {
        SendLimits {
            phone: self.phone.limit(),
            email: self.email.limit(),
            push: self.push.limit(),
            push_unanswered: self.push_unanswered.limit(),
            destination: self.destination.limit(),
            prefix: self.prefix.limit(),
            country: self.country.limit(),
            deployment: self.deployment.limit(),
            unproven: self.unproven.limit(),
        }
    }
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
    /// Whether the window follows the clock of each app: it moves with what each code says of the clock, by a step at a time and two at
    /// most, and is never wider. The code that confirms an enrolment may be one step further off.
    pub learn_drift: bool,
}

impl Default for OtpWindowConfig {
    fn default() -> Self {
        let OtpWindow { behind, ahead, learns } = Policy::default().otp_window;
        Self { behind, ahead, learn_drift: learns }
    }
}

/// The second factor.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MfaConfig {
    /// When people are asked for it. A client may say otherwise.
    pub demand: MfaDemandName,
    /// What `context` looks at. A client or an API may say otherwise.
    pub context: ContextConfig,
    /// The factors that may be enrolled: `push`, `otp`, `sms`, `voice`, `email`. The recovery code always may. With `push` and `otp`, a
    /// device is enrolled for both. With `email`, a verified address is a factor without having been enrolled; e-mail never makes two
    /// factors of a password (NIST SP 800-63B-4, section 3.1.3.1).
    pub factors: Vec<FactorName>,
    /// Whether devices must ask for the number that the login shows. Those that do not are neither enrolled nor asked then. NIST SP
    /// 800-63B-4, section 3.1.3 demands it; apps built on Auth0's Guardian SDKs do not know it. Without, those devices ask that say
    /// they can.
    pub number_matching_required: bool,
    /// Whether the answer to an enrolment of a telephone says `restricted`: the application then tells the person that text messages and calls
    /// can be intercepted or diverted, and that an app or a device is safer (NIST SP 800-63B-4, section 3.2.9).
    pub tell_restricted: bool,
}

impl Default for MfaConfig {
    fn default() -> Self {
        Self {
            demand: MfaDemandName::default(),
            context: ContextConfig::default(),
            factors: vec![FactorName::Otp],
            number_matching_required: Policy::default().number_matching_required,
            tell_restricted: Policy::default().tells_of_restricted,
        }
    }
}

/// What is new about a login. Whatever ends what a person has in flight (another password, a factor removed, a block, a reset) makes all new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ContextConfig {
    /// A network from which no second factor was completed within `max_age`: the first 24 bits of an IPv4 address, the first 56 of an IPv6
    /// address. The last 20 of a person are remembered. An address that is not known is a new network.
    pub new_network: bool,
    /// A device that is not remembered. Needs the client's `remember_devices_for`; an API may say so without, and then every device of a
    /// client that remembers none is new.
    pub new_device: bool,
    /// The longest time since the last second factor. 1m to 8766h (a year). 0s: any.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub max_age: Duration,
}

impl Default for ContextConfig {
    fn default() -> Self {
        Self { new_network: true, new_device: false, max_age: Duration::from_secs(30 * 86_400) }
    }
}

/// A factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum FactorName {
    /// A device that is asked.
    Push,
    /// An authenticator app.
    Otp,
    /// Codes by text message.
    Sms,
    /// Codes by call.
    Voice,
    /// Codes by e-mail.
    Email,
}

impl FactorName {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Push, Self::Otp, Self::Sms, Self::Voice, Self::Email];

    /// The factor.
    pub const fn kind(self) -> FactorKind {
        match self {
            Self::Push => FactorKind::Push,
            Self::Otp => FactorKind::Otp,
            Self::Sms => FactorKind::Sms,
            Self::Voice => FactorKind::Voice,
            Self::Email => FactorKind::Email,
        }
    }
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
    /// When something about the login is new; who has none must enrol then, which is at the first login.
    Context,
    /// Never, not even of who has one, unless the request asks for it. Managing factors asks all the same.
    Never,
}

/// How strong a second factor must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StrengthName {
    /// Any.
    #[default]
    Any,
    /// One that makes two factors of a password: not e-mail.
    TwoFactors,
    /// One that does not depend on the telephone network either: an app or a device.
    Unrestricted,
}
