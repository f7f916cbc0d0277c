//! The countersign binary: serve, demo, check-config, user.
//!
//! It is a library too, so that tests and benchmarks start a whole server in their process: [`serve::start`].

pub mod config;
pub mod system;
pub mod tls;
