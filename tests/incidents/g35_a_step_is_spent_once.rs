//! G-35: no memory of the last accepted step. G-36, devise-two-factor: the fix left the interval before it open.

use countersign_domain::factor::otp::step_at;
use countersign_tests::{
    api::Transport,
    everywhere, otp,
    refusal::{Refused as _, WRONG_OTP},
    tenant::{BACKEND, NATIVE},
};

everywhere! {
    async fn a_step_and_those_before_it_are_dead_in_every_session_client_and_transport(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        world.advance(300);
        let step = step_at(world.now());
        let code = |step| otp::code_of(&phone.secret, step);
        let old = ann.mfa_token(&api).await;
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &code(step)).await.unwrap();
        api.otp(BACKEND, &old, &code(step)).await.refused(&WRONG_OTP);
        for transport in [Transport::Http, Transport::Grpc] {
            let other = world.api(transport);
            let token = ann.password_at(&other, NATIVE).await.unwrap().mfa_token();
            other.otp(NATIVE, &token, &code(step)).await.refused(&WRONG_OTP);
            other.otp(NATIVE, &token, &code(step - 1)).await.refused(&WRONG_OTP);
        }
        // The one ahead is good now, and kills what lies behind it.
        api.otp(BACKEND, &old, &code(step + 1)).await.unwrap();
        world.advance(30);
        let token = ann.mfa_token(&api).await;
        for dead in [step, step + 1] {
            api.otp(BACKEND, &token, &code(dead)).await.refused(&WRONG_OTP);
        }
        api.otp(BACKEND, &token, &code(step + 2)).await.unwrap();
    }

    async fn the_code_that_confirms_an_app_does_not_log_in_as_well(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let secret = api.associate(&token).await.unwrap().secret;
        let code = otp::code_at(&secret, world.now());
        api.otp(BACKEND, &token, &code).await.unwrap();
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &code).await.refused(&WRONG_OTP);
    }
}
