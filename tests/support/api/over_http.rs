//! The calls as REST.

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{Asked, Association, Barcode, Entry, Introspected, Outcome, Sent, To, Tokens, Wish};
use crate::{
    device::{Device, Registration},
    http::{Answer, Http, body},
    refusal::Refusal,
    tenant::Client,
};

fn accepted(answer: Answer, status: u16) -> Result<Value, Refusal> {
    if answer.status == status {
        return Ok(answer.json());
    }
    let body = answer.json();
    assert!(answer.status >= 400, "neither granted nor refused: {answer:?}");
    Err(Refusal::Http { status: answer.status, headers: Box::new(answer.headers), body })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is not text")).to_owned()
}

fn some(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn tokens(body: &Value) -> Tokens {
    assert_eq!(body["token_type"], "Bearer");
    Tokens {
        access_token: text(&body["access_token"]),
        id_token: some(&body["id_token"]),
        expires_in: body["expires_in"].as_u64().expect("expires_in is a whole number"),
        scope: some(&body["scope"]),
        recovery_code: some(&body["recovery_code"]),
        refresh_token: some(&body["refresh_token"]),
        device_token: some(&body["device_token"]),
        enroll_by: some(&body["enroll_by"]),
    }
}

fn entry(body: &Value) -> Entry {
    Entry {
        id: text(&body["id"]),
        kind: text(&body["authenticator_type"]),
        channel: some(&body["oob_channel"]),
        active: body["active"].as_bool().expect("active is a boolean"),
        name: some(&body["name"]),
    }
}

pub(super) async fn login(
    http: &Http,
    client: Client,
    username: &str,
    password: &str,
    wish: Wish<'_>,
) -> Result<Outcome, Refusal> {
    let grant = if wish.realm.is_some() { "http://auth0.com/oauth/grant-type/password-realm" } else { "password" };
    let mut fields = vec![("grant_type", grant), ("username", username), ("password", password)];
    fields.extend(
        [("audience", wish.audience), ("realm", wish.realm), ("device_token", wish.device_token)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    outcome(http.post("/oauth/token", &wishing(body(client, &fields), wish)).await)
}

fn outcome(answer: Answer) -> Result<Outcome, Refusal> {
    match accepted(answer, 200) {
        Ok(body) => Ok(Outcome::Tokens(tokens(&body))),
        Err(Refusal::Http { status: 403, body, .. }) if body["error"] == "mfa_required" => {
            assert_eq!(body["error_description"], "Multifactor authentication required");
            Ok(Outcome::MfaRequired(text(&body["mfa_token"])))
        }
        Err(refusal) => Err(refusal),
    }
}

/// `body` with what is asked for beyond the audience. Whole seconds travel as a number.
fn wishing(mut body: Value, wish: Wish<'_>) -> Value {
    for (name, value) in [("scope", wish.scope), ("acr_values", wish.acr_values)] {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    if let Some(max_age) = wish.max_age {
        body["max_age"] = json!(max_age);
    }
    body
}

pub(super) async fn refresh(http: &Http, client: Client, token: &str, wish: Wish<'_>) -> Result<Outcome, Refusal> {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
    outcome(http.post("/oauth/token", &wishing(body(client, &fields), wish)).await)
}

pub(super) async fn service(http: &Http, client: Client, wish: Wish<'_>) -> Result<Tokens, Refusal> {
    let fields = [("grant_type", "client_credentials"), ("audience", wish.audience.unwrap_or_default())];
    outcome(http.post("/oauth/token", &wishing(body(client, &fields), wish)).await).map(Outcome::tokens)
}

pub(super) async fn signed_login(http: &Http, client: Client, jwt: &str, wish: Wish<'_>) -> Result<Outcome, Refusal> {
    let grant = "urn:countersign:grant-type:asserted-login";
    let fields = [("grant_type", grant), ("assertion", jwt), ("audience", wish.audience.unwrap_or_default())];
    outcome(http.post("/oauth/token", &wishing(body(client, &fields), wish)).await)
}

pub(super) async fn revoke(http: &Http, client: Client, token: &str) -> Result<(), Refusal> {
    let answer = http.post("/oauth/revoke", &body(client, &[("token", token)])).await;
    let empty = answer.body.is_empty();
    accepted(answer, 200).map(|_| assert!(empty, "a revocation is answered with nothing"))
}

pub(super) async fn introspect(http: &Http, client: Client, token: &str) -> Result<Option<Introspected>, Refusal> {
    let body = accepted(http.post("/oauth/introspect", &body(client, &[("token", token)])).await, 200)?;
    if body["active"] == false {
        assert_eq!(body, json!({"active": false}), "nothing else is told");
        return Ok(None);
    }
    let list = |name: &str| body[name].as_array().into_iter().flatten().map(text).collect();
    Ok(Some(Introspected {
        is_access_token: body["token_type"] == "Bearer",
        subject: text(&body["sub"]),
        client: text(&body["client_id"]),
        audiences: list("aud"),
        scope: text(&body["scope"]),
        expires_at: body["exp"].as_i64(),
        authenticated_at: body["auth_time"].as_i64(),
        methods: list("amr"),
    }))
}

pub(super) async fn otp(http: &Http, client: Client, token: &str, code: &str) -> Result<Tokens, Refusal> {
    let fields = [("grant_type", "http://auth0.com/oauth/grant-type/mfa-otp"), ("mfa_token", token), ("otp", code)];
    accepted(http.post("/oauth/token", &body(client, &fields)).await, 200).map(|body| tokens(&body))
}

pub(super) async fn otp_remembering(http: &Http, client: Client, token: &str, code: &str) -> Result<Tokens, Refusal> {
    let fields = [
        ("grant_type", "http://auth0.com/oauth/grant-type/mfa-otp"),
        ("mfa_token", token),
        ("otp", code),
        ("remember_device", "true"),
    ];
    accepted(http.post("/oauth/token", &body(client, &fields)).await, 200).map(|body| tokens(&body))
}

pub(super) async fn oob(
    http: &Http,
    client: Client,
    token: &str,
    oob_code: &str,
    code: &str,
) -> Result<Tokens, Refusal> {
    let grant = "http://auth0.com/oauth/grant-type/mfa-oob";
    let fields = [("grant_type", grant), ("mfa_token", token), ("oob_code", oob_code), ("binding_code", code)];
    accepted(http.post("/oauth/token", &body(client, &fields)).await, 200).map(|body| tokens(&body))
}

pub(super) async fn send_code(
    http: &Http,
    client: Client,
    token: &str,
    authenticator: Option<&str>,
    channel: Option<&str>,
) -> Result<Sent, Refusal> {
    let mut fields = vec![("mfa_token", token), ("challenge_type", "oob")];
    fields.extend(authenticator.map(|id| ("authenticator_id", id)));
    fields.extend(channel.map(|channel| ("oob_channel", channel)));
    let answer = accepted(http.post("/mfa/challenge", &body(client, &fields)).await, 200)?;
    assert_eq!((&answer["challenge_type"], &answer["binding_method"]), (&json!("oob"), &json!("prompt")));
    assert_eq!(answer["expires_in"], 300);
    let authenticator = some(&answer["authenticator_id"]);
    Ok(Sent { oob_code: text(&answer["oob_code"]), authenticator, recovery_codes: Vec::new(), restricted: false })
}

pub(super) async fn associate_oob(http: &Http, bearer: &str, to: To<'_>) -> Result<Sent, Refusal> {
    let (channel, wish) = match to {
        To::Phone(channel, number) => {
            (channel, json!({"authenticator_types": ["oob"], "oob_channels": [channel], "phone_number": number}))
        }
        To::Email(address) => {
            ("email", json!({"authenticator_types": ["oob"], "oob_channels": ["email"], "email": address}))
        }
    };
    let body = accepted(http.post_as(bearer, "/mfa/associate", &wish).await, 200)?;
    assert_eq!((&body["authenticator_type"], &body["binding_method"]), (&json!("oob"), &json!("prompt")));
    assert_eq!(body["oob_channel"], channel);
    assert!(body.get("recovery_code").is_none(), "the singular member is never sent here");
    let codes = body.get("recovery_codes").and_then(Value::as_array).cloned().unwrap_or_default();
    let recovery_codes = codes.iter().map(text).collect();
    let restricted = body.get("restricted").is_some();
    Ok(Sent { oob_code: text(&body["oob_code"]), authenticator: None, recovery_codes, restricted })
}

pub(super) async fn associate_push(http: &Http, bearer: &str) -> Result<Barcode, Refusal> {
    let wish = json!({"authenticator_types": ["oob"], "oob_channels": ["auth0"]});
    let body = accepted(http.post_as(bearer, "/mfa/associate", &wish).await, 200)?;
    assert_eq!((&body["authenticator_type"], &body["oob_channel"]), (&json!("oob"), &json!("auth0")));
    assert!(body.get("binding_method").is_none(), "nothing is typed in");
    let codes = body.get("recovery_codes").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(Barcode {
        oob_code: text(&body["oob_code"]),
        uri: text(&body["barcode_uri"]),
        recovery_codes: codes.iter().map(text).collect(),
    })
}

pub(super) async fn ask(
    http: &Http,
    client: Client,
    token: &str,
    authenticator: Option<&str>,
) -> Result<Asked, Refusal> {
    let mut fields = vec![("mfa_token", token), ("challenge_type", "oob"), ("oob_channel", "auth0")];
    fields.extend(authenticator.map(|id| ("authenticator_id", id)));
    let answer = accepted(http.post("/mfa/challenge", &body(client, &fields)).await, 200)?;
    assert_eq!((&answer["expires_in"], &answer["interval"]), (&json!(300), &json!(5)));
    let number = some(&answer["binding_code"]);
    let method = some(&answer["binding_method"]);
    assert_eq!(method.as_deref(), number.as_ref().map(|_| "transfer"));
    let interval = answer["interval"].as_u64().expect("it is a number");
    Ok(Asked {
        oob_code: text(&answer["oob_code"]),
        number,
        authenticator: text(&answer["authenticator_id"]),
        interval,
    })
}

pub(super) async fn enroll_device(http: &Http, ticket: &str, device: &Device) -> Result<Registration, Refusal> {
    let request = http.request(Method::POST, "/appliance-mfa/api/enroll");
    let request = request.header("authorization", format!("Ticket id=\"{ticket}\"")).json(&device.json());
    let body = accepted(http.send(request).await, 200)?;
    Ok(Registration {
        id: text(&body["id"]),
        url: text(&body["url"]),
        issuer: text(&body["issuer"]),
        user: text(&body["user_id"]),
        token: text(&body["token"]),
        totp_secret: some(&body["totp"]["secret"]),
    })
}

pub(super) async fn resolve(http: &Http, transaction_token: &str, response: &str) -> Result<(), Refusal> {
    let body = json!({"challenge_response": response});
    let answer = http.post_as(transaction_token, "/appliance-mfa/api/resolve-transaction", &body).await;
    accepted(answer, 204).map(drop)
}

pub(super) async fn update_device(http: &Http, id: &str, bearer: &str, name: &str, token: &str) -> Result<(), Refusal> {
    let change = json!({"name": name, "push_credentials": {"service": "APNS", "token": token}});
    let request = http.request(Method::PATCH, &device_path(id)).bearer_auth(bearer).json(&change);
    let kept = accepted(http.send(request).await, 200)?;
    assert_eq!((&kept["id"], &kept["name"]), (&json!(id), &json!(name)));
    assert_eq!(kept["push_credentials"], change["push_credentials"]);
    assert!(!text(&kept["identifier"]).is_empty());
    Ok(())
}

pub(super) async fn delete_device(http: &Http, id: &str, bearer: &str) -> Result<(), Refusal> {
    accepted(http.call_as(bearer, Method::DELETE, &device_path(id)).await, 204).map(drop)
}

fn device_path(id: &str) -> String {
    format!("/appliance-mfa/api/device-accounts/{id}")
}

pub(super) async fn recovery(http: &Http, client: Client, token: &str, code: &str) -> Result<Tokens, Refusal> {
    let grant = "http://auth0.com/oauth/grant-type/mfa-recovery-code";
    let fields = [("grant_type", grant), ("mfa_token", token), ("recovery_code", code)];
    accepted(http.post("/oauth/token", &body(client, &fields)).await, 200).map(|body| tokens(&body))
}

pub(super) async fn challenge(
    http: &Http,
    client: Client,
    token: &str,
    types: &str,
    authenticator: Option<&str>,
) -> Result<String, Refusal> {
    let mut fields = vec![("mfa_token", token), ("challenge_type", types)];
    fields.extend(authenticator.map(|id| ("authenticator_id", id)));
    let answer = accepted(http.post("/mfa/challenge", &body(client, &fields)).await, 200)?;
    assert_eq!(answer["challenge_type"], "otp");
    Ok(text(&answer["authenticator_id"]))
}

pub(super) async fn narrowed(
    http: &Http,
    client: Client,
    token: &str,
    types: &str,
    authenticator: Option<&str>,
    channel: &str,
) -> Result<String, Refusal> {
    let mut fields = vec![("mfa_token", token), ("challenge_type", types), ("oob_channel", channel)];
    fields.extend(authenticator.map(|id| ("authenticator_id", id)));
    let answer = accepted(http.post("/mfa/challenge", &body(client, &fields)).await, 200)?;
    Ok(text(&answer["authenticator_id"]))
}

pub(super) async fn associate(http: &Http, bearer: &str, app: Option<(&str, u8)>) -> Result<Association, Refusal> {
    let mut wish = json!({"authenticator_types": ["otp"]});
    if let Some((algorithm, digits)) = app {
        (wish["algorithm"], wish["digits"]) = (json!(algorithm), json!(digits));
    }
    let body = accepted(http.post_as(bearer, "/mfa/associate", &wish).await, 200)?;
    assert_eq!(body["authenticator_type"], "otp");
    assert!(body.get("recovery_code").is_none(), "the singular member is never sent here");
    let codes = body.get("recovery_codes").and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(Association {
        secret: text(&body["secret"]),
        barcode_uri: text(&body["barcode_uri"]),
        recovery_codes: codes.iter().map(text).collect(),
    })
}

pub(super) async fn list(http: &Http, bearer: &str) -> Result<Vec<Entry>, Refusal> {
    let body = accepted(http.call_as(bearer, Method::GET, "/mfa/authenticators").await, 200)?;
    Ok(body.as_array().expect("the list is an array").iter().map(entry).collect())
}

fn path(id: &str) -> String {
    format!("/mfa/authenticators/{}", utf8_percent_encode(id, NON_ALPHANUMERIC))
}

pub(super) async fn find(http: &Http, bearer: &str, id: &str) -> Result<Entry, Refusal> {
    accepted(http.call_as(bearer, Method::GET, &path(id)).await, 200).map(|body| entry(&body))
}

pub(super) async fn update(
    http: &Http,
    bearer: &str,
    id: &str,
    name: Option<&str>,
    preferred: Option<bool>,
) -> Result<Entry, Refusal> {
    let mut change = json!({});
    if let Some(name) = name {
        change["name"] = json!(name);
    }
    if let Some(preferred) = preferred {
        change["preferred"] = json!(preferred);
    }
    let request = http.request(Method::PATCH, &path(id)).bearer_auth(bearer).json(&change);
    accepted(http.send(request).await, 200).map(|body| entry(&body))
}

pub(super) async fn delete(http: &Http, bearer: &str, id: &str) -> Result<(), Refusal> {
    let gone = accepted(http.call_as(bearer, Method::DELETE, &path(id)).await, 204)?;
    assert_eq!(gone, Value::Null, "204 has no body");
    Ok(())
}

pub(super) async fn subject(http: &Http, access_token: &str) -> Result<String, Refusal> {
    accepted(http.call_as(access_token, Method::GET, "/userinfo").await, 200).map(|body| text(&body["sub"]))
}

pub(super) async fn remembered(http: &Http, bearer: &str) -> Result<Vec<String>, Refusal> {
    let body = accepted(http.call_as(bearer, Method::GET, "/mfa/remembered-devices").await, 200)?;
    Ok(body.as_array().expect("the list is an array").iter().map(|device| text(&device["id"])).collect())
}

pub(super) async fn forget(http: &Http, bearer: &str, id: &str) -> Result<(), Refusal> {
    let path = format!("/mfa/remembered-devices/{id}");
    accepted(http.call_as(bearer, Method::DELETE, &path).await, 204).map(drop)
}
