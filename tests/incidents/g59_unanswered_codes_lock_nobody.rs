//! G-59, Duo: challenges that nobody answered locked people out.

use countersign_tests::{
    device::Device,
    dump, everywhere,
    refusal::TOO_MANY_SMS,
    sent::NUMBER,
    tenant::{BACKEND, Tenant},
};

everywhere! {
    in Tenant::default().with_messages();

    async fn codes_that_nobody_answers_are_no_failures_of_the_person(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let manager = ann.manager_over(&world, &api, "sms").await;
        let phone = ann.add_phone(&world, &api, &manager).await;
        // Somebody else has the password, and asks and asks.
        for _ in 3..=10 {
            ann.challenged(&world, &api, "sms").await;
            world.advance(301);
        }
        for _ in 0..12 {
            ann.challenged(&world, &api, "email").await;
            world.advance(301);
        }
        let failed = dump::audited(&world.database(), "proof_rejected.oob", ann.id.as_str());
        assert_eq!(failed, 0);
        // They limit further messages only.
        ann.log_in(&world, &api, &phone).await;
        ann.log_in_over(&world, &api, "email").await;
        world.advance(3600);
        ann.log_in_over(&world, &api, "sms").await;
        let token = ann.mfa_token(&api).await;
        let (_, _, message) = ann.challenged(&world, &api, "email").await;
        assert_eq!(message.channel, "email");
        let mut more = 0;
        while api.send_code(BACKEND, &token, None, Some("sms")).await.is_ok() {
            more += 1;
            assert!(more < 10, "the budget of messages holds");
        }
        world.sends_nothing(api.send_code(BACKEND, &token, None, Some("sms")), &TOO_MANY_SMS).await;
    }
}

everywhere! {
    in Tenant::default().with_devices();

    async fn questions_that_nobody_answers_are_no_failures_of_the_person(world: World, api: Api) {
        let (ann, device) = (world.person("ann").await, Device::new("ann"));
        ann.enrol_device(&api, &device).await;
        for _ in 0..9 {
            ann.asked(&world, &api).await;
            world.advance(301);
        }
        assert_eq!(dump::audited(&world.database(), "proof_rejected.push", ann.id.as_str()), 0);
        ann.log_in_by(&world, &api, &device).await;
    }
}
