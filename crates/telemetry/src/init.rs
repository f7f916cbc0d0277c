//! Start and end of telemetry.

use std::{io, panic};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::{error::OTelSdkError, trace::SdkTracerProvider};
use tracing::{Dispatch, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer as _,
    filter::{FilterExt as _, ParseError, Targets, filter_fn},
    fmt::{self, MakeWriter, writer::BoxMakeWriter},
    layer::SubscriberExt as _,
};

use crate::{
    config::{LogWriter, TelemetryConfig},
    log::{LineFormat, NoSpanFields},
    otlp,
    request_log::REQUEST_TARGET,
};

/// Telemetry that is running. Dropping it exports nothing: call [`Telemetry::shutdown`].
#[derive(Debug)]
#[must_use = "spans are lost without a shutdown"]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
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
    /// The last spans could not be sent.
    #[error("the last spans were not exported")]
    Flush(#[source] OTelSdkError),
}

impl Telemetry {
    /// Begins to log and to export, for the whole process, and logs where a panic happened from now on.
    ///
    /// With an OTLP endpoint this must be called within a Tokio runtime. The collector need not be there yet.
    ///
    /// # Errors
    ///
    /// The configuration cannot be used, or a subscriber is installed already.
    pub fn start(config: &TelemetryConfig) -> Result<Self, TelemetryError> {
        let writer = match config.writer {
            LogWriter::Stdout => BoxMakeWriter::new(io::stdout),
            LogWriter::Stderr => BoxMakeWriter::new(io::stderr),
        };
        let (dispatch, telemetry) = Self::build(config, writer)?;
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
        Ok((Dispatch::new(subscriber), Self { traces }))
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

    /// Sends what is left and stops exporting. Blocks like [`Telemetry::flush`], and needs the runtime still running.
    ///
    /// # Errors
    ///
    /// The collector did not take the last spans.
    pub fn shutdown(self) -> Result<(), TelemetryError> {
        self.traces.map_or(Ok(()), |traces| traces.shutdown().map_err(TelemetryError::Flush))
    }
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
