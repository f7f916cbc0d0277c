//! Nobody takes messages: they wait, and who asks for a code is told so. No code takes another way than the one that was asked for.

use std::{net::SocketAddr, time::Duration};

use countersign_tests::{
    api::{Api, To, Transport},
    device::Device,
    dump,
    person::Phone,
    receiver::{Closed, Manner, Receiver},
    refusal::{CHANNEL_DOWN, Refused as _},
    sent::{Arrived, NUMBER, neighbour},
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};

/// Text messages go to a webhook at `address`, everything else to the outbox.
pub(super) fn tenant(address: SocketAddr) -> Tenant {
    Tenant::default()
        .with_messages()
        .section(
            "messages",
            &["sms = ['hook']", "voice = ['outbox']", "email = ['outbox']", "countries = ['US', 'DE', 'GB', 'JP']"],
        )
        .section(
            "[messages.webhook]",
            &[
                "name = 'hook'",
                &format!("url = 'http://{address}/messages'"),
                "secrets = ['a secret of 32 bytes or some more']",
                "timeout = '1s'",
            ],
        )
}

/// What `receiver` is handed, once it is `count` messages. Time moves on whenever all that is due was tried.
pub(super) async fn arrived(world: &World, receiver: &Receiver, count: usize) -> Vec<Arrived> {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    // The outbox is looked at every second.
    for waited in 0_u32.. {
        let got = receiver.got();
        if got.len() >= count {
            return got;
        }
        if waited.is_multiple_of(300) {
            world.advance(if waited == 0 { 20 } else { 5 });
        }
        ticks.tick().await;
    }
    unreachable!()
}

/// Asks over `channel` and must be told to come back, without any message.
async fn is_down(world: &World, api: &Api, token: &str, id: &str) {
    let refusal = world.sends_nothing(api.send_code(BACKEND, token, Some(id), None), &CHANNEL_DOWN).await;
    assert!(refusal.retry_after().is_some_and(|seconds| seconds >= 1), "{refusal:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_provider_is_away_messages_wait_and_the_same_code_arrives_when_it_is_back() {
    for transport in [Transport::Http, Transport::Grpc] {
        let closed = Closed::new();
        let world = World::start(Store::Sqlite, tenant(closed.address())).await;
        let api = world.api(transport);
        let ann = world.person("ann").await;
        // Calls are brought by somebody else: they enrol the telephone.
        ann.enrol_oob(&world, &api, To::Phone("voice", NUMBER)).await;
        let token = ann.mfa_token(&api).await;
        let listed = api.list(&token).await.unwrap();
        let (sms, voice) = (&listed[0].id, &listed[1].id);
        assert!(sms.starts_with("sms|"));

        let sent = api.send_code(BACKEND, &token, Some(sms), None).await.expect("it may come in time");
        let waiting = dump::waiting(&world.database());
        let before = world.outbox().len();
        assert_eq!(waiting.len(), 1);
        world.advance(30);
        api.send_code(BACKEND, &token, Some(voice), None).await.expect("another channel is another matter");
        world.advance(1);
        is_down(&world, &api, &token, sms).await;
        let fresh = ann.mfa_token(&api).await;
        is_down(&world, &api, &fresh, sms).await;
        world.messages(before + 1).await;
        assert_eq!(world.outbox().len(), before + 1, "no text message became a call or an e-mail");
        // Nobody chooses another channel for the person either.
        world.sends_nothing(api.send_code(BACKEND, &fresh, None, None), &CHANNEL_DOWN).await;
        world.sends_nothing(api.send_code(BACKEND, &fresh, None, Some("sms")), &CHANNEL_DOWN).await;
        // Other factors work.
        ann.log_in_over(&world, &api, "voice").await;
        ann.log_in_over(&world, &api, "email").await;

        let receiver = closed.open(Manner::Well);
        let message = arrived(&world, &receiver, 1).await.remove(0);
        assert_eq!((message.id.as_str(), message.to.as_str()), (waiting[0].as_str(), NUMBER));
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.expect("it is the code that was asked for");
        // The channel is up as soon as nothing waits.
        let token = ann.mfa_token(&api).await;
        nothing_waits(&world).await;
        let sent = api.send_code(BACKEND, &token, Some(sms), None).await.unwrap();
        let message = receiver.messages(2).await.remove(1);
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
    }
}

/// As soon as no message waits: one that has arrived leaves the outbox a moment later.
async fn nothing_waits(world: &World) {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    while !dump::waiting(&world.database()).is_empty() {
        ticks.tick().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_try_of_a_message_has_the_same_id_and_the_same_code() {
    let closed = Closed::new();
    let world = World::start(Store::Redis, tenant(closed.address())).await;
    let api = world.api(Transport::Http);
    let ann = world.person("ann").await;
    let token = ann.mfa_token(&api).await;
    let receiver = closed.open(Manner::Overloaded);
    let sent = api.associate_oob(&token, To::Phone("sms", NUMBER)).await.unwrap();
    let tries = arrived(&world, &receiver, 4).await;
    receiver.behave(Manner::Well);
    let accepted = arrived(&world, &receiver, tries.len() + 1).await.pop().unwrap();
    for tried in &tries {
        assert_eq!((&tried.id, &tried.code, &tried.text), (&accepted.id, &accepted.code, &accepted.text));
    }
    api.oob(BACKEND, &token, &sent.oob_code, &accepted.code).await.unwrap();
    nothing_waits(&world).await;
    world.advance(60);
    let token = ann.mfa_token(&api).await;
    let sent = api.send_code(BACKEND, &token, None, Some("sms")).await.unwrap();
    let next = receiver.messages(tries.len() + 2).await.pop().unwrap();
    assert_ne!(next.id, accepted.id, "once it was taken it is not sent again");
    api.oob(BACKEND, &token, &sent.oob_code, &next.code).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_expired_while_it_waited_is_never_sent() {
    let closed = Closed::new();
    let world = World::start(Store::Sqlite, tenant(closed.address())).await;
    let api = world.api(Transport::Grpc);
    let ann = world.person("ann").await;
    let token = ann.mfa_token(&api).await;
    api.associate_oob(&token, To::Phone("sms", NUMBER)).await.unwrap();
    // A try that is under way now would find the receiver that opens below.
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    while dump::put_off(&world.database()) == 0 {
        ticks.tick().await;
    }
    world.advance(301);
    let receiver = closed.open(Manner::Well);
    // What is too late keeps nobody waiting.
    let sent = api.associate_oob(&token, To::Phone("sms", NUMBER)).await.expect("nothing that counts is waiting");
    let message = receiver.messages(1).await.remove(0);
    api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
    assert_eq!(receiver.got().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_often_is_given_up_at_once_and_found_again() {
    let closed = Closed::new();
    let world = World::start(Store::Sqlite, tenant(closed.address())).await;
    let api = world.api(Transport::Http);
    let names: Vec<String> = (0..200).map(|number| format!("p{number}")).collect();
    let people = world.people(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    // No time passes: it is not the age of a message that says so.
    let (mut waiting, mut refused) = (Vec::new(), None);
    for (person, last) in people.iter().zip(1..) {
        let token = person.mfa_token(&api).await;
        // Neighbours of neighbours, so that no budget runs out.
        let number = if last % 2 == 0 { neighbour(last) } else { format!("+1212555{last:04}") };
        match api.associate_oob(&token, To::Phone("sms", &number)).await {
            Ok(sent) => waiting.push((token, sent, number)),
            Err(refusal) => {
                refused = Some((token, refusal));
                break;
            }
        }
    }
    let (token, refusal) = refused.expect("after ten failures it is known");
    assert!(refusal.is(&CHANNEL_DOWN) && refusal.retry_after().is_some(), "{refusal:?}");
    assert!(waiting.len() >= 10, "{} messages", waiting.len());
    world.sends_nothing(api.associate_oob(&token, To::Phone("sms", NUMBER)), &CHANNEL_DOWN).await;
    // Who is turned away may choose a call or an e-mail.
    world.sent(api.associate_oob(&token, To::Phone("voice", NUMBER))).await;
    world.sent(api.associate_oob(&token, To::Email(None))).await;

    let receiver = closed.open(Manner::Well);
    let arrived = arrived(&world, &receiver, waiting.len()).await;
    let mut ids: Vec<_> = arrived.iter().map(|message| message.id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), waiting.len(), "each once");
    for (token, sent, number) in &waiting {
        let message = arrived.iter().find(|message| message.to == *number).expect("it went where it was sent");
        api.oob(BACKEND, token, &sent.oob_code, &message.code).await.expect("and is the code that was asked for");
    }
    api.associate_oob(&token, To::Phone("sms", NUMBER)).await.expect("it is back");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_provider_is_up_an_enrolment_is_not_begun() {
    let closed = Closed::new();
    let world = World::start(Store::Sqlite, tenant(closed.address())).await;
    let api = world.api(Transport::Http);
    let (ann, bob) = (world.person("ann").await, world.person("bob").await);
    let token = ann.mfa_token(&api).await;
    api.associate_oob(&token, To::Phone("sms", NUMBER)).await.unwrap();
    world.advance(31);
    let token = bob.mfa_token(&api).await;
    for _ in 0..25 {
        api.associate_oob(&token, To::Phone("sms", NUMBER)).await.refused(&CHANNEL_DOWN);
    }
    assert!(api.list(&token).await.unwrap().iter().all(|entry| entry.kind == "oob" && entry.active));
    // What was not sent was not charged.
    let receiver = closed.open(Manner::Well);
    arrived(&world, &receiver, 1).await;
    nothing_waits(&world).await;
    for number in 1..=10 {
        let begun = api.associate_oob(&token, To::Phone("sms", NUMBER)).await;
        assert!(begun.is_ok(), "{number}: {begun:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_notifications_cannot_leave_no_device_is_asked_and_nothing_else_is_used_instead() {
    for transport in [Transport::Http, Transport::Grpc] {
        let closed = Closed::new();
        let tenant = Tenant::default().with_devices().section(
            "messages",
            &["email = ['outbox']", "sms = ['outbox']", "voice = ['outbox']", "push = ['hook']", "countries = ['US']"],
        );
        let hook = [
            "name = 'hook'".to_owned(),
            format!("url = 'http://{}/messages'", closed.address()),
            "secrets = ['a secret of 32 bytes or some more']".to_owned(),
            "timeout = '1s'".to_owned(),
        ];
        let hook: Vec<_> = hook.iter().map(String::as_str).collect();
        let world = World::start(Store::Sqlite, tenant.section("[messages.webhook]", &hook)).await;
        let api = world.api(transport);
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        let (_, registration) = ann.enrol_device(&api, &device).await;
        let token = ann.mfa_token(&api).await;
        api.ask(BACKEND, &token, None).await.expect("it may come in time");
        world.advance(31);
        let refusal = world.sends_nothing(api.ask(BACKEND, &token, None), &CHANNEL_DOWN).await;
        assert!(refusal.retry_after().is_some_and(|seconds| seconds >= 1), "{refusal:?}");
        // What the person chooses instead works.
        let app = Phone::new(registration.totp_secret.unwrap(), None);
        api.otp(BACKEND, &token, &app.code(&world)).await.unwrap();
    }
}
