//! Requests whose bytes are no message.
//!
//! tonic refuses them by itself, before a service is called: as `INTERNAL`, which is about us, or as `OUT_OF_RANGE`. Whatever is wrong with a
//! request is `REQUEST_MALFORMED` here. What the services say themselves has details, and passes.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use countersign_domain::error::Error;
use tonic::{Code, Status, body::Body, server::NamedService};
use tower::Service;

use crate::{routes::MAX_MESSAGE, status::to_status};

/// A service whose refusals all have a reason of ours.
#[derive(Clone)]
pub struct Reasoned<S>(pub S);

impl<S: NamedService> NamedService for Reasoned<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<Body>> for Reasoned<S>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            let problem = answer.extensions().get::<Status>().and_then(problem);
            Ok(problem.map_or(answer, |error| to_status(&error).into_http()))
        })
    }
}

/// What is wrong with a request that no service has seen.
fn problem(status: &Status) -> Option<Error> {
    if !status.details().is_empty() {
        return None;
    }
    match status.code() {
        Code::Internal => Some(Error::malformed("message", "The request is not one message of this method")),
        Code::OutOfRange => Some(Error::malformed("message", format!("The message has more than {MAX_MESSAGE} bytes"))),
        _ => None,
    }
}
