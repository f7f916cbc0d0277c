//! Access tokens of the MFA API.

use countersign_tests::{
    api::Wish,
    everywhere, jwt,
    person::{PASSWORD, Phone},
    refusal::{
        BAD_ACCESS_TOKEN, FOREIGN_TOKEN, MALFORMED_TOKEN, NO_SCOPE, NO_SUCH_AUTHENTICATOR, Refused as _, STEP_UP,
        WRONG_OTP,
    },
    tenant::{API, BACKEND, MFA_API, MFA_SCOPES, NATIVE},
};
use serde_json::json;

const MANAGE: Wish<'static> = Wish {
    audience: Some(MFA_API),
    scope: Some(MFA_SCOPES),
    realm: None,
    acr_values: None,
    max_age: None,
    device_token: None,
};

everywhere! {
    async fn the_audience_of_the_mfa_api_asks_for_a_second_factor_by_itself(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        for audience in [MFA_API, MFA_API.trim_end_matches('/')] {
            let wish = Wish { audience: Some(audience), ..MANAGE };
            let token = api.login_for(BACKEND, "ann", PASSWORD, wish).await.unwrap().mfa_token();
            let tokens = api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
            assert_eq!(tokens.expires_in, 600);
            let claims = jwt::claims(&tokens.access_token);
            assert_eq!(claims["aud"], MFA_API, "always with the slash");
            assert_eq!(claims["scope"], MFA_SCOPES);
            assert_eq!(claims["amr"], json!(["pwd", "otp", "mfa"]));
            assert_eq!(claims["sub"], ann.id.as_str());
        }
    }

    async fn who_has_no_factor_gets_a_token_of_the_mfa_api_at_once_and_enrols_with_it(world: World, api: Api) {
        let ann = world.person("ann").await;
        let tokens = api.login_for(BACKEND, "ann", PASSWORD, MANAGE).await.unwrap().tokens();
        assert_eq!(tokens.expires_in, 600);
        let phone = Phone::new(api.associate(&tokens.access_token).await.unwrap().secret, None);
        let confirmed = api.otp(BACKEND, &tokens.access_token, &phone.code(&world)).await.unwrap();
        assert_eq!(confirmed.expires_in, 600);
        assert_eq!(jwt::claims(&confirmed.access_token)["aud"], MFA_API);
        ann.log_in(&world, &api, &phone).await;
        // What came before the factor was proven by the password alone.
        api.associate(&tokens.access_token).await.refused(&STEP_UP);
        api.associate(&confirmed.access_token).await.unwrap();
    }

    async fn a_token_of_the_password_alone_changes_nothing_once_a_factor_is_active(world: World, api: Api) {
        let ann = world.person("ann").await;
        let weak = api.login_for(BACKEND, "ann", PASSWORD, MANAGE).await.unwrap().tokens().access_token;
        let phone = ann.enrol(&world, &api).await;
        let id = api.list(&weak).await.unwrap().remove(0).id;
        api.associate(&weak).await.refused(&STEP_UP);
        api.update(&weak, &id, Some("mine now"), None).await.refused(&STEP_UP);
        api.delete(&weak, &id).await.refused(&STEP_UP);
        api.otp(BACKEND, &weak, &phone.code(&world)).await.refused(&STEP_UP);
    }

    async fn what_was_got_with_a_factor_goes_with_it_but_for_the_token_that_removed_it(world: World, api: Api) {
        let (ann, stolen) = world.enrolled(&api, "ann").await;
        let thief = ann.manager(&world, &api, &stolen).await;
        let wish = Wish { audience: Some(API), ..Wish::default() };
        let pending = api.login_for(BACKEND, "ann", PASSWORD, wish).await.unwrap().mfa_token();
        let session = api.otp(BACKEND, &pending, &stolen.code(&world)).await.unwrap().access_token;
        let manager = ann.manager(&world, &api, &stolen).await;
        let phone = ann.add_phone(&world, &api, &manager).await;
        let listed = api.list(&manager).await.unwrap();
        assert!(api.introspect(BACKEND, &session).await.unwrap().is_some());

        api.delete(&manager, &listed[0].id).await.unwrap();
        assert_eq!(api.introspect(BACKEND, &session).await.unwrap(), None);
        api.list(&thief).await.refused(&BAD_ACCESS_TOKEN);
        api.associate(&thief).await.refused(&BAD_ACCESS_TOKEN);
        api.delete(&thief, &listed[1].id).await.refused(&BAD_ACCESS_TOKEN);
        api.otp(BACKEND, &thief, &phone.code(&world)).await.refused(&MALFORMED_TOKEN);

        // Who removed one goes on: adds another, removes that too.
        ann.add_phone(&world, &api, &manager).await;
        let listed = api.list(&manager).await.unwrap();
        api.delete(&manager, &listed[1].id).await.unwrap();
        api.list(&manager).await.unwrap();
        // Until something else ends what is in flight.
        assert!(world.app().set_blocked(&ann.id, true).await.unwrap());
        assert!(world.app().set_blocked(&ann.id, false).await.unwrap());
        api.list(&manager).await.refused(&BAD_ACCESS_TOKEN);
    }

    async fn each_call_needs_its_scope(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let id = api.list(&ann.mfa_token(&api).await).await.unwrap().remove(0).id;
        for scope in ["enroll", "read:authenticators", "remove:authenticators"] {
            let wish = Wish { scope: Some(scope), ..MANAGE };
            let token = api.login_for(BACKEND, "ann", PASSWORD, wish).await.unwrap().mfa_token();
            let token = api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap().access_token;
            if scope != "enroll" {
                api.associate(&token).await.refused(&NO_SCOPE);
                api.update(&token, &id, Some("x"), None).await.refused(&NO_SCOPE);
                api.otp(BACKEND, &token, "123456").await.refused(&NO_SCOPE);
            }
            if scope != "read:authenticators" {
                api.list(&token).await.refused(&NO_SCOPE);
                api.find(&token, &id).await.refused(&NO_SCOPE);
            }
            if scope != "remove:authenticators" {
                api.delete(&token, &id).await.refused(&NO_SCOPE);
            }
        }
    }

    async fn an_mfa_token_may_list_and_enrol_but_never_show_change_or_remove(world: World, api: Api) {
        let (ann, _) = world.enrolled(&api, "ann").await;
        let token = ann.mfa_token(&api).await;
        let id = api.list(&token).await.unwrap().remove(0).id;
        api.delete(&token, &id).await.refused(&BAD_ACCESS_TOKEN);
        api.update(&token, &id, Some("x"), None).await.refused(&BAD_ACCESS_TOKEN);
        api.find(&token, &id).await.refused(&BAD_ACCESS_TOKEN);
        assert_eq!(api.list(&token).await.unwrap().len(), 2);
    }

    async fn an_access_token_is_no_mfa_token(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        api.challenge(BACKEND, &manager, "otp", None).await.refused(&MALFORMED_TOKEN);
        api.recovery(BACKEND, &manager, phone.recovery_code.as_deref().unwrap()).await.refused(&MALFORMED_TOKEN);
        // It confirms enrolments; nothing is pending, so no code is right, and an active app's completes no login.
        api.otp(BACKEND, &manager, &phone.code(&world)).await.refused(&WRONG_OTP);
        api.otp(NATIVE, &manager, "123456").await.refused(&FOREIGN_TOKEN);
    }

    async fn an_access_token_of_another_audience_does_not_manage(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let other = ann.log_in(&world, &api, &phone).await.access_token;
        api.list(&other).await.refused(&BAD_ACCESS_TOKEN);
        api.associate(&other).await.refused(&BAD_ACCESS_TOKEN);
        let manager = ann.manager(&world, &api, &phone).await;
        assert!(api.subject(&manager).await.is_err(), "nor does one of the MFA API tell who somebody is");
    }

    async fn an_access_token_of_the_mfa_api_lives_ten_minutes(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        world.advance(599);
        api.list(&manager).await.unwrap();
        world.advance(1);
        api.list(&manager).await.refused(&BAD_ACCESS_TOKEN);
        api.otp(BACKEND, &manager, "123456").await.refused(&MALFORMED_TOKEN);
    }

    async fn forged_tokens_are_refused_everywhere(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let good = ann.manager(&world, &api, &phone).await;
        let mut claims = jwt::claims(&good);
        claims["sub"] = json!("auth0|somebodyelse");
        let cut = good.rsplit_once('.').unwrap().0;
        for forged in [jwt::forged(&good, &claims), jwt::unsigned(&claims), format!("{cut}."), cut.to_owned(), "x.y.z".to_owned()] {
            api.list(&forged).await.refused(&BAD_ACCESS_TOKEN);
            api.associate(&forged).await.refused(&BAD_ACCESS_TOKEN);
            api.find(&forged, "totp|dev_0000000000000000").await.refused(&BAD_ACCESS_TOKEN);
            assert!(api.subject(&forged).await.is_err());
        }
        api.find(&good, "totp|dev_0000000000000000").await.refused(&NO_SUCH_AUTHENTICATOR);
    }
}
