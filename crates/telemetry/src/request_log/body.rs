//! The body of an answer whose status follows it.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use http_body::{Body, Frame, SizeHint};

use super::record::Record;
use crate::{grpc_code::GrpcCode, metrics::label::Code};

/// A body that ends the request's record with the `grpc-status` of its trailers. Dropped before, the caller went away.
#[derive(Debug)]
pub struct LoggedBody<B> {
    inner: B,
    record: Option<Record>,
}

impl<B> LoggedBody<B> {
    /// A body with nothing left to log.
    pub(super) fn plain(inner: B) -> Self {
        Self { inner, record: None }
    }

    pub(super) fn logged(inner: B, record: Record) -> Self {
        Self { inner, record: Some(record) }
    }

    fn finish(&mut self, code: GrpcCode) {
        if let Some(record) = self.record.take() {
            record.finish(Code::Grpc(code));
        }
    }
}

impl<B: Default> Default for LoggedBody<B> {
    fn default() -> Self {
        Self::plain(B::default())
    }
}

impl<B: Body + Unpin> Body for LoggedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = &mut *self;
        let inner = Pin::new(&mut this.inner);
        let frame = ready!(match &this.record {
            Some(record) => record.within(|| inner.poll_frame(cx)),
            None => inner.poll_frame(cx),
        });
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    this.finish(GrpcCode::from_headers(trailers).unwrap_or(GrpcCode::Unknown));
                }
            }
            Some(Err(_)) => this.finish(GrpcCode::Internal),
            // An answer without a status (gRPC over HTTP/2, "Responses").
            None => this.finish(GrpcCode::Unknown),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
