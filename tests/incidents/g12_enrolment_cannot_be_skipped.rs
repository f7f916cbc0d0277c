//! G-12, Keycloak CVE-2025-3910: the required action "set up a second factor" could be skipped.

use countersign_tests::{
    everywhere,
    refusal::{BAD_ACCESS_TOKEN, MALFORMED_TOKEN, NOT_ENROLLED, Refused as _, WRONG_OTP, WRONG_RECOVERY_CODE},
    tenant::BACKEND,
};

everywhere! {
    async fn who_must_enrol_gets_nothing_else_with_the_mfa_token(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, "123456").await.refused(&WRONG_OTP);
        api.recovery(BACKEND, &token, "ABCDEFGHJKMNPQRSTVWXYZ01").await.refused(&WRONG_RECOVERY_CODE);
        api.challenge(BACKEND, &token, "otp", None).await.refused(&NOT_ENROLLED);
        api.find(&token, "totp|dev_0000000000000000").await.refused(&BAD_ACCESS_TOKEN);
        api.delete(&token, "totp|dev_0000000000000000").await.refused(&BAD_ACCESS_TOKEN);
        assert!(api.subject(&token).await.is_err());
        ann.password(&api).await.unwrap().mfa_token();
        api.otp(BACKEND, "x", "123456").await.refused(&MALFORMED_TOKEN);
        assert_eq!(api.list(&token).await.unwrap(), []);
    }
}
