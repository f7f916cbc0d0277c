//! Mailboxes: enrolled by a code, or there because their address is verified. They never make two factors of a password.

use countersign_tests::{
    api::{To, Wish},
    everywhere, jwt,
    person::{PASSWORD, Phone},
    refusal::{
        ALREADY_ENROLLED, BAD_EMAIL, IMPLIED, NO_SUCH_AUTHENTICATOR, NOT_ENROLLED, Refused as _, STEP_UP,
        WRONG_BINDING_CODE,
    },
    sent::{NUMBER, authentication},
    tenant::{BACKEND, MFA_API, Tenant},
};

/// What a login by mail says of itself: a password and a code, and not two factors.
fn weak() -> (Vec<String>, bool) {
    (vec!["pwd".into(), "otp".into()], false)
}

everywhere! {
    in Tenant::default().with_messages();

    async fn ones_own_mailbox_is_enrolled_by_a_code(world: World, api: Api) {
        let ann = world.unverified_person("ann").await;
        let token = ann.mfa_token(&api).await;
        assert_eq!(api.list(&token).await.unwrap(), []);
        let (sent, message) = world.sent(api.associate_oob(&token, To::Email(None))).await;
        assert_eq!((message.channel.as_str(), message.to.as_str()), ("email", ann.email.as_str()));
        assert_eq!(message.subject.as_deref(), Some("Your My Test Tenant setup code"));
        assert!(message.text.contains(&format!("{} is your code to add this e-mail address to My Test Tenant.", message.code)));
        assert_eq!(sent.recovery_codes.len(), 1);
        let tokens = api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
        assert_eq!(authentication(&tokens.access_token), weak());

        let token = ann.mfa_token(&api).await;
        let listed = api.list(&token).await.unwrap();
        assert_eq!((listed[0].channel.as_deref(), listed[0].name.as_deref()), (Some("email"), Some("***@peop*******")));
        api.associate(&token).await.refused(&ALREADY_ENROLLED);
        let (sent, message) = world.sent(api.send_code(BACKEND, &token, None, None)).await;
        assert_eq!(message.subject.as_deref(), Some("Your My Test Tenant verification code"));
        assert!(message.text.contains("someone else may know your password"), "{}", message.text);
        let tokens = api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
        assert_eq!(authentication(&tokens.access_token), weak());
    }

    async fn another_mailbox_can_be_given(world: World, api: Api) {
        let ann = world.unverified_person("ann").await;
        ann.enrol_oob(&world, &api, To::Email(Some("ann@work.example"))).await;
        let (_, sent, message) = ann.challenged(&world, &api, "email").await;
        assert_eq!(message.to, "ann@work.example");
        assert!(sent.authenticator.unwrap().starts_with("email|dev_"));
        let token = ann.mfa_token(&api).await;
        assert_eq!(api.list(&token).await.unwrap()[0].name.as_deref(), Some("***@work********"));
    }

    async fn what_is_no_address_is_refused(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        for address in ["ann", "ann@", "@work.example", "a b@work.example", "ann@work.example\r\nbcc: bob@work.example", "ann@work.example, bob@work.example"] {
            world.sends_nothing(api.associate_oob(&token, To::Email(Some(address))), &BAD_EMAIL).await;
        }
    }

    async fn a_verified_address_is_a_factor_that_nobody_enrolled(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let [implied] = <[_; 1]>::try_from(api.list(&token).await.unwrap()).unwrap();
        assert!(implied.active && implied.id.starts_with("email|dev_") && implied.kind == "oob");
        assert_eq!((implied.channel.as_deref(), implied.name.as_deref()), (Some("email"), Some("***@peop*******")));
        let again = ann.mfa_token(&api).await;
        assert_eq!(api.list(&again).await.unwrap(), std::slice::from_ref(&implied), "its id stays");

        let (sent, message) = world.sent(api.send_code(BACKEND, &token, Some(&implied.id), None)).await;
        assert_eq!((sent.authenticator.as_deref(), message.to.as_str()), (Some(implied.id.as_str()), ann.email.as_str()));
        let tokens = api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
        assert_eq!(api.subject(&tokens.access_token).await.unwrap(), ann.id.as_str());
        assert_eq!(authentication(&tokens.access_token), weak());
        assert_eq!(authentication(tokens.id_token.as_ref().unwrap()), weak());

        // It is no enrolment: the next login may still enrol something.
        let token = ann.mfa_token(&api).await;
        let association = api.associate(&token).await.unwrap();
        assert_eq!(association.recovery_codes.len(), 1);
        let phone = Phone::new(association.secret, None);
        api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
        let token = ann.mfa_token(&api).await;
        let listed = api.list(&token).await.unwrap();
        assert_eq!(listed.iter().map(|entry| entry.kind.as_str()).collect::<Vec<_>>(), ["otp", "oob", "recovery-code"]);
    }

    async fn an_address_that_nobody_has_verified_is_no_factor(world: World, api: Api) {
        let ann = world.unverified_person("ann").await;
        let token = ann.mfa_token(&api).await;
        assert_eq!(api.list(&token).await.unwrap(), []);
        world.sends_nothing(api.send_code(BACKEND, &token, None, Some("email")), &NOT_ENROLLED).await;
    }

    async fn what_follows_from_an_address_cannot_be_removed(world: World, api: Api) {
        let ann = world.person("ann").await;
        let manager = ann.login_to_manage(&api).await.unwrap().tokens().access_token;
        let id = api.list(&manager).await.unwrap().remove(0).id;
        api.delete(&manager, &id).await.refused(&IMPLIED);
        api.update(&manager, &id, Some("mine"), None).await.refused(&IMPLIED);
        ann.enrol_oob(&world, &api, To::Phone("sms", NUMBER)).await;
        let manager = ann.manager_over(&world, &api, "sms").await;
        api.delete(&manager, &id).await.refused(&IMPLIED);
        assert!(api.list(&manager).await.unwrap().iter().any(|entry| entry.id == id && entry.active));
        // Nor by somebody else, who is not even told that it is there.
        let bob = world.person("bob").await;
        let bobs = bob.login_to_manage(&api).await.unwrap().tokens().access_token;
        api.delete(&bobs, &id).await.refused(&NO_SUCH_AUTHENTICATOR);
    }

    async fn ones_own_address_is_listed_once_when_it_is_enrolled_and_stays_when_that_is_removed(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let implied = api.list(&token).await.unwrap().remove(0).id;
        ann.enrol_oob(&world, &api, To::Email(None)).await;
        let manager = ann.login_to_manage(&api).await.unwrap().tokens().access_token;
        let listed = api.list(&manager).await.unwrap();
        assert_eq!(listed.iter().filter(|entry| entry.kind == "oob").count(), 1, "{listed:?}");
        assert_ne!(listed[0].id, implied);
        api.delete(&manager, &listed[0].id).await.unwrap();
        let token = ann.mfa_token(&api).await;
        assert_eq!(api.list(&token).await.unwrap().iter().map(|entry| entry.id.as_str()).collect::<Vec<_>>(), [implied]);
    }

    async fn an_enrolment_of_ones_own_address_that_is_not_finished_hides_nothing(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let implied = api.list(&token).await.unwrap().remove(0).id;
        let (begun, unconfirmed) = world.sent(api.associate_oob(&token, To::Email(None))).await;
        let listed = api.list(&token).await.unwrap();
        let active: Vec<_> = listed.iter().filter(|entry| entry.active).map(|entry| entry.id.as_str()).collect();
        assert_eq!(active, [implied.as_str()], "{listed:?}");
        let other = ann.mfa_token(&api).await;
        let (sent, message) = world.sent(api.send_code(BACKEND, &other, None, None)).await;
        assert_eq!(sent.authenticator.as_deref(), Some(implied.as_str()));
        api.oob(BACKEND, &other, &sent.oob_code, &message.code).await.unwrap();
        // Once it is finished, it takes the place of the other.
        api.oob(BACKEND, &token, &begun.oob_code, &unconfirmed.code).await.unwrap();
        let token = ann.mfa_token(&api).await;
        let listed = api.list(&token).await.unwrap();
        assert!(listed.iter().all(|entry| entry.active && entry.id != implied), "{listed:?}");
    }

    async fn an_enrolled_address_that_was_disabled_does_not_come_back_by_itself(world: World, api: Api) {
        let ann = world.person("ann").await;
        ann.enrol_oob(&world, &api, To::Email(None)).await;
        for day in 0..11 {
            world.advance(86_400);
            let (token, sent, message) = ann.challenged(&world, &api, "email").await;
            for _ in 0..if day == 10 { 10 } else { 9 } {
                api.oob(BACKEND, &token, &sent.oob_code, message.wrong()).await.refused(&WRONG_BINDING_CODE);
            }
        }
        let token = ann.mfa_token(&api).await;
        let listed = api.list(&token).await.unwrap();
        assert!(listed.iter().all(|entry| entry.kind == "recovery-code" || !entry.active), "{listed:?}");
        assert!(api.send_code(BACKEND, &token, None, None).await.is_err());
    }

    async fn ones_own_address_in_another_spelling_is_ones_own_address(world: World, api: Api) {
        let ann = world.person("ann").await;
        ann.enrol_oob(&world, &api, To::Email(Some("Ann@People.Test"))).await;
        let token = ann.mfa_token(&api).await;
        let listed = api.list(&token).await.unwrap();
        assert_eq!(listed.iter().filter(|entry| entry.kind == "oob").count(), 1, "{listed:?}");
        let (_, message) = world.sent(api.send_code(BACKEND, &token, None, None)).await;
        assert_eq!(message.to, "Ann@people.test", "the local part stays as it was given");
    }

    async fn the_mfa_api_asks_nothing_of_who_has_no_other_factor_than_mail(world: World, api: Api) {
        let ann = world.person("ann").await;
        ann.enrol_oob(&world, &api, To::Email(Some("ann@work.example"))).await;
        let tokens = ann.login_to_manage(&api).await.unwrap().tokens();
        assert_eq!(tokens.expires_in, 600);
        assert_eq!(jwt::claims(&tokens.access_token)["aud"], MFA_API);
        assert_eq!(authentication(&tokens.access_token), (vec!["pwd".into()], false));
        // Any other audience does ask.
        ann.mfa_token(&api).await;

        // Such a token enrols an app; then there is something better to prove, and it is worth nothing any more.
        let manager = tokens.access_token;
        let phone = Phone::new(api.associate(&manager).await.unwrap().secret, None);
        api.otp(BACKEND, &manager, &phone.code(&world)).await.unwrap();
        api.associate(&manager).await.refused(&STEP_UP);
        world.sends_nothing(api.associate_oob(&manager, To::Phone("sms", NUMBER)), &STEP_UP).await;
        let listed = api.list(&manager).await.unwrap();
        for entry in &listed {
            api.delete(&manager, &entry.id).await.refused(&STEP_UP);
            api.update(&manager, &entry.id, Some("mine"), None).await.refused(&STEP_UP);
        }
        // From now on the MFA API asks.
        ann.login_to_manage(&api).await.unwrap().mfa_token();
        let manager = ann.manager(&world, &api, &phone).await;
        api.associate(&manager).await.unwrap();
    }

    async fn a_mailbox_is_enrolled_with_a_token_that_nothing_was_asked_for(world: World, api: Api) {
        let ann = world.person("ann").await;
        let manager = ann.login_to_manage(&api).await.unwrap().tokens().access_token;
        let (sent, message) = world.sent(api.associate_oob(&manager, To::Email(Some("ann@work.example")))).await;
        let tokens = api.oob(BACKEND, &manager, &sent.oob_code, &message.code).await.unwrap();
        assert_eq!(authentication(&tokens.access_token), weak());
        api.associate(&manager).await.expect("a mailbox is nothing that would have to be proven");
    }

    async fn a_code_by_mail_never_stands_in_for_a_stronger_factor(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let (token, sent, message) = ann.challenged(&world, &api, "email").await;
        let tokens = api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
        assert_eq!(authentication(&tokens.access_token), weak());

        let wish = Wish { audience: Some(MFA_API), ..Wish::default() };
        let token = api.login_for(BACKEND, "ann", PASSWORD, wish).await.unwrap().mfa_token();
        let (sent, message) = world.sent(api.send_code(BACKEND, &token, None, Some("email"))).await;
        let manager = api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap().access_token;
        assert_eq!(authentication(&manager), weak());
        let app = api.list(&manager).await.unwrap().remove(0).id;
        api.associate(&manager).await.refused(&STEP_UP);
        api.delete(&manager, &app).await.refused(&STEP_UP);
        api.update(&manager, &app, None, Some(true)).await.refused(&STEP_UP);
        ann.log_in(&world, &api, &phone).await;
    }
}

everywhere! {
    in Tenant::default().with_messages().section("mfa", &["factors = ['otp', 'sms']"]);

    async fn where_mail_is_no_factor_a_verified_address_is_none(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        assert_eq!(api.list(&token).await.unwrap(), []);
        api.send_code(BACKEND, &token, None, Some("email")).await.refused(&NOT_ENROLLED);
        api.associate_oob(&token, To::Email(None)).await.unwrap_err();
        assert!(world.message_ids().is_empty());
        ann.enrol_oob(&world, &api, To::Phone("sms", NUMBER)).await;
        let token = ann.mfa_token(&api).await;
        assert!(api.send_code(BACKEND, &token, None, Some("email")).await.is_err());
    }
}
