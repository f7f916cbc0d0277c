//! What is known of one request, from its head to its line.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::HeaderMap;
use opentelemetry::{
    KeyValue,
    trace::{Status, TraceContextExt as _},
};
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::REQUEST_TARGET;
use crate::{
    grpc_code::GrpcCode,
    metrics::{
        Metrics,
        label::{Code, Operation},
    },
    request_scope::{self, RequestFacts, Scope},
    trace_context::TraceContext,
};

/// The status for a client that went away. Not registered, but what proxies write.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// One request. Dropped unfinished, it says that the caller went away.
#[derive(Debug)]
pub(super) struct Record {
    operation: Operation,
    started: Instant,
    span: Span,
    scope: Arc<Scope>,
    metrics: Metrics,
    finished: bool,
}

impl Record {
    pub(super) fn begin(operation: Operation, headers: &HeaderMap, metrics: Metrics) -> Self {
        let started = Instant::now();
        let span = open_span(operation);
        let received = TraceContext::extract(headers);
        if let Some(parent) = received {
            let parent = opentelemetry::Context::new().with_remote_span_context(parent.as_remote_parent(headers));
            // It fails where traces are not exported, and then there is nothing to do.
            span.set_parent(parent).ok();
        }
        let own = TraceContext::from_span(span.context().span().span_context());
        let trace = own.unwrap_or_else(|| {
            received.or_else(request_scope::current_trace).map_or_else(TraceContext::root, TraceContext::child)
        });
        Self { operation, started, span, scope: Scope::new(trace), metrics, finished: false }
    }

    pub(super) fn operation(&self) -> Operation {
        self.operation
    }

    /// Runs a piece of the request's work.
    pub(super) fn within<T>(&self, work: impl FnOnce() -> T) -> T {
        let _span = self.span.enter();
        let _scope = self.scope.enter();
        work()
    }

    pub(super) fn learn(&mut self, facts: RequestFacts) {
        self.scope.merge(facts);
    }

    pub(super) fn finish(mut self, code: Code) {
        self.write(code);
    }

    /// The service gave up without an answer.
    pub(super) fn failed(mut self) {
        self.scope.note(|facts| facts.outcome = facts.outcome.or(Some("failed")));
        self.write(match self.operation {
            Operation::Http(..) => Code::Http(500),
            Operation::Grpc(_) => Code::Grpc(GrpcCode::Internal),
        });
    }

    fn write(&mut self, code: Code) {
        self.finished = true;
        let duration = self.started.elapsed();
        let facts = self.scope.take_facts();
        if let (Operation::Http(_, route), Some(known)) = (&mut self.operation, facts.route) {
            *route = known;
        }
        self.metrics.request_finished(self.operation, code, duration);
        let level = level(code);
        close_span(&self.span, self.operation, code, level, &facts);
        write_line(self.operation, code, level, duration, self.scope.trace, &facts);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        self.scope.note(|facts| facts.outcome = Some("cancelled"));
        self.write(match self.operation {
            Operation::Http(..) => Code::Http(CLIENT_CLOSED_REQUEST),
            Operation::Grpc(_) => Code::Grpc(GrpcCode::Cancelled),
        });
    }
}

/// `error` asks for a human, `warn` for a look, `info` tells the story.
fn level(code: Code) -> Level {
    match code {
        Code::Http(429 | 503 | 504)
        | Code::Grpc(GrpcCode::ResourceExhausted | GrpcCode::Unavailable | GrpcCode::DeadlineExceeded) => Level::WARN,
        Code::Http(500..) | Code::Grpc(GrpcCode::Internal | GrpcCode::Unknown | GrpcCode::DataLoss) => Level::ERROR,
        Code::Http(_) | Code::Grpc(_) => Level::INFO,
    }
}

/// The names are those of OpenTelemetry's semantic conventions.
fn open_span(operation: Operation) -> Span {
    let (http_method, rpc_method) = match operation {
        Operation::Http(method, _) => (Some(method), None),
        Operation::Grpc(method) => (None, Some(method)),
    };
    tracing::info_span!(
        "request",
        otel.name = rpc_method,
        otel.kind = "server",
        http.request.method = http_method,
        rpc.system = rpc_method.map(|_| "grpc"),
        rpc.method = rpc_method,
    )
}

/// Tells the exported span how the request went. Straight to OpenTelemetry: a span's name cannot be changed through `tracing`
/// once it has been looked at, and the route is known only now.
fn close_span(span: &Span, operation: Operation, code: Code, level: Level, facts: &RequestFacts) {
    let context = span.context();
    let exported = context.span();
    if !exported.is_recording() {
        return;
    }
    exported.set_attribute(match code {
        Code::Http(status) => KeyValue::new("http.response.status_code", i64::from(status)),
        Code::Grpc(code) => KeyValue::new("rpc.grpc.status_code", i64::from(code.number())),
    });
    if let Operation::Http(_, route) = operation {
        exported.update_name(operation.to_string());
        exported.set_attribute(KeyValue::new("http.route", route));
    }
    if level == Level::ERROR {
        exported.set_status(Status::error(facts.reason.unwrap_or_default()));
    }
    for (name, value) in [("reason", facts.reason), ("factor", facts.factor), ("outcome", facts.outcome)] {
        if let Some(value) = value {
            exported.set_attribute(KeyValue::new(name, value));
        }
    }
    if let Some(client) = &facts.client_id {
        exported.set_attribute(KeyValue::new("client.id", client.clone()));
    }
}

fn write_line(
    operation: Operation,
    code: Code,
    level: Level,
    duration: Duration,
    trace: TraceContext,
    facts: &RequestFacts,
) {
    let (method, path, rpc_method) = match operation {
        Operation::Http(method, route) => (Some(method), Some(route), None),
        Operation::Grpc(method) => (None, None, Some(method)),
    };
    let (status, rpc_status) = match code {
        Code::Http(status) => (Some(status), None),
        Code::Grpc(code) => (None, Some(code.number())),
    };
    // Whole microseconds: what is beyond them is noise.
    let duration_ms = (duration.as_secs_f64() * 1e6).round() / 1e3;
    // A level is part of the line's static description, hence one for each.
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(
                target: REQUEST_TARGET,
                $level,
                protocol = operation.protocol().as_str(),
                http.request.method = method,
                url.path = path,
                http.response.status_code = status,
                rpc.method = rpc_method,
                rpc.grpc.status_code = rpc_status,
                reason = facts.reason,
                factor = facts.factor,
                outcome = facts.outcome,
                client.id = facts.client_id.as_deref(),
                caller = facts.caller.as_deref(),
                caller.request.id = facts.caller_request_id.as_deref(),
                duration_ms,
                request.id = display(trace.span_id()),
                trace.id = display(trace.trace_id()),
                "{operation} {code}",
            )
        };
    }
    match level {
        Level::ERROR => line!(Level::ERROR),
        Level::WARN => line!(Level::WARN),
        _ => line!(Level::INFO),
    }
}
