//! argon2id with the server's parameters, on every core at once: the limit of password logins.

use std::{thread, time::Duration};

use anyhow::{Context as _, anyhow};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use countersign::config::stores::PasswordsConfig;

use crate::measure::{Begin, Latencies, Measured, Row, repeat};

/// Measures for `span`. Each thread keeps its memory from hash to hash, as the server's do.
///
/// # Errors
///
/// A thread failed.
pub fn argon2id(span: Duration) -> anyhow::Result<Row> {
    let config = PasswordsConfig::default();
    let threads = config.effective_threads();
    let measured = Measured { name: "argon2id", pid: std::process::id(), callers: threads };
    on_all(threads, span / 10, &config)?;
    let begin = Begin::now(measured.pid)?;
    let latencies = on_all(threads, span, &config)?;
    measured.row(&begin, latencies.recorded(), &latencies)
}

fn on_all(threads: usize, span: Duration, config: &PasswordsConfig) -> anyhow::Result<Latencies> {
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(|| on_one(span, config))).collect();
        let mut all = Latencies::new()?;
        for worker in workers {
            all.merge(&worker.join().map_err(|_panic| anyhow!("a thread panicked"))??)?;
        }
        Ok(all)
    })
}

fn on_one(span: Duration, config: &PasswordsConfig) -> anyhow::Result<Latencies> {
    let params = Params::new(config.memory_kib, config.passes, config.lanes, Some(32))
        .map_err(|error| anyhow!("{error}"))
        .context("the default parameters are refused")?;
    let mut memory = vec![Block::default(); params.block_count()];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut output = [0; 32];
    repeat(span, &mut || {
        argon2
            .hash_password_into_with_memory(b"pass word of all", b"sixteen bytes ok", &mut output, &mut memory)
            .map_err(|error| anyhow!("{error}"))
    })
}
