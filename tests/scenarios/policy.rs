//! Who is asked for which second factor: by client, by API, by what a person has.

use countersign_tests::{
    api::{To, Transport, Wish},
    dump, everywhere,
    http::body,
    person::{PASSWORD, Phone},
    refusal::{NO_OOB, Refused as _, WRONG_OTP},
    tenant::{API, BACKEND, Client, LENIENT, MFA_API, Tenant},
    world::{Store, World},
};
use serde_json::{Value, json};

/// A client that asks for no second factor.
const CAREFREE: Client = Client { id: "carefree", secret: None };
/// A client that takes text messages alone.
const TEXTED: Client = Client { id: "texted", secret: None };
/// A client that takes apps alone, and is told so.
const APPS: Client = Client { id: "apps", secret: None };
/// An API whose logins have a second factor that needs no telephone network, whatever the client says.
const BANK: &str = "https://bank.test/";
const NUMBER: &str = "+1 202 555 0143";

fn tenant() -> Tenant {
    let grants = "['password', 'mfa-otp', 'mfa-oob', 'mfa-recovery-code', 'refresh_token']";
    let client = |client: Client, more: &str| {
        format!("[[clients]]\nid = '{}'\nauthentication = 'none'\ngrant_types = {grants}\n{more}\n", client.id)
    };
    Tenant::default()
        .with_messages()
        .and("[[apis]]\naudience = 'https://bank.test/'\nmfa_demand = 'always'\nmfa_strength = 'unrestricted'\n")
        .and(&client(CAREFREE, "mfa_demand = 'never'"))
        .and(&client(TEXTED, "mfa_factors = ['sms']"))
        .and(&client(APPS, "mfa_factors = ['otp']\npublish_mfa_requirements = true"))
}

fn of(audience: &str) -> Wish<'_> {
    Wish { audience: Some(audience), ..Wish::default() }
}

everywhere! {
    in tenant();

    async fn a_client_may_ask_nobody_and_an_api_asks_all_the_same(world: World, api: Api) {
        let (ann, _) = world.enrolled(&api, "ann").await;
        world.person("ben").await;
        for name in ["ann", "ben"] {
            api.login(CAREFREE, name, PASSWORD).await.unwrap().tokens();
            api.login_for(CAREFREE, name, PASSWORD, of(API)).await.unwrap().tokens();
            api.login_for(CAREFREE, name, PASSWORD, of(BANK)).await.unwrap().mfa_token();
        }
        // No policy lets the password alone manage factors.
        api.login_for(CAREFREE, "ann", PASSWORD, of(MFA_API)).await.unwrap().mfa_token();
        let policy = dump::details(&world.database(), "login.password", ann.id.as_str());
        assert_eq!(policy, ["policy:policy_never", "policy:policy_never"]);
    }

    async fn the_stricter_of_client_and_api_counts(world: World, api: Api) {
        world.person("ann").await;
        api.login_for(LENIENT, "ann", PASSWORD, of(API)).await.unwrap().tokens();
        let token = api.login_for(LENIENT, "ann", PASSWORD, of(BANK)).await.unwrap().mfa_token();
        // What the API does not take is not enrolled for it either.
        assert!(api.associate_oob(&token, To::Phone("sms", NUMBER)).await.is_err());
        let phone = Phone::new(api.associate(&token).await.unwrap().secret, None);
        api.otp(LENIENT, &token, &phone.code(&world)).await.unwrap();
    }

    async fn a_factor_that_is_not_allowed_is_not_there(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let token = api.login(TEXTED, "ann", PASSWORD).await.unwrap().mfa_token();
        api.otp(TEXTED, &token, &phone.code(&world)).await.refused(&WRONG_OTP);
        // The recovery code always is.
        let code = phone.recovery_code.clone().unwrap();
        api.recovery(TEXTED, &token, &code).await.unwrap();
        let manager = ann.manager(&world, &api, &phone).await;
        let (sent, message) = world.sent(api.associate_oob(&manager, To::Phone("sms", NUMBER))).await;
        api.oob(BACKEND, &manager, &sent.oob_code, &message.code).await.unwrap();
        let token = api.login(TEXTED, "ann", PASSWORD).await.unwrap().mfa_token();
        let (sent, message) = world.sent(api.send_code(TEXTED, &token, None, None)).await;
        api.oob(TEXTED, &token, &sent.oob_code, &message.code).await.unwrap();
        let token = api.login_for(BACKEND, "ann", PASSWORD, of(BANK)).await.unwrap().mfa_token();
        api.send_code(BACKEND, &token, None, None).await.refused(&NO_OOB);
        api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
    }

    async fn the_audit_trail_says_why_it_was_asked(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        ann.log_in(&world, &api, &phone).await;
        let why = |event| dump::details(&world.database(), event, ann.id.as_str());
        assert_eq!(why("enrollment.completed"), ["policy:policy_always,not_enrolled"]);
        assert_eq!(why("login.otp"), ["policy:policy_always"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mfa_requirements_name_what_is_allowed() {
    let world = World::start(Store::Sqlite, tenant()).await;
    let api = world.api(Transport::Http);
    world.person("ann").await;
    let asked = async || {
        let fields = [("grant_type", "password"), ("username", "ann"), ("password", PASSWORD)];
        world.http().post("/oauth/token", &body(APPS, &fields)).await.json()
    };
    let required = asked().await;
    assert_eq!(required["mfa_requirements"], json!({"enroll": [{"type": "otp"}]}));
    let token = required["mfa_token"].as_str().unwrap().to_owned();
    let phone = Phone::new(api.associate(&token).await.unwrap().secret, None);
    api.otp(APPS, &token, &phone.code(&world)).await.unwrap();
    let challenge = json!({"challenge": [{"type": "otp"}, {"type": "recovery-code"}]});
    assert_eq!(asked().await["mfa_requirements"], challenge);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_says_what_would_follow_and_why() {
    let world = World::start(Store::Sqlite, tenant()).await;
    let api = world.api(Transport::Grpc);
    world.enrolled(&api, "ann").await;
    let explain = async |more: &[&str]| world.command(&[&["policy", "explain"], more].concat()).await;
    for (client, more, verdict, reasons) in [
        ("backend", &[][..], "challenge", json!(["policy_always"])),
        ("lenient", &[], "challenge", json!(["own_factor"])),
        ("carefree", &[], "pass", json!(["policy_never"])),
        ("carefree", &["--api", BANK], "challenge", json!(["policy_always"])),
        ("carefree", &["--api", MFA_API], "challenge", json!(["own_factor", "factor_management"])),
        (
            "carefree",
            &["--acr", "http://schemas.openid.net/pape/policies/2007/06/multi-factor"],
            "challenge",
            json!(["policy_never", "acr_requested"]),
        ),
    ] {
        let mut arguments = vec!["--client", client, "--user", "ann", "--json"];
        arguments.extend(more);
        let ended = explain(&arguments).await;
        assert_eq!(ended.code, 0, "{}", ended.err);
        let said: Value = serde_json::from_str(&ended.out).unwrap();
        assert_eq!((&said["verdict"], &said["reasons"]), (&json!(verdict), &reasons), "{client} {more:?}");
        assert_eq!(said["person"]["enrolled"], json!(["otp"]));
    }
    let people = explain(&["--client", "lenient", "--user", "ANN@people.test", "--api", BANK]).await;
    assert_eq!(people.code, 0, "{}", people.err);
    for line in [
        "verdict         challenge",
        "because         own_factor: the person has a factor, and the rule asks of who has one",
        "because         policy_always: the rule asks for a second factor always",
        "rule: demands   if-enrolled, always",
        "rule: strength  unrestricted",
        "accepted        otp",
    ] {
        assert!(people.out.lines().any(|said| said == line), "{line} in:\n{}", people.out);
    }
    for (arguments, complaint) in [
        (["--client", "nobody", "--user", "ann"], "There is no client nobody"),
        (["--client", "lenient", "--user", "zoe"], "There is no user zoe"),
    ] {
        let ended = explain(&arguments).await;
        assert!(ended.code != 0 && ended.err.contains(complaint), "{ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_pci_ten_wrong_codes_lock_for_half_an_hour() {
    let world = World::start(Store::Sqlite, Tenant::default().profile("pci-dss-4")).await;
    let api = world.api(Transport::Grpc);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let token = ann.mfa_token(&api).await;
    for _ in 0..10 {
        api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&WRONG_OTP);
    }
    world.advance(29 * 60);
    let token = ann.mfa_token(&api).await;
    assert!(api.otp(BACKEND, &token, &phone.code(&world)).await.is_err());
    world.advance(2 * 60);
    ann.log_in(&world, &api, &phone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn under_nist_a_refresh_token_lives_for_a_day_or_an_hour_unused_and_the_login_stays_when_it_was() {
    let world = World::start(Store::Sqlite, Tenant::default().profile("nist-aal2")).await;
    let api = world.api(Transport::Grpc);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let unused = ann.lasting(&world, &api, &phone).await;
    let mut used = ann.lasting(&world, &api, &phone).await;
    world.advance(3601);
    assert!(api.refresh(BACKEND, unused.refresh(), None).await.is_err());
    let used_up = api.refresh(BACKEND, used.refresh(), None).await;
    assert!(used_up.is_err(), "unused for an hour too");
    used = ann.lasting(&world, &api, &phone).await;
    for _ in 0..25 {
        world.advance(3450);
        used = api.refresh(BACKEND, used.refresh(), None).await.unwrap().tokens();
    }
    world.advance(24 * 3600 - 25 * 3450);
    assert!(api.refresh(BACKEND, used.refresh(), None).await.is_err(), "a day after the login");
}
