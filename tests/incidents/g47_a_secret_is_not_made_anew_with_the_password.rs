//! G-47, Grav GHSA-7mgc: with the password alone the secret of the second factor could be made anew.

use countersign_tests::{
    everywhere,
    refusal::{ALREADY_ENROLLED, BAD_ACCESS_TOKEN, Refused as _},
};

everywhere! {
    async fn with_the_password_alone_no_secret_is_made_shown_or_removed(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let before = api.list(&ann.mfa_token(&api).await).await.unwrap();
        for _ in 0..3 {
            let token = ann.mfa_token(&api).await;
            api.associate(&token).await.refused(&ALREADY_ENROLLED);
            for entry in &before {
                api.delete(&token, &entry.id).await.refused(&BAD_ACCESS_TOKEN);
                api.update(&token, &entry.id, Some("mine"), None).await.refused(&BAD_ACCESS_TOKEN);
            }
            assert!(!format!("{:?}", api.list(&token).await.unwrap()).contains(&phone.secret));
        }
        assert_eq!(api.list(&ann.mfa_token(&api).await).await.unwrap(), before);
        ann.log_in(&world, &api, &phone).await;
    }
}
