//! Requests in every form the SDKs send them.

use countersign_tests::{
    api::Transport,
    http::Http,
    person::{PASSWORD, Person, Phone},
    tenant::{BACKEND, Client, NATIVE, Tenant},
    world::{Store, World},
};
use data_encoding::BASE64;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

const OTP_GRANT: &str = "http://auth0.com/oauth/grant-type/mfa-otp";

async fn world() -> (World, Person, Phone) {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let (ann, phone) = world.enrolled(&world.api(Transport::Http), "ann").await;
    (world, ann, phone)
}

async fn token(world: &World, client: Client) -> String {
    let ann = world.api(Transport::Http).login(client, "ann", PASSWORD).await;
    ann.unwrap().mfa_token()
}

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", BASE64.encode(format!("{id}:{secret}").as_bytes()))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_post_takes_json_and_forms() {
    let (world, _, phone) = world().await;
    let http = world.http();
    let password = [("grant_type", "password"), ("username", "ann"), ("password", PASSWORD), ("client_id", NATIVE.id)];
    let by_form = http.form("/oauth/token", &password).await;
    let by_json = http
        .post(
            "/oauth/token",
            &json!({
                "grant_type": "password", "username": "ann", "password": PASSWORD, "client_id": NATIVE.id,
            }),
        )
        .await;
    assert_eq!((by_form.status, by_json.status), (403, 403));
    let token = by_form.json()["mfa_token"].as_str().unwrap().to_owned();

    let by_form = http
        .form("/mfa/challenge", &[("mfa_token", &token), ("client_id", NATIVE.id), ("challenge_type", "otp")])
        .await;
    let by_json = http
        .post("/mfa/challenge", &json!({"mfa_token": token, "client_id": NATIVE.id, "challenge_type": "otp"}))
        .await;
    assert_eq!((by_form.status, by_json.status), (200, 200));
    assert_eq!(by_form.json(), by_json.json());
    assert_eq!(by_form.header("content-type"), Some("application/json; charset=utf-8"));
    for (types, status) in
        [(json!(["otp", "oob"]), 200), (json!(["oob otp"]), 200), (json!([]), 200), (json!(["oob"]), 401)]
    {
        let list = json!({"mfa_token": token, "client_id": NATIVE.id, "challenge_type": types});
        assert_eq!(http.post("/mfa/challenge", &list).await.status, status, "{types}");
    }
    let number = json!({"mfa_token": token, "client_id": NATIVE.id, "challenge_type": [7]});
    assert_eq!(
        http.post("/mfa/challenge", &number).await.json()["error_description"],
        "challenge_type must be a string"
    );

    let code = phone.code(&world);
    let otp = http
        .form(
            "/oauth/token",
            &[("grant_type", OTP_GRANT), ("mfa_token", &token), ("otp", &code), ("client_id", NATIVE.id)],
        )
        .await;
    assert_eq!(otp.status, 200);
    assert_eq!(otp.header("content-type"), Some("application/json"));

    let bob = world.person("bob").await;
    let token = bob.mfa_token(&world.api(Transport::Http)).await;
    let form = http.request(Method::POST, "/mfa/associate").bearer_auth(&token).form(&[("authenticator_types", "otp")]);
    assert_eq!(http.send(form).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_proves_itself_by_basic_encoded_or_not_by_post_or_not_at_all() {
    let (world, ..) = world().await;
    let http = world.http();
    let secret = BACKEND.secret.unwrap();
    let encoded = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let password = [("grant_type", "password"), ("username", "ann"), ("password", PASSWORD)];
    for header in [
        basic(BACKEND.id, &encoded),
        basic(BACKEND.id, secret),
        basic(BACKEND.id, secret).replacen("Basic", "basic", 1),
    ] {
        let request = http.request(Method::POST, "/oauth/token").header("authorization", &header).form(&password);
        assert_eq!(http.send(request).await.json()["error"], "mfa_required", "{header}");
    }
    let named = [("client_id", BACKEND.id), password[0], password[1], password[2]];
    let request =
        http.request(Method::POST, "/oauth/token").header("authorization", basic(BACKEND.id, &encoded)).form(&named);
    assert_eq!(http.send(request).await.json()["error"], "mfa_required", "the id may come twice if it is the same");
    let other = [("client_id", NATIVE.id), password[0], password[1], password[2]];
    let request =
        http.request(Method::POST, "/oauth/token").header("authorization", basic(BACKEND.id, &encoded)).form(&other);
    assert!(matches!(http.send(request).await.status, 400 | 401), "another id");
    let both = [("client_id", BACKEND.id), ("client_secret", secret), password[0], password[1], password[2]];
    let request =
        http.request(Method::POST, "/oauth/token").header("authorization", basic(BACKEND.id, &encoded)).form(&both);
    let answer = http.send(request).await;
    assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_request")), "two methods at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_refused_without_www_authenticate() {
    let (world, ..) = world().await;
    let http = world.http();
    let request = http
        .request(Method::POST, "/oauth/token")
        .header("authorization", basic(BACKEND.id, "wrong"))
        .form(&[("grant_type", "password"), ("username", "ann"), ("password", PASSWORD)]);
    let answer = http.send(request).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json(), json!({"error": "access_denied", "error_description": "Unauthorized"}));
    assert_eq!(answer.header("www-authenticate"), None);
    assert_eq!(answer.header("content-type"), Some("application/json"));
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_and_null_parameters_count_as_absent() {
    let (world, ..) = world().await;
    let http = world.http();
    let token = token(&world, NATIVE).await;
    // As .NET sends it.
    let form = [
        ("mfa_token", token.as_str()),
        ("client_id", NATIVE.id),
        ("client_secret", ""),
        ("challenge_type", "otp"),
        ("authenticator_id", ""),
        ("oob_channel", ""),
    ];
    assert_eq!(http.form("/mfa/challenge", &form).await.status, 200);
    let json = json!({"mfa_token": token, "client_id": NATIVE.id, "client_secret": null, "authenticator_id": null, "challenge_type": null});
    assert_eq!(http.post("/mfa/challenge", &json).await.status, 200);
    let missing = http.form("/mfa/challenge", &[("mfa_token", ""), ("client_id", NATIVE.id)]).await;
    assert_eq!(missing.status, 400);
    assert_eq!(missing.json()["error_description"], "Missing required parameter: mfa_token");

    let bob = world.person("bob").await;
    let bearer = bob.mfa_token(&world.api(Transport::Http)).await;
    let body = json!({"authenticator_types": ["otp"], "oob_channels": null, "phone_number": null, "client_id": BACKEND.id, "client_secret": "ignored"});
    assert_eq!(http.post_as(&bearer, "/mfa/associate", &body).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_parameters_and_headers_are_ignored() {
    let (world, _, phone) = world().await;
    let http = world.http();
    let token = token(&world, NATIVE).await;
    let code = phone.code(&world);
    let request = http
        .request(Method::POST, "/oauth/token")
        .header("auth0-client", "eyJuYW1lIjoidGVzdCJ9")
        .header("dpop", "x.y.z")
        .bearer_auth(&token)
        .json(&json!({
            "grant_type": OTP_GRANT, "mfa_token": token, "otp": code, "client_id": NATIVE.id,
            "audience": "https://nowhere.test/", "scope": "everything", "resource": "x", "extra": "value",
        }));
    assert_eq!(http.send(request).await.status, 200);
    let bob = world.person("bob").await;
    let bearer = bob.mfa_token(&world.api(Transport::Http)).await;
    let body = json!({"authenticator_types": ["otp"], "oob_channels": ["sms"], "phone_number": "+15551234567", "extra": {"a": [1]}});
    assert_eq!(http.post_as(&bearer, "/mfa/associate", &body).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn associate_takes_a_bare_string_for_its_list() {
    let (world, ..) = world().await;
    let bob = world.person("bob").await;
    let bearer = bob.mfa_token(&world.api(Transport::Http)).await;
    let http = world.http();
    let one = http.post_as(&bearer, "/mfa/associate", &json!({"authenticator_types": "otp"})).await;
    assert_eq!(one.status, 200);
    for unsupported in [
        json!({"authenticator_types": ["oob"], "oob_channels": ["sms"], "phone_number": "+15551234567"}),
        json!({"authenticator_types": ["pigeon"]}),
        json!({}),
    ] {
        let answer = http.post_as(&bearer, "/mfa/associate", &unsupported).await;
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_request")), "{unsupported}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_may_be_a_json_number_of_six_digits() {
    let (world, _, phone) = world().await;
    let http = world.http();
    let send = async |otp: Value| {
        let token = token(&world, NATIVE).await;
        http.post(
            "/oauth/token",
            &json!({"grant_type": OTP_GRANT, "mfa_token": token, "otp": otp, "client_id": NATIVE.id}),
        )
        .await
    };
    let mut code = phone.code(&world);
    while code.starts_with('0') {
        code = phone.code(&world);
    }
    assert_eq!(send(json!(code.parse::<u32>().unwrap())).await.status, 200);
    for wrong in [json!(1234.5), json!(["123456"]), json!({"a": 1}), json!(true)] {
        let answer = send(wrong.clone()).await;
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_request")), "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_in_paths_come_encoded_or_raw() {
    let (world, ann, phone) = world().await;
    let api = world.api(Transport::Http);
    let http: &Http = world.http();
    let manager = ann.manager(&world, &api, &phone).await;
    let id = api.list(&manager).await.unwrap().remove(0).id;
    for path in [id.clone(), id.replace('|', "%7C"), id.replace('|', "%7c")] {
        let path = format!("/mfa/authenticators/{path}");
        let shown = http.call_as(&manager, Method::GET, &path).await;
        assert_eq!((shown.status, shown.json()["id"].as_str()), (200, Some(id.as_str())), "{path}");
    }
    let gone = http
        .send(
            http.request(Method::DELETE, &format!("/mfa/authenticators/{id}"))
                .bearer_auth(&manager)
                .header("content-type", "application/json"),
        )
        .await;
    assert_eq!((gone.status, gone.body.len()), (204, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_with_a_content_type_and_no_body_is_fine() {
    let (world, ann, _) = world().await;
    let api = world.api(Transport::Http);
    let token = ann.mfa_token(&api).await;
    let http = world.http();
    let request = http
        .request(Method::GET, "/mfa/authenticators")
        .header("authorization", format!("bearer {token}"))
        .header("content-type", "application/json");
    let answer = http.send(request).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
    for entry in answer.json().as_array().unwrap() {
        assert!(entry["type"].is_string() && entry["active"].is_boolean());
        assert!(entry.as_object().unwrap().values().all(|value| !value.is_null()), "no nulls in lists: {entry}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_content_type_is_read_for_what_it_is() {
    let (world, ..) = world().await;
    let http = world.http();
    let token = token(&world, NATIVE).await;
    for body in [
        json!({"mfa_token": token, "client_id": NATIVE.id}).to_string(),
        format!("  {}", json!({"mfa_token": token, "client_id": NATIVE.id})),
        format!("mfa_token={token}&client_id={}", NATIVE.id),
    ] {
        let answer = http.send(http.request(Method::POST, "/mfa/challenge").body(body.clone())).await;
        assert_eq!(answer.status, 200, "{body}");
        // As `curl -d` sends it unasked.
        let form =
            http.request(Method::POST, "/mfa/challenge").header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(http.send(form.body(body.clone())).await.status, 200, "{body}");
    }
}
