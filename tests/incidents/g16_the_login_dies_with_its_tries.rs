//! G-16, Keycloak issue 26180: the lock ended, the half-finished login lived on, and guessing resumed without the password.
//! G-27, privacyIDEA issue 1578: after the lock every further guess was looked at.

use countersign_tests::{
    everywhere,
    refusal::{MALFORMED_TOKEN, Refused as _, TOO_MANY_CODES, WRONG_OTP},
    tenant::BACKEND,
};

everywhere! {
    async fn guessing_goes_on_only_with_the_password_and_one_try_at_a_time(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let token = ann.mfa_token(&api).await;
        for _ in 0..10 {
            api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&WRONG_OTP);
        }
        api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&TOO_MANY_CODES);
        world.advance(360);
        api.otp(BACKEND, &token, &phone.code(&world)).await.refused(&MALFORMED_TOKEN);
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&WRONG_OTP);
        api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&TOO_MANY_CODES);
    }
}
