//! A data key goes while values are under way that it sealed: logins in Redis, messages that wait; and one that may seal nothing more.

use std::time::Duration;

use countersign_tests::{
    api::{To, Transport},
    device::{Device, ticket},
    dump,
    person::Person,
    process::Ended,
    receiver::{Closed, Manner},
    refusal::{BAD_OOB_CODE, BAD_TICKET, MALFORMED_TOKEN, Refused as _, STORE_DOWN},
    sent::{GERMAN_NUMBER, NUMBER},
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};
use rusqlite::Connection;
use tokio::time::interval;

use super::provider_down;

/// Has a new data key take over, and everything that stays sealed with it: the id of the one before it.
async fn rotated(world: &World) -> String {
    let keys = || dump::rows(&world.database(), "data_key");
    let before = keys();
    // The command waits until every server seals with the key that it made; so the servers' time goes on too.
    let done = world.command(&["keys", "rotate-data"]);
    let passes = async {
        let mut ticks = interval(Duration::from_millis(20));
        while keys() == before {
            ticks.tick().await;
        }
        world.advance(15);
    };
    let (done, ()) = tokio::join!(done, passes);
    assert_eq!(done.code, 0, "{done:?}");
    let listed = world.command(&["keys", "list"]).await.out;
    let previous = listed.lines().find(|line| line.contains("\tA256GCM\tprevious\t")).expect("there are two");
    previous.split('\t').next().unwrap().to_owned()
}

async fn drop_key(world: &World, key: &str, more: &[&str]) -> Ended {
    world.command(&[&["keys", "drop-data", key], more].concat()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_in_redis_that_a_dropped_key_sealed_begin_again_and_let_nobody_in() {
    let world = World::start(Store::Redis, Tenant::default().with_devices()).await;
    let (api, grpc) = (world.api(Transport::Http), world.api(Transport::Grpc));
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let tess = world.with_telephone(&api, "tess", NUMBER).await;
    let pending = [ann.mfa_token(&api).await, ann.mfa_token(&grpc).await];
    let (waiting, sent, message) = tess.challenged(&world, &api, "sms").await;
    // Of these the token is no login under way, only what it waits for is sealed.
    let manager = ann.manager(&world, &api, &phone).await;
    let (begun, texted) = world.sent(api.associate_oob(&manager, To::Phone("sms", GERMAN_NUMBER))).await;
    let barcode = api.associate_push(&manager).await.unwrap();
    let code = phone.code(&world);
    let logins = |event, person: &Person| dump::audited(&world.database(), event, person.id.as_str());
    let before = (logins("login.otp", &ann), logins("login.oob", &tess));

    let old = rotated(&world).await;
    // They are counted nowhere; the grace is what covers them.
    let early = drop_key(&world, &old, &[]).await;
    assert!(early.code == 65 && early.err.contains("logins under way may be sealed with it"), "{early:?}");
    api.list(&pending[0]).await.expect("so far they go on");
    let dropped = drop_key(&world, &old, &["--now"]).await;
    assert_eq!(dropped.code, 0, "{dropped:?}");

    // A server knows within seconds.
    let mut ticks = interval(Duration::from_millis(50));
    while api.list(&pending[0]).await.is_ok() {
        ticks.tick().await;
    }
    for (api, token) in [(&api, &pending[0]), (&grpc, &pending[1])] {
        api.otp(BACKEND, token, &code).await.refused(&MALFORMED_TOKEN);
        api.challenge(BACKEND, token, "otp", None).await.refused(&MALFORMED_TOKEN);
        api.oob(BACKEND, &waiting, &sent.oob_code, &message.code).await.refused(&MALFORMED_TOKEN);
    }
    api.oob(BACKEND, &manager, &begun.oob_code, &texted.code).await.refused(&BAD_OOB_CODE);
    api.poll(BACKEND, &manager, &barcode.oob_code).await.refused(&BAD_OOB_CODE);
    api.enroll_device(&ticket(&barcode), &Device::new("ann")).await.refused(&BAD_TICKET);
    assert_eq!((logins("login.otp", &ann), logins("login.oob", &tess)), before, "nobody was let in");
    // They begin again, and what they did not use is good.
    for (api, n) in [(&api, 0), (&grpc, 1)] {
        let token = ann.mfa_token(api).await;
        let fresh = if n == 0 { code.clone() } else { phone.code(&world) };
        api.otp(BACKEND, &token, &fresh).await.expect("it was not burnt");
    }
    let fresh = tess.mfa_token(&api).await;
    api.oob(BACKEND, &fresh, &sent.oob_code, &message.code).await.unwrap_err();
    world.advance(3600);
    tess.log_in_over(&world, &api, "sms").await;
    ann.log_in(&world, &grpc, &phone).await;
}

/// The data key that sealed each message that waits.
fn keys_of_messages(world: &World) -> Vec<String> {
    let file = Connection::open(world.database()).unwrap();
    let mut statement = file.prepare("SELECT lower(hex(substr(sealed, 3, 8))) FROM outbox").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_waits_is_sealed_anew_and_arrives_as_it_was_written() {
    let closed = Closed::new();
    let world = World::start(Store::Sqlite, provider_down::tenant(closed.address())).await;
    let api = world.api(Transport::Http);
    let tess = world.person("tess").await;
    // Calls are brought by somebody else: they enrol the telephone.
    tess.enrol_oob(&world, &api, To::Phone("voice", NUMBER)).await;
    let token = tess.mfa_token(&api).await;
    let sent = api.send_code(BACKEND, &token, None, Some("sms")).await.expect("it may come in time");
    let waiting = dump::waiting(&world.database());
    let [before] = keys_of_messages(&world).try_into().expect("one message waits");

    let old = rotated(&world).await;
    assert_eq!(old, before);
    let [after] = keys_of_messages(&world).try_into().expect("it waits still");
    assert_ne!(after, before, "it is sealed anew");
    assert_eq!(dump::waiting(&world.database()), waiting);

    let receiver = closed.open(Manner::Well);
    let message = provider_down::arrived(&world, &receiver, 1).await.remove(0);
    assert_eq!(
        (message.id.as_str(), message.to.as_str(), message.channel.as_str()),
        (waiting[0].as_str(), NUMBER, "sms")
    );
    assert!(message.text.contains(&message.code), "{message:?}");
    api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.expect("it is the code that was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_data_key_that_is_used_up_nobody_gets_in_until_another_is_made() {
    let mut world = World::start(Store::Sqlite, Tenant::default()).await;
    let api = world.api(Transport::Http);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let lasting = ann.lasting(&world, &api, &phone).await;
    let taken = |world: &World, seals: u64| {
        let file = Connection::open(world.database()).unwrap();
        file.busy_timeout(Duration::from_secs(5)).unwrap();
        assert_eq!(file.execute("UPDATE data_key_seals SET taken = ?1", [i64::try_from(seals).unwrap()]).unwrap(), 1);
    };
    // Worn, but not used up: it goes on, and says so.
    taken(&world, 1 << 30);
    world.restart().await;
    let api = world.api(Transport::Http);
    ann.mfa_token(&api).await;
    let mut ticks = interval(Duration::from_millis(50));
    while world.metrics().await.sum("countersign_data_key_seals", &[]) < f64::from(1 << 30) {
        ticks.tick().await;
    }
    let listed = world.command(&["keys", "list"]).await.out;
    assert!(listed.contains(" of 4294967296 seals are taken; have another take over"), "{listed}");

    taken(&world, 1 << 32);
    world.restart().await;
    for transport in [Transport::Http, Transport::Grpc] {
        let api = world.api(transport);
        let refusal = ann.password(&api).await.refused(&STORE_DOWN);
        assert!(refusal.retry_after().is_some(), "{refusal:?}");
        // What seals nothing goes on.
        assert!(api.introspect(BACKEND, &lasting.access_token).await.unwrap().is_some());
    }
    assert_eq!(world.http().get("/.well-known/jwks.json").await.status, 200);
    let emergency = world.command(&["keys", "add"]).await;
    assert_eq!(emergency.code, 69, "a signing key would be sealed: {emergency:?}");

    rotated(&world).await;
    let api = world.api(Transport::Grpc);
    while ann.password(&api).await.is_err() {
        ticks.tick().await;
    }
    ann.log_in(&world, &api, &phone).await;
}
