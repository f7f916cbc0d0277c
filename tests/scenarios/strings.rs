//! The texts that SDKs compare byte for byte, and those with a fixed place.
//!
//! The scenarios check each text where it arises; this is the list in one place, over HTTP alone.

use countersign_tests::{
    api::Transport,
    http::body,
    person::PASSWORD,
    tenant::{BACKEND, Client, NARROW, NATIVE, TOLD, Tenant},
    world::{Store, World},
};
use serde_json::{Value, json};

const OTP: &str = "http://auth0.com/oauth/grant-type/mfa-otp";
const RECOVERY: &str = "http://auth0.com/oauth/grant-type/mfa-recovery-code";

struct Texts {
    world: World,
}

impl Texts {
    async fn token(&self, client: Client, fields: &[(&str, &str)]) -> (u16, Value) {
        let answer = self.world.http().post("/oauth/token", &body(client, fields)).await;
        (answer.status, answer.json())
    }

    async fn challenge(&self, client: Client, fields: &[(&str, &str)]) -> (u16, Value) {
        let answer = self.world.http().post("/mfa/challenge", &body(client, fields)).await;
        (answer.status, answer.json())
    }
}

fn error(status: u16, error: &str, description: &str) -> (u16, Value) {
    (status, json!({"error": error, "error_description": description}))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_text_is_the_one_sdks_know() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let api = world.api(Transport::Http);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let texts = Texts { world };
    let world = &texts.world;
    let wrong = phone.wrong(world);
    let token = ann.mfa_token(&api).await;

    let login = [("grant_type", "password"), ("username", "ann"), ("password", PASSWORD)];
    let (status, required) = texts.token(BACKEND, &login).await;
    assert_eq!(status, 403);
    assert_eq!(required.as_object().unwrap().len(), 3, "the old shape: {required}");
    assert_eq!(required["error"], "mfa_required");
    assert_eq!(required["error_description"], "Multifactor authentication required");
    let (_, required) = texts.token(TOLD, &login).await;
    assert_eq!(required["mfa_requirements"], json!({"challenge": [{"type": "otp"}, {"type": "recovery-code"}]}));

    assert_eq!(
        texts.token(BACKEND, &[("grant_type", "password"), ("username", "ann"), ("password", "x")]).await,
        error(403, "invalid_grant", "Wrong email or password.")
    );
    assert_eq!(
        texts.token(BACKEND, &[("grant_type", OTP), ("mfa_token", &token), ("otp", &wrong)]).await,
        error(403, "invalid_grant", "Invalid otp_code.")
    );
    assert_eq!(
        texts.token(BACKEND, &[("grant_type", RECOVERY), ("mfa_token", &token), ("recovery_code", "x")]).await,
        error(403, "invalid_grant", "MFA Authorization rejected.")
    );
    assert_eq!(
        texts.token(BACKEND, &[("grant_type", OTP), ("mfa_token", "x"), ("otp", &wrong)]).await,
        error(403, "invalid_grant", "Malformed mfa_token")
    );
    assert_eq!(
        texts.token(NATIVE, &[("grant_type", OTP), ("mfa_token", &token), ("otp", &wrong)]).await,
        error(400, "invalid_request", "mfa_token not issued to this client")
    );
    assert_eq!(
        texts.token(Client { secret: Some("wrong"), ..BACKEND }, &login).await,
        error(401, "access_denied", "Unauthorized")
    );
    for (grant, missing) in [("password", "username"), (OTP, "mfa_token"), (RECOVERY, "mfa_token")] {
        assert_eq!(
            texts
                .token(BACKEND, &[("grant_type", grant), ("password", PASSWORD), ("otp", "1"), ("recovery_code", "1")])
                .await,
            error(400, "invalid_request", &format!("Missing required parameter: {missing}"))
        );
    }
    for (grant, missing) in [(OTP, "otp"), (RECOVERY, "recovery_code")] {
        assert_eq!(
            texts.token(BACKEND, &[("grant_type", grant), ("mfa_token", &token)]).await,
            error(400, "invalid_request", &format!("Missing required parameter: {missing}"))
        );
    }
    assert_eq!(
        texts.token(BACKEND, &[]).await,
        error(400, "invalid_request", "Missing required parameter: grant_type")
    );
    let typo = "http://auth0.com/oauth/grant-type/mfa-recover-code";
    assert_eq!(
        texts.token(BACKEND, &[("grant_type", typo)]).await,
        error(400, "unsupported_grant_type", &format!("Unsupported grant type: {typo}"))
    );
    let answer = world
        .http()
        .post("/oauth/token", &json!({"grant_type": OTP, "mfa_token": 1, "otp": "1", "client_id": NATIVE.id}))
        .await;
    assert_eq!((answer.status, answer.json()), error(400, "invalid_request", "mfa_token must be a string"));
    let (status, refused) = texts.token(NARROW, &[("grant_type", OTP), ("mfa_token", &token), ("otp", &wrong)]).await;
    assert_eq!((status, &refused["error"]), (403, &json!("unauthorized_client")));
    assert_eq!(refused["error_description"], format!("Grant type '{OTP}' not allowed for the client."));

    assert_eq!(
        texts.challenge(BACKEND, &[("mfa_token", &token), ("challenge_type", "oob")]).await,
        error(
            401,
            "unsupported_challenge_type",
            "User does not have any enrolled authenticator with the supported challenge type (oob)"
        )
    );
    assert_eq!(
        texts.challenge(BACKEND, &[("mfa_token", &token), ("authenticator_id", "totp|dev_0000000000000000")]).await,
        error(400, "invalid_authenticator", "Authenticator not found")
    );
    let refused = world.http().post_as(&token, "/mfa/associate", &json!({"authenticator_types": ["otp"]})).await;
    assert_eq!((refused.status, refused.json()), error(403, "access_denied", "User is already enrolled."));
    for path in ["/mfa/authenticators", "/mfa/authenticators/totp%7Cdev_0000000000000000"] {
        let refused = world.http().call_as("nonsense", http::Method::GET, path).await;
        assert_eq!(
            (refused.status, refused.json()),
            error(401, "invalid_grant", "The mfa_token provided is invalid. Try getting a new token.")
        );
        assert_eq!(world.http().get(path).await.status, 401, "no bearer at all");
    }

    world.advance(600);
    let expired = error(403, "expired_token", "mfa_token is expired");
    assert_eq!(texts.token(BACKEND, &[("grant_type", OTP), ("mfa_token", &token), ("otp", &wrong)]).await, expired);
    assert_eq!(texts.challenge(BACKEND, &[("mfa_token", &token)]).await, expired);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_attempts_say_when_to_come_back() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let api = world.api(Transport::Http);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let token = ann.mfa_token(&api).await;
    let wrong = phone.wrong(&world);
    let fields = [("grant_type", OTP), ("mfa_token", token.as_str()), ("otp", &wrong)];
    for _ in 0..10 {
        assert_eq!(world.http().post("/oauth/token", &body(BACKEND, &fields)).await.status, 403);
    }
    let refused = world.http().post("/oauth/token", &body(BACKEND, &fields)).await;
    assert_eq!(
        (refused.status, refused.json()),
        error(429, "too_many_attempts", "Too many failed codes. Wait for some minutes before retrying.")
    );
    let number = |name: &str| refused.header(name).unwrap_or_else(|| panic!("{name}")).parse::<i64>().unwrap();
    assert!((1..=360).contains(&number("retry-after")));
    assert_eq!(number("x-ratelimit-limit"), 10);
    assert_eq!(number("x-ratelimit-remaining"), 0);
    let reset = number("x-ratelimit-reset") - world.now().as_secs();
    assert!((1..=361).contains(&reset), "{reset}");
}
