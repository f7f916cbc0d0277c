//! G-08, Zitadel GHSA-2wmj: a forwarded host shaped links.

use countersign_tests::{
    api::{To, Transport},
    jwt,
    person::PASSWORD,
    sent::NUMBER,
    tenant::{BACKEND, ISSUER, LENIENT, Tenant},
    world::{Store, World},
};
use http::Method;

const HOSTILE: [(&str, &str); 6] = [
    ("host", "evil.test"),
    ("x-forwarded-host", "evil.test"),
    ("x-forwarded-proto", "gopher"),
    ("x-forwarded-prefix", "/evil"),
    ("forwarded", "for=1.2.3.4;host=evil.test;proto=http"),
    ("x-original-url", "/evil"),
];

#[tokio::test(flavor = "multi_thread")]
async fn no_header_shapes_issuer_endpoints_or_enrolment() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let api = world.api(Transport::Http);
    world.person("ann").await;
    let http = world.http();
    let hostile = |method: Method, path: &str| {
        HOSTILE.iter().fold(http.request(method, path), |request, (name, value)| request.header(*name, *value))
    };
    let login = [("grant_type", "password"), ("username", "ann"), ("password", PASSWORD), ("client_id", LENIENT.id)];
    let tokens = http.send(hostile(Method::POST, "/oauth/token").form(&login)).await;
    assert_eq!(tokens.status, 200);
    for member in ["access_token", "id_token"] {
        assert_eq!(jwt::claims(tokens.json()[member].as_str().unwrap())["iss"], ISSUER);
    }
    for path in ["/.well-known/openid-configuration", "/openapi.json", "/.well-known/jwks.json"] {
        let answer = http.send(hostile(Method::GET, path)).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(!answer.text().contains("evil"), "{path}");
    }
    let token = api.login(BACKEND, "ann", PASSWORD).await.unwrap().mfa_token();
    let body = serde_json::json!({"authenticator_types": ["otp"]});
    let answer = http.send(hostile(Method::POST, "/mfa/associate").bearer_auth(&token).json(&body)).await;
    assert!(answer.status == 200 && !answer.text().contains("evil"));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_header_shapes_the_words_of_a_message_or_where_it_goes() {
    let tenant = Tenant::default().with_messages().section(
        "messages",
        &[
            "sms = ['outbox']",
            "voice = ['outbox']",
            "email = ['outbox']",
            "countries = ['US']",
            "sms_domain = 'id.test'",
        ],
    );
    let world = World::start(Store::Sqlite, tenant).await;
    let api = world.api(Transport::Http);
    let http = world.http();
    let ann = world.person("ann").await;
    let hostile = |path: &str| {
        let request = http.request(Method::POST, path).header("accept-language", "evil.test");
        HOSTILE.iter().fold(request, |request, (name, value)| request.header(*name, *value))
    };
    let token = ann.mfa_token(&api).await;
    for (channel, to) in [("sms", NUMBER), ("voice", NUMBER), ("email", ann.email.as_str())] {
        let wish = serde_json::json!({
            "authenticator_types": ["oob"], "oob_channels": [channel], "phone_number": NUMBER, "email": ann.email,
        });
        let (before, answer) =
            (world.outbox().len(), http.send(hostile("/mfa/associate").bearer_auth(&token).json(&wish)).await);
        assert!(answer.status == 200 && !answer.text().contains("evil"), "{answer:?}");
        let message = &world.messages(before + 1).await[before];
        assert_eq!(message["to"], to);
        assert!(!message.to_string().contains("evil"), "{message}");
        if channel == "sms" {
            let (code, text) = (message["code"].as_str().unwrap(), message["text"].as_str().unwrap());
            assert_eq!(text.lines().last(), Some(format!("@id.test #{code}").as_str()));
        }
        // The same words as without any of these headers.
        let (_, plain) =
            world
                .sent(api.associate_oob(
                    &token,
                    if channel == "email" { To::Email(None) } else { To::Phone(channel, NUMBER) },
                ))
                .await;
        let digits = |text: &str| text.chars().filter(|symbol| !symbol.is_ascii_digit()).collect::<String>();
        assert_eq!(digits(message["text"].as_str().unwrap()), digits(&plain.text));
    }
    let challenge = countersign_tests::http::body(BACKEND, &[("mfa_token", &token), ("challenge_type", "oob")]);
    let before = world.outbox().len();
    assert_eq!(http.send(hostile("/mfa/challenge").json(&challenge)).await.status, 200);
    let message = &world.messages(before + 1).await[before];
    assert!(message["to"] == ann.email.as_str() && !message.to_string().contains("evil"), "{message}");
}
