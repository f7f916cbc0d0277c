//! What is sent is counted: per person, number, neighbourhood, country and deployment, and by whether anybody types it in.

use countersign_tests::{
    api::{Api, To, Transport},
    everywhere,
    person::Person,
    refusal::{Refused as _, TOO_MANY_CALLS, TOO_MANY_EMAILS, TOO_MANY_SMS},
    sent::{GERMAN_NUMBER, NUMBER, neighbour},
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};
use serde_json::json;

fn limited(what: &str) -> Tenant {
    let section = format!("limits.sends.{what}");
    Tenant::default().with_messages().section(&section, &["capacity = 3", "refill = '10m'"])
}

/// Three a day, however long one waits. The world begins at eight in the morning.
fn a_day(what: &str) -> Tenant {
    let section = format!("limits.sends.{what}");
    Tenant::default().with_messages().section(&section, &["capacity = 3", "refill = '8h'"])
}

const EIGHT_HOURS: u64 = 8 * 3600;

/// Begins an enrolment that is never finished.
async fn begin(world: &World, api: &Api, person: &Person, to: To<'_>) {
    let token = person.mfa_token(api).await;
    world.sent(api.associate_oob(&token, to)).await;
}

/// Begins one that must be refused, with ten minutes to wait.
async fn refused(world: &World, api: &Api, person: &Person, number: &str) {
    let token = person.mfa_token(api).await;
    for (channel, expected) in [("sms", &TOO_MANY_SMS), ("voice", &TOO_MANY_CALLS)] {
        let refusal = world.sends_nothing(api.associate_oob(&token, To::Phone(channel, number)), expected).await;
        assert_eq!(refusal.retry_after(), Some(600), "{number}");
    }
}

everywhere! {
    in Tenant::default().with_messages();

    async fn a_person_is_sent_ten_text_messages_and_calls_and_then_one_an_hour(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let token = ann.mfa_token(&api).await;
        for number in 2..=10 {
            let channel = if number % 2 == 0 { "voice" } else { "sms" };
            world.sent(api.send_code(BACKEND, &token, None, Some(channel))).await;
        }
        for (channel, expected) in [("sms", &TOO_MANY_SMS), ("voice", &TOO_MANY_CALLS)] {
            let refusal = world.sends_nothing(api.send_code(BACKEND, &token, None, Some(channel)), expected).await;
            assert_eq!(refusal.retry_after(), Some(3600));
        }
        world.sent(api.send_code(BACKEND, &token, None, Some("email"))).await;
        world.advance(3599);
        let token = ann.mfa_token(&api).await;
        let refusal = world.sends_nothing(api.send_code(BACKEND, &token, None, Some("sms")), &TOO_MANY_SMS).await;
        assert_eq!(refusal.retry_after(), Some(1));
        world.advance(1);
        world.sent(api.send_code(BACKEND, &token, None, Some("sms"))).await;
        world.sends_nothing(api.send_code(BACKEND, &token, None, Some("sms")), &TOO_MANY_SMS).await;
    }

    async fn a_person_is_sent_twenty_mails_and_then_one_a_minute(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        for _ in 0..20 {
            world.sent(api.send_code(BACKEND, &token, None, Some("email"))).await;
        }
        let refusal = world.sends_nothing(api.send_code(BACKEND, &token, None, Some("email")), &TOO_MANY_EMAILS).await;
        assert!(refusal.retry_after().is_some_and(|seconds| seconds >= 60), "{refusal:?}");
        world.sends_nothing(api.associate_oob(&token, To::Email(Some("ann@work.example"))), &TOO_MANY_EMAILS).await;
        // Telephones have a budget of their own.
        world.sent(api.associate_oob(&token, To::Phone("sms", NUMBER))).await;
        world.advance(60);
        world.sent(api.associate_oob(&token, To::Email(Some("ann@work.example")))).await;
        world.sends_nothing(api.associate_oob(&token, To::Email(Some("ann@work.example"))), &TOO_MANY_EMAILS).await;
    }

    async fn the_last_code_is_good_though_no_other_is_sent(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let token = ann.mfa_token(&api).await;
        let mut last = None;
        for _ in 2..=10 {
            last = Some(world.sent(api.send_code(BACKEND, &token, None, Some("sms"))).await);
        }
        world.sends_nothing(api.send_code(BACKEND, &token, None, Some("sms")), &TOO_MANY_SMS).await;
        let (sent, message) = last.unwrap();
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
        // A code that was right gives the person no further message: who has the telephone can bomb it too.
        let token = ann.mfa_token(&api).await;
        world.sends_nothing(api.send_code(BACKEND, &token, None, Some("sms")), &TOO_MANY_SMS).await;
    }

    async fn a_restart_and_a_new_login_refill_no_budget(mut world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        for _ in 2..=10 {
            ann.challenged(&world, &api, "sms").await;
        }
        world.restart().await;
        for transport in [Transport::Http, Transport::Grpc] {
            let api = world.api(transport);
            let token = ann.mfa_token(&api).await;
            world.sends_nothing(api.send_code(BACKEND, &token, None, Some("sms")), &TOO_MANY_SMS).await;
        }
    }
}

everywhere! {
    in limited("destination");

    async fn a_number_has_a_budget_whoever_asks(world: World, api: Api) {
        let people = world.people(&["ann", "bob", "cat", "dan", "eve"]).await;
        for person in &people[..3] {
            begin(&world, &api, person, To::Phone("sms", NUMBER)).await;
        }
        refused(&world, &api, &people[3], NUMBER).await;
        refused(&world, &api, &people[3], "+1 202 555-0123").await;
        begin(&world, &api, &people[3], To::Phone("sms", &neighbour(124))).await;
        world.advance(600);
        begin(&world, &api, &people[4], To::Phone("voice", NUMBER)).await;
        refused(&world, &api, &people[4], NUMBER).await;
    }

    async fn a_mailbox_has_a_budget_whoever_asks(world: World, api: Api) {
        let people = world.people(&["ann", "bob", "cat", "dan"]).await;
        for person in &people[..3] {
            begin(&world, &api, person, To::Email(Some("victim@work.example"))).await;
        }
        let token = people[3].mfa_token(&api).await;
        for spelling in [
            "victim@work.example",
            "Victim@Work.Example",
            "victim+1@work.example",
            "\"victim\"@work.example",
            "\"vic\\tim+a\"@work.example",
        ] {
            world.sends_nothing(api.associate_oob(&token, To::Email(Some(spelling))), &TOO_MANY_EMAILS).await;
        }
    }

    async fn strangers_who_enrol_a_number_or_mailbox_take_no_code_from_its_owner(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let people = world.people(&["bob", "cat", "dan"]).await;
        for person in &people[..2] {
            begin(&world, &api, person, To::Phone("sms", NUMBER)).await;
        }
        refused(&world, &api, &people[2], NUMBER).await;
        for person in &people {
            begin(&world, &api, person, To::Email(Some(&ann.email))).await;
        }
        for _ in 0..3 {
            ann.log_in_over(&world, &api, "sms").await;
            ann.log_in_over(&world, &api, "email").await;
        }
        // Logins have a budget too.
        let token = ann.mfa_token(&api).await;
        world.sends_nothing(api.send_code(BACKEND, &token, None, Some("sms")), &TOO_MANY_SMS).await;
        world.sends_nothing(api.send_code(BACKEND, &token, None, Some("email")), &TOO_MANY_EMAILS).await;
    }
}

everywhere! {
    in limited("prefix");

    async fn numbers_beside_each_other_share_a_budget(world: World, api: Api) {
        let people = world.people(&["ann", "bob", "cat", "dan"]).await;
        for (person, last) in people[..3].iter().zip(1..) {
            begin(&world, &api, person, To::Phone("sms", &neighbour(last))).await;
        }
        refused(&world, &api, &people[3], &neighbour(4)).await;
        begin(&world, &api, &people[3], To::Phone("sms", "+12125550123")).await;
    }
}

everywhere! {
    in limited("unproven");

    async fn numbers_whose_codes_nobody_types_in_get_no_more(world: World, api: Api) {
        let people = world.people(&["ann", "bob", "cat", "dan", "eve", "fay", "gus"]).await;
        // Who types them in may have as many as the other budgets allow.
        for (person, last) in people[..3].iter().zip(1..) {
            person.enrol_oob(&world, &api, To::Phone("sms", &neighbour(last))).await;
            person.log_in_over(&world, &api, "sms").await;
        }
        for (person, last) in people[3..6].iter().zip(4..) {
            begin(&world, &api, person, To::Phone("sms", &neighbour(last))).await;
        }
        refused(&world, &api, &people[6], &neighbour(7)).await;
        begin(&world, &api, &people[6], To::Phone("sms", GERMAN_NUMBER)).await;
    }

    async fn a_number_that_was_typed_in_from_is_not_blocked_with_its_neighbours(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", &neighbour(1)).await;
        let people = world.people(&["bob", "cat", "dan", "eve"]).await;
        // Codes of logins, typed in or not, take nothing from who enrols next door.
        for _ in 0..3 {
            ann.challenged(&world, &api, "sms").await;
        }
        for (person, last) in people[..3].iter().zip(2..) {
            begin(&world, &api, person, To::Phone("sms", &neighbour(last))).await;
        }
        refused(&world, &api, &people[3], &neighbour(5)).await;
        ann.log_in_over(&world, &api, "sms").await;
        ann.log_in_over(&world, &api, "voice").await;
        // Nor does a login give them one back.
        refused(&world, &api, &people[3], &neighbour(5)).await;
    }
}

everywhere! {
    in limited("country");

    async fn a_country_has_a_budget(world: World, api: Api) {
        let people = world.people(&["ann", "bob", "cat", "dan"]).await;
        let numbers = ["+12025550123", "+12125550123", "+14155550123"];
        for (person, number) in people[..3].iter().zip(numbers) {
            begin(&world, &api, person, To::Phone("sms", number)).await;
        }
        refused(&world, &api, &people[3], "+13125550123").await;
        begin(&world, &api, &people[3], To::Phone("sms", GERMAN_NUMBER)).await;
    }
}

everywhere! {
    in limited("deployment");

    async fn the_deployment_has_a_budget(world: World, api: Api) {
        let people = world.people(&["ann", "bob", "cat", "dan"]).await;
        let numbers = ["+12025550123", GERMAN_NUMBER, "+447400123456"];
        for (person, number) in people[..3].iter().zip(numbers) {
            begin(&world, &api, person, To::Phone("sms", number)).await;
        }
        refused(&world, &api, &people[3], "+819012345678").await;
        begin(&world, &api, &people[3], To::Email(None)).await;
    }
}

everywhere! {
    in a_day("country");

    async fn a_country_has_a_day_whatever_its_budget_regains(world: World, api: Api) {
        let people = world.people(&["ann", "bob", "cat", "dan"]).await;
        let numbers = ["+12025550123", "+12125550123", "+14155550123"];
        for (person, number) in people[..3].iter().zip(numbers) {
            begin(&world, &api, person, To::Phone("sms", number)).await;
        }
        // The budget has one again at four in the afternoon, the day has none until midnight in UTC.
        world.advance(EIGHT_HOURS);
        for (until_then, left) in [(0, EIGHT_HOURS), (EIGHT_HOURS - 1, 1)] {
            world.advance(until_then);
            let token = people[3].mfa_token(&api).await;
            for (channel, expected) in [("sms", &TOO_MANY_SMS), ("voice", &TOO_MANY_CALLS)] {
                let to = To::Phone(channel, "+13125550123");
                let refusal = world.sends_nothing(api.associate_oob(&token, to), expected).await;
                assert_eq!(refusal.retry_after(), Some(left));
            }
        }
        begin(&world, &api, &people[3], To::Phone("sms", GERMAN_NUMBER)).await;
        begin(&world, &api, &people[3], To::Email(None)).await;
        world.advance(1);
        begin(&world, &api, &people[3], To::Phone("sms", "+13125550123")).await;
    }
}

everywhere! {
    in a_day("phone");

    async fn who_has_had_all_of_a_day_keeps_the_last_code_and_is_charged_no_more(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        ann.log_in_over(&world, &api, "sms").await;
        world.advance(EIGHT_HOURS);
        let (token, sent, message) = ann.challenged(&world, &api, "voice").await;
        for _ in 0..3 {
            let refusal = world.sends_nothing(api.send_code(BACKEND, &token, None, Some("voice")), &TOO_MANY_CALLS).await;
            assert_eq!(refusal.retry_after(), Some(EIGHT_HOURS));
        }
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
        ann.log_in_over(&world, &api, "email").await;
        // One was left in the budget, and one has come back.
        world.advance(EIGHT_HOURS);
        for _ in 0..2 {
            ann.log_in_over(&world, &api, "sms").await;
        }
        let token = ann.mfa_token(&api).await;
        let refusal = world.sends_nothing(api.send_code(BACKEND, &token, None, Some("sms")), &TOO_MANY_SMS).await;
        assert_eq!(refusal.retry_after(), Some(EIGHT_HOURS));
    }
}

everywhere! {
    in a_day("email");

    async fn a_person_has_a_day_of_mails(world: World, api: Api) {
        let ann = world.person("ann").await;
        for _ in 0..3 {
            ann.challenged(&world, &api, "email").await;
        }
        world.advance(EIGHT_HOURS);
        let token = ann.mfa_token(&api).await;
        let refusal = world.sends_nothing(api.send_code(BACKEND, &token, None, Some("email")), &TOO_MANY_EMAILS).await;
        assert_eq!(refusal.retry_after(), Some(EIGHT_HOURS));
        world.advance(EIGHT_HOURS);
        ann.log_in_over(&world, &api, "email").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_its_neighbourhood_and_the_deployment_have_a_day_too() {
    let number = |budget: &str, n: u32| match budget {
        "destination" => NUMBER.to_owned(),
        "prefix" => neighbour(n),
        _ => format!("+1202{}0123", 200 + n),
    };
    for budget in ["destination", "prefix", "deployment"] {
        for (store, transport) in [(Store::Sqlite, Transport::Http), (Store::Redis, Transport::Grpc)] {
            let world = World::start(store, a_day(budget)).await;
            let api = world.api(transport);
            let people = world.people(&["ann", "bob", "cat", "dan"]).await;
            for (person, n) in people[..3].iter().zip(1..) {
                begin(&world, &api, person, To::Phone("sms", &number(budget, n))).await;
            }
            world.advance(EIGHT_HOURS);
            let last = number(budget, 4);
            let token = people[3].mfa_token(&api).await;
            let refusal = world.sends_nothing(api.associate_oob(&token, To::Phone("sms", &last)), &TOO_MANY_SMS).await;
            assert_eq!(refusal.retry_after(), Some(EIGHT_HOURS), "{budget}");
            if budget != "deployment" {
                begin(&world, &api, &people[3], To::Phone("sms", GERMAN_NUMBER)).await;
            }
            begin(&world, &api, &people[3], To::Email(None)).await;
            world.advance(EIGHT_HOURS);
            begin(&world, &api, &people[3], To::Phone("sms", &last)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_a_spent_budget_says_what_it_was_and_when_it_is_back() {
    let world = World::start(Store::Sqlite, Tenant::default().with_messages()).await;
    let api = world.api(Transport::Http);
    let ann = world.with_telephone(&api, "ann", NUMBER).await;
    for _ in 2..=10 {
        ann.challenged(&world, &api, "sms").await;
    }
    let token = ann.mfa_token(&api).await;
    let request = json!({
        "client_id": BACKEND.id, "client_secret": BACKEND.secret, "mfa_token": token, "challenge_type": "oob",
    });
    let answer = world.http().post("/mfa/challenge", &request).await;
    assert_eq!(answer.status, 429);
    assert_eq!(
        answer.json(),
        json!({
            "error": "too_many_attempts",
            "error_description": "Too many SMS sent by the user. Wait for some minutes before retrying.",
        })
    );
    let reset = (world.now().as_secs() + 3600).to_string();
    for (name, value) in [
        ("retry-after", "3600"),
        ("x-ratelimit-limit", "10"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", &reset),
    ] {
        assert_eq!(answer.header(name), Some(value), "{name}");
    }
    let manager = ann.login_to_manage(&api).await.unwrap().mfa_token();
    api.send_code(BACKEND, &manager, None, None).await.refused(&TOO_MANY_SMS);
}
