//! What the operator chooses about telemetry.

/// How telemetry is set up.
#[derive(Clone, Debug)]
pub struct TelemetryConfig {
    /// How a log line looks.
    pub format: LogFormat,
    /// Which lines are written, as directives of `tracing-subscriber`'s `Targets`: `info`, or
    /// `info,countersign_storage=debug`.
    pub filter: String,
    /// Where log lines go.
    pub writer: LogWriter,
    /// Where traces go: an OTLP collector over gRPC, `http://host:4317`. `None`: nowhere.
    pub otlp_endpoint: Option<String>,
    /// Share of traces that are recorded where the caller did not decide, from 0 to 1.
    pub trace_ratio: f64,
}

impl Default for TelemetryConfig {
    fn default() -> Self {
        Self {
            format: LogFormat::Json,
            filter: "info".into(),
            writer: LogWriter::Stdout,
            otlp_endpoint: None,
            trace_ratio: 1.0,
        }
    }
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line: `timestamp`, `level`, `target`, `message`, then the fields, flat.
    #[default]
    Json,
    /// For eyes: time, level, message, then `name=value`.
    Human,
}

/// Where log lines go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogWriter {
    /// Standard output.
    #[default]
    Stdout,
    /// Standard error.
    Stderr,
}
