//! Step-up (RFC 9470): asking for two factors, for a login that is not long ago, and what managing factors takes.

use countersign_tests::{
    api::{Api, Wish},
    everywhere, jwt,
    person::{PASSWORD, Phone},
    refusal::{Refusal, Refused as _, STEP_UP, UNMET_ACR, UNMET_MAX_AGE},
    tenant::{API, BACKEND, KEEPER, LENIENT, MFA_API, MFA_SCOPES},
    world::World,
};
use serde_json::json;
use tonic_types::StatusExt as _;

const TWO_FACTORS: &str = "http://schemas.openid.net/pape/policies/2007/06/multi-factor";
const PASSWORD_ALONE: &str = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport";
const LASTING: Wish<'static> = Wish {
    device_token: None,
    audience: Some(API),
    scope: Some("openid offline_access read:things"),
    realm: None,
    acr_values: None,
    max_age: None,
};

fn acr(values: &str) -> Wish<'_> {
    Wish { acr_values: Some(values), ..Wish::default() }
}

fn within(max_age: u64) -> Wish<'static> {
    Wish { max_age: Some(max_age), ..Wish::default() }
}

/// What a refusal says would do: `acr_values` and `max_age`.
fn requirements(refusal: &Refusal) -> (Option<String>, Option<String>) {
    match refusal {
        Refusal::Http { headers, .. } => {
            let header = headers["www-authenticate"].to_str().unwrap();
            assert!(header.starts_with("Bearer error=\"insufficient_user_authentication\""), "{header}");
            let of = |name: &str| {
                let (_, rest) = header.split_once(&format!(", {name}=\""))?;
                Some(rest.split_once('"')?.0.to_owned())
            };
            (of("acr_values"), of("max_age"))
        }
        Refusal::Grpc(status) => {
            let metadata = status.get_details_error_info().unwrap().metadata;
            (metadata.get("acr_values").cloned(), metadata.get("max_age").cloned())
        }
    }
}

/// A token of the MFA API of a login that is `age` seconds old, still good.
async fn manager_of_age(world: &World, api: &Api, phone: &Phone, age: i64) -> String {
    let wish = Wish { audience: Some(MFA_API), scope: Some(MFA_SCOPES), ..Wish::default() };
    let began = world.now().as_secs();
    let token = api.login_for(BACKEND, "ann", PASSWORD, wish).await.unwrap().mfa_token();
    world.advance(540);
    let manager = api.otp(BACKEND, &token, &phone.code(world)).await.unwrap().access_token;
    assert_eq!(jwt::claims(&manager)["auth_time"], json!(began), "the login is when the first factor was proven");
    world.advance(u64::try_from(age - (world.now().as_secs() - began)).unwrap());
    manager
}

everywhere! {
    async fn a_request_may_ask_for_two_factors_where_the_policy_does_not(world: World, api: Api) {
        let ann = world.person("ann").await;
        ann.password_at(&api, LENIENT).await.unwrap().tokens();
        for values in [TWO_FACTORS.to_owned(), format!("urn:other {TWO_FACTORS} {PASSWORD_ALONE}")] {
            api.login_for(LENIENT, "ann", PASSWORD, acr(&values)).await.unwrap().mfa_token();
        }
        let token = api.login_for(LENIENT, "ann", PASSWORD, acr(TWO_FACTORS)).await.unwrap().mfa_token();
        let phone = Phone::new(api.associate(&token).await.unwrap().secret, None);
        let tokens = api.otp(LENIENT, &token, &phone.code(&world)).await.unwrap();
        assert_eq!(jwt::claims(&tokens.access_token)["acr"], TWO_FACTORS);
        // Who has a factor is asked for it, though less would do.
        api.login_for(LENIENT, "ann", PASSWORD, acr(PASSWORD_ALONE)).await.unwrap().mfa_token();
    }

    async fn a_class_that_nobody_knows_cannot_be_met(world: World, api: Api) {
        let (ann, _) = world.enrolled(&api, "ann").await;
        api.login_for(BACKEND, "ann", PASSWORD, acr("urn:aal2 urn:aal3")).await.refused(&UNMET_ACR);
        let some = format!("urn:aal3 {PASSWORD_ALONE}");
        api.login_for(BACKEND, &ann.username, PASSWORD, acr(&some)).await.unwrap().mfa_token();
        api.refresh_for(BACKEND, "csref_x", acr("urn:aal2")).await.refused(&UNMET_ACR);
    }

    async fn a_refresh_may_step_up_and_moves_no_time(world: World, api: Api) {
        let ann = world.person("ann").await;
        let first = api.login_for(KEEPER, "ann", PASSWORD, LASTING).await.unwrap().tokens();
        let phone = ann.enrol(&world, &api).await;
        world.advance(1000);
        let token = api.refresh_for(KEEPER, first.refresh(), acr(TWO_FACTORS)).await.unwrap().mfa_token();
        let stepped = api.otp(KEEPER, &token, &phone.code(&world)).await.unwrap();
        let (before, after) = (jwt::claims(&first.access_token), jwt::claims(&stepped.access_token));
        assert_eq!((&before["acr"], &before["amr"]), (&json!(PASSWORD_ALONE), &json!(["pwd"])));
        assert_eq!((&after["acr"], &after["amr"]), (&json!(TWO_FACTORS), &json!(["pwd", "otp", "mfa"])));
        assert_eq!(before["auth_time"], after["auth_time"]);
        // The exchange proves nothing: the next token says what the login said.
        let next = api.refresh(KEEPER, first.refresh(), None).await.unwrap().tokens();
        let next = jwt::claims(&next.access_token);
        assert_eq!((&next["acr"], &next["auth_time"]), (&json!(PASSWORD_ALONE), &before["auth_time"]));
        // Who proved two factors at the login is not asked again.
        let strong = ann.lasting(&world, &api, &phone).await;
        api.refresh_for(BACKEND, strong.refresh(), acr(TWO_FACTORS)).await.unwrap().tokens();
    }

    async fn a_login_that_is_too_old_is_refused_and_nothing_is_spent(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        api.login_for(BACKEND, "ann", PASSWORD, within(0)).await.unwrap().mfa_token();
        let first = ann.lasting(&world, &api, &phone).await;
        let login = jwt::claims(&first.access_token)["auth_time"].as_i64().unwrap();
        world.advance(u64::try_from(login + 300 - world.now().as_secs()).unwrap());
        let second = api.refresh_for(BACKEND, first.refresh(), within(300)).await.unwrap().tokens();
        world.advance(1);
        for _ in 0..3 {
            api.refresh_for(BACKEND, second.refresh(), within(300)).await.refused(&UNMET_MAX_AGE);
        }
        let third = api.refresh(BACKEND, second.refresh(), None).await.unwrap().tokens();
        assert_eq!(jwt::claims(&third.access_token)["auth_time"], json!(login), "no refresh moves it");
        let id = jwt::claims(third.id_token.as_deref().unwrap());
        assert_eq!((&id["auth_time"], &id["acr"]), (&json!(login), &json!(TWO_FACTORS)));
    }

    async fn factors_are_changed_within_fifteen_minutes_of_the_login(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let id = api.list(&ann.mfa_token(&api).await).await.unwrap().remove(0).id;
        let manager = manager_of_age(&world, &api, &phone, 900).await;
        api.associate(&manager).await.unwrap();
        api.update(&manager, &id, Some("still mine"), None).await.unwrap();
        world.advance(1);
        let refusals = [
            api.associate(&manager).await.refused(&STEP_UP),
            api.update(&manager, &id, Some("too late"), None).await.refused(&STEP_UP),
            api.delete(&manager, &id).await.refused(&STEP_UP),
        ];
        for refusal in refusals {
            assert_eq!(requirements(&refusal), (Some(TWO_FACTORS.to_owned()), Some("900".to_owned())));
        }
        api.list(&manager).await.expect("looking takes no fresh login");
        let fresh = ann.manager(&world, &api, &phone).await;
        api.delete(&fresh, &id).await.unwrap();
    }

    async fn confirming_one_factor_after_another_makes_no_login_younger(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let mut manager = ann.manager(&world, &api, &phone).await;
        let login = jwt::claims(&manager)["auth_time"].clone();
        for _ in 0..2 {
            let added = Phone::new(api.associate(&manager).await.unwrap().secret, None);
            world.advance(420);
            manager = api.otp(BACKEND, &manager, &added.code(&world)).await.unwrap().access_token;
            assert_eq!(jwt::claims(&manager)["auth_time"], login);
        }
        world.advance(90);
        api.associate(&manager).await.refused(&STEP_UP);
    }

    async fn who_has_no_factor_is_told_the_age_alone(world: World, api: Api) {
        world.person("ann").await;
        let wish = Wish { audience: Some(MFA_API), scope: Some(MFA_SCOPES), ..Wish::default() };
        let first = api.login_for(BACKEND, "ann", PASSWORD, wish).await.unwrap().tokens().access_token;
        let phone = Phone::new(api.associate(&first).await.unwrap().secret, None);
        world.advance(590);
        api.otp(BACKEND, &first, &phone.code(&world)).await.expect("what was begun in time is finished");
    }
}
