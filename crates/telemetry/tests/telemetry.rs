//! Request lines, redaction and traces, as an operator sees them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

#[path = "telemetry/collector.rs"]
mod collector;
#[path = "telemetry/lines.rs"]
mod lines;
#[path = "telemetry/never_logged.rs"]
mod never_logged;
#[path = "telemetry/request.rs"]
mod request;
#[path = "telemetry/traces.rs"]
mod traces;
