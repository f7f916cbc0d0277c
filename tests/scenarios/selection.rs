//! Which of several factors is challenged: the one that is named, or the first of those that fit.

use countersign_tests::{
    api::{Api, To},
    device::{Device, Pushed, ticket},
    everywhere,
    person::Person,
    refusal::{NO_OOB, NO_OTP, NO_SUCH_CHALLENGE, NO_SUCH_CHANNEL, OOB_GRANT_OFF},
    sent::{GERMAN_NUMBER, NUMBER},
    tenant::{APP_ONLY, BACKEND, Tenant},
    world::World,
};

/// What is challenged when a code must be sent and nothing else is said: its way and where it went.
async fn chosen(world: &World, api: &Api, ann: &Person) -> (String, String) {
    let token = ann.mfa_token(api).await;
    let (sent, message) = world.sent(api.send_code(BACKEND, &token, None, None)).await;
    assert!(sent.authenticator.unwrap().starts_with(&message.channel));
    (message.channel, message.to)
}

everywhere! {
    in Tenant::default().with_messages();

    async fn any_of_five_factors_can_be_picked(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        for to in [To::Phone("sms", NUMBER), To::Email(Some("ann@work.example"))] {
            let (sent, message) = world.sent(api.associate_oob(&manager, to)).await;
            api.oob(BACKEND, &manager, &sent.oob_code, &message.code).await.unwrap();
        }
        let token = ann.mfa_token(&api).await;
        let listed = api.list(&token).await.unwrap();
        let shown: Vec<_> = listed.iter().map(|entry| entry.channel.as_deref().unwrap_or(&entry.kind)).collect();
        assert_eq!(shown, ["otp", "sms", "voice", "email", "email", "recovery-code"]);
        // By its id.
        for entry in &listed[1..5] {
            let (sent, message) = world.sent(api.send_code(BACKEND, &token, Some(&entry.id), None)).await;
            assert_eq!(sent.authenticator.as_deref(), Some(entry.id.as_str()));
            assert_eq!(Some(message.channel.as_str()), entry.channel.as_deref());
        }
        // By its type.
        assert_eq!(api.challenge(BACKEND, &token, "otp", None).await.unwrap(), listed[0].id);
        assert_eq!(api.challenge(BACKEND, &token, "otp oob", None).await.unwrap(), listed[0].id, "the strongest");
        // By its channel.
        for channel in ["sms", "voice", "email"] {
            let (_, message) = world.sent(api.send_code(BACKEND, &token, None, Some(channel))).await;
            assert_eq!(message.channel, channel);
        }
        assert_eq!(chosen(&world, &api, &ann).await.0, "sms", "the strongest of those that are sent");
    }

    async fn a_client_that_cannot_bring_codes_back_has_none_sent(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let (sent, message) = world.sent(api.associate_oob(&manager, To::Phone("sms", NUMBER))).await;
        api.oob(BACKEND, &manager, &sent.oob_code, &message.code).await.unwrap();
        let token = ann.password_at(&api, APP_ONLY).await.unwrap().mfa_token();
        let listed = api.list(&token).await.unwrap();
        let sms = listed.iter().find(|entry| entry.channel.as_deref() == Some("sms")).unwrap();
        world.sends_nothing(api.send_code(APP_ONLY, &token, None, None), &NO_OOB).await;
        world.sends_nothing(api.send_code(APP_ONLY, &token, None, Some("email")), &NO_OOB).await;
        world.sends_nothing(api.send_code(APP_ONLY, &token, Some(&sms.id), None), &NO_OOB).await;
        assert!(api.challenge(APP_ONLY, &token, "otp oob", None).await.unwrap().starts_with("totp|"));
        api.otp(APP_ONLY, &token, &phone.code(&world)).await.unwrap();

        // Nor does it enrol what it could not confirm.
        let bob = world.person("bob").await;
        let token = bob.password_at(&api, APP_ONLY).await.unwrap().mfa_token();
        for to in [To::Phone("sms", NUMBER), To::Phone("voice", NUMBER), To::Email(None)] {
            world.sends_nothing(api.associate_oob(&token, to), &OOB_GRANT_OFF).await;
        }
        api.associate(&token).await.expect("an app is another matter");
    }

    async fn a_type_that_does_not_fit_the_one_that_is_named_is_refused(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let manager = ann.manager_over(&world, &api, "sms").await;
        let phone = ann.add_phone(&world, &api, &manager).await;
        let token = ann.mfa_token(&api).await;
        let listed = api.list(&token).await.unwrap();
        let [app, sms, voice] = [&listed[0].id, &listed[1].id, &listed[2].id];
        world.sends_nothing(api.challenge(BACKEND, &token, "otp", Some(sms)), &NO_OTP).await;
        world.sends_nothing(api.send_code(BACKEND, &token, Some(app), None), &NO_OOB).await;
        // A channel that is not that of the one that is named.
        world.sends_nothing(api.send_code(BACKEND, &token, Some(voice), Some("sms")), &NO_OOB).await;
        world.sends_nothing(api.send_code(BACKEND, &token, None, Some("auth0")), &NO_OOB).await;
        api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
    }

    async fn who_names_a_channel_gets_it_or_is_refused(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let (sent, message) = world.sent(api.associate_oob(&manager, To::Phone("sms", NUMBER))).await;
        api.oob(BACKEND, &manager, &sent.oob_code, &message.code).await.unwrap();
        let token = ann.mfa_token(&api).await;
        let app = api.list(&token).await.unwrap().remove(0).id;
        for types in ["", "otp oob", "OOB"] {
            for (channel, taken) in [("sms", "sms"), ("VOICE", "voice"), ("Email", "email")] {
                let (chosen, message) = world.sent(api.narrowed(BACKEND, &token, types, None, channel)).await;
                assert!(chosen.starts_with(taken), "{types} {channel}: {chosen}");
                assert_eq!(message.channel, taken);
            }
            world.sends_nothing(api.narrowed(BACKEND, &token, types, None, "auth0"), &NO_OOB).await;
            world.sends_nothing(api.narrowed(BACKEND, &token, types, Some(&app), "sms"), &NO_OOB).await;
            world.sends_nothing(api.narrowed(BACKEND, &token, types, None, "fax"), &NO_SUCH_CHANNEL).await;
        }
        // It means nothing to who can handle apps alone, and is checked all the same.
        assert_eq!(api.narrowed(BACKEND, &token, "otp", None, "sms").await.unwrap(), app);
        world.sends_nothing(api.narrowed(BACKEND, &token, "otp", None, "fax"), &NO_SUCH_CHANNEL).await;
    }

    async fn what_is_foreign_pending_or_nonsense_cannot_be_named(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let bob = world.with_telephone(&api, "bob", GERMAN_NUMBER).await;
        let manager = ann.manager_over(&world, &api, "sms").await;
        world.sent(api.associate_oob(&manager, To::Phone("sms", GERMAN_NUMBER))).await;
        let bobs = api.list(&bob.mfa_token(&api).await).await.unwrap();
        let token = ann.mfa_token(&api).await;
        let listed = api.list(&token).await.unwrap();
        let pending: Vec<_> = listed.iter().filter(|entry| !entry.active).collect();
        assert_eq!(pending.len(), 2);
        let recovery = listed.iter().find(|entry| entry.kind == "recovery-code").unwrap();
        let ids = bobs.iter().chain(pending).map(|entry| entry.id.as_str());
        for id in ids.chain([recovery.id.as_str(), "sms|dev_0000000000000000", "sms|", "nonsense"]) {
            world.sends_nothing(api.send_code(BACKEND, &token, Some(id), None), &NO_SUCH_CHALLENGE).await;
        }
    }

    async fn the_preferred_one_comes_first_then_the_strongest_then_the_last_used_then_the_newest(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let manager = ann.manager_over(&world, &api, "sms").await;
        world.advance(1);
        let (sent, message) = world.sent(api.associate_oob(&manager, To::Phone("sms", GERMAN_NUMBER))).await;
        api.oob(BACKEND, &manager, &sent.oob_code, &message.code).await.unwrap();
        let sms = |to: &str| ("sms".to_owned(), to.to_owned());
        assert_eq!(chosen(&world, &api, &ann).await, sms(GERMAN_NUMBER), "the newest");

        let listed = api.list(&ann.mfa_token(&api).await).await.unwrap();
        let of = |channel: &str, end: &str| {
            let fits = listed.iter().find(|entry| {
                entry.channel.as_deref() == Some(channel) && entry.name.as_deref().is_some_and(|name| name.ends_with(end))
            });
            fits.unwrap().id.clone()
        };
        world.advance(60);
        let token = ann.mfa_token(&api).await;
        let (sent, message) = world.sent(api.send_code(BACKEND, &token, Some(&of("sms", "0123")), None)).await;
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
        assert_eq!(chosen(&world, &api, &ann).await, sms(NUMBER), "the last used");

        world.advance(60);
        let tokens = ann.log_in_over(&world, &api, "email").await;
        assert!(!tokens.access_token.is_empty());
        assert_eq!(chosen(&world, &api, &ann).await, sms(NUMBER), "a stronger kind before a later use");

        let manager = ann.manager_over(&world, &api, "sms").await;
        api.update(&manager, &of("voice", "5678"), None, Some(true)).await.unwrap();
        assert_eq!(chosen(&world, &api, &ann).await, ("voice".to_owned(), GERMAN_NUMBER.to_owned()), "the preferred");
        let (_, _, message) = ann.challenged(&world, &api, "sms").await;
        assert_eq!(message.channel, "sms", "a channel that is named narrows the choice first");
        assert_eq!(api.list(&manager).await.unwrap()[0].id, of("voice", "5678"), "the list begins with what would be chosen");
    }
}

everywhere! {
    in Tenant::default().with_devices();

    async fn a_device_is_asked_before_anything_else_and_the_last_used_of_two(world: World, api: Api) {
        let (ann, first) = (world.person("ann").await, Device::new("first"));
        ann.enrol_device(&api, &first).await;
        let token = ann.login_to_manage(&api).await.unwrap().mfa_token();
        let (asked, pushed) = world.pushed(api.ask(BACKEND, &token, None)).await;
        api.resolve(&pushed.token, &first.answer(&world, &pushed, true, asked.number.as_deref())).await.unwrap();
        let manager = api.poll(BACKEND, &token, &asked.oob_code).await.unwrap().access_token;
        let (sent, message) = world.sent(api.associate_oob(&manager, To::Phone("sms", NUMBER))).await;
        api.oob(BACKEND, &manager, &sent.oob_code, &message.code).await.unwrap();
        world.advance(60);
        let second = Device::new("second");
        let barcode = api.associate_push(&manager).await.unwrap();
        api.enroll_device(&ticket(&barcode), &second).await.unwrap();
        api.poll(BACKEND, &manager, &barcode.oob_code).await.unwrap();

        let to = |pushed: &Pushed| pushed.line["to"].as_str().unwrap().to_owned();
        let listed = api.list(&ann.mfa_token(&api).await).await.unwrap();
        let shown: Vec<_> = listed.iter().map(|entry| entry.channel.as_deref().unwrap_or(&entry.kind)).collect();
        assert_eq!(shown, ["auth0", "auth0", "otp", "otp", "sms", "voice", "email", "recovery-code"]);
        let (_, asked, pushed) = ann.asked(&world, &api).await;
        assert_eq!(to(&pushed), "push-second", "its enrolment was its last use");
        assert_eq!(asked.authenticator, listed[0].id, "the list begins with what is chosen");

        world.advance(60);
        let token = ann.mfa_token(&api).await;
        let (asked, pushed) = world.pushed(api.ask(BACKEND, &token, Some(&listed[1].id))).await;
        assert_eq!(to(&pushed), "push-first", "the one that is named");
        api.resolve(&pushed.token, &first.answer(&world, &pushed, true, asked.number.as_deref())).await.unwrap();
        api.poll(BACKEND, &token, &asked.oob_code).await.unwrap();
        world.advance(60);
        assert_eq!(to(&ann.asked(&world, &api).await.2), "push-first", "the last used");

        // By its type and by its channel, and a client that cannot poll is not given a device.
        let token = ann.mfa_token(&api).await;
        assert_eq!(api.challenge(BACKEND, &token, "otp", None).await.unwrap(), listed[2].id);
        let (_, message) = world.sent(api.send_code(BACKEND, &token, None, Some("sms"))).await;
        assert_eq!(message.to, NUMBER);
        let token = ann.password_at(&api, APP_ONLY).await.unwrap().mfa_token();
        assert_eq!(api.challenge(APP_ONLY, &token, "otp oob", None).await.unwrap(), listed[2].id);
    }
}
