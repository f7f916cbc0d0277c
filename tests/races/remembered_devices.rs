//! One token of a remembered device at 64 hands at once.

use countersign_tests::{
    api::{Outcome, Wish},
    dump, everywhere,
    person::PASSWORD,
    tenant::REMEMBERING,
};

use super::race;

everywhere! {
    async fn one_login_skips_the_second_factor_and_the_device_is_forgotten(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        world.advance(60);
        let token = api.login(REMEMBERING, "ann", PASSWORD).await.unwrap().mfa_token();
        let device = api.otp_remembering(REMEMBERING, &token, &phone.code(&world)).await.unwrap().device_token.unwrap();
        let outcomes = race(|_| {
            let (api, device) = (api.clone(), device.clone());
            async move {
                let wish = Wish { device_token: Some(&device), ..Wish::default() };
                api.login_for(REMEMBERING, "ann", PASSWORD, wish).await
            }
        }).await;
        let skipped = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Outcome::Tokens(_)))).count();
        assert_eq!(skipped, 1);
        assert_eq!(dump::audited(&world.database(), "login.remembered_device", ann.id.as_str()), 1);
        assert_eq!(dump::audited(&world.database(), "remembered_device.reused", ann.id.as_str()), 1);
        assert_eq!(dump::rows(&world.database(), "refresh_family"), 0);
    }
}
