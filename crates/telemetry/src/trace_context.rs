//! The W3C trace context: which trace a request belongs to, and how that travels in headers.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    str::FromStr as _,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceContextExt as _, TraceState},
};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::request_scope;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// `00-{32 hex}-{16 hex}-{2 hex}` (W3C Trace Context, section 3.2.2).
const TRACEPARENT_LEN: usize = 55;

/// One place in one trace (W3C Trace Context, section 3.2). Neither identifier is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

impl TraceContext {
    /// Reads `traceparent`. Absent or malformed: `None`, and the receiver starts a trace of its own
    /// (W3C Trace Context, section 3.2.2).
    pub fn extract(headers: &HeaderMap) -> Option<Self> {
        Self::parse(headers.get(TRACEPARENT)?.as_bytes())
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let version = hex(text.get(..2)?)?;
        // Later versions may be longer but begin the same; version ff is forbidden.
        let length_fits = text.len() == TRACEPARENT_LEN || (version > 0 && text.get(TRACEPARENT_LEN) == Some(&b'-'));
        if version == 0xff || !length_fits || [2, 35, 52].iter().any(|at| text.get(*at) != Some(&b'-')) {
            return None;
        }
        let context = Self {
            trace_id: hex(text.get(3..35)?)?,
            span_id: u64::try_from(hex(text.get(36..52)?)?).ok()?,
            flags: u8::try_from(hex(text.get(53..55)?)?).ok()? & 1,
        };
        (context.trace_id != 0 && context.span_id != 0).then_some(context)
    }

    /// A new trace. Its identifiers are unique, not secret.
    pub(crate) fn root() -> Self {
        Self { trace_id: (u128::from(unique()) << 64) | u128::from(unique()), span_id: unique(), flags: 0 }
    }

    /// The same trace, at a new place.
    pub(crate) fn child(self) -> Self {
        Self { span_id: unique(), ..self }
    }

    pub(crate) fn from_span(context: &SpanContext) -> Option<Self> {
        context.is_valid().then(|| Self {
            trace_id: u128::from_be_bytes(context.trace_id().to_bytes()),
            span_id: u64::from_be_bytes(context.span_id().to_bytes()),
            flags: context.trace_flags().to_u8() & 1,
        })
    }

    /// As the remote parent of a span, with the `tracestate` that came along.
    pub(crate) fn as_remote_parent(self, headers: &HeaderMap) -> SpanContext {
        let state = headers.get(TRACESTATE).and_then(|value| TraceState::from_str(value.to_str().ok()?).ok());
        SpanContext::new(
            TraceId::from(self.trace_id),
            SpanId::from(self.span_id),
            TraceFlags::new(self.flags),
            true,
            state.unwrap_or_default(),
        )
    }

    /// The trace, 32 hexadecimal digits when displayed.
    pub fn trace_id(self) -> impl fmt::Display {
        Hex32(self.trace_id)
    }

    /// This request within the trace, 16 hexadecimal digits when displayed.
    pub fn span_id(self) -> impl fmt::Display {
        Hex16(self.span_id)
    }
}

/// The value of `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// Writes the context of the work that is going on into the headers of an outgoing call: that of the current span where
/// traces are exported, else that of the request being served. Outside of a request: nothing.
pub fn inject(headers: &mut HeaderMap) {
    let context = tracing::Span::current().context();
    let span = context.span();
    let span_context = span.span_context();
    let Some(current) = TraceContext::from_span(span_context).or_else(request_scope::current_trace) else { return };
    if let Ok(value) = HeaderValue::try_from(current.to_string()) {
        headers.insert(TRACEPARENT, value);
    }
    if span_context.is_valid() {
        let state = span_context.trace_state().header();
        if let (false, Ok(value)) = (state.is_empty(), HeaderValue::try_from(state)) {
            headers.insert(TRACESTATE, value);
        }
    }
}

struct Hex32(u128);
struct Hex16(u64);

impl fmt::Display for Hex32 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for Hex16 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Lower-case hexadecimal digits, as the standard demands.
fn hex(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |value, digit| {
        let nibble = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some((value << 4) | u128::from(nibble))
    })
}

/// A number that this process has not used and that another is unlikely to use: a counter from a start of the process's own,
/// mixed by `SplitMix64`. Not zero.
fn unique() -> u64 {
    static START: OnceLock<u64> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(1);
    let start = *START.get_or_init(|| RandomState::new().hash_one("countersign"));
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut mixed = start.wrapping_add(count.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of W3C Trace Context, section 3.2.3.
    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn reads_and_prints_the_example_of_the_standard() {
        let context = TraceContext::parse(EXAMPLE.as_bytes()).unwrap();
        assert_eq!(context.to_string(), EXAMPLE);
        assert_eq!(context.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(context.span_id().to_string(), "00f067aa0ba902b7");
    }

    #[test]
    fn refuses_what_the_standard_calls_invalid() {
        for text in [
            "",
            "00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
        ] {
            assert_eq!(TraceContext::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn accepts_a_later_version_that_says_more() {
        let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
        assert!(TraceContext::parse(later.as_bytes()).is_some());
    }

    #[test]
    fn a_child_stays_in_the_trace() {
        let root = TraceContext::root();
        let child = root.child();
        assert_eq!(child.trace_id, root.trace_id);
        assert_ne!(child.span_id, root.span_id);
    }

    #[test]
    fn injects_nothing_outside_of_a_request() {
        let mut headers = HeaderMap::new();
        inject(&mut headers);
        assert!(headers.is_empty());
    }
}
