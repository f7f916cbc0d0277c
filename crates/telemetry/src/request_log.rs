//! One log line, one span and one count per request, for HTTP and gRPC.

mod body;
mod record;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower::{Layer, Service};

pub use self::body::LoggedBody;
use self::record::Record;
use crate::{
    grpc_code::GrpcCode,
    metrics::{
        Metrics,
        label::{Code, OTHER, Operation, http_method},
    },
    request_scope::RequestFacts,
};

/// The target of request lines, for filters: `countersign::request=warn`.
pub const REQUEST_TARGET: &str = "countersign::request";

/// The template of the route that answered, such as `/mfa/authenticators/{id}`, in the extensions of a response. Without it
/// (and without [`RequestFacts::route`]) a request is logged as `other`: a path may hold anything a caller likes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteName(pub &'static str);

/// Writes the line. The outermost layer, so that it sees panics, refusals and callers who went away.
///
/// The caller's trace context is taken from the headers, or a trace is begun; [`crate::inject`] passes it on. Handlers tell
/// more by [`RequestFacts`].
#[derive(Clone, Debug)]
pub struct RequestLogLayer {
    kind: Kind,
    metrics: Metrics,
}

#[derive(Clone, Debug)]
enum Kind {
    Http,
    /// Full names of the methods that exist, sorted.
    Grpc(Arc<[&'static str]>),
}

impl RequestLogLayer {
    /// For the HTTP listener.
    pub fn http(metrics: Metrics) -> Self {
        Self { kind: Kind::Http, metrics }
    }

    /// For the gRPC listener. `methods` are the full names, `package.Service/Method`, of all methods that are served; any
    /// other is logged as `other`.
    pub fn grpc(metrics: Metrics, methods: impl IntoIterator<Item = &'static str>) -> Self {
        let mut methods: Vec<_> = methods.into_iter().collect();
        methods.sort_unstable();
        Self { kind: Kind::Grpc(methods.into()), metrics }
    }
}

impl<S> Layer<S> for RequestLogLayer {
    type Service = RequestLog<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RequestLog { inner, layer: self.clone() }
    }
}

/// The service of [`RequestLogLayer`].
#[derive(Clone, Debug)]
pub struct RequestLog<S> {
    inner: S,
    layer: RequestLogLayer,
}

impl<S> RequestLog<S> {
    fn operation<B>(&self, request: &Request<B>) -> Operation {
        match &self.layer.kind {
            Kind::Http => Operation::Http(http_method(request.method()), OTHER),
            Kind::Grpc(methods) => {
                let called = request.uri().path().trim_start_matches('/');
                let found = methods.binary_search_by(|method| (*method).cmp(called));
                Operation::Grpc(found.ok().and_then(|at| methods.get(at)).copied().unwrap_or(OTHER))
            }
        }
    }
}

impl<S, B, R> Service<Request<B>> for RequestLog<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    R: Body + 'static,
{
    type Response = Response<LoggedBody<R>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let record = Record::begin(self.operation(&request), request.headers(), self.layer.metrics.clone());
        let future = record.within(|| self.inner.call(request));
        Box::pin(async move {
            let mut future = Box::pin(future);
            match poll_fn(|cx| record.within(|| future.as_mut().poll(cx))).await {
                Ok(response) => Ok(answered(record, response)),
                Err(error) => {
                    record.failed();
                    Err(error)
                }
            }
        })
    }
}

/// Ends the record now if the status is known; else the trailers behind the body end it.
fn answered<B>(mut record: Record, mut response: Response<B>) -> Response<LoggedBody<B>> {
    if let Some(facts) = response.extensions_mut().remove::<RequestFacts>() {
        record.learn(facts);
    }
    if let Some(RouteName(route)) = response.extensions().get().copied() {
        record.learn(RequestFacts { route: Some(route), ..RequestFacts::default() });
    }
    let code = match record.operation() {
        Operation::Http(..) => Some(Code::Http(response.status().as_u16())),
        // A server that is no gRPC server answers with an HTTP status alone.
        Operation::Grpc(_) if !response.status().is_success() => Some(Code::Grpc(GrpcCode::Unknown)),
        Operation::Grpc(_) => GrpcCode::from_headers(response.headers()).map(Code::Grpc),
    };
    match code {
        Some(code) => {
            record.finish(code);
            response.map(LoggedBody::plain)
        }
        None => response.map(|body| LoggedBody::logged(body, record)),
    }
}
