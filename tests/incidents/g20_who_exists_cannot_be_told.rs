//! G-20, Vault CVE-2025-6011: time told who exists. G-09: the answer did.

use countersign_tests::{
    api::Transport,
    http::body,
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_account_costs_a_hash_and_reads_the_same() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let api = world.api(Transport::Http);
    world.person("ann").await;
    let (blocked, _) = world.enrolled(&api, "blocked").await;
    world.app().set_blocked(&blocked.id, true).await.unwrap();
    let compared = async || world.metrics().await.sum("countersign_proof_evaluated_total", &["factor=\"password\""]);
    let mut answers = Vec::new();
    let mut before = compared().await;
    for name in ["ann", "nobody", "blocked", "nobody@people.test", "\u{0}", "x\u{7}y"] {
        let fields = [("grant_type", "password"), ("username", name), ("password", "wrong")];
        let answer = world.http().post("/oauth/token", &body(BACKEND, &fields)).await;
        let after = compared().await;
        assert!((after - before - 1.0).abs() < f64::EPSILON, "{name:?} cost one comparison: {before} {after}");
        before = after;
        let names: Vec<_> = answer.headers.keys().map(|name| name.as_str().to_owned()).collect();
        answers.push((answer.status, answer.text(), names, answer.header("content-length").map(str::to_owned)));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
}
