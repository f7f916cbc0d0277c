//! Redis dies in the middle of a login.

use countersign_tests::{
    api::{To, Transport},
    device::{Device, ticket},
    dump, process,
    refusal::{
        BAD_TICKET, LOCKED, MALFORMED_TOKEN, NO_LOGIN_WAITS, Refused as _, STORE_DOWN, TOO_MANY_CODES, TOO_MANY_SMS,
        WRONG_OTP, WRONG_PASSWORD,
    },
    sent::NUMBER,
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_logins_are_refused_with_a_time_to_come_back_and_work_again_after_it() {
    for transport in [Transport::Http, Transport::Grpc] {
        let mut world = World::start(Store::Redis, Tenant::default()).await;
        let api = world.api(transport);
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let pending = ann.mfa_token(&api).await;
        let code = phone.code(&world);
        world.redis().kill();

        for _ in 0..3 {
            let refusal = ann.password(&api).await.refused(&STORE_DOWN);
            assert!(refusal.retry_after().is_some_and(|seconds| seconds >= 1), "{refusal:?}");
            api.otp(BACKEND, &pending, &code).await.refused(&STORE_DOWN);
            api.recovery(BACKEND, &pending, phone.recovery_code.as_deref().unwrap()).await.refused(&STORE_DOWN);
            api.challenge(BACKEND, &pending, "otp", None).await.refused(&STORE_DOWN);
            api.list(&pending).await.refused(&STORE_DOWN);
            api.otp(BACKEND, &manager, &code).await.refused(&STORE_DOWN);
        }
        // What needs no session store is served.
        assert_eq!(api.list(&manager).await.unwrap().len(), 2);
        assert_eq!(world.http().get("/.well-known/jwks.json").await.status, 200);
        let ready = countersign_tests::http::plain_client()
            .get(format!("http://{}/readyz", world.server().ops()))
            .send()
            .await
            .unwrap();
        assert_eq!(ready.status(), 503);
        assert_eq!(
            dump::audited(&world.database(), "login.otp", ann.id.as_str()),
            1,
            "no login was completed meanwhile"
        );

        world.redis().restart();
        // It came back empty: the login in flight starts over, and nothing was burnt.
        let token = recovered(|| ann.password(&api)).await.mfa_token();
        api.otp(BACKEND, &pending, &code).await.refused(&MALFORMED_TOKEN);
        api.otp(BACKEND, &token, &code).await.unwrap();
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &code).await.refused(&WRONG_OTP);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_used_code_stays_used_when_redis_forgets_everything() {
    let mut world = World::start(Store::Redis, Tenant::default()).await;
    let api = world.api(Transport::Grpc);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let token = ann.mfa_token(&api).await;
    let code = phone.code(&world);
    let recovery = phone.recovery_code.clone().unwrap();
    api.otp(BACKEND, &token, &code).await.unwrap();
    let other = ann.mfa_token(&api).await;
    api.recovery(BACKEND, &other, &recovery).await.unwrap();
    world.redis().restart();
    let again = recovered(|| ann.password(&api)).await.mfa_token();
    for token in [&token, &other] {
        api.otp(BACKEND, token, &code).await.refused(&MALFORMED_TOKEN);
    }
    api.otp(BACKEND, &again, &code).await.refused(&WRONG_OTP);
    assert!(api.recovery(BACKEND, &again, &recovery).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_while_redis_dies_issues_at_most_one_login() {
    let mut world = World::start(Store::Redis, Tenant::default()).await;
    let api = world.api(Transport::Http);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let pending = ann.mfa_token(&api).await;
    let code = phone.code(&world);
    let tries: Vec<_> = (0..64)
        .map(|_| {
            let (api, pending, code) = (api.clone(), pending.clone(), code.clone());
            tokio::spawn(async move { api.otp(BACKEND, &pending, &code).await })
        })
        .collect();
    world.redis().kill();
    let mut won = 0;
    for attempt in tries {
        match attempt.await.unwrap() {
            Ok(_) => won += 1,
            Err(refusal) => assert!(
                [STORE_DOWN, MALFORMED_TOKEN, WRONG_OTP, TOO_MANY_CODES].iter().any(|known| refusal.is(known)),
                "{refusal:?}"
            ),
        }
    }
    assert!(won <= 1, "{won}");
    assert_eq!(dump::audited(&world.database(), "login.otp", ann.id.as_str()), won);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_is_over_stays_so_when_redis_forgets_every_budget() {
    for budget in ["phone", "destination", "prefix", "country", "deployment"] {
        let lines = ["capacity = 3", "refill = '8h'"];
        let tenant = Tenant::default().with_messages().section(&format!("limits.sends.{budget}"), &lines);
        let mut world = World::start(Store::Redis, tenant).await;
        let api = world.api(Transport::Http);
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        // The enrolment had one, but is not counted where its number logs in.
        for _ in 0..if budget == "destination" { 3 } else { 2 } {
            ann.challenged(&world, &api, "sms").await;
        }
        world.redis().restart();
        let token = recovered(|| ann.password(&api)).await.mfa_token();
        let refusal = world.sends_nothing(api.send_code(BACKEND, &token, None, Some("sms")), &TOO_MANY_SMS).await;
        // It is eight in the morning.
        assert_eq!(refusal.retry_after(), Some(16 * 3600), "{budget}");
        world.advance(16 * 3600);
        ann.log_in_over(&world, &api, "sms").await;
    }
}

/// Asks until the store is back: the client of the server reconnects when it can.
pub(super) async fn recovered<T, F: Future<Output = Result<T, countersign_tests::refusal::Refusal>>>(
    ask: impl Fn() -> F,
) -> T {
    for _ in 0..10_000 {
        match ask().await {
            Ok(answer) => return answer,
            Err(refusal) => assert!(refusal.is(&STORE_DOWN), "{refusal:?}"),
        }
        tokio::task::yield_now().await;
    }
    panic!("Redis is back, the server does not notice");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_nobody_hears_of_a_devices_answer_and_nothing_is_approved() {
    for transport in [Transport::Http, Transport::Grpc] {
        let mut world = World::start(Store::Redis, Tenant::default().with_devices()).await;
        let api = world.api(transport);
        let people = world.people(&["ann", "bob"]).await;
        let [ann, bob] = <[_; 2]>::try_from(people).unwrap();
        let (device, other) = (Device::new("ann"), Device::new("bob"));
        ann.enrol_device(&api, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        let begun = bob.mfa_token(&api).await;
        let barcode = api.associate_push(&begun).await.unwrap();
        let answer = device.answer(&world, &pushed, true, asked.number.as_deref());
        world.redis().kill();
        api.resolve(&pushed.token, &answer).await.unwrap_err();
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&STORE_DOWN);
        api.ask(BACKEND, &token, None).await.refused(&STORE_DOWN);
        let refused = api.enroll_device(&ticket(&barcode), &other).await.unwrap_err();
        assert!(refused.is_undecided(), "{refused:?}");
        world.redis().restart();
        // It came back empty: nobody waits any more, and nothing was approved meanwhile.
        recovered(|| ann.password(&api)).await;
        api.resolve(&pushed.token, &answer).await.refused(&NO_LOGIN_WAITS);
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&MALFORMED_TOKEN);
        api.enroll_device(&ticket(&barcode), &other).await.refused(&BAD_TICKET);
        assert_eq!(dump::audited(&world.database(), "login.push", ann.id.as_str()), 0);
        ann.log_in_by(&world, &api, &device).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_no_code_is_sent_and_none_is_believed() {
    for transport in [Transport::Http, Transport::Grpc] {
        let mut world = World::start(Store::Redis, Tenant::default().with_messages()).await;
        let api = world.api(transport);
        let people = world.people(&["ann", "bob"]).await;
        let [ann, bob] = <[_; 2]>::try_from(people).unwrap();
        ann.enrol_oob(&world, &api, To::Phone("sms", NUMBER)).await;
        let (token, sent, message) = ann.challenged(&world, &api, "sms").await;
        let unenrolled = bob.mfa_token(&api).await;
        world.redis().kill();
        world.sends_nothing(api.send_code(BACKEND, &token, None, Some("sms")), &STORE_DOWN).await;
        world.sends_nothing(api.associate_oob(&unenrolled, To::Phone("sms", NUMBER)), &STORE_DOWN).await;
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&STORE_DOWN);
        assert_eq!(dump::audited(&world.database(), "login.oob", ann.id.as_str()), 0);
        world.redis().restart();
        // It came back empty: the code of before opens nothing, and another one is sent.
        let fresh = recovered(|| ann.password(&api)).await.mfa_token();
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&MALFORMED_TOKEN);
        api.oob(BACKEND, &fresh, &sent.oob_code, &message.code).await.unwrap_err();
        ann.log_in_over(&world, &api, "sms").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_health_says_when_redis_is_away_and_when_it_is_back() {
    let mut world = World::start(Store::Redis, Tenant::default()).await;
    let address = format!("http://{}", world.server().grpc());
    let mut health = HealthClient::new(Channel::from_shared(address).unwrap().connect_lazy());
    let service = || HealthCheckRequest { service: "countersign.v1.TokenService".to_owned() };
    let mut changes = health.watch(service()).await.unwrap().into_inner();
    let mut next = async || changes.message().await.unwrap().map(|answer| answer.status());
    assert_eq!(next().await, Some(ServingStatus::Serving));
    let redis = world.redis().pid().unwrap();
    process::signal(redis, "STOP").await;
    assert_eq!(next().await, Some(ServingStatus::NotServing));
    assert_eq!(health.check(service()).await.unwrap().into_inner().status(), ServingStatus::NotServing);
    process::signal(redis, "CONT").await;
    assert_eq!(next().await, Some(ServingStatus::Serving));
    world.redis().kill();
    assert_eq!(next().await, Some(ServingStatus::NotServing));
    world.redis().restart();
    assert_eq!(next().await, Some(ServingStatus::Serving));
    assert_eq!(health.check(service()).await.unwrap().into_inner().status(), ServingStatus::Serving);
}

/// A deployment whose accounts were made before its first start has lost nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_redis_lowers_the_tries_of_those_alone_who_were_there_before() {
    let mut world = World::start(Store::Redis, Tenant::default()).await;
    let ann = world.person("ann").await;
    for tries in [10, 3] {
        world.redis().restart();
        world.restart().await;
        let api = world.api(Transport::Grpc);
        for _ in 1..tries {
            api.login(BACKEND, &ann.username, "not it").await.refused(&WRONG_PASSWORD);
        }
        ann.password(&api).await.expect("there is one left");
    }
    world.redis().restart();
    world.restart().await;
    let api = world.api(Transport::Grpc);
    for _ in 0..3 {
        api.login(BACKEND, &ann.username, "not it").await.refused(&WRONG_PASSWORD);
    }
    ann.password(&api).await.refused(&LOCKED);
}
