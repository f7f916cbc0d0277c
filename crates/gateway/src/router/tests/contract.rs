//! The HTTP contract, over scripted services.

use countersign_proto::v1::{
    ActiveToken, ErrorReason, FactorType, IssueTokenRequest, MfaRequired, client_authentication::Credential,
    issue_token_request::Grant, issue_token_response::Outcome,
};
use countersign_telemetry::{RequestFacts, RouteName};
use http::{Method, Request};
use serde_json::json;

use super::script::{Rig, active_token, recovery_code, tokens, totp};

const OTP: &str = "grant_type=http://auth0.com/oauth/grant-type/mfa-otp&mfa_token=m&otp=123456";
const PASSWORD: &str = "grant_type=password&username=jo&password=pw";

fn issue(rig: &Rig) -> IssueTokenRequest {
    rig.asked().issue.unwrap()
}

#[tokio::test]
async fn a_login_answers_exactly_the_documented_members() {
    let reply = Rig::issuing(tokens()).token(PASSWORD).await;
    assert_eq!(reply.status, 200);
    let body = json!({"access_token": "at", "id_token": "it", "scope": "openid email", "expires_in": 86400, "token_type": "Bearer"});
    assert_eq!(reply.json(), body);
    for (name, value) in [
        ("content-type", "application/json"),
        ("cache-control", "no-store"),
        ("pragma", "no-cache"),
        ("x-content-type-options", "nosniff"),
        ("x-request-id", "made"),
        ("www-authenticate", ""),
    ] {
        assert_eq!(reply.header(name), value, "{name}");
    }
}

#[tokio::test]
async fn the_scope_is_left_out_when_it_is_what_was_asked_for() {
    let Outcome::Tokens(mut set) = tokens() else { unreachable!() };
    set.scopes_changed = false;
    set.id_token.clear();
    set.recovery_code = "NEW".into();
    let reply = Rig::issuing(Outcome::Tokens(set)).token(OTP).await;
    let body = json!({"access_token": "at", "expires_in": 86400, "token_type": "Bearer", "recovery_code": "NEW"});
    assert_eq!(reply.json(), body);
}

#[tokio::test]
async fn the_demand_for_a_second_factor_is_a_403() {
    let mut required = MfaRequired { mfa_token: "m".into(), ..MfaRequired::default() };
    required.set_challenge_list();
    let reply = Rig::issuing(Outcome::MfaRequired(required.clone())).token(PASSWORD).await;
    assert_eq!(reply.status, 403);
    let body =
        json!({"error": "mfa_required", "error_description": "Multifactor authentication required", "mfa_token": "m"});
    assert_eq!(reply.json(), body);
    assert_eq!(reply.header("www-authenticate"), "");
    assert_eq!(reply.extensions.get::<RequestFacts>().unwrap().outcome, Some("mfa_required"));

    required.requirements_published = true;
    let reply = Rig::issuing(Outcome::MfaRequired(required)).token(PASSWORD).await;
    assert_eq!(reply.json()["mfa_requirements"], json!({"challenge": [{"type": "otp"}, {"type": "recovery-code"}]}));
}

trait Lists {
    fn set_challenge_list(&mut self);
}

impl Lists for MfaRequired {
    fn set_challenge_list(&mut self) {
        self.challenge = vec![FactorType::Otp.into(), FactorType::RecoveryCode.into()];
    }
}

#[tokio::test]
async fn json_and_form_become_the_same_request() {
    let rig = Rig::issuing(tokens());
    rig.token("grant_type=http://auth0.com/oauth/grant-type/password-realm&username=jo&password=p+w&realm=db&audience=https%3A%2F%2Fa%2F&scope=openid++email&extra=1").await;
    let form = issue(&rig);
    let body = json!({"client_id": "web", "client_secret": "s", "grant_type": "http://auth0.com/oauth/grant-type/password-realm",
        "username": "jo", "password": "p w", "realm": "db", "resource": "https://a/", "audience": null, "scope": "openid email"});
    let request = Request::post("/oauth/token").header("content-type", "application/json; charset=utf-8");
    rig.send(request, body.to_string()).await;
    assert!(form == issue(&rig));
    let Some(Grant::Password(grant)) = form.grant else { panic!("a password") };
    assert!(grant.realm_required);
    assert_eq!((grant.password.as_str(), grant.realm.as_str()), ("p w", "db"));
    assert_eq!((form.audience.as_str(), form.scopes), ("https://a/", vec!["openid".to_owned(), "email".to_owned()]));
}

#[tokio::test]
async fn missing_and_unknown_parameters_are_told_by_name() {
    let rig = Rig::issuing(tokens());
    let mfa = "grant_type=http://auth0.com/oauth/grant-type/mfa-";
    for (form, error) in [
        (String::new(), "400 invalid_request: Missing required parameter: grant_type"),
        ("grant_type=".into(), "400 invalid_request: Missing required parameter: grant_type"),
        ("grant_type=password".into(), "400 invalid_request: Missing required parameter: username"),
        ("grant_type=password&username=a".into(), "400 invalid_request: Missing required parameter: password"),
        (format!("{mfa}otp"), "400 invalid_request: Missing required parameter: mfa_token"),
        (format!("{mfa}otp&mfa_token=m"), "400 invalid_request: Missing required parameter: otp"),
        (format!("{mfa}recovery-code&mfa_token=m"), "400 invalid_request: Missing required parameter: recovery_code"),
        (
            format!("{mfa}recover-code"),
            "400 unsupported_grant_type: Unsupported grant type: http://auth0.com/oauth/grant-type/mfa-recover-code",
        ),
        (format!("{mfa}oob"), "400 invalid_request: Missing required parameter: mfa_token"),
        (format!("{mfa}oob&mfa_token=m"), "400 invalid_request: Missing required parameter: oob_code"),
        ("grant_type=a%22%0A&grant_type=b".into(), "400 invalid_request: Repeated parameter: grant_type"),
        ("grant_type=a%22%0Ab".into(), "400 unsupported_grant_type: Unsupported grant type: ab"),
        ("client_id=x&grant_type=password".into(), "400 invalid_request: Repeated parameter: client_id"),
    ] {
        assert_eq!(rig.token(&form).await.error(), error, "{form}");
    }
    assert_eq!(rig.asked().calls, 0);
    let none = rig.send(Request::post("/oauth/token"), PASSWORD).await;
    assert_eq!(none.error(), "400 invalid_request: Missing required parameter: client_id");
    let query = rig.send(Request::post("/oauth/token?grant_type=password"), "client_id=a").await;
    assert_eq!(query.error(), "400 invalid_request: Missing required parameter: grant_type");
}

#[tokio::test]
async fn credentials_come_in_the_header_or_the_body_but_not_in_both() {
    let rig = Rig::issuing(tokens());
    let basic = Request::post("/oauth/token").header("authorization", "Basic d2ViOmElMkZi");
    rig.send(basic, PASSWORD).await;
    let client = issue(&rig).client.unwrap();
    assert!(client.client_id == "web" && client.credential == Some(Credential::ClientSecret("a/b".into())));
    let both = Request::post("/oauth/token").header("authorization", "Basic d2ViOnM=");
    let reply = rig.send(both, format!("client_secret=s&{PASSWORD}")).await;
    assert_eq!(reply.status, 400);
    let bearer = Request::post("/oauth/token").header("authorization", "Bearer stray");
    assert_eq!(rig.send(bearer, format!("client_id=spa&{PASSWORD}")).await.status, 200);
    let broken = Request::post("/oauth/token").header("authorization", "Basic ?");
    let reply = rig.send(broken, PASSWORD).await;
    assert_eq!((reply.error().as_str(), reply.header("www-authenticate")), ("401 access_denied: Unauthorized", ""));
}

#[tokio::test]
async fn where_the_person_is_goes_along() {
    let rig = Rig::issuing(tokens());
    let request = Request::post("/oauth/token")
        .header("x-forwarded-for", "6.6.6.6, 1.2.3.4, 10.0.0.9")
        .header("user-agent", "Phone/1")
        .header("accept-language", "de-CH,de;q=0.9")
        .header("auth0-forwarded-for", "5.5.5.5")
        .header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header("x-request-id", "id-1");
    let reply = rig.send(request, format!("client_id=web&{PASSWORD}")).await;
    assert_eq!(reply.header("x-request-id"), "id-1");
    let asked = rig.asked();
    let person = asked.issue.unwrap().end_user.unwrap();
    assert_eq!((&*person.address, &*person.user_agent, &*person.locale), ("1.2.3.4", "Phone/1", "de-CH,de;q=0.9"));
    for (name, value) in [
        ("x-auth0-forwarded-for", "5.5.5.5"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("x-request-id", "id-1"),
    ] {
        assert_eq!(asked.metadata.get(name).unwrap(), value, "{name}");
    }
    assert!(asked.metadata.contains_key("grpc-timeout"));
}

#[tokio::test]
async fn a_request_id_that_is_none_is_replaced() {
    let rig = Rig::issuing(tokens());
    for id in ["", "a b", "a\"b", &"x".repeat(129)] {
        let reply = rig.send(Request::post("/oauth/token").header("x-request-id", id), PASSWORD).await;
        assert_eq!(reply.header("x-request-id"), "made", "{id}");
    }
}

#[tokio::test]
async fn texts_that_sdks_compare_stay_as_they_are() {
    for (reason, form, error) in [
        (ErrorReason::CredentialsRejected, PASSWORD, "403 invalid_grant: Wrong email or password."),
        (ErrorReason::ProofRejected, OTP, "403 invalid_grant: Invalid otp_code."),
        (ErrorReason::MfaTokenInvalid, OTP, "403 invalid_grant: Malformed mfa_token"),
        (ErrorReason::MfaTokenExpired, OTP, "403 expired_token: mfa_token is expired"),
        (ErrorReason::UserBlocked, PASSWORD, "403 unauthorized: user is blocked"),
        (ErrorReason::AudienceUnknown, PASSWORD, "403 access_denied: Service not found: https://a/"),
        (ErrorReason::Internal, PASSWORD, "500 server_error: Internal server error"),
    ] {
        let reply = Rig::refusing(reason).token(form).await;
        assert_eq!(reply.error(), error);
        assert_eq!(reply.header("content-type"), "application/json");
        assert_eq!(reply.extensions.get::<RequestFacts>().unwrap().reason, Some(reason.as_str_name()));
        assert!(!reply.body.contains("secret cause"));
    }
    let reply = Rig::refusing(ErrorReason::GrantNotAllowed).token(PASSWORD).await;
    let body = json!({"error": "unauthorized_client", "error_description": "Grant type 'password' not allowed for the client.",
        "error_uri": "https://auth0.com/docs/clients/client-grant-types"});
    assert_eq!((reply.status.as_u16(), reply.json()), (403, body));
}

#[tokio::test]
async fn limits_say_when_to_come_back() {
    let reply = Rig::refusing(ErrorReason::TooManyAttempts).token(OTP).await;
    assert_eq!(reply.error(), "429 too_many_attempts: Too many failed codes. Wait for some minutes before retrying.");
    for (name, value) in [
        ("retry-after", "7"),
        ("x-ratelimit-limit", "10"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1007"),
    ] {
        assert_eq!(reply.header(name), value, "{name}");
    }
    let reply = Rig::refusing(ErrorReason::StoreUnavailable).token(OTP).await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (503, "7"));
}

#[tokio::test]
async fn a_challenge_comes_as_net_sends_it() {
    let rig = Rig::default();
    let request = Request::post("/mfa/challenge").header("content-type", "application/x-www-form-urlencoded");
    let body = "mfa_token=m&client_id=web&client_secret=s&challenge_type=otp+OOB&authenticator_id=";
    let reply = rig.send(request, body).await;
    assert_eq!(reply.json(), json!({"challenge_type": "otp", "authenticator_id": "totp|dev_1"}));
    assert_eq!(reply.header("content-type"), "application/json; charset=utf-8");
    let asked = rig.asked().challenge.unwrap();
    assert!(asked.authenticator_id.is_empty());
    assert_eq!(asked.challenge_types, ["otp", "OOB"]);
    let none = rig.send(Request::post("/mfa/challenge"), "{\"client_id\":\"web\"}").await;
    assert_eq!(none.error(), "400 invalid_request: Missing required parameter: mfa_token");
}

#[tokio::test]
async fn an_association_hands_out_secret_and_recovery_code() {
    let rig = Rig::default();
    let request =
        Request::post("/mfa/associate").header("authorization", "bearer m").header("content-type", "application/json");
    let body = r#"{"authenticator_types":["otp"],"oob_channels":null,"client_id":"web","name":"Mine"}"#;
    let reply = rig.send(request, body).await;
    let expected = json!({"authenticator_type": "otp", "secret": "HJ6XM2DNERXDAVCUONGWKRTCMNTU6VDF",
        "barcode_uri": "otpauth://totp/A:b?secret=HJ6X", "recovery_codes": ["MZCRK3YX5V3AKNNYY6JEBQCL"]});
    assert_eq!((reply.status.as_u16(), reply.json()), (200, expected));
    let asked = rig.asked();
    assert_eq!(asked.metadata.get("authorization").unwrap(), "Bearer m");
    assert_eq!(asked.associate.unwrap().name, "Mine");
}

#[tokio::test]
async fn the_list_is_put_together_of_all_pages() {
    let rig = Rig::default();
    rig.services.0.lock().unwrap().pages = vec![vec![totp("totp|dev_1")], vec![recovery_code("recovery-code|dev_2")]];
    let list = Request::get("/mfa/authenticators")
        .header("authorization", "Bearer m")
        .header("content-type", "application/json");
    let expected = json!([
        {"id": "totp|dev_1", "authenticator_type": "otp", "active": true, "name": "Phone", "type": "otp",
         "created_at": "2023-06-14T21:36:26.399Z", "last_auth": "2023-06-14T21:36:40.000Z"},
        {"id": "recovery-code|dev_2", "authenticator_type": "recovery-code", "active": false, "type": "recovery-code",
         "created_at": "2023-06-14T21:36:26.399Z"},
    ]);
    assert_eq!(rig.send(list, "").await.json(), expected);
    let empty = Request::get("/mfa/authenticators").header("authorization", "Bearer m");
    assert_eq!(Rig::default().send(empty, "").await.body, "[]");
}

#[tokio::test]
async fn one_authenticator_is_shown_changed_and_removed() {
    let rig = Rig::default();
    for path in ["/mfa/authenticators/totp%7Cdev_1", "/mfa/authenticators/totp|dev_1"] {
        let to = |method| Request::builder().method(method).uri(path).header("authorization", "Bearer a");
        assert_eq!(rig.send(to(Method::GET), "").await.json()["id"], "totp|dev_1");
        assert_eq!(rig.asked().id, "totp|dev_1");
        let reply = rig.send(to(Method::PATCH), r#"{"name":"Mine","preferred":true}"#).await;
        assert_eq!(reply.status, 200);
        let update = rig.asked().update.unwrap();
        assert_eq!((update.name.as_deref(), update.preferred), (Some("Mine"), Some(true)));
        rig.send(to(Method::PATCH), "preferred=false").await;
        assert_eq!(rig.asked().update.unwrap().preferred, Some(false));
        for absent in [r#"{"name":null}"#, r#"{"name":""}"#, "name="] {
            let nothing = rig.send(to(Method::PATCH), absent).await;
            assert_eq!(nothing.error(), "400 invalid_request: Missing required parameter: name or preferred");
        }
        let reply = rig.send(to(Method::DELETE).header("content-type", "application/json"), "").await;
        assert_eq!((reply.status.as_u16(), reply.body.as_str()), (204, ""));
        assert_eq!(rig.asked().id, "totp|dev_1");
    }
    let gone = Request::delete("/mfa/authenticators/x").header("authorization", "Bearer a");
    let reply = Rig::refusing(ErrorReason::AuthenticatorNotFound).send(gone, "").await;
    assert_eq!(reply.error(), "404 invalid_authenticator: Authenticator not found");
}

#[tokio::test]
async fn bearers_that_are_no_good_are_told_by_place() {
    let rig = Rig::default();
    let refused = "401 invalid_grant: The mfa_token provided is invalid. Try getting a new token.";
    for request in
        [Request::post("/mfa/associate"), Request::get("/mfa/authenticators"), Request::delete("/mfa/authenticators/a")]
    {
        let reply = rig.send(request, "").await;
        assert_eq!((reply.error().as_str(), reply.header("www-authenticate")), (refused, ""));
    }
    let reply = rig.send(Request::get("/userinfo"), "").await;
    assert_eq!(reply.error(), "401 invalid_token: The access token is invalid or has expired");
    assert_eq!(reply.header("www-authenticate"), "Bearer", "no token was tried");
    let tried = Request::get("/userinfo").header("authorization", "Bearer a");
    let reply = Rig::refusing(ErrorReason::AccessTokenInvalid).send(tried, "").await;
    assert_eq!(reply.header("www-authenticate"), "Bearer error=\"invalid_token\"");
    let step_up = Request::delete("/mfa/authenticators/a").header("authorization", "Bearer a");
    let reply = Rig::refusing(ErrorReason::StepUpRequired).send(step_up, "").await;
    assert_eq!(reply.header("www-authenticate"), "Bearer error=\"insufficient_user_authentication\"");
    assert_eq!(rig.asked().calls, 0);
}

#[tokio::test]
async fn other_paths_and_methods_are_json_errors() {
    let rig = Rig::default();
    assert_eq!(rig.send(Request::get("/nowhere"), "").await.error(), "404 not_found: There is nothing at this path.");
    let reply = rig.send(Request::get("/oauth/token"), "").await;
    assert_eq!((reply.status.as_u16(), reply.header("allow")), (405, "POST"));
    assert_eq!(reply.json()["error"], "method_not_allowed");
    assert_eq!(reply.header("content-type"), "application/json");
    assert_eq!(reply.extensions.get::<RouteName>(), Some(&RouteName("/oauth/token")));
}

#[tokio::test]
async fn bodies_out_of_bounds_are_refused() {
    let rig = Rig::default();
    let reply = rig.send(Request::post("/oauth/token"), "x".repeat(16 * 1024 + 1)).await;
    assert_eq!(reply.status, 413);
    let reply = rig.send(Request::post("/oauth/token").header("content-type", "text/plain"), "x").await;
    assert_eq!(reply.status, 415);
    assert_eq!(rig.send(Request::post("/oauth/token"), "otp=%ff").await.status, 400);
}

#[tokio::test]
async fn pages_read_answers_of_their_own_client_errors_included() {
    let rig = Rig::issuing(tokens());
    let post = |origin: &str| Request::post("/oauth/token").header("origin", origin);
    let allowed = "access-control-allow-origin";
    let own = rig.send(post("https://app.example"), format!("client_id=spa&{PASSWORD}")).await;
    assert_eq!((own.header(allowed), own.header("vary")), ("https://app.example", "Origin"));
    assert!(own.header("access-control-expose-headers").contains("Retry-After"));
    let other = rig.send(post("https://app.example"), format!("client_id=web&{PASSWORD}")).await;
    assert_eq!((other.status.as_u16(), other.header(allowed)), (200, ""));
    let error = rig.send(post("https://app.example"), "client_id=spa&grant_type=x").await;
    assert_eq!((error.status.as_u16(), error.header(allowed)), (400, "https://app.example"));
    let preflight = Request::options("/mfa/challenge")
        .header("origin", "https://web.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "auth0-client,content-type");
    let preflight = rig.send(preflight, "").await;
    assert_eq!((preflight.status.as_u16(), preflight.header(allowed)), (204, "https://web.example"));
    assert!(preflight.header("access-control-allow-headers").contains("Auth0-Client"));
    assert_eq!(preflight.header("access-control-allow-methods"), "GET, POST, PATCH, DELETE");
}

#[tokio::test]
async fn the_link_of_a_notice_shows_a_page_with_one_button() {
    let rig = Rig::default();
    let request =
        Request::get("/notices/csnot_abc").header("accept-language", "de-CH, en;q=0.5").header("host", "evil.example");
    let reply = rig.send(request, "").await;
    assert_eq!((reply.status.as_u16(), rig.asked().id.as_str()), (200, "csnot_abc"));
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("content-language", "de"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-robots-tag", "noindex"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(reply.header(name), value, "{name}");
    }
    let policy = reply.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    for part in ["My &lt;App&gt;", "<bdi>XXXXXXXX9167</bdi>", "2023-06-14 21:36 UTC", "<form method=\"post\"><button"] {
        assert!(reply.body.contains(part), "{part} is missing: {}", reply.body);
    }
    for absent in ["csnot_", "evil", "<script", "http", "src=", "href="] {
        assert!(!reply.body.contains(absent), "{absent}: {}", reply.body);
    }
    assert_eq!(reply.extensions.get::<RouteName>(), Some(&RouteName("/notices/{token}")));
}

#[tokio::test]
async fn the_button_removes_and_dead_links_have_one_page() {
    let rig = Rig::default();
    let press =
        || Request::post("/notices/csnot_abc").header("x-forwarded-for", "1.2.3.4").header("accept-language", "fr");
    let reply = rig.send(press(), "anything").await;
    assert_eq!(reply.status, 200);
    assert!(reply.body.contains("supprimée"), "{}", reply.body);
    let asked = rig.asked();
    assert_eq!((asked.id.as_str(), asked.repudiation.unwrap().address.as_str()), ("csnot_abc", "1.2.3.4"));

    let dead = Rig::refusing(ErrorReason::AuthenticatorNotFound);
    let shown = dead.send(Request::get("/notices/csnot_abc"), "").await;
    let pressed = dead.send(Request::post("/notices/x%20y"), "").await;
    assert_eq!((shown.status.as_u16(), pressed.status.as_u16()), (404, 404));
    assert_eq!(shown.body, pressed.body);
    assert!(!shown.body.contains("<form"));
    assert_eq!(shown.extensions.get::<RequestFacts>().unwrap().reason, Some("AUTHENTICATOR_NOT_FOUND"));
    let later = Rig::refusing(ErrorReason::StoreUnavailable).send(press(), "").await;
    assert_eq!((later.status.as_u16(), later.header("retry-after")), (503, "6"));
}

#[tokio::test]
async fn a_refresh_token_becomes_a_grant_and_comes_back() {
    let Outcome::Tokens(mut set) = tokens() else { unreachable!() };
    set.refresh_token = "next".into();
    let rig = Rig::issuing(Outcome::Tokens(set));
    let reply = rig.token("grant_type=refresh_token&refresh_token=r&scope=openid+email&audience=a").await;
    assert_eq!((reply.status.as_u16(), &reply.json()["refresh_token"]), (200, &json!("next")));
    let asked = issue(&rig);
    assert!(matches!(asked.grant, Some(Grant::RefreshToken(grant)) if grant.refresh_token == "r"));
    assert_eq!(asked.scopes, ["openid", "email"]);
    let missing = rig.token("grant_type=refresh_token").await;
    assert_eq!(missing.error(), "400 invalid_request: Missing required parameter: refresh_token");
}

#[tokio::test]
async fn a_revocation_is_answered_with_nothing() {
    let rig = Rig::default();
    for body in [
        "client_id=web&client_secret=s&token=r&token_type_hint=refresh_token",
        r#"{"client_id":"web","client_secret":"s","token":"r","token_type_hint":7}"#,
    ] {
        let reply = rig.send(Request::post("/oauth/revoke").header("auth0-forwarded-for", "1.2.3.4"), body).await;
        assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, ""));
        assert_eq!((reply.header("cache-control"), reply.header("content-type")), ("no-store", ""));
        let asked = rig.asked().revocation.unwrap();
        assert_eq!((asked.token.as_str(), asked.client.unwrap().client_id.as_str()), ("r", "web"));
        assert_eq!(asked.end_user.unwrap().address, "10.0.0.1");
    }
    let missing = rig.send(Request::post("/oauth/revoke"), "client_id=web").await;
    assert_eq!(missing.error(), "400 invalid_request: Missing required parameter: token");
    let nobody = rig.send(Request::post("/oauth/revoke"), "token=r").await;
    assert_eq!(nobody.error(), "400 invalid_request: Missing required parameter: client_id");
    let away = Rig::refusing(ErrorReason::StoreUnavailable);
    let away = away.send(Request::post("/oauth/revoke"), "client_id=web&token=r").await;
    assert_eq!((away.status.as_u16(), away.header("retry-after")), (503, "7"));
}

#[tokio::test]
async fn an_introspection_tells_all_or_nothing() {
    let rig = Rig::default();
    let ask = || Request::post("/oauth/introspect").header("authorization", "Basic d2ViOnM=");
    let reply = rig.send(ask(), "token=t").await;
    assert_eq!((reply.status.as_u16(), reply.body.as_str()), (200, r#"{"active":false}"#));
    assert_eq!(rig.asked().introspection.unwrap().token, "t");

    rig.services.0.lock().unwrap().active = Some(active_token());
    let expected = json!({"active": true, "scope": "openid read", "client_id": "web", "token_type": "Bearer", "exp": 20, "iat": 10,
        "sub": "auth0|1", "aud": ["https://a/", "https://id.example/userinfo"], "iss": "https://id.example/", "jti": "j",
        "auth_time": 5, "acr": "high", "amr": ["pwd", "otp", "mfa"]});
    assert_eq!(rig.send(ask(), "token=t").await.json(), expected);

    let endless = ActiveToken { is_refresh_token: true, expire_time: None, token_id: String::new(), ..active_token() };
    rig.services.0.lock().unwrap().active = Some(endless);
    let body = rig.send(ask(), "token=t").await.json();
    for absent in ["token_type", "exp", "jti"] {
        assert!(body.get(absent).is_none(), "{absent}");
    }
    let missing = rig.send(ask(), "").await;
    assert_eq!(missing.error(), "400 invalid_request: Missing required parameter: token");
    let nobody = rig.send(Request::post("/oauth/introspect"), "token=t").await;
    assert_eq!(nobody.status.as_u16(), 401);
    assert_eq!(
        nobody.error(),
        rig.send(Request::post("/oauth/introspect").header("authorization", "Basic x"), "token=t").await.error()
    );
    let forbidden = Rig::refusing(ErrorReason::IntrospectionNotAllowed).send(ask(), "token=t").await;
    assert_eq!(forbidden.error(), "403 access_denied: The client may not ask about tokens.");
}
