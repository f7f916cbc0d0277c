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
    let hashes = async || {
        let metrics = world.metrics().await;
        metrics
            .text()
            .lines()
            .filter(|line| line.contains("hash") && line.contains("_count"))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let mut answers = Vec::new();
    let mut before = hashes().await;
    for name in ["ann", "nobody", "blocked", "nobody@people.test", "\u{0}", "x\u{7}y"] {
        let fields = [("grant_type", "password"), ("username", name), ("password", "wrong")];
        let answer = world.http().post("/oauth/token", &body(BACKEND, &fields)).await;
        let after = hashes().await;
        if !before.is_empty() {
            assert_ne!(before, after, "{name:?} cost a hash");
        }
        before = after;
        let names: Vec<_> = answer.headers.keys().map(|name| name.as_str().to_owned()).collect();
        answers.push((answer.status, answer.text(), names, answer.header("content-length").map(str::to_owned)));
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
}
