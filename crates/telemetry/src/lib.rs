//! Log lines, metrics and traces.
//!
//! [`Telemetry::start`] installs the subscriber, [`RequestLogLayer`] writes one line per request, [`Metrics`] counts.
//!
//! To let a request line say more, add a member to [`RequestFacts`] and a field to the line in `request_log/record.rs`.
//! A new metric is one member of [`Metrics`], one method and, for its labels, one closed enum in `metrics/label.rs`.
//! What must never be written is listed in [`never_log`]; fields of those names are struck out on every way outside.

pub mod config;
pub mod grpc_code;
pub mod init;
mod lines;
mod log;
pub mod metrics;
pub mod never_log;
mod otlp;
pub mod panic_guard;
pub mod request_log;
pub mod request_scope;
pub mod trace_context;

pub use config::{LogFormat, LogWriter, TelemetryConfig};
pub use grpc_code::GrpcCode;
pub use init::{Telemetry, TelemetryError};
pub use metrics::Metrics;
pub use panic_guard::PanicGuardLayer;
pub use request_log::{RequestLogLayer, RouteName};
pub use request_scope::{RequestFacts, carry, note};
pub use trace_context::{TraceContext, inject};
