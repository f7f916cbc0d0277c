//! Codes that are sent: how long they live, how often they are tried, and whom they let in.

use countersign_tests::{
    api::To,
    dump, everywhere,
    http::body,
    person::PASSWORD,
    refusal::{
        BAD_OOB_CODE, EXPIRED_OOB_CODE, FOREIGN_OOB_CODE, FOREIGN_TOKEN, MALFORMED_TOKEN, NO_SUCH_CHALLENGE,
        Refused as _, TOO_MANY_CODES, WRONG_BINDING_CODE,
    },
    sent::{GERMAN_NUMBER, NUMBER},
    tenant::{BACKEND, NATIVE, Tenant},
    world::{Store, World},
};
use serde_json::{Value, json};

everywhere! {
    in Tenant::default().with_messages();

    async fn a_code_is_accepted_after_299_seconds_and_not_after_301(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        for channel in ["sms", "voice", "email"] {
            let (token, sent, message) = ann.challenged(&world, &api, channel).await;
            world.advance(299);
            api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.expect("it is not too late");
            let (token, sent, message) = ann.challenged(&world, &api, channel).await;
            world.advance(301);
            api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&EXPIRED_OOB_CODE);
            api.oob(BACKEND, &token, &sent.oob_code, message.wrong()).await.refused(&EXPIRED_OOB_CODE);
            let (sent, message) = world.sent(api.send_code(BACKEND, &token, None, Some(channel))).await;
            api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.expect("the login outlives a code");
        }
    }

    async fn a_code_of_an_enrolment_lives_as_long(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let (late, message) = world.sent(api.associate_oob(&token, To::Phone("sms", NUMBER))).await;
        world.advance(301);
        api.oob(BACKEND, &token, &late.oob_code, &message.code).await.refused(&EXPIRED_OOB_CODE);
        let (sent, message) = world.sent(api.associate_oob(&token, To::Phone("sms", NUMBER))).await;
        world.advance(298);
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
    }

    async fn a_code_completes_one_login(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let (token, sent, message) = ann.challenged(&world, &api, "sms").await;
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&MALFORMED_TOKEN);
        let token = ann.mfa_token(&api).await;
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&BAD_OOB_CODE);
        assert_eq!(dump::audited(&world.database(), "login.oob", ann.id.as_str()), 1);
    }

    async fn five_wrong_codes_kill_the_right_one_while_the_person_has_tries_left(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let (token, sent, message) = ann.challenged(&world, &api, "sms").await;
        for _ in 0..5 {
            api.oob(BACKEND, &token, &sent.oob_code, message.wrong()).await.refused(&WRONG_BINDING_CODE);
        }
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&WRONG_BINDING_CODE);
        let (sent, message) = world.sent(api.send_code(BACKEND, &token, None, Some("sms"))).await;
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.expect("a new code has tries of its own");
    }

    async fn the_fifth_try_may_be_the_right_one(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let (token, sent, message) = ann.challenged(&world, &api, "sms").await;
        for _ in 0..4 {
            api.oob(BACKEND, &token, &sent.oob_code, message.wrong()).await.refused(&WRONG_BINDING_CODE);
        }
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
    }

    async fn a_new_code_takes_the_place_of_the_old_one(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let (token, old, stale) = ann.challenged(&world, &api, "sms").await;
        let (sent, message) = world.sent(api.send_code(BACKEND, &token, None, Some("sms"))).await;
        assert_ne!(old.oob_code, sent.oob_code);
        assert_ne!(stale.id, message.id);
        api.oob(BACKEND, &token, &old.oob_code, &stale.code).await.refused(&BAD_OOB_CODE);
        api.oob(BACKEND, &token, &old.oob_code, &message.code).await.refused(&BAD_OOB_CODE);
        if stale.code != message.code {
            api.oob(BACKEND, &token, &sent.oob_code, &stale.code).await.refused(&WRONG_BINDING_CODE);
        }
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
    }

    async fn a_new_code_gives_no_new_tries(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let (token, first, message) = ann.challenged(&world, &api, "sms").await;
        for _ in 0..5 {
            api.oob(BACKEND, &token, &first.oob_code, message.wrong()).await.refused(&WRONG_BINDING_CODE);
        }
        let (second, message) = world.sent(api.send_code(BACKEND, &token, None, Some("sms"))).await;
        for _ in 0..5 {
            api.oob(BACKEND, &token, &second.oob_code, message.wrong()).await.refused(&WRONG_BINDING_CODE);
        }
        let refusal = api.oob(BACKEND, &token, &second.oob_code, &message.code).await.refused(&TOO_MANY_CODES);
        assert_eq!(refusal.retry_after(), Some(360));
        assert_eq!(dump::audited(&world.database(), "throttled.oob", ann.id.as_str()), 1);
        // The login ended with its tries, and a new one finds none.
        api.send_code(BACKEND, &token, None, Some("sms")).await.refused(&TOO_MANY_CODES);
        let (token, sent, message) = ann.challenged(&world, &api, "sms").await;
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&TOO_MANY_CODES);
        world.advance(360);
        let (token, sent, message) = ann.challenged(&world, &api, "sms").await;
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
    }

    async fn another_channel_gives_no_new_tries(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        for channel in ["sms", "voice"] {
            let (token, sent, message) = ann.challenged(&world, &api, channel).await;
            for _ in 0..5 {
                api.oob(BACKEND, &token, &sent.oob_code, message.wrong()).await.refused(&WRONG_BINDING_CODE);
            }
        }
        for channel in ["email", "sms", "voice"] {
            let (token, sent, message) = ann.challenged(&world, &api, channel).await;
            api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&TOO_MANY_CODES);
        }
    }

    async fn a_code_belongs_to_one_login_one_client_and_one_person(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let bob = world.with_telephone(&api, "bob", GERMAN_NUMBER).await;
        let (token, sent, message) = ann.challenged(&world, &api, "sms").await;
        let other_login = ann.mfa_token(&api).await;
        api.oob(BACKEND, &other_login, &sent.oob_code, &message.code).await.refused(&FOREIGN_OOB_CODE);
        let other_person = bob.mfa_token(&api).await;
        api.oob(BACKEND, &other_person, &sent.oob_code, &message.code).await.refused(&FOREIGN_OOB_CODE);
        let other_client = api.login(NATIVE, "ann", PASSWORD).await.unwrap().mfa_token();
        api.oob(NATIVE, &other_client, &sent.oob_code, &message.code).await.refused(&FOREIGN_OOB_CODE);
        api.oob(NATIVE, &token, &sent.oob_code, &message.code).await.refused(&FOREIGN_TOKEN);
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.expect("none of that looked at the code");
    }

    async fn what_is_no_oob_code_is_malformed_and_costs_nothing(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let (token, sent, message) = ann.challenged(&world, &api, "sms").await;
        let code = &sent.oob_code;
        let flipped = format!("{}{}", &code[..code.len() - 1], if code.ends_with('a') { 'b' } else { 'a' });
        let long = "x".repeat(4000);
        for _ in 0..3 {
            for wrong in ["x", "Fe26.2*SERVER_1*abc", &flipped, "csoob_", &code.to_uppercase(), &token, &long] {
                api.oob(BACKEND, &token, wrong, &message.code).await.refused(&BAD_OOB_CODE);
            }
        }
        assert_eq!(dump::audited(&world.database(), "proof_rejected.oob", ann.id.as_str()), 0);
        api.oob(BACKEND, &token, code, &message.code).await.unwrap();
    }

    async fn what_is_no_oob_code_is_not_even_counted(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let waiting = ann.mfa_token(&api).await;
        for channel in ["sms", "voice"] {
            let (token, sent, message) = ann.challenged(&world, &api, channel).await;
            for _ in 0..5 {
                api.oob(BACKEND, &token, &sent.oob_code, message.wrong()).await.refused(&WRONG_BINDING_CODE);
            }
        }
        // No attempt is left, and none is asked for; the login lives on.
        for _ in 0..2 {
            api.oob(BACKEND, &waiting, "csoob_nonsense", "123456").await.refused(&BAD_OOB_CODE);
        }
        api.list(&waiting).await.expect("the login was not ended");
    }

    async fn an_access_token_in_the_place_of_the_mfa_token_confirms_an_enrolment_and_nothing_else(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let manager = ann.manager_over(&world, &api, "sms").await;
        api.send_code(BACKEND, &manager, None, Some("sms")).await.refused(&MALFORMED_TOKEN);
        let (token, login, message) = ann.challenged(&world, &api, "sms").await;
        api.oob(BACKEND, &manager, &login.oob_code, &message.code).await.refused(&FOREIGN_OOB_CODE);

        let (sent, enrolment) = world.sent(api.associate_oob(&manager, To::Phone("sms", GERMAN_NUMBER))).await;
        api.oob(BACKEND, &token, &sent.oob_code, &enrolment.code).await.refused(&FOREIGN_OOB_CODE);
        let tokens = api.oob(BACKEND, &manager, &sent.oob_code, &enrolment.code).await.unwrap();
        assert_eq!(tokens.expires_in, 600);
        api.oob(BACKEND, &manager, &sent.oob_code, &enrolment.code).await.refused(&BAD_OOB_CODE);
        // An access token for something else is none here.
        let (token, sent, message) = ann.challenged(&world, &api, "sms").await;
        let access = api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap().access_token;
        api.oob(BACKEND, &access, &sent.oob_code, &message.code).await.refused(&MALFORMED_TOKEN);
    }

    async fn a_hundred_failures_disable_a_telephone_for_text_messages_and_calls(mut world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let mut api = api;
        for day in 0..11 {
            world.advance(86_400);
            if day == 5 {
                world.restart().await;
                api = world.api(api.transport());
            }
            let channel = if day % 2 == 0 { "sms" } else { "voice" };
            let (token, sent, message) = ann.challenged(&world, &api, channel).await;
            for _ in 0..9 {
                api.oob(BACKEND, &token, &sent.oob_code, message.wrong()).await.refused(&WRONG_BINDING_CODE);
            }
        }
        world.advance(86_400);
        let (token, call, called) = ann.challenged(&world, &api, "voice").await;
        let (sent, message) = world.sent(api.send_code(BACKEND, &token, None, Some("sms"))).await;
        let pending = ann.mfa_token(&api).await;
        api.oob(BACKEND, &token, &sent.oob_code, message.wrong()).await.refused(&WRONG_BINDING_CODE);
        // The right codes of both, at once and in a new login.
        assert!(api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.is_err());
        assert!(api.oob(BACKEND, &token, &call.oob_code, &called.code).await.is_err());
        assert!(api.list(&pending).await.is_err(), "pending logins ended with it");
        assert_eq!(dump::audited(&world.database(), "login.oob", ann.id.as_str()), 0);
        let token = ann.mfa_token(&api).await;
        let listed = api.list(&token).await.unwrap();
        let telephones: Vec<_> = listed.iter().filter(|entry| matches!(entry.channel.as_deref(), Some("sms" | "voice"))).collect();
        assert_eq!(telephones.len(), 2);
        for entry in telephones {
            assert!(!entry.active);
            world.sends_nothing(api.send_code(BACKEND, &token, Some(&entry.id), None), &NO_SUCH_CHALLENGE).await;
        }
        assert!(api.associate(&token).await.is_err(), "who burns through the ceiling does not enrol another");
    }

    async fn a_hundred_failures_disable_an_address_that_nobody_enrolled(world: World, api: Api) {
        let ann = world.person("ann").await;
        for _ in 0..11 {
            world.advance(86_400);
            let (token, sent, message) = ann.challenged(&world, &api, "email").await;
            for _ in 0..9 {
                api.oob(BACKEND, &token, &sent.oob_code, message.wrong()).await.refused(&WRONG_BINDING_CODE);
            }
        }
        world.advance(86_400);
        let (token, sent, message) = ann.challenged(&world, &api, "email").await;
        api.oob(BACKEND, &token, &sent.oob_code, message.wrong()).await.refused(&WRONG_BINDING_CODE);
        assert!(api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.is_err());
        let token = ann.mfa_token(&api).await;
        let listed = api.list(&token).await.unwrap();
        assert!(listed.iter().all(|entry| !entry.active), "{listed:?}");
        assert!(api.send_code(BACKEND, &token, Some(&listed[0].id), None).await.is_err());
        assert!(api.send_code(BACKEND, &token, None, Some("email")).await.is_err());
        // Nothing was enrolled, so something can be.
        ann.enrol_oob(&world, &api, To::Phone("sms", NUMBER)).await;
    }

    async fn a_success_forgets_the_failures_of_its_own_factor(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        for _ in 0..12 {
            world.advance(86_400);
            let (token, sent, message) = ann.challenged(&world, &api, "voice").await;
            for _ in 0..9 {
                api.oob(BACKEND, &token, &sent.oob_code, message.wrong()).await.refused(&WRONG_BINDING_CODE);
            }
            world.advance(86_400);
            ann.log_in_over(&world, &api, "sms").await;
        }
    }
}

/// Every way in which a code can be wrong: what is sent, and what it is refused with.
fn spellings(code: &str) -> Vec<(Value, u16, &'static str)> {
    let wide: String = code.chars().map(|digit| char::from_u32(u32::from(digit) + 0xfee0).unwrap()).collect();
    let (malformed, wrong) = ((400, "invalid_request"), (403, "invalid_grant"));
    let cases = vec![
        (Value::Null, malformed),
        (json!(""), malformed),
        (json!([code]), malformed),
        (json!({"code": code}), malformed),
        (json!(true), malformed),
        (json!("1".repeat(1_000)), malformed),
        (json!(wide), wrong),
        (json!(format!(" {code}")), wrong),
        (json!(format!("{code}\u{0}")), wrong),
        (json!(format!("+{code}")), wrong),
        (json!("1".repeat(60)), wrong),
    ];
    cases.into_iter().map(|(value, (status, error))| (value, status, error)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_has_one_spelling_and_every_other_costs_one_try_at_most() {
    for store in [Store::Sqlite, Store::Redis] {
        let world = World::start(store, Tenant::default().with_messages()).await;
        let api = world.api(countersign_tests::api::Transport::Http);
        for number in 0..11 {
            let ann = world.person(&format!("ann{number}")).await;
            let (token, sent, message) = ann.challenged(&world, &api, "email").await;
            let (value, status, error) = spellings(&message.code).swap_remove(number);
            let grant = "http://auth0.com/oauth/grant-type/mfa-oob";
            let fields = [("grant_type", grant), ("mfa_token", token.as_str()), ("oob_code", &sent.oob_code)];
            let mut request = body(BACKEND, &fields);
            request["binding_code"] = value.clone();
            let answer = world.http().post("/oauth/token", &request).await;
            assert_eq!((answer.status, &answer.json()["error"]), (status, &json!(error)), "{value}");
            let description = answer.json()["error_description"].as_str().unwrap().to_owned();
            if value.is_null() || value == "" {
                assert_eq!(description, "Missing required parameter: binding_code");
            } else if status == 403 {
                assert_eq!(description, "Invalid binding_code.");
            }
            let failures = dump::audited(&world.database(), "proof_rejected.oob", ann.id.as_str());
            assert_eq!(failures, i64::from(status == 403), "{value}");
            api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.expect("one try at most was spent");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oob_code_that_is_missing_is_named() {
    let world = World::start(Store::Sqlite, Tenant::default().with_messages()).await;
    let api = world.api(countersign_tests::api::Transport::Http);
    let ann = world.person("ann").await;
    let token = ann.mfa_token(&api).await;
    let fields = [
        ("grant_type", "http://auth0.com/oauth/grant-type/mfa-oob"),
        ("mfa_token", token.as_str()),
        ("binding_code", "123456"),
    ];
    let answer = world.http().post("/oauth/token", &body(BACKEND, &fields)).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.json()["error_description"], "Missing required parameter: oob_code");
}
