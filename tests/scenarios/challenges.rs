//! Which authenticator is to be proven.

use countersign_tests::{
    everywhere,
    refusal::{NO_OOB, NO_SUCH_CHALLENGE, NOT_ENROLLED, Refused as _},
    tenant::BACKEND,
};

everywhere! {
    async fn a_challenge_names_the_authenticator_it_chose(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let token = ann.mfa_token(&api).await;
        let listed = api.list(&token).await.unwrap();
        for types in ["", "otp", "OTP", "oob otp", "otp oob"] {
            assert_eq!(api.challenge(BACKEND, &token, types, None).await.unwrap(), listed[0].id, "{types:?}");
        }
        assert_eq!(api.challenge(BACKEND, &token, "otp", Some(&listed[0].id)).await.unwrap(), listed[0].id);
        api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
    }

    async fn a_challenge_of_a_type_nobody_enrolled_is_refused(world: World, api: Api) {
        let (ann, _) = world.enrolled(&api, "ann").await;
        let token = ann.mfa_token(&api).await;
        let id = api.list(&token).await.unwrap().remove(0).id;
        api.challenge(BACKEND, &token, "oob", None).await.refused(&NO_OOB);
        api.challenge(BACKEND, &token, "oob", Some(&id)).await.refused(&NO_OOB);
        assert!(api.challenge(BACKEND, &token, "carrier-pigeon", None).await.is_err());
    }

    async fn who_has_nothing_enrolled_cannot_be_challenged(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        api.challenge(BACKEND, &token, "otp", None).await.refused(&NOT_ENROLLED);
        api.associate(&token).await.unwrap();
        api.challenge(BACKEND, &token, "otp", None).await.refused(&NOT_ENROLLED);
    }

    async fn only_ones_own_active_authenticators_can_be_named(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let (bob, _) = world.enrolled(&api, "bob").await;
        let bobs = api.list(&bob.mfa_token(&api).await).await.unwrap();
        let manager = ann.manager(&world, &api, &phone).await;
        api.associate(&manager).await.unwrap();
        let token = ann.mfa_token(&api).await;
        let pending = api.list(&token).await.unwrap().into_iter().find(|entry| !entry.active).unwrap();
        for id in [bobs[0].id.as_str(), &pending.id, "totp|dev_0000000000000000", "nonsense"] {
            api.challenge(BACKEND, &token, "otp", Some(id)).await.refused(&NO_SUCH_CHALLENGE);
        }
    }

    async fn where_nobody_chooses_one_order_decides(world: World, api: Api) {
        let (ann, first) = world.enrolled(&api, "ann").await;
        let chosen = async |token: &str| api.challenge(BACKEND, token, "otp", None).await.unwrap();
        let manager = ann.manager(&world, &api, &first).await;
        let oldest = api.list(&manager).await.unwrap().remove(0).id;
        world.advance(1);
        let second = ann.add_phone(&world, &api, &manager).await;
        let ids: Vec<_> = api.list(&manager).await.unwrap().into_iter().map(|entry| entry.id).collect();
        assert_eq!(ids.len(), 3, "two apps and the recovery code");
        assert_eq!(chosen(&ann.mfa_token(&api).await).await, ids[0], "the list begins with what would be chosen");

        world.advance(60);
        ann.log_in(&world, &api, &first).await;
        assert_eq!(chosen(&ann.mfa_token(&api).await).await, oldest, "the last used");
        world.advance(60);
        ann.log_in(&world, &api, &second).await;
        let newest = chosen(&ann.mfa_token(&api).await).await;
        assert_ne!(newest, oldest, "the last used");

        let manager = ann.manager(&world, &api, &second).await;
        api.update(&manager, &oldest, None, Some(true)).await.unwrap();
        assert_eq!(chosen(&ann.mfa_token(&api).await).await, oldest, "the preferred one before the last used");
        assert_eq!(api.list(&manager).await.unwrap()[0].id, oldest);
    }
}
