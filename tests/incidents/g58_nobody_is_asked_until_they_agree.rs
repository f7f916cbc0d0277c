//! G-58, Uber and Cisco 2022: people who were asked again and again agreed in the end. Here they are asked five times a minute and ten
//! times in all, agreeing takes the number of the login they began themselves, and a refusal tells them that somebody has their password.

use countersign_tests::{
    device::{Device, other_number},
    dump, everywhere,
    refusal::{REJECTED, Refused as _, TOO_MANY_PUSHES, WRONG_NUMBER},
    tenant::{BACKEND, Tenant},
};

everywhere! {
    in Tenant::default().with_devices();

    async fn who_has_the_password_alone_may_ask_ten_times_and_wear_nobody_down(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        ann.enrol_device(&api, &device).await;
        let mut asked = 0;
        for _ in 0..30 {
            let token = ann.mfa_token(&api).await;
            match api.ask(BACKEND, &token, None).await {
                Ok(_) => asked += 1,
                Err(refusal) => assert!(refusal.is(&TOO_MANY_PUSHES), "{refusal:?}"),
            }
            world.advance(12);
        }
        // Ten, and one that came back in each six minutes.
        assert!((10..=11).contains(&asked), "{asked}");
        let suspended = world.notices().await.into_iter().filter(|notice| notice["text"].as_str().unwrap().contains("Nobody answered"));
        assert_eq!(suspended.count(), 1);
    }

    async fn agreeing_blindly_approves_nothing(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        ann.enrol_device(&api, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        let shown_elsewhere = asked.number.unwrap();
        for number in [None, Some(other_number(&shown_elsewhere)), Some("")] {
            api.resolve(&pushed.token, &device.answer(&world, &pushed, true, number)).await.refused(&WRONG_NUMBER);
        }
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&REJECTED);
    }

    async fn a_refusal_is_written_down_and_told_once_a_day(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        ann.enrol_device(&api, &device).await;
        for _ in 0..3 {
            let (_, _, pushed) = ann.asked(&world, &api).await;
            api.resolve(&pushed.token, &device.answer(&world, &pushed, false, None)).await.unwrap();
        }
        let told = world.notices().await.into_iter().filter(|notice| notice["text"].as_str().unwrap().contains("refused on your device"));
        assert_eq!(told.count(), 1);
        assert_eq!(dump::audited(&world.database(), "device.refused", ann.id.as_str()), 3);
        assert_eq!(dump::audited(&world.database(), "device.approved", ann.id.as_str()), 0);
        world.advance(86_400);
        ann.log_in_by(&world, &api, &device).await;
        assert_eq!(dump::audited(&world.database(), "device.approved", ann.id.as_str()), 1);
        let (_, _, pushed) = ann.asked(&world, &api).await;
        api.resolve(&pushed.token, &device.answer(&world, &pushed, false, None)).await.unwrap();
        let told = world.notices().await.into_iter().filter(|notice| notice["text"].as_str().unwrap().contains("refused on your device"));
        assert_eq!(told.count(), 2);
    }
}
