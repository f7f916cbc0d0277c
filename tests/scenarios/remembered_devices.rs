//! A device on which the second factor was proven is asked for the password alone, for a while.

use countersign_domain::{secret::Secret, usecase::manage_users::NewPassword, user::AddressChange};
use countersign_tests::{
    api::{Api, Outcome, Tokens, Wish},
    dump, everywhere,
    person::{PASSWORD, Phone},
    tenant::{REMEMBERING, Tenant},
    world::World,
};

async fn remembered(world: &World, api: &Api, name: &str, phone: &Phone) -> String {
    world.advance(60);
    let token = api.login(REMEMBERING, name, PASSWORD).await.unwrap().mfa_token();
    api.otp_remembering(REMEMBERING, &token, &phone.code(world)).await.unwrap().device_token.unwrap()
}

async fn with(api: &Api, name: &str, device: &str) -> Outcome {
    let wish = Wish { device_token: Some(device), ..Wish::default() };
    api.login_for(REMEMBERING, name, PASSWORD, wish).await.unwrap()
}

fn next(tokens: Tokens) -> String {
    tokens.device_token.expect("the device is remembered")
}

everywhere! {
    async fn each_login_spends_the_token_and_yields_the_next(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let first = remembered(&world, &api, "ann", &phone).await;
        let second = next(with(&api, "ann", &first).await.tokens());
        let third = next(with(&api, "ann", &second).await.tokens());
        // One that was used before: two have it. The device is forgotten.
        with(&api, "ann", &first).await.mfa_token();
        with(&api, "ann", &third).await.mfa_token();
        assert_eq!(dump::audited(&world.database(), "remembered_device.reused", ann.id.as_str()), 1);
        assert_eq!(dump::rows(&world.database(), "refresh_family"), 0);
    }

    async fn it_ends_with_its_time(world: World, api: Api) {
        let (_ann, phone) = world.enrolled(&api, "ann").await;
        let first = remembered(&world, &api, "ann", &phone).await;
        world.advance(7 * 86_400 - 1);
        // Using it does not extend it.
        let second = next(with(&api, "ann", &first).await.tokens());
        world.advance(1);
        with(&api, "ann", &second).await.mfa_token();
    }

    async fn it_ends_with_the_password_the_factors_and_a_block(world: World, api: Api) {
        let (ann, mut phone) = world.enrolled(&api, "ann").await;
        let device = remembered(&world, &api, "ann", &phone).await;
        world.app().set_password(&ann.id, NewPassword::Plain(Secret::new(PASSWORD.into()))).await.unwrap();
        with(&api, "ann", &device).await.mfa_token();

        let device = remembered(&world, &api, "ann", &phone).await;
        world.app().set_blocked(&ann.id, true).await.unwrap();
        let wish = Wish { device_token: Some(&device), ..Wish::default() };
        api.login_for(REMEMBERING, "ann", PASSWORD, wish).await.unwrap_err();
        world.app().set_blocked(&ann.id, false).await.unwrap();
        with(&api, "ann", &device).await.mfa_token();

        let device = remembered(&world, &api, "ann", &phone).await;
        world.app().reset_factors(&ann.id).await.unwrap();
        with(&api, "ann", &device).await.mfa_token();
        phone = ann.enrol(&world, &api).await;
        with(&api, "ann", &device).await.mfa_token();
        remembered(&world, &api, "ann", &phone).await;
    }

    async fn it_ends_when_one_of_several_factors_is_removed(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        world.advance(60);
        let manager = ann.manager(&world, &api, &phone).await;
        let first = api.list(&manager).await.unwrap().into_iter().find(|entry| entry.kind == "otp").unwrap().id;
        let other = ann.add_phone(&world, &api, &manager).await;
        let device = next(with(&api, "ann", &remembered(&world, &api, "ann", &phone).await).await.tokens());
        world.advance(60);
        let manager = ann.manager(&world, &api, &other).await;
        api.delete(&manager, &first).await.unwrap();
        with(&api, "ann", &device).await.mfa_token();
        // The factor that is left has the next one remembered.
        let device = remembered(&world, &api, "ann", &other).await;
        with(&api, "ann", &device).await.tokens();
    }

    async fn a_person_sees_and_forgets_their_devices(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let (bob, bobs) = world.enrolled(&api, "bob").await;
        let one = remembered(&world, &api, "ann", &phone).await;
        let two = remembered(&world, &api, "ann", &phone).await;
        world.advance(60);
        let manager = ann.manager(&world, &api, &phone).await;
        let ids = api.remembered(&manager).await.unwrap();
        assert_eq!(ids.len(), 2);
        let stranger = bob.manager(&world, &api, &bobs).await;
        assert!(api.remembered(&stranger).await.unwrap().is_empty());
        api.forget(&stranger, &ids[0]).await.unwrap_err();
        api.forget(&manager, "unknown").await.unwrap_err();
        // The newest comes first.
        api.forget(&manager, &ids[0]).await.unwrap();
        api.forget(&manager, &ids[0]).await.unwrap_err();
        assert_eq!(api.remembered(&manager).await.unwrap(), [ids[1].clone()]);
        with(&api, "ann", &two).await.mfa_token();
        with(&api, "ann", &one).await.tokens();
        assert_eq!(dump::audited(&world.database(), "remembered_device.removed", ann.id.as_str()), 1);
    }

    async fn an_operator_sees_and_forgets_them(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let mut devices = Vec::new();
        for _ in 0..3 {
            devices.push(remembered(&world, &api, "ann", &phone).await);
        }
        let list = async || {
            let listed = world.command(&["user", "devices", "ann"]).await;
            assert_eq!(listed.code, 0, "{listed:?}");
            listed.out.lines().map(|line| line.split('\t').map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>()
        };
        let lines = list().await;
        assert!(lines.iter().all(|line| line.len() == 5 && line[1] == REMEMBERING.id), "{lines:?}");
        let forget = async |more: &[&str]| world.command(&[&["user", "forget-device", "ann"], more].concat()).await;
        // The newest comes first.
        let forgotten = forget(&["--device", &lines[0][0]]).await;
        assert_eq!((forgotten.code, forgotten.out.contains("devices forgotten: 1")), (0, true), "{forgotten:?}");
        let again = forget(&["--device", &lines[0][0]]).await;
        assert_ne!(again.code, 0, "{again:?}");
        assert_ne!(forget(&["--device", "nonsense"]).await.code, 0);
        with(&api, "ann", &devices[2]).await.mfa_token();
        with(&api, "ann", &devices[1]).await.tokens();
        assert_eq!(list().await.len(), 2);
        assert!(forget(&["--all"]).await.out.contains("devices forgotten: 2"));
        assert!(list().await.is_empty());
        with(&api, "ann", &devices[0]).await.mfa_token();
        assert_eq!(dump::audited(&world.database(), "remembered_device.removed", ann.id.as_str()), 3);
    }
}

const REMEMBERED: &str = "A device is remembered";
const REUSED: &str = "The key of a remembered device was used twice";

/// To how many addresses each was said.
async fn told(world: &World) -> [usize; 2] {
    let notices = world.notices().await;
    let count = |what| notices.iter().filter(|notice| notice["text"].as_str().unwrap().contains(what)).count();
    [count(REMEMBERED), count(REUSED)]
}

everywhere! {
    in Tenant::default().with_messages();

    async fn every_address_is_told_of_a_device_and_of_a_token_that_comes_twice(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let change = AddressChange { add: vec!["ann@home.test".into()], remove: Vec::new() };
        world.app().change_addresses(&ann.id, change).await.unwrap();
        let token = api.login(REMEMBERING, "ann", PASSWORD).await.unwrap().mfa_token();
        api.otp(REMEMBERING, &token, &phone.code(&world)).await.unwrap();
        assert_eq!(told(&world).await, [0, 0], "nothing was remembered");
        let first = remembered(&world, &api, "ann", &phone).await;
        assert_eq!(told(&world).await, [2, 0]);
        let second = next(with(&api, "ann", &first).await.tokens());
        assert_eq!(told(&world).await, [2, 0], "using it is no news");
        for again in [&first, &second, &first] {
            with(&api, "ann", again).await.mfa_token();
        }
        assert_eq!(told(&world).await, [2, 2], "once: the device is forgotten");
    }
}

const STRICT_API: &str = "https://strict.test/";
const OPEN_API: &str = "https://open.test/";

everywhere! {
    in Tenant::default().with_messages().and(
        "[[apis]]\naudience = 'https://strict.test/'\nmfa_demand = 'always'\nmfa_factors = ['otp']\n\
         [[apis]]\naudience = 'https://open.test/'\nmfa_demand = 'always'\nmfa_factors = ['otp', 'sms', 'voice', 'email']\n",
    );

    async fn an_api_that_allows_fewer_factors_is_given_one(world: World, api: Api) {
        let (_ann, phone) = world.enrolled(&api, "ann").await;
        let device = remembered(&world, &api, "ann", &phone).await;
        let wish = Wish { audience: Some(STRICT_API), device_token: Some(&device), ..Wish::default() };
        api.login_for(REMEMBERING, "ann", PASSWORD, wish).await.unwrap().mfa_token();
        // One that lists all there are takes none away.
        let wish = Wish { audience: Some(OPEN_API), ..wish };
        let device = next(api.login_for(REMEMBERING, "ann", PASSWORD, wish).await.unwrap().tokens());
        with(&api, "ann", &device).await.tokens();
    }
}
