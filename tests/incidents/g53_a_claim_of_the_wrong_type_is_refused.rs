//! G-53, `jsonwebtoken` CVE-2026-25537: a claim of the wrong JSON type counted as absent, and its check was skipped.

use countersign_domain::port::signer::{Algorithm, TokenType, Unsigned};
use countersign_tests::{
    api::Transport,
    jwt,
    tenant::Tenant,
    world::{Store, World},
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn our_own_signature_does_not_save_claims_of_the_wrong_type() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let api = world.api(Transport::Http);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let good = ann.manager(&world, &api, &phone).await;
    let claims = jwt::claims(&good);
    let resigned = async |change: &dyn Fn(&mut Value)| {
        let mut claims = claims.clone();
        change(&mut claims);
        let claims = claims.to_string().into_bytes();
        let unsigned = Unsigned { algorithm: Algorithm::Rs256, token_type: TokenType::Jwt, claims };
        let token = world.app().signer.sign(unsigned).await.unwrap();
        api.list(token.expose()).await
    };
    resigned(&|_| {}).await.expect("unchanged claims are good");
    let wrong: [(&str, Value); 18] = [
        ("exp", json!("9999999999")),
        ("exp", json!(-1)),
        ("exp", json!(1e99)),
        ("exp", json!([9_999_999_999_u64])),
        ("exp", Value::Null),
        ("exp", json!(true)),
        ("iat", json!("0")),
        ("iat", Value::Null),
        ("aud", json!(7)),
        ("aud", Value::Null),
        ("aud", json!({})),
        ("aud", json!([["https://id.test/mfa/"]])),
        ("iss", json!("https://id.test")),
        ("iss", Value::Null),
        ("sub", Value::Null),
        ("sub", json!(1)),
        ("scope", json!(["read:authenticators"])),
        ("azp", json!(7)),
    ];
    for (member, value) in wrong {
        let answer = resigned(&|claims: &mut Value| claims[member] = value.clone()).await;
        assert!(answer.is_err(), "{member}: {value}");
    }
    for member in ["exp", "iat", "aud", "iss", "sub"] {
        let answer = resigned(&|claims: &mut Value| drop(claims.as_object_mut().unwrap().remove(member))).await;
        assert!(answer.is_err(), "without {member}");
    }
}
