//! argon2id with the server's parameters, on every core at once: the limit of password logins.

use std::{thread, time::Duration};

use anyhow::anyhow;
use countersign::config::stores::PasswordsConfig;
use countersign_crypto::password::{HashMemory, HashParams, argon2id_raw};

use crate::measure::{Begin, Latencies, Measured, Row, repeat};

/// Measures for `span`: the implementation the server uses, without its queue. Each thread keeps its memory from hash to hash,
/// as the server's do.
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
    let params = HashParams::new(config.memory_kib, config.passes, config.lanes)?;
    let mut memory = HashMemory::new();
    let mut output = [0; 32];
    repeat(span, &mut || Ok(argon2id_raw(&mut memory, params, b"pass word of all", b"sixteen bytes ok", &mut output)?))
}
