//! The shape of a log line.
//!
//! Spans are not repeated on lines; what a line needs of the request (its identifier and trace) is added from the request's
//! scope. Fields that must never be written are struck out here, for both formats.

mod human;
mod json;

use std::fmt;

use tracing::{Event, Subscriber, field::Field};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::Writer,
        time::{FormatTime as _, SystemTime},
    },
    registry::LookupSpan,
};

use self::{human::HumanFields, json::JsonFields};
use crate::{config::LogFormat, never_log, request_scope};

/// Writes one event as one line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineFormat(pub(crate) LogFormat);

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let meta = event.metadata();
        match self.0 {
            LogFormat::Json => {
                writer.write_str("{\"timestamp\":\"")?;
                SystemTime.format_time(&mut writer)?;
                write!(writer, "\",\"level\":\"{}\",\"target\":\"", meta.level())?;
                json::escape(&mut writer, meta.target())?;
                writer.write_char('"')?;
                let mut fields = JsonFields::new(&mut writer);
                event.record(&mut fields);
                let names_request = fields.finish()?;
                if let (false, Some(trace)) = (names_request, request_scope::current_trace()) {
                    write!(writer, ",\"request.id\":\"{}\",\"trace.id\":\"{}\"", trace.span_id(), trace.trace_id())?;
                }
                writer.write_str("}\n")
            }
            LogFormat::Human => {
                SystemTime.format_time(&mut writer)?;
                write!(writer, " {:>5}", meta.level())?;
                let mut fields = HumanFields::new(&mut writer);
                event.record(&mut fields);
                let names_request = fields.finish()?;
                if let (false, Some(trace)) = (names_request, request_scope::current_trace()) {
                    write!(writer, " request.id={}", trace.span_id())?;
                }
                writer.write_char('\n')
            }
        }
    }
}

/// Fields of spans go to traces, never to lines, so there is nothing to keep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoSpanFields;

impl<'writer> FormatFields<'writer> for NoSpanFields {
    fn format_fields<R: RecordFields>(&self, _: Writer<'writer>, _: R) -> fmt::Result {
        Ok(())
    }
}

/// The field by which a line names its request itself.
const REQUEST_ID: &str = "request.id";

fn is_struck_out(field: &Field) -> bool {
    never_log::is_never_logged(field.name())
}

/// An error with its causes, `outer: inner: innermost`.
struct Chain<'a>(&'a (dyn std::error::Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
