//! G-14, Keycloak CVE-2026-9798: a locked user still got tokens on another way.

use countersign_tests::{
    api::Wish,
    everywhere,
    person::PASSWORD,
    refusal::{BLOCKED, BLOCKED_AT_PASSWORD, BLOCKED_BEARER, LOCKED, Refused as _, WRONG_PASSWORD},
    tenant::{BACKEND, REALM},
};

everywhere! {
    async fn who_is_blocked_is_refused_at_every_step_of_every_way(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let pending = ann.mfa_token(&api).await;
        assert!(world.app().set_blocked(&ann.id, true).await.unwrap());
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
