//! Step-up (RFC 9470): asking for two factors, for a login that is not long ago, and what managing factors takes.

use countersign_tests::{
    api::{Api, Tokens, Wish},
    everywhere, jwt,
    person::{PASSWORD, Phone},
    refusal::{Refusal, Refused as _, STEP_UP, UNMET_ACR, UNMET_MAX_AGE, WRONG_OTP},
    sent::authentication,
    tenant::{API, BACKEND, Client, KEEPER, LENIENT, MFA_API, MFA_SCOPES, Tenant},
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
        // From then on the login is one of both: later tokens say what was proven, and it is not asked for again.
        for wish in [Wish::default(), acr(TWO_FACTORS)] {
            world.advance(1000);
            let next = api.refresh_for(KEEPER, first.refresh(), wish).await.unwrap().tokens();
            let told = api.introspect(BACKEND, &next.access_token).await.unwrap().unwrap();
            assert_eq!(told.methods, ["pwd", "otp", "mfa"]);
            for token in [next.access_token.as_str(), next.id_token.as_deref().unwrap()] {
                let next = jwt::claims(token);
                for same in ["acr", "amr", "auth_time"] {
                    assert_eq!(next[same], after[same], "{same}");
                }
            }
        }
        // Who proved two factors at the login is not asked again.
        let strong = ann.lasting(&world, &api, &phone).await;
        api.refresh_for(BACKEND, strong.refresh(), acr(TWO_FACTORS)).await.unwrap().tokens();
    }

    async fn an_old_login_is_not_worth_a_first_factor(world: World, api: Api) {
        world.person("ann").await;
        let first = api.login_for(KEEPER, "ann", PASSWORD, LASTING).await.unwrap().tokens();
        for (age, refused) in [(900, false), (901, true)] {
            world.advance(age - if refused { 900 } else { 0 });
            let token = api.refresh_for(KEEPER, first.refresh(), acr(TWO_FACTORS)).await.unwrap().mfa_token();
            let association = api.associate(&token).await;
            if refused {
                let refusal = association.map(drop).unwrap_err();
                assert_eq!(requirements(&refusal), (None, Some("900".to_owned())));
            } else {
                association.unwrap();
            }
        }
        assert!(api.login_for(KEEPER, "ann", PASSWORD, LASTING).await.unwrap().tokens().refresh_token.is_some(), "not enrolled");
    }

    async fn what_a_refresh_did_not_prove_is_said_of_nothing(world: World, api: Api) {
        let ann = world.person("ann").await;
        let first = api.login_for(LENIENT, "ann", PASSWORD, LASTING).await.unwrap().tokens();
        let other = api.login_for(LENIENT, "ann", PASSWORD, LASTING).await.unwrap().tokens();
        let phone = ann.enrol(&world, &api).await;
        // There is a code that takes no waiting.
        world.advance(60);
        let waiting = api.refresh_for(LENIENT, first.refresh(), acr(TWO_FACTORS)).await.unwrap().mfa_token();
        api.otp(LENIENT, &waiting, &phone.wrong(&world)).await.refused(&WRONG_OTP);
        let said = |tokens: &Tokens| authentication(&tokens.access_token);
        let alone = (vec!["pwd".to_owned()], false);
        let both = (["pwd", "otp", "mfa"].map(str::to_owned).to_vec(), true);
        let second = api.refresh(LENIENT, first.refresh(), None).await.unwrap().tokens();
        assert_eq!(said(&second), alone, "it was asked for and not given");
        // What was exchanged meanwhile, and is not too long ago, is completed: of that login, and of no other.
        let stepped = api.otp(LENIENT, &waiting, &phone.code(&world)).await.unwrap();
        assert_eq!((said(&stepped), stepped.refresh()), (both.clone(), second.refresh()));
        let third = api.refresh(LENIENT, second.refresh(), None).await.unwrap().tokens();
        assert_eq!(said(&third), both);
        assert_eq!(said(&api.refresh(LENIENT, other.refresh(), None).await.unwrap().tokens()), alone);
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

/// Asked for a second factor with each refresh, if they have one.
const ASKED: Client = Client { id: "asked", secret: None };
/// Asked for one always, which is their mailbox.
const MAILED: Client = Client { id: "mailed", secret: None };

fn asked() -> Tenant {
    Tenant::default().with_messages().and(
        "[[clients]]\nid = 'asked'\nauthentication = 'none'\nmfa_demand = 'if-enrolled'\n\
         grant_types = ['password', 'mfa-otp', 'mfa-oob', 'refresh_token']\nrefresh = { mfa = true }\n\
         [[clients]]\nid = 'mailed'\nauthentication = 'none'\nmfa_demand = 'always'\nmfa_factors = ['email']\n\
         grant_types = ['password', 'mfa-oob', 'refresh_token']\nrefresh = { mfa = true }\n",
    )
}

everywhere! {
    in asked();

    async fn a_refresh_that_the_policy_asks_more_of_raises_the_login(world: World, api: Api) {
        let ann = world.person("ann").await;
        let first = api.login_for(ASKED, "ann", PASSWORD, LASTING).await.unwrap().tokens();
        let login = jwt::claims(&first.access_token)["auth_time"].clone();
        let phone = ann.enrol(&world, &api).await;
        let mut token = first.refresh().to_owned();
        for _ in 0..2 {
            world.advance(1000);
            let waiting = api.refresh(ASKED, &token, None).await.unwrap().mfa_token();
            let next = api.otp(ASKED, &waiting, &phone.code(&world)).await.unwrap();
            let claims = jwt::claims(&next.access_token);
            assert_eq!((&claims["amr"], &claims["acr"]), (&json!(["pwd", "otp", "mfa"]), &json!(TWO_FACTORS)));
            assert_eq!(claims["auth_time"], login);
            next.refresh().clone_into(&mut token);
        }
    }

    async fn the_same_channel_with_each_refresh_never_makes_two_factors(world: World, api: Api) {
        world.person("ann").await;
        let mut waiting = api.login_for(MAILED, "ann", PASSWORD, LASTING).await.unwrap().mfa_token();
        let mut first = None;
        for _ in 0..4 {
            world.advance(120);
            let (sent, message) = world.sent(api.send_code(MAILED, &waiting, None, Some("email"))).await;
            let tokens = api.oob(MAILED, &waiting, &sent.oob_code, &message.code).await.unwrap();
            let claims = jwt::claims(&tokens.access_token);
            let said = ["amr", "acr", "auth_time"].map(|name| claims[name].clone());
            assert_eq!(said[1], PASSWORD_ALONE);
            assert_eq!(first.get_or_insert_with(|| said.clone()), &said);
            waiting = api.refresh(MAILED, tokens.refresh(), None).await.unwrap().mfa_token();
        }
    }
}
