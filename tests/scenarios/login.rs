//! A password, then a code.

use countersign_tests::{
    api::Wish,
    everywhere,
    person::{PASSWORD, Phone},
    refusal::{
        BLOCKED, BLOCKED_AT_PASSWORD, EXPIRED_TOKEN, FOREIGN_TOKEN, MALFORMED_TOKEN, OTP_GRANT_OFF, Refused as _,
        UNKNOWN_API, WRONG_CLIENT, WRONG_OTP, WRONG_PASSWORD,
    },
    tenant::{API, BACKEND, Client, LENIENT, NARROW, NATIVE, OTHER_REALM, REALM},
};

everywhere! {
    async fn a_person_enrols_at_the_first_login_and_gets_tokens(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        assert_eq!(api.list(&token).await.unwrap(), [], "nothing is enrolled");

        let association = api.associate(&token).await.unwrap();
        assert_eq!(association.secret.len(), 32);
        assert!(association.secret.bytes().all(|byte| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(&byte)));
        assert_eq!(
            association.barcode_uri,
            format!(
                "otpauth://totp/My%20Test%20Tenant:ann%40people.test?secret={}\
                 &issuer=My%20Test%20Tenant&algorithm=SHA1&digits=6&period=30",
                association.secret
            )
        );
        let [code] = association.recovery_codes.as_slice() else { panic!("one recovery code") };
        assert!(code.len() == 24 && code.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()));

        let listed = api.list(&token).await.unwrap();
        assert_eq!(listed.iter().map(|entry| entry.kind.as_str()).collect::<Vec<_>>(), ["otp", "recovery-code"]);
        assert!(listed.iter().all(|entry| !entry.active), "nothing is confirmed: {listed:?}");

        let phone = Phone::new(association.secret, None);
        let tokens = api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
        assert_eq!(tokens.expires_in, 86_400);
        assert_eq!(tokens.scope.as_deref(), Some("openid profile email address phone"));
        assert!(tokens.id_token.is_some());
        assert_eq!(api.subject(&tokens.access_token).await.unwrap(), ann.id.as_str());

        let token = ann.mfa_token(&api).await;
        assert!(api.list(&token).await.unwrap().iter().all(|entry| entry.active), "one confirmation activates both");
    }

    async fn an_enrolled_person_logs_in_with_a_code(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let tokens = ann.log_in(&world, &api, &phone).await;
        assert_eq!(api.subject(&tokens.access_token).await.unwrap(), ann.id.as_str());
    }

    async fn a_person_is_known_by_username_and_by_address_in_any_spelling(world: World, api: Api) {
        world.person("jos\u{e9}").await;
        for name in ["jos\u{e9}", " JOSE\u{301} ", "jos\u{e9}@people.test", "JOS\u{c9}@People.Test"] {
            api.login(BACKEND, name, PASSWORD).await.expect(name).mfa_token();
        }
    }

    async fn a_password_is_compared_in_one_unicode_form(world: World, api: Api) {
        world.person("ann").await;
        let decomposed = PASSWORD.replace('\u{e4}', "a\u{308}");
        assert_ne!(decomposed, PASSWORD);
        api.login(BACKEND, "ann", &decomposed).await.unwrap().mfa_token();
        for wrong in [PASSWORD.to_uppercase(), format!("{PASSWORD} "), format!(" {PASSWORD}"), "x".to_owned()] {
            api.login(BACKEND, "ann", &wrong).await.refused(&WRONG_PASSWORD);
        }
    }

    async fn nobody_and_a_wrong_password_are_refused_alike(world: World, api: Api) {
        world.person("ann").await;
        api.login(BACKEND, "ann", "wrong").await.refused(&WRONG_PASSWORD);
        api.login(BACKEND, "nobody", PASSWORD).await.refused(&WRONG_PASSWORD);
        let elsewhere = Wish { realm: Some(OTHER_REALM), ..Wish::default() };
        api.login_for(BACKEND, "ann", PASSWORD, elsewhere).await.refused(&WRONG_PASSWORD);
        let nowhere = Wish { realm: Some("no-such-realm"), ..Wish::default() };
        api.login_for(BACKEND, "ann", PASSWORD, nowhere).await.refused(&WRONG_PASSWORD);
    }

    async fn a_named_realm_is_where_the_account_lives(world: World, api: Api) {
        world.person("ann").await;
        let wish = Wish { realm: Some(REALM), ..Wish::default() };
        api.login_for(BACKEND, "ann", PASSWORD, wish).await.unwrap().mfa_token();
    }

    async fn a_client_proves_itself_or_is_refused_like_an_unknown_one(world: World, api: Api) {
        world.person("ann").await;
        let impostors = [
            Client { secret: Some("wrong"), ..BACKEND },
            Client { secret: None, ..BACKEND },
            Client { id: "nobody", secret: BACKEND.secret },
            Client { id: "nobody", secret: None },
        ];
        for impostor in impostors {
            api.login(impostor, "ann", PASSWORD).await.refused(&WRONG_CLIENT);
        }
        api.login(NATIVE, "ann", PASSWORD).await.unwrap().mfa_token();
    }

    async fn an_mfa_token_belongs_to_the_client_it_was_issued_to(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let token = ann.mfa_token(&api).await;
        api.otp(NATIVE, &token, &phone.wrong(&world)).await.refused(&FOREIGN_TOKEN);
        api.challenge(NATIVE, &token, "otp", None).await.refused(&FOREIGN_TOKEN);
        api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
    }

    async fn a_wrong_code_leaves_the_login_open(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let token = ann.mfa_token(&api).await;
        for _ in 0..3 {
            api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&WRONG_OTP);
        }
        api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
    }

    async fn a_login_completes_once(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
        api.otp(BACKEND, &token, &phone.code(&world)).await.refused(&MALFORMED_TOKEN);
        api.challenge(BACKEND, &token, "otp", None).await.refused(&MALFORMED_TOKEN);
    }

    async fn an_mfa_token_lives_ten_minutes(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let (early, late) = (ann.mfa_token(&api).await, ann.mfa_token(&api).await);
        world.advance(599);
        let (last, next) = (phone.code(&world), world.now());
        assert!(world.now() <= next);
        api.otp(BACKEND, &early, &last).await.unwrap();
        world.advance(1);
        api.otp(BACKEND, &late, &phone.wrong(&world)).await.refused(&EXPIRED_TOKEN);
        api.challenge(BACKEND, &late, "otp", None).await.refused(&EXPIRED_TOKEN);
    }

    async fn what_is_no_mfa_token_is_malformed(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let token = ann.mfa_token(&api).await;
        let flipped = format!("{}{}", &token[..token.len() - 1], if token.ends_with('a') { 'b' } else { 'a' });
        for wrong in ["x", "Fe26.2*SERVER_1*abc", &flipped, "csmfa_", &token.to_uppercase()] {
            api.otp(BACKEND, wrong, &phone.wrong(&world)).await.refused(&MALFORMED_TOKEN);
            api.recovery(BACKEND, wrong, "ABCDEFGHJKMNPQRSTVWXYZ01").await.refused(&MALFORMED_TOKEN);
            api.challenge(BACKEND, wrong, "otp", None).await.refused(&MALFORMED_TOKEN);
        }
    }

    async fn a_client_without_the_mfa_grants_cannot_use_them(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.password_at(&api, NARROW).await.unwrap().mfa_token();
        api.otp(NARROW, &token, "123456").await.refused(&OTP_GRANT_OFF);
        api.challenge(NARROW, &token, "otp", None).await.refused(&OTP_GRANT_OFF);
    }

    async fn where_mfa_is_not_demanded_who_has_no_factor_gets_tokens(world: World, api: Api) {
        let ann = world.person("ann").await;
        let tokens = ann.password_at(&api, LENIENT).await.unwrap().tokens();
        assert_eq!(api.subject(&tokens.access_token).await.unwrap(), ann.id.as_str());
    }

    async fn an_unknown_api_is_named_in_the_refusal(world: World, api: Api) {
        world.person("ann").await;
        let wish = Wish { audience: Some("https://nowhere.test/"), ..Wish::default() };
        api.login_for(BACKEND, "ann", PASSWORD, wish).await.refused(&UNKNOWN_API);
    }

    async fn audience_and_scopes_of_the_first_request_hold_for_the_second(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let wish = Wish { audience: Some(API), scope: Some("openid read:things delete:things"), ..Wish::default() };
        let token = api.login_for(BACKEND, &ann.username, PASSWORD, wish).await.unwrap().mfa_token();
        let tokens = api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
        assert_eq!(tokens.scope.as_deref(), Some("openid read:things"));
        let claims = countersign_tests::jwt::claims(&tokens.access_token);
        assert_eq!(claims["aud"], serde_json::json!([API, "https://id.test/userinfo"]));
        assert_eq!(claims["scope"], "openid read:things");
    }

    async fn a_blocked_person_is_told_so_only_with_the_right_password(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let token = ann.mfa_token(&api).await;
        assert!(world.app().set_blocked(&ann.id, true).await.unwrap());
        ann.password(&api).await.refused(&BLOCKED_AT_PASSWORD);
        api.login(BACKEND, "ann", "wrong").await.refused(&WRONG_PASSWORD);
        api.otp(BACKEND, &token, &phone.code(&world)).await.refused(&BLOCKED);
    }
}
