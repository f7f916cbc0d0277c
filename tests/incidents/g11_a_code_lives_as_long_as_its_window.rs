//! G-11, Keycloak CVE-2024-7318: a code was good for twice its period.

use countersign_domain::{factor::otp::step_at, time::Timestamp};
use countersign_tests::{
    everywhere, otp,
    refusal::{Refused as _, WRONG_OTP},
    tenant::BACKEND,
};

everywhere! {
    async fn one_step_before_and_one_after_are_good_to_the_millisecond(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let mut step = step_at(world.now()) + 10;
        // First and last millisecond of a step.
        for offset in [0, 29_999] {
            for (ahead, good) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
                step += 10;
                let now = i64::try_from(step).unwrap() * 30_000 + offset;
                world.set_time(Timestamp::from_millis(now));
                let token = ann.mfa_token(&api).await;
                let code = otp::code_of(&phone.secret, step.checked_add_signed(ahead).unwrap());
                let answer = api.otp(BACKEND, &token, &code).await;
                if good {
                    answer.unwrap_or_else(|refusal| panic!("{ahead} at {offset}: {refusal:?}"));
                } else {
                    answer.refused(&WRONG_OTP);
                }
            }
        }
    }
}
