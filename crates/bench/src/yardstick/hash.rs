//! argon2id with the server's parameters, on every core at once: the limit of password logins.

use std::time::Duration;

use countersign::config::stores::PasswordsConfig;
use countersign_crypto::password::{HashMemory, HashParams, argon2id_raw};

use crate::measure::{Measured, Row};

/// Measures for `span`: the implementation the server uses, without its queue. Each thread keeps its memory from hash to hash,
/// as the server's do.
///
/// # Errors
///
/// A thread failed.
pub fn argon2id(span: Duration) -> anyhow::Result<Row> {
    let config = PasswordsConfig::default();
    let params = HashParams::new(config.memory_kib, config.passes, config.lanes)?;
    let measured = Measured { name: "argon2id", pid: std::process::id(), callers: config.effective_threads() };
    measured.on_threads(span, || {
        let (mut memory, mut output) = (HashMemory::new(), [0; 32]);
        Ok(move || Ok(argon2id_raw(&mut memory, params, b"pass word of all", b"sixteen bytes ok", &mut output)?))
    })
}
