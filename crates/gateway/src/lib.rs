//! The REST gateway: the Auth0 MFA API over the gRPC services.
//!
//! A translator and nothing else: an HTTP request becomes one gRPC call, its answer becomes the documented JSON. It decides
//! nothing about people, codes or clients.
//!
//! To add a route: one file in `route/`, one line in the table of `router.rs`, its description in `openapi.json`; the tests
//! compare the last two. To add a reason to fail: a row in `oauth_error.rs` and one in `guardian_error.rs`, where
//! the compiler sends you.

mod body;
mod call;
mod config;
mod cors;
mod credentials;
mod finish;
mod forwarded;
mod guardian_error;
mod oauth_error;
mod openapi;
mod page;
mod params;
mod reply;
mod route;
mod router;
mod shape;
mod transport;

pub use config::{
    ClientErrorStyle, ClientOrigins, EpochSeconds, GatewayConfig, NotEnrolledStyle, RequestIds, TrustedProxies,
};
pub use router::router;
pub use transport::Transport;

/// The `OpenAPI` 3.1 document as it is in the source, without the `servers` of a deployment.
pub use openapi::DOCUMENT as OPENAPI_DOCUMENT;
