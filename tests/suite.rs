//! The whole service, from outside: scenarios over store and transport, incidents of others, races, faults, real clients.
//!
//! A new scenario is an `async fn` in [`scenarios`] under [`countersign_tests::everywhere!`]; a new incident is one file in
//! [`incidents`], named by its number. Nothing here waits by the clock on the wall: time is moved.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "whatever goes wrong here is a failed test"
)]

mod canary;
mod clients;
mod commands;
mod faults;
mod incidents;
mod newcomer;
mod phone;
mod races;
mod readme;
mod scenarios;
mod serving;
mod throttles;
mod traces;
