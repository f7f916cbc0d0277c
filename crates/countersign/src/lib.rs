//! The countersign binary: serve, demo, check-config, user, fence, device.
//!
//! It is a library too, so that tests and benchmarks start a whole server in their process: [`serve::start`].

pub mod alone;
pub mod cli;
pub mod config;
pub mod demo;
pub mod device;
pub mod fence;
pub mod listener;
pub mod ops;
pub mod serve;
pub mod system;
pub mod tls;
pub mod wire;
