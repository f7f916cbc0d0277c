//! G-54, CVE-2025-27370 and CVE-2025-27371: whoever could choose the audience of a client's assertion had it made for another server, and
//! used it there. An assertion is good here only if this issuer is its whole audience.

use countersign_tests::{
    api::Wish,
    everywhere,
    refusal::{BAD_ASSERTED_LOGIN, Refused as _, WRONG_CLIENT},
    signer::{claims, login, login_claims, signed},
    tenant::{API, ISSUER, SIGNER},
};
use serde_json::{Value, json};

/// Audiences that are not this issuer, or not it alone.
fn injected() -> Vec<Value> {
    vec![
        json!(format!("{ISSUER}oauth/token")),
        json!([ISSUER]),
        json!([ISSUER, "https://other.test/"]),
        json!(["https://other.test/", ISSUER]),
        json!([]),
        json!(ISSUER.trim_end_matches('/')),
        json!(ISSUER.to_uppercase()),
        json!(format!("{ISSUER} https://other.test/")),
        json!(format!("{ISSUER}#https://other.test/")),
        json!("https://other.test/"),
        json!(""),
        json!({ "aud": ISSUER }),
        json!(true),
        Value::Null,
    ]
}

everywhere! {
    async fn an_assertion_for_another_audience_proves_nobody(world: World, api: Api) {
        let header = json!({"alg": "EdDSA", "typ": "JWT"});
        let wish = Wish { audience: Some(API), ..Wish::default() };
        for (number, audience) in injected().into_iter().enumerate() {
            let jti = format!("j{number}");
            let mut claims = claims(&world, &jti);
            claims["aud"] = audience.clone();
            let api = api.signed(&signed(&header, &claims));
            api.service(SIGNER, wish).await.refused(&WRONG_CLIENT);
            api.introspect(SIGNER, "x").await.refused(&WRONG_CLIENT);
            api.revoke(SIGNER, "x").await.refused(&WRONG_CLIENT);
            api.challenge(SIGNER, "csmfa_x", "otp", None).await.refused(&WRONG_CLIENT);
            claims["aud"] = json!(ISSUER);
            let meant = api.signed(&signed(&header, &claims)).service(SIGNER, wish).await;
            assert!(meant.is_ok(), "what was refused for {audience} has spent no jti");
        }
    }

    async fn an_asserted_login_for_another_audience_logs_nobody_in(world: World, api: Api) {
        let wish = Wish { audience: Some(API), ..Wish::default() };
        for (number, audience) in injected().into_iter().enumerate() {
            let jti = format!("j{number}");
            let mut login_claims = login_claims(&world, "ext-1", &jti);
            login_claims["aud"] = audience.clone();
            let api = api.signed(&signed(&json!({"alg": "EdDSA"}), &claims(&world, &jti)));
            let refusal = api.signed_login(SIGNER, &login(&login_claims), wish).await;
            refusal.refused(&BAD_ASSERTED_LOGIN);
        }
    }

    async fn an_assertion_without_a_client_behind_it_is_no_better(world: World, api: Api) {
        // The keys of the client, and the name of one that has none.
        for name in ["backend", "native", "", "signer2"] {
            let mut claims = claims(&world, name);
            (claims["iss"], claims["sub"]) = (json!(name), json!(name));
            let api = api.signed(&signed(&json!({"alg": "EdDSA"}), &claims));
            api.service(SIGNER, Wish { audience: Some(API), ..Wish::default() }).await.refused(&WRONG_CLIENT);
        }
    }
}
