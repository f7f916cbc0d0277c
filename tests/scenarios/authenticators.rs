//! Enrolling, and what is enrolled.

use countersign_domain::factor::otp::step_at;
use countersign_tests::{
    api::Transport,
    everywhere,
    otp::{self, code_with},
    person::Phone,
    refusal::{
        ALREADY_ENROLLED, BAD_BEARER, EXPIRED_BEARER, MALFORMED_TOKEN, NO_SUCH_AUTHENTICATOR, Refused as _, WRONG_OTP,
    },
    tenant::BACKEND,
};
use tokio::task::JoinSet;
use totp_rs::Algorithm;

everywhere! {
    async fn a_pending_authenticator_never_completes_the_login_of_who_has_an_active_one(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let pending = Phone::new(api.associate(&manager).await.unwrap().secret, None);
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &pending.code(&world)).await.refused(&WRONG_OTP);
        api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
    }

    async fn a_password_alone_cannot_add_a_factor_to_one_that_is_active(world: World, api: Api) {
        let (ann, _) = world.enrolled(&api, "ann").await;
        let token = ann.mfa_token(&api).await;
        api.associate(&token).await.refused(&ALREADY_ENROLLED);
        assert_eq!(api.list(&token).await.unwrap().len(), 2, "nothing was added");
    }

    async fn an_enrolment_begun_before_another_was_confirmed_dies_with_it(world: World, api: Api) {
        let ann = world.person("ann").await;
        let (mine, theirs) = (ann.mfa_token(&api).await, ann.mfa_token(&api).await);
        let phone = Phone::new(api.associate(&mine).await.unwrap().secret, None);
        let thief = Phone::new(api.associate(&theirs).await.unwrap().secret, None);
        api.otp(BACKEND, &mine, &phone.code(&world)).await.unwrap();
        assert!(api.otp(BACKEND, &theirs, &thief.code(&world)).await.is_err(), "only an active factor counts now");
        let token = ann.mfa_token(&api).await;
        assert!(api.otp(BACKEND, &token, &thief.code(&world)).await.is_err());
        api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
    }

    async fn repeating_an_association_makes_another_pending_authenticator(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let first = api.associate(&token).await.unwrap();
        let second = api.associate(&token).await.unwrap();
        assert_ne!(first.secret, second.secret);
        assert_eq!(first.recovery_codes.len(), 1);
        assert!(second.recovery_codes.is_empty(), "the recovery code is shown once");
        assert_eq!(api.list(&token).await.unwrap().iter().filter(|entry| entry.kind == "otp").count(), 2);
        let phone = Phone::new(second.secret, None);
        api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
        let token = ann.mfa_token(&api).await;
        let active = api.list(&token).await.unwrap().into_iter().filter(|entry| entry.active);
        assert_eq!(active.count(), 2, "the confirmed app and the recovery code");
    }

    async fn an_app_with_another_hash_and_longer_codes_is_enrolled_and_logs_in(world: World, api: Api) {
        for (name, algorithm, digits) in
            [("SHA512", Algorithm::SHA512, 8), ("SHA256", Algorithm::SHA256, 8), ("SHA256", Algorithm::SHA256, 6)]
        {
            let person = world.person(&format!("{}-{digits}", name.to_lowercase())).await;
            let token = person.mfa_token(&api).await;
            let association = api.associate_with(&token, name, digits).await.unwrap();
            for said in [format!("algorithm={name}"), format!("digits={digits}"), format!("period={}", otp::PERIOD)] {
                assert!(association.barcode_uri.contains(&said), "{said}: {}", association.barcode_uri);
            }
            let secret = association.secret;
            let code = || code_with(&secret, step_at(world.now()), algorithm, digits);
            // What an app shows that took no notice of either is another code.
            api.otp(BACKEND, &token, &otp::code_at(&secret, world.now())).await.refused(&WRONG_OTP);
            api.otp(BACKEND, &token, &code()).await.expect("the first code confirms");
            world.advance(otp::PERIOD);
            let token = person.mfa_token(&api).await;
            api.challenge(BACKEND, &token, "otp", None).await.unwrap();
            api.otp(BACKEND, &token, &code()).await.expect("the code is right");
            let token = person.mfa_token(&api).await;
            api.otp(BACKEND, &token, &code()).await.refused(&WRONG_OTP);
        }
    }

    async fn a_wrong_code_confirms_nothing(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let phone = Phone::new(api.associate(&token).await.unwrap().secret, None);
        api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&WRONG_OTP);
        assert!(api.list(&token).await.unwrap().iter().all(|entry| !entry.active));
        api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
    }

    async fn any_of_several_apps_completes_a_login(world: World, api: Api) {
        let (ann, first) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &first).await;
        let second = ann.add_phone(&world, &api, &manager).await;
        ann.log_in(&world, &api, &first).await;
        ann.log_in(&world, &api, &second).await;
        ann.log_in(&world, &api, &first).await;
    }

    async fn a_step_used_at_one_app_is_free_at_another(world: World, api: Api) {
        let (ann, first) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &first).await;
        let second = ann.add_phone(&world, &api, &manager).await;
        world.advance(30);
        let (one, two) = (first.code(&world), second.code(&world));
        for code in [one, two] {
            let token = ann.mfa_token(&api).await;
            api.otp(BACKEND, &token, &code).await.unwrap();
            let token = ann.mfa_token(&api).await;
            api.otp(BACKEND, &token, &code).await.refused(&WRONG_OTP);
        }
    }

    async fn a_name_and_a_preference_can_be_set_and_over_grpc_a_name_removed(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let id = api.list(&manager).await.unwrap().remove(0).id;
        assert_eq!(api.find(&manager, &id).await.unwrap().name, None);
        assert_eq!(api.update(&manager, &id, Some("My phone"), None).await.unwrap().name.as_deref(), Some("My phone"));
        assert_eq!(api.find(&manager, &id).await.unwrap().name.as_deref(), Some("My phone"));
        api.update(&manager, &id, None, Some(true)).await.unwrap();
        assert_eq!(api.list(&manager).await.unwrap()[0].name.as_deref(), Some("My phone"));
        match api.update(&manager, &id, Some(""), None).await {
            Ok(changed) => assert_eq!((api.transport(), changed.name), (Transport::Grpc, None)),
            // Here an empty text is absent.
            Err(refused) => {
                assert_eq!(api.transport(), Transport::Http, "{refused:?}");
                assert_eq!(api.find(&manager, &id).await.unwrap().name.as_deref(), Some("My phone"));
            }
        }
    }

    async fn deleting_the_last_authenticator_takes_the_recovery_code_along(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let id = api.list(&manager).await.unwrap().remove(0).id;
        api.delete(&manager, &id).await.unwrap();
        let token = ann.mfa_token(&api).await;
        assert_eq!(api.list(&token).await.unwrap(), [], "the next login asks for enrolment");
        api.recovery(BACKEND, &token, phone.recovery_code.as_deref().unwrap()).await.unwrap_err();
        let again = api.associate(&token).await.unwrap();
        assert_eq!(again.recovery_codes.len(), 1, "a new recovery code");
    }

    async fn deleting_one_of_two_keeps_the_other_and_the_recovery_code(world: World, api: Api) {
        let (ann, first) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &first).await;
        let first_id = api.list(&manager).await.unwrap().remove(0).id;
        let second = ann.add_phone(&world, &api, &manager).await;
        api.delete(&manager, &first_id).await.unwrap();
        api.delete(&manager, &first_id).await.refused(&NO_SUCH_AUTHENTICATOR);
        ann.log_in(&world, &api, &second).await;
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &first.code(&world)).await.refused(&WRONG_OTP);
        assert_eq!(api.list(&token).await.unwrap().len(), 2);
    }

    async fn one_token_removes_several_at_once_and_goes_on(world: World, api: Api) {
        let (ann, first) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &first).await;
        for _ in 0..4 {
            ann.add_phone(&world, &api, &manager).await;
        }
        let apps = async || {
            let all = api.list(&manager).await.unwrap().into_iter().map(|entry| entry.id);
            all.filter(|id| !id.starts_with("recovery-code")).collect::<Vec<_>>()
        };
        let ids = apps().await;
        let (last, gone) = ids.split_last().unwrap();
        let mut removals = JoinSet::new();
        for id in gone {
            let (api, manager, id) = (api.clone(), manager.clone(), id.clone());
            removals.spawn(async move { api.delete(&manager, &id).await });
        }
        for removed in removals.join_all().await {
            removed.unwrap();
        }
        assert_eq!((gone.len(), apps().await), (4, vec![last.clone()]));
    }

    async fn deleting_an_authenticator_ends_every_pending_login(world: World, api: Api) {
        let (ann, first) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &first).await;
        let id = api.list(&manager).await.unwrap().remove(0).id;
        let second = ann.add_phone(&world, &api, &manager).await;
        let token = ann.mfa_token(&api).await;
        api.delete(&manager, &id).await.unwrap();
        api.otp(BACKEND, &token, &second.code(&world)).await.refused(&MALFORMED_TOKEN);
        api.list(&token).await.refused(&BAD_BEARER);
    }

    async fn the_recovery_code_cannot_be_deleted_by_itself(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let code = api.list(&manager).await.unwrap().into_iter().find(|entry| entry.kind == "recovery-code").unwrap();
        api.delete(&manager, &code.id).await.refused(&NO_SUCH_AUTHENTICATOR);
    }

    async fn a_bearer_that_is_none_is_refused_with_its_own_text(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        world.advance(600);
        api.list(&token).await.refused(&EXPIRED_BEARER);
        api.associate(&token).await.refused(&EXPIRED_BEARER);
    }

    async fn no_more_than_51_authenticators_are_kept(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let mut made = 1;
        while api.associate(&manager).await.is_ok() {
            made += 1;
            assert!(made <= 51, "the limit holds");
        }
        assert!((50..=51).contains(&made), "{made}");
    }
}
