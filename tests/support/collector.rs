//! A small OTLP collector.

use std::sync::{Arc, Mutex};

use countersign_telemetry::{Telemetry, TelemetryConfig};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::Span,
};
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

/// Keeps whatever is exported to it.
#[derive(Clone, Default)]
pub struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

impl Collector {
    /// Starts one, and says where it is.
    pub fn listen() -> (Self, String) {
        let collector = Self::default();
        let incoming = TcpIncoming::bind("127.0.0.1:0".parse().expect("an address")).expect("a port is free");
        let endpoint = format!("http://{}", incoming.local_addr().expect("it is bound"));
        let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(incoming));
        (collector, endpoint)
    }

    /// Starts one, and has this process export to it and write its lines with `writer`, in all detail. The test runner gives each test a process of
    /// its own.
    pub fn start<W>(writer: impl Fn() -> W + Send + Sync + 'static) -> (Self, Telemetry)
    where
        W: std::io::Write + Send + 'static,
    {
        let (collector, endpoint) = Self::listen();
        let config =
            TelemetryConfig { filter: "debug".into(), otlp_endpoint: Some(endpoint), ..TelemetryConfig::default() };
        let (dispatch, telemetry) = Telemetry::build(&config, writer).expect("it can be configured");
        tracing::dispatcher::set_global_default(dispatch).expect("nobody else has");
        (collector, telemetry)
    }

    /// All requests, as text.
    pub fn everything(&self) -> String {
        format!("{:?}", self.0.lock().expect("nobody panicked"))
    }

    /// All spans.
    pub fn spans(&self) -> Vec<Span> {
        let requests = self.0.lock().expect("nobody panicked").clone();
        let scopes =
            requests.into_iter().flat_map(|request| request.resource_spans).flat_map(|spans| spans.scope_spans);
        scopes.flat_map(|scope| scope.spans).collect()
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.0.lock().expect("nobody panicked").push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
