//! The clocks of authenticator apps (RFC 6238, section 6).
//!
//! What is learned of an app's clock moves its window and never widens it. It moves so far only that the present step stays inside: whose
//! clock is put right afterwards is not locked out.
//!
//! ```text
//! behind 1, ahead 0:   drift 0: [-1  0]      drift 1: [0 +1]
//! behind 1, ahead 1:   drift 0: [-1 0 +1]    drift 1: [0 +1 +2]    drift -1: [-2 -1 0]
//! ```
//!
//! Each success teaches. Where the window has no room for a clock that is ahead, only an enrolment can: one step more is accepted of whoever
//! was just shown the secret and has nothing to guess.

use crate::{
    authenticator::{Authenticator, Status},
    registry::OtpWindow,
};

/// The most that is learned. One success moves it by one.
const MOST: u64 = 2;

/// What was learned of `app`, as far as `window` has room for it.
fn drift_of(window: OtpWindow, app: &Authenticator) -> i8 {
    let (slowest, fastest) = range(window);
    app.drift.clamp(-slowest, fastest)
}

/// How far behind and ahead a clock is followed.
fn range(window: OtpWindow) -> (i8, i8) {
    let most = |steps: u64| i8::try_from(steps.min(MOST)).unwrap_or_default();
    if window.learns { (most(window.ahead), most(window.behind)) } else { (0, 0) }
}

/// The steps that are accepted of `app` around the present one.
pub(crate) fn window_of(window: OtpWindow, app: &Authenticator) -> OtpWindow {
    let drift = drift_of(window, app);
    let (back, forth) = (u64::from(drift.min(0).unsigned_abs()), u64::from(drift.max(0).unsigned_abs()));
    let moved = OtpWindow {
        behind: window.behind.saturating_sub(forth) + back,
        ahead: window.ahead.saturating_sub(back) + forth,
        ..window
    };
    match app.status {
        Status::Pending { .. } => {
            let (slowest, fastest) = range(window);
            let (behind, ahead) = (moved.behind + u64::from(slowest > 0), moved.ahead + u64::from(fastest > 0));
            OtpWindow { behind, ahead, ..moved }
        }
        _ => moved,
    }
}

/// What is known of the clock after a code of `step` was accepted at `current`: one step more or less than before, if any.
///
/// A code of a step to come can only be of a clock that is ahead. One of a step that is over may be of somebody who types slowly: as many
/// steps as the window has more behind than ahead say nothing of the clock.
pub(crate) fn learned(window: OtpWindow, app: &Authenticator, step: u64, current: u64) -> i8 {
    if !window.learns {
        return app.drift;
    }
    let signed = |steps: u64| i64::try_from(steps).unwrap_or(i64::MAX);
    let drift = drift_of(window, app);
    let (slowest, fastest) = range(window);
    let further = signed(step).saturating_sub(signed(current)).saturating_sub(i64::from(drift));
    let slow = signed(window.behind.saturating_sub(window.ahead));
    if further > 0 {
        (drift + 1).min(fastest)
    } else if further < -slow {
        (drift - 1).max(-slowest)
    } else {
        drift
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        authenticator::FactorKind,
        id::{AuthenticatorId, UserId},
        secret::{Digest, Sealed},
        time::Timestamp,
    };

    const NIST: OtpWindow = OtpWindow { behind: 1, ahead: 0, learns: true };

    fn app(drift: i8, pending: bool) -> Authenticator {
        let now = Timestamp::from_millis(0);
        Authenticator {
            id: AuthenticatorId::new("totp|dev_1"),
            user: UserId::new("auth0|ann"),
            kind: FactorKind::Otp,
            status: if pending { Status::Pending { until: now, bearer: Digest::new([0; 32]) } } else { Status::Active },
            pair: None,
            state: Sealed::new(Vec::new()),
            address: None,
            implied: None,
            name: None,
            preferred: false,
            last_step: None,
            drift,
            failures: 0,
            created_at: now,
            confirmed_at: None,
            last_used_at: None,
        }
    }

    const AUTH0: OtpWindow = OtpWindow { behind: 1, ahead: 1, learns: true };

    /// The offsets that are accepted, from and to.
    fn steps(window: OtpWindow, drift: i8, pending: bool) -> (i64, i64) {
        let OtpWindow { behind, ahead, .. } = window_of(window, &app(drift, pending));
        (-i64::try_from(behind).unwrap(), i64::try_from(ahead).unwrap())
    }

    #[test]
    fn what_was_learned_moves_the_window_and_keeps_the_present_step_in_it() {
        for (window, drift, expected) in [
            (NIST, 0, (-1, 0)),
            (NIST, 1, (0, 1)),
            (NIST, 2, (0, 1)),
            (NIST, -1, (-1, 0)),
            (AUTH0, 0, (-1, 1)),
            (AUTH0, 1, (0, 2)),
            (AUTH0, -1, (-2, 0)),
            (AUTH0, -2, (-2, 0)),
            (OtpWindow { behind: 2, ahead: 2, learns: true }, 2, (0, 4)),
        ] {
            assert_eq!(steps(window, drift, false), expected, "{window:?} {drift}");
            let fixed = OtpWindow { learns: false, ..window };
            assert_eq!(steps(fixed, drift, false), steps(fixed, 0, true), "nothing that was learned counts");
        }
        assert_eq!((steps(NIST, 0, true), steps(AUTH0, 0, true)), ((-1, 1), (-2, 2)), "an enrolment has a step more");
    }

    #[test]
    fn each_success_teaches_and_slow_fingers_teach_nothing_where_they_could_lock_out() {
        let after =
            |window, drift, offset: i64| learned(window, &app(drift, false), u64::try_from(100 + offset).unwrap(), 100);
        for (window, drift, offset, expected) in [
            (NIST, 0, 0, 0),
            (NIST, 0, -1, 0),
            (NIST, 0, 1, 1),
            (NIST, 1, 1, 1),
            (NIST, 1, 0, 1),
            (AUTH0, 0, 0, 0),
            (AUTH0, 0, 1, 1),
            (AUTH0, 1, 2, 1),
            (AUTH0, 1, 0, 0),
            (AUTH0, 0, -1, -1),
            (AUTH0, -1, 0, 0),
            (OtpWindow { behind: 2, ahead: 1, learns: true }, 0, -1, 0),
            (OtpWindow { behind: 2, ahead: 1, learns: true }, 0, -2, -1),
        ] {
            assert_eq!(after(window, drift, offset), expected, "{window:?} {drift} and {offset}");
        }
    }

    fn windows() -> impl Strategy<Value = OtpWindow> {
        (0u64..=2, 0u64..=2, any::<bool>()).prop_map(|(behind, ahead, learns)| OtpWindow { behind, ahead, learns })
    }

    proptest! {
        #[test]
        fn no_window_is_ever_wider_and_each_has_the_present_step(window in windows(), drift in any::<i8>()) {
            let (from, to) = steps(window, drift, false);
            prop_assert_eq!(to - from, i64::try_from(window.behind + window.ahead).unwrap());
            prop_assert!(from <= 0 && to >= 0);
        }

        #[test]
        fn one_code_moves_it_by_one_and_never_beyond_two(window in windows(), drift in -2i8..=2, offset in -6i64..=6) {
            let before = drift_of(window, &app(drift, false));
            let next = learned(window, &app(drift, false), u64::try_from(100 + offset).unwrap(), 100);
            if window.learns {
                prop_assert!((next - before).abs() <= 1 && next.unsigned_abs() <= 2);
            } else {
                prop_assert_eq!(next, drift);
            }
        }

        /// Whoever tries what, whenever: what was accepted only ever rises, and lies in the window of its moment.
        #[test]
        fn no_step_comes_back_however_the_window_moves(
            window in windows(), tries in prop::collection::vec((0u64..4, -5i64..=5), 1..60)
        ) {
            let (mut app, mut now, mut accepted) = (app(0, false), 1000u64, Vec::new());
            for (later, offset) in tries {
                now += later;
                let step = now.saturating_add_signed(offset);
                let around = window_of(window, &app);
                let inside = step >= now - around.behind && step <= now + around.ahead;
                // As in `matched_step`, and in the stores' statement.
                if inside && app.last_step.is_none_or(|last| step > last) {
                    app.drift = learned(window, &app, step, now);
                    app.last_step = Some(step);
                    accepted.push(step);
                }
            }
            prop_assert!(accepted.is_sorted_by(|one, next| one < next));
        }

        /// A clock that is a step off, once that is known where the window has no room for it, and a person who is a step late now and
        /// then: every code is accepted.
        #[test]
        fn nobody_with_a_steady_clock_is_locked_out_by_what_is_learned(
            which in 0usize..4, ahead in any::<bool>(), late in prop::collection::vec(any::<bool>(), 1..40)
        ) {
            let window = [NIST, AUTH0, OtpWindow { behind: 2, ..AUTH0 }, OtpWindow { behind: 2, ahead: 2, ..AUTH0 }][which];
            // Behind by a step there is no room at all in a window that ends now.
            let clock = if ahead { 1 } else { -i64::from(window.ahead > 0) };
            let current = 1000u64;
            let mut app = app(i8::try_from(clock).unwrap(), false);
            for late in late {
                let step = current.saturating_add_signed(clock - i64::from(late));
                let around = window_of(window, &app);
                prop_assert!(step >= current - around.behind && step <= current + around.ahead, "{} {step}", app.drift);
                app.drift = learned(window, &app, step, current);
            }
        }
    }
}
