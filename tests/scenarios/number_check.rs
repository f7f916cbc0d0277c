//! Somebody may be asked about each number before something is sent there: whether it is in other hands (NIST SP 800-63B-4, section 3.1.3.3).

use std::net::SocketAddr;

use countersign_tests::{
    api::{To, Transport},
    receiver::{Closed, Manner},
    refusal::NUMBER_AT_RISK,
    sent::{NUMBER, neighbour},
    tenant::{BACKEND, Tenant},
    trail::Trail,
    world::{Store, World},
};
use serde_json::json;

/// Asks at `address` about numbers, and waits for `patience`.
fn tenant(address: SocketAddr, patience: &str) -> Tenant {
    let (url, patience) = (format!("url = 'http://{address}/numbers'"), format!("timeout = '{patience}'"));
    let lines = [url.as_str(), "secrets = ['a secret of 32 bytes or some more']", patience.as_str()];
    Tenant::default().with_messages().section("messages.number_check", &lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_a_number_that_may_be_in_other_hands() {
    for (transport, store) in [(Transport::Http, Store::Sqlite), (Transport::Grpc, Store::Redis)] {
        let closed = Closed::new();
        let world = World::start(store, tenant(closed.address(), "3s")).await;
        let check = closed.open(Manner::Well);
        let api = world.api(transport);
        let (ann, phone) = world.enrolled(&api, "ann").await;
        world.advance(60);
        let manager = ann.manager(&world, &api, &phone).await;
        let (sent, message) = world.sent(api.associate_oob(&manager, To::Phone("sms", NUMBER))).await;
        api.oob(BACKEND, &manager, &sent.oob_code, &message.code).await.unwrap();
        ann.log_in_over(&world, &api, "voice").await;
        assert_eq!(
            check.all(),
            [
                json!({"channel": "sms", "to": NUMBER, "purpose": "enroll"}),
                json!({"channel": "voice", "to": NUMBER, "purpose": "verify"}),
            ]
        );

        check.behave(Manner::Refusing);
        let token = ann.mfa_token(&api).await;
        let mut trail = Trail::of(&world);
        for channel in ["sms", "voice"] {
            world.sends_nothing(api.send_code(BACKEND, &token, None, Some(channel)), &NUMBER_AT_RISK).await;
            let row = trail.says_why("challenge.refused", "number at risk");
            assert_eq!((row.user.as_str(), row.client.as_deref()), (ann.id.as_str(), Some(BACKEND.id)));
            assert!(row.authenticator.is_some_and(|id| id.starts_with(channel)));
        }
        let bob = world.person("bob").await;
        let bobs = bob.mfa_token(&api).await;
        trail.new_rows();
        world.sends_nothing(api.associate_oob(&bobs, To::Phone("sms", &neighbour(7))), &NUMBER_AT_RISK).await;
        trail.says_why("enrollment.refused", "number at risk");
        // What was sent before, and other factors, go on.
        world.advance(60);
        api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
        check.behave(Manner::Well);
        ann.log_in_over(&world, &api, "sms").await;
        bob.enrol_oob(&world, &api, To::Phone("sms", &neighbour(7))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_is_at_risk_cannot_be_asked_about_without_end() {
    let closed = Closed::new();
    let world = World::start(Store::Sqlite, tenant(closed.address(), "3s")).await;
    let check = closed.open(Manner::Well);
    let api = world.api(Transport::Http);
    let ann = world.with_telephone(&api, "ann", NUMBER).await;
    check.behave(Manner::Refusing);
    let token = ann.mfa_token(&api).await;
    let before = check.all().len();
    for _ in 0..30 {
        api.send_code(BACKEND, &token, None, Some("sms")).await.unwrap_err();
    }
    assert!(check.all().len() - before <= 10, "each question costs as much of the budgets as a message");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_knows_messages_leave_and_the_trail_says_so() {
    for (transport, manner) in
        [(Transport::Http, Some(Manner::Overloaded)), (Transport::Grpc, Some(Manner::Silent)), (Transport::Http, None)]
    {
        let closed = Closed::new();
        let patience = if manner == Some(Manner::Silent) { "100ms" } else { "3s" };
        let world = World::start(Store::Sqlite, tenant(closed.address(), patience)).await;
        let (_open, _nobody_listens) = match manner {
            Some(manner) => (Some(closed.open(manner)), None),
            None => (None, Some(closed)),
        };
        let api = world.api(transport);
        let mut trail = Trail::of(&world);
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let rows = trail.new_rows();
        let begun = rows.iter().find(|row| row.event == "enrollment.started").unwrap();
        assert_eq!(begun.detail.as_deref(), Some("number not checked"), "{manner:?}");
        ann.log_in_over(&world, &api, "voice").await;
        let rows = trail.new_rows();
        let opened = rows.iter().find(|row| row.event == "challenge.opened").unwrap();
        assert_eq!(opened.detail.as_deref(), Some("voice; number not checked"), "{manner:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_about_mailboxes() {
    let closed = Closed::new();
    let world = World::start(Store::Sqlite, tenant(closed.address(), "3s")).await;
    let check = closed.open(Manner::Refusing);
    let api = world.api(Transport::Grpc);
    let ann = world.person("ann").await;
    ann.enrol_oob(&world, &api, To::Email(Some("ann@elsewhere.test"))).await;
    ann.log_in_over(&world, &api, "email").await;
    assert!(check.all().is_empty());
}
