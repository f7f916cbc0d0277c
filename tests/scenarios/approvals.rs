//! Logins that a device is asked about, and answers with its key.

use countersign_tests::{
    device::{Device, other_number, strong},
    dump, everywhere,
    person::Phone,
    refusal::{
        BAD_ANSWER, BAD_OOB_CODE, EXPIRED_OOB_CODE, FOREIGN_OOB_CODE, MALFORMED_TOKEN, NO_BINDING_CODE, NO_LOGIN_WAITS,
        PENDING, REJECTED, Refused as _, TOO_FAST, TOO_MANY_NUMBERS, TOO_MANY_PUSHES, WRONG_NUMBER,
    },
    sent::{NUMBER, authentication},
    tenant::{BACKEND, ISSUER, NATIVE, Tenant},
};
use serde_json::json;

everywhere! {
    in Tenant::default().with_devices();

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

    async fn ten_wrong_numbers_over_many_questions_use_up_the_persons_tries(world: World, api: Api) {
        let (ann, device) = (world.person("ann").await, Device::new("ann"));
        let (_, registration) = ann.enrol_device(&api, &device).await;
        for tries in [3, 3, 3, 1] {
            let (_, asked, pushed) = ann.asked(&world, &api).await;
            let wrong = device.answer(&world, &pushed, true, Some(other_number(&asked.number.unwrap())));
            for _ in 0..tries {
                api.resolve(&pushed.token, &wrong).await.refused(&WRONG_NUMBER);
            }
        }
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        let right = device.answer(&world, &pushed, true, asked.number.as_deref());
        api.resolve(&pushed.token, &right).await.refused(&TOO_MANY_NUMBERS);
        assert_eq!(dump::audited(&world.database(), "throttled.push", ann.id.as_str()), 1);
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&PENDING);
        // Other factors have tries of their own.
        let app = Phone::new(registration.totp_secret.unwrap(), None);
        api.otp(BACKEND, &token, &app.code(&world)).await.unwrap();
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
        let (token, asked, _) = ann.asked(&world, &api).await;
        for _ in 0..6 {
            api.poll(BACKEND, &token, &asked.oob_code).await.refused(&PENDING);
        }
        // Another question in the same login gives no new tries.
        let (asked, pushed) = world.pushed(api.ask(BACKEND, &token, None)).await;
        for _ in 0..6 {
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

    async fn who_asks_at_the_interval_is_never_told_to_slow_down(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        ann.enrol_device(&api, &device).await;
        // One who has nothing in hand any more, having asked as often as may be at the beginning, and one who never hurried.
        for hurried in [true, false] {
            let (token, asked, pushed) = ann.asked(&world, &api).await;
            api.poll(BACKEND, &token, &asked.oob_code).await.refused(&PENDING);
            if hurried {
                while api.poll(BACKEND, &token, &asked.oob_code).await.is_err_and(|refusal| refusal.is(&PENDING)) {}
                api.poll(BACKEND, &token, &asked.oob_code).await.refused(&TOO_FAST);
            }
            // As long as the question lasts.
            let times = 300 / asked.interval - 1;
            for _ in 1..times {
                world.advance(asked.interval);
                api.poll(BACKEND, &token, &asked.oob_code).await.refused(&PENDING);
            }
            api.resolve(&pushed.token, &device.answer(&world, &pushed, true, asked.number.as_deref())).await.unwrap();
            world.advance(asked.interval);
            api.poll(BACKEND, &token, &asked.oob_code).await.unwrap();
        }
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
