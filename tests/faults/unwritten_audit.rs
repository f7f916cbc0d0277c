//! The row of the audit trail alone cannot be written: then what it tells of does not happen. No token is issued, nothing is spent, changed
//! or ended.

use std::time::Duration;

use countersign_tests::{
    api::{Api, To, Transport, Wish},
    device::{Device, other_number},
    dump,
    person::{PASSWORD, Phone},
    refusal::{PENDING, Refused as _, STORE_DOWN},
    sent::NUMBER,
    signer::{assertion, login, login_claims},
    tenant::{API, BACKEND, REMEMBERING, SIGNER, Tenant},
    world::{Store, World},
};
use rusqlite::Connection;

/// Has every insert into the trail fail, and nothing else, until told otherwise.
fn trail_takes_rows(takes: bool, world: &World) {
    let file = Connection::open(world.database()).unwrap();
    file.busy_timeout(Duration::from_secs(5)).unwrap();
    let sql = if takes {
        "DROP TRIGGER no_trail"
    } else {
        "CREATE TRIGGER no_trail BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'no trail today'); END"
    };
    file.execute_batch(sql).unwrap();
}

/// What accounts, factors, tokens and keys are made of. Not what tells of no event: counts of tries, logins that wait for their second factor,
/// assertions, which count once whatever they lead to, and how often a data key has sealed.
const PASSING: [&str; 7] =
    ["bucket", "proof", "sent", "challenge", "mfa_transaction", "used_assertion", "data_key_seals"];

fn kept(world: &World) -> Vec<(String, Vec<u8>)> {
    let passing = PASSING.map(|table| format!("table {table},"));
    let is_kept = |name: &str| !passing.iter().any(|table| name.starts_with(table));
    dump::tables(&world.database()).into_iter().filter(|(name, _)| is_kept(name)).collect()
}

/// Changes an operator makes.
const OPERATOR: [&[&str]; 3] =
    [&["user", "reset-mfa", "ann"], &["keys", "add", "--algorithm", "ES256"], &["user", "block", "ann"]];

fn asserted(world: &World, api: &Api, n: u32) -> (Api, String) {
    (api.signed(&assertion(world, &format!("auth-{n}"))), login(&login_claims(world, "ext-1", &format!("word-{n}"))))
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_row_nothing_happens() {
    for (transport, store) in [
        (Transport::Http, Store::Sqlite),
        (Transport::Grpc, Store::Sqlite),
        (Transport::Http, Store::Redis),
        (Transport::Grpc, Store::Redis),
    ] {
        let world = World::start(store, Tenant::default().with_devices()).await;
        let api = world.api(transport);
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let lasting = ann.lasting(&world, &api, &phone).await;
        let ended = ann.lasting(&world, &api, &phone).await;
        world.advance(60);
        let token = api.login(REMEMBERING, "ann", PASSWORD).await.unwrap().mfa_token();
        let device = api.otp_remembering(REMEMBERING, &token, &phone.code(&world)).await.unwrap().device_token.unwrap();
        let on_device = Wish { device_token: Some(&device), ..Wish::default() };
        let recovery = phone.recovery_code.clone().unwrap();
        let (pending, recovering) = (ann.mfa_token(&api).await, ann.mfa_token(&api).await);
        let tess = world.person("tess").await;
        tess.enrol_oob(&world, &api, To::Phone("sms", NUMBER)).await;
        let (sms_login, sent, message) = tess.challenged(&world, &api, "sms").await;
        let newcomer = world.person("newt").await;
        let enrolling = newcomer.mfa_token(&api).await;
        let begun = api.associate(&enrolling).await.unwrap();
        let begun = Phone::new(begun.secret, None);
        let (dave, device) = (world.person("dave").await, Device::new("dave"));
        dave.enrol_device(&api, &device).await;
        let (push_login, asked, pushed) = dave.asked(&world, &api).await;
        let number = asked.number.unwrap();
        let right = device.answer(&world, &pushed, true, Some(&number));
        let wrong = device.answer(&world, &pushed, true, Some(other_number(&number)));
        let wish = Wish { audience: Some(API), scope: Some("read:things"), ..Wish::default() };
        world.notices().await;
        let entries = api.list(&manager).await.unwrap();
        let app = entries.iter().find(|entry| entry.kind == "otp").unwrap().id.clone();

        world.advance(60);
        let (code, first) = (phone.code(&world), begun.code(&world));
        trail_takes_rows(false, &world);
        let before = kept(&world);
        // First factors, with and without a second one to follow.
        for password in [PASSWORD, "wrong"] {
            api.login(BACKEND, "ann", password).await.refused(&STORE_DOWN);
        }
        api.login_for(REMEMBERING, "ann", PASSWORD, on_device).await.refused(&STORE_DOWN);
        let (signed, jwt) = asserted(&world, &api, 1);
        signed.signed_login(SIGNER, &jwt, wish).await.refused(&STORE_DOWN);
        // Second factors.
        api.otp(BACKEND, &pending, &code).await.refused(&STORE_DOWN);
        api.otp(BACKEND, &pending, &phone.wrong(&world)).await.refused(&STORE_DOWN);
        api.recovery(BACKEND, &recovering, &recovery).await.refused(&STORE_DOWN);
        api.oob(BACKEND, &sms_login, &sent.oob_code, &message.code).await.refused(&STORE_DOWN);
        api.otp(BACKEND, &enrolling, &first).await.refused(&STORE_DOWN);
        for answer in [&wrong, &right] {
            // In the words of devices.
            assert!(api.resolve(&pushed.token, answer).await.unwrap_err().is_undecided());
        }
        api.poll(BACKEND, &push_login, &asked.oob_code).await.refused(&PENDING);
        // Tokens.
        api.refresh(BACKEND, lasting.refresh(), None).await.refused(&STORE_DOWN);
        api.revoke(BACKEND, ended.refresh()).await.refused(&STORE_DOWN);
        // Factors and devices.
        api.associate(&manager).await.refused(&STORE_DOWN);
        api.update(&manager, &app, Some("renamed"), None).await.refused(&STORE_DOWN);
        api.delete(&manager, &app).await.refused(&STORE_DOWN);
        // The operator.
        for verb in OPERATOR {
            let ended = world.command(verb).await;
            assert_eq!((ended.code, ended.err.contains("no trail today")), (69, true), "{verb:?}: {ended:?}");
        }
        assert!(kept(&world) == before, "nothing was spent, changed or ended");

        trail_takes_rows(true, &world);
        api.otp(BACKEND, &pending, &code).await.expect("neither the code nor the login was spent");
        api.recovery(BACKEND, &recovering, &recovery).await.expect("nor the recovery code");
        api.oob(BACKEND, &sms_login, &sent.oob_code, &message.code).await.expect("nor what was sent");
        let right = device.answer(&world, &pushed, true, Some(&number));
        api.resolve(&pushed.token, &right).await.expect("of three tries one is left");
        api.poll(BACKEND, &push_login, &asked.oob_code).await.expect("nothing was decided");
        api.otp(BACKEND, &enrolling, &first).await.expect("nor was the enrolment confirmed or lost");
        api.refresh(BACKEND, lasting.refresh(), None).await.expect("the token was not exchanged").tokens();
        api.refresh(BACKEND, ended.refresh(), None).await.expect("the other was not revoked").tokens();
        api.login_for(REMEMBERING, "ann", PASSWORD, on_device).await.expect("the device is known").tokens();
        for verb in OPERATOR.into_iter().chain([&["audit", "verify"][..]]) {
            let ended = world.command(verb).await;
            assert_eq!(ended.code, 0, "{verb:?}: {ended:?}");
        }
    }
}
