//! The decision.

use std::time::Duration;

use super::{Reasons, Rule, Strength, Why};
use crate::{authenticator::FactorKind, factor_set::FactorSet, time::Timestamp};

/// What tokens are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To call an API.
    Api,
    /// To manage one's factors. The rule is not asked: who has a second factor proves it, who has none gets in with the first, and no
    /// policy makes that different (decision 6).
    FactorManagement,
}

/// What a request asks for beyond the rule (RFC 9470, section 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Two factors.
    pub two_factors: bool,
    /// The longest time since the person logged in.
    pub max_age: Option<Duration>,
}

/// What is remembered of the person's second factors, of the strength that the rule wants. Without a memory everything is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The last second factor completed from the network of this login.
    pub network: Option<Timestamp>,
    /// The last one completed from anywhere.
    pub last: Option<Timestamp>,
    /// Whether the device is remembered.
    pub device: bool,
}

/// What is known when the first factor is proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What the tokens are for.
    pub purpose: Purpose,
    /// The kinds of confirmed authenticators, disabled ones included: who burns through the ceiling of one with a stolen password must not
    /// be taken for somebody who has none. What follows from an address is not among them.
    pub enrolled: FactorSet,
    /// The kinds that can be used now, what follows from an address included.
    pub usable: FactorSet,
    /// Whether there is a recovery code that can be used.
    pub recovery_code: bool,
    /// What the deployment lets be enrolled.
    pub offered: FactorSet,
    /// Whether two factors are proven already: a refresh token of such a login.
    pub two_factors_proven: bool,
    /// Whether a second factor would make two of what is proven. Where a client says that somebody showed a thing they have, another
    /// thing they have would not.
    pub second_makes_two: bool,
    /// When the person logged in.
    pub authenticated_at: Timestamp,
    /// What the request asks for.
    pub wish: Wish,
    /// What is remembered.
    pub context: Context,
    /// When the person was first told to enrol, or had a factor: the grace period runs from then, whatever became of it since.
    pub told_at: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Tokens.
    Pass,
    /// A second factor the person has.
    Challenge,
    /// A second factor the person must enrol.
    Enroll,
    /// Nothing: what is asked for cannot be met.
    Unmet,
}

impl Verdict {
    /// The name, stable.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Challenge => "challenge",
            Self::Enroll => "enroll",
            Self::Unmet => "unmet",
        }
    }
}

/// What was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What follows.
    pub verdict: Verdict,
    /// Why.
    pub reasons: Reasons,
    /// The factors that may be used, or with [`Verdict::Enroll`] enrolled. The recovery code always may.
    pub allowed: FactorSet,
    /// The end of the grace period for enrolment, where one counts or has counted.
    pub grace_until: Option<Timestamp>,
}

impl Decision {
    const fn of(verdict: Verdict, reasons: Reasons, allowed: FactorSet) -> Self {
        Self { verdict, reasons, allowed, grace_until: None }
    }

    /// Whether the person is to be remembered as told to enrol.
    pub const fn begins_grace(&self) -> bool {
        self.reasons.has(Why::GraceBegun)
    }
}

/// Decides what follows a first factor.
pub fn decide(rule: &Rule, facts: &Facts) -> Decision {
    let none = Reasons::default();
    if let Some(max_age) = facts.wish.max_age
        && !is_within(facts.authenticated_at, max_age, facts.now)
    {
        return Decision::of(Verdict::Unmet, none.and(Why::MaxAgeExceeded), FactorSet::NONE);
    }
    let wished = facts.wish.two_factors && !facts.two_factors_proven;
    if wished && !facts.second_makes_two {
        return Decision::of(Verdict::Unmet, none.and(Why::AcrRequested).and(Why::NoAllowedFactor), FactorSet::NONE);
    }
    let strength = if facts.wish.two_factors { Strength::TwoFactors } else { Strength::Any };
    if facts.purpose == Purpose::FactorManagement {
        let allowed = challengeable(facts).in_both(strength.factors());
        let reasons = none.and(Why::FactorManagement);
        let strong = !facts.enrolled.in_both(Strength::TwoFactors.factors()).is_empty();
        return if wished {
            ask(facts, allowed, reasons.and(Why::AcrRequested), Duration::ZERO)
        } else if strong {
            ask(facts, allowed, reasons.and(Why::OwnFactor), Duration::ZERO)
        } else {
            Decision::of(Verdict::Pass, reasons, allowed)
        };
    }
    let (asked, reasons) = asks(rule, facts);
    let allowed = rule.factors.in_both(rule.strength.max(strength).factors()).in_both(challengeable(facts));
    if wished {
        ask(facts, allowed, reasons.and(Why::AcrRequested), Duration::ZERO)
    } else if asked && rule.strength > Strength::Any && !facts.second_makes_two {
        Decision::of(Verdict::Unmet, reasons.and(Why::NoAllowedFactor), FactorSet::NONE)
    } else if asked {
        ask(facts, allowed, reasons, rule.grace_given())
    } else {
        Decision::of(Verdict::Pass, reasons, allowed)
    }
}

/// Whether the rule asks for a second factor, and why.
fn asks(rule: &Rule, facts: &Facts) -> (bool, Reasons) {
    let mut reasons = Reasons::default();
    let mut asked = false;
    let demands = rule.demands;
    if demands.never() {
        reasons = reasons.and(Why::PolicyNever);
    }
    if demands.always() {
        (asked, reasons) = (true, reasons.and(Why::PolicyAlways));
    }
    if !facts.enrolled.is_empty() {
        if demands.if_enrolled() {
            (asked, reasons) = (true, reasons.and(Why::OwnFactor));
        }
    } else if !demands.never() {
        reasons = reasons.and(Why::NotEnrolled);
    }
    if demands.by_context() {
        let context = &facts.context;
        let recent = |at| rule.context.max_age.is_none_or(|max_age| is_within(at, max_age, facts.now));
        let new_network = rule.context.networks && !context.network.is_some_and(recent);
        let new_device = rule.context.devices && !context.device;
        let too_long_ago = rule.context.max_age.is_some() && !context.last.is_some_and(recent);
        if new_network {
            reasons = reasons.and(Why::NewNetwork);
        }
        if new_device {
            reasons = reasons.and(Why::NewDevice);
        }
        if too_long_ago {
            reasons = reasons.and(Why::TooLongAgo);
        }
        if new_network || new_device || too_long_ago {
            asked = true;
        } else {
            reasons = reasons.and(Why::ContextKnown);
        }
    }
    (asked, reasons)
}

/// A second factor is asked for: one the person has, or one to enrol, or, in the grace period, none yet.
fn ask(facts: &Facts, allowed: FactorSet, reasons: Reasons, grace: Duration) -> Decision {
    if !facts.enrolled.is_empty() {
        let own = !facts.enrolled.in_both(allowed).is_empty() || !facts.usable.in_both(allowed).is_empty();
        return if own || facts.recovery_code {
            Decision::of(Verdict::Challenge, reasons, allowed)
        } else {
            // Not to be enrolled either: who has a factor proves it before adding one.
            Decision::of(Verdict::Unmet, reasons.and(Why::NoAllowedFactor), allowed)
        };
    }
    let reasons = reasons.and(Why::NotEnrolled);
    let allowed = allowed.in_both(facts.offered);
    let grace_until = (!grace.is_zero()).then(|| facts.told_at.unwrap_or(facts.now).plus(grace));
    let reasons = match (grace_until, facts.told_at) {
        (None, _) => reasons,
        (Some(_), None) => reasons.and(Why::GraceBegun),
        (Some(until), Some(_)) if facts.now < until => reasons.and(Why::WithinGrace),
        (Some(_), Some(_)) => reasons.and(Why::GraceOver),
    };
    let decision = if reasons.has(Why::GraceBegun) || reasons.has(Why::WithinGrace) {
        Decision::of(Verdict::Pass, reasons, allowed)
    } else if allowed.is_empty() {
        Decision::of(Verdict::Unmet, reasons.and(Why::NoAllowedFactor), allowed)
    } else {
        Decision::of(Verdict::Enroll, reasons, allowed)
    };
    Decision { grace_until, ..decision }
}

/// What the deployment lets be used: what may be enrolled, and apps that were enrolled when they might be, for which nothing is sent.
const fn challengeable(facts: &Facts) -> FactorSet {
    facts.offered.and(FactorKind::Otp)
}

/// Whether `then` is at most `age` ago, in whole seconds as tokens tell time. A time that is to come is not long ago.
pub(crate) fn is_within(then: Timestamp, age: Duration, now: Timestamp) -> bool {
    let elapsed = now.as_secs().saturating_sub(then.as_secs());
    u64::try_from(elapsed).is_ok_and(|elapsed| elapsed <= age.as_secs()) || elapsed < 0
}
