//! G-61, our own: with `openid` the MFA API's audience, which asks who has no factor for none, gave an ID token for the password alone,
//! whatever the client demanded.

use countersign_domain::port::signer::{Algorithm, Signer as _, TokenType, Unsigned};
use countersign_tests::{
    api::{To, Tokens, Wish},
    everywhere, jwt,
    person::{PASSWORD, Phone},
    signer::{assertion, login, login_claims},
    tenant::{BACKEND, Client, MFA_API, MFA_SCOPES, SIGNER, Tenant},
};
use serde_json::json;

/// A client that lets nobody in without two factors.
const STRICT: Client = Client { id: "strict", secret: None };

/// What identifies a person, alone and beside what the MFA API has.
const ASKED: [(Option<&str>, &str); 4] = [
    (None, MFA_SCOPES),
    (Some("openid"), ""),
    (Some("openid email profile phone address offline_access"), ""),
    (Some("openid enroll offline_access email remove:authenticators"), "enroll remove:authenticators"),
];

fn tenant() -> Tenant {
    let grants = "['password', 'password-realm', 'mfa-otp', 'mfa-oob', 'mfa-recovery-code', 'refresh_token']";
    let demand = "mfa_demand = 'always'\nmfa_strength = 'two-factors'\nremember_devices_for = '7days'\n";
    Tenant::default()
        .with_messages()
        .and(&format!("[[clients]]\nid = 'strict'\nauthentication = 'none'\ngrant_types = {grants}\n{demand}"))
}

fn managing(scope: Option<&str>) -> Wish<'_> {
    Wish { audience: Some(MFA_API), scope, ..Wish::default() }
}

/// It manages factors with `scopes` and is good for nothing else.
async fn manages_only(api: &countersign_tests::api::Api, tokens: &Tokens, scopes: &str) {
    let claims = jwt::claims(&tokens.access_token);
    assert_eq!((&claims["aud"], &claims["scope"]), (&json!(MFA_API), &json!(scopes)));
    assert!(tokens.id_token.is_none(), "no ID token");
    assert!(tokens.refresh_token.is_none() && tokens.device_token.is_none(), "nothing to go on with");
    assert!(api.subject(&tokens.access_token).await.is_err(), "userinfo says nothing");
}

everywhere! {
    in tenant();

    async fn a_password_alone_tells_a_client_that_demands_more_nothing(world: World, api: Api) {
        // Their verified mailbox is a factor elsewhere, and makes no two.
        world.person("ann").await;
        api.login_for(STRICT, "ann", PASSWORD, Wish { scope: Some("openid"), ..Wish::default() }).await.unwrap().mfa_token();
        for (asked, granted) in ASKED {
            for realm in [None, Some(countersign_tests::tenant::REALM)] {
                let wish = Wish { realm, ..managing(asked) };
                let tokens = api.login_for(STRICT, "ann", PASSWORD, wish).await.unwrap().tokens();
                manages_only(&api, &tokens, granted).await;
            }
        }
    }

    async fn a_clients_word_alone_tells_it_nothing_either(world: World, api: Api) {
        for (number, (asked, granted)) in ASKED.into_iter().enumerate() {
            let claims = login_claims(&world, "ext-1", &format!("word-{number}"));
            let api = api.signed(&assertion(&world, &format!("client-{number}")));
            let tokens = api.signed_login(SIGNER, &login(&claims), managing(asked)).await.unwrap().tokens();
            manages_only(&api, &tokens, granted).await;
        }
    }

    async fn nor_does_a_second_factor_since_any_will_do_there(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        for (asked, granted) in ASKED {
            let token = api.login_for(STRICT, "ann", PASSWORD, managing(asked)).await.unwrap().mfa_token();
            let tokens = api.otp_remembering(STRICT, &token, &phone.code(&world)).await.unwrap();
            manages_only(&api, &tokens, granted).await;
        }
        let token = api.login_for(STRICT, "ann", PASSWORD, managing(Some("openid enroll"))).await.unwrap().mfa_token();
        let (sent, message) = world.sent(api.send_code(STRICT, &token, None, Some("email"))).await;
        manages_only(&api, &api.oob(STRICT, &token, &sent.oob_code, &message.code).await.unwrap(), "enroll").await;
        let token = api.login_for(STRICT, "ann", PASSWORD, managing(Some("openid enroll"))).await.unwrap().mfa_token();
        let code = phone.recovery_code.as_deref().unwrap();
        manages_only(&api, &api.recovery(STRICT, &token, code).await.unwrap(), "enroll").await;
        // Where the client's demand was met, it is told who that was.
        let tokens = ann.log_in(&world, &api, &phone).await;
        assert!(tokens.id_token.is_some());
    }

    async fn nor_does_what_confirms_an_enrolment(world: World, api: Api) {
        let ann = world.person("ann").await;
        let weak = api.login_for(BACKEND, "ann", PASSWORD, managing(Some("openid enroll email"))).await.unwrap().tokens();
        // As such tokens were made before.
        let mut claims = jwt::claims(&weak.access_token);
        claims["scope"] = json!("openid enroll email");
        claims["aud"] = json!([MFA_API, "https://id.test/userinfo"]);
        let claims = claims.to_string().into_bytes();
        let older = Unsigned { algorithm: Algorithm::Rs256, token_type: TokenType::Jwt, claims };
        let older = world.keys().sign(older).await.unwrap().expose().clone();
        for bearer in [older, weak.access_token] {
            let (sent, message) = world.sent(api.associate_oob(&bearer, To::Email(Some("ann@work.example")))).await;
            let confirmed = api.oob(BACKEND, &bearer, &sent.oob_code, &message.code).await.unwrap();
            assert_eq!(jwt::claims(&confirmed.access_token)["aud"], MFA_API);
            assert!(confirmed.id_token.is_none());
        }
        ann.mfa_token(&api).await;
    }

    async fn who_is_strongly_enrolled_meanwhile_is_asked_all_the_same(world: World, api: Api) {
        let ann = world.person("ann").await;
        let weak = api.login_for(STRICT, "ann", PASSWORD, managing(Some("openid enroll"))).await.unwrap().tokens();
        let phone = Phone::new(api.associate(&weak.access_token).await.unwrap().secret, None);
        let confirmed = api.otp(STRICT, &weak.access_token, &phone.code(&world)).await.unwrap();
        manages_only(&api, &confirmed, "enroll").await;
        api.login_for(STRICT, &ann.username, PASSWORD, managing(Some("openid enroll"))).await.unwrap().mfa_token();
    }
}
