//! Whoever reads the log stops reading.

use std::time::{Duration, Instant};

use countersign_tests::{
    http::plain_client,
    process::{self, ServeProcess},
    tenant::Tenant,
};
use tempfile::TempDir;

/// Longer than all that a stop waits for.
const IN_TIME: Duration = Duration::from_secs(8);

fn config(folder: &TempDir) -> String {
    let tenant = Tenant::default().section("shutdown", &["drain = '0s'", "in_flight = '1s'"]);
    tenant.toml(&process::places(folder.path()))
}

/// Has `count` requests answered, each of which is a line of some hundred bytes.
async fn ask(process: &ServeProcess, count: usize) {
    let (client, url) = (plain_client(), format!("{}/.well-known/jwks.json", process.http()));
    for number in 0..count {
        let answer = tokio::time::timeout(Duration::from_secs(30), client.get(&url).send()).await;
        let answer = answer.unwrap_or_else(|_| panic!("no answer after {number} lines")).unwrap();
        assert!(!answer.bytes().await.unwrap().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_and_health_are_answered_and_the_program_ends_in_time() {
    let folder = TempDir::new().unwrap();
    let process = ServeProcess::start_stalled(folder.path(), &config(&folder)).await;
    // A pipe keeps 64 KiB.
    ask(&process, 1000).await;
    let client = plain_client();
    for path in ["/healthz", "/readyz", "/metrics"] {
        let answer = client.get(format!("{}{path}", process.ops())).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
    }
    let begin = Instant::now();
    process.signal("TERM").await;
    let ended = tokio::time::timeout(Duration::from_secs(60), process.ended()).await;
    assert_eq!(ended.expect("it ends").0, Some(0));
    let took = begin.elapsed();
    assert!(took < IN_TIME, "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_loses_no_line_that_somebody_reads() {
    let folder = TempDir::new().unwrap();
    let process = ServeProcess::start(folder.path(), &config(&folder)).await;
    ask(&process, 500).await;
    process.signal("TERM").await;
    let (code, log) = process.ended().await;
    assert_eq!(code, Some(0));
    let requests = log.iter().filter(|line| line["duration_ms"].is_number()).count();
    assert_eq!(requests, 500);
    let last: Vec<_> = log.iter().rev().take(2).map(|line| line["message"].as_str().unwrap()).collect();
    assert_eq!(last, ["stopped", "stopping"]);
}
