//! argon2id with the server's parameters, on every core at once: the limit of password logins.

use std::time::Duration;

use countersign::config::stores::PasswordsConfig;
use countersign_crypto::password::{HashMemory, HashParams, argon2id_raw};

use crate::measure::{Measured, Stretch};

/// What is measured: the implementation the server uses, without its queue.
pub fn measured() -> Measured {
    let callers = PasswordsConfig::default().effective_threads();
    Measured { name: "argon2id", pid: std::process::id(), callers }
}

/// Measures for `span`. Each thread keeps its memory from hash to hash, as the server's do.
///
/// # Errors
///
/// A thread failed.
pub fn argon2id(span: Duration) -> anyhow::Result<Stretch> {
    let config = PasswordsConfig::default();
    let params = HashParams::new(config.memory_kib, config.passes, config.lanes)?;
    measured().on_threads(span, || {
        let (mut memory, mut output) = (HashMemory::new(), [0; 32]);
        Ok(move || Ok(argon2id_raw(&mut memory, params, b"pass word of all", b"sixteen bytes ok", &mut output)?))
    })
}
