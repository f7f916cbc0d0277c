//! Codes that are sent: one code, one winner; one budget, as many messages.

use countersign_tests::{
    api::{Api, To, Transport},
    device::Device,
    everywhere,
    refusal::{
        BAD_OOB_CODE, Expected, MALFORMED_TOKEN, Refusal, Refused as _, TOO_MANY_CODES, TOO_MANY_EMAILS,
        TOO_MANY_PUSHES, TOO_MANY_SMS, WRONG_BINDING_CODE,
    },
    sent::{GERMAN_NUMBER, NUMBER, neighbour},
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};

use super::{RUNNERS, completed, race};

/// With more tries than runners: those of the code decide, and the commit.
pub(super) fn with_tries_for_all() -> Tenant {
    Tenant::default().with_messages().section("limits.factor_failures", &["capacity = 100", "refill = '6m'"])
}

/// The one winner; every other must have been refused for a fair reason.
#[track_caller]
pub(super) fn one_winner<T: std::fmt::Debug>(results: &[Result<T, Refusal>]) {
    let fair = [WRONG_BINDING_CODE, BAD_OOB_CODE, MALFORMED_TOKEN, TOO_MANY_CODES];
    let won = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!(won, 1, "{results:?}");
    let lost = results.iter().filter_map(|result| result.as_ref().err());
    let unfair: Vec<_> = lost.filter(|lost| !lost.is_undecided() && !fair.iter().any(|fair| lost.is(fair))).collect();
    assert!(unfair.is_empty(), "lost for another reason than having lost: {unfair:?}");
}

async fn one_code_for_all(world: &World, api: &Api) {
    let ann = world.with_telephone(api, "ann", NUMBER).await;
    let (token, sent, message) = ann.challenged(world, api, "sms").await;
    let results = race(|_| {
        let (api, token, sent, code) = (api.clone(), token.clone(), sent.clone(), message.code.clone());
        async move { api.oob(BACKEND, &token, &sent.oob_code, &code).await }
    })
    .await;
    one_winner(&results);
    assert_eq!(completed(world, "login.oob", &ann), 1);
}

everywhere! {
    in Tenant::default().with_messages();

    async fn a_code_that_was_sent_completes_one_login_with_the_usual_tries(world: World, api: Api) {
        one_code_for_all(&world, &api).await;
    }

    async fn of_many_sends_at_once_as_many_are_made_as_the_budget_has(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let results = race(|number| {
            let (api, token) = (api.clone(), token.clone());
            let (channel, to) = if number % 2 == 0 { ("sms", NUMBER) } else { ("voice", GERMAN_NUMBER) };
            async move { api.associate_oob(&token, To::Phone(channel, to)).await }
        }).await;
        let sent = results.iter().filter(|result| result.is_ok()).count();
        let lost: Vec<_> = results.into_iter().filter_map(Result::err).collect();
        let unfair: Vec<_> = lost.iter().filter(|lost| match lost {
            Refusal::Http { .. } => !lost.is(&TOO_MANY_SMS) && !lost.is(&countersign_tests::refusal::TOO_MANY_CALLS),
            Refusal::Grpc(_) => !lost.is(&TOO_MANY_SMS),
        }).collect();
        assert!(unfair.is_empty(), "{unfair:?}");
        assert_eq!((sent, lost.len()), (10, RUNNERS - 10));
        world.messages(10).await;
        assert_eq!(world.message_ids().len(), 10);
    }

}

everywhere! {
    in Tenant::default().with_messages().section("limits.sends.phone", &["capacity = 5", "refill = '1h'"]);

    async fn of_many_challenges_at_once_the_last_is_the_one_that_counts(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let token = ann.mfa_token(&api).await;
        let results = race(|_| {
            let (api, token) = (api.clone(), token.clone());
            async move { api.send_code(BACKEND, &token, None, Some("sms")).await }
        }).await;
        let handles: Vec<_> = results.into_iter().filter_map(Result::ok).map(|sent| sent.oob_code).collect();
        assert_eq!(handles.len(), 4, "one went to the enrolment");
        let arrived = world.messages(5).await;
        assert_eq!(world.message_ids().len(), 5 + 2, "and the two notices of the enrolment");
        // One handle is left, and one code fits it.
        let mut alive = Vec::new();
        for handle in &handles {
            match api.oob(BACKEND, &token, handle, "none").await.unwrap_err() {
                lost if lost.is(&BAD_OOB_CODE) => {}
                lost if lost.is(&WRONG_BINDING_CODE) => alive.push(handle),
                lost => panic!("{lost:?}"),
            }
        }
        assert_eq!(alive.len(), 1);
        let mut done = 0;
        for message in arrived.iter().skip(1).rev() {
            match api.oob(BACKEND, &token, alive[0], message["code"].as_str().unwrap()).await {
                Ok(_) => done += 1,
                Err(lost) => assert!(!lost.is(&BAD_OOB_CODE) || done == 1, "{lost:?}"),
            }
            if done == 1 { break }
        }
        assert_eq!(done, 1, "the handle has had one wrong code, and there are as many others as it has tries");
    }
}

/// A budget that strangers share, and the number that each of them begins to enrol: that many messages leave, however they ask.
#[tokio::test(flavor = "multi_thread")]
async fn budgets_that_strangers_share_hold_when_all_ask_at_once() {
    let number = |_: usize| NUMBER.to_owned();
    let beside = |runner: usize| neighbour(u32::try_from(runner).unwrap());
    let country = |runner: usize| format!("+1202{:03}0123", 200 + runner);
    let cases: [(&str, &dyn Fn(usize) -> String); 5] = [
        ("destination", &number),
        ("prefix", &beside),
        ("unproven", &beside),
        ("country", &country),
        ("deployment", &country),
    ];
    for (budget, number_of) in cases {
        for store in [Store::Sqlite, Store::Redis] {
            let lines = ["capacity = 5", "refill = '1h'"];
            let tenant = Tenant::default().with_messages().section(&format!("limits.sends.{budget}"), &lines);
            let world = World::start(store, tenant).await;
            let names: Vec<_> = (0..RUNNERS).map(|runner| format!("user{runner}")).collect();
            let people = world.people(&names.iter().map(String::as_str).collect::<Vec<_>>()).await;
            let mut begun = Vec::new();
            for (runner, person) in people.iter().enumerate() {
                let api = world.api(if runner % 2 == 0 { Transport::Http } else { Transport::Grpc });
                let token = person.mfa_token(&api).await;
                begun.push((api, token, number_of(runner)));
            }
            let results = race(|runner| {
                let (api, token, number) = begun[runner].clone();
                async move { api.associate_oob(&token, To::Phone("sms", &number)).await }
            })
            .await;
            let sent = results.iter().filter(|result| result.is_ok()).count();
            let unfair: Vec<_> =
                results.iter().filter_map(|r| r.as_ref().err()).filter(|lost| !lost.is(&TOO_MANY_SMS)).collect();
            assert!(unfair.is_empty(), "{budget}, {store:?}: {unfair:?}");
            assert_eq!(sent, 5, "{budget}, {store:?}");
            world.messages(5).await;
            assert_eq!(world.message_ids().len(), 5, "{budget}, {store:?}");
        }
    }
}

everywhere! {
    in Tenant::default().with_devices().section("limits.sends.email", &["capacity = 5", "refill = '1h'"])
        .section("limits.sends.push", &["capacity = 5", "refill = '1h'"]);

    async fn of_many_mails_at_once_as_many_leave_as_the_budget_has(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let results = race(|_| {
            let (api, token) = (api.clone(), token.clone());
            async move { api.send_code(BACKEND, &token, None, Some("email")).await }
        }).await;
        as_many_as_the_budget_has(&results, &TOO_MANY_EMAILS);
        world.messages(5).await;
        assert_eq!(world.message_ids().len(), 5);
    }

    async fn of_many_questions_at_once_as_many_reach_the_device_as_the_budget_has(world: World, api: Api) {
        let ann = world.person("ann").await;
        ann.enrol_device(&api, &Device::new("ann")).await;
        world.notices().await;
        let before = world.message_ids().len();
        let token = ann.mfa_token(&api).await;
        let results = race(|_| {
            let (api, token) = (api.clone(), token.clone());
            async move { api.ask(BACKEND, &token, None).await }
        }).await;
        as_many_as_the_budget_has(&results, &TOO_MANY_PUSHES);
        world.pushes(5).await;
        assert_eq!(world.message_ids().len(), before + 5);
    }
}

/// Five were sent something; every other was told that it was too much.
#[track_caller]
fn as_many_as_the_budget_has<T: std::fmt::Debug>(results: &[Result<T, Refusal>], too_many: &Expected) {
    let lost: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    assert!(lost.iter().all(|lost| lost.is(too_many)), "{lost:?}");
    assert_eq!(results.len() - lost.len(), 5);
}

everywhere! {
    in with_tries_for_all();

    async fn a_code_that_was_sent_completes_one_login(world: World, api: Api) {
        one_code_for_all(&world, &api).await;
    }

    async fn a_telephone_is_confirmed_once(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let (sent, message) = world.sent(api.associate_oob(&token, To::Phone("sms", NUMBER))).await;
        let results = race(|_| {
            let (api, token, sent, code) = (api.clone(), token.clone(), sent.clone(), message.code.clone());
            async move { api.oob(BACKEND, &token, &sent.oob_code, &code).await }
        }).await;
        one_winner(&results);
        assert_eq!(completed(&world, "enrollment.completed", &ann), 1);
        let token = ann.mfa_token(&api).await;
        let active = api.list(&token).await.unwrap().into_iter().filter(|entry| entry.active).count();
        assert_eq!(active, 4, "the pair, the address and the recovery code");
    }

    async fn an_access_token_confirms_a_telephone_once(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let manager = ann.manager_over(&world, &api, "sms").await;
        let (sent, message) = world.sent(api.associate_oob(&manager, To::Phone("sms", GERMAN_NUMBER))).await;
        let results = race(|_| {
            let (api, token, sent, code) = (api.clone(), manager.clone(), sent.clone(), message.code.clone());
            async move { api.oob(BACKEND, &token, &sent.oob_code, &code).await }
        }).await;
        one_winner(&results);
        assert_eq!(completed(&world, "enrollment.completed", &ann), 2);
    }

    async fn of_many_first_telephones_one_is_confirmed(world: World, api: Api) {
        let ann = world.person("ann").await;
        let mut begun = Vec::new();
        for number in [NUMBER, GERMAN_NUMBER, "+447400123456", "+819012345678"] {
            let token = ann.mfa_token(&api).await;
            let (sent, message) = world.sent(api.associate_oob(&token, To::Phone("sms", number))).await;
            begun.push((token, sent.oob_code, message.code));
        }
        let results = race(|number| {
            let (api, (token, handle, code)) = (api.clone(), begun[number % 4].clone());
            async move { api.oob(BACKEND, &token, &handle, &code).await }
        }).await;
        one_winner(&results);
        assert_eq!(completed(&world, "enrollment.completed", &ann), 1);
        let token = ann.mfa_token(&api).await;
        let listed = api.list(&token).await.unwrap();
        assert_eq!(listed.iter().filter(|entry| entry.active && entry.channel.as_deref() == Some("sms")).count(), 1);
    }

    // That five of them are compared and no more is the store's contract: a code without tries is refused as a wrong one is.
    async fn wrong_codes_at_once_use_up_the_code(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let (token, sent, message) = ann.challenged(&world, &api, "sms").await;
        let results = race(|_| {
            let (api, token, sent, code) = (api.clone(), token.clone(), sent.clone(), message.wrong());
            async move { api.oob(BACKEND, &token, &sent.oob_code, code).await }
        }).await;
        let refused = results.into_iter().filter_map(Result::err).filter(|lost| lost.is(&WRONG_BINDING_CODE)).count();
        assert!(refused >= 5, "{refused}");
        // The person has tries left, the code has none.
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&WRONG_BINDING_CODE);
        assert_eq!(completed(&world, "login.oob", &ann), 0);
    }

    async fn a_code_and_an_app_for_one_login_complete_it_once(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let manager = ann.manager_over(&world, &api, "sms").await;
        let phone = ann.add_phone(&world, &api, &manager).await;
        let (token, sent, message) = ann.challenged(&world, &api, "sms").await;
        let code = phone.code(&world);
        let results = race(|number| {
            let (token, sent, message, code) = (token.clone(), sent.clone(), message.clone(), code.clone());
            let api = if number % 4 < 2 { api.clone() } else { world.api(other(&api)) };
            async move {
                if number % 2 == 0 {
                    api.oob(BACKEND, &token, &sent.oob_code, &message.code).await
                } else {
                    api.otp(BACKEND, &token, &code).await
                }
            }
        }).await;
        let won = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(won, 1, "{results:?}");
    }
}

fn other(api: &Api) -> Transport {
    if api.transport() == Transport::Http { Transport::Grpc } else { Transport::Http }
}
