//! G-34, GitLab #42775: a recovery code could be used again when the login came through a federated provider.
//!
//! The matrix: however the first factor was come by, a code that was used after one of them is dead after each of them.

use countersign_proto::v1::{
    AssertedLoginGrant, IssueTokenRequest, issue_token_request::Grant, issue_token_response::Outcome as Issued,
};
use countersign_tests::{
    api::{Api, Tokens, Transport, Wish},
    everywhere, grpc,
    person::PASSWORD,
    refusal::{BAD_OOB_CODE, Refused as _, WRONG_OTP, WRONG_RECOVERY_CODE},
    sent::NUMBER,
    signer::{key_set, login, login_claims},
    tenant::{API, Client, REALM, Tenant},
    world::World,
};
use serde_json::json;

/// A client that has all of them.
const FEDERATED: Client = Client { id: "federated", secret: Some("a fifth secret of 16 or more") };

fn tenant() -> Tenant {
    Tenant::default().with_messages().and(&format!(
        "[[clients]]\nid = '{}'\nsecrets = ['{}']\nkeys = ['{}']\nrefresh = {{ mfa = true }}\n\
         grant_types = ['password', 'password-realm', 'asserted-login', 'mfa-otp', 'mfa-oob', 'mfa-recovery-code', \
         'refresh_token']\nasserts = {{ realm = '{REALM}' }}\n",
        FEDERATED.id,
        FEDERATED.secret.unwrap(),
        key_set(),
    ))
}

/// How a login begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum First {
    Password,
    Realm,
    /// The client's word, over gRPC.
    Word,
    /// The same, signed, over HTTP.
    SignedWord,
    /// A refresh token, of which a second factor is asked.
    Refresh,
}

const FIRSTS: [First; 5] = [First::Password, First::Realm, First::Word, First::SignedWord, First::Refresh];

const WISH: Wish<'static> = Wish {
    audience: Some(API),
    scope: Some("openid offline_access"),
    realm: None,
    acr_values: None,
    max_age: None,
    device_token: None,
};

/// Ann's logins at [`FEDERATED`].
struct Logins<'a> {
    world: &'a World,
    api: &'a Api,
    begun: u32,
    refresh: String,
}

impl<'a> Logins<'a> {
    fn new(world: &'a World, api: &'a Api) -> Self {
        Self { world, api, begun: 0, refresh: String::new() }
    }

    /// Begins one: its `mfa_token`.
    async fn begin(&mut self, first: First) -> String {
        self.begun += 1;
        let password = async |wish| self.api.login_for(FEDERATED, "ann", PASSWORD, wish).await.unwrap().mfa_token();
        match first {
            First::Password => password(WISH).await,
            First::Realm => password(Wish { realm: Some(REALM), ..WISH }).await,
            First::Word => self.word().await,
            First::SignedWord => {
                let mut claims = login_claims(self.world, "ann", &format!("g34-{}", self.begun));
                claims["iss"] = json!(FEDERATED.id);
                let api = self.world.api(Transport::Http);
                api.signed_login(FEDERATED, &login(&claims), WISH).await.unwrap().mfa_token()
            }
            First::Refresh => self.api.refresh(FEDERATED, &self.refresh, None).await.unwrap().mfa_token(),
        }
    }

    async fn word(&self) -> String {
        let word = AssertedLoginGrant {
            subject: "ann".into(),
            auth_time: Some(prost_types::Timestamp { seconds: self.world.now().as_secs(), nanos: 0 }),
            methods: vec!["pwd".into()],
            ..AssertedLoginGrant::default()
        };
        let request = IssueTokenRequest {
            client: grpc::proof(FEDERATED),
            grant: Some(Grant::AssertedLogin(word)),
            audience: API.into(),
            scopes: vec!["openid".into(), "offline_access".into()],
            ..IssueTokenRequest::default()
        };
        let answer = self.world.api(Transport::Grpc).grpc().token.clone().issue_token(request).await.unwrap();
        let Some(Issued::MfaRequired(required)) = answer.into_inner().outcome else { panic!("no factor is asked for") };
        required.mfa_token
    }

    /// What completed one: it has the refresh token to go on with.
    fn completed(&mut self, tokens: &Tokens) {
        tokens.refresh().clone_into(&mut self.refresh);
    }
}

everywhere! {
    in tenant();

    async fn a_recovery_code(world: World, api: Api) {
        let (_, phone) = world.enrolled(&api, "ann").await;
        let mut code = phone.recovery_code.clone().unwrap();
        let mut logins = Logins::new(&world, &api);
        for first in FIRSTS {
            let token = logins.begin(first).await;
            let tokens = api.recovery(FEDERATED, &token, &code).await.unwrap();
            logins.completed(&tokens);
            for second in FIRSTS {
                let token = logins.begin(second).await;
                let again = api.recovery(FEDERATED, &token, &code).await;
                assert!(again.is_err(), "{first:?}, then {second:?}");
                again.refused(&WRONG_RECOVERY_CODE);
            }
            code = tokens.recovery_code.expect("another one takes its place");
            world.advance(3600);
        }
    }

    async fn a_code_of_an_app(world: World, api: Api) {
        let (_, phone) = world.enrolled(&api, "ann").await;
        let mut logins = Logins::new(&world, &api);
        for first in FIRSTS {
            world.advance(3600);
            let code = phone.code(&world);
            let token = logins.begin(first).await;
            logins.completed(&api.otp(FEDERATED, &token, &code).await.unwrap());
            for second in FIRSTS {
                let token = logins.begin(second).await;
                let again = api.otp(FEDERATED, &token, &code).await;
                assert!(again.is_err(), "{first:?}, then {second:?}");
                again.refused(&WRONG_OTP);
            }
        }
    }

    async fn a_code_that_was_sent(world: World, api: Api) {
        world.with_telephone(&api, "ann", NUMBER).await;
        let mut logins = Logins::new(&world, &api);
        for first in FIRSTS {
            let token = logins.begin(first).await;
            let (sent, message) = world.sent(api.send_code(FEDERATED, &token, None, Some("sms"))).await;
            logins.completed(&api.oob(FEDERATED, &token, &sent.oob_code, &message.code).await.unwrap());
            for second in FIRSTS {
                let token = logins.begin(second).await;
                let again = api.oob(FEDERATED, &token, &sent.oob_code, &message.code).await;
                assert!(again.is_err(), "{first:?}, then {second:?}");
                again.refused(&BAD_OOB_CODE);
            }
            world.advance(3600);
        }
    }
}
