//! What people are told of by e-mail, and the link that undoes what they did not do.

use std::{collections::BTreeMap, sync::Arc};

use aws_lc_rs::digest;
use countersign_domain::user::AddressChange;
use countersign_tests::{
    api::{Api, To, Transport},
    device::{Device, other_number},
    dump, everywhere,
    http::{Answer, body},
    person::{Person, Phone},
    refusal::{BAD_ACCESS_TOKEN, MALFORMED_TOKEN, NO_OOB, Refused as _},
    sent::{GERMAN_NUMBER, NUMBER},
    tenant::{BACKEND, ISSUER, Tenant},
    world::{Store, World},
};
use http::Method;
use serde_json::Value;
use tokio::{sync::Barrier, task::JoinSet};

const ADDED: &str = "A sign-in method was added";
const REMOVED: &str = "A sign-in method was removed";
const CODE_CREATED: &str = "A new recovery code was created";
const CODE_USED: &str = "Your recovery code was used";
const FAILED: &str = "the second step failed three times";

const DAY: u64 = 86_400;

/// How often each address was told of `event`.
fn told(notices: &[Value], event: &str) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for notice in notices.iter().filter(|notice| text(notice).contains(event)) {
        assert_eq!(notice["channel"], "email");
        *told.entry(notice["to"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    told
}

fn text(notice: &Value) -> &str {
    notice["text"].as_str().unwrap()
}

/// How many notices there are of `event`.
async fn count(world: &World, event: &str) -> usize {
    world.notices().await.iter().filter(|notice| text(notice).contains(event)).count()
}

/// The links in all notices so far, as paths, each once, the newest last.
async fn links(world: &World) -> Vec<String> {
    let mut links: Vec<String> = Vec::new();
    for notice in world.notices().await {
        let Some((_, rest)) = text(&notice).split_once(&format!("{ISSUER}notices/")) else { continue };
        let link = format!("/notices/{}", rest.split_whitespace().next().unwrap());
        if !links.contains(&link) {
            links.push(link);
        }
    }
    links
}

async fn press(world: &World, link: &str) -> Answer {
    world.http().send(world.http().request(Method::POST, link)).await
}

async fn add_addresses(world: &World, person: &Person) -> [String; 3] {
    let [home, work] = ["home", "work"].map(|place| format!("{}@{place}.test", person.username));
    let change = AddressChange { add: vec![home.clone(), work.clone()], remove: Vec::new() };
    world.app().change_addresses(&person.id, change).await.unwrap();
    [home, person.email.clone(), work]
}

async fn fail(world: &World, api: &Api, person: &Person, phone: &Phone, times: usize) {
    for _ in 0..times {
        let token = person.mfa_token(api).await;
        api.otp(BACKEND, &token, &phone.wrong(world)).await.unwrap_err();
    }
}

everywhere! {
    in Tenant::default().with_messages();

    async fn every_address_is_told_of_a_new_factor_and_its_recovery_code(world: World, api: Api) {
        let ann = world.person("ann").await;
        let addresses = add_addresses(&world, &ann).await;
        let phone = ann.enrol(&world, &api).await;
        let once = addresses.clone().map(|address| (address, 1)).into();
        let notices = world.notices().await;
        assert_eq!(told(&notices, ADDED), once);
        assert_eq!(told(&notices, CODE_CREATED), once);
        assert_eq!(notices.len(), 6);
        assert_eq!(links(&world).await.len(), 1, "one link in all of them");

        let manager = ann.manager(&world, &api, &phone).await;
        ann.add_phone(&world, &api, &manager).await;
        let twice = addresses.map(|address| (address, 2)).into();
        let notices = world.notices().await;
        assert_eq!(told(&notices, ADDED), twice);
        assert_eq!(told(&notices, CODE_CREATED), once, "there is one already");
        assert_eq!(notices.len(), 9);
    }

    async fn a_telephone_is_told_of_once_and_by_its_masked_number(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let sent = api.associate_oob(&token, To::Phone("sms", "+12025550123")).await.unwrap();
        assert!(world.notices().await.is_empty(), "it is pending");
        api.oob(BACKEND, &token, &sent.oob_code, &world.code(1).await).await.unwrap();
        let notices = world.notices().await;
        assert_eq!(told(&notices, ADDED), [(ann.email.clone(), 1)].into());
        assert!(notices.iter().any(|notice| text(notice).contains("XXXXXXXX0123")), "{notices:?}");
        let link = links(&world).await.remove(0);
        assert_eq!(press(&world, &link).await.status, 200);
        let token = ann.mfa_token(&api).await;
        let left = api.list(&token).await.unwrap();
        assert!(left.iter().all(|entry| entry.channel.as_deref() == Some("email")), "calls went with messages: {left:?}");
    }

    async fn the_link_changes_nothing_until_the_button_is_pressed(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let tokens = ann.log_in(&world, &api, &phone).await;
        let pending = ann.mfa_token(&api).await;
        let link = links(&world).await.remove(0);
        for _ in 0..3 {
            let page = world.http().get(&link).await;
            assert_eq!(page.status, 200);
            assert!(page.text().contains("<form method=\"post\">"));
            assert_eq!(world.http().send(world.http().request(Method::HEAD, &link)).await.status, 200);
        }
        assert!(api.list(&manager).await.unwrap()[0].active);
        assert_eq!(count(&world, REMOVED).await, 0);

        world.advance(1);
        let page = press(&world, &link).await;
        assert_eq!(page.status, 200, "{}", page.text());
        assert!(!page.text().contains("<form"));
        api.otp(BACKEND, &pending, &phone.code(&world)).await.refused(&MALFORMED_TOKEN);
        api.list(&manager).await.refused(&BAD_ACCESS_TOKEN);
        assert!(api.subject(&tokens.access_token).await.is_err());
        let token = ann.mfa_token(&api).await;
        assert!(api.list(&token).await.unwrap().iter().all(|entry| entry.kind == "oob"), "the app and its code are gone");
        assert_eq!(count(&world, REMOVED).await, 1);
        assert_eq!(dump::audited(&world.database(), "authenticator.repudiated", ann.id.as_str()), 1);
        ann.enrol(&world, &api).await;
    }

    async fn dead_links_have_one_page(world: World, api: Api) {
        let (ann, first) = world.enrolled(&api, "ann").await;
        let (bob, bobs) = world.enrolled(&api, "bob").await;
        let all = links(&world).await;
        let unknown = format!("/notices/{}", opaque(&all[0]));
        let used = all[0].clone();
        assert_eq!(press(&world, &used).await.status, 200);
        let mut pages = Vec::new();
        for link in [used.as_str(), &unknown, "/notices/x", "/notices/%00", "/notices/csnot_"] {
            pages.push(world.http().get(link).await);
            pages.push(press(&world, link).await);
        }
        assert_eq!(dump::audited(&world.database(), "authenticator.repudiated", ann.id.as_str()), 1);
        assert!(api.otp(BACKEND, &ann.mfa_token(&api).await, &first.code(&world)).await.is_err());

        // Bob's link is still good until it is three days old.
        world.advance(3 * DAY - 60);
        assert_eq!(world.http().get(&all[1]).await.status, 200);
        world.advance(60);
        pages.push(world.http().get(&all[1]).await);
        pages.push(press(&world, &all[1]).await);
        for page in &pages {
            assert_eq!((page.status, page.text()), (404, pages[0].text()));
        }
        bob.log_in(&world, &api, &bobs).await;
    }

    async fn what_its_owner_removed_is_told_of_and_its_link_is_dead(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let id = api.list(&manager).await.unwrap().remove(0).id;
        api.delete(&manager, &id).await.unwrap();
        assert_eq!(count(&world, REMOVED).await, 1);
        assert_eq!(press(&world, &links(&world).await[0]).await.status, 404);
        assert_eq!(count(&world, REMOVED).await, 1);
    }

    async fn an_operators_reset_is_told_of_once(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        ann.add_phone(&world, &api, &manager).await;
        world.app().reset_factors(&ann.id).await.unwrap();
        assert_eq!(count(&world, REMOVED).await, 1);
        world.app().reset_factors(&ann.id).await.unwrap();
        assert_eq!(count(&world, REMOVED).await, 1, "there was nothing left");
    }

    async fn what_is_pending_is_nobodys_business(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let phone = Phone::new(api.associate(&token).await.unwrap().secret, None);
        for _ in 0..4 {
            api.otp(BACKEND, &token, &phone.wrong(&world)).await.unwrap_err();
        }
        world.app().reset_factors(&ann.id).await.unwrap();
        assert!(world.notices().await.is_empty());
        assert_eq!(dump::rows(&world.database(), "repudiation"), 0);
    }

    async fn the_use_of_the_recovery_code_is_told_of(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let token = ann.mfa_token(&api).await;
        api.recovery(BACKEND, &token, phone.recovery_code.as_deref().unwrap()).await.unwrap();
        assert_eq!(told(&world.notices().await, CODE_USED), [(ann.email.clone(), 1)].into());
        for _ in 0..5 {
            let token = ann.mfa_token(&api).await;
            api.recovery(BACKEND, &token, "WRONGCODE0WRONGCODE0WRON").await.unwrap_err();
        }
        assert_eq!(count(&world, FAILED).await, 1);
    }

    async fn every_address_is_told_of_a_used_code_of_failures_and_of_a_removal(world: World, api: Api) {
        let ann = world.person("ann").await;
        let addresses = add_addresses(&world, &ann).await;
        let phone = ann.enrol(&world, &api).await;
        let once = addresses.map(|address| (address, 1)).into();
        let token = ann.mfa_token(&api).await;
        api.recovery(BACKEND, &token, phone.recovery_code.as_deref().unwrap()).await.unwrap();
        fail(&world, &api, &ann, &phone, 3).await;
        let manager = ann.manager(&world, &api, &phone).await;
        let id = api.list(&manager).await.unwrap().remove(0).id;
        api.delete(&manager, &id).await.unwrap();
        let notices = world.notices().await;
        for event in [CODE_USED, FAILED, REMOVED] {
            assert_eq!(told(&notices, event), once, "{event}");
        }
    }

    async fn the_third_failure_in_a_row_is_told_of_and_no_other(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        fail(&world, &api, &ann, &phone, 2).await;
        ann.log_in(&world, &api, &phone).await;
        fail(&world, &api, &ann, &phone, 2).await;
        assert_eq!(count(&world, FAILED).await, 0);
        fail(&world, &api, &ann, &phone, 5).await;
        assert_eq!(told(&world.notices().await, FAILED), [(ann.email.clone(), 1)].into());
    }

    async fn tries_that_run_out_against_nothing_are_told_of_once(world: World, api: Api) {
        // Without an app, no code of one is ever compared and no failure counted.
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let sent = api.associate_oob(&token, To::Phone("sms", "+12025550123")).await.unwrap();
        api.oob(BACKEND, &token, &sent.oob_code, &world.code(1).await).await.unwrap();
        for _ in 0..14 {
            let token = ann.mfa_token(&api).await;
            api.otp(BACKEND, &token, "000000").await.unwrap_err();
        }
        assert_eq!(count(&world, FAILED).await, 1);
    }
}

everywhere! {
    in Tenant::default().with_devices();

    async fn a_device_that_was_not_ones_own_goes_with_its_app_and_is_not_asked_any_more(world: World, api: Api) {
        let (ann, device) = (world.person("ann").await, Device::new("ann"));
        ann.enrol_device(&api, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        assert_eq!(told(&world.notices().await, ADDED), [(ann.email.clone(), 1)].into(), "one for the pair");
        let link = links(&world).await.remove(0);
        assert_eq!(press(&world, &link).await.status, 200);
        // The question that was on its way approves nothing.
        let right = device.answer(&world, &pushed, true, asked.number.as_deref());
        api.resolve(&pushed.token, &right).await.unwrap_err();
        api.poll(BACKEND, &token, &asked.oob_code).await.unwrap_err();
        let token = ann.mfa_token(&api).await;
        let left: Vec<_> = api.list(&token).await.unwrap().into_iter().filter_map(|entry| entry.channel).collect();
        assert_eq!(left, ["email"]);
        api.ask(BACKEND, &token, None).await.refused(&NO_OOB);
        assert_eq!(told(&world.notices().await, REMOVED), [(ann.email.clone(), 1)].into());
    }

    async fn the_third_failure_is_told_of_whatever_the_way(world: World, api: Api) {
        let people = world.people(&["tess", "vic", "dan"]).await;
        let [tess, vic, dan] = <[_; 3]>::try_from(people).unwrap();
        for (person, channel, number) in [(&tess, "sms", NUMBER), (&vic, "voice", GERMAN_NUMBER)] {
            person.enrol_oob(&world, &api, To::Phone("sms", number)).await;
            let (token, sent, message) = person.challenged(&world, &api, channel).await;
            for count in [0, 0, 1] {
                let before = told(&world.notices().await, FAILED);
                assert_eq!(before.get(&person.email), None);
                api.oob(BACKEND, &token, &sent.oob_code, message.wrong()).await.unwrap_err();
                assert_eq!(told(&world.notices().await, FAILED).get(&person.email).copied().unwrap_or_default(), count);
            }
        }
        let device = Device::new("dan");
        dan.enrol_device(&api, &device).await;
        let (_, asked, pushed) = dan.asked(&world, &api).await;
        let wrong = device.answer(&world, &pushed, true, Some(other_number(&asked.number.unwrap())));
        for count in [0, 0, 1] {
            api.resolve(&pushed.token, &wrong).await.unwrap_err();
            assert_eq!(told(&world.notices().await, FAILED).get(&dan.email).copied().unwrap_or_default(), count);
        }
    }
}

/// A token of the same form that nobody was sent.
fn opaque(link: &str) -> String {
    use countersign_domain::{opaque, testing::SeededEntropy};
    let made = opaque::mint(opaque::TokenKind::Notice, &SeededEntropy::new(99)).unwrap();
    assert_eq!(made.expose().len(), link.trim_start_matches("/notices/").len());
    made.expose().clone()
}

everywhere! {
    in Tenant::default().with_messages().section("limits.factor_failures", &["capacity = 100", "refill = '6m'"]);

    async fn thirty_two_failures_at_once_are_one_notice(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let token = ann.mfa_token(&api).await;
        let (start, mut tries) = (Arc::new(Barrier::new(32)), JoinSet::new());
        for _ in 0..32 {
            let (api, token, code, start) = (api.clone(), token.clone(), phone.wrong(&world), Arc::clone(&start));
            tries.spawn(async move {
                start.wait().await;
                api.otp(BACKEND, &token, &code).await.unwrap_err();
            });
        }
        tries.join_all().await;
        assert_eq!(count(&world, FAILED).await, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_button_pressed_sixty_four_times_removes_once() {
    let world = World::start(Store::Sqlite, Tenant::default().with_messages()).await;
    let api = world.api(Transport::Http);
    let (ann, _) = world.enrolled(&api, "ann").await;
    let link = links(&world).await.remove(0);
    let (start, mut presses) = (Arc::new(Barrier::new(64)), JoinSet::new());
    for _ in 0..64 {
        let (http, link, start) = (world.http().clone(), link.clone(), Arc::clone(&start));
        presses.spawn(async move {
            start.wait().await;
            http.send(http.request(Method::POST, &link)).await.status
        });
    }
    let answers = presses.join_all().await;
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|status| matches!(status, 200 | 404 | 503)), "{answers:?}");
    assert_eq!(dump::audited(&world.database(), "authenticator.repudiated", ann.id.as_str()), 1);
    assert_eq!(count(&world, REMOVED).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_is_in_the_language_of_the_request_that_caused_it() {
    let world = World::start(Store::Sqlite, Tenant::default().with_messages()).await;
    let api = world.api(Transport::Http);
    let ann = world.person("ann").await;
    let token = ann.mfa_token(&api).await;
    let phone = Phone::new(api.associate(&token).await.unwrap().secret, None);
    let code = phone.code(&world);
    let fields =
        [("grant_type", "http://auth0.com/oauth/grant-type/mfa-otp"), ("mfa_token", token.as_str()), ("otp", &code)];
    let request = world.http().request(Method::POST, "/oauth/token").header("accept-language", "de-CH, en;q=0.5");
    assert_eq!(world.http().send(request.json(&body(BACKEND, &fields))).await.status, 200);
    assert_eq!(count(&world, "Eine Anmeldemethode wurde hinzugefügt").await, 1);
    assert_eq!(count(&world, "Ein neuer Wiederherstellungscode wurde erstellt").await, 1);
    let link = links(&world).await.remove(0);
    let press = world.http().request(Method::POST, &link).header("accept-language", "ja");
    let page = world.http().send(press).await;
    assert!(page.text().contains("ログイン方法を削除しました"), "{}", page.text());
    let notices = world.notices().await;
    assert_eq!(notices.len(), 3, "{notices:?}");
    assert_eq!(count(&world, REMOVED).await, 0, "in the language of who pressed: {notices:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_is_told_in_the_language_of_who_removes() {
    let world = World::start(Store::Sqlite, Tenant::default().with_messages()).await;
    let api = world.api(Transport::Http);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let manager = ann.manager(&world, &api, &phone).await;
    let id = api.list(&manager).await.unwrap().remove(0).id;
    let request = world.http().request(Method::DELETE, &format!("/mfa/authenticators/{id}"));
    let answer = world.http().send(request.bearer_auth(&manager).header("accept-language", "de")).await;
    assert_eq!(answer.status, 204);
    assert_eq!(count(&world, "Eine Anmeldemethode wurde entfernt").await, 1);
    assert_eq!(count(&world, REMOVED).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_lets_in_its_own_style_and_nothing_else() {
    let world = World::start(Store::Sqlite, Tenant::default().with_messages()).await;
    let api = world.api(Transport::Http);
    world.enrolled(&api, "ann").await;
    let link = links(&world).await.remove(0);
    let request =
        world.http().request(Method::GET, &link).header("host", "evil.test").header("x-forwarded-host", "evil.test");
    let page = world.http().send(request).await;
    let html = page.text();
    let (_, rest) = html.split_once("<style>").unwrap();
    let (style, _) = rest.split_once("</style>").unwrap();
    let hash = data_encoding::BASE64.encode(digest::digest(&digest::SHA256, style.as_bytes()).as_ref());
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains(&format!("style-src 'sha256-{hash}'")), "{policy}");
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    for (name, value) in
        [("referrer-policy", "no-referrer"), ("x-robots-tag", "noindex"), ("cache-control", "no-store")]
    {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    assert!(!html.contains("evil.test") && !html.contains("http"), "{html}");
    assert!(!html.contains(link.trim_start_matches("/notices/")), "the token is in the address alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_provider_of_mail_nothing_is_written_and_nothing_fails() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let api = world.api(Transport::Http);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    fail(&world, &api, &ann, &phone, 4).await;
    world.app().reset_factors(&ann.id).await.unwrap();
    assert_eq!(dump::rows(&world.database(), "outbox"), 0);
    assert_eq!(dump::rows(&world.database(), "repudiation"), 0);
    assert!(world.all_messages().is_empty());
}
