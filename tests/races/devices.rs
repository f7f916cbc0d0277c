//! Devices: one approval, one winner; one ticket, one device; one question, one answer.

use std::sync::Arc;

use countersign_tests::{
    api::Transport,
    device::{Device, other_number, ticket},
    dump, everywhere,
    refusal::{
        BAD_OOB_CODE, BAD_TICKET, MALFORMED_TOKEN, NO_LOGIN_WAITS, PENDING, REJECTED, Refusal, Refused as _,
        TICKET_TAKEN, TOO_FAST, TOO_MANY_NUMBERS, WRONG_NUMBER,
    },
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{RUNNERS, completed, race};

/// How many won; every other must have lost for one of the reasons in `fair`.
#[track_caller]
pub(super) fn winners<T: std::fmt::Debug>(
    results: &[Result<T, Refusal>],
    fair: &[countersign_tests::refusal::Expected],
) -> usize {
    let lost: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).collect();
    let unfair: Vec<_> =
        lost.iter().filter(|lost| !lost.is_undecided() && !fair.iter().any(|fair| lost.is(fair))).collect();
    assert!(unfair.is_empty(), "lost for another reason than having lost: {unfair:?}");
    results.len() - lost.len()
}

everywhere! {
    in Tenant::default().with_devices();

    async fn an_approval_is_fetched_once(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        ann.enrol_device(&api, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        api.resolve(&pushed.token, &device.answer(&world, &pushed, true, asked.number.as_deref())).await.unwrap();
        let results = race(|_| {
            let (api, token, oob_code) = (api.clone(), token.clone(), asked.oob_code.clone());
            async move { api.poll(BACKEND, &token, &oob_code).await }
        })
        .await;
        assert_eq!(winners(&results, &[MALFORMED_TOKEN, BAD_OOB_CODE, TOO_FAST]), 1);
        assert_eq!(completed(&world, "login.push", &ann), 1);
    }

    async fn an_enrolment_is_confirmed_once(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let barcode = api.associate_push(&token).await.unwrap();
        api.enroll_device(&ticket(&barcode), &Device::new("ann")).await.unwrap();
        let results = race(|_| {
            let (api, token, oob_code) = (api.clone(), token.clone(), barcode.oob_code.clone());
            async move { api.poll(BACKEND, &token, &oob_code).await }
        })
        .await;
        assert_eq!(winners(&results, &[MALFORMED_TOKEN, BAD_OOB_CODE, TOO_FAST]), 1);
        assert_eq!(completed(&world, "enrollment.completed", &ann), 1);
    }

    async fn a_ticket_registers_one_device(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let barcode = api.associate_push(&token).await.unwrap();
        let results = race(|number| {
            let (api, ticket) = (api.clone(), ticket(&barcode));
            let device = Device::new(&format!("phone{number}"));
            async move { api.enroll_device(&ticket, &device).await.map(|_| number) }
        })
        .await;
        assert_eq!(winners(&results, &[TICKET_TAKEN, BAD_TICKET]), 1);
        let winner = *results.iter().flatten().next().unwrap();
        api.poll(BACKEND, &token, &barcode.oob_code).await.unwrap();
        let token = ann.mfa_token(&api).await;
        let name = api.list(&token).await.unwrap()[0].name.clone();
        assert_eq!(name, Some(format!("phone{winner} phone")));
    }

    async fn one_device_may_register_sixty_four_times_at_once(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let barcode = api.associate_push(&token).await.unwrap();
        let device = Arc::new(Device::new("ann"));
        let results = race(|_| {
            let (api, ticket, device) = (api.clone(), ticket(&barcode), Arc::clone(&device));
            async move { api.enroll_device(&ticket, &device).await }
        })
        .await;
        assert!(winners(&results, &[]) > 0);
        let told: Vec<countersign_tests::device::Registration> = results.into_iter().filter_map(Result::ok).collect();
        assert!(told.iter().all(|one| *one == told[0]));
        api.poll(BACKEND, &token, &barcode.oob_code).await.unwrap();
    }

    async fn the_first_answer_stands(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::plain("ann");
        ann.enrol_device(&api, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        let answers = [true, false].map(|accepted| device.answer(&world, &pushed, accepted, None));
        let results = race(|number| {
            let (api, token, answer) = (api.clone(), pushed.token.clone(), answers[number % 2].clone());
            async move { api.resolve(&token, &answer).await.map(|()| number % 2) }
        })
        .await;
        winners(&results, &[NO_LOGIN_WAITS]);
        let stood: Vec<_> = results.into_iter().filter_map(Result::ok).collect();
        assert!(!stood.is_empty() && stood.iter().all(|side| *side == stood[0]), "{stood:?}");
        let fetched = api.poll(BACKEND, &token, &asked.oob_code).await;
        assert_eq!(fetched.is_ok(), stood[0] == 0, "{fetched:?}");
    }

    async fn the_right_number_many_times_at_once_approves_and_counts_no_failure(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        ann.enrol_device(&api, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        // Of three tries one is left.
        let number = asked.number.unwrap();
        let wrong = device.answer(&world, &pushed, true, Some(other_number(&number)));
        for _ in 0..2 {
            api.resolve(&pushed.token, &wrong).await.refused(&WRONG_NUMBER);
        }
        let right = device.answer(&world, &pushed, true, Some(&number));
        let results = race(|_| {
            let (api, token, answer) = (api.clone(), pushed.token.clone(), right.clone());
            async move { api.resolve(&token, &answer).await }
        })
        .await;
        assert!(winners(&results, &[TOO_MANY_NUMBERS]) > 0, "the others are told to come again");
        // And find that it is done.
        api.resolve(&pushed.token, &right).await.unwrap();
        api.poll(BACKEND, &token, &asked.oob_code).await.unwrap();
        assert_eq!(dump::audited(&world.database(), "proof_rejected.push", ann.id.as_str()), 2);
    }

    async fn of_many_wrong_numbers_three_are_looked_at(world: World, api: Api) {
        let ann = world.person("ann").await;
        let device = Device::new("ann");
        ann.enrol_device(&api, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        let number = asked.number.unwrap();
        let wrong = device.answer(&world, &pushed, true, Some(other_number(&number)));
        let results = race(|_| {
            let (api, token, answer) = (api.clone(), pushed.token.clone(), wrong.clone());
            async move { api.resolve(&token, &answer).await }
        })
        .await;
        assert_eq!(winners(&results, &[WRONG_NUMBER, NO_LOGIN_WAITS, TOO_MANY_NUMBERS]), 0);
        assert_eq!(results.len(), RUNNERS);
        let right = device.answer(&world, &pushed, true, Some(&number));
        api.resolve(&pushed.token, &right).await.unwrap_err();
        let refused = api.poll(BACKEND, &token, &asked.oob_code).await.unwrap_err();
        assert!(refused.is(&REJECTED) && !refused.is(&PENDING), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_one_device_at_once_are_all_kept() {
    let world = World::start(Store::Sqlite, Tenant::default().with_devices()).await;
    let api = world.api(Transport::Http);
    let ann = world.person("ann").await;
    let (_, registration) = ann.enrol_device(&api, &Device::new("ann")).await;
    let path = format!("/appliance-mfa/api/device-accounts/{}", registration.id);
    let change = |change: Value| {
        let (http, path, token) = (world.http().clone(), path.clone(), registration.token.clone());
        async move {
            let answer = http.send(http.request(Method::PATCH, &path).bearer_auth(token).json(&change)).await;
            assert_eq!(answer.status, 200, "{}", answer.json());
            answer.json()
        }
    };
    // Half of them say where it is reached, the others which name its app goes by; both are in one sealed state.
    race(|number| {
        change(if number % 2 == 0 {
            json!({"push_credentials": {"service": "GCM", "token": "push-moved"}})
        } else {
            json!({"identifier": "renamed"})
        })
    })
    .await;
    let kept = change(json!({})).await;
    assert_eq!((&kept["identifier"], &kept["push_credentials"]["token"]), (&json!("renamed"), &json!("push-moved")));
}
