//! G-01, `AuthQuake`: ten tries a session, and sessions without end. G-10: wrong codes after a right password count.

use countersign_tests::{
    dump, everywhere,
    refusal::{Refused as _, TOO_MANY_CODES, WRONG_OTP},
    tenant::BACKEND,
};

everywhere! {
    async fn many_sessions_share_ten_tries(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let (wrong, mut looked_at) = (phone.wrong(&world), 0);
        for _ in 0..20 {
            let token = ann.mfa_token(&api).await;
            for _ in 0..10 {
                let refusal = api.otp(BACKEND, &token, &wrong).await.unwrap_err();
                if refusal.is(&WRONG_OTP) { looked_at += 1 } else { assert!(refusal.is(&TOO_MANY_CODES), "{refusal:?}") }
            }
        }
        assert_eq!(looked_at, 10);
        assert_eq!(dump::audited(&world.database(), "proof_rejected.otp", ann.id.as_str()), 10);
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &phone.code(&world)).await.refused(&TOO_MANY_CODES);
    }
}
