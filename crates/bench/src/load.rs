//! The real thing: requests to a server, as clients make them.

pub mod over_grpc;
pub mod over_http;
pub mod tokens;
