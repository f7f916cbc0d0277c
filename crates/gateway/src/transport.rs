//! What the gateway needs of the way to the gRPC services.

use bytes::Bytes;
use tonic::{client::GrpcService, codegen::StdError};

/// A way to the gRPC services: a dialled channel, or the services themselves in the same process.
///
/// Implemented for everything that fits.
pub trait Transport:
    GrpcService<
        tonic::body::Body,
        Future: Send,
        ResponseBody: http_body::Body<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
    > + Clone
    + Send
    + Sync
    + 'static
{
}

impl<T> Transport for T where
    T: GrpcService<
            tonic::body::Body,
            Future: Send,
            ResponseBody: http_body::Body<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
        > + Clone
        + Send
        + Sync
        + 'static
{
}
