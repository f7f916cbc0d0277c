//! Messages, really delivered: what the domain's `Sender` port promises, kept by providers.
//!
//! # Growing it
//!
//! *A provider*: one file in `provider/` that implements [`provider::Provider`], and its settings.

mod breaker;
mod chain;
pub mod courier;
pub mod observer;
pub mod provider;
pub mod words;
