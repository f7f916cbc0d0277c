//! G-07, Zitadel CVE-2026-105211: a code could be had in the answer instead of by message.

use countersign_tests::{
    api::Transport,
    http::body,
    sent::NUMBER,
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};
use http::Method;
use serde_json::json;

/// What callers of others asked for the code with.
const WISHES: [(&str, &str); 6] = [
    ("return_code", "true"),
    ("returnCode", "{}"),
    ("delivery", "return"),
    ("send", "code"),
    ("debug", "1"),
    ("url_template", "https://evil.test/{{.Code}}"),
];

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_asked_for_the_code_is_in_the_message_alone() {
    let world = World::start(Store::Sqlite, Tenant::default().with_messages()).await;
    let (http, api) = (world.http(), world.api(Transport::Http));
    let ann = world.person("ann").await;
    let token = ann.mfa_token(&api).await;
    let mut wish = json!({"authenticator_types": ["oob"], "oob_channels": ["sms"], "phone_number": NUMBER});
    for (name, value) in WISHES {
        wish[name] = json!(value);
    }
    let answer = http.send(http.request(Method::POST, "/mfa/associate").bearer_auth(&token).json(&wish)).await;
    assert_eq!(answer.status, 200);
    let code = world.code(1).await;
    assert!(!answer.text().contains(&code) && !format!("{:?}", answer.headers).contains(&code));
    api.oob(BACKEND, &token, answer.json()["oob_code"].as_str().unwrap(), &code).await.unwrap();

    let token = ann.mfa_token(&api).await;
    let mut fields = vec![("mfa_token", token.as_str()), ("challenge_type", "oob")];
    fields.extend(WISHES);
    let answer = http.send(http.request(Method::POST, "/mfa/challenge").json(&body(BACKEND, &fields))).await;
    assert_eq!(answer.status, 200);
    let message = world.messages(2).await.remove(1);
    let code = message["code"].as_str().unwrap();
    assert!(!answer.text().contains(code) && !format!("{:?}", answer.headers).contains(code));
    assert!(!message.to_string().contains("evil"), "{message}");
    let listed = http.call_as(&token, Method::GET, "/mfa/authenticators").await;
    assert!(!listed.text().contains(code));
}
