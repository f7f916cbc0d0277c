//! A small POST over HTTP/1.1 with kept connections, by the client that providers use; the CPU time is the client's.

use crate::measure::{Measured, Row};

/// As long as a message to the webhook.
const BODY: usize = 400;

/// Measures `operations` requests to `url`.
///
/// # Errors
///
/// Nobody answers there.
pub async fn posts(url: String, operations: usize, callers: usize) -> anyhow::Result<Row> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let measured = Measured { name: "HTTP call", pid: std::process::id(), callers };
    let body = format!(r#"{{"to":"","code":"","text":"{}"}}"#, "x".repeat(BODY));
    measured
        .closed_loop(vec![(); operations], move |()| {
            let call = client.post(&url).body(body.clone());
            async move {
                let answer = call.send().await?;
                anyhow::ensure!(answer.status().is_success(), "the receiver refuses");
                answer.bytes().await?;
                Ok(())
            }
        })
        .await
}
