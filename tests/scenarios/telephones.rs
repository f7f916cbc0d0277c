//! Telephones: enrolled by a code, for text messages and calls at once.

use countersign_proto::v1::{
    AssociateAuthenticatorRequest, ErrorReason, OobChannel, OobEnrollment, associate_authenticator_request::Enrollment,
    associate_authenticator_response::Enrollment as Details,
};
use countersign_tests::{
    api::{Entry, To, Transport},
    dump, everywhere,
    grpc::bearing,
    refusal::{
        ALREADY_ENROLLED, BAD_BEARER, BAD_OOB_CODE, BAD_PHONE, CHANNEL_DOWN, Expected, FOREIGN_PHONE, MALFORMED_TOKEN,
        NO_PHONE, NO_SUCH_AUTHENTICATOR, NOT_ENROLLED, Refused as _, STEP_UP, WRONG_BINDING_CODE,
    },
    sent::{GERMAN_NUMBER, NUMBER, authentication},
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};
use http::Method;
use serde_json::{Value, json};

/// No channel that was named is enabled.
const ONLY_CALLS_AND_MAIL: Expected = Expected {
    reason: ErrorReason::RequestMalformed,
    status: 400,
    error: "invalid_request",
    description: "oob_channels has none that is enabled here: voice, email",
};

fn without_text_messages() -> Tenant {
    Tenant::default().with_messages().section("mfa", &["factors = ['otp', 'voice', 'email']"])
}

fn without_mail() -> Tenant {
    Tenant::default().with_messages().section("mfa", &["factors = ['otp', 'sms', 'voice']"])
}

/// The part of the id that a pair shares.
fn device(entry: &Entry) -> String {
    entry.id.split_once('|').expect("an id has a prefix").1.to_owned()
}

fn kinds(listed: &[Entry]) -> Vec<(&str, bool)> {
    listed.iter().map(|entry| (entry.channel.as_deref().unwrap_or(&entry.kind), entry.active)).collect()
}

everywhere! {
    in without_mail();

    async fn a_newcomer_enrols_a_telephone_and_logs_in_with_the_next_code(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        api.send_code(BACKEND, &token, None, None).await.refused(&NOT_ENROLLED);
        let (sent, message) = world.sent(api.associate_oob(&token, To::Phone("sms", "+1 (202) 555-0123"))).await;
        let [recovery] = sent.recovery_codes.as_slice() else { panic!("one recovery code") };
        assert_eq!(recovery.len(), 24);
        assert_eq!((message.channel.as_str(), message.to.as_str()), ("sms", NUMBER));
        let words = "is your code to add this phone to My Test Tenant. It is valid for 5 minutes. Do not share it with anyone.";
        assert_eq!(message.text, format!("{} {words}", message.code));
        assert!(message.code.len() == 6 && message.code.bytes().all(|byte| byte.is_ascii_digit()), "{}", message.code);

        let tokens = api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
        assert_eq!(api.subject(&tokens.access_token).await.unwrap(), ann.id.as_str());
        assert_eq!(tokens.expires_in, 86_400);
        assert_eq!(authentication(&tokens.access_token), (vec!["pwd".into(), "sms".into(), "mfa".into()], true));

        let token = ann.mfa_token(&api).await;
        api.associate_oob(&token, To::Phone("sms", NUMBER)).await.refused(&ALREADY_ENROLLED);
        let (sent, message) = world.sent(api.send_code(BACKEND, &token, None, None)).await;
        assert!(sent.authenticator.unwrap().starts_with("sms|dev_"));
        let words = "is your My Test Tenant verification code. It is valid for 5 minutes. Do not share it with anyone.";
        assert_eq!(message.text, format!("{} {words}", message.code));
        let tokens = api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
        assert_eq!(authentication(tokens.id_token.as_ref().unwrap()), (vec!["pwd".into(), "sms".into(), "mfa".into()], true));
        let token = ann.mfa_token(&api).await;
        api.recovery(BACKEND, &token, recovery).await.expect("one confirmation activates the recovery code");
    }

    async fn text_messages_and_calls_are_enrolled_confirmed_and_removed_together(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let (sent, message) = world.sent(api.associate_oob(&token, To::Phone("voice", NUMBER))).await;
        assert_eq!(message.channel, "voice");
        let spoken: Vec<String> = message.code.chars().map(String::from).collect();
        assert!(message.text.matches(&spoken.join(", ")).count() == 2, "each digit by itself, twice: {}", message.text);
        assert!(!message.text.contains(&message.code), "{}", message.text);
        let listed = api.list(&token).await.unwrap();
        assert_eq!(kinds(&listed), [("sms", false), ("voice", false), ("recovery-code", false)]);
        assert_eq!(device(&listed[0]), device(&listed[1]));
        assert!(listed[0].id.starts_with("sms|dev_") && listed[1].id.starts_with("voice|dev_"));

        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
        let manager = ann.manager_over(&world, &api, "sms").await;
        let listed = api.list(&manager).await.unwrap();
        assert_eq!(kinds(&listed), [("sms", true), ("voice", true), ("recovery-code", true)]);
        let tokens = ann.log_in_over(&world, &api, "voice").await;
        assert_eq!(authentication(&tokens.access_token), (vec!["pwd".into(), "tel".into(), "mfa".into()], true));

        api.delete(&manager, &listed[1].id).await.unwrap();
        api.delete(&manager, &listed[0].id).await.refused(&NO_SUCH_AUTHENTICATOR);
        let token = ann.mfa_token(&api).await;
        assert_eq!(api.list(&token).await.unwrap(), [], "the recovery code went with the last telephone");
        api.send_code(BACKEND, &token, None, None).await.refused(&NOT_ENROLLED);
    }

    async fn a_number_is_shown_by_its_last_four_digits_and_may_be_named(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let manager = ann.manager_over(&world, &api, "sms").await;
        let listed = api.list(&manager).await.unwrap();
        for entry in &listed[..2] {
            assert_eq!(entry.name.as_deref(), Some("XXXXXXXX0123"));
            assert_eq!(api.find(&manager, &entry.id).await.unwrap(), *entry);
        }
        let named = api.update(&manager, &listed[0].id, Some("My phone"), None).await.unwrap();
        assert_eq!(named.name.as_deref(), Some("My phone"));
        assert_eq!(dump::audited(&world.database(), "authenticator.updated", ann.id.as_str()), 1);
    }

    async fn a_second_telephone_is_added_with_a_token_of_the_first(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let manager = ann.manager_over(&world, &api, "sms").await;
        world.advance(1);
        let (sent, message) = world.sent(api.associate_oob(&manager, To::Phone("sms", GERMAN_NUMBER))).await;
        assert_eq!(message.to, GERMAN_NUMBER);
        assert!(sent.recovery_codes.is_empty(), "there is one");
        let tokens = api.oob(BACKEND, &manager, &sent.oob_code, &message.code).await.unwrap();
        assert_eq!((tokens.expires_in, tokens.recovery_code), (600, None));
        assert_eq!(tokens.scope.as_deref(), Some("enroll read:authenticators remove:authenticators"));
        assert_eq!(kinds(&api.list(&tokens.access_token).await.unwrap()).len(), 5);
        let (_, _, message) = ann.challenged(&world, &api, "sms").await;
        assert_eq!(message.to, GERMAN_NUMBER, "the last used");
    }

    async fn a_code_of_an_enrolment_is_no_use_to_another_enrolment(world: World, api: Api) {
        let ann = world.person("ann").await;
        let (mine, theirs) = (ann.mfa_token(&api).await, ann.mfa_token(&api).await);
        let (sent, message) = world.sent(api.associate_oob(&mine, To::Phone("sms", NUMBER))).await;
        let (thief, stolen) = world.sent(api.associate_oob(&theirs, To::Phone("sms", GERMAN_NUMBER))).await;
        api.oob(BACKEND, &mine, &sent.oob_code, &message.code).await.unwrap();
        api.oob(BACKEND, &theirs, &thief.oob_code, &stolen.code).await.unwrap_err();
        let token = ann.mfa_token(&api).await;
        assert_eq!(api.list(&token).await.unwrap().iter().filter(|entry| entry.active).count(), 3);
        let (_, message) = world.sent(api.send_code(BACKEND, &token, None, None)).await;
        assert_eq!(message.to, NUMBER);
    }

    async fn an_enrolment_that_was_not_confirmed_in_time_is_gone(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        world.sent(api.associate_oob(&token, To::Phone("sms", NUMBER))).await;
        world.advance(600);
        let token = ann.mfa_token(&api).await;
        assert!(api.list(&token).await.unwrap().iter().all(|entry| entry.kind == "recovery-code"), "only the code is left");
        api.send_code(BACKEND, &token, None, None).await.refused(&NOT_ENROLLED);
    }

    async fn numbers_that_cannot_be_dialled_are_refused_in_so_many_words(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        for (number, expected) in [
            ("", &NO_PHONE),
            ("12025550123", &BAD_PHONE),
            ("+1", &BAD_PHONE),
            ("+1202555012", &BAD_PHONE),
            ("+1202555012\u{ff13}", &BAD_PHONE),
            ("+999123456789", &BAD_PHONE),
            ("+120255501231202555012312025550123", &BAD_PHONE),
            ("+19002345678", &BAD_PHONE),
            ("+18002345678", &BAD_PHONE),
            ("+449012345678", &BAD_PHONE),
            ("+33612345678", &FOREIGN_PHONE),
        ] {
            for channel in ["sms", "voice"] {
                let refusal = world.sends_nothing(api.associate_oob(&token, To::Phone(channel, number)), expected).await;
                assert!(!format!("{refusal:?}").contains("0123"), "a number is not repeated: {refusal:?}");
            }
        }
        assert_eq!(api.list(&token).await.unwrap(), [], "nothing was begun");
    }

    async fn removing_a_telephone_kills_the_code_that_was_sent_to_it(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let manager = ann.manager_over(&world, &api, "sms").await;
        let (token, sent, message) = ann.challenged(&world, &api, "sms").await;
        let id = sent.authenticator.unwrap();
        api.delete(&manager, &id).await.unwrap();
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&MALFORMED_TOKEN);
        api.list(&token).await.refused(&BAD_BEARER);
        let token = ann.mfa_token(&api).await;
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap_err();
    }
}

everywhere! {
    in without_text_messages();

    async fn where_only_calls_are_enabled_a_telephone_is_enrolled_for_calls_alone(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        world.sends_nothing(api.associate_oob(&token, To::Phone("sms", NUMBER)), &ONLY_CALLS_AND_MAIL).await;
        ann.enrol_oob(&world, &api, To::Phone("voice", NUMBER)).await;
        let token = ann.mfa_token(&api).await;
        let listed = api.list(&token).await.unwrap();
        assert_eq!(kinds(&listed), [("voice", true), ("email", true), ("recovery-code", true)]);
        let (sent, message) = world.sent(api.send_code(BACKEND, &token, None, None)).await;
        assert_eq!(message.channel, "voice");
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_channels_the_first_that_is_enabled_is_taken() {
    let world = World::start(Store::Sqlite, without_text_messages()).await;
    let http = world.http();
    let ann = world.person("ann").await;
    let token = ann.mfa_token(&world.api(Transport::Http)).await;
    let mut arrived = 0;
    for (channels, taken) in [
        (json!(["sms", "email", "auth0"]), "email"),
        (json!(["sms", "voice", "email"]), "voice"),
        (json!(["auth0", "email", "voice"]), "email"),
        (json!("voice"), "voice"),
    ] {
        let body = json!({
            "authenticator_types": ["oob"], "oob_channels": channels, "phone_number": NUMBER, "email": "ann@work.test",
        });
        let answer = http.post_as(&token, "/mfa/associate", &body).await;
        assert_eq!((answer.status, &answer.json()["oob_channel"]), (200, &json!(taken)), "{channels}");
        arrived += 1;
        assert_eq!(world.messages(arrived).await[arrived - 1]["channel"], taken);
    }
    let body = json!({"authenticator_types": ["oob"], "oob_channel": "email"});
    let answer = http.post_as(&token, "/mfa/associate", &body).await;
    assert_eq!(answer.json()["oob_channel"], "email", "the old name of the parameter");

    let oob = OobEnrollment {
        channels: vec![OobChannel::Sms.into(), OobChannel::Voice.into(), OobChannel::Email.into()],
        phone_number: NUMBER.to_owned(),
        email: String::new(),
    };
    let request =
        AssociateAuthenticatorRequest { enrollment: Some(Enrollment::Oob(oob)), name: String::new(), end_user: None };
    let api = world.api(Transport::Grpc);
    let answer = api.grpc().associate.clone().associate_authenticator(bearing(&token, request)).await.unwrap();
    let Some(Details::Oob(details)) = answer.into_inner().enrollment else { panic!("no code was sent") };
    assert!(details.channel() == OobChannel::Voice);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_the_answers_have_the_recorded_members_and_no_others() {
    let world = World::start(Store::Sqlite, Tenant::default().with_messages()).await;
    let (http, api) = (world.http(), world.api(Transport::Http));
    let ann = world.person("ann").await;
    let token = ann.mfa_token(&api).await;
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let body = json!({"authenticator_types": ["oob"], "oob_channels": ["sms"], "phone_number": NUMBER});
    let answer = http.post_as(&token, "/mfa/associate", &body).await.json();
    let mut members = names(&answer);
    members.sort();
    assert_eq!(members, ["authenticator_type", "binding_method", "oob_channel", "oob_code", "recovery_codes"]);
    let code = world.code(1).await;
    api.oob(BACKEND, &token, answer["oob_code"].as_str().unwrap(), &code).await.unwrap();

    let token = ann.mfa_token(&api).await;
    let listed = http.call_as(&token, Method::GET, "/mfa/authenticators").await.json();
    let [sms, voice, email, recovery] = listed.as_array().unwrap().as_slice() else { panic!("{listed}") };
    for (entry, channel, kind, name) in [
        (sms, "sms", "phone", "XXXXXXXX0123"),
        (voice, "voice", "phone", "XXXXXXXX0123"),
        (email, "email", "email", "***@peop*******"),
    ] {
        assert_eq!(
            (&entry["authenticator_type"], &entry["oob_channel"], &entry["type"], &entry["name"], &entry["active"]),
            (&json!("oob"), &json!(channel), &json!(kind), &json!(name), &json!(true))
        );
        assert!(entry.get("oob_channels").is_none(), "the singular member only");
        assert!(entry["id"].as_str().unwrap().starts_with(&format!("{channel}|dev_")));
    }
    assert!(recovery.get("oob_channel").is_none() && recovery.get("name").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_password_alone_adds_no_telephone_to_one_that_is_active() {
    let world = World::start(Store::Sqlite, Tenant::default().with_messages()).await;
    let api = world.api(Transport::Http);
    let ann = world.person("ann").await;
    // Issued while there was nothing to prove, used when there is.
    let early = ann.login_to_manage(&api).await.unwrap().tokens().access_token;
    ann.enrol_oob(&world, &api, To::Phone("sms", NUMBER)).await;
    world.sends_nothing(api.associate_oob(&early, To::Phone("sms", GERMAN_NUMBER)), &STEP_UP).await;
    let (token, sent, message) = ann.challenged(&world, &api, "sms").await;
    api.oob(BACKEND, &early, &sent.oob_code, &message.code).await.refused(&STEP_UP);
    api.oob(BACKEND, &token, "cso_nonsense", &message.code).await.refused(&BAD_OOB_CODE);
    api.oob(BACKEND, &token, &sent.oob_code, message.wrong()).await.refused(&WRONG_BINDING_CODE);
    api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_is_never_changed_only_added_and_removed() {
    let world = World::start(Store::Sqlite, Tenant::default().with_messages()).await;
    let api = world.api(Transport::Http);
    let ann = world.person("ann").await;
    ann.enrol_oob(&world, &api, To::Phone("sms", NUMBER)).await;
    let manager = ann.manager_over(&world, &api, "sms").await;
    let id = api.list(&manager).await.unwrap().remove(0).id;
    let target = format!("/mfa/authenticators/{}", id.replace('|', "%7C"));
    let patch = |change: Value| world.http().request(Method::PATCH, &target).bearer_auth(&manager).json(&change);
    let refused = world.http().send(patch(json!({"phone_number": GERMAN_NUMBER}))).await;
    assert_eq!((refused.status, refused.json()["error"].as_str()), (400, Some("invalid_request")));
    // Beside something that can be changed it is a parameter that nobody knows.
    let named = world.http().send(patch(json!({"name": "Mine", "phone_number": GERMAN_NUMBER}))).await;
    assert_eq!((named.status, named.json()["name"].as_str()), (200, Some("Mine")));
    let (_, _, message) = ann.challenged(&world, &api, "sms").await;
    assert_eq!(message.to, NUMBER);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_telephone_of_a_country_that_was_taken_off_the_list_is_sent_nothing_more() {
    for transport in [Transport::Http, Transport::Grpc] {
        let mut world = World::start(Store::Sqlite, Tenant::default().with_messages()).await;
        let ann = world.with_telephone(&world.api(transport), "ann", NUMBER).await;
        let without = ["sms = ['outbox']", "voice = ['outbox']", "email = ['outbox']", "countries = ['DE']"];
        world.restart_as(Tenant::default().with_messages().section("messages", &without)).await;
        let api = world.api(transport);
        let token = ann.mfa_token(&api).await;
        for channel in ["sms", "voice"] {
            world.sends_nothing(api.send_code(BACKEND, &token, None, Some(channel)), &CHANNEL_DOWN).await;
        }
        ann.log_in_over(&world, &api, "email").await;
    }
}
