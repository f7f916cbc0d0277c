//! The check of a code: the three codes of a window computed and compared (RFC 6238, section 5.2).

use std::{hint::black_box, time::Duration};

use totp_rs::{Algorithm, Builder};

use crate::measure::{Measured, Row};

/// Measures for `span`, one after the other on one thread.
///
/// # Errors
///
/// Never.
pub fn check(span: Duration) -> anyhow::Result<Row> {
    let measured = Measured { name: "TOTP check", pid: std::process::id(), callers: 1 };
    measured.in_a_row(span, 1, || {
        let totp = Builder::new()
            .with_algorithm(Algorithm::SHA1)
            .with_digits(6)
            .with_secret(vec![7; 20])
            .with_step_duration(30)
            .build_noncompliant();
        for step in 100..103_u64 {
            black_box(totp.generate(black_box(step) * 30).to_string() == black_box("123456"));
        }
        Ok(())
    })
}
