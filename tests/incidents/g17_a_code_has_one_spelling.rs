//! G-17, Vault CVE-2025-6014: blanks around a used code made it good again. G-39: a code of one digit could pass.

use countersign_tests::{
    everywhere,
    refusal::{Refused as _, WRONG_OTP},
    tenant::BACKEND,
};

everywhere! {
    async fn no_other_spelling_of_a_used_code_is_accepted(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let code = phone.code(&world);
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &code).await.unwrap();
        let wide: String = code.chars().map(|digit| char::from_u32(digit as u32 + 0xfee0).unwrap()).collect();
        for spelling in [
            code.clone(), format!(" {code}"), format!("{code} "), format!("{} {}", &code[..3], &code[3..]),
            format!("\t{code}"), format!("{code}\n"), format!("\u{a0}{code}"), wide, format!("+{code}"), format!("0{code}"),
        ] {
            // Ten tries a person: a login in between gives none back, so time must.
            world.advance_millis(1);
            let token = ann.mfa_token(&api).await;
            let refusal = api.otp(BACKEND, &token, &spelling).await.unwrap_err();
            assert!(refusal.is(&WRONG_OTP), "{spelling:?}: {refusal:?}");
        }
    }

    async fn what_is_no_code_of_six_digits_counts_as_a_wrong_one(world: World, api: Api) {
        let (ann, _) = world.enrolled(&api, "ann").await;
        for short in ["1", "12345", "1234567", "123456789", "abcdef", "12345a", "-12345", "1e5000"] {
            let token = ann.mfa_token(&api).await;
            api.otp(BACKEND, &token, short).await.refused(&WRONG_OTP);
        }
    }
}
