//! What locks an account, what does not, and the way out.

use countersign_domain::{secret::Secret, usecase::manage_users::NewPassword};
use countersign_tests::{
    api::Transport,
    everywhere,
    person::PASSWORD,
    refusal::{LOCKED, Refused as _, WRONG_PASSWORD},
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};
use futures_util::future::join_all;

everywhere! {
    async fn a_new_password_ends_a_lock(world: World, api: Api) {
        let ann = world.person("ann").await;
        for _ in 0..10 {
            api.login(BACKEND, "ann", "wrong").await.refused(&WRONG_PASSWORD);
        }
        api.login(BACKEND, "ann", PASSWORD).await.refused(&LOCKED);
        world.advance(1);
        let new = NewPassword::Plain(Secret::new("another passphrase".to_owned()));
        assert!(world.app().set_password(&ann.id, new).await.unwrap());
        api.login(BACKEND, "ann", "another passphrase").await.unwrap();
    }

    async fn right_passwords_at_once_lock_nobody(world: World, api: Api) {
        world.person("ann").await;
        let answers = join_all((0..18).map(|_| api.login(BACKEND, "ann", PASSWORD))).await;
        assert!(answers.iter().all(|answer| !answer.as_ref().is_err_and(|refusal| refusal.is(&LOCKED))), "{answers:?}");
        api.login(BACKEND, "ann", PASSWORD).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_was_not_looked_at_is_no_failure() {
    let shedding = Tenant::default().section("passwords", &["threads = 1", "queue = 1"]);
    let world = World::start(Store::Sqlite, shedding).await;
    world.person("ann").await;
    for transport in [Transport::Http, Transport::Grpc] {
        let api = world.api(transport);
        let mut shed = 0;
        for _ in 0..4 {
            let answers = join_all((0..8).map(|_| api.login(BACKEND, "ann", PASSWORD))).await;
            shed += answers
                .iter()
                .filter(|answer| answer.as_ref().is_err_and(countersign_tests::refusal::Refusal::is_undecided))
                .count();
        }
        assert!(shed > 10, "{shed} were shed");
        api.login(BACKEND, "ann", PASSWORD).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_lock_from_everywhere_where_the_account_alone_is_counted() {
    for (count_by, elsewhere_too) in [(None, false), (Some("user_and_address"), false), (Some("user"), true)] {
        let proxied = Tenant::default().section("gateway", &["trusted_proxies = ['127.0.0.0/8']"]);
        let tenant = match count_by {
            None => proxied,
            Some(whom) => proxied.section("limits", &[&format!("count_by = '{whom}'")]),
        };
        let world = World::start(Store::Sqlite, tenant).await;
        world.people(&["ann", "bob"]).await;
        let api = world.api(Transport::Http);
        let (here, elsewhere) = (api.from("203.0.113.9"), api.from("198.51.100.7"));
        for _ in 0..10 {
            here.login(BACKEND, "ann", "wrong").await.refused(&WRONG_PASSWORD);
        }
        here.login(BACKEND, "ann", PASSWORD).await.refused(&LOCKED);
        let answer = elsewhere.login(BACKEND, "ann", PASSWORD).await;
        if elsewhere_too {
            answer.refused(&LOCKED);
        } else {
            answer.expect("the person is not locked out").mfa_token();
        }
        for from in [&here, &elsewhere] {
            from.login(BACKEND, "bob", PASSWORD).await.expect("others are not counted").mfa_token();
        }
    }
}
