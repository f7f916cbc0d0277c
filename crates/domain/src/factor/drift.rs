//! The clocks of authenticator apps (RFC 6238, section 6).
//!
//! Where the window has no room for a clock that is ahead, an app is given a step of its own if it needs one. That is learned when the app
//! is enrolled, from whoever was just shown the secret and has nothing to guess: one step more is accepted there, on either side. Later codes
//! only ever take it back. So a clock that drifts away afterwards is not followed: its codes are refused, as anybody's would be.

use crate::{
    authenticator::{Authenticator, Status},
    registry::OtpWindow,
};

/// The most that is learned. One success moves it by one.
const MOST: i8 = 2;

/// The steps that are accepted of `app` around the present one.
pub(crate) fn window_of(window: OtpWindow, app: &Authenticator) -> OtpWindow {
    let learned = u64::from(app.drift.clamp(-MOST, MOST).unsigned_abs());
    if !window.learns {
        return window;
    }
    match (app.status, app.drift) {
        (Status::Pending { .. }, _) => OtpWindow { behind: window.behind + 1, ahead: window.ahead + 1, ..window },
        (_, 1..) => OtpWindow { ahead: window.ahead + learned, ..window },
        (_, _) => OtpWindow { behind: window.behind + learned, ..window },
    }
}

/// What is known of the clock after a code of `step` was accepted at `current`: one step more or less than before, if any.
///
/// Who types slowly gives a code of the step before. That says nothing of the clock.
pub(crate) fn learned(window: OtpWindow, app: &Authenticator, step: u64, current: u64) -> i8 {
    let drift = app.drift;
    if !window.learns {
        return drift;
    }
    let offset = i64::try_from(step).unwrap_or(i64::MAX).saturating_sub(i64::try_from(current).unwrap_or(i64::MAX));
    let slowest = i64::from(drift) - i64::try_from(window.behind).unwrap_or(i64::MAX);
    if offset > i64::from(drift) {
        (drift + 1).min(MOST)
    } else if offset < slowest {
        (drift - 1).max(-MOST)
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

    fn steps(window: OtpWindow, drift: i8, pending: bool) -> (u64, u64) {
        let OtpWindow { behind, ahead, .. } = window_of(window, &app(drift, pending));
        (behind, ahead)
    }

    #[test]
    fn an_app_is_given_the_step_that_was_learned_of_it() {
        assert_eq!(steps(NIST, 0, false), (1, 0));
        assert_eq!(steps(NIST, 0, true), (2, 1));
        assert_eq!(steps(NIST, 1, false), (1, 1));
        assert_eq!(steps(NIST, -1, false), (2, 0));
        assert_eq!(steps(NIST, 2, false), (1, 2));
        let fixed = OtpWindow { learns: false, ..NIST };
        assert_eq!(
            (steps(fixed, 1, false), steps(fixed, 0, true)),
            ((1, 0), (1, 0)),
            "nothing that was learned counts"
        );
    }

    #[test]
    fn a_clock_is_learned_at_the_first_code_and_slow_fingers_are_not() {
        let after = |drift, offset: i64| learned(NIST, &app(drift, false), u64::try_from(100 + offset).unwrap(), 100);
        for (drift, offset, expected) in
            [(0, 0, 0), (0, -1, 0), (0, 1, 1), (0, -2, -1), (1, 1, 1), (1, 0, 1), (1, -1, 0), (-1, -2, -1), (-1, 0, 0)]
        {
            assert_eq!(after(drift, offset), expected, "{drift} and {offset}");
        }
    }

    proptest! {
        #[test]
        fn one_code_moves_it_by_one_and_never_beyond_two(drift in -2i8..=2, offset in -4i64..=4, behind in 0u64..3) {
            let window = OtpWindow { behind, ..NIST };
            let next = learned(window, &app(drift, false), u64::try_from(100 + offset).unwrap(), 100);
            prop_assert!((next - drift).abs() <= 1 && next.abs() <= MOST);
        }
    }
}
