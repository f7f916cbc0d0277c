//! What the decision promises.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::{authenticator::FactorKind, factor_set::FactorSet, time::Timestamp};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const DAY: Duration = Duration::from_secs(86_400);

fn ago(time: Duration) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() - i64::try_from(time.as_millis()).unwrap())
}

fn of(kinds: &[FactorKind]) -> FactorSet {
    kinds.iter().copied().collect()
}

fn nobody() -> Facts {
    Facts {
        purpose: Purpose::Api,
        enrolled: FactorSet::NONE,
        usable: FactorSet::NONE,
        recovery_code: false,
        offered: FactorSet::ALL,
        two_factors_proven: false,
        second_makes_two: true,
        authenticated_at: NOW,
        wish: Wish::default(),
        context: Context::default(),
        told_at: None,
        now: NOW,
    }
}

fn with(kind: FactorKind) -> Facts {
    Facts { enrolled: of(&[kind]), usable: of(&[kind]), ..nobody() }
}

fn verdict(rule: Rule, facts: Facts) -> Verdict {
    decide(&rule, &facts).verdict
}

#[test]
fn each_demand_says_who_is_asked() {
    for (demand, none, app) in [
        (Demand::Never, Verdict::Pass, Verdict::Pass),
        (Demand::IfEnrolled, Verdict::Pass, Verdict::Challenge),
        (Demand::Always, Verdict::Enroll, Verdict::Challenge),
    ] {
        assert_eq!(verdict(Rule::of(demand), nobody()), none, "{demand:?}");
        assert_eq!(verdict(Rule::of(demand), with(FactorKind::Otp)), app, "{demand:?}");
    }
}

#[test]
fn a_thing_beside_a_thing_is_not_asked_for_where_there_must_be_two_factors() {
    let wish = Wish { two_factors: true, ..Wish::default() };
    let facts = Facts { wish, second_makes_two: false, ..with(FactorKind::Otp) };
    let decision = decide(&Rule::of(Demand::Never), &facts);
    assert_eq!(decision.verdict, Verdict::Unmet);
    assert!(decision.reasons.has(Why::AcrRequested) && decision.reasons.has(Why::NoAllowedFactor));
    assert_eq!(verdict(Rule::of(Demand::Never), Facts { two_factors_proven: true, ..facts }), Verdict::Pass);
    let unasked = Facts { wish: Wish::default(), ..facts };
    assert_eq!(verdict(Rule::of(Demand::Always), unasked), Verdict::Challenge);
    for strength in [Strength::TwoFactors, Strength::Unrestricted] {
        let rule = |demand| Rule { strength, ..Rule::of(demand) };
        for demand in [Demand::Always, Demand::IfEnrolled] {
            let decision = decide(&rule(demand), &unasked);
            assert_eq!((decision.verdict, decision.allowed), (Verdict::Unmet, FactorSet::NONE), "{demand:?}");
            assert_eq!(verdict(rule(demand), with(FactorKind::Otp)), Verdict::Challenge, "beside something else");
        }
        assert_eq!(verdict(rule(Demand::Never), unasked), Verdict::Pass);
    }
}

/// G-06.
#[test]
fn a_factor_that_is_disabled_is_still_the_persons_own() {
    let facts = Facts { usable: FactorSet::NONE, ..with(FactorKind::Otp) };
    assert_eq!(verdict(Rule::of(Demand::IfEnrolled), facts), Verdict::Challenge);
    assert_eq!(verdict(Rule::of(Demand::Always), facts), Verdict::Challenge);
}

#[test]
fn the_context_asks_of_what_is_new_and_of_nothing_else() {
    let watched = ContextRule { networks: true, devices: false, max_age: Some(DAY) };
    let rule = Rule { context: watched, ..Rule::of(Demand::Context) };
    let known = Context { network: Some(ago(DAY)), last: Some(ago(DAY)), device: false };
    let seen = |context| decide(&rule, &Facts { context, ..with(FactorKind::Otp) });
    let decision = seen(known);
    assert_eq!((decision.verdict, decision.reasons.to_string().as_str()), (Verdict::Pass, "context_known"));
    let decision = seen(Context { network: None, ..known });
    assert_eq!((decision.verdict, decision.reasons.to_string().as_str()), (Verdict::Challenge, "new_network"));
    let decision = seen(Context { last: Some(ago(DAY + Duration::from_secs(1))), ..known });
    assert_eq!((decision.verdict, decision.reasons.to_string().as_str()), (Verdict::Challenge, "too_long_ago"));
    let long_ago = Some(ago(DAY + Duration::from_secs(1)));
    let decision = seen(Context { network: long_ago, ..known });
    assert_eq!(decision.reasons.to_string(), "new_network", "a network is not known for ever");
    assert_eq!(seen(Context::default()).verdict, Verdict::Challenge);
    let rule = Rule { context: ContextRule { networks: false, devices: true, max_age: None }, ..rule };
    let seen = |context| decide(&rule, &Facts { context, ..with(FactorKind::Otp) });
    assert_eq!(seen(Context { device: true, ..Context::default() }).verdict, Verdict::Pass);
    let decision = seen(known);
    assert_eq!((decision.verdict, decision.reasons.to_string().as_str()), (Verdict::Challenge, "new_device"));
    assert!(decision.reasons.by_context());
    assert_eq!(verdict(rule, nobody()), Verdict::Enroll, "who has no factor has no past either");
}

#[test]
fn the_grace_period_ends_when_it_was_begun_to_and_is_not_for_who_asks_for_more() {
    let rule = Rule { grace: DAY * 7, ..Rule::of(Demand::Always) };
    let told = |told_at| decide(&rule, &Facts { told_at, ..nobody() });
    assert!(told(None).begins_grace());
    let within = told(Some(ago((DAY * 7).saturating_sub(Duration::from_millis(1)))));
    assert_eq!((within.verdict, within.begins_grace()), (Verdict::Pass, false));
    let over = told(Some(ago(DAY * 7)));
    assert_eq!((over.verdict, over.reasons.has(Why::GraceOver)), (Verdict::Enroll, true));
    let wish = Wish { two_factors: true, max_age: None };
    assert_eq!(verdict(rule, Facts { wish, ..nobody() }), Verdict::Enroll);
    assert_eq!(verdict(rule, Facts { told_at: None, ..with(FactorKind::Otp) }), Verdict::Challenge);
    for none in [Rule { grace: Duration::ZERO, ..rule }, Rule { strength: Strength::TwoFactors, ..rule }] {
        let decision = decide(&none, &nobody());
        assert_eq!((decision.verdict, decision.grace_until), (Verdict::Enroll, None));
    }
    assert_eq!(told(None).grace_until, Some(NOW.plus(DAY * 7)));
    assert_eq!(told(Some(ago(DAY))).grace_until, Some(NOW.plus(DAY * 6)));
    assert_eq!(over.grace_until, Some(NOW));
}

#[test]
fn a_factor_that_is_not_allowed_neither_serves_nor_makes_room_for_another() {
    let rule = Rule { strength: Strength::Unrestricted, ..Rule::of(Demand::Always) };
    let sms = with(FactorKind::Sms);
    let decision = decide(&rule, &sms);
    assert_eq!((decision.verdict, decision.reasons.has(Why::NoAllowedFactor)), (Verdict::Unmet, true));
    assert_eq!(verdict(rule, Facts { recovery_code: true, ..sms }), Verdict::Challenge);
    let both = decide(&rule, &Facts { enrolled: of(&[FactorKind::Sms, FactorKind::Push]), ..sms });
    assert_eq!(both.verdict, Verdict::Challenge);
    assert!(both.allowed.has(FactorKind::Push) && !both.allowed.has(FactorKind::Sms));
    assert_eq!(verdict(Rule { factors: of(&[FactorKind::Email]), ..rule }, nobody()), Verdict::Unmet);
}

#[test]
fn two_factors_that_are_asked_for_are_not_made_of_email() {
    let wish = Wish { two_factors: true, max_age: None };
    for demand in [Demand::Never, Demand::IfEnrolled, Demand::Always] {
        let rule = Rule::of(demand);
        assert_eq!(verdict(rule, Facts { wish, ..nobody() }), Verdict::Enroll, "{demand:?}");
        assert_eq!(verdict(rule, Facts { wish, ..with(FactorKind::Otp) }), Verdict::Challenge, "{demand:?}");
        assert_eq!(verdict(rule, Facts { wish, ..with(FactorKind::Email) }), Verdict::Unmet, "{demand:?}");
    }
    let proven = Facts { wish, two_factors_proven: true, ..with(FactorKind::Otp) };
    assert_eq!(verdict(Rule::of(Demand::Never), proven), Verdict::Pass);
    assert_eq!(verdict(Rule::of(Demand::IfEnrolled), proven), Verdict::Challenge, "the rule asks all the same");
}

#[test]
fn a_login_that_is_too_old_is_not_mended_by_a_second_factor() {
    let facts = |age, max_age| Facts {
        authenticated_at: ago(Duration::from_secs(age)),
        wish: Wish { two_factors: false, max_age: Some(Duration::from_secs(max_age)) },
        ..with(FactorKind::Otp)
    };
    let rule = Rule::of(Demand::Never);
    assert_eq!(verdict(rule, facts(60, 60)), Verdict::Pass);
    assert_eq!(verdict(rule, facts(0, 0)), Verdict::Pass);
    assert_eq!(verdict(rule, facts(61, 60)), Verdict::Unmet);
    assert_eq!(verdict(Rule::of(Demand::Always), facts(61, 60)), Verdict::Unmet);
}

#[test]
fn managing_factors_goes_by_what_the_person_has() {
    for demand in [Demand::Never, Demand::IfEnrolled, Demand::Always] {
        let rule = Rule { factors: FactorSet::NONE, strength: Strength::Unrestricted, ..Rule::of(demand) };
        let purpose = Purpose::FactorManagement;
        assert_eq!(verdict(rule, Facts { purpose, ..nobody() }), Verdict::Pass);
        assert_eq!(verdict(rule, Facts { purpose, ..with(FactorKind::Sms) }), Verdict::Challenge);
        assert_eq!(verdict(rule, Facts { purpose, ..with(FactorKind::Email) }), Verdict::Pass);
    }
}

#[test]
fn a_strength_has_the_factors_that_meet_it() {
    for strength in [Strength::Any, Strength::TwoFactors, Strength::Unrestricted] {
        for kind in FactorKind::ALL {
            let meets = Strength::of(kind).level() >= strength.level();
            assert_eq!(strength.factors().has(kind), meets, "{kind:?} and {strength:?}");
        }
    }
}

#[test]
fn reasons_have_names_of_their_own_and_are_told_in_one_order() {
    let names: std::collections::BTreeSet<_> = Why::ALL.iter().map(|why| why.as_str()).collect();
    assert_eq!(names.len(), Why::ALL.len());
    for (index, why) in Why::ALL.into_iter().enumerate() {
        assert_eq!(why as usize, index, "the enum and the list have one order");
    }
    let reasons = Reasons::default().and(Why::NotEnrolled).and(Why::PolicyAlways);
    assert_eq!(reasons.to_string(), "policy_always,not_enrolled");
}

fn demands() -> impl Strategy<Value = Demand> {
    prop_oneof![Just(Demand::Never), Just(Demand::IfEnrolled), Just(Demand::Context), Just(Demand::Always)]
}

fn sets() -> impl Strategy<Value = FactorSet> {
    proptest::sample::subsequence(FactorKind::ALL.to_vec(), 0..=5).prop_map(|kinds| kinds.into_iter().collect())
}

fn rules() -> impl Strategy<Value = Rule> {
    let strength = prop_oneof![Just(Strength::Any), Just(Strength::TwoFactors), Just(Strength::Unrestricted)];
    let grace = (0u32..20).prop_map(|days| DAY * days);
    let age = proptest::option::of((1u64..100).prop_map(|hours| Duration::from_secs(3600 * hours)));
    (demands(), sets(), strength, grace, any::<(bool, bool)>(), age).prop_map(
        |(demand, factors, strength, grace, (networks, devices), max_age)| Rule {
            factors,
            strength,
            grace,
            context: ContextRule { networks, devices, max_age },
            ..Rule::of(demand)
        },
    )
}

fn moments() -> impl Strategy<Value = Option<Timestamp>> {
    proptest::option::of((0u64..2_000_000).prop_map(|seconds| ago(Duration::from_secs(seconds))))
}

fn facts() -> impl Strategy<Value = Facts> {
    let person = (sets(), sets(), sets(), any::<bool>(), any::<bool>(), any::<(bool, bool, bool)>());
    let times = (moments(), moments(), moments(), moments());
    (person, times).prop_map(|(person, times)| {
        let (enrolled, disabled, offered, recovery_code, two_factors_proven, (manages, device, second_makes_two)) =
            person;
        let usable = enrolled.kinds().filter(|kind| !disabled.has(*kind)).collect();
        let (authenticated_at, network, last, told_at) = times;
        Facts {
            purpose: if manages { Purpose::FactorManagement } else { Purpose::Api },
            enrolled,
            usable,
            recovery_code,
            offered,
            two_factors_proven,
            second_makes_two,
            authenticated_at: authenticated_at.unwrap_or(NOW),
            wish: Wish::default(),
            context: Context { network, last, device },
            told_at,
            now: NOW,
        }
    })
}

fn wishes() -> impl Strategy<Value = Wish> {
    let age = proptest::option::of((0u64..100_000).prop_map(Duration::from_secs));
    (any::<bool>(), age).prop_map(|(two_factors, max_age)| Wish { two_factors, max_age })
}

proptest! {
    #[test]
    fn a_second_rule_never_loosens_the_first(one in rules(), other in rules(), facts in facts(), wish in wishes()) {
        let facts = Facts { wish, ..facts };
        let (alone, together) = (decide(&one, &facts), decide(&one.and(other), &facts));
        prop_assert!(together.verdict >= alone.verdict, "{alone:?} became {together:?}");
        if together.verdict == alone.verdict {
            prop_assert_eq!(together.allowed.in_both(alone.allowed), together.allowed);
        }
        prop_assert_eq!(decide(&other.and(one), &facts), together, "neither comes first");
    }

    #[test]
    fn a_wish_never_loosens_a_rule(rule in rules(), facts in facts(), wish in wishes()) {
        let (without, wished) = (decide(&rule, &facts), decide(&rule, &Facts { wish, ..facts }));
        prop_assert!(wished.verdict >= without.verdict, "{without:?} became {wished:?}");
        prop_assert_eq!(wished.allowed.in_both(without.allowed), wished.allowed);
    }

    #[test]
    fn a_shorter_memory_or_grace_never_loosens(rule in rules(), facts in facts()) {
        let forgotten = Facts { context: Context::default(), ..facts };
        prop_assert!(decide(&rule, &forgotten).verdict >= decide(&rule, &facts).verdict);
        let graceless = Rule { grace: Duration::ZERO, ..rule };
        prop_assert!(decide(&graceless, &facts).verdict >= decide(&rule, &facts).verdict);
    }

    #[test]
    fn a_persons_own_factor_is_ignored_only_if_the_rule_says_so(rule in rules(), facts in facts()) {
        prop_assume!(!facts.enrolled.is_empty());
        let decision = decide(&rule, &facts);
        if decision.verdict == Verdict::Pass {
            let by_rule = decision.reasons.has(Why::PolicyNever) || decision.reasons.has(Why::ContextKnown);
            let manages = facts.purpose == Purpose::FactorManagement
                && facts.enrolled.in_both(Strength::TwoFactors.factors()).is_empty();
            prop_assert!(by_rule || manages, "{decision:?}");
        }
        prop_assert_ne!(decision.verdict, Verdict::Enroll);
    }

    #[test]
    fn what_is_challenged_or_enrolled_is_allowed_by_rule_wish_and_deployment(rule in rules(), facts in facts(), wish in wishes()) {
        let facts = Facts { purpose: Purpose::Api, wish, ..facts };
        let decision = decide(&rule, &facts);
        let bound = rule.factors.in_both(rule.strength.factors()).in_both(facts.offered.and(FactorKind::Otp));
        prop_assert_eq!(decision.allowed.in_both(bound), decision.allowed);
        if decision.verdict == Verdict::Enroll {
            prop_assert_eq!(decision.allowed.in_both(facts.offered), decision.allowed);
        }
        if wish.two_factors {
            prop_assert!(!decision.allowed.has(FactorKind::Email));
        }
        prop_assert!(decision.reasons.iter().next().is_some(), "it can always be asked why");
    }
}
