//! Devices: enrolled with what they scan, changed and removed by themselves.

use countersign_tests::{
    api::Transport,
    device::{Device, Registration, strong, ticket},
    dump, everywhere,
    person::Phone,
    refusal::{
        ALREADY_ENROLLED, BAD_DEVICE, BAD_DEVICE_TOKEN, BAD_TICKET, EXPIRED_OOB_CODE, MALFORMED_TOKEN, NO_DEVICE,
        NO_OOB, PENDING, REJECTED, Refused as _, TICKET_TAKEN, WRONG_OTP,
    },
    sent::authentication,
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};
use serde_json::json;

everywhere! {
    in Tenant::default().with_devices();

    async fn a_device_is_enrolled_by_what_it_scans(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        let token = ann.mfa_token(&api).await;
        let barcode = api.associate_push(&token).await.unwrap();
        assert_eq!(barcode.recovery_codes.len(), 1);
        let front = "otpauth://totp/My%20Test%20Tenant:ann%40people.test?enrollment_tx_id=";
        let rest = barcode.uri.strip_prefix(front).unwrap();
        assert_eq!(&rest[32..], "&base_url=https%3A%2F%2Fid.test%2Fappliance-mfa");
        api.poll(BACKEND, &token, &barcode.oob_code).await.refused(&PENDING);
        let listed = api.list(&token).await.unwrap();
        let pending: Vec<_> = listed.iter().filter(|entry| !entry.active).map(|entry| entry.kind.as_str()).collect();
        assert_eq!(pending, ["oob", "otp", "recovery-code"]);
        let push = listed.iter().find(|entry| entry.channel.as_deref() == Some("auth0")).unwrap();
        assert!(push.id.starts_with("push|dev_") && push.name.is_none(), "{push:?}");

        let registration = api.enroll_device(&ticket(&barcode), &device).await.unwrap();
        assert_eq!(push.id, format!("push|{}", registration.id));
        assert_eq!((registration.url.as_str(), registration.issuer.as_str()), ("https://id.test/appliance-mfa", "My Test Tenant"));
        assert_eq!(registration.user, ann.id.as_str());
        let tokens = api.poll(BACKEND, &token, &barcode.oob_code).await.unwrap();
        assert_eq!(authentication(&tokens.access_token), strong());
        assert_eq!(authentication(tokens.id_token.as_ref().unwrap()), strong());
        api.poll(BACKEND, &token, &barcode.oob_code).await.refused(&MALFORMED_TOKEN);

        let token = ann.mfa_token(&api).await;
        let listed = api.list(&token).await.unwrap();
        let names: Vec<_> = listed.iter().map(|entry| (entry.kind.as_str(), entry.active, entry.name.as_deref())).collect();
        assert_eq!(
            names,
            [
                ("oob", true, Some("ann phone")),
                ("otp", true, None),
                ("oob", true, Some("***@peop*******")),
                ("recovery-code", true, None)
            ]
        );
        api.associate_push(&token).await.refused(&ALREADY_ENROLLED);
        // What came with it is an authenticator app like any other.
        let app = Phone::new(registration.totp_secret.unwrap(), None);
        api.otp(BACKEND, &token, &app.code(&world)).await.unwrap();
    }

    async fn a_ticket_is_good_for_one_device_and_five_minutes(world: World, api: Api) {
        let ann = world.person("ann").await;
        let (device, other) = (Device::new("ann"), Device::new("eve"));
        let token = ann.mfa_token(&api).await;
        let barcode = api.associate_push(&token).await.unwrap();
        let first = api.enroll_device(&ticket(&barcode), &device).await.unwrap();
        let again = api.enroll_device(&ticket(&barcode), &device).await.unwrap();
        assert_eq!(first, again, "the answer may have been lost");
        api.enroll_device(&ticket(&barcode), &other).await.refused(&TICKET_TAKEN);
        // Whatever it says of itself the second time: nothing changes.
        let mut tap = device;
        (tap.number_matching, tap.push_token) = (false, Some("push-eve".into()));
        assert_eq!(api.enroll_device(&ticket(&barcode), &tap).await.unwrap(), first);
        api.poll(BACKEND, &token, &barcode.oob_code).await.unwrap();
        // The client was quicker than the device: it still hears who it is, and no secret of what is confirmed.
        let late = api.enroll_device(&ticket(&barcode), &tap).await.unwrap();
        assert_eq!(late, Registration { totp_secret: None, ..first });
        api.enroll_device(&ticket(&barcode), &other).await.refused(&TICKET_TAKEN);
        let (_, asked, pushed) = ann.asked(&world, &api).await;
        assert!(asked.number.is_some() && pushed.line["to"] == "push-ann", "{pushed:?}");
        world.advance(300);
        api.enroll_device(&ticket(&barcode), &tap).await.refused(&BAD_TICKET);
        let bob = world.person("bob").await;
        let token = bob.mfa_token(&api).await;
        let barcode = api.associate_push(&token).await.unwrap();
        for wrong in ["x", "csapp_x", &barcode.oob_code, &"a".repeat(32)] {
            api.enroll_device(wrong, &tap).await.refused(&BAD_TICKET);
        }
        world.advance(300);
        api.enroll_device(&ticket(&barcode), &tap).await.refused(&BAD_TICKET);
        api.poll(BACKEND, &token, &barcode.oob_code).await.refused(&EXPIRED_OOB_CODE);
    }

    async fn the_app_of_a_device_that_has_not_registered_confirms_nothing(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        let token = ann.mfa_token(&api).await;
        let barcode = api.associate_push(&token).await.unwrap();
        api.otp(BACKEND, &token, "000000").await.refused(&WRONG_OTP);
        let registration = api.enroll_device(&ticket(&barcode), &device).await.unwrap();
        // Then its code confirms both.
        let app = Phone::new(registration.totp_secret.unwrap(), None);
        api.otp(BACKEND, &token, &app.code(&world)).await.unwrap();
        ann.log_in_by(&world, &api, &device).await;
    }

    async fn a_device_and_its_app_go_together(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        let (_, registration) = ann.enrol_device(&api, &device).await;
        let app = Phone::new(registration.totp_secret.unwrap(), None);
        let manager = ann.manager(&world, &api, &app).await;
        let listed = api.list(&manager).await.unwrap();
        let app_id = listed.iter().find(|entry| entry.kind == "otp").unwrap().id.clone();
        api.delete(&manager, &app_id).await.unwrap();
        let token = ann.mfa_token(&api).await;
        let left: Vec<_> = api.list(&token).await.unwrap().into_iter().filter_map(|entry| entry.channel).collect();
        assert_eq!(left, ["email"]);
        api.ask(BACKEND, &token, None).await.refused(&NO_OOB);
    }

    async fn a_second_device_is_added_with_a_token_of_two_factors(world: World, api: Api) {
        let ann = world.person("ann").await;
        let (first, second) = (Device::new("first"), Device::new("second"));
        ann.enrol_device(&api, &first).await;
        let token = ann.login_to_manage(&api).await.unwrap().mfa_token();
        let (asked, pushed) = world.pushed(api.ask(BACKEND, &token, None)).await;
        api.resolve(&pushed.token, &first.answer(&world, &pushed, true, asked.number.as_deref())).await.unwrap();
        let manager = api.poll(BACKEND, &token, &asked.oob_code).await.unwrap().access_token;
        let barcode = api.associate_push(&manager).await.unwrap();
        assert_eq!(barcode.recovery_codes, Vec::<String>::new());
        api.poll(BACKEND, &manager, &barcode.oob_code).await.refused(&PENDING);
        let registration = api.enroll_device(&ticket(&barcode), &second).await.unwrap();
        let tokens = api.poll(BACKEND, &manager, &barcode.oob_code).await.unwrap();
        assert_eq!(tokens.expires_in, 600);
        let token = ann.mfa_token(&api).await;
        let id = format!("push|{}", registration.id);
        let (asked, pushed) = world.pushed(api.ask(BACKEND, &token, Some(&id))).await;
        assert_eq!((asked.authenticator, pushed.line["to"].as_str()), (id, Some("push-second")));
    }

    async fn a_device_changes_and_removes_itself_with_its_token_or_its_key(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        let (_, registration) = ann.enrol_device(&api, &device).await;
        let own = device.own_bearer(&world, ann.id.as_str(), &device.identifier);
        let by_id = device.own_bearer(&world, ann.id.as_str(), &registration.id);
        for (bearer, name) in [(&registration.token, "Tablet"), (&own, "Watch"), (&by_id, "Clock")] {
            api.update_device(&registration.id, bearer, name, &format!("push-{name}")).await.unwrap();
            let token = ann.mfa_token(&api).await;
            assert_eq!(api.list(&token).await.unwrap()[0].name.as_deref(), Some(name));
            let (asked, pushed) = world.pushed(api.ask(BACKEND, &token, None)).await;
            assert_eq!(pushed.line["to"], format!("push-{name}"));
            assert_eq!(pushed.line["push"]["service"], "APNS");
            api.resolve(&pushed.token, &device.answer(&world, &pushed, true, asked.number.as_deref())).await.unwrap();
            api.poll(BACKEND, &token, &asked.oob_code).await.unwrap();
        }
        assert_eq!(dump::audited(&world.database(), "device.updated", ann.id.as_str()), 3);
        let told = world.notices().await.len();
        api.delete_device(&registration.id, &by_id).await.unwrap();
        assert_eq!(world.notices().await.len(), told + 1, "its owner is told of the removal");
        for bearer in [&by_id, &own, &registration.token] {
            api.delete_device(&registration.id, bearer).await.refused(&NO_DEVICE);
            api.update_device(&registration.id, bearer, "Clock", "push-clock").await.refused(&NO_DEVICE);
        }
        let token = ann.mfa_token(&api).await;
        assert_eq!(api.list(&token).await.unwrap().iter().filter(|entry| entry.kind != "oob").count(), 0);
    }

    async fn an_app_for_ios_answers_and_maintains_itself(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::apple("ann");
        let (_, registration) = ann.enrol_device(&api, &device).await;
        ann.log_in_by(&world, &api, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        api.resolve(&pushed.token, &device.answer(&world, &pushed, false, None)).await.unwrap();
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&REJECTED);
        let own = device.own_bearer(&world, ann.id.as_str(), &registration.id);
        api.update_device(&registration.id, &own, "Watch", "push-watch").await.unwrap();
        api.delete_device(&registration.id, &own).await.unwrap();
        api.delete_device(&registration.id, &own).await.refused(&NO_DEVICE);
    }

    async fn nobody_speaks_for_anothers_device(world: World, api: Api) {
        let people = world.people(&["ann", "bob"]).await;
        let [ann, bob] = <[_; 2]>::try_from(people).unwrap();
        let (device, theirs) = (Device::new("ann"), Device::new("bob"));
        let (_, mine) = ann.enrol_device(&api, &device).await;
        let (_, others) = bob.enrol_device(&api, &theirs).await;
        let forged = theirs.own_bearer(&world, ann.id.as_str(), "ann");
        let other_name = device.own_bearer(&world, ann.id.as_str(), &others.id);
        let old = {
            let bearer = device.own_bearer(&world, ann.id.as_str(), "ann");
            world.advance(7200);
            bearer
        };
        let answer = device.sign(&json!({"iss": "ann", "sub": ann.id.as_str(), "aud": "https://id.test/appliance-mfa/api/resolve-transaction",
            "iat": world.now().as_secs(), "exp": world.now().as_secs() + 30}));
        let endless = device.sign(&json!({"iss": "ann", "sub": ann.id.as_str(), "aud": "https://id.test/appliance-mfa/api/device-accounts",
            "iat": world.now().as_secs(), "exp": world.now().as_secs() + 7202}));
        let nobodys = theirs.own_bearer(&world, "auth0|nobody", "bob");
        for bearer in [others.token.as_str(), &nobodys, "csdev_YQ.b"] {
            api.delete_device(&mine.id, bearer).await.refused(&NO_DEVICE);
            api.update_device(&mine.id, bearer, "Mine", "push-eve").await.refused(&NO_DEVICE);
        }
        for bearer in [&forged, &other_name, &old, &answer, &endless, "x", "csdev_x", "csdev_a.b", "a.b.c"] {
            api.delete_device(&mine.id, bearer).await.refused(&BAD_DEVICE_TOKEN);
            api.update_device(&mine.id, bearer, "Mine", "push-eve").await.refused(&BAD_DEVICE_TOKEN);
        }
        api.delete_device("dev_nothing", &mine.token).await.refused(&NO_DEVICE);
        ann.log_in_by(&world, &api, &device).await;
    }

    async fn what_a_device_says_is_checked(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let barcode = api.associate_push(&token).await.unwrap();
        let change: [fn(&mut Device); 8] = [
            |device| device.push_token = None,
            |device| device.identifier = String::new(),
            |device| device.identifier = "x".repeat(257),
            |device| device.name = "x".repeat(65),
            |device| device.name = "a\nb".into(),
            |device| device.name = "a\u{202e}b".into(),
            |device| device.push_token = Some("x".repeat(4097)),
            |device| device.push_token = Some("a b".into()),
        ];
        for change in change {
            let mut device = Device::new("ann");
            change(&mut device);
            api.enroll_device(&ticket(&barcode), &device).await.refused(&BAD_DEVICE);
        }
        api.enroll_device(&ticket(&barcode), &Device::new("ann")).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_numbers_are_demanded_others_are_neither_enrolled_nor_asked() {
    let folder = tempfile::tempdir().unwrap();
    let (ann, plain) = {
        let world = World::start_at(folder.path(), Store::Sqlite, Tenant::default().with_devices()).await;
        let api = world.api(Transport::Http);
        let (ann, plain) = (world.person("ann").await, Device::plain("ann"));
        ann.enrol_device(&api, &plain).await;
        (ann, plain)
    };
    let factors = ["factors = ['push', 'otp', 'email']", "number_matching_required = true"];
    let tenant = Tenant::default().with_devices().section("mfa", &factors);
    let world = World::start_at(folder.path(), Store::Sqlite, tenant).await;
    let api = world.api(Transport::Http);
    let token = ann.mfa_token(&api).await;
    api.ask(BACKEND, &token, None).await.refused(&NO_OOB);
    let bob = world.person("bob").await;
    let token = bob.mfa_token(&api).await;
    let barcode = api.associate_push(&token).await.unwrap();
    api.enroll_device(&ticket(&barcode), &plain).await.refused(&BAD_DEVICE);
    api.enroll_device(&ticket(&barcode), &Device::new("bob")).await.unwrap();
    api.poll(BACKEND, &token, &barcode.oob_code).await.unwrap();
}
