//! The table of the profiles in docs/policy.md, row by row: the same story under each of them.

use std::time::Duration;

use countersign_domain::factor::otp::step_at;
use countersign_tests::{
    api::{Api, To, Transport, Wish},
    otp,
    person::{PASSWORD, Phone},
    refusal::{
        EXPIRED_OOB_CODE, EXPIRED_TOKEN, Refused as _, TOO_MANY_CODES, TOO_MANY_SMS, WRONG_OTP, WRONG_RECOVERY_CODE,
    },
    tenant::{API, BACKEND, Tenant},
    world::{Store, World},
};

/// What a profile says.
struct Row {
    name: &'static str,
    /// When the eleventh of ten wrong codes that came one each minute is looked at, in seconds after the first.
    eleventh: u64,
    /// The steps whose codes are accepted, oldest first.
    window: std::ops::RangeInclusive<i64>,
    /// Whether an app a step ahead is followed.
    learns: bool,
    /// Whether e-mail is a factor.
    email: bool,
    /// How long refresh tokens live that are not used, and at all, in seconds.
    session: (u64, u64),
}

const ROWS: [Row; 3] = [
    Row { name: "auth0", eleventh: 360, window: -1..=1, learns: false, email: true, session: (30 * DAY, 30 * DAY) },
    Row { name: "nist-aal2", eleventh: 360, window: -1..=0, learns: true, email: false, session: (3600, DAY) },
    Row {
        name: "pci-dss-4",
        eleventh: 540 + 1800,
        window: -1..=0,
        learns: true,
        email: false,
        session: (900, DAY / 2),
    },
];

const DAY: u64 = 86_400;
const NUMBER: &str = "+1 202 555 0143";

/// A world under the profile of `row`, with every factor that it allows.
async fn world(row: &Row) -> (World, Api) {
    let factors = if row.email { "factors = ['otp', 'sms', 'email']" } else { "factors = ['otp', 'sms']" };
    let tenant = Tenant::default().with_messages().section("mfa", &[factors]).profile(row.name);
    let world = World::start(Store::Sqlite, tenant).await;
    let api = world.api(Transport::Grpc);
    (world, api)
}

fn code(phone: &Phone, world: &World, offset: i64) -> String {
    otp::code_of(&phone.secret, step_at(world.now()).checked_add_signed(offset).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_wrong_codes_are_looked_at_and_the_eleventh_when_its_time_has_come() {
    for row in &ROWS {
        let (world, api) = world(row).await;
        let (ann, phone) = world.enrolled(&api, "ann").await;
        world.advance(60);
        for (class, refusal) in [("otp", &WRONG_OTP), ("recovery", &WRONG_RECOVERY_CODE)] {
            let wrong = async |token: &str| match class {
                "otp" => api.otp(BACKEND, token, &phone.wrong(&world)).await,
                _ => api.recovery(BACKEND, token, "AAAAAAAAAAAAAAAAAAAAAAAA").await,
            };
            let began = world.now();
            for n in 0..10 {
                // Those that come back in between are not waited for: with six minutes one does.
                if n < 5 || row.eleventh > 360 {
                    world.set_time(began.plus(Duration::from_secs(60 * n)));
                }
                wrong(&ann.mfa_token(&api).await).await.refused(refusal);
            }
            world.set_time(began.plus(Duration::from_secs(row.eleventh - 1)));
            let refused = wrong(&ann.mfa_token(&api).await).await.refused(&TOO_MANY_CODES);
            assert_eq!(refused.retry_after(), Some(1), "{} {class}", row.name);
            world.advance(1);
            wrong(&ann.mfa_token(&api).await).await.refused(refusal);
            wrong(&ann.mfa_token(&api).await).await.refused(&TOO_MANY_CODES);
            world.advance(DAY);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hundredth_failure_in_a_row_disables() {
    for row in &ROWS {
        let (world, api) = world(row).await;
        let (ann, phone) = world.enrolled(&api, "ann").await;
        for _ in 0..10 {
            world.advance(DAY);
            let token = ann.mfa_token(&api).await;
            for _ in 0..10 {
                api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&WRONG_OTP);
            }
        }
        world.advance(DAY);
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &phone.code(&world)).await.refused(&WRONG_OTP);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_steps_that_are_accepted_are_those_of_the_table() {
    for row in &ROWS {
        let (world, api) = world(row).await;
        let (ann, phone) = world.enrolled(&api, "ann").await;
        for offset in -3..=3 {
            world.advance(DAY);
            let token = ann.mfa_token(&api).await;
            let outcome = api.otp(BACKEND, &token, &code(&phone, &world, offset)).await;
            assert_eq!(outcome.is_ok(), row.window.contains(&offset), "{} {offset}", row.name);
        }
    }
}

///
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_is_25_seconds_ahead_is_followed_and_one_that_is_70_ahead_is_not() {
    for row in &ROWS {
        let (world, api) = world(row).await;
        let ann = world.person("ann").await;
        // Ten seconds into a step the fast clock is in the next one.
        world.advance(10);
        let token = ann.mfa_token(&api).await;
        let association = api.associate(&token).await.unwrap();
        let phone = Phone::new(association.secret, None);
        let shown = |ahead: u64| otp::code_at(&phone.secret, world.now().plus(Duration::from_secs(ahead)));
        api.otp(BACKEND, &token, &shown(25)).await.unwrap();
        for _ in 0..5 {
            world.advance(60);
            let token = ann.mfa_token(&api).await;
            api.otp(BACKEND, &token, &shown(25)).await.unwrap_or_else(|refusal| panic!("{}: {refusal:?}", row.name));
        }
        for _ in 0..2 {
            world.advance(60);
            let token = ann.mfa_token(&api).await;
            api.otp(BACKEND, &token, &shown(70)).await.refused(&WRONG_OTP);
        }
        // The window has moved and is no wider. The present step is in it, for a clock that was put right.
        world.advance(60);
        let token = ann.mfa_token(&api).await;
        let late = api.otp(BACKEND, &token, &code(&phone, &world, -1)).await;
        assert_eq!(late.is_err(), row.learns, "{}", row.name);
        for offset in [0, 1] {
            world.advance(60);
            let token = ann.mfa_token(&api).await;
            api.otp(BACKEND, &token, &code(&phone, &world, offset)).await.unwrap();
            // What was accepted is dead, and what was before it, wherever the window is.
            for dead in [offset, offset - 1] {
                let token = ann.mfa_token(&api).await;
                api.otp(BACKEND, &token, &code(&phone, &world, dead)).await.refused(&WRONG_OTP);
            }
        }
    }
}

/// R-008, where the window has room ahead: a clock that goes wrong later is followed, a step with each code, and no further than two.
#[tokio::test(flavor = "multi_thread")]
async fn each_code_teaches_where_the_window_has_room() {
    let window = ["behind = 1", "ahead = 1", "learn_drift = true"];
    let world = World::start(Store::Sqlite, Tenant::default().section("limits.otp_window", &window)).await;
    let api = world.api(Transport::Grpc);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let tried = async |offset: i64| {
        world.advance(300);
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &code(&phone, &world, offset)).await.is_ok()
    };
    assert!(!tried(2).await, "nothing is learned yet");
    assert!(tried(1).await, "the clock is a step ahead");
    assert!(!tried(-1).await, "the window has moved, and is no wider");
    assert!(tried(2).await && !tried(3).await, "and no further: the present step stays in it");
    assert!(tried(0).await && tried(-1).await && tried(-2).await, "it goes back as it came");
    assert!(!tried(1).await, "and is behind now");
    assert!(tried(0).await && tried(1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_was_sent_has_six_digits_and_lives_for_five_minutes() {
    for row in &ROWS {
        let (world, api) = world(row).await;
        let ann = world.person("ann").await;
        for (seconds, good) in [(299, true), (300, false)] {
            let token = ann.mfa_token(&api).await;
            let (sent, message) = if good {
                world.sent(api.associate_oob(&token, To::Phone("sms", NUMBER))).await
            } else {
                world.sent(api.send_code(BACKEND, &token, None, None)).await
            };
            assert!(message.code.len() == 6 && message.code.bytes().all(|digit| digit.is_ascii_digit()));
            world.advance(seconds);
            let outcome = api.oob(BACKEND, &token, &sent.oob_code, &message.code).await;
            if good {
                outcome.unwrap();
            } else {
                outcome.refused(&EXPIRED_OOB_CODE);
            }
        }
    }
}

///
#[tokio::test(flavor = "multi_thread")]
async fn who_enrols_a_telephone_is_to_be_told_of_its_risks() {
    for row in &ROWS {
        let (world, grpc) = world(row).await;
        for (name, api) in [("ann", grpc), ("ben", world.api(Transport::Http))] {
            let token = world.person(name).await.mfa_token(&api).await;
            let phone = api.associate_oob(&token, To::Phone("sms", NUMBER)).await.unwrap();
            assert_eq!(phone.restricted, !row.email, "{}", row.name);
            if row.email {
                assert!(!api.associate_oob(&token, To::Email(None)).await.unwrap().restricted);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn email_is_a_factor_only_where_the_table_says_so() {
    for row in &ROWS {
        let (world, api) = world(row).await;
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let outcome = api.associate_oob(&token, To::Email(Some("ann@elsewhere.test"))).await;
        assert_eq!(outcome.is_ok(), row.email, "{}", row.name);
        assert_eq!(api.send_code(BACKEND, &token, None, Some("email")).await.is_ok(), row.email, "{}", row.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_mfa_token_lives_for_ten_minutes() {
    for row in &ROWS {
        let (world, api) = world(row).await;
        let (ann, phone) = world.enrolled(&api, "ann").await;
        for (seconds, good) in [(599, true), (600, false)] {
            world.advance(60);
            let token = ann.mfa_token(&api).await;
            world.advance(seconds);
            let outcome = api.otp(BACKEND, &token, &phone.code(&world)).await;
            if good {
                outcome.unwrap();
            } else {
                outcome.refused(&EXPIRED_TOKEN);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_text_messages_are_sent_and_then_one_an_hour() {
    for row in &ROWS {
        let (world, api) = world(row).await;
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let (sent, message) = world.sent(api.associate_oob(&token, To::Phone("sms", NUMBER))).await;
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
        let token = ann.mfa_token(&api).await;
        for _ in 0..9 {
            api.send_code(BACKEND, &token, None, Some("sms")).await.unwrap();
        }
        api.send_code(BACKEND, &token, None, Some("sms")).await.refused(&TOO_MANY_SMS);
        world.advance(3600);
        let token = ann.mfa_token(&api).await;
        api.send_code(BACKEND, &token, None, Some("sms")).await.unwrap();
        api.send_code(BACKEND, &token, None, Some("sms")).await.refused(&TOO_MANY_SMS);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_ends_as_the_table_says() {
    for row in &ROWS {
        let (world, api) = world(row).await;
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let (idle, overall) = row.session;
        let wish = Wish { audience: Some(API), scope: Some("openid offline_access"), ..Wish::default() };
        let login = async || {
            let token = api.login_for(BACKEND, &ann.username, PASSWORD, wish).await.unwrap().mfa_token();
            api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap()
        };
        let unused = login().await;
        world.advance(idle);
        assert!(api.refresh(BACKEND, unused.refresh(), None).await.is_err(), "{}", row.name);
        let mut tokens = login().await;
        let began = world.now();
        let mut passed = 0;
        while passed + idle - 1 < overall {
            passed += idle - 1;
            world.set_time(began.plus(Duration::from_secs(passed)));
            tokens = api.refresh(BACKEND, tokens.refresh(), None).await.unwrap().tokens();
        }
        world.set_time(began.plus(Duration::from_secs(overall)));
        assert!(api.refresh(BACKEND, tokens.refresh(), None).await.is_err(), "{}", row.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_nist_a_new_password_is_long_and_nobodys_first_guess() {
    let tenant = Tenant::default().profile("nist-aal2");
    let world = World::start(Store::Sqlite, tenant).await;
    let ann = world.person("annabel").await;
    let file = world.database().with_file_name("password");
    let set = async |verb: &[&str], password: &str| {
        std::fs::write(&file, password).unwrap();
        world.command(&[verb, &["--password-file", file.to_str().unwrap()]].concat()).await
    };
    for (password, rule) in [
        ("a", "at least 15 characters"),
        ("password", "at least 15 characters"),
        ("14 characters.", "at least 15 characters"),
        ("qwertyuiopqwertyuiop", "many people have"),
        ("annabel@people.test", "names"),
        ("My Test Tenant 2027!", "names"),
    ] {
        for verb in
            [&["user", "passwd", "annabel"][..], &["user", "add", "annabel.two", "--email", "annabel@people.test"]]
        {
            let ended = set(verb, password).await;
            assert_eq!(ended.code, 65, "{password}: {ended:?}");
            assert!(ended.err.contains(rule) && ended.err.contains("3.1.1.2"), "{password}: {ended:?}");
        }
    }
    assert_eq!(set(&["user", "add", "bob"], "fifteen letters").await.code, 0);
    assert_eq!(set(&["user", "passwd", "annabel"], "my tenant is annabel").await.code, 0);
    let api = world.api(Transport::Http);
    api.login(BACKEND, &ann.username, "my tenant is annabel").await.unwrap().mfa_token();
    api.login(BACKEND, &ann.username, PASSWORD).await.refused(&countersign_tests::refusal::WRONG_PASSWORD);
}
