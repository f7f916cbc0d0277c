//! G-14, Keycloak CVE-2026-9798: a locked user still got tokens on another way.

use countersign_tests::{
    api::Wish,
    device::{Device, ticket},
    everywhere,
    person::PASSWORD,
    refusal::{
        BAD_DEVICE_TOKEN, BAD_TICKET, BLOCKED, BLOCKED_AT_PASSWORD, BLOCKED_BEARER, LOCKED, NO_LOGIN_WAITS,
        Refused as _, WRONG_PASSWORD,
    },
    sent::NUMBER,
    tenant::{BACKEND, REALM, Tenant},
};

everywhere! {
    async fn who_is_blocked_is_refused_at_every_step_of_every_way(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let pending = ann.mfa_token(&api).await;
        let wish = Wish { scope: Some("openid offline_access"), ..Wish::default() };
        let token = api.login_for(BACKEND, &ann.username, PASSWORD, wish).await.unwrap().mfa_token();
        let lasting = api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
        assert!(world.app().set_blocked(&ann.id, true).await.unwrap());
        api.refresh(BACKEND, lasting.refresh(), None).await.refused(&BLOCKED_AT_PASSWORD);
        for realm in [None, Some(REALM)] {
            for name in [&ann.username, &ann.email] {
                let wish = Wish { realm, ..Wish::default() };
                api.login_for(BACKEND, name, PASSWORD, wish).await.refused(&BLOCKED_AT_PASSWORD);
            }
        }
        api.otp(BACKEND, &pending, &phone.code(&world)).await.refused(&BLOCKED);
        api.recovery(BACKEND, &pending, phone.recovery_code.as_deref().unwrap()).await.refused(&BLOCKED);
        api.challenge(BACKEND, &pending, "otp", None).await.unwrap_err();
        for bearer in [&pending, &manager] {
            api.list(bearer).await.refused(&BLOCKED_BEARER);
            api.associate(bearer).await.refused(&BLOCKED_BEARER);
        }
    }

    async fn who_is_locked_is_refused_with_either_password_grant(world: World, api: Api) {
        let ann = world.person("ann").await;
        for _ in 0..10 {
            api.login(BACKEND, &ann.username, "wrong").await.refused(&WRONG_PASSWORD);
        }
        for realm in [None, Some(REALM)] {
            for name in [&ann.username, &ann.email] {
                let wish = Wish { realm, ..Wish::default() };
                api.login_for(BACKEND, name, PASSWORD, wish).await.refused(&LOCKED);
            }
        }
    }
}

everywhere! {
    in Tenant::default().with_devices();

    async fn a_code_or_a_device_that_waits_lets_nobody_in_who_is_blocked(world: World, api: Api) {
        let (ann, device) = (world.with_telephone(&api, "ann", NUMBER).await, Device::new("ann"));
        let manager = ann.manager_over(&world, &api, "sms").await;
        let barcode = api.associate_push(&manager).await.unwrap();
        let registration = api.enroll_device(&ticket(&barcode), &device).await.unwrap();
        api.poll(BACKEND, &manager, &barcode.oob_code).await.unwrap();
        let begun = api.associate_push(&manager).await.unwrap();
        let (token, sent, message) = ann.challenged(&world, &api, "sms").await;
        let (asked, pushed) = world.pushed(api.ask(BACKEND, &token, None)).await;
        let (approved, answered) = {
            let token = ann.mfa_token(&api).await;
            let (approved, pushed) = world.pushed(api.ask(BACKEND, &token, None)).await;
            let answer = device.answer(&world, &pushed, true, approved.number.as_deref());
            api.resolve(&pushed.token, &answer).await.unwrap();
            (approved, token)
        };
        assert!(world.app().set_blocked(&ann.id, true).await.unwrap());
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&BLOCKED);
        api.poll(BACKEND, &answered, &approved.oob_code).await.refused(&BLOCKED);
        let answer = device.answer(&world, &pushed, true, asked.number.as_deref());
        api.resolve(&pushed.token, &answer).await.refused(&NO_LOGIN_WAITS);
        api.enroll_device(&ticket(&begun), &Device::new("another")).await.refused(&BAD_TICKET);
        api.update_device(&registration.id, &registration.token, "Mine", "push-mine").await.refused(&BAD_DEVICE_TOKEN);
        let sms = world.message_ids();
        api.send_code(BACKEND, &token, None, Some("sms")).await.unwrap_err();
        api.ask(BACKEND, &token, None).await.unwrap_err();
        assert_eq!(world.message_ids(), sms, "nothing is sent");
    }
}
