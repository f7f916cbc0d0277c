//! A client's word in the place of a password.

use countersign_proto::v1::{
    AssertedLoginGrant, ClientAuthentication, IssueTokenRequest, client_authentication::Credential,
    issue_token_request::Grant, issue_token_response::Outcome,
};
use countersign_tests::{
    api::Transport,
    dump,
    grpc::Grpc,
    jwt,
    person::Phone,
    signer::{ASSERTION_TYPE, assertion, login, login_claims, signed},
    tenant::{API, OTHER_REALM, SIGNER, Tenant},
    world::{Store, World},
};
use serde_json::{Value, json};

async fn world() -> World {
    World::start(Store::Sqlite, Tenant::default()).await
}

async fn assert_login(world: &World, jti: &str, jwt: &str) -> (u16, Value) {
    let body = json!({
        "grant_type": "urn:countersign:grant-type:asserted-login", "assertion": jwt,
        "audience": API, "scope": "openid read:things offline_access",
        "client_assertion": assertion(world, &format!("auth-{jti}")), "client_assertion_type": ASSERTION_TYPE,
    });
    let answer = world.http().post("/oauth/token", &body).await;
    (answer.status, answer.json())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_login_makes_an_account_and_says_how_and_when_the_person_logged_in() {
    let world = world().await;
    let mut claims = login_claims(&world, "ext-1", "a");
    claims["amr"] = json!(["pwd", "user"]);
    claims["email"] = json!("one@people.test");
    let (status, tokens) = assert_login(&world, "a", &login(&claims)).await;
    assert_eq!(status, 200, "{tokens}");
    let access = jwt::claims(tokens["access_token"].as_str().unwrap());
    assert_eq!((&access["amr"], &access["gty"]), (&json!(["pwd", "user"]), &json!("asserted-login")));
    assert_eq!(access["auth_time"], json!(world.now().as_secs() - 5));
    let (_, again) = assert_login(&world, "b", &login(&login_claims(&world, "ext-1", "b"))).await;
    assert_eq!(jwt::claims(again["access_token"].as_str().unwrap())["sub"], access["sub"]);
    assert_eq!(dump::audited(&world.database(), "user.asserted", access["sub"].as_str().unwrap()), 1);
    let password = json!({
        "grant_type": "http://auth0.com/oauth/grant-type/password-realm", "realm": OTHER_REALM,
        "username": "ext-1", "password": "!", "client_id": "native",
    });
    let refused = world.http().post("/oauth/token", &password).await;
    assert_eq!((refused.status, &refused.json()["error"]), (403, &json!("invalid_grant")), "there is no password");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_second_factor_is_asked_for_it() {
    let world = world().await;
    let api = world.api(Transport::Http);
    let mfa = |jti: &str| {
        let mut claims = login_claims(&world, "ext-1", jti);
        claims["auth_time"] = json!(world.now().as_secs() - 7);
        login(&claims)
    };
    let wish = json!({
        "grant_type": "urn:countersign:grant-type:asserted-login", "assertion": mfa("a"),
        "audience": "https://id.test/mfa/", "scope": "enroll",
        "client_assertion": assertion(&world, "x"), "client_assertion_type": ASSERTION_TYPE,
    });
    let bearer = world.http().post("/oauth/token", &wish).await.json()["access_token"].as_str().unwrap().to_owned();
    let association = api.associate(&bearer).await.unwrap();
    let phone = Phone::new(association.secret, association.recovery_codes.into_iter().next());
    let otp = |token: String, jti: &str, code: String| {
        json!({
            "grant_type": "http://auth0.com/oauth/grant-type/mfa-otp", "mfa_token": token, "otp": code,
            "client_assertion": assertion(&world, jti), "client_assertion_type": ASSERTION_TYPE,
        })
    };
    let confirmed = world.http().post("/oauth/token", &otp(bearer, "y", phone.code(&world))).await;
    assert_eq!(confirmed.status, 200, "{:?}", confirmed.json());
    let at = world.now().as_secs() - 7;
    let (status, required) = assert_login(&world, "b", &mfa("b")).await;
    assert_eq!((status, &required["error"]), (403, &json!("mfa_required")));
    let token = required["mfa_token"].as_str().unwrap().to_owned();
    let challenge = json!({"mfa_token": token, "client_id": SIGNER.id, "challenge_type": "otp"});
    assert_eq!(world.http().post("/mfa/challenge", &challenge).await.status, 200, "no assertion is needed here");
    let tokens = world.http().post("/oauth/token", &otp(token, "z", phone.code(&world))).await;
    assert_eq!(tokens.status, 200, "{:?}", tokens.json());
    let claims = jwt::claims(tokens.json()["access_token"].as_str().unwrap());
    assert_eq!((&claims["amr"], &claims["gty"]), (&json!(["pwd", "otp", "mfa"]), &json!("asserted-login")));
    assert_eq!(claims["auth_time"], json!(at));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_to_be_believed_is_refused() {
    let world = world().await;
    let now = world.now().as_secs();
    for (number, (name, value)) in [
        ("auth_time", json!(now + 11)),
        ("auth_time", json!(now - 300)),
        ("auth_time", Value::Null),
        ("amr", json!([])),
        ("amr", json!(["mfa"])),
        ("amr", json!(["pwd", "otp"])),
        ("amr", json!("pwd")),
        ("aud", json!("https://other.test/")),
        ("iss", json!("backend")),
        ("exp", json!(now - 20)),
    ]
    .into_iter()
    .enumerate()
    {
        let jti = format!("n{number}");
        let mut claims = login_claims(&world, "ext-1", &jti);
        claims[name] = value.clone();
        let (status, body) = assert_login(&world, &jti, &login(&claims)).await;
        assert_eq!((status, &body["error"]), (403, &json!("invalid_grant")), "{name}: {value}");
    }
    let plain = signed(&json!({"alg": "EdDSA", "typ": "JWT"}), &login_claims(&world, "ext-1", "t"));
    assert_eq!(assert_login(&world, "t", &plain).await.0, 403, "it must say what it is");
    let good = login(&login_claims(&world, "ext-1", "once"));
    assert_eq!(assert_login(&world, "o1", &good).await.0, 200);
    assert_eq!(assert_login(&world, "o2", &good).await.0, 403, "it was used");
    assert_eq!(dump::rows(&world.database(), "user"), 1, "nothing that was refused made an account");
}

fn plain(world: &World, jti: &str, grant: AssertedLoginGrant) -> IssueTokenRequest {
    let credential = Some(Credential::ClientAssertion(assertion(world, jti)));
    IssueTokenRequest {
        client: Some(ClientAuthentication { client_id: String::new(), credential }),
        grant: Some(Grant::AssertedLogin(grant)),
        audience: API.into(),
        scopes: vec!["openid".into()],
        ..IssueTokenRequest::default()
    }
}

fn word(world: &World, subject: &str) -> AssertedLoginGrant {
    AssertedLoginGrant {
        subject: subject.into(),
        auth_time: Some(prost_types::Timestamp { seconds: world.now().as_secs(), nanos: 0 }),
        methods: vec!["pwd".into()],
        ..AssertedLoginGrant::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_first_logins_at_once_one_makes_the_account() {
    let world = world().await;
    let grpc = Grpc::new(world.server().grpc());
    let calls: Vec<_> = (0..64)
        .map(|number| {
            let (mut token, request) =
                (grpc.token.clone(), plain(&world, &format!("r{number}"), word(&world, "ext-1")));
            tokio::spawn(async move { token.issue_token(request).await })
        })
        .collect();
    let mut subjects = std::collections::BTreeSet::new();
    for call in calls {
        let outcome = call.await.unwrap().expect("each is answered").into_inner().outcome;
        let Some(Outcome::Tokens(tokens)) = outcome else { panic!("no factor is asked for") };
        subjects.insert(jwt::claims(&tokens.access_token)["sub"].as_str().unwrap().to_owned());
    }
    assert_eq!((subjects.len(), dump::rows(&world.database(), "user")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_person_gets_in_on_nobodys_word() {
    let world = world().await;
    let grpc = Grpc::new(world.server().grpc());
    let outcome = grpc.token.clone().issue_token(plain(&world, "1", word(&world, "ext-1"))).await.unwrap();
    let Some(Outcome::Tokens(tokens)) = outcome.into_inner().outcome else { panic!("no factor is asked for") };
    let user = countersign_domain::id::UserId::new(jwt::claims(&tokens.access_token)["sub"].as_str().unwrap());
    world.app().set_blocked(&user, true).await.unwrap();
    let refused =
        grpc.token.clone().issue_token(plain(&world, "2", word(&world, "ext-1"))).await.map(drop).unwrap_err();
    assert_eq!(refused.message(), "the account is blocked", "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_came_of_an_asserted_login_ends_when_the_account_changes() {
    let world = world().await;
    let (_, tokens) = assert_login(&world, "a", &login(&login_claims(&world, "ext-1", "a"))).await;
    let refresh = |jti: &str| {
        json!({
            "grant_type": "refresh_token", "refresh_token": tokens["refresh_token"],
            "client_assertion": assertion(&world, jti), "client_assertion_type": ASSERTION_TYPE,
        })
    };
    let good = world.http().post("/oauth/token", &refresh("one")).await;
    assert_eq!(good.status, 200, "{:?}", good.json());
    let subject = jwt::claims(tokens["access_token"].as_str().unwrap())["sub"].as_str().unwrap().to_owned();
    let user = countersign_domain::id::UserId::new(subject);
    world.app().set_blocked(&user, true).await.unwrap();
    world.app().set_blocked(&user, false).await.unwrap();
    let refused = world.http().post("/oauth/token", &refresh("two")).await;
    assert_eq!((refused.status, &refused.json()["error"]), (403, &json!("invalid_grant")));
}
