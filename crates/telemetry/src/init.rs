//! Start and end of telemetry.

use std::{fs::File, io, os::fd::AsFd as _, panic, time::Duration};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::{error::OTelSdkError, trace::SdkTracerProvider};
use tracing::{Dispatch, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer as _,
    filter::{FilterExt as _, ParseError, Targets, filter_fn},
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
};

use crate::{
    config::{LogWriter, TelemetryConfig},
    lines::{self, Writing},
    log::{LineFormat, NoSpanFields},
    metrics::Metrics,
    otlp,
    request_log::REQUEST_TARGET,
};

/// How long the last spans may take.
const LAST_SPANS: Duration = Duration::from_secs(2);

/// Telemetry that is running. Dropping it writes the last lines and exports nothing: call [`Telemetry::shutdown`].
#[derive(Debug)]
#[must_use = "spans are lost without a shutdown"]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    /// Writes the lines, if they go out of the process.
    _writing: Option<Writing>,
}

/// Why telemetry cannot start or end.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not a list of directives.
    #[error("the log filter cannot be read")]
    Filter(#[source] ParseError),
    /// The endpoint is not `http://host:port`. Connections to the collector are not encrypted: run it beside the service.
    #[error("the OTLP endpoint must begin with http://")]
    Endpoint,
    /// The ratio is not between 0 and 1.
    #[error("the trace ratio must lie between 0 and 1")]
    Ratio,
    /// The exporter cannot be built.
    #[error("the OTLP exporter cannot be built")]
    Exporter(#[source] Box<ExporterBuildError>),
    /// Somebody has installed a subscriber before.
    #[error("telemetry was started twice")]
    Started(#[source] tracing::dispatcher::SetGlobalDefaultError),
    /// The system gives no second way to write to the log, or no thread.
    #[error("the log cannot be written")]
    Writer(#[source] io::Error),
    /// The last spans could not be sent.
    #[error("the last spans were not exported")]
    Flush(#[source] OTelSdkError),
}

impl Telemetry {
    /// The longest that [`Telemetry::shutdown`] takes.
    pub const ENDS_WITHIN: Duration = LAST_SPANS.saturating_add(Writing::LAST);

    /// Begins to log and to export, for the whole process, and logs where a panic happened from now on. Nobody waits for the reader
    /// of the log: lines that it does not take in time are dropped and counted in `metrics`.
    ///
    /// With an OTLP endpoint this must be called within a Tokio runtime. The collector need not be there yet.
    ///
    /// # Errors
    ///
    /// The configuration cannot be used, or a subscriber is installed already.
    pub fn start(config: &TelemetryConfig, metrics: &Metrics) -> Result<Self, TelemetryError> {
        // Not through the library's buffer, which writes each line by itself and locks the program's other words out meanwhile.
        let out = match config.writer {
            LogWriter::Stdout => io::stdout().as_fd().try_clone_to_owned(),
            LogWriter::Stderr => io::stderr().as_fd().try_clone_to_owned(),
        };
        let begun = out.and_then(|out| lines::begin(File::from(out), metrics, tell_dropped));
        let (lines, writing) = begun.map_err(TelemetryError::Writer)?;
        let (dispatch, telemetry) = Self::build(config, lines)?;
        let telemetry = Self { _writing: Some(writing), ..telemetry };
        tracing::dispatcher::set_global_default(dispatch).map_err(TelemetryError::Started)?;
        panic::set_hook(Box::new(log_panic));
        Ok(telemetry)
    }

    /// Builds the same without installing anything: the dispatcher can be made the default of one thread or one future.
    ///
    /// # Errors
    ///
    /// The configuration cannot be used.
    pub fn build<W>(config: &TelemetryConfig, writer: W) -> Result<(Dispatch, Self), TelemetryError>
    where
        W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
    {
        let filter: Targets = config.filter.parse().map_err(TelemetryError::Filter)?;
        if !(0.0..=1.0).contains(&config.trace_ratio) {
            return Err(TelemetryError::Ratio);
        }
        let traces = match config.otlp_endpoint.as_deref() {
            None => None,
            Some(endpoint) if !endpoint.starts_with("http://") => return Err(TelemetryError::Endpoint),
            Some(endpoint) => Some(
                otlp::provider(endpoint, config.trace_ratio)
                    .map_err(|error| TelemetryError::Exporter(Box::new(error)))?,
            ),
        };
        let spans = traces.as_ref().map(|provider| {
            tracing_opentelemetry::layer()
                .with_tracer(provider.tracer("countersign"))
                .with_location(false)
                .with_threads(false)
                .with_target(false)
                .with_tracked_inactivity(false)
                // The request line says what its span says.
                .with_filter(
                    Targets::new()
                        .with_target(otlp::TARGETS, LevelFilter::DEBUG)
                        .with_target(REQUEST_TARGET, LevelFilter::OFF),
                )
        });
        let lines = fmt::layer()
            .fmt_fields(NoSpanFields)
            .event_format(LineFormat(config.format))
            .with_writer(writer)
            // Lines take nothing from spans: where none are exported, none are kept.
            .with_filter(filter.and(filter_fn(|meta| !meta.is_span()).with_max_level_hint(LevelFilter::TRACE)));
        let subscriber = tracing_subscriber::registry().with(spans).with(lines);
        Ok((Dispatch::new(subscriber), Self { traces, _writing: None }))
    }

    /// Sends all spans that ended. Blocks until the collector has them or a few seconds have passed: not to be called on
    /// the only thread of a runtime.
    ///
    /// # Errors
    ///
    /// The collector did not take them.
    pub fn flush(&self) -> Result<(), TelemetryError> {
        self.traces.as_ref().map_or(Ok(()), |traces| traces.force_flush().map_err(TelemetryError::Flush))
    }

    /// Sends what is left and stops exporting, and writes the last lines. Blocks for [`Telemetry::ENDS_WITHIN`] at most, and needs
    /// the runtime still running.
    ///
    /// # Errors
    ///
    /// The collector did not take the last spans.
    pub fn shutdown(self) -> Result<(), TelemetryError> {
        let ended = self.traces.as_ref().map_or(Ok(()), |traces| traces.shutdown_with_timeout(LAST_SPANS));
        if let Err(error) = &ended {
            tracing::warn!(error = error as &dyn std::error::Error, "the last spans were lost");
        }
        ended.map_err(TelemetryError::Flush)
    }
}

/// Tells of lines that were not written. Spans and requests are not at fault, so it is no error of theirs.
fn tell_dropped(lines: u64) {
    tracing::warn!(lines, "lines of the log were dropped because nobody read them in time");
}

/// Logs the place of a panic and its message if that is a literal; one that was formatted may hold a secret.
fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let message = info.payload().downcast_ref::<&'static str>().copied();
    tracing::error!(
        panic.location = info.location().map(tracing::field::display),
        panic.message = message,
        "the program panicked"
    );
}
