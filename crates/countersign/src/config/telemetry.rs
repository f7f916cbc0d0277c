//! Logs and traces.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Log lines, on standard output.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Their shape.
    pub format: LogFormatName,
    /// The least serious lines that are written.
    pub level: LogLevel,
}

/// The shape of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormatName {
    /// One JSON object a line.
    #[default]
    Json,
    /// For people.
    Human,
}

/// How serious a line is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Asks for a human.
    Error,
    /// Asks for a look.
    Warn,
    /// Tells the story.
    #[default]
    Info,
    /// Explains.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Traces over OTLP (gRPC).
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpConfig {
    /// Whether traces are exported.
    pub enabled: bool,
    /// Where to: a collector beside the service, `http://host:port`.
    pub endpoint: String,
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self { enabled: false, endpoint: "http://localhost:4317".to_owned() }
    }
}
