//! How often somebody may guess.

use countersign_tests::{
    api::{Api, Transport, Wish},
    device::{Device, other_number},
    dump, everywhere,
    person::{PASSWORD, Person, Phone},
    refusal::{
        ALREADY_ENROLLED, BAD_DEVICE_TOKEN, LOCKED, MALFORMED_TOKEN, RATE_LIMITED, Refused as _, TOO_MANY_CODES,
        WRONG_NUMBER, WRONG_OTP, WRONG_PASSWORD, WRONG_RECOVERY_CODE,
    },
    tenant::{BACKEND, MFA_API, MFA_SCOPES, NATIVE, Tenant},
    world::{Store, World},
};

/// Spends all tries at codes of apps.
async fn exhaust(world: &World, api: &Api, ann: &Person, phone: &Phone) -> String {
    let token = ann.mfa_token(api).await;
    for _ in 0..10 {
        api.otp(BACKEND, &token, &phone.wrong(world)).await.refused(&WRONG_OTP);
    }
    token
}

everywhere! {
    async fn the_eleventh_code_is_looked_at_360_seconds_after_the_first_and_not_at_359(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        world.advance(30);
        let token = exhaust(&world, &api, &ann, &phone).await;
        let refusal = api.otp(BACKEND, &token, &phone.code(&world)).await.refused(&TOO_MANY_CODES);
        assert_eq!(refusal.retry_after(), Some(360));
        world.advance(359);
        let token = ann.mfa_token(&api).await;
        let refusal = api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&TOO_MANY_CODES);
        assert_eq!(refusal.retry_after(), Some(1));
        world.advance(1);
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&WRONG_OTP);
        api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&TOO_MANY_CODES);
        assert_eq!(dump::audited(&world.database(), "proof_rejected.otp", ann.id.as_str()), 11);
    }

    async fn nothing_but_time_gives_tries_back(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        exhaust(&world, &api, &ann, &phone).await;
        // A new login, another client, another spelling, a challenge, another transport.
        let again = api.login(NATIVE, " ANN@People.Test ", PASSWORD).await.unwrap().mfa_token();
        api.challenge(NATIVE, &again, "otp", None).await.unwrap();
        api.otp(NATIVE, &again, &phone.wrong(&world)).await.refused(&TOO_MANY_CODES);
        let other = world.api(if api.transport() == Transport::Http { Transport::Grpc } else { Transport::Http });
        let token = ann.mfa_token(&other).await;
        other.otp(BACKEND, &token, &phone.code(&world)).await.refused(&TOO_MANY_CODES);
        // Success with another factor, which has a bucket of its own.
        let token = ann.mfa_token(&api).await;
        api.recovery(BACKEND, &token, phone.recovery_code.as_deref().unwrap()).await.unwrap();
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &phone.code(&world)).await.refused(&TOO_MANY_CODES);
    }

    async fn a_success_gives_back_only_the_try_it_took(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let token = ann.mfa_token(&api).await;
        for _ in 0..9 {
            api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&WRONG_OTP);
        }
        api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&WRONG_OTP);
        api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&TOO_MANY_CODES);
    }

    async fn recovery_codes_have_ten_tries_too(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let token = ann.mfa_token(&api).await;
        for _ in 0..10 {
            api.recovery(BACKEND, &token, "ABCDEFGHJKMNPQRSTVWXYZ01").await.refused(&WRONG_RECOVERY_CODE);
        }
        let token = ann.mfa_token(&api).await;
        api.recovery(BACKEND, &token, phone.recovery_code.as_deref().unwrap()).await.refused(&TOO_MANY_CODES);
        assert_eq!(dump::audited(&world.database(), "throttled.recovery_code", ann.id.as_str()), 1);
        api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap_err();
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &phone.code(&world)).await.expect("apps have a bucket of their own");
    }

    async fn the_eleventh_wrong_password_is_not_looked_at_and_neither_is_the_right_one(world: World, api: Api) {
        world.person("ann").await;
        for name in ["ann", "nobody"] {
            for _ in 0..10 {
                api.login(BACKEND, name, "wrong").await.refused(&WRONG_PASSWORD);
            }
            for password in ["wrong", PASSWORD] {
                let refusal = api.login(BACKEND, name, password).await.refused(&LOCKED);
                assert!(refusal.retry_after().is_some());
            }
        }
        api.login(NATIVE, " Ann@People.test", PASSWORD).await.refused(&LOCKED);
    }

    async fn a_right_password_forgets_the_wrong_ones_before_it(world: World, api: Api) {
        let ann = world.person("ann").await;
        for _ in 0..3 {
            for _ in 0..9 {
                api.login(BACKEND, "ann", "wrong").await.refused(&WRONG_PASSWORD);
            }
            ann.mfa_token(&api).await;
        }
    }

    async fn an_authenticator_is_disabled_at_the_hundredth_failure_across_restarts(mut world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let mut api = api;
        for failure in 1..=100 {
            world.advance(3600);
            if failure % 30 == 0 {
                world.restart().await;
                api = world.api(api.transport());
            }
            let token = ann.mfa_token(&api).await;
            api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&WRONG_OTP);
        }
        world.advance(30 * 86_400);
        let token = ann.mfa_token(&api).await;
        let app = api.list(&token).await.unwrap().into_iter().find(|entry| entry.kind == "otp").unwrap();
        assert!(!app.active, "disabled");
        api.otp(BACKEND, &token, &phone.code(&world)).await.refused(&WRONG_OTP);
        api.associate(&token).await.refused(&ALREADY_ENROLLED);
        // The owner recovers, removes it and enrols again.
        let wish = Wish { audience: Some(MFA_API), scope: Some(MFA_SCOPES), ..Wish::default() };
        let token = api.login_for(BACKEND, &ann.username, PASSWORD, wish).await.unwrap().mfa_token();
        let recovered = api.recovery(BACKEND, &token, phone.recovery_code.as_deref().unwrap()).await;
        let recovered = recovered.expect("recovery codes still work");
        api.delete(&recovered.access_token, &app.id).await.unwrap();
        let token = ann.mfa_token(&api).await;
        assert_eq!(api.list(&token).await.unwrap(), [], "the recovery code went with the last app");
        let new = ann.enrol(&world, &api).await;
        ann.log_in(&world, &api, &new).await;
        let token = ann.mfa_token(&api).await;
        for code in [phone.recovery_code.as_deref(), recovered.recovery_code.as_deref()] {
            api.recovery(BACKEND, &token, code.unwrap()).await.refused(&WRONG_RECOVERY_CODE);
        }
        api.otp(BACKEND, &token, &phone.code(&world)).await.refused(&WRONG_OTP);
        api.recovery(BACKEND, &token, new.recovery_code.as_deref().unwrap()).await.unwrap();
    }
}

everywhere! {
    in Tenant::default().with_devices();

    async fn a_device_is_disabled_at_the_hundredth_wrong_number_and_its_app_with_it(world: World, api: Api) {
        let (ann, device) = (world.person("ann").await, Device::new("ann"));
        let (_, registration) = ann.enrol_device(&api, &device).await;
        for _ in 0..100 {
            world.advance(3600);
            let (_, asked, pushed) = ann.asked(&world, &api).await;
            let wrong = device.answer(&world, &pushed, true, Some(other_number(&asked.number.unwrap())));
            api.resolve(&pushed.token, &wrong).await.refused(&WRONG_NUMBER);
        }
        let token = ann.mfa_token(&api).await;
        let listed = api.list(&token).await.unwrap();
        let enrolled: Vec<_> = listed.iter().filter(|entry| entry.id.ends_with(&registration.id) || entry.kind == "otp").collect();
        assert_eq!(enrolled.len(), 2, "{listed:?}");
        assert!(enrolled.iter().all(|entry| !entry.active), "{listed:?}");
        api.ask(BACKEND, &token, None).await.unwrap_err();
        api.update_device(&registration.id, &registration.token, "x", "push-x").await.refused(&BAD_DEVICE_TOKEN);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_mistypes_now_and_then_and_logs_in_keeps_device_and_app() {
    let world = World::start(Store::Sqlite, Tenant::default().with_devices()).await;
    let api = world.api(Transport::Grpc);
    let (ann, device) = (world.person("ann").await, Device::new("ann"));
    ann.enrol_device(&api, &device).await;
    for _ in 0..101 {
        world.advance(4 * 86_400);
        let (_, asked, pushed) = ann.asked(&world, &api).await;
        let wrong = device.answer(&world, &pushed, true, Some(other_number(&asked.number.unwrap())));
        api.resolve(&pushed.token, &wrong).await.refused(&WRONG_NUMBER);
        ann.log_in_by(&world, &api, &device).await;
    }
    let token = ann.mfa_token(&api).await;
    let listed = api.list(&token).await.unwrap();
    assert!(listed.iter().filter(|entry| entry.kind != "recovery-code").all(|entry| entry.active), "{listed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tries_come_back_more_slowly_as_the_ceiling_nears() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let api = world.api(Transport::Http);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let mut failures = 0;
    for expected in [360, 360, 360, 360, 1800, 1800, 1800, 3600, 3600] {
        // A day fills the bucket at any pace.
        world.advance(86_400);
        let token = ann.mfa_token(&api).await;
        for _ in 0..10 {
            failures += 1;
            api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&WRONG_OTP);
        }
        let refusal = api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&TOO_MANY_CODES);
        assert_eq!(refusal.retry_after(), Some(expected), "after {failures} failures");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logins_have_a_rate_per_person_and_userinfo_too() {
    let tenant = Tenant::default().section("limits.password_rate", &["capacity = 20", "refill = '6s'"]);
    let world = World::start(Store::Sqlite, tenant).await;
    let api = world.api(Transport::Http);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    world.advance(120);
    for _ in 0..20 {
        ann.mfa_token(&api).await;
    }
    let refusal = ann.password(&api).await.refused(&RATE_LIMITED);
    assert_eq!(refusal.retry_after(), Some(6));
    world.advance(6);
    let token = ann.mfa_token(&api).await;
    let tokens = api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
    for _ in 0..10 {
        api.subject(&tokens.access_token).await.unwrap();
    }
    api.subject(&tokens.access_token).await.refused(&RATE_LIMITED);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_tries_are_spent_the_login_ends_with_them() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    for transport in [Transport::Http, Transport::Grpc] {
        let api = world.api(transport);
        let (ann, phone) = world.enrolled(&api, &format!("ann-{transport:?}")).await;
        let token = exhaust(&world, &api, &ann, &phone).await;
        api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&TOO_MANY_CODES);
        world.advance(361);
        api.otp(BACKEND, &token, &phone.code(&world)).await.refused(&MALFORMED_TOKEN);
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
    }
}
