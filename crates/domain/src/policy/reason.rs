//! Why it was decided so.

use serde::{Deserialize, Serialize};

/// One reason of a decision. Names never change: they are in the audit trail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The rule asks for no second factor.
    PolicyNever,
    /// The rule asks always.
    PolicyAlways,
    /// The person has a factor of their own, and the rule asks of who has one.
    OwnFactor,
    /// The rule asks of who has a factor, and the person has none.
    NotEnrolled,
    /// The rule goes by the context, and nothing in it is new.
    ContextKnown,
    /// No second factor was completed from this network.
    NewNetwork,
    /// The last second factor was too long ago, or there was none.
    TooLongAgo,
    /// The request asks for two factors (`acr_values`).
    AcrRequested,
    /// The tokens are for managing factors, which goes by what the person has.
    FactorManagement,
    /// The person must enrol, and may log in without from now on for the grace period.
    GraceBegun,
    /// The person must enrol, and the grace period is not over.
    WithinGrace,
    /// The person must enrol, and the grace period is over.
    GraceOver,
    /// The request wants a more recent login (`max_age`).
    MaxAgeExceeded,
    /// No factor of the person, or none that can be enrolled, is allowed and strong enough.
    NoAllowedFactor,
    /// The device is not remembered.
    NewDevice,
}

impl Why {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 15] = [
        Self::PolicyNever,
        Self::PolicyAlways,
        Self::OwnFactor,
        Self::NotEnrolled,
        Self::ContextKnown,
        Self::NewNetwork,
        Self::TooLongAgo,
        Self::AcrRequested,
        Self::FactorManagement,
        Self::GraceBegun,
        Self::WithinGrace,
        Self::GraceOver,
        Self::MaxAgeExceeded,
        Self::NoAllowedFactor,
        Self::NewDevice,
    ];

    /// The name, stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PolicyNever => "policy_never",
            Self::PolicyAlways => "policy_always",
            Self::OwnFactor => "own_factor",
            Self::NotEnrolled => "not_enrolled",
            Self::ContextKnown => "context_known",
            Self::NewNetwork => "new_network",
            Self::TooLongAgo => "too_long_ago",
            Self::AcrRequested => "acr_requested",
            Self::FactorManagement => "factor_management",
            Self::GraceBegun => "grace_begun",
            Self::WithinGrace => "within_grace",
            Self::GraceOver => "grace_over",
            Self::MaxAgeExceeded => "max_age_exceeded",
            Self::NoAllowedFactor => "no_allowed_factor",
            Self::NewDevice => "new_device",
        }
    }

    /// The same in a sentence.
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::PolicyNever => "the rule asks for no second factor",
            Self::PolicyAlways => "the rule asks for a second factor always",
            Self::OwnFactor => "the person has a factor, and the rule asks of who has one",
            Self::NotEnrolled => "the person has no factor",
            Self::ContextKnown => "the rule goes by the context, and nothing in it is new",
            Self::NewNetwork => "the person has completed no second factor from this network",
            Self::TooLongAgo => "the last second factor was too long ago, or there was none",
            Self::AcrRequested => "the request asks for two factors by acr_values",
            Self::FactorManagement => "tokens that manage factors go by what the person has",
            Self::GraceBegun => "the person must enrol, and may log in without from now on for the grace period",
            Self::WithinGrace => "the person must enrol, and the grace period is not over",
            Self::GraceOver => "the person must enrol, and the grace period is over",
            Self::MaxAgeExceeded => "the request asks by max_age for a more recent login",
            Self::NoAllowedFactor => "no factor the person has or can enrol is allowed and strong enough",
            Self::NewDevice => "the device is not remembered",
        }
    }

    const fn bit(self) -> u32 {
        // Sealed transactions hold these for as long as an mfa_token lives: new reasons go to the end of the enum.
        1 << self as u32
    }
}

/// Reasons, each once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reasons(u32);

impl Reasons {
    /// With one more.
    #[must_use]
    pub const fn and(self, why: Why) -> Self {
        Self(self.0 | why.bit())
    }

    /// Whether `why` is among them.
    pub const fn has(self, why: Why) -> bool {
        self.0 & why.bit() != 0
    }

    /// Whether a second factor is asked for because of something new. A remembered device answers for none of it: where devices count, it
    /// was looked at already.
    pub const fn by_context(self) -> bool {
        self.has(Why::NewNetwork) || self.has(Why::NewDevice) || self.has(Why::TooLongAgo)
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Why> {
        Why::ALL.into_iter().filter(move |why| self.has(*why))
    }
}

impl std::fmt::Display for Reasons {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, why) in self.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(why.as_str())?;
        }
        Ok(())
    }
}
