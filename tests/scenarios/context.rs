//! Who is asked by what is new about a login: the network, the device, how long ago the last second factor was.

use countersign_domain::{secret::Secret, usecase::manage_users::NewPassword};
use countersign_tests::{
    api::{Api, To, Transport, Wish},
    dump, everywhere, jwt,
    person::{PASSWORD, Person, Phone},
    tenant::{BACKEND, Client, MFA_API, MFA_SCOPES, Tenant},
    world::{Store, World},
};
use serde_json::{Value, json};

/// A client that looks at the network and the time.
const WARY: Client = Client { id: "wary", secret: None };
/// A client that looks at the device alone.
const DEVICES: Client = Client { id: "devices", secret: None };
/// A client that asks who has a factor, and remembers devices.
const SHOP: Client = Client { id: "shop", secret: None };
/// An API that looks at the network, whatever the client.
const LEDGER: &str = "https://ledger.test/";
/// One that wants a factor besides which needs no telephone network.
const VAULT: &str = "https://vault.test/";
/// One that wants the same, and leaves it to the client when.
const SAFE: &str = "https://safe.test/";
const DAY: u64 = 86_400;
const HOME: &str = "203.0.113.7";
const NUMBER: &str = "+1 202 555 0143";

fn tenant() -> Tenant {
    let grants = "['password', 'mfa-otp', 'mfa-oob', 'mfa-recovery-code', 'refresh_token']";
    let client = |client: Client, more: &str| {
        format!("[[clients]]\nid = '{}'\nauthentication = 'none'\ngrant_types = {grants}\n{more}\n", client.id)
    };
    let vault = "mfa_demand = 'context'\nmfa_strength = 'unrestricted'";
    Tenant::default()
        .with_messages()
        .section("gateway", &["trusted_proxies = ['127.0.0.0/8']"])
        .and("[[apis]]\naudience = 'https://ledger.test/'\nmfa_demand = 'context'\n")
        .and(&format!("[[apis]]\naudience = 'https://vault.test/'\n{vault}\n"))
        .and("[[apis]]\naudience = 'https://safe.test/'\nmfa_strength = 'unrestricted'\n")
        .and(&client(WARY, "mfa_demand = 'context'\nmfa_context = { max_age = '7days' }\nrefresh = { mfa = true }"))
        .and(&client(
            DEVICES,
            "mfa_demand = 'context'\nmfa_context = { new_network = false, new_device = true, max_age = '0s' }\n\
             remember_devices_for = '30days'",
        ))
        .and(&client(SHOP, "mfa_demand = 'if-enrolled'\nremember_devices_for = '30days'"))
}

async fn prove(world: &World, api: &Api, client: Client, phone: &Phone) {
    let token = api.login(client, "ann", PASSWORD).await.unwrap().mfa_token();
    api.otp(client, &token, &phone.code(world)).await.unwrap();
}

fn why(world: &World, event: &str, ann: &Person) -> Vec<String> {
    dump::details(&world.database(), event, ann.id.as_str())
}

everywhere! {
    in tenant();

    async fn nothing_new_is_asked_nothing_until_it_is_too_long_ago(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let began = world.now();
        // The enrolment was a login with two factors, from here.
        let tokens = api.login(WARY, "ann", PASSWORD).await.unwrap().tokens();
        assert_eq!(jwt::claims(&tokens.access_token)["amr"], json!(["pwd"]));
        world.set_time(began);
        world.advance(7 * DAY);
        api.login(WARY, "ann", PASSWORD).await.unwrap().tokens();
        // Being let in was no proof, and renewed nothing.
        world.advance(1);
        prove(&world, &api, WARY, &phone).await;
        api.login(WARY, "ann", PASSWORD).await.unwrap().tokens();
        assert_eq!(why(&world, "login.password", &ann), vec!["policy:context_known"; 3]);
        assert_eq!(why(&world, "login.otp", &ann), ["policy:new_network,too_long_ago"]);
    }

    async fn a_right_password_alone_makes_nothing_known(world: World, api: Api) {
        let ann = world.person("ann").await;
        for _ in 0..2 {
            // A pending login that nobody completes.
            ann.password_at(&api, WARY).await.unwrap().mfa_token();
        }
        let wish = Wish { audience: Some(MFA_API), scope: Some(MFA_SCOPES), ..Wish::default() };
        let manager = api.login_for(WARY, "ann", PASSWORD, wish).await.unwrap().tokens().access_token;
        let phone = Phone::new(api.associate(&manager).await.unwrap().secret, None);
        api.otp(WARY, &manager, &phone.code(&world)).await.unwrap();
        assert_eq!(dump::rows(&world.database(), "proof"), 0, "enrolling is no login");
        prove(&world, &api, WARY, &phone).await;
        ann.password_at(&api, WARY).await.unwrap().tokens();
    }

    async fn whatever_ends_a_login_makes_all_new(world: World, api: Api) {
        let (ann, mut phone) = world.enrolled(&api, "ann").await;
        let asked = async || api.login(WARY, "ann", PASSWORD).await.unwrap().mfa_token();
        api.login(WARY, "ann", PASSWORD).await.unwrap().tokens();
        world.app().set_password(&ann.id, NewPassword::Plain(Secret::new(PASSWORD.into()))).await.unwrap();
        asked().await;
        prove(&world, &api, WARY, &phone).await;
        for blocked in [true, false] {
            world.app().set_blocked(&ann.id, blocked).await.unwrap();
        }
        asked().await;
        prove(&world, &api, WARY, &phone).await;
        let manager = ann.manager(&world, &api, &phone).await;
        let second = ann.add_phone(&world, &api, &manager).await;
        api.login(WARY, "ann", PASSWORD).await.unwrap().tokens();
        let id = api.list(&manager).await.unwrap().into_iter().find(|entry| entry.kind == "otp").unwrap().id;
        api.delete(&manager, &id).await.unwrap();
        let token = asked().await;
        // Which of the two went is not said.
        if api.otp(WARY, &token, &second.code(&world)).await.is_err() {
            api.otp(WARY, &token, &phone.code(&world)).await.unwrap();
        }
        api.login(WARY, "ann", PASSWORD).await.unwrap().tokens();
        world.app().reset_factors(&ann.id).await.unwrap();
        assert_eq!(dump::rows(&world.database(), "proof"), 0);
        // Who has no factor has no past either.
        let token = asked().await;
        phone = Phone::new(api.associate(&token).await.unwrap().secret, None);
        api.otp(WARY, &token, &phone.code(&world)).await.unwrap();
    }

    async fn a_weak_factor_makes_nothing_known_to_who_wants_a_strong_one(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let (sent, message) = world.sent(api.associate_oob(&manager, To::Phone("sms", NUMBER))).await;
        api.oob(BACKEND, &manager, &sent.oob_code, &message.code).await.unwrap();
        // From now on everything is new.
        world.app().set_password(&ann.id, NewPassword::Plain(Secret::new(PASSWORD.into()))).await.unwrap();
        let of = |audience| Wish { audience: Some(audience), ..Wish::default() };
        let sms = api.list(&ann.mfa_token(&api).await).await.unwrap();
        let sms = sms.into_iter().find(|entry| entry.channel.as_deref() == Some("sms")).unwrap().id;
        let token = api.login_for(SHOP, "ann", PASSWORD, of(LEDGER)).await.unwrap().mfa_token();
        let (sent, message) = world.sent(api.send_code(SHOP, &token, Some(&sms), None)).await;
        api.oob(SHOP, &token, &sent.oob_code, &message.code).await.unwrap();
        api.login(WARY, "ann", PASSWORD).await.unwrap().tokens();
        let token = api.login_for(WARY, "ann", PASSWORD, of(VAULT)).await.unwrap().mfa_token();
        api.otp(WARY, &token, &phone.code(&world)).await.unwrap();
        api.login_for(WARY, "ann", PASSWORD, of(VAULT)).await.unwrap().tokens();
    }

    async fn a_device_that_is_remembered_is_not_new_and_its_token_is_spent(world: World, api: Api) {
        let (_ann, phone) = world.enrolled(&api, "ann").await;
        let with = |token| Wish { device_token: Some(token), ..Wish::default() };
        let token = api.login(DEVICES, "ann", PASSWORD).await.unwrap().mfa_token();
        let tokens = api.otp_remembering(DEVICES, &token, &phone.code(&world)).await.unwrap();
        let first = tokens.device_token.unwrap();
        let tokens = api.login_for(DEVICES, "ann", PASSWORD, with(&first)).await.unwrap().tokens();
        let second = tokens.device_token.expect("the next one");
        api.login(DEVICES, "ann", PASSWORD).await.unwrap().mfa_token();
        let third = api.login_for(DEVICES, "ann", PASSWORD, with(&second)).await.unwrap().tokens();
        // One that was used before is in two hands: the device is forgotten.
        api.login_for(DEVICES, "ann", PASSWORD, with(&first)).await.unwrap().mfa_token();
        let third = third.device_token.unwrap();
        api.login_for(DEVICES, "ann", PASSWORD, with(&third)).await.unwrap().mfa_token();
    }

    async fn a_remembered_device_is_new_to_who_wants_a_strong_factor(world: World, api: Api) {
        let (_ann, phone) = world.enrolled(&api, "ann").await;
        let token = api.login(DEVICES, "ann", PASSWORD).await.unwrap().mfa_token();
        let device = api.otp_remembering(DEVICES, &token, &phone.code(&world)).await.unwrap().device_token.unwrap();
        let with = |audience| Wish { audience, device_token: Some(&device), ..Wish::default() };
        let token = api.login_for(DEVICES, "ann", PASSWORD, with(Some(SAFE))).await.unwrap().mfa_token();
        world.advance(30);
        api.otp(DEVICES, &token, &phone.code(&world)).await.unwrap();
        // It was not spent.
        api.login_for(DEVICES, "ann", PASSWORD, with(None)).await.unwrap().tokens();
    }

    async fn one_device_token_lets_one_of_many_in(world: World, api: Api) {
        let (_ann, phone) = world.enrolled(&api, "ann").await;
        let token = api.login(DEVICES, "ann", PASSWORD).await.unwrap().mfa_token();
        let device = api.otp_remembering(DEVICES, &token, &phone.code(&world)).await.unwrap().device_token.unwrap();
        let logins: Vec<_> = (0..8)
            .map(|_| {
                let (api, device) = (api.clone(), device.clone());
                tokio::spawn(async move {
                    let wish = Wish { device_token: Some(&device), ..Wish::default() };
                    let outcome = api.login_for(DEVICES, "ann", PASSWORD, wish).await.unwrap();
                    matches!(outcome, countersign_tests::api::Outcome::Tokens(_))
                })
            })
            .collect();
        let mut let_in = 0;
        for login in logins {
            let_in += u32::from(login.await.unwrap());
        }
        assert_eq!(let_in, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_is_known_once_a_second_factor_was_completed_from_it() {
    let world = World::start(Store::Sqlite, tenant()).await;
    let api = world.api(Transport::Http).from(HOME);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    for neighbour in [HOME, "203.0.113.250"] {
        api.from(neighbour).login(WARY, "ann", PASSWORD).await.unwrap().tokens();
    }
    for (elsewhere, neighbour) in [("198.51.100.1", "198.51.100.99"), ("2001:db8:0:ab00::1", "2001:db8:0:ab99::2")] {
        let api = api.from(elsewhere);
        api.login(WARY, "ann", PASSWORD).await.unwrap().mfa_token();
        prove(&world, &api, WARY, &phone).await;
        api.from(neighbour).login(WARY, "ann", PASSWORD).await.unwrap().tokens();
    }
    api.from("2001:db8:0:ac00::1").login(WARY, "ann", PASSWORD).await.unwrap().mfa_token();
    assert_eq!(why(&world, "login.otp", &ann), ["policy:new_network"; 2]);
    // Nobody else is known there.
    world.person("ben").await;
    api.login(WARY, "ben", PASSWORD).await.unwrap().mfa_token();
    // And no network lies in the file as it is.
    let stored = dump::sqlite(&world.database());
    let proofs = stored.iter().filter(|(place, _)| place.starts_with("table proof"));
    assert!(proofs.count() > 0);
    assert!(!stored.iter().any(|(place, bytes)| place.starts_with("table proof") && bytes.starts_with(&[203, 0, 113])));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_twenty_last_networks_are_remembered() {
    let world = World::start(Store::Sqlite, tenant()).await;
    let api = world.api(Transport::Http);
    let (_ann, phone) = world.enrolled(&api.from("10.0.0.1"), "ann").await;
    for network in 1..=20 {
        prove(&world, &api.from(&format!("10.0.{network}.1")), WARY, &phone).await;
    }
    assert_eq!(dump::rows(&world.database(), "proof"), 20);
    api.from("10.0.20.1").login(WARY, "ann", PASSWORD).await.unwrap().tokens();
    api.from("10.0.1.1").login(WARY, "ann", PASSWORD).await.unwrap().tokens();
    api.from("10.0.0.1").login(WARY, "ann", PASSWORD).await.unwrap().mfa_token();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_remembered_device_answers_for_no_new_network() {
    let world = World::start(Store::Sqlite, tenant()).await;
    let api = world.api(Transport::Http).from(HOME);
    let (_ann, phone) = world.enrolled(&api, "ann").await;
    let token = api.login(SHOP, "ann", PASSWORD).await.unwrap().mfa_token();
    let device = api.otp_remembering(SHOP, &token, &phone.code(&world)).await.unwrap().device_token.unwrap();
    let wish = Wish { device_token: Some(&device), audience: Some(LEDGER), ..Wish::default() };
    api.from("198.51.100.1").login_for(SHOP, "ann", PASSWORD, wish).await.unwrap().mfa_token();
    // At home it does, and was not spent elsewhere.
    assert!(api.login_for(SHOP, "ann", PASSWORD, wish).await.unwrap().tokens().device_token.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_from_a_new_network_asks_where_the_client_has_it_asked() {
    let world = World::start(Store::Sqlite, tenant()).await;
    let api = world.api(Transport::Http).from(HOME);
    let (_ann, phone) = world.enrolled(&api, "ann").await;
    let wish = Wish { scope: Some("openid offline_access"), ..Wish::default() };
    let first = api.login_for(WARY, "ann", PASSWORD, wish).await.unwrap().tokens();
    let elsewhere = api.from("198.51.100.1");
    let token = elsewhere.refresh(WARY, first.refresh(), None).await.unwrap().mfa_token();
    let second = elsewhere.otp(WARY, &token, &phone.code(&world)).await.unwrap();
    let third = elsewhere.refresh(WARY, second.refresh(), None).await.unwrap().tokens();
    api.refresh(WARY, third.refresh(), None).await.unwrap().tokens();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_memory_cannot_be_read_nobody_is_let_in_by_it() {
    let world = World::start(Store::Sqlite, tenant()).await;
    let api = world.api(Transport::Http);
    let (ann, _phone) = world.enrolled(&api, "ann").await;
    ann.password_at(&api, WARY).await.unwrap().tokens();
    dump::hide(&world.database(), "proof");
    assert!(ann.password_at(&api, WARY).await.is_err());
    // Who does not go by it is asked as ever.
    ann.password_at(&api, BACKEND).await.unwrap().mfa_token();
    ann.password_at(&api, DEVICES).await.unwrap().mfa_token();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_goes_by_context_nothing_is_remembered() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let api = world.api(Transport::Http);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    ann.log_in(&world, &api, &phone).await;
    assert_eq!(dump::rows(&world.database(), "proof"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_says_what_is_new() {
    let world = World::start(Store::Sqlite, tenant()).await;
    let api = world.api(Transport::Http).from(HOME);
    world.enrolled(&api, "ann").await;
    let explain = async |more: &[&str]| {
        let arguments = [&["policy", "explain", "--client", "wary", "--user", "ann"], more].concat();
        let ended = world.command(&arguments).await;
        assert_eq!(ended.code, 0, "{}", ended.err);
        ended.out
    };
    for (address, verdict, reasons) in [
        (&["--address", "203.0.113.99"][..], "pass", json!(["context_known"])),
        (&["--address", "198.51.100.1"], "challenge", json!(["new_network"])),
        (&[], "challenge", json!(["new_network"])),
    ] {
        let said: Value = serde_json::from_str(&explain(&[address, &["--json"]].concat()).await).unwrap();
        assert_eq!((&said["verdict"], &said["reasons"]), (&json!(verdict), &reasons), "{address:?}");
        assert_eq!(said["rule"]["context"], json!(["new-network", "max-age 7days"]));
    }
    let people = explain(&["--address", HOME]).await;
    for begin in [
        "rule: demands   context",
        "rule: context   new-network, max-age 7days",
        "this network    2027-",
        "last factor     2027-",
    ] {
        assert!(people.lines().any(|line| line.starts_with(begin)), "{begin} in:\n{people}");
    }
}
