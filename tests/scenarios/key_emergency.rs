//! A private key is known to somebody: what it signed and whatever stands on it ends. And every change of keys has its row.

use std::time::{Duration, Instant};

use countersign_domain::audit::chain::AuditRow;
use countersign_tests::{
    api::{Api, Transport, Wish},
    http::plain_client,
    person::PASSWORD,
    refusal::{BAD_REFRESH_TOKEN, MALFORMED_TOKEN, Refused as _},
    tenant::{ALSO_REMEMBERING, API, BACKEND, Client, ED25519_API, LENIENT, REMEMBERING, Tenant},
    trail,
    world::{Store, World},
};
use serde_json::Value;
use tokio::time::interval;

fn key_rows(world: &World) -> Vec<AuditRow> {
    let about_keys = |row: &AuditRow| row.event.starts_with("signing_key.") || row.event.starts_with("deployment.");
    trail::rows(&world.database()).into_iter().filter(about_keys).collect()
}

async fn signer(world: &World) -> String {
    let request = plain_client().get(world.http().url("/.well-known/jwks.json"));
    let keys: Value = request.send().await.unwrap().json().await.unwrap();
    keys["keys"][0]["kid"].as_str().unwrap().to_owned()
}

/// The RSA key that signs.
async fn rsa_signer(world: &World) -> String {
    let keys: Value = world.http().get("/.well-known/jwks.json").await.json();
    let found = keys["keys"].as_array().unwrap().iter().find(|key| key["kty"] == "RSA");
    found.expect("ID tokens need one")["kid"].as_str().unwrap().to_owned()
}

async fn token_for(api: &Api, username: &str, audience: &str) -> String {
    let wish = Wish { audience: Some(audience), scope: Some("read:things"), ..Wish::default() };
    api.login_for(LENIENT, username, PASSWORD, wish).await.unwrap().tokens().access_token
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_emergency_everything_older_fails_within_five_seconds() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let (api, grpc) = (world.api(Transport::Http), world.api(Transport::Grpc));
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let manager = ann.manager(&world, &api, &phone).await;
    let lasting = ann.lasting(&world, &api, &phone).await;
    world.person("bob").await;
    let access = token_for(&api, "bob", API).await;
    let pending = ann.mfa_token(&api).await;
    assert!(api.introspect(BACKEND, &lasting.access_token).await.unwrap().is_some());
    let old = signer(&world).await;

    let done = world.command(&["keys", "emergency"]).await;
    let began = Instant::now();
    assert_eq!(done.code, 0, "{done:?}");
    let next = done.out.split(' ').next().unwrap().to_owned();
    assert!(done.out.contains("everything that 2 accounts had in flight is ended"), "{done:?}");
    // What stands on the account is judged by its epoch, which is read anew each time.
    api.otp(BACKEND, &pending, &phone.code(&world)).await.refused(&MALFORMED_TOKEN);
    grpc.refresh(BACKEND, lasting.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
    let mut ticks = interval(Duration::from_millis(50));
    loop {
        ticks.tick().await;
        let mut alive = Vec::new();
        for api in [&api, &grpc] {
            alive.push(api.list(&manager).await.is_ok());
            alive.push(api.introspect(BACKEND, &access).await.unwrap().is_some());
            alive.push(api.introspect(BACKEND, &lasting.access_token).await.unwrap().is_some());
            alive.push(api.introspect(BACKEND, lasting.refresh()).await.unwrap().is_some());
        }
        alive.push(signer(&world).await == old);
        if !alive.contains(&true) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{alive:?}");
    }
    assert_eq!(signer(&world).await, next);
    // A server's time goes on, and what is issued from then on is good.
    world.advance(30);
    let listed = world.command(&["keys", "list"]).await.out;
    assert!(listed.contains(&format!("{old}\tRS256\tretired\t")), "{listed}");
    let again = ann.log_in(&world, &api, &phone).await;
    assert!(api.subject(&again.access_token).await.is_ok(), "people log in anew");

    assert_eq!(world.command(&["keys", "emergency", "--algorithm", "ES256"]).await.code, 65, "nothing signs with it");
    let rows = key_rows(&world);
    let of_command: Vec<_> = rows.iter().filter(|row| row.operator.is_some()).collect();
    let told: Vec<_> = of_command.iter().map(|row| (row.event.as_str(), row.detail.as_deref().unwrap_or(""))).collect();
    let (added, promoted, retired) =
        (format!("key={next} algorithm=RS256 state=next"), format!("key={next}"), format!("key={old}"));
    let expected = [
        ("signing_key.added", added.as_str()),
        ("signing_key.promoted", &promoted),
        ("signing_key.retired", &retired),
        ("deployment.everything_ended", ""),
    ];
    assert_eq!(told, expected);
    assert!(of_command.iter().all(|row| row.operator.as_deref().is_some_and(|who| who.starts_with("process "))));
    assert_eq!(world.command(&["audit", "verify"]).await.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_of_one_algorithm_ends_all_that_people_have_and_leaves_the_keys_of_the_others() {
    let world = World::start(Store::Sqlite, Tenant::default().with_every_kind_of_token()).await;
    let api = world.api(Transport::Grpc);
    world.person("bob").await;
    let (rs, ed) = (token_for(&api, "bob", API).await, token_for(&api, "bob", ED25519_API).await);
    let wish = Wish { scope: Some("openid"), ..Wish::default() };
    let about = api.login_for(LENIENT, "bob", PASSWORD, wish).await.unwrap().tokens().access_token;
    assert!(api.subject(&about).await.is_ok());
    let key = rsa_signer(&world).await;
    let done = world.command(&["keys", "emergency", "--algorithm", "Ed25519"]).await;
    assert_eq!(done.code, 0, "{done:?}");
    // Nobody can tell what somebody did with forged tokens: whatever stands on an account ends, and at once.
    assert!(api.introspect(BACKEND, &rs).await.unwrap().is_none(), "another key signed it, and its account ended it");
    assert!(api.introspect(BACKEND, &ed).await.unwrap().is_none());
    assert!(api.subject(&about).await.is_err());
    let listed = world.command(&["keys", "list"]).await.out;
    assert!(listed.contains(&format!("{key}\tRS256\tcurrent\t")), "{listed}");
    world.advance(30);
    let fresh = token_for(&api, "bob", API).await;
    assert!(api.introspect(BACKEND, &fresh).await.unwrap().is_some(), "people log in anew");
    assert_eq!(rsa_signer(&world).await, key);
}

/// A service, which calls two APIs whose tokens are signed with keys of different algorithms.
const ROBOT: Client = Client { id: "robot", secret: Some("a fifth secret of 16 or more") };

fn with_robot() -> Tenant {
    Tenant::default().with_every_kind_of_token().and(&format!(
        "[[clients]]\nid = '{}'\nsecrets = ['{}']\ngrant_types = ['client_credentials']\nservices = [\
         {{ audience = '{API}', scopes = ['read:things'] }}, {{ audience = '{ED25519_API}', scopes = ['read:things'] }}]\n",
        ROBOT.id,
        ROBOT.secret.unwrap(),
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_emergency_services_and_remembered_devices_are_known_no_more() {
    let world = World::start(Store::Sqlite, with_robot()).await;
    let (api, grpc) = (world.api(Transport::Http), world.api(Transport::Grpc));
    let (_ann, phone) = world.enrolled(&api, "ann").await;
    let mut devices = Vec::new();
    for client in [REMEMBERING, ALSO_REMEMBERING] {
        let token = api.login(client, "ann", PASSWORD).await.unwrap().mfa_token();
        let device = api.otp_remembering(client, &token, &phone.code(&world)).await.unwrap().device_token.unwrap();
        let wish = Wish { device_token: Some(&device), ..Wish::default() };
        let tokens = api.login_for(client, "ann", PASSWORD, wish).await.unwrap().tokens();
        devices.push((client, tokens.device_token.expect("it goes on")));
    }
    let service = async |audience| {
        let wish = Wish { audience: Some(audience), ..Wish::default() };
        api.service(ROBOT, wish).await.unwrap().access_token
    };
    let (rs, ed) = (service(API).await, service(ED25519_API).await);
    for token in [&rs, &ed] {
        assert!(api.introspect(BACKEND, token).await.unwrap().is_some());
    }

    let done = world.command(&["keys", "emergency"]).await;
    let began = Instant::now();
    assert_eq!(done.code, 0, "{done:?}");
    // At once: a device stands on its person's epoch.
    for (client, device) in &devices {
        for api in [&api, &grpc] {
            let wish = Wish { device_token: Some(device), ..Wish::default() };
            api.login_for(*client, "ann", PASSWORD, wish).await.unwrap().mfa_token();
        }
    }
    let mut ticks = interval(Duration::from_millis(50));
    while api.introspect(BACKEND, &rs).await.unwrap().is_some()
        || grpc.introspect(BACKEND, &rs).await.unwrap().is_some()
    {
        ticks.tick().await;
        assert!(began.elapsed() < Duration::from_secs(5), "the key that signed it is retired");
    }
    // A service has no account whose epoch could rise: what another key signed ends with that key.
    assert!(api.introspect(BACKEND, &ed).await.unwrap().is_some());
    let fresh = service(API).await;
    assert!(api.introspect(BACKEND, &fresh).await.unwrap().is_some(), "services go on by themselves");
    assert_eq!(world.command(&["keys", "emergency", "--algorithm", "Ed25519"]).await.code, 0);
    while api.introspect(BACKEND, &ed).await.unwrap().is_some() {
        ticks.tick().await;
    }
    assert!(api.introspect(BACKEND, &fresh).await.unwrap().is_some());
    // The person proves the second factor, and the device is remembered anew.
    let token = api.login(REMEMBERING, "ann", PASSWORD).await.unwrap().mfa_token();
    let device = api.otp_remembering(REMEMBERING, &token, &phone.code(&world)).await.unwrap().device_token.unwrap();
    let wish = Wish { device_token: Some(&device), ..Wish::default() };
    api.login_for(REMEMBERING, "ann", PASSWORD, wish).await.unwrap().tokens();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_of_a_rotation_has_its_row_whoever_takes_it() {
    let world = World::start(Store::Sqlite, Tenant::default().with_rotation()).await;
    let names = |rows: &[AuditRow]| rows.iter().map(|row| row.event.clone()).collect::<Vec<_>>();
    let turn = async || world.keys().turn().await.unwrap();
    turn().await;
    // By itself: the next key is promoted after a day, and the one before it is retired when its tokens are gone.
    world.advance(86_400);
    turn().await;
    turn().await;
    world.advance(3 * 86_400);
    turn().await;
    turn().await;
    let rows = key_rows(&world);
    assert!(rows.iter().all(|row| row.operator.is_none() && row.detail.is_some()), "{rows:?}");
    for event in ["signing_key.added", "signing_key.promoted", "signing_key.retired"] {
        assert!(names(&rows).iter().any(|name| name == event), "{event}: {rows:?}");
    }
    let before = rows.len();
    assert_eq!(world.command(&["keys", "promote"]).await.code, 65, "it was made a moment ago");
    assert_eq!(key_rows(&world).len(), before, "what is refused has no row");
    assert_eq!(world.command(&["keys", "promote", "--now"]).await.code, 0);
    let rows = key_rows(&world);
    assert_eq!(names(&rows[before..]), ["signing_key.promoted"]);
    assert!(rows[before].operator.is_some(), "{rows:?}");
}
