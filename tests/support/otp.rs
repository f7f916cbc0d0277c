//! The person's authenticator app.

use countersign_domain::{factor::otp::step_at, time::Timestamp};
use data_encoding::BASE32_NOPAD;
use totp_rs::{Algorithm, Builder};

/// Seconds a code is shown for.
pub const PERIOD: u64 = 30;

/// The code an app shows for the base32 `secret` at `now`: SHA-1, 6 digits, 30 s.
pub fn code_at(secret: &str, now: Timestamp) -> String {
    code_of(secret, step_at(now))
}

/// The code of time step `step`.
pub fn code_of(secret: &str, step: u64) -> String {
    code_with(secret, step, Algorithm::SHA1, 6)
}

/// The code of time step `step` of an app with another hash or length.
pub fn code_with(secret: &str, step: u64, algorithm: Algorithm, digits: u8) -> String {
    let secret = BASE32_NOPAD.decode(secret.as_bytes()).expect("the secret is base32");
    Builder::new()
        .with_algorithm(algorithm)
        .with_digits(digits)
        .with_secret(secret)
        .with_step_duration(PERIOD)
        .build_noncompliant()
        .generate(step * PERIOD)
        .to_string()
}

/// The time on the wall, which servers in a process of their own go by.
pub fn real_now() -> Timestamp {
    use countersign_domain::port::clock::Clock as _;
    countersign::system::SystemClock.now()
}

/// The time step of [`real_now`].
pub fn real_step() -> u64 {
    step_at(real_now())
}

/// A code of 6 digits that none of the apps with `secrets` shows anywhere near `now`.
pub fn wrong_code(secrets: &[&str], now: Timestamp) -> String {
    let step = step_at(now);
    let near: Vec<String> =
        secrets.iter().flat_map(|secret| (step - 3..=step + 3).map(move |step| code_of(secret, step))).collect();
    (0..100u32).map(|n| format!("{n:06}")).find(|code| !near.contains(code)).expect("codes are few")
}
