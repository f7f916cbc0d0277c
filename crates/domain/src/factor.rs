//! The factors, one file each. [`crate::authenticator::FactorKind`] names them.

pub mod otp;
pub mod recovery_code;
