//! G-44, CVE-2026-104732: the second step was accepted without proof of the first.

use countersign_domain::opaque::{self, TokenKind};
use countersign_tests::{
    everywhere,
    refusal::{MALFORMED_TOKEN, Refused as _, WRONG_OTP, WRONG_RECOVERY_CODE},
    tenant::BACKEND,
};

everywhere! {
    async fn a_code_completes_only_the_login_of_its_own_person(world: World, api: Api) {
        let (ann, anns) = world.enrolled(&api, "ann").await;
        let (bob, bobs) = world.enrolled(&api, "bob").await;
        let bobs_token = bob.mfa_token(&api).await;
        api.otp(BACKEND, &bobs_token, &anns.code(&world)).await.refused(&WRONG_OTP);
        api.recovery(BACKEND, &bobs_token, anns.recovery_code.as_deref().unwrap()).await.refused(&WRONG_RECOVERY_CODE);
        let tokens = api.otp(BACKEND, &bobs_token, &bobs.code(&world)).await.unwrap();
        assert_eq!(api.subject(&tokens.access_token).await.unwrap(), bob.id.as_str());
        // Ann's own recovery code is still good: a try elsewhere spends nothing.
        let token = ann.mfa_token(&api).await;
        api.recovery(BACKEND, &token, anns.recovery_code.as_deref().unwrap()).await.unwrap();
    }

    async fn a_made_up_token_proves_no_first_step(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let real = ann.mfa_token(&api).await;
        let well_formed = opaque::of_bytes(TokenKind::Mfa, &[7; 38]).expose().clone();
        for made_up in [well_formed, real.to_uppercase(), real[..real.len() - 1].to_owned(), format!("{real} ")] {
            api.otp(BACKEND, &made_up, &phone.code(&world)).await.refused(&MALFORMED_TOKEN);
        }
    }
}
