//! The factors, one file each. [`crate::authenticator::FactorKind`] names them.

pub mod otp;
pub mod recovery_code;

/// The classes of factors that attempts are counted for.
pub const CLASSES: [&str; 2] = [otp::CLASS, recovery_code::CLASS];
