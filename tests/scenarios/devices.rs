//! Devices: enrolled with what they scan, asked at a login, and answering with their key.

use countersign_tests::{
    api::Transport,
    device::{Device, Registration, other_number, ticket},
    dump, everywhere,
    person::Phone,
    refusal::{
        ALREADY_ENROLLED, BAD_ANSWER, BAD_DEVICE, BAD_DEVICE_TOKEN, BAD_OOB_CODE, BAD_TICKET, EXPIRED_OOB_CODE,
        FOREIGN_OOB_CODE, MALFORMED_TOKEN, NO_BINDING_CODE, NO_LOGIN_WAITS, NO_OOB, PENDING, REJECTED, Refused as _,
        TICKET_TAKEN, TOO_FAST, TOO_MANY_PUSHES, WRONG_NUMBER, WRONG_OTP,
    },
    sent::{NUMBER, authentication},
    tenant::{BACKEND, ISSUER, NATIVE, Tenant},
    world::{Store, World},
};
use serde_json::json;

/// What a login with a device says of itself.
fn strong() -> (Vec<String>, bool) {
    (vec!["pwd".into(), "swk".into(), "mfa".into()], true)
}

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

    async fn a_login_is_approved_with_the_number_it_shows(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        ann.enrol_device(&api, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        assert!(asked.authenticator.starts_with("push|dev_"));
        let number = asked.number.clone().unwrap();
        assert!(number.len() == 6 && number.bytes().all(|digit| digit.is_ascii_digit()), "{number}");
        let line = &pushed.line;
        assert_eq!((&line["channel"], &line["to"]), (&json!("push"), &json!("push-ann")));
        assert_eq!(line["push"]["base_url"], format!("{ISSUER}appliance-mfa"));
        assert_eq!((&line["push"]["client_name"], &line["push"]["number_matching"]), (&json!("backend"), &json!(true)));
        assert!(!line.to_string().contains(&number), "the number goes by the person");
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&PENDING);
        api.resolve(&pushed.token, &device.answer(&world, &pushed, true, Some(&number))).await.unwrap();
        // The answer's answer may be lost: it may come again, but not turn around.
        api.resolve(&pushed.token, &device.answer(&world, &pushed, true, Some(&number))).await.unwrap();
        let turned = device.answer(&world, &pushed, false, None);
        api.resolve(&pushed.token, &turned).await.refused(&NO_LOGIN_WAITS);
        let tokens = api.poll(BACKEND, &token, &asked.oob_code).await.unwrap();
        assert_eq!(api.subject(&tokens.access_token).await.unwrap(), ann.id.as_str());
        assert_eq!(authentication(&tokens.access_token), strong());
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&MALFORMED_TOKEN);
        api.resolve(&pushed.token, &turned).await.refused(&NO_LOGIN_WAITS);
        assert_eq!(dump::audited(&world.database(), "login.push", ann.id.as_str()), 1);
    }

    async fn an_app_of_the_plain_protocol_approves_without_a_number(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::plain("ann");
        ann.enrol_device(&api, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        assert_eq!(asked.number, None);
        assert_eq!(pushed.line["push"]["number_matching"], false);
        api.resolve(&pushed.token, &device.answer(&world, &pushed, true, None)).await.unwrap();
        api.poll(BACKEND, &token, &asked.oob_code).await.unwrap();
    }

    async fn a_login_is_refused_on_the_device_for_good(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        ann.enrol_device(&api, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        api.resolve(&pushed.token, &device.answer(&world, &pushed, false, None)).await.unwrap();
        for _ in 0..2 {
            api.poll(BACKEND, &token, &asked.oob_code).await.refused(&REJECTED);
        }
        let number = asked.number.as_deref();
        api.resolve(&pushed.token, &device.answer(&world, &pushed, true, number)).await.refused(&NO_LOGIN_WAITS);
        // The login itself goes on: with another question, or another factor.
        let (asked, pushed) = world.pushed(api.ask(BACKEND, &token, None)).await;
        api.resolve(&pushed.token, &device.answer(&world, &pushed, true, asked.number.as_deref())).await.unwrap();
        api.poll(BACKEND, &token, &asked.oob_code).await.unwrap();
    }

    async fn three_wrong_numbers_end_a_login(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        ann.enrol_device(&api, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        let number = asked.number.unwrap();
        let answer = |number: Option<&str>| device.answer(&world, &pushed, true, number);
        api.resolve(&pushed.token, &answer(Some(other_number(&number)))).await.refused(&WRONG_NUMBER);
        api.resolve(&pushed.token, &answer(None)).await.refused(&WRONG_NUMBER);
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&PENDING);
        let mut claims = device.claims(&world, &pushed, true, None);
        claims["binding_code"] = json!(number.parse::<u64>().unwrap());
        api.resolve(&pushed.token, &device.sign(&claims)).await.refused(&WRONG_NUMBER);
        api.resolve(&pushed.token, &answer(Some(&number))).await.refused(&NO_LOGIN_WAITS);
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&REJECTED);
        assert_eq!(dump::audited(&world.database(), "proof_rejected.push", ann.id.as_str()), 3);
        // Two wrong ones do not.
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        let number = asked.number.unwrap();
        for _ in 0..2 {
            let wrong = device.answer(&world, &pushed, true, Some(other_number(&number)));
            api.resolve(&pushed.token, &wrong).await.refused(&WRONG_NUMBER);
        }
        api.resolve(&pushed.token, &device.answer(&world, &pushed, true, Some(&number))).await.unwrap();
        api.poll(BACKEND, &token, &asked.oob_code).await.unwrap();
    }

    async fn only_the_device_itself_answers_and_only_for_this_login(world: World, api: Api) {
        let ann = world.person("ann").await;
        let (device, other) = (Device::new("ann"), Device::new("ann"));
        ann.enrol_device(&api, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        let number = asked.number.as_deref();
        api.resolve(&pushed.token, &other.answer(&world, &pushed, true, number)).await.refused(&BAD_ANSWER);
        let good = device.claims(&world, &pushed, true, number);
        let now = world.now().as_secs();
        for (claim, value) in [
            ("iss", json!("bob")),
            ("sub", json!("another challenge")),
            ("aud", json!("https://id.test/appliance-mfa/api/device-accounts")),
            ("aud", json!("https://evil.test/appliance-mfa/api/resolve-transaction")),
            ("iat", json!(now - 301)),
            ("iat", json!(now + 301)),
            ("iat", json!(i64::MAX - 1)),
            ("exp", json!(i64::MAX)),
            ("exp", json!(now - 301)),
            ("exp", json!(now + 10_000)),
            ("exp", json!(null)),
            ("auth0_guardian_method", json!("sms")),
            ("auth0_guardian_accepted", json!("true")),
            ("auth0_guardian_accepted", json!(null)),
        ] {
            let mut claims = good.clone();
            claims[claim] = value.clone();
            let refused = api.resolve(&pushed.token, &device.sign(&claims)).await;
            assert!(refused.as_ref().is_err_and(|refused| refused.is(&BAD_ANSWER)), "{claim} {value}: {refused:?}");
        }
        for response in ["a.b.c", "x", &device.sign(&json!([]))] {
            api.resolve(&pushed.token, response).await.refused(&BAD_ANSWER);
        }
        for token in ["x", "cstxn_x", &asked.oob_code] {
            api.resolve(token, &device.sign(&good)).await.refused(&NO_LOGIN_WAITS);
        }
        // An answer to one login is none to the next.
        let (second, next) = world.pushed(api.ask(BACKEND, &token, None)).await;
        api.resolve(&next.token, &device.sign(&good)).await.refused(&BAD_ANSWER);
        api.resolve(&pushed.token, &device.sign(&good)).await.refused(&NO_LOGIN_WAITS);
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&BAD_OOB_CODE);
        api.poll(BACKEND, &token, &second.oob_code).await.refused(&PENDING);
    }

    async fn a_question_is_bound_to_its_login_client_and_person(world: World, api: Api) {
        let people = world.people(&["ann", "bob"]).await;
        let [ann, bob] = <[_; 2]>::try_from(people).unwrap();
        let (device, theirs) = (Device::new("ann"), Device::new("bob"));
        ann.enrol_device(&api, &device).await;
        bob.enrol_device(&api, &theirs).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        api.resolve(&pushed.token, &theirs.answer(&world, &pushed, true, asked.number.as_deref())).await.refused(&BAD_ANSWER);
        api.resolve(&pushed.token, &device.answer(&world, &pushed, true, asked.number.as_deref())).await.unwrap();
        let (another, foreign) = (ann.mfa_token(&api).await, bob.mfa_token(&api).await);
        api.poll(BACKEND, &another, &asked.oob_code).await.refused(&FOREIGN_OOB_CODE);
        api.poll(BACKEND, &foreign, &asked.oob_code).await.refused(&FOREIGN_OOB_CODE);
        let natively = ann.password_at(&api, NATIVE).await.unwrap().mfa_token();
        api.poll(NATIVE, &natively, &asked.oob_code).await.refused(&FOREIGN_OOB_CODE);
        api.poll(BACKEND, &token, &asked.oob_code).await.unwrap();
    }

    async fn a_question_lasts_five_minutes(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        ann.enrol_device(&api, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        world.advance(299);
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&PENDING);
        world.advance(1);
        let answer = device.answer(&world, &pushed, true, asked.number.as_deref());
        api.resolve(&pushed.token, &answer).await.refused(&NO_LOGIN_WAITS);
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&EXPIRED_OOB_CODE);
        // Approved in time, but fetched too late.
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        world.advance(299);
        let answer = device.answer(&world, &pushed, true, asked.number.as_deref());
        api.resolve(&pushed.token, &answer).await.unwrap();
        world.advance(1);
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&EXPIRED_OOB_CODE);
    }

    async fn who_asks_too_often_is_told_to_slow_down(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        ann.enrol_device(&api, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        for _ in 0..12 {
            api.poll(BACKEND, &token, &asked.oob_code).await.refused(&PENDING);
        }
        let refusal = api.poll(BACKEND, &token, &asked.oob_code).await.refused(&TOO_FAST);
        assert_eq!(refusal.retry_after(), Some(5));
        if let countersign_tests::refusal::Refusal::Http { body, .. } = &refusal {
            assert_eq!(body["error_description"], "You are polling faster than allowed. Try again in 5 seconds.");
        }
        api.resolve(&pushed.token, &device.answer(&world, &pushed, true, asked.number.as_deref())).await.unwrap();
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&TOO_FAST);
        world.advance(5);
        api.poll(BACKEND, &token, &asked.oob_code).await.unwrap();
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
        let own = device.own_bearer(&world, ann.id.as_str());
        for (bearer, name) in [(&registration.token, "Tablet"), (&own, "Watch")] {
            api.update_device(&registration.id, bearer, name, &format!("push-{name}")).await.unwrap();
            let token = ann.mfa_token(&api).await;
            assert_eq!(api.list(&token).await.unwrap()[0].name.as_deref(), Some(name));
            let (asked, pushed) = world.pushed(api.ask(BACKEND, &token, None)).await;
            assert_eq!(pushed.line["to"], format!("push-{name}"));
            assert_eq!(pushed.line["push"]["service"], "APNS");
            api.resolve(&pushed.token, &device.answer(&world, &pushed, true, asked.number.as_deref())).await.unwrap();
            api.poll(BACKEND, &token, &asked.oob_code).await.unwrap();
        }
        api.delete_device(&registration.id, &own).await.unwrap();
        api.delete_device(&registration.id, &own).await.refused(&BAD_DEVICE_TOKEN);
        let token = ann.mfa_token(&api).await;
        assert_eq!(api.list(&token).await.unwrap().iter().filter(|entry| entry.kind != "oob").count(), 0);
    }

    async fn nobody_speaks_for_anothers_device(world: World, api: Api) {
        let people = world.people(&["ann", "bob"]).await;
        let [ann, bob] = <[_; 2]>::try_from(people).unwrap();
        let (device, theirs) = (Device::new("ann"), Device::new("bob"));
        let (_, mine) = ann.enrol_device(&api, &device).await;
        let (_, others) = bob.enrol_device(&api, &theirs).await;
        let forged = theirs.own_bearer(&world, ann.id.as_str());
        let old = {
            let bearer = device.own_bearer(&world, ann.id.as_str());
            world.advance(7200);
            bearer
        };
        let answer = device.sign(&json!({"iss": "ann", "sub": ann.id.as_str(), "aud": "https://id.test/appliance-mfa/api/resolve-transaction",
            "iat": world.now().as_secs(), "exp": world.now().as_secs() + 30}));
        let endless = device.sign(&json!({"iss": "ann", "sub": ann.id.as_str(), "aud": "https://id.test/appliance-mfa/api/device-accounts",
            "iat": world.now().as_secs(), "exp": world.now().as_secs() + 7201}));
        for bearer in [others.token.as_str(), &forged, &old, &answer, &endless, "x", "csdev_x", "csdev_a.b", "a.b.c"] {
            api.delete_device(&mine.id, bearer).await.refused(&BAD_DEVICE_TOKEN);
            api.update_device(&mine.id, bearer, "Mine", "push-eve").await.refused(&BAD_DEVICE_TOKEN);
        }
        api.delete_device("dev_nothing", &mine.token).await.refused(&BAD_DEVICE_TOKEN);
        ann.log_in_by(&world, &api, &device).await;
    }

    async fn five_questions_a_minute_and_ten_that_nobody_answers(world: World, api: Api) {
        let (ann, device) = (world.person("ann").await, Device::new("ann"));
        let (_, registration) = ann.enrol_device(&api, &device).await;
        let app = Phone::new(registration.totp_secret.unwrap(), None);
        for _ in 0..2 {
            for _ in 0..5 {
                let token = ann.mfa_token(&api).await;
                world.pushed(api.ask(BACKEND, &token, None)).await;
            }
            let token = ann.mfa_token(&api).await;
            api.ask(BACKEND, &token, None).await.refused(&TOO_MANY_PUSHES);
            world.advance(60);
        }
        // Nobody has answered ten: enough of that, until something else is proven. It costs no other factor.
        let told = world.notices().await.len();
        let token = ann.mfa_token(&api).await;
        for _ in 0..2 {
            let refusal = api.ask(BACKEND, &token, None).await.refused(&TOO_MANY_PUSHES);
            assert!(refusal.retry_after() > Some(120), "{refusal:?}");
        }
        assert_eq!(world.notices().await.len(), told + 1, "the person is told once");
        api.otp(BACKEND, &token, &app.code(&world)).await.unwrap();
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

    async fn a_code_that_was_sent_needs_its_digits(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let (token, sent, message) = ann.challenged(&world, &api, "sms").await;
        api.poll(BACKEND, &token, &sent.oob_code).await.refused(&NO_BINDING_CODE);
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
    }

    async fn a_device_that_was_removed_answers_nothing(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        let (_, registration) = ann.enrol_device(&api, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        api.delete_device(&registration.id, &registration.token).await.unwrap();
        let answer = device.answer(&world, &pushed, true, asked.number.as_deref());
        api.resolve(&pushed.token, &answer).await.refused(&NO_LOGIN_WAITS);
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&MALFORMED_TOKEN);
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
