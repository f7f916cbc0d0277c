//! Messages, really delivered: what the domain's `Sender` port promises, kept by providers.
//!
//! A [`worker::Worker`] takes sealed messages from the outbox and hands each to the [`courier::Courier`], which puts it into
//! [`words`] and gives it to the first [`provider`] of its channel that can be used. A message is tried again until a provider
//! takes it, refuses it, or nobody needs it any more; its id and its code stay the same.
//!
//! # Growing it
//!
//! *A provider*: one file in `provider/` that implements [`provider::Provider`], and its settings.
//!
//! *A language*: one file in `templates/`, named by its tag, and a line in [`templates`]' list of shipped files. Nothing else.

mod backoff;
pub mod bell;
mod breaker;
mod chain;
pub mod courier;
mod jwt;
mod language;
pub mod number_check;
pub mod observer;
pub mod provider;
pub mod templates;
mod user_agent;
pub mod words;
pub mod worker;
