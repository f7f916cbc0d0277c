//! A profile that is chosen later holds for what was begun and enrolled before.

use std::time::Duration;

use countersign_proto::v1::ErrorReason;
use countersign_tests::{
    api::{Api, To, Transport, Wish},
    device::Device,
    person::PASSWORD,
    refusal::{BAD_OOB_CODE, Expected, NO_LOGIN_WAITS, NO_OOB, NO_SUCH_CHALLENGE, Refused as _},
    tenant::{API, BACKEND, Tenant},
    world::{Store, World},
};

const NO_EMAIL_HERE: Expected = Expected {
    reason: ErrorReason::RequestMalformed,
    status: 400,
    error: "invalid_request",
    description: "oob_channels has none that is enabled here: auth0, sms, voice",
};
const STRICT: [&str; 2] = ["nist-aal2", "pci-dss-4"];

/// A deployment without a profile and with every factor.
async fn free() -> (World, Api) {
    let world = World::start(Store::Sqlite, Tenant::default().with_devices()).await;
    let api = world.api(Transport::Http);
    (world, api)
}

/// It becomes one of `profile` that uses `factors`.
async fn becomes(world: &mut World, profile: &'static str, factors: &str) -> Api {
    let factors = format!("factors = [{factors}]");
    world.restart_as(Tenant::default().with_devices().section("mfa", &[&factors]).profile(profile)).await;
    world.api(Transport::Http)
}

///
#[tokio::test(flavor = "multi_thread")]
async fn email_that_was_enrolled_or_sent_before_proves_nothing_any_more() {
    for profile in STRICT {
        let (mut world, api) = free().await;
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let to = To::Email(Some("ann@elsewhere.test"));
        let (begun, message) = world.sent(api.associate_oob(&manager, to)).await;
        api.oob(BACKEND, &manager, &begun.oob_code, &message.code).await.unwrap();
        let entries = api.list(&manager).await.unwrap();
        let by_mail: Vec<_> = entries.into_iter().filter(|entry| entry.channel.as_deref() == Some("email")).collect();
        assert_eq!(by_mail.len(), 2, "the mailbox that was enrolled, and the address of the account");
        // In flight: a code to each, and an enrolment.
        let mut codes = Vec::new();
        for entry in &by_mail {
            let token = ann.mfa_token(&api).await;
            codes.push((token.clone(), world.sent(api.send_code(BACKEND, &token, Some(&entry.id), None)).await));
        }
        let bob = world.person("bob").await;
        let token = bob.mfa_token(&api).await;
        codes.push((token.clone(), world.sent(api.associate_oob(&token, To::Email(Some("bob@else.test")))).await));

        let api = becomes(&mut world, profile, "'push', 'otp', 'sms', 'voice'").await;
        for (token, (sent, message)) in &codes {
            api.oob(BACKEND, token, &sent.oob_code, &message.code).await.refused(&BAD_OOB_CODE);
        }
        let token = ann.mfa_token(&api).await;
        api.send_code(BACKEND, &token, None, Some("email")).await.refused(&NO_OOB);
        for entry in &by_mail {
            // What follows from the address does not even exist.
            let refusal = api.send_code(BACKEND, &token, Some(&entry.id), None).await.unwrap_err();
            assert!(refusal.is(&NO_OOB) || refusal.is(&NO_SUCH_CHALLENGE), "{refusal:?}");
        }
        let token = bob.mfa_token(&api).await;
        api.associate_oob(&token, To::Email(Some("bob@else.test"))).await.refused(&NO_EMAIL_HERE);
        api.send_code(BACKEND, &token, None, Some("email")).await.unwrap_err();
    }
}

/// R-028; a device that does not ask for the number is one of approve and deny.
#[tokio::test(flavor = "multi_thread")]
async fn a_tap_without_a_number_proves_nothing_any_more() {
    for profile in STRICT {
        let (mut world, api) = free().await;
        let mut asked = Vec::new();
        for name in ["ann", "bob"] {
            let (person, device) = (world.person(name).await, Device::plain(name));
            person.enrol_device(&api, &device).await;
            asked.push((person.asked(&world, &api).await, device, person));
        }
        let [((approved, early, first), tap, ann), ((token, late, second), other, _)] = &asked[..] else {
            panic!("two were asked");
        };
        api.resolve(&first.token, &tap.answer(&world, first, true, None)).await.unwrap();

        let api = becomes(&mut world, profile, "'push', 'otp'").await;
        api.poll(BACKEND, approved, &early.oob_code).await.refused(&BAD_OOB_CODE);
        api.resolve(&second.token, &other.answer(&world, second, true, None)).await.refused(&NO_LOGIN_WAITS);
        api.resolve(&second.token, &other.answer(&world, second, false, None))
            .await
            .expect("saying no is always right");
        api.poll(BACKEND, token, &late.oob_code).await.unwrap_err();
        let token = ann.mfa_token(&api).await;
        api.ask(BACKEND, &token, None).await.refused(&NO_OOB);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_factor_that_is_off_proves_nothing_any_more() {
    let (mut world, api) = free().await;
    let (ann, device) = (world.person("ann").await, Device::new("ann"));
    ann.enrol_device(&api, &device).await;
    let (token, asked, pushed) = ann.asked(&world, &api).await;
    api.resolve(&pushed.token, &device.answer(&world, &pushed, true, asked.number.as_deref())).await.unwrap();
    let api = becomes(&mut world, "nist-aal2", "'otp'").await;
    api.poll(BACKEND, &token, &asked.oob_code).await.refused(&BAD_OOB_CODE);
}

///
#[tokio::test(flavor = "multi_thread")]
async fn refresh_tokens_of_before_end_when_the_profile_says() {
    for (profile, idle, overall) in [("nist-aal2", 3600, 86_400), ("pci-dss-4", 900, 43_200)] {
        let (mut world, api) = free().await;
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let wish = Wish { audience: Some(API), scope: Some("openid offline_access"), ..Wish::default() };
        let login = async |api: &Api, world: &World| {
            let token = api.login_for(BACKEND, &ann.username, PASSWORD, wish).await.unwrap().mfa_token();
            api.otp(BACKEND, &token, &phone.code(world)).await.unwrap()
        };
        let (unused, mut used) = (login(&api, &world).await, login(&api, &world).await);
        let began = world.now();
        let api = becomes(&mut world, profile, "'push', 'otp'").await;
        let mut passed = 0;
        while passed + idle - 1 < overall {
            passed += idle - 1;
            world.set_time(began.plus(Duration::from_secs(passed)));
            used = api.refresh(BACKEND, used.refresh(), None).await.unwrap().tokens();
            if passed > idle {
                assert!(api.refresh(BACKEND, unused.refresh(), None).await.is_err(), "{profile}");
            }
        }
        world.set_time(began.plus(Duration::from_secs(overall)));
        assert!(api.refresh(BACKEND, used.refresh(), None).await.is_err(), "{profile}");
    }
}
