//! The `OpenAPI` document tells the truth: about the routes, and about every answer.

use std::collections::BTreeSet;

use countersign_proto::v1::{
    Email, ErrorReason, MfaRequired, OobChannel, Profile, TokenSet, issue_token_response::Outcome,
};
use http::{Method, Request};
use serde_json::{Value, json};

use super::{
    super::{route_name, routes},
    script::{Reply, Rig, active_token, oob, recovery_code, tokens, totp},
};
use crate::OPENAPI_DOCUMENT;

fn document() -> Value {
    serde_json::from_str(OPENAPI_DOCUMENT).unwrap()
}

/// Every request the tests make, with a body that is good.
fn requests() -> Vec<(Method, &'static str, &'static str, Value)> {
    let grant = json!({"client_id": "web", "grant_type": "password", "username": "a", "password": "b", "scope": null});
    let sent = json!({"client_id": "web", "grant_type": "http://auth0.com/oauth/grant-type/mfa-oob", "mfa_token": "m",
        "oob_code": "o", "binding_code": "012345"});
    let challenge = json!({"client_id": "web", "mfa_token": "m", "challenge_type": "oob", "oob_channel": "sms"});
    let phone = json!({"authenticator_types": ["oob"], "oob_channels": ["sms"], "phone_number": "+1 202 555 0123"});
    let waiting = json!({"client_id": "web", "grant_type": "http://auth0.com/oauth/grant-type/mfa-oob", "mfa_token": "m",
        "oob_code": "o"});
    let device = json!({"client_id": "web", "mfa_token": "m", "oob_channel": "auth0"});
    let enroll = json!({"identifier": "i", "name": "n", "push_credentials": {"service": "GCM", "token": "t"},
        "public_key": {"kty": "RSA", "alg": "RS256", "use": "sig", "n": "AQ", "e": "AQAB"}, "number_matching": true});
    let refresh = json!({"client_id": "web", "grant_type": "refresh_token", "refresh_token": "r"});
    let account = "/appliance-mfa/api/device-accounts/{device_id}";
    vec![
        (Method::POST, "/oauth/token", "/oauth/token", waiting),
        (Method::POST, "/oauth/token", "/oauth/token", refresh),
        (Method::POST, "/oauth/revoke", "/oauth/revoke", json!({"client_id": "web", "token": "r"})),
        (Method::POST, "/oauth/introspect", "/oauth/introspect", json!({"client_id": "web", "token": "r"})),
        (Method::POST, "/mfa/challenge", "/mfa/challenge", device),
        (
            Method::POST,
            "/mfa/associate",
            "/mfa/associate",
            json!({"authenticator_types": ["oob"], "oob_channels": ["auth0"]}),
        ),
        (Method::POST, "/appliance-mfa/api/enroll", "/appliance-mfa/api/enroll", enroll),
        (
            Method::POST,
            "/appliance-mfa/api/resolve-transaction",
            "/appliance-mfa/api/resolve-transaction",
            json!({"challenge_response": "a.b.c"}),
        ),
        (Method::PATCH, account, "/appliance-mfa/api/device-accounts/dev_1", json!({"name": "n"})),
        (Method::DELETE, account, "/appliance-mfa/api/device-accounts/dev_1", Value::Null),
        (Method::POST, "/oauth/token", "/oauth/token", grant),
        (Method::POST, "/oauth/token", "/oauth/token", sent),
        (Method::POST, "/mfa/challenge", "/mfa/challenge", json!({"client_id": "web", "mfa_token": "m"})),
        (Method::POST, "/mfa/challenge", "/mfa/challenge", challenge),
        (Method::POST, "/mfa/associate", "/mfa/associate", json!({"authenticator_types": ["otp"], "digits": 8})),
        (Method::POST, "/mfa/associate", "/mfa/associate", phone),
        (Method::GET, "/mfa/authenticators", "/mfa/authenticators", Value::Null),
        (Method::GET, "/mfa/authenticators/{authenticator_id}", "/mfa/authenticators/a%7Cb", Value::Null),
        (Method::PATCH, "/mfa/authenticators/{authenticator_id}", "/mfa/authenticators/a%7Cb", json!({"name": "n"})),
        (Method::DELETE, "/mfa/authenticators/{authenticator_id}", "/mfa/authenticators/a%7Cb", Value::Null),
        (Method::GET, "/mfa/remembered-devices", "/mfa/remembered-devices", Value::Null),
        (Method::DELETE, "/mfa/remembered-devices/{device_id}", "/mfa/remembered-devices/a", Value::Null),
        (Method::GET, "/notices/{token}", "/notices/csnot_x", Value::Null),
        (Method::POST, "/notices/{token}", "/notices/csnot_x", Value::Null),
        (Method::GET, "/userinfo", "/userinfo", Value::Null),
        (Method::POST, "/userinfo", "/userinfo", Value::Null),
        (Method::GET, "/.well-known/openid-configuration", "/.well-known/openid-configuration", Value::Null),
        (
            Method::GET,
            "/.well-known/oauth-authorization-server",
            "/.well-known/oauth-authorization-server",
            Value::Null,
        ),
        (Method::GET, "/.well-known/jwks.json", "/.well-known/jwks.json", Value::Null),
        (Method::GET, "/openapi.json", "/openapi.json", Value::Null),
    ]
}

/// Complains about whatever the document does not say of this answer.
fn check(document: &Value, method: &Method, path: &str, reply: &Reply) {
    let what = format!("{method} {path} {}", reply.status);
    let operation = &document["paths"][path][method.as_str().to_ascii_lowercase()];
    let response = &operation["responses"][reply.status.as_str()];
    assert!(response.is_object(), "{what}: {}", reply.body);
    for header in ["retry-after", "x-ratelimit-reset", "www-authenticate", "x-request-id"] {
        let listed = response["headers"].as_object().unwrap().keys().any(|name| name.eq_ignore_ascii_case(header));
        assert!(listed || !reply.headers.contains_key(header), "{what}: {header}");
    }
    let Some(content) = response["content"].as_object() else {
        assert_eq!(reply.body, "", "{what}");
        return;
    };
    let media = content.get(reply.header("content-type")).unwrap_or_else(|| panic!("{what}: content type"));
    let page = reply.header("content-type").starts_with("text/html");
    let body = if page { Value::String(reply.body.clone()) } else { reply.json() };
    validate(document, &media["schema"], &body, &what);
}

fn validate(document: &Value, schema: &Value, instance: &Value, what: &str) {
    let schema = json!({"allOf": [schema], "components": document["components"]});
    let validator = jsonschema::validator_for(&schema).unwrap();
    if let Err(error) = validator.validate(instance) {
        panic!("{what}: {error}: {instance}");
    }
}

async fn send(rig: &Rig, method: &Method, uri: &str, body: &Value) -> Reply {
    let credential = if uri.ends_with("/enroll") { "Ticket id=\"t\"" } else { "Bearer t" };
    let request = Request::builder().method(method).uri(uri).header("authorization", credential);
    let body = if body.is_null() { String::new() } else { body.to_string() };
    rig.send(request, body).await
}

#[test]
fn the_document_is_whole() {
    let document = document();
    let text = document.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::meta::is_valid(schema), "{name}");
    }
}

#[tokio::test]
async fn routes_and_document_name_the_same_operations() {
    let document = document();
    let documented: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(|method| (path.clone(), method.to_uppercase())))
        .filter(|(_, method)| method != "PARAMETERS")
        .collect();
    let mut served = BTreeSet::new();
    for (path, _) in routes::<tonic::service::Routes>() {
        let uri = path.replace("{authenticator_id}", "a").replace("{token}", "a").replace("{device_id}", "a");
        assert_eq!(route_name(&uri), Some(path));
        let reply = Rig::default().send(Request::builder().method("TRACE").uri(uri), "").await;
        assert_eq!(reply.status, 405);
        let methods = reply.header("allow").split(',').filter(|method| *method != "HEAD");
        served.extend(methods.map(|method| (path.to_owned(), method.to_owned())));
    }
    assert_eq!(served, documented);
    let tested = requests().into_iter().map(|(method, path, ..)| (path.to_owned(), method.to_string())).collect();
    assert_eq!(served, tested);
}

#[tokio::test]
async fn good_answers_are_as_documented() {
    let document = document();
    let Outcome::Tokens(set) = tokens() else { unreachable!() };
    let enroll_by_time = Some(prost_types::Timestamp { seconds: 1_800_000_000, nanos: 0 });
    let refreshed = TokenSet {
        refresh_token: "r".into(),
        recovery_code: "c".into(),
        device_token: "d".into(),
        enroll_by_time,
        ..set
    };
    for outcome in [
        tokens(),
        Outcome::Tokens(refreshed),
        Outcome::MfaRequired(MfaRequired {
            mfa_token: "m".into(),
            challenge: vec![1, 2, 3, 4, 5],
            requirements_published: true,
            ..MfaRequired::default()
        }),
    ] {
        let rig = Rig::issuing(outcome);
        {
            let mut script = rig.services.0.lock().unwrap();
            script.pages = vec![vec![
                totp("totp|dev_1"),
                oob("sms|dev_2", OobChannel::Sms),
                oob("voice|dev_2", OobChannel::Voice),
                oob("email|dev_3", OobChannel::Email),
                oob("push|dev_4", OobChannel::Push),
                recovery_code("recovery-code|dev_1"),
            ]];
            script.active = matches!(script.issue, Some(Outcome::Tokens(_))).then(active_token);
            script.user.subject = "auth0|1".into();
            script.user.profile = Some(Profile {
                name: "Jo".into(),
                update_time: Some(prost_types::Timestamp { seconds: 1, nanos: 0 }),
                ..Profile::default()
            });
            script.user.email = Some(Email { address: "jo@id.example".into(), verified: true });
        }
        for (method, path, uri, body) in requests() {
            if let Some(schema) = document["paths"][path][method.as_str().to_ascii_lowercase()]
                .pointer("/requestBody/content/application~1json/schema")
            {
                validate(&document, schema, &body, path);
            }
            let reply = send(&rig, &method, uri, &body).await;
            check(&document, &method, path, &reply);
            let cacheable = path.starts_with("/.well-known") || path == "/openapi.json";
            let expected = if cacheable { "public, max-age=300" } else { "no-store" };
            assert_eq!(reply.header("cache-control"), expected, "{path}");
        }
    }
}

#[tokio::test]
async fn every_refusal_is_as_documented_wherever_it_can_come_from() {
    let document = document();
    let services = [
        "REQUEST_MALFORMED CLIENT_UNAUTHENTICATED GRANT_NOT_ALLOWED AUDIENCE_UNKNOWN NO_DEFAULT_REALM \
         CREDENTIALS_REJECTED ACCOUNT_LOCKED RATE_LIMITED USER_BLOCKED MFA_TOKEN_INVALID MFA_TOKEN_EXPIRED \
         MFA_TOKEN_OF_OTHER_CLIENT PROOF_REJECTED TOO_MANY_ATTEMPTS OOB_CODE_INVALID OOB_CODE_EXPIRED \
         OOB_CODE_MISMATCHED AUTHORIZATION_PENDING AUTHORIZATION_REJECTED POLLING_TOO_FAST REFRESH_TOKEN_INVALID \
         REFRESH_TOKEN_USER_GONE SCOPE_EXCEEDED STORE_UNAVAILABLE OVERLOADED INTERNAL",
        "REQUEST_MALFORMED CLIENT_UNAUTHENTICATED GRANT_NOT_ALLOWED MFA_TOKEN_INVALID MFA_TOKEN_EXPIRED \
         MFA_TOKEN_OF_OTHER_CLIENT USER_BLOCKED NOT_ENROLLED CHALLENGE_TYPE_UNSUPPORTED AUTHENTICATOR_NOT_FOUND \
         TOO_MANY_ATTEMPTS MESSAGE_LIMIT_REACHED DELIVERY_UNAVAILABLE NUMBER_AT_RISK STORE_UNAVAILABLE OVERLOADED INTERNAL",
        "REQUEST_MALFORMED GRANT_NOT_ALLOWED MFA_TOKEN_INVALID MFA_TOKEN_EXPIRED ACCESS_TOKEN_INVALID SCOPE_MISSING \
         STEP_UP_REQUIRED USER_BLOCKED ALREADY_ENROLLED AUTHENTICATOR_LIMIT_REACHED MESSAGE_LIMIT_REACHED \
         DELIVERY_UNAVAILABLE NUMBER_AT_RISK RATE_LIMITED STORE_UNAVAILABLE OVERLOADED INTERNAL",
        "REQUEST_MALFORMED MFA_TOKEN_INVALID MFA_TOKEN_EXPIRED ACCESS_TOKEN_INVALID SCOPE_MISSING USER_BLOCKED \
         RATE_LIMITED STORE_UNAVAILABLE OVERLOADED INTERNAL",
        "REQUEST_MALFORMED ACCESS_TOKEN_INVALID SCOPE_MISSING USER_BLOCKED AUTHENTICATOR_NOT_FOUND STORE_UNAVAILABLE \
         RATE_LIMITED OVERLOADED INTERNAL",
        "REQUEST_MALFORMED ACCESS_TOKEN_INVALID SCOPE_MISSING USER_BLOCKED RATE_LIMITED STORE_UNAVAILABLE INTERNAL",
        "RATE_LIMITED STORE_UNAVAILABLE OVERLOADED INTERNAL",
        "AUTHENTICATOR_NOT_FOUND STORE_UNAVAILABLE OVERLOADED INTERNAL",
        "REQUEST_MALFORMED ENROLLMENT_TICKET_INVALID DEVICE_CONFLICT STORE_UNAVAILABLE OVERLOADED INTERNAL",
        "PUSH_TRANSACTION_UNKNOWN DEVICE_ANSWER_REJECTED PROOF_REJECTED TOO_MANY_ATTEMPTS STORE_UNAVAILABLE OVERLOADED \
         INTERNAL",
        "REQUEST_MALFORMED DEVICE_UNAUTHENTICATED DEVICE_NOT_FOUND STORE_UNAVAILABLE OVERLOADED INTERNAL",
        "REQUEST_MALFORMED CLIENT_UNAUTHENTICATED STORE_UNAVAILABLE OVERLOADED INTERNAL",
    ];
    for (method, path, uri, body) in requests() {
        let reasons = match (path, &method) {
            ("/oauth/token", _) => services[0].to_owned(),
            ("/oauth/revoke", _) => services[11].to_owned(),
            ("/oauth/introspect", _) => format!("{} INTROSPECTION_NOT_ALLOWED", services[11]),
            ("/mfa/challenge", _) => services[1].to_owned(),
            ("/mfa/associate", _) => services[2].to_owned(),
            ("/mfa/authenticators", _) => services[3].to_owned(),
            ("/mfa/authenticators/{authenticator_id}", &Method::GET) => services[4].to_owned(),
            ("/mfa/authenticators/{authenticator_id}", _) => {
                format!("{} STEP_UP_REQUIRED AUTHENTICATOR_IMPLIED", services[4])
            }
            ("/userinfo", _) => services[5].to_owned(),
            ("/notices/{token}", _) => services[7].to_owned(),
            ("/appliance-mfa/api/enroll", _) => services[8].to_owned(),
            ("/appliance-mfa/api/resolve-transaction", _) => services[9].to_owned(),
            ("/appliance-mfa/api/device-accounts/{device_id}", _) => services[10].to_owned(),
            ("/openapi.json", _) => continue,
            _ => services[6].to_owned(),
        };
        for reason in reasons.split_whitespace() {
            let reason = ErrorReason::from_str_name(reason).unwrap();
            check(&document, &method, path, &send(&Rig::refusing(reason), &method, uri, &body).await);
        }
    }
}

#[tokio::test]
async fn refusals_of_the_gateway_are_as_documented() {
    let document = document();
    for (method, path, uri, body) in requests() {
        if body.is_null() {
            continue;
        }
        let credential = if uri.ends_with("/enroll") { "Ticket id=\"t\"" } else { "Bearer t" };
        let builder = || Request::builder().method(&method).uri(uri).header("authorization", credential);
        let rig = Rig::default();
        for body in ["", "{", "a=%ff", &"x".repeat(17_000)] {
            check(&document, &method, path, &rig.send(builder(), body.to_owned()).await);
        }
        check(&document, &method, path, &rig.send(builder().header("content-type", "text/xml"), "<a/>").await);
    }
}

#[tokio::test]
async fn the_served_document_names_the_deployment() {
    let reply = Rig::default().send(Request::get("/openapi.json"), "").await;
    assert_eq!(reply.json()["servers"], json!([{"url": "https://id.example"}]));
}
