//! G-46, wagtail-2fa CVE-2020-5240: another person's device could be deleted by its id. G-49: what exists elsewhere reads like
//! what does not exist.

use countersign_tests::{
    device::Device,
    everywhere,
    person::Phone,
    refusal::{NO_SUCH_AUTHENTICATOR, NO_SUCH_CHALLENGE, Refused as _},
    sent::{GERMAN_NUMBER, NUMBER},
    tenant::BACKEND,
};

everywhere! {
    async fn anothers_authenticator_reads_like_none_and_stays(world: World, api: Api) {
        let (ann, anns) = world.enrolled(&api, "ann").await;
        let (bob, bobs) = world.enrolled(&api, "bob").await;
        let anns_id = api.list(&ann.mfa_token(&api).await).await.unwrap().remove(0).id;
        let manager = bob.manager(&world, &api, &bobs).await;
        let token = bob.mfa_token(&api).await;
        let said = |refusal: countersign_tests::refusal::Refusal| match refusal {
            countersign_tests::refusal::Refusal::Http { body, .. } => body.to_string(),
            countersign_tests::refusal::Refusal::Grpc(status) => format!("{:?} {}", status.code(), status.message()),
        };
        let mut heard: Vec<Vec<String>> = Vec::new();
        for id in [anns_id.as_str(), "totp|dev_0000000000000000"] {
            heard.push(vec![
                said(api.find(&manager, id).await.refused(&NO_SUCH_AUTHENTICATOR)),
                said(api.update(&manager, id, Some("mine"), None).await.refused(&NO_SUCH_AUTHENTICATOR)),
                said(api.delete(&manager, id).await.refused(&NO_SUCH_AUTHENTICATOR)),
                said(api.challenge(BACKEND, &token, "otp", Some(id)).await.refused(&NO_SUCH_CHALLENGE)),
            ]);
        }
        assert_eq!(heard[0], heard[1]);
        assert!(api.list(&manager).await.unwrap().iter().all(|entry| entry.id != anns_id));
        ann.log_in(&world, &api, &anns).await;
    }
}

everywhere! {
    in countersign_tests::tenant::Tenant::default().with_messages();

    async fn anothers_telephone_and_mailbox_read_like_none_and_send_nothing(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let bob = world.with_telephone(&api, "bob", GERMAN_NUMBER).await;
        let anns = api.list(&ann.mfa_token(&api).await).await.unwrap();
        let manager = bob.manager_over(&world, &api, "sms").await;
        let token = bob.mfa_token(&api).await;
        for entry in &anns {
            api.find(&manager, &entry.id).await.refused(&NO_SUCH_AUTHENTICATOR);
            api.update(&manager, &entry.id, Some("mine"), Some(true)).await.refused(&NO_SUCH_AUTHENTICATOR);
            api.delete(&manager, &entry.id).await.refused(&NO_SUCH_AUTHENTICATOR);
            world.sends_nothing(api.send_code(BACKEND, &token, Some(&entry.id), None), &NO_SUCH_CHALLENGE).await;
        }
        let tokens = ann.log_in_over(&world, &api, "voice").await;
        assert_eq!(api.subject(&tokens.access_token).await.unwrap(), ann.id.as_str());
        assert_eq!(api.list(&ann.mfa_token(&api).await).await.unwrap().len(), anns.len());
    }
}

everywhere! {
    in countersign_tests::tenant::Tenant::default().with_devices();

    async fn anothers_device_reads_like_none_and_is_not_asked(world: World, api: Api) {
        let (ann, bob) = (world.person("ann").await, world.person("bob").await);
        let (anns, bobs) = (Device::new("ann"), Device::new("bob"));
        let (_, registration) = ann.enrol_device(&api, &anns).await;
        let (_, own) = bob.enrol_device(&api, &bobs).await;
        let manager = bob.manager(&world, &api, &Phone::new(own.totp_secret.unwrap(), None)).await;
        let id = format!("push|{}", registration.id);
        api.find(&manager, &id).await.refused(&NO_SUCH_AUTHENTICATOR);
        api.update(&manager, &id, Some("mine"), Some(true)).await.refused(&NO_SUCH_AUTHENTICATOR);
        api.delete(&manager, &id).await.refused(&NO_SUCH_AUTHENTICATOR);
        let token = bob.mfa_token(&api).await;
        world.sends_nothing(api.ask(BACKEND, &token, Some(&id)), &NO_SUCH_CHALLENGE).await;
        ann.log_in_by(&world, &api, &anns).await;
    }
}
