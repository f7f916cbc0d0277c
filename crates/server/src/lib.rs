//! The gRPC services over the domain: parse, call, render.
//!
//! A new method is a file in `convert/` and a few lines in `service/`; a new reason is a row in [`status`].

mod caller;
mod convert;
mod routes;
mod service;
pub mod status;
mod undecodable;
mod watch;
mod work;

pub use caller::{Caller, PeerAddress};
pub use routes::{HealthHandle, InProcess, METHODS, routes};
pub use work::DEADLINE;
