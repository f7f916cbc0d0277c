//! Support for the scenarios: a world to run them in, and one way to say what is done and what must come back.
//!
//! A test starts a [`world::World`], takes an [`api::Api`] over one of the transports, and tells its story with it. What a call
//! must be refused with is a row of [`refusal`]: the same row is checked as a gRPC reason and as an HTTP answer.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_errors_doc,
    reason = "whatever goes wrong here is a failed test"
)]

pub mod api;
pub mod certificates;
pub mod collector;
pub mod device;
pub mod dump;
pub mod everywhere;
pub mod grpc;
pub mod http;
pub mod jwt;
pub mod metrics;
pub mod node;
pub mod openapi;
pub mod otp;
pub mod person;
pub mod process;
pub mod python;
pub mod receiver;
pub mod refusal;
pub mod sent;
pub mod server;
pub mod signer;
pub mod tenant;
pub mod trail;
pub mod world;
