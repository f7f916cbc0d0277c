//! G-45, GHSA-h6mp and GHSA-9phw: a token of a trusted device that nobody checked, or that was good for anybody, skipped the second factor.

use countersign_domain::opaque::{self, REFRESH_BYTES, TokenKind};
use countersign_tests::{
    api::{Outcome, Wish},
    dump, everywhere,
    person::PASSWORD,
    refusal::{BAD_REFRESH_TOKEN, Refused as _, WRONG_PASSWORD},
    tenant::{ALSO_REMEMBERING, BACKEND, Client, MFA_API, MFA_SCOPES, NATIVE, REMEMBERING, Tenant},
};

everywhere! {
    async fn the_token_of_a_device_is_good_there_and_nowhere_else(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let (bob, _) = world.enrolled(&api, "bob").await;
        world.advance(60);
        let token = api.login(REMEMBERING, "ann", PASSWORD).await.unwrap().mfa_token();
        let device = api.otp_remembering(REMEMBERING, &token, &phone.code(&world)).await.unwrap().device_token.unwrap();
        let wish = Wish { device_token: Some(&device), ..Wish::default() };
        // Another person, another client, a client that remembers nothing, the MFA API.
        api.login_for(REMEMBERING, &bob.username, PASSWORD, wish).await.unwrap().mfa_token();
        api.login_for(ALSO_REMEMBERING, "ann", PASSWORD, wish).await.unwrap().mfa_token();
        api.login_for(NATIVE, "ann", PASSWORD, wish).await.unwrap().mfa_token();
        let managing = Wish { audience: Some(MFA_API), scope: Some(MFA_SCOPES), ..wish };
        api.login_for(REMEMBERING, "ann", PASSWORD, managing).await.unwrap().mfa_token();
        // A login that must be stronger than usual, or fresh.
        let acr = "http://schemas.openid.net/pape/policies/2007/06/multi-factor";
        for stepping in [Wish { acr_values: Some(acr), ..wish }, Wish { max_age: Some(60), ..wish }] {
            api.login_for(REMEMBERING, "ann", PASSWORD, stepping).await.unwrap().mfa_token();
        }
        // It is no password.
        api.login_for(REMEMBERING, "ann", "wrong", wish).await.refused(&WRONG_PASSWORD);
        // Made up, cut, in other letters, and of another kind.
        let other = device.replacen("csrem_", "csref_", 1);
        for forged in [device.to_uppercase(), device[..device.len() - 1].to_owned(), format!("{device}a"), other, "1".into()] {
            let wish = Wish { device_token: Some(&forged), ..Wish::default() };
            api.login_for(REMEMBERING, "ann", PASSWORD, wish).await.unwrap().mfa_token();
        }
        // The same bytes under the other name are no refresh token, whoever asks.
        let bytes = opaque::bytes_of::<REFRESH_BYTES>(TokenKind::RememberedDevice, &device).unwrap();
        let as_refresh = opaque::of_bytes(TokenKind::Refresh, bytes.expose()).expose().clone();
        api.refresh(REMEMBERING, &as_refresh, None).await.refused(&BAD_REFRESH_TOKEN);
        api.revoke(REMEMBERING, &as_refresh).await.unwrap();
        // None of that spent it. It says that the device is known, and of factors the truth.
        let tokens = api.login_for(REMEMBERING, "ann", PASSWORD, wish).await.map(Outcome::tokens).unwrap();
        let claims = countersign_tests::jwt::claims(&tokens.access_token);
        assert!(claims["amr"].as_array().is_none_or(|methods| methods.iter().all(|method| method == "pwd")), "{claims}");
        assert_ne!(tokens.device_token.unwrap(), device);
        assert_eq!(dump::audited(&world.database(), "login.remembered_device", ann.id.as_str()), 1);
    }

    async fn a_client_that_remembers_nothing_hands_out_no_token(world: World, api: Api) {
        let (_ann, phone) = world.enrolled(&api, "ann").await;
        world.advance(60);
        let token = api.login(BACKEND, "ann", PASSWORD).await.unwrap().mfa_token();
        assert_eq!(api.otp_remembering(BACKEND, &token, &phone.code(&world)).await.unwrap().device_token, None);
        world.advance(60);
        let token = api.login(REMEMBERING, "ann", PASSWORD).await.unwrap().mfa_token();
        assert_eq!(api.otp(REMEMBERING, &token, &phone.code(&world)).await.unwrap().device_token, None, "nobody asked");
    }
}

/// A client that asks about tokens and remembers devices.
const ASKING: Client = Client { id: "asking", secret: Some("the secret of who asks for tokens") };

everywhere! {
    in Tenant::default().and(
        "[[clients]]\nid = 'asking'\nsecrets = ['the secret of who asks for tokens']\nremember_devices_for = '7days'\n\
         grant_types = ['password', 'mfa-otp', 'refresh_token']\nintrospects = ['https://api.test/']\n",
    );

    async fn a_device_is_no_refresh_token_to_who_asks(world: World, api: Api) {
        let (_ann, phone) = world.enrolled(&api, "ann").await;
        world.advance(60);
        let token = api.login(ASKING, "ann", PASSWORD).await.unwrap().mfa_token();
        let device = api.otp_remembering(ASKING, &token, &phone.code(&world)).await.unwrap().device_token.unwrap();
        let bytes = opaque::bytes_of::<REFRESH_BYTES>(TokenKind::RememberedDevice, &device).unwrap();
        let as_refresh = opaque::of_bytes(TokenKind::Refresh, bytes.expose()).expose().clone();
        for token in [&device, &as_refresh] {
            assert_eq!(api.introspect(ASKING, token).await.unwrap(), None);
            api.revoke(ASKING, token).await.unwrap();
        }
        let wish = Wish { device_token: Some(&device), ..Wish::default() };
        api.login_for(ASKING, "ann", PASSWORD, wish).await.unwrap().tokens();
    }
}
