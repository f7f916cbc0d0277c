//! A panic ends one request, not the connection it came on.

use std::{
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;
use tower::{Layer, Service};

use crate::request_scope::note;

/// Answers for a handler that panicked.
///
/// It sits inside [`crate::RequestLogLayer`], whose line then says `panicked`, and outside of everything else. Where the
/// panic happened is logged by the hook that [`crate::Telemetry::start`] sets.
pub struct PanicGuardLayer<B> {
    respond: fn() -> Response<B>,
}

impl<B> PanicGuardLayer<B> {
    /// `respond` makes the answer: 500 over HTTP, the status `INTERNAL` over gRPC.
    pub fn new(respond: fn() -> Response<B>) -> Self {
        Self { respond }
    }
}

impl<B> Clone for PanicGuardLayer<B> {
    fn clone(&self) -> Self {
        Self { respond: self.respond }
    }
}

impl<B> fmt::Debug for PanicGuardLayer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PanicGuardLayer").finish_non_exhaustive()
    }
}

impl<B, S> Layer<S> for PanicGuardLayer<B> {
    type Service = PanicGuard<S, B>;

    fn layer(&self, inner: S) -> Self::Service {
        PanicGuard { inner, respond: self.respond }
    }
}

/// The service of [`PanicGuardLayer`].
pub struct PanicGuard<S, B> {
    inner: S,
    respond: fn() -> Response<B>,
}

impl<S: Clone, B> Clone for PanicGuard<S, B> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), respond: self.respond }
    }
}

impl<S, B> fmt::Debug for PanicGuard<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PanicGuard").finish_non_exhaustive()
    }
}

impl<S, B, R> Service<R> for PanicGuard<S, B>
where
    S: Service<R, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: 'static,
    B: 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<B>, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let respond = self.respond;
        // What panicked is dropped and never looked at again, so no broken state can be seen through it.
        let called = catch_unwind(AssertUnwindSafe(|| self.inner.call(request)));
        Box::pin(async move {
            let Ok(future) = called else { return Ok(answer(respond)) };
            let mut future = Box::pin(future);
            poll_fn(move |cx| {
                catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)))
                    .unwrap_or_else(|_| Poll::Ready(Ok(answer(respond))))
            })
            .await
        })
    }
}

fn answer<B>(respond: fn() -> Response<B>) -> Response<B> {
    note(|facts| {
        facts.reason = Some("INTERNAL");
        facts.outcome = Some("panicked");
    });
    respond()
}
