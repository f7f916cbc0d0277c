//! Round trips to Redis over one connection that callers share; the CPU time is the client's.

use anyhow::Context as _;
use redis::AsyncCommands as _;

use crate::measure::{Measured, Row};

/// Measures `operations` reads of a small value.
///
/// # Errors
///
/// Redis does not answer.
pub async fn round_trip(url: &str, operations: usize, callers: usize) -> anyhow::Result<Row> {
    let client = redis::Client::open(url).context("not the URL of a Redis")?;
    let mut connection = client.get_multiplexed_async_connection().await.context("Redis does not answer")?;
    let () = connection.set_ex("countersign-bench", [7_u8; 200].as_slice(), 600).await?;
    let measured = Measured { name: "Redis round trip", pid: std::process::id(), callers };
    measured
        .closed_loop(vec![(); operations], move |()| {
            let mut connection = connection.clone();
            async move {
                let value: Vec<u8> = connection.get("countersign-bench").await?;
                anyhow::ensure!(value.len() == 200, "Redis answered something else");
                Ok(())
            }
        })
        .await
}
