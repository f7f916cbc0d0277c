//! One thing at 64 hands, of which half come over HTTP and half over gRPC.

use std::fmt::Debug;

use countersign_domain::factor::otp::step_at;
use countersign_tests::{
    api::{Api, Transport},
    device::Device,
    otp,
    person::Phone,
    refusal::{BAD_OOB_CODE, MALFORMED_TOKEN, Refusal, Refused as _, TOO_FAST, WRONG_OTP, WRONG_RECOVERY_CODE},
    sent::NUMBER,
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};

use super::{completed, devices, one_winner, race, sent_codes, sessions, with_tries_for_all};

const STORES: [Store; 2] = [Store::Sqlite, Store::Redis];

/// The API over HTTP, and over gRPC.
fn apis(world: &World) -> [Api; 2] {
    [Transport::Http, Transport::Grpc].map(|transport| world.api(transport))
}

/// Runs `attempt` over HTTP for the even numbers and over gRPC for the others.
async fn race_over_both<T, F>(world: &World, attempt: impl Fn(Api, usize) -> F) -> Vec<Result<T, Refusal>>
where
    T: Debug + Send + 'static,
    F: Future<Output = Result<T, Refusal>> + Send + 'static,
{
    let apis = apis(world);
    // Each has its connection, so that both set off at once.
    for api in &apis {
        api.introspect(BACKEND, "x").await.unwrap();
    }
    let results = race(|number| attempt(apis[number % 2].clone(), number)).await;
    for side in 0..2 {
        let mut of_side = results.iter().skip(side).step_by(2);
        let decided = of_side.any(|result| !result.as_ref().is_err_and(Refusal::is_undecided));
        assert!(decided, "nobody of one side got as far as a decision: {results:?}");
    }
    results
}

#[tokio::test(flavor = "multi_thread")]
async fn one_step_over_many_sessions_completes_one_login() {
    for store in STORES {
        let world = World::start(store, with_tries_for_all()).await;
        let [http, _] = apis(&world);
        let (ann, phone) = world.enrolled(&http, "ann").await;
        let (tokens, code) = (sessions(&http, &ann).await, phone.code(&world));
        let results = race_over_both(&world, |api, number| {
            let (token, code) = (tokens[number].clone(), code.clone());
            async move { api.otp(BACKEND, &token, &code).await }
        })
        .await;
        one_winner(results);
        assert_eq!(completed(&world, "login.otp", &ann), 1, "{store:?}");
        for api in apis(&world) {
            let token = ann.mfa_token(&api).await;
            api.otp(BACKEND, &token, &code).await.refused(&WRONG_OTP);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_login_is_completed_once_by_apps_and_a_recovery_code() {
    for store in STORES {
        let world = World::start(store, with_tries_for_all()).await;
        let [http, _] = apis(&world);
        let (ann, phone) = world.enrolled(&http, "ann").await;
        let recovery = phone.recovery_code.clone().unwrap();
        let manager = ann.manager(&world, &http, &phone).await;
        let mut phones = vec![phone];
        for _ in 0..7 {
            phones.push(ann.add_phone(&world, &http, &manager).await);
        }
        world.advance(120);
        let step = step_at(world.now());
        let token = ann.mfa_token(&http).await;
        let before = completed(&world, "login.otp", &ann);
        // Each code comes over both.
        let results = race_over_both(&world, |api, number| {
            let code = otp::code_of(&phones[number / 2 % 8].secret, step);
            let (token, recovery) = (token.clone(), recovery.clone());
            async move {
                if number / 2 % 9 == 0 {
                    api.recovery(BACKEND, &token, &recovery).await
                } else {
                    api.otp(BACKEND, &token, &code).await
                }
            }
        })
        .await;
        one_winner(results);
        let by_app = completed(&world, "login.otp", &ann) - before;
        assert_eq!(by_app + completed(&world, "login.recovery_code", &ann), 1, "{store:?}");
        for api in apis(&world) {
            api.challenge(BACKEND, &token, "otp", None).await.refused(&MALFORMED_TOKEN);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_recovery_code_over_many_sessions_completes_one_login() {
    for store in STORES {
        let world = World::start(store, with_tries_for_all()).await;
        let [http, grpc] = apis(&world);
        let (ann, phone) = world.enrolled(&http, "ann").await;
        let (tokens, code) = (sessions(&grpc, &ann).await, phone.recovery_code.clone().unwrap());
        let results = race_over_both(&world, |api, number| {
            let (token, code) = (tokens[number].clone(), code.clone());
            async move { api.recovery(BACKEND, &token, &code).await }
        })
        .await;
        let (won, _) = one_winner(results);
        assert_eq!(completed(&world, "login.recovery_code", &ann), 1, "{store:?}");
        world.advance(24 * 3600);
        for api in [&http, &grpc] {
            let token = ann.mfa_token(api).await;
            api.recovery(BACKEND, &token, &code).await.refused(&WRONG_RECOVERY_CODE);
        }
        let token = ann.mfa_token(&http).await;
        http.recovery(BACKEND, &token, won.recovery_code.as_deref().unwrap()).await.expect("there is one successor");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_enrolment_is_confirmed_once() {
    for store in STORES {
        let world = World::start(store, with_tries_for_all()).await;
        let [http, grpc] = apis(&world);
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&grpc).await;
        let phone = Phone::new(http.associate(&token).await.unwrap().secret, None);
        let code = phone.code(&world);
        let results = race_over_both(&world, |api, _| {
            let (token, code) = (token.clone(), code.clone());
            async move { api.otp(BACKEND, &token, &code).await }
        })
        .await;
        one_winner(results);
        assert_eq!(completed(&world, "enrollment.completed", &ann), 1, "{store:?}");
        for api in apis(&world) {
            let token = ann.mfa_token(&api).await;
            assert_eq!(api.list(&token).await.unwrap().len(), 2, "an app and the recovery code");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_was_sent_completes_one_login() {
    for store in STORES {
        let world = World::start(store, sent_codes::with_tries_for_all()).await;
        let [http, grpc] = apis(&world);
        let ann = world.with_telephone(&http, "ann", NUMBER).await;
        let (token, sent, message) = ann.challenged(&world, &grpc, "sms").await;
        let results = race_over_both(&world, |api, _| {
            let (token, sent, code) = (token.clone(), sent.clone(), message.code.clone());
            async move { api.oob(BACKEND, &token, &sent.oob_code, &code).await }
        })
        .await;
        sent_codes::one_winner(&results);
        assert_eq!(completed(&world, "login.oob", &ann), 1, "{store:?}");
        for api in [http, grpc] {
            api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&MALFORMED_TOKEN);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_fetched_once() {
    for store in STORES {
        let world = World::start(store, Tenant::default().with_devices()).await;
        let [http, grpc] = apis(&world);
        let (ann, device) = (world.person("ann").await, Device::new("ann"));
        ann.enrol_device(&http, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &grpc).await;
        let answer = device.answer(&world, &pushed, true, asked.number.as_deref());
        http.resolve(&pushed.token, &answer).await.unwrap();
        let results = race_over_both(&world, |api, _| {
            let (token, oob_code) = (token.clone(), asked.oob_code.clone());
            async move { api.poll(BACKEND, &token, &oob_code).await }
        })
        .await;
        assert_eq!(devices::winners(&results, &[MALFORMED_TOKEN, BAD_OOB_CODE, TOO_FAST]), 1, "{store:?}");
        assert_eq!(completed(&world, "login.push", &ann), 1, "{store:?}");
        world.advance(60);
        for api in [http, grpc] {
            api.poll(BACKEND, &token, &asked.oob_code).await.refused(&MALFORMED_TOKEN);
        }
    }
}
