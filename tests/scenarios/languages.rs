//! Messages are in the language of who reads them.

use countersign_proto::v1::{
    AssociateAuthenticatorRequest, CreateChallengeRequest, EndUserContext, OobChannel, OobEnrollment,
    associate_authenticator_request::Enrollment,
};
use countersign_tests::{
    api::{To, Transport},
    grpc::{bearing, proof},
    http::body,
    sent::{Arrived, NUMBER},
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};
use http::Method;
use serde_json::json;

/// What a request asked for, and how the message begins after the code.
const ASKED: [(&str, &str); 8] = [
    ("de", " ist Ihr Best\u{e4}tigungscode f\u{fc}r My Test Tenant."),
    ("de-AT, de;q=0.9, en;q=0.5", " ist Ihr Best\u{e4}tigungscode f\u{fc}r My Test Tenant."),
    ("xx, de;q=0.1", " ist Ihr Best\u{e4}tigungscode f\u{fc}r My Test Tenant."),
    ("en-GB", " is your My Test Tenant verification code."),
    ("xx", " is your My Test Tenant verification code."),
    ("", " is your My Test Tenant verification code."),
    ("de;q=0", " is your My Test Tenant verification code."),
    ("../../etc/passwd", " is your My Test Tenant verification code."),
];

async fn newest(world: &World, count: usize) -> Arrived {
    Arrived::read(&world.messages(count).await[count - 1])
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_the_words_follow_the_accept_language_of_the_request() {
    let world = World::start(Store::Sqlite, Tenant::default().with_messages()).await;
    let (http, api) = (world.http(), world.api(Transport::Http));
    let ann = world.person("ann").await;
    let token = ann.mfa_token(&api).await;
    let wish = json!({"authenticator_types": ["oob"], "oob_channels": ["sms"], "phone_number": NUMBER});
    let request = http.request(Method::POST, "/mfa/associate").bearer_auth(&token).header("accept-language", "de-CH");
    let answer = http.send(request.json(&wish)).await;
    let message = newest(&world, 1).await;
    let words = "ist Ihr Code, um dieses Telefon bei My Test Tenant einzurichten. Er gilt 5 Minuten. Geben Sie ihn nicht weiter.";
    assert_eq!(message.text, format!("{} {words}", message.code));
    api.oob(BACKEND, &token, answer.json()["oob_code"].as_str().unwrap(), &message.code).await.unwrap();

    let token = ann.mfa_token(&api).await;
    let wish = body(BACKEND, &[("mfa_token", &token), ("challenge_type", "oob")]);
    for (count, (languages, words)) in (2..).zip(ASKED) {
        let request = http.request(Method::POST, "/mfa/challenge").header("accept-language", languages);
        assert_eq!(http.send(request.json(&wish)).await.status, 200);
        let message = newest(&world, count).await;
        assert!(message.text.starts_with(&format!("{}{words}", message.code)), "{languages}: {}", message.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_the_words_follow_the_locale_of_the_person() {
    let world = World::start(Store::Sqlite, Tenant::default().with_messages()).await;
    let api = world.api(Transport::Grpc);
    let ann = world.person("ann").await;
    let token = ann.mfa_token(&api).await;
    let speaking = |locale: &str| Some(EndUserContext { locale: locale.to_owned(), ..EndUserContext::default() });
    let oob = OobEnrollment {
        channels: vec![OobChannel::Email.into()],
        phone_number: String::new(),
        email: "ann@work.example".to_owned(),
    };
    let request = AssociateAuthenticatorRequest {
        enrollment: Some(Enrollment::Oob(oob)),
        name: String::new(),
        end_user: speaking("de"),
    };
    api.grpc().associate.clone().associate_authenticator(bearing(&token, request)).await.unwrap();
    let message = newest(&world, 1).await;
    assert_eq!(message.subject.as_deref(), Some("Ihr Einrichtungscode f\u{fc}r My Test Tenant"));
    assert!(message.text.starts_with("Guten Tag,"), "{}", message.text);

    ann.enrol_oob(&world, &api, To::Phone("sms", NUMBER)).await;
    let token = ann.mfa_token(&api).await;
    for (count, (languages, words)) in (3..).zip(ASKED) {
        let request = CreateChallengeRequest {
            client: proof(BACKEND),
            mfa_token: token.clone(),
            challenge_types: vec!["oob".to_owned()],
            authenticator_id: String::new(),
            oob_channel: "sms".to_owned(),
            end_user: speaking(languages),
        };
        api.grpc().challenge.clone().create_challenge(request).await.unwrap();
        let message = newest(&world, count).await;
        assert!(message.text.starts_with(&format!("{}{words}", message.code)), "{languages}: {}", message.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_another_language_is_the_default_who_asks_for_nothing_reads_that() {
    let tenant = Tenant::default().with_messages().section(
        "messages",
        &[
            "sms = ['outbox']",
            "voice = ['outbox']",
            "email = ['outbox']",
            "countries = ['US']",
            "default_locale = 'de'",
        ],
    );
    let world = World::start(Store::Sqlite, tenant).await;
    let api = world.api(Transport::Grpc);
    let ann = world.person("ann").await;
    let (_, _, message) = ann.challenged(&world, &api, "email").await;
    assert!(message.text.starts_with("Guten Tag,"), "{}", message.text);
}
