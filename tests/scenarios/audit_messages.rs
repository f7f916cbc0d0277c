//! What became of each message is one row (contract 13: `gd_send_…`), which says neither its text nor where it went.

use countersign_domain::audit::Event;
use countersign_tests::{
    api::{To, Transport},
    device::Device,
    dump, everywhere,
    receiver::{Closed, Manner},
    sent::NUMBER,
    tenant::{BACKEND, Tenant},
    trail,
    world::{Store, World},
};

everywhere! {
    in Tenant::default().with_devices();

    async fn each_message_that_left_is_one_row_of_its_person(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let (sent, code) = world.sent(api.associate_oob(&token, To::Phone("sms", NUMBER))).await;
        api.oob(BACKEND, &token, &sent.oob_code, &code.code).await.unwrap();
        let (_, _, call) = ann.challenged(&world, &api, "voice").await;
        let (_, _, mail) = ann.challenged(&world, &api, "email").await;
        let manager = ann.manager_over(&world, &api, "sms").await;
        let device = Device::new("ann");
        let barcode = api.associate_push(&manager).await.unwrap();
        api.enroll_device(&countersign_tests::device::ticket(&barcode), &device).await.unwrap();
        api.poll(BACKEND, &manager, &barcode.oob_code).await.unwrap();
        ann.asked(&world, &api).await;

        let rows = trail::of_messages(&world).await;
        assert_eq!(rows.len(), world.message_ids().len(), "one row a message: {rows:?}");
        let count = |event: &str, detail: &str| rows.iter().filter(|row| row.0 == event && row.2 == detail).count();
        for (event, purpose, expected) in [
            ("message_sent.sms", "enroll", 1),
            ("message_sent.sms", "verify", 1),
            ("message_sent.voice", "verify", 1),
            ("message_sent.email", "verify", 1),
            ("message_sent.push", "verify", 1),
            ("message_sent.notice", "factor-added", 2),
            ("message_sent.notice", "recovery-code-created", 1),
        ] {
            assert_eq!(count(event, &format!("for={purpose}; provider=outbox")), expected, "{event} {purpose}: {rows:?}");
        }
        assert!(rows.iter().all(|row| row.1 == ann.id.as_str()), "{rows:?}");
        let said = format!("{rows:?}");
        let all = [NUMBER, &ann.email, &code.code, &code.text, &call.code, &mail.code, device.push_token.as_ref().unwrap()];
        assert!(all.into_iter().all(|secret| !said.contains(secret)), "{said}");
    }
}

/// Text messages go to a webhook at which nobody listens yet.
async fn world_with_closed_hook() -> (World, Closed) {
    let closed = Closed::new();
    let url = format!("url = 'http://{}/messages'", closed.address());
    let tenant = Tenant::default()
        .with_messages()
        .section("messages", &["sms = ['hook']", "email = ['outbox']", "countries = ['US']"])
        .section("mfa", &["factors = ['otp', 'sms', 'email']"])
        .section("[messages.webhook]", &["name = 'hook'", &url, "secrets = ['a secret of 32 bytes or some more']"]);
    (World::start(Store::Sqlite, tenant).await, closed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_nobody_took_in_time_is_one_row_whoever_gave_it_up() {
    let (world, _closed) = world_with_closed_hook().await;
    let api = world.api(Transport::Http);
    let ann = world.person("ann").await;
    api.associate_oob(&ann.mfa_token(&api).await, To::Phone("sms", NUMBER)).await.unwrap();
    world.advance(3600);
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(5));
    while dump::rows(&world.database(), "outbox") > 0 {
        world.app().outbox.purge(world.now()).await.unwrap();
        ticks.tick().await;
    }
    let rows = trail::of_messages(&world).await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    let (event, user, detail) = &rows[0];
    assert_eq!((event.as_str(), user.as_str()), ("message_failed.sms", ann.id.as_str()));
    // The sweep knows nothing of it, and whoever tried it when its time was up knows more.
    let known = ["expired", "expired; for=enroll; provider=hook"];
    assert!(known.contains(&detail.as_str()), "{detail}");
    assert_eq!(Event::from_name(event).unwrap().log_code(), "gd_send_sms_failure");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_tried_again_is_a_row_once_it_left() {
    let (world, closed) = world_with_closed_hook().await;
    let api = world.api(Transport::Grpc);
    let receiver = closed.open(Manner::Overloaded);
    let ann = world.person("ann").await;
    api.associate_oob(&ann.mfa_token(&api).await, To::Phone("sms", NUMBER)).await.unwrap();
    receiver.messages(1).await;
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(5));
    while dump::put_off(&world.database()) == 0 {
        ticks.tick().await;
    }
    let rows = || trail::rows(&world.database()).into_iter().filter(trail::is_of_message).count();
    assert_eq!(rows(), 0, "it waits");
    receiver.behave(Manner::Well);
    world.advance(60);
    receiver.messages(2).await;
    let expected = ("message_sent.sms".into(), ann.id.to_string(), "for=enroll; provider=hook".into());
    assert_eq!(trail::of_messages(&world).await, [expected]);
}

#[tokio::test(flavor = "multi_thread")]
async fn on_every_channel_what_a_provider_refuses_is_a_row() {
    let closed = Closed::new();
    let url = format!("url = 'http://{}/messages'", closed.address());
    let tenant = Tenant::default()
        .with_devices()
        .section("messages", &["voice = ['hook']", "email = ['hook']", "push = ['hook']", "countries = ['US']"])
        .section("mfa", &["factors = ['push', 'voice', 'email']"])
        .section("[messages.webhook]", &["name = 'hook'", &url, "secrets = ['a secret of 32 bytes or some more']"]);
    let world = World::start(Store::Redis, tenant).await;
    let api = world.api(Transport::Grpc);
    let _receiver = closed.open(Manner::Refusing);
    let ann = world.person("ann").await;
    api.associate_oob(&ann.mfa_token(&api).await, To::Phone("voice", NUMBER)).await.unwrap();
    api.send_code(BACKEND, &ann.mfa_token(&api).await, None, Some("email")).await.unwrap();
    // That it was added is told by e-mail.
    ann.enrol_device(&api, &Device::new("ann")).await;
    api.ask(BACKEND, &ann.mfa_token(&api).await, None).await.unwrap();
    let rows = trail::of_messages(&world).await;
    for (event, purpose, log_code) in [
        ("message_failed.voice", "enroll", "gd_send_voice_failure"),
        ("message_failed.email", "verify", "gd_send_email_failure"),
        ("message_failed.notice", "factor-added", ""),
        ("message_failed.push", "verify", "gd_send_pn_failure"),
    ] {
        let detail = format!("refused; for={purpose}; provider=hook");
        let those = rows.iter().filter(|row| row.0 == event && row.1 == ann.id.as_str() && row.2 == detail).count();
        assert_eq!(those, 1, "{event}: {rows:?}");
        assert_eq!(Event::from_name(event).unwrap().log_code(), log_code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_its_provider_refuses_is_one_row() {
    let (world, closed) = world_with_closed_hook().await;
    let api = world.api(Transport::Http);
    let _receiver = closed.open(Manner::Refusing);
    let ann = world.person("ann").await;
    api.associate_oob(&ann.mfa_token(&api).await, To::Phone("sms", NUMBER)).await.unwrap();
    let expected = ("message_failed.sms".into(), ann.id.to_string(), "refused; for=enroll; provider=hook".into());
    assert_eq!(trail::of_messages(&world).await, [expected]);
}
