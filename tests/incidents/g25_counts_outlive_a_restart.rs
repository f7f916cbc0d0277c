//! G-25, Vaultwarden CVE-2026-27801: the counter was raised in memory only.

use countersign_tests::{
    everywhere,
    refusal::{Refused as _, TOO_MANY_CODES, WRONG_OTP},
    tenant::BACKEND,
};

everywhere! {
    async fn a_restart_between_tries_gives_none_back(mut world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let mut api = api;
        for round in 0..10 {
            let token = ann.mfa_token(&api).await;
            api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&WRONG_OTP);
            if round % 3 == 2 {
                world.restart().await;
                api = world.api(api.transport());
            }
        }
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &phone.code(&world)).await.refused(&TOO_MANY_CODES);
    }
}
