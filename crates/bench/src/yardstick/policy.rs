//! The decision what follows a first factor, with every condition looked at.

use std::{hint::black_box, time::Duration};

use countersign_domain::{
    authenticator::FactorKind,
    factor_set::FactorSet,
    policy::{Context, ContextRule, Demand, Facts, Purpose, Rule, Strength, Wish, decide},
    time::Timestamp,
};

use crate::measure::{Measured, Row};

/// Decisions between two looks at the clock, which costs as much as one.
const TOGETHER: u64 = 100;

/// Measures for `span`, one after the other on one thread.
///
/// # Errors
///
/// Never.
pub fn decision(span: Duration) -> anyhow::Result<Row> {
    let now = Timestamp::from_millis(1_800_000_000_000);
    let day = Duration::from_secs(86_400);
    let client = Rule {
        strength: Strength::TwoFactors,
        grace: day,
        context: ContextRule { networks: true, devices: true, max_age: Some(day) },
        ..Rule::of(Demand::Context)
    };
    let api = Rule { strength: Strength::Unrestricted, ..Rule::of(Demand::IfEnrolled) };
    let facts = Facts {
        purpose: Purpose::Api,
        enrolled: FactorSet::NONE.and(FactorKind::Otp).and(FactorKind::Sms),
        usable: FactorSet::NONE.and(FactorKind::Otp),
        recovery_code: true,
        offered: FactorSet::ALL,
        two_factors_proven: false,
        second_makes_two: true,
        authenticated_at: now,
        wish: Wish { two_factors: true, max_age: Some(day) },
        context: Context { network: None, last: Some(now.minus(day)), device: false },
        told_at: None,
        now,
    };
    let measured = Measured { name: "policy decision", pid: std::process::id(), callers: 1 };
    measured.in_a_row(span, TOGETHER, || {
        for _ in 0..TOGETHER {
            let rule = black_box(client).and(black_box(api));
            black_box(decide(&rule, black_box(&facts)));
        }
        Ok(())
    })
}
