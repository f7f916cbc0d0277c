//! The recovery code.

use countersign_tests::{
    everywhere,
    refusal::{Refused as _, WRONG_RECOVERY_CODE},
    tenant::BACKEND,
};

everywhere! {
    async fn a_recovery_code_logs_in_once_and_is_replaced(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let first = phone.recovery_code.clone().unwrap();
        let token = ann.mfa_token(&api).await;
        let tokens = api.recovery(BACKEND, &token, &first).await.unwrap();
        let second = tokens.recovery_code.expect("a new code is shown");
        assert_ne!(first, second);
        assert!(second.len() == 24 && second.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()));

        let token = ann.mfa_token(&api).await;
        api.recovery(BACKEND, &token, &first).await.refused(&WRONG_RECOVERY_CODE);
        api.recovery(BACKEND, &token, &second).await.unwrap();
        ann.log_in(&world, &api, &phone).await;
    }

    async fn a_recovery_code_may_be_typed_as_people_type(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let code = phone.recovery_code.unwrap();
        let pairs: Vec<&str> = code.as_bytes().chunks(4).map(|part| std::str::from_utf8(part).unwrap()).collect();
        let typed = format!(" {} ", pairs.join("-").to_lowercase().replacen('-', " ", 1));
        let token = ann.mfa_token(&api).await;
        api.recovery(BACKEND, &token, &typed).await.unwrap();
    }

    async fn a_recovery_code_is_no_login_before_an_authenticator_is_confirmed(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let association = api.associate(&token).await.unwrap();
        api.recovery(BACKEND, &token, &association.recovery_codes[0]).await.refused(&WRONG_RECOVERY_CODE);
    }

    async fn wrong_recovery_codes_are_refused_with_one_text(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let token = ann.mfa_token(&api).await;
        let right = phone.recovery_code.unwrap();
        for wrong in ["x", "ABCDEFGHJKMNPQRSTVWXYZ01", &right[..23], &format!("{right}0"), &"9".repeat(200)] {
            api.recovery(BACKEND, &token, wrong).await.refused(&WRONG_RECOVERY_CODE);
        }
        api.recovery(BACKEND, &token, &right).await.unwrap();
    }
}
