//! G-41, Kaseya CVE-2021-30120: the server asked the client whether a second factor was needed.

use countersign_tests::{
    api::Transport,
    person::PASSWORD,
    tenant::{NATIVE, Tenant},
    world::{Store, World},
};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_says_about_itself_or_the_person_changes_nothing() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let api = world.api(Transport::Http);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let http = world.http();
    let flags = json!({
        "grant_type": "password", "username": "ann", "password": PASSWORD, "client_id": NATIVE.id,
        "mfa_required": false, "mfa": "none", "amr": ["pwd", "otp", "mfa"], "acr": "high", "active": true, "enrolled": false,
        "authenticator_type": "none", "timestamp": 0, "t": 0, "epoch": 99, "user_id": "auth0|other",
    });
    let answer = http.post("/oauth/token", &flags).await;
    assert_eq!((answer.status, answer.json()["error"].as_str()), (403, Some("mfa_required")));
    let token = answer.json()["mfa_token"].as_str().unwrap().to_owned();
    let wrong = json!({
        "grant_type": "http://auth0.com/oauth/grant-type/mfa-otp", "mfa_token": token, "otp": phone.wrong(&world), "client_id": NATIVE.id,
        "verified": true, "success": true, "now": 0, "date": "1970-01-01",
    });
    assert_eq!(http.post("/oauth/token", &wrong).await.json()["error"], "invalid_grant");

    let bob = world.person("bob").await;
    let bearer = bob.mfa_token(&api).await;
    let body = json!({"authenticator_types": ["otp"], "active": true, "confirmed": true, "user_id": ann.id.as_str(), "secret": "A".repeat(32)});
    let answer = http.post_as(&bearer, "/mfa/associate", &body).await.json();
    assert_ne!(answer["secret"], "A".repeat(32));
    assert!(api.list(&bearer).await.unwrap().iter().all(|entry| !entry.active));
    assert_eq!(api.list(&ann.mfa_token(&api).await).await.unwrap().len(), 2, "nothing was added to somebody else");
}
