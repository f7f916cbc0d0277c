//! The services as a client sees them, over a channel without a socket and over scripted ports.
//!
//! Whole logins over real stores are told in the scenarios of the workspace; here it is about the edge: fields, statuses,
//! deadlines, who is believed, health and reflection.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

#[path = "service/challenge_and_associate.rs"]
mod challenge_and_associate;
#[path = "service/failures.rs"]
mod failures;
#[path = "service/introspection.rs"]
mod introspection;
#[path = "service/origin.rs"]
mod origin;
#[path = "service/ports.rs"]
mod ports;
#[path = "service/rig.rs"]
mod rig;
#[path = "service/token.rs"]
mod token;
#[path = "service/undecodable.rs"]
mod undecodable;
