//! What an operator does beside a running server takes effect at once.

use countersign_domain::{secret::Secret, usecase::manage_users::NewPassword};
use countersign_tests::{
    api::Wish,
    everywhere,
    person::PASSWORD,
    refusal::{
        BAD_ACCESS_TOKEN, BLOCKED, BLOCKED_AT_PASSWORD, BLOCKED_BEARER, MALFORMED_TOKEN, Refused as _, WRONG_PASSWORD,
    },
    tenant::{API, BACKEND, REALM},
};

everywhere! {
    async fn blocking_ends_what_is_pending_and_what_was_issued_for_managing(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let tokens = ann.log_in(&world, &api, &phone).await;
        let pending = ann.mfa_token(&api).await;
        world.advance(1);
        assert!(world.app().set_blocked(&ann.id, true).await.unwrap());
        ann.password(&api).await.refused(&BLOCKED_AT_PASSWORD);
        api.otp(BACKEND, &pending, &phone.code(&world)).await.refused(&BLOCKED);
        api.list(&pending).await.refused(&BLOCKED_BEARER);
        api.list(&manager).await.refused(&BLOCKED_BEARER);
        assert!(api.subject(&tokens.access_token).await.is_err());

        assert!(world.app().set_blocked(&ann.id, false).await.unwrap());
        api.otp(BACKEND, &pending, &phone.code(&world)).await.refused(&MALFORMED_TOKEN);
        api.list(&manager).await.refused(&BAD_ACCESS_TOKEN);
        ann.log_in(&world, &api, &phone).await;
    }

    async fn a_new_password_ends_the_old_one_and_every_pending_login(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let pending = ann.mfa_token(&api).await;
        let new = NewPassword::Plain(Secret::new("another passphrase".to_owned()));
        assert!(world.app().set_password(&ann.id, new).await.unwrap());
        api.otp(BACKEND, &pending, &phone.code(&world)).await.refused(&MALFORMED_TOKEN);
        api.list(&manager).await.refused(&BAD_ACCESS_TOKEN);
        api.login(BACKEND, "ann", PASSWORD).await.refused(&WRONG_PASSWORD);
        let wish = Wish { audience: Some(API), ..Wish::default() };
        let token = api.login_for(BACKEND, "ann", "another passphrase", wish).await.unwrap().mfa_token();
        let tokens = api.otp(BACKEND, &token, &phone.code(&world)).await.expect("the factors stay");
        assert!(api.introspect(BACKEND, &tokens.access_token).await.unwrap().is_some(), "though it is the same second");
    }

    async fn resetting_the_factors_asks_for_enrolment_again(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let pending = ann.mfa_token(&api).await;
        assert_eq!(world.app().reset_factors(&ann.id).await.unwrap(), Some(1));
        api.otp(BACKEND, &pending, &phone.code(&world)).await.refused(&MALFORMED_TOKEN);
        api.list(&manager).await.refused(&BAD_ACCESS_TOKEN);
        let token = ann.mfa_token(&api).await;
        assert_eq!(api.list(&token).await.unwrap(), []);
        api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap_err();
        let again = ann.enrol(&world, &api).await;
        ann.log_in(&world, &api, &again).await;
    }
}

everywhere! {
    async fn the_verbs_on_a_person_say_what_they_did_and_take_effect_at_once(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        // The program's clock goes on by itself while it runs; afterwards the world's is moved beyond it.
        let said = async |verb: &str| {
            let ended = world.command(&["user", verb, "ann"]).await;
            assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
            world.advance(120);
            ended.out
        };
        let listed = async || world.command(&["user", "list"]).await.out;
        let active = listed().await;

        let tokens = ann.log_in(&world, &api, &phone).await;
        let pending = ann.mfa_token(&api).await;
        assert_eq!(said("block").await, format!("ann of {REALM} is blocked\n"));
        ann.password(&api).await.refused(&BLOCKED_AT_PASSWORD);
        api.otp(BACKEND, &pending, &phone.code(&world)).await.refused(&BLOCKED);
        assert!(api.subject(&tokens.access_token).await.is_err());
        assert_eq!(listed().await, active.replace("\tactive\t", "\tblocked\t"));

        assert_eq!(said("unblock").await, format!("ann of {REALM} is not blocked any more\n"));
        assert_eq!(listed().await, active);
        api.otp(BACKEND, &pending, &phone.code(&world)).await.refused(&MALFORMED_TOKEN);
        ann.log_in(&world, &api, &phone).await;

        let pending = ann.mfa_token(&api).await;
        let removed = |count: usize| format!("ann of {REALM} has no factors any more; authenticators removed: {count}\n");
        assert_eq!(said("reset-mfa").await, removed(1));
        api.otp(BACKEND, &pending, &phone.code(&world)).await.refused(&MALFORMED_TOKEN);
        assert_eq!(listed().await, format!("{REALM}\tann\tann@people.test\tactive\t0\t-\n"));
        assert_eq!(said("reset-mfa").await, removed(0));
        let token = ann.mfa_token(&api).await;
        assert_eq!(api.list(&token).await.unwrap(), []);
        let again = ann.enrol(&world, &api).await;
        ann.log_in(&world, &api, &again).await;

        for verb in ["block", "unblock", "reset-mfa"] {
            let ended = world.command(&["user", verb, "nobody"]).await;
            assert_eq!((ended.code, ended.out.as_str()), (67, ""), "{ended:?}");
            assert!(ended.err.contains("There is no user nobody; nothing was changed"), "{ended:?}");
        }
        ann.log_in(&world, &api, &again).await;
    }
}
