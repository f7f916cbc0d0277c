//! A client's word in the place of a password.

use countersign_domain::id::UserId;
use countersign_proto::v1::{
    AssertedLoginGrant, ClientAuthentication, IssueTokenRequest, client_authentication::Credential,
    issue_token_request::Grant, issue_token_response::Outcome as Issued,
};
use countersign_tests::{
    api::{Api, Outcome, Tokens, Wish},
    dump, everywhere,
    grpc::Grpc,
    jwt,
    person::Phone,
    refusal::{
        BAD_ASSERTED_LOGIN, BAD_REFRESH_TOKEN, Refusal, Refused as _, UNKNOWN_SUBJECT, UNMET_FACTORS, UNMET_MAX_AGE,
        WRONG_PASSWORD,
    },
    signer::{self, assertion, login, login_claims, signed},
    tenant::{API, Client, MFA_API, NATIVE, OTHER_REALM, REALM, SIGNER, Tenant},
    trail,
    world::{Store, World},
};
use serde_json::{Value, json};

const TWO_FACTORS: &str = "http://schemas.openid.net/pape/policies/2007/06/multi-factor";

async fn world() -> World {
    World::start(Store::Sqlite, Tenant::default()).await
}

const WISH: Wish<'static> = Wish {
    audience: Some(API),
    scope: Some("openid read:things offline_access"),
    realm: None,
    acr_values: None,
    max_age: None,
    device_token: None,
};

/// Over `api`, a login with these claims; the client proves itself each time anew.
async fn log_in(world: &World, api: &Api, jti: &str, claims: &Value, wish: Wish<'_>) -> Result<Outcome, Refusal> {
    api.signed(&assertion(world, &format!("auth-{jti}"))).signed_login(SIGNER, &login(claims), wish).await
}

async fn otp(world: &World, api: &Api, jti: &str, token: &str, phone: &Phone) -> Tokens {
    api.signed(&assertion(world, jti)).otp(SIGNER, token, &phone.code(world)).await.unwrap()
}

everywhere! {
    async fn a_first_login_makes_an_account_and_says_how_and_when_the_person_logged_in(world: World, api: Api) {
        let mut claims = login_claims(&world, "ext-1", "a");
        claims["amr"] = json!(["pwd", "user"]);
        claims["email"] = json!("one@people.test");
        let tokens = log_in(&world, &api, "a", &claims, WISH).await.unwrap().tokens();
        let access = jwt::claims(&tokens.access_token);
        assert_eq!((&access["amr"], &access["gty"]), (&json!(["pwd", "user"]), &json!("asserted-login")));
        assert_eq!(access["auth_time"], json!(world.now().as_secs() - 5));
        let again = log_in(&world, &api, "b", &login_claims(&world, "ext-1", "b"), WISH).await.unwrap().tokens();
        assert_eq!(jwt::claims(&again.access_token)["sub"], access["sub"]);
        for (event, rows) in [("user.asserted", 1), ("login.asserted", 2)] {
            assert_eq!(dump::audited(&world.database(), event, access["sub"].as_str().unwrap()), rows, "{event}");
        }
        let wish = Wish { realm: Some(OTHER_REALM), ..Wish::default() };
        api.login_for(NATIVE, "ext-1", "!", wish).await.refused(&WRONG_PASSWORD);
    }

    async fn an_address_that_a_client_passes_on_names_nobody(world: World, api: Api) {
        let subject = async |jti: &str, name: &str, email: Option<(&str, bool)>| {
            let mut claims = login_claims(&world, name, jti);
            if let Some((address, verified)) = email {
                (claims["email"], claims["email_verified"]) = (json!(address), json!(verified));
            }
            let tokens = log_in(&world, &api, jti, &claims, WISH).await.unwrap().tokens();
            jwt::claims(&tokens.access_token)["sub"].as_str().unwrap().to_owned()
        };
        let mallory = subject("a", "mallory", Some(("victim@people.test", false))).await;
        let other = subject("b", "other", Some(("victim@people.test", true))).await;
        let victim = subject("c", "victim@people.test", Some(("victim@people.test", true))).await;
        assert!(mallory != victim && other != victim && mallory != other);
        assert_eq!(subject("d", "mallory", None).await, mallory);
        assert_eq!(subject("e", "victim@people.test", None).await, victim);
    }

    async fn what_a_client_says_of_a_new_person_is_an_address_where_it_must_be(world: World, api: Api) {
        for (jti, claim, value) in [
            ("a", "email", "somebody"),
            ("b", "email", "some<body>"),
            ("c", "email", "A <a@people.test>"),
            ("d", "picture", "javascript:alert(1)"),
            ("e", "picture", "https://"),
        ] {
            let mut claims = login_claims(&world, "ext-1", jti);
            claims[claim] = json!(value);
            log_in(&world, &api, jti, &claims, WISH).await.refused(&BAD_ASSERTED_LOGIN);
        }
        let mut claims = login_claims(&world, "ext-1", "f");
        claims["picture"] = json!("https://people.test/ext-1.png");
        log_in(&world, &api, "f", &claims, WISH).await.unwrap().tokens();
    }

    async fn what_is_not_believed_or_cannot_be_met_leaves_a_row(world: World, api: Api) {
        let last = || trail::rows(&world.database()).pop().map(|row| (row.event, row.detail.unwrap_or_default())).unwrap();
        let mut claims = login_claims(&world, "ext-1", "a");
        claims["amr"] = json!(["hwk"]);
        // An app would be a thing beside a thing, whatever is asked for.
        let wish = Wish { acr_values: Some(TWO_FACTORS), ..WISH };
        log_in(&world, &api, "a", &claims, wish).await.refused(&UNMET_FACTORS);
        assert_eq!(last(), ("login.unmet".into(), "policy:acr_requested,no_allowed_factor".into()));
        log_in(&world, &api, "b", &claims, WISH).await.refused(&BAD_ASSERTED_LOGIN);
        assert_eq!(last(), ("proof_rejected.asserted_login".into(), "not believed".into()));
        claims["jti"] = json!("c");
        let tokens = log_in(&world, &api, "c", &claims, WISH).await.unwrap().tokens();
        let user = UserId::new(jwt::claims(&tokens.access_token)["sub"].as_str().unwrap());
        world.app().set_blocked(&user, true).await.unwrap();
        claims["jti"] = json!("d");
        log_in(&world, &api, "d", &claims, WISH).await.map(drop).unwrap_err();
        assert_eq!(last(), ("proof_rejected.asserted_login".into(), "blocked".into()));
    }

    async fn who_has_a_second_factor_is_asked_for_it(world: World, api: Api) {
        let claims = |jti: &str| {
            let mut claims = login_claims(&world, "ext-1", jti);
            claims["auth_time"] = json!(world.now().as_secs() - 7);
            claims
        };
        let managing = Wish { audience: Some(MFA_API), scope: Some("enroll"), ..Wish::default() };
        let bearer = log_in(&world, &api, "a", &claims("a"), managing).await.unwrap().tokens().access_token;
        let association = api.associate(&bearer).await.unwrap();
        let phone = Phone::new(association.secret, association.recovery_codes.into_iter().next());
        otp(&world, &api, "y", &bearer, &phone).await;
        let at = world.now().as_secs() - 7;
        let token = log_in(&world, &api, "b", &claims("b"), WISH).await.unwrap().mfa_token();
        api.challenge(SIGNER, &token, "otp", None).await.expect("no assertion is needed here");
        let claims = jwt::claims(&otp(&world, &api, "z", &token, &phone).await.access_token);
        assert_eq!((&claims["amr"], &claims["gty"]), (&json!(["pwd", "otp", "mfa"]), &json!("asserted-login")));
        assert_eq!(claims["auth_time"], json!(at));
    }

    async fn what_a_request_demands_is_measured_at_the_login_that_is_asserted(world: World, api: Api) {
        let began = world.now().as_secs() - 200;
        let claims = |jti: &str| {
            let mut claims = login_claims(&world, "ext-1", jti);
            claims["auth_time"] = json!(began);
            claims
        };
        let within = |max_age| Wish { max_age: Some(max_age), ..WISH };
        log_in(&world, &api, "a", &claims("a"), within(60)).await.refused(&UNMET_MAX_AGE);
        let tokens = log_in(&world, &api, "b", &claims("b"), within(300)).await.unwrap().tokens();
        assert_eq!(jwt::claims(&tokens.access_token)["auth_time"], json!(began));
        let two_factors = Wish { acr_values: Some(TWO_FACTORS), ..WISH };
        let token = log_in(&world, &api, "c", &claims("c"), two_factors).await.unwrap().mfa_token();
        let phone = Phone::new(api.associate(&token).await.unwrap().secret, None);
        let claims = jwt::claims(&otp(&world, &api, "z", &token, &phone).await.access_token);
        assert_eq!((&claims["acr"], &claims["auth_time"]), (&json!(TWO_FACTORS), &json!(began)));
    }

    async fn what_confirms_an_enrolment_says_how_the_person_had_logged_in(world: World, api: Api) {
        for (jti, said, proven) in [
            ("a", json!(["face"]), json!(["face", "otp", "mfa"])),
            ("b", json!(["hwk"]), json!(["hwk", "otp"])),
            ("c", json!(["pin", "hwk"]), json!(["pin", "hwk", "otp", "mfa"])),
        ] {
            let mut claims = login_claims(&world, &format!("ext-{jti}"), jti);
            claims["amr"] = said;
            let managing = Wish { audience: Some(MFA_API), scope: Some("enroll"), ..Wish::default() };
            let bearer = log_in(&world, &api, jti, &claims, managing).await.unwrap().tokens().access_token;
            let association = api.associate(&bearer).await.unwrap();
            let phone = Phone::new(association.secret, None);
            let confirmed = jwt::claims(&otp(&world, &api, &format!("otp-{jti}"), &bearer, &phone).await.access_token);
            assert_eq!((&confirmed["amr"], &confirmed["gty"]), (&proven, &json!("asserted-login")));
            assert_eq!(confirmed["auth_time"], claims["auth_time"]);
        }
    }

    async fn what_is_not_to_be_believed_is_refused(world: World, api: Api) {
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
            claims[name] = value;
            log_in(&world, &api, &jti, &claims, WISH).await.refused(&BAD_ASSERTED_LOGIN);
        }
        let plain = signed(&json!({"alg": "EdDSA", "typ": "JWT"}), &login_claims(&world, "ext-1", "t"));
        let untyped = api.signed(&assertion(&world, "t")).signed_login(SIGNER, &plain, WISH).await;
        untyped.refused(&BAD_ASSERTED_LOGIN);
        let good = login_claims(&world, "ext-1", "once");
        log_in(&world, &api, "o1", &good, WISH).await.unwrap();
        log_in(&world, &api, "o2", &good, WISH).await.refused(&BAD_ASSERTED_LOGIN);
        assert_eq!(dump::rows(&world.database(), "user"), 1, "nothing that was refused made an account");
    }

    async fn what_came_of_an_asserted_login_ends_when_the_account_changes(world: World, api: Api) {
        let claims = login_claims(&world, "ext-1", "a");
        let tokens = log_in(&world, &api, "a", &claims, WISH).await.unwrap().tokens();
        let refresh = async |jti: &str| api.signed(&assertion(&world, jti)).refresh(SIGNER, tokens.refresh(), None).await;
        refresh("one").await.unwrap();
        let user = UserId::new(jwt::claims(&tokens.access_token)["sub"].as_str().unwrap());
        world.app().set_blocked(&user, true).await.unwrap();
        world.app().set_blocked(&user, false).await.unwrap();
        refresh("two").await.refused(&BAD_REFRESH_TOKEN);
    }
}

/// A client that asserts logins of people who have an account already, and makes none.
const KNOWING: Client = Client { id: "knowing", secret: None };

fn knowing() -> Tenant {
    Tenant::default().and(&format!(
        "[[clients]]\nid = '{}'\nauthentication = 'private-key-jwt'\nkeys = ['{}']\nmfa_demand = 'if-enrolled'\n\
         grant_types = ['asserted-login']\nasserts = {{ realm = '{REALM}' }}\n",
        KNOWING.id,
        signer::key_set(),
    ))
}

/// Over `api`, a login of `subject` that [`KNOWING`] asserts.
async fn known(world: &World, api: &Api, jti: &str, subject: &str) -> Result<Outcome, Refusal> {
    let mut proof = signer::claims(world, &format!("auth-{jti}"));
    (proof["iss"], proof["sub"]) = (json!(KNOWING.id), json!(KNOWING.id));
    let proof = signed(&json!({"alg": "EdDSA", "typ": "JWT"}), &proof);
    let mut claims = login_claims(world, subject, jti);
    claims["iss"] = json!(KNOWING.id);
    let wish = Wish { audience: Some(API), scope: Some("openid read:things"), ..Wish::default() };
    api.signed(&proof).signed_login(KNOWING, &login(&claims), wish).await
}

everywhere! {
    in knowing();

    async fn who_may_not_make_accounts_is_believed_of_those_who_have_one(world: World, api: Api) {
        let ann = world.person("ann").await;
        for (jti, stranger) in [("a", "nobody"), ("b", "nobody"), ("c", "ann@elsewhere.test"), ("d", "bad\nname")] {
            known(&world, &api, jti, stranger).await.refused(&UNKNOWN_SUBJECT);
            let row = trail::rows(&world.database()).pop().unwrap();
            assert_eq!(row.event, "proof_rejected.asserted_login");
            assert_eq!((row.detail.as_deref(), row.client.as_deref()), (Some("unknown"), Some(KNOWING.id)));
        }
        assert_eq!(dump::rows(&world.database(), "user"), 1, "nobody was made an account");
        let tokens = known(&world, &api, "e", &ann.username).await.unwrap().tokens();
        assert_eq!(jwt::claims(&tokens.access_token)["sub"], ann.id.as_str());
        // Who has an account in another realm is nobody here.
        log_in(&world, &api, "f", &login_claims(&world, "ext-1", "f"), WISH).await.unwrap().tokens();
        known(&world, &api, "g", "ext-1").await.refused(&UNKNOWN_SUBJECT);
    }
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
        let Some(Issued::Tokens(tokens)) = outcome else { panic!("no factor is asked for") };
        subjects.insert(jwt::claims(&tokens.access_token)["sub"].as_str().unwrap().to_owned());
    }
    assert_eq!((subjects.len(), dump::rows(&world.database(), "user")), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_person_gets_in_on_nobodys_word() {
    let world = world().await;
    let grpc = Grpc::new(world.server().grpc());
    let outcome = grpc.token.clone().issue_token(plain(&world, "1", word(&world, "ext-1"))).await.unwrap();
    let Some(Issued::Tokens(tokens)) = outcome.into_inner().outcome else { panic!("no factor is asked for") };
    let user = UserId::new(jwt::claims(&tokens.access_token)["sub"].as_str().unwrap());
    world.app().set_blocked(&user, true).await.unwrap();
    let refused =
        grpc.token.clone().issue_token(plain(&world, "2", word(&world, "ext-1"))).await.map(drop).unwrap_err();
    assert_eq!(refused.message(), "the account is blocked", "{refused:?}");
}
