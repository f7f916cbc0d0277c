//! G-32, MISP CVE-2026-107276: a code was read, checked and deleted in three steps, and let several in between them.

use countersign_tests::{
    api::Transport,
    dump,
    sent::NUMBER,
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};
use futures_util::future::join_all;

#[tokio::test(flavor = "multi_thread")]
async fn a_code_typed_in_over_both_transports_at_once_lets_one_in() {
    for store in [Store::Sqlite, Store::Redis] {
        let tenant = Tenant::default()
            .with_messages()
            .section("limits.factor_failures", &["capacity = 100", "refill = '6m'"])
            .section("limits.sends.phone", &["capacity = 100", "refill = '1h'"]);
        let world = World::start(store, tenant).await;
        let apis = [world.api(Transport::Http), world.api(Transport::Grpc)];
        let ann = world.with_telephone(&apis[0], "ann", NUMBER).await;
        for round in 1..=5 {
            let (token, sent, message) = ann.challenged(&world, &apis[0], "sms").await;
            let tries = (0..12).map(|number| {
                let (api, token, handle) = (apis[number % 2].clone(), token.clone(), sent.oob_code.clone());
                let code = message.code.clone();
                tokio::spawn(async move { api.oob(BACKEND, &token, &handle, &code).await.is_ok() })
            });
            let won = join_all(tries).await.into_iter().filter(|won| *won.as_ref().unwrap()).count();
            assert_eq!(won, 1, "{store:?}");
            assert_eq!(dump::audited(&world.database(), "login.oob", ann.id.as_str()), round);
        }
    }
}
