//! The program is killed in the middle of its work.

use countersign::demo::settings::AUDIENCE;
use countersign_tests::{
    api::{Api, Outcome, Transport, Wish},
    otp,
    person::Phone,
    process::{DEMO_CLIENT, DEMO_PASSWORD, DemoProcess},
    refusal::{BAD_REFRESH_TOKEN, MALFORMED_TOKEN, Refused as _, TOO_MANY_CODES, WRONG_OTP, WRONG_RECOVERY_CODE},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

/// Somebody whose app was enrolled with the code of `step`, by the login of `token`.
struct Enrolled {
    name: &'static str,
    phone: Phone,
    token: String,
    step: u64,
}

impl Enrolled {
    fn code(&self, step: u64) -> String {
        otp::code_of(&self.phone.secret, step)
    }

    /// A code that was not used and is taken now: one step ahead at most.
    fn fresh(&self) -> String {
        self.code(otp::real_step().max(self.step + 1))
    }
}

async fn token(api: &Api, name: &str) -> String {
    api.login(DEMO_CLIENT, name, DEMO_PASSWORD).await.map(Outcome::mfa_token).expect("the password is right")
}

async fn enrol(api: &Api, name: &'static str) -> Enrolled {
    let token = token(api, name).await;
    let association = api.associate(&token).await.expect("nothing is enrolled yet");
    let phone = Phone::new(association.secret, association.recovery_codes.into_iter().next());
    let step = otp::real_step();
    api.otp(DEMO_CLIENT, &token, &otp::code_of(&phone.secret, step)).await.expect("the first code confirms");
    Enrolled { name, phone, token, step }
}

/// Twenty logins of twenty people; those `mfa_token`s that arrived before the program was killed, which is after the first.
async fn kill_amid_logins(demo: DemoProcess) -> Vec<String> {
    let client = countersign_tests::http::plain_client();
    let mut logins = JoinSet::new();
    for number in 3..23 {
        let username = format!("user{number:05}");
        let fields = [
            ("grant_type", "password"),
            ("client_id", DEMO_CLIENT.id),
            ("username", &username),
            ("password", DEMO_PASSWORD),
        ];
        let request = client.post(format!("{}/oauth/token", demo.http())).form(&fields);
        logins.spawn(async move {
            let answer: Value = request.send().await.ok()?.json().await.ok()?;
            answer["mfa_token"].as_str().map(str::to_owned)
        });
    }
    let first = logins.join_next().await.expect("there are twenty").expect("no login panics");
    demo.kill().await;
    let others = logins.join_all().await;
    std::iter::once(first).chain(others).flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_what_was_used_is_used_and_what_was_counted_is_counted() {
    let folder = TempDir::new().unwrap();
    let demo = DemoProcess::start(folder.path(), 25).await;
    let api = demo.api(Transport::Http).await;
    let ann = enrol(&api, "user00001").await;
    let bob = enrol(&api, "user00002").await;
    let recovering = token(&api, ann.name).await;
    let spent = ann.phone.recovery_code.clone().unwrap();
    let next = api.recovery(DEMO_CLIENT, &recovering, &spent).await.unwrap().recovery_code.unwrap();
    let guessing = token(&api, bob.name).await;
    let wrong = otp::wrong_code(&[&bob.phone.secret], otp::real_now());
    for _ in 0..10 {
        api.otp(DEMO_CLIENT, &guessing, &wrong).await.refused(&WRONG_OTP);
    }
    let arrived = kill_amid_logins(demo).await;
    assert!(!arrived.is_empty(), "the first login was answered");

    let demo = DemoProcess::start(folder.path(), 25).await;
    for transport in [Transport::Http, Transport::Grpc] {
        let api = demo.api(transport).await;
        for used in [&ann.token, &recovering] {
            api.otp(DEMO_CLIENT, used, &ann.fresh()).await.refused(&MALFORMED_TOKEN);
        }
        let again = token(&api, ann.name).await;
        api.otp(DEMO_CLIENT, &again, &ann.code(ann.step)).await.refused(&WRONG_OTP);
        api.recovery(DEMO_CLIENT, &again, &spent).await.refused(&WRONG_RECOVERY_CODE);
        let again = token(&api, bob.name).await;
        api.otp(DEMO_CLIENT, &again, &bob.fresh()).await.refused(&TOO_MANY_CODES);
        for pending in &arrived {
            assert_eq!(api.list(pending).await.expect("what was answered was written"), []);
        }
    }
    let api = demo.api(Transport::Http).await;
    let again = token(&api, ann.name).await;
    api.otp(DEMO_CLIENT, &again, &ann.fresh()).await.unwrap();
    let again = token(&api, ann.name).await;
    api.recovery(DEMO_CLIENT, &again, &next).await.unwrap();
    for number in 3..23 {
        token(&api, &format!("user{number:05}")).await;
    }
}

/// A login of a newcomer that may go on: its refresh token.
async fn lasting(api: &Api, name: &str) -> String {
    // Of an API: another start has another port, and so another issuer and another userinfo.
    let wish = Wish { audience: Some(AUDIENCE), scope: Some("openid offline_access"), ..Wish::default() };
    let token = api.login_for(DEMO_CLIENT, name, DEMO_PASSWORD, wish).await.unwrap().mfa_token();
    let secret = api.associate(&token).await.expect("nothing is enrolled yet").secret;
    let code = otp::code_of(&secret, otp::real_step());
    api.otp(DEMO_CLIENT, &token, &code).await.expect("the first code confirms").refresh().to_owned()
}

/// Exchanges all of `tokens` at once; what arrived before the program was killed, which is after the first.
async fn kill_amid_exchanges(demo: DemoProcess, tokens: &[String]) -> Vec<Option<String>> {
    let client = countersign_tests::http::plain_client();
    let mut exchanges = JoinSet::new();
    for (number, token) in tokens.iter().enumerate() {
        let fields = [("grant_type", "refresh_token"), ("client_id", DEMO_CLIENT.id), ("refresh_token", token)];
        let request = client.post(format!("{}/oauth/token", demo.http())).form(&fields);
        exchanges.spawn(async move {
            let answer: Value = request.send().await.ok()?.json().await.ok()?;
            Some((number, answer["refresh_token"].as_str()?.to_owned()))
        });
    }
    let first = exchanges.join_next().await.expect("there are some").expect("no exchange panics");
    demo.kill().await;
    let mut arrived = vec![None; tokens.len()];
    for (number, successor) in exchanges.join_all().await.into_iter().chain([first]).flatten() {
        arrived[number] = Some(successor);
    }
    arrived
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_amid_exchanges_each_login_goes_on_once_or_ends() {
    let folder = TempDir::new().unwrap();
    let demo = DemoProcess::start(folder.path(), 16).await;
    let api = demo.api(Transport::Grpc).await;
    let mut tokens = Vec::new();
    for number in 1..=16 {
        tokens.push(lasting(&api, &format!("user{number:05}")).await);
    }
    let arrived = kill_amid_exchanges(demo, &tokens).await;
    assert!(arrived.iter().any(Option::is_some), "the first exchange was answered");

    let demo = DemoProcess::start(folder.path(), 16).await;
    let api = demo.api(Transport::Http).await;
    for (token, successor) in tokens.iter().zip(arrived) {
        if let Some(successor) = successor {
            api.refresh(DEMO_CLIENT, &successor, None).await.expect("what was answered was written").tokens();
            api.refresh(DEMO_CLIENT, token, None).await.refused(&BAD_REFRESH_TOKEN);
        } else if let Ok(outcome) = api.refresh(DEMO_CLIENT, token, None).await {
            // It had not been exchanged. Now it has.
            let successor = outcome.tokens();
            api.refresh(DEMO_CLIENT, token, None).await.refused(&BAD_REFRESH_TOKEN);
            api.refresh(DEMO_CLIENT, successor.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
        } else {
            // The answer was lost, and the demo has no overlap: the login is over.
            api.refresh(DEMO_CLIENT, token, None).await.refused(&BAD_REFRESH_TOKEN);
        }
    }
}
