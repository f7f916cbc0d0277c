//! What an operator demands of a client's logins, or of logins for an API.

use std::time::Duration;

use crate::{authenticator::FactorKind, factor_set::FactorSet};

/// When a second factor is asked for, as an operator says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// Never, not even of who has one.
    Never,
    /// Of who has one.
    IfEnrolled,
    /// If something about the login is new, as [`ContextRule`] says; who has none must enrol then.
    Context,
    /// Always; who has none must enrol.
    Always,
}

/// The demands of client and API together: each holds. None is [`Demand::Never`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Demands(u8);

impl Demands {
    const IF_ENROLLED: u8 = 1;
    const CONTEXT: u8 = 2;
    const ALWAYS: u8 = 4;

    /// Of who has a factor.
    pub const fn if_enrolled(self) -> bool {
        self.0 & Self::IF_ENROLLED != 0
    }

    /// If something is new.
    pub const fn by_context(self) -> bool {
        self.0 & Self::CONTEXT != 0
    }

    /// Always.
    pub const fn always(self) -> bool {
        self.0 & Self::ALWAYS != 0
    }

    /// Never.
    pub const fn never(self) -> bool {
        self.0 == 0
    }

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl From<Demand> for Demands {
    fn from(demand: Demand) -> Self {
        Self(match demand {
            Demand::Never => 0,
            Demand::IfEnrolled => Self::IF_ENROLLED,
            Demand::Context => Self::CONTEXT,
            Demand::Always => Self::ALWAYS,
        })
    }
}

/// How strong a second factor must be. Each level is met by the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Strength {
    /// Any.
    #[default]
    Any,
    /// One that makes two factors of a password: not e-mail (NIST SP 800-63B-4, section 3.1.3.1).
    TwoFactors,
    /// One that does not depend on the telephone network either, which NIST SP 800-63B-4, section 3.1.3.3 restricts: an app, a device.
    Unrestricted,
}

impl Strength {
    /// The highest that a factor of `kind` meets.
    pub const fn of(kind: FactorKind) -> Self {
        match kind {
            FactorKind::Push | FactorKind::Otp => Self::Unrestricted,
            FactorKind::Sms | FactorKind::Voice => Self::TwoFactors,
            FactorKind::Email => Self::Any,
        }
    }

    /// Its place among them, lowest first, as stores keep it.
    pub const fn level(self) -> u8 {
        match self {
            Self::Any => 0,
            Self::TwoFactors => 1,
            Self::Unrestricted => 2,
        }
    }

    /// The factors that are as strong.
    pub const fn factors(self) -> FactorSet {
        let unrestricted = FactorSet::NONE.and(FactorKind::Push).and(FactorKind::Otp);
        match self {
            Self::Any => FactorSet::ALL,
            Self::TwoFactors => unrestricted.and(FactorKind::Sms).and(FactorKind::Voice),
            Self::Unrestricted => unrestricted,
        }
    }
}

/// What makes a login unusual, for [`Demand::Context`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContextRule {
    /// A network the person has completed no second factor from.
    pub networks: bool,
    /// A device that is not remembered.
    pub devices: bool,
    /// The longest time since the last second factor, and since the last one from the network.
    pub max_age: Option<Duration>,
}

impl ContextRule {
    fn and(self, other: Self) -> Self {
        Self {
            networks: self.networks || other.networks,
            devices: self.devices || other.devices,
            max_age: shorter(self.max_age, other.max_age),
        }
    }
}

/// What is demanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// When a second factor is asked for.
    pub demands: Demands,
    /// The factors that may be used or enrolled. The recovery code always may.
    pub factors: FactorSet,
    /// How strong it must be.
    pub strength: Strength,
    /// For how long who must enrol may log in without, from when they were first told. Zero: not at all, as wherever a strength is required.
    pub grace: Duration,
    /// What [`Demand::Context`] looks at.
    pub context: ContextRule,
}

impl Rule {
    /// Demands nothing and allows everything: what an API says that says nothing.
    pub const OPEN: Self = Self {
        demands: Demands(0),
        factors: FactorSet::ALL,
        strength: Strength::Any,
        grace: Duration::MAX,
        context: ContextRule { networks: false, devices: false, max_age: None },
    };

    /// A rule that asks for any factor whenever `demand` says, without grace.
    pub fn of(demand: Demand) -> Self {
        Self { demands: demand.into(), grace: Duration::ZERO, ..Self::OPEN }
    }

    /// The grace period that counts: who must prove a certain strength is not let in without any.
    pub fn grace_given(&self) -> Duration {
        if self.strength == Strength::Any { self.grace } else { Duration::ZERO }
    }

    /// This rule and another: what either demands, and only what both allow.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            demands: self.demands.and(other.demands),
            factors: self.factors.in_both(other.factors),
            strength: self.strength.max(other.strength),
            grace: self.grace.min(other.grace),
            context: self.context.and(other.context),
        }
    }
}

fn shorter(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
