//! G-04, Zitadel CVE-2024-32868: passwords were locked, one-time codes were not. G-26: replaying the whole flow resets nothing.

use countersign_tests::{
    everywhere,
    person::Phone,
    refusal::{Refused as _, TOO_MANY_CODES, WRONG_OTP, WRONG_RECOVERY_CODE},
    tenant::BACKEND,
};

everywhere! {
    async fn codes_recovery_codes_and_confirmations_each_run_out_of_tries(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        for _ in 0..10 {
            // From the start each time, with a challenge.
            let token = ann.mfa_token(&api).await;
            api.challenge(BACKEND, &token, "otp", None).await.unwrap();
            api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&WRONG_OTP);
            api.recovery(BACKEND, &token, "ABCDEFGHJKMNPQRSTVWXYZ01").await.refused(&WRONG_RECOVERY_CODE);
        }
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &phone.code(&world)).await.refused(&TOO_MANY_CODES);
        let token = ann.mfa_token(&api).await;
        api.recovery(BACKEND, &token, phone.recovery_code.as_deref().unwrap()).await.refused(&TOO_MANY_CODES);

        let bob = world.person("bob").await;
        let token = bob.mfa_token(&api).await;
        let pending = Phone::new(api.associate(&token).await.unwrap().secret, None);
        for _ in 0..10 {
            api.otp(BACKEND, &token, &pending.wrong(&world)).await.refused(&WRONG_OTP);
        }
        api.otp(BACKEND, &token, &pending.code(&world)).await.refused(&TOO_MANY_CODES);
    }
}
