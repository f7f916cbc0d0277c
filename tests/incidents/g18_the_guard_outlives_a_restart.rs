//! G-18, Vault CVE-2025-6015: counter and used codes sat in the memory of one node. G-25 asks the same of failures.

use countersign_domain::factor::otp::step_at;
use countersign_tests::{
    everywhere, otp,
    refusal::{Refused as _, WRONG_OTP},
    tenant::BACKEND,
};

everywhere! {
    async fn a_used_step_stays_used_after_a_restart(mut world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        world.advance(30);
        let code = phone.code(&world);
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &code).await.unwrap();
        world.restart().await;
        let api = world.api(api.transport());
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &code).await.refused(&WRONG_OTP);
        let before = otp::code_of(&phone.secret, step_at(world.now()) - 1);
        api.otp(BACKEND, &token, &before).await.refused(&WRONG_OTP);
        api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
    }

    async fn two_people_may_use_a_step_at_the_same_moment(world: World, api: Api) {
        let (ann, anns) = world.enrolled(&api, "ann").await;
        let (bob, bobs) = world.enrolled(&api, "bob").await;
        world.advance(60);
        ann.log_in(&world, &api, &anns).await;
        bob.log_in(&world, &api, &bobs).await;
    }
}
