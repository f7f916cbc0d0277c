//! What the server says about itself, and about people.

use countersign_tests::{
    api::Transport,
    person::PASSWORD,
    tenant::{BACKEND, ISSUER, LENIENT, Tenant},
    world::{Store, World},
};
use http::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn discovery_names_what_is_there_and_nothing_else() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let document = world.http().get("/.well-known/openid-configuration").await;
    assert_eq!(document.status, 200);
    let document = document.json();
    assert_eq!(document, world.http().get("/.well-known/oauth-authorization-server").await.json());
    assert_eq!(document["issuer"], ISSUER);
    for (member, path) in [
        ("token_endpoint", "oauth/token"),
        ("mfa_challenge_endpoint", "mfa/challenge"),
        ("userinfo_endpoint", "userinfo"),
        ("jwks_uri", ".well-known/jwks.json"),
    ] {
        assert_eq!(document[member], format!("{ISSUER}{path}"), "{member}");
    }
    assert_eq!(document["id_token_signing_alg_values_supported"], json!(["RS256"]));
    // S-41: nothing stands for AAL2 before there is a factor that resists phishing.
    let acr = json!([
        "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
        "http://schemas.openid.net/pape/policies/2007/06/multi-factor",
    ]);
    assert_eq!(document["acr_values_supported"], acr);
    let grants: Vec<&str> =
        document["grant_types_supported"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for grant in ["password", "password-realm", "mfa-otp", "mfa-recovery-code"] {
        assert!(grants.iter().any(|known| known.rsplit('/').next() == Some(grant)), "{grant}");
    }
    for absent in ["authorization_endpoint", "registration_endpoint", "device_authorization_endpoint"] {
        assert!(document.get(absent).is_none(), "{absent} is not implemented");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_set_holds_rsa_keys_only_until_an_api_needs_another() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let keys = world.http().get("/.well-known/jwks.json").await.json();
    let keys = keys["keys"].as_array().unwrap();
    assert!(!keys.is_empty());
    for key in keys {
        assert_eq!((&key["kty"], &key["use"], &key["alg"]), (&json!("RSA"), &json!("sig"), &json!("RS256")));
        assert_eq!(key["e"], "AQAB");
        for private in ["d", "p", "q", "dp", "dq", "qi"] {
            assert!(key.get(private).is_none(), "{private}");
        }
    }
    let world = World::start(Store::Sqlite, Tenant::default().with_es256_api()).await;
    let keys = world.http().get("/.well-known/jwks.json").await.json();
    assert!(keys["keys"].as_array().unwrap().iter().any(|key| key["kty"] == "EC" && key["crv"] == "P-256"));
}

#[tokio::test(flavor = "multi_thread")]
async fn userinfo_tells_what_the_scopes_allow() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let ann = world.person("ann").await;
    let http = world.http();
    let login = async |scope: &str| {
        let fields = [
            ("grant_type", "password"),
            ("username", "ann"),
            ("password", PASSWORD),
            ("client_id", LENIENT.id),
            ("scope", scope),
        ];
        http.form("/oauth/token", &fields).await.json()["access_token"].as_str().unwrap().to_owned()
    };
    let all = login("openid profile email").await;
    for method in [Method::GET, Method::POST] {
        let answer = http.call_as(&all, method, "/userinfo").await;
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
        let info = answer.json();
        assert_eq!(info["sub"], ann.id.as_str());
        assert_eq!(info["email"], ann.email.as_str());
        assert_eq!(info["email_verified"], true);
        assert_eq!(info["name"], "Person ann");
        let updated = info["updated_at"].as_str().expect("a text, as Auth0 sends it");
        assert!(updated.ends_with('Z') && updated.contains('T'), "{updated}");
    }
    let info = http.call_as(&login("openid").await, Method::GET, "/userinfo").await.json();
    assert_eq!(info, json!({"sub": ann.id.as_str()}));
    let without = http.call_as(&login("profile").await, Method::GET, "/userinfo").await;
    assert_eq!(without.status, 401);
    let wrong = http.call_as("nonsense", Method::GET, "/userinfo").await;
    assert_eq!(wrong.status, 401);
    assert_eq!(wrong.json()["error"], "invalid_token");
    assert!(wrong.header("www-authenticate").unwrap().starts_with("Bearer"));
    let api = world.api(Transport::Http);
    api.login(BACKEND, "ann", PASSWORD).await.unwrap().mfa_token();
}
