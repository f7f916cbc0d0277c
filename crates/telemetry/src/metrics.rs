//! What is counted, for Prometheus.
//!
//! Labels are closed enums: no identifier, no person, nothing a caller chose.

pub mod label;
mod process;

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use prometheus_client::{
    encoding::text,
    metrics::{counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::{Registry, Unit},
};

use self::label::{
    Channel, Code, Counter, CounterLabels, DurationLabels, Ending, EndingLabels, Factor, FactorLabels, Grant,
    GrantLabels, GrantOutcome, Listener, ListenerLabels, Operation, RequestLabels, Store, StoreFailure, StoreLabels,
    Try, TryLabels,
};

/// The media type of [`Metrics::render`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Bounds of the duration histogram, in seconds. A password hash takes some tens of milliseconds, a code one or two.
const DURATION_BOUNDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// All metrics of the process. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    requests: Family<RequestLabels, counter::Counter>,
    durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
    grants: Family<GrantLabels, counter::Counter>,
    proofs: Family<FactorLabels, counter::Counter>,
    denied: Family<CounterLabels, counter::Counter>,
    tries: Family<TryLabels, counter::Counter>,
    endings: Family<EndingLabels, counter::Counter>,
    store_failures: Family<StoreLabels, counter::Counter>,
    hasher_shed: counter::Counter,
    data_key_seals: Gauge<u64, AtomicU64>,
    log_lines_dropped: counter::Counter,
    connections: Family<ListenerLabels, Gauge>,
    connections_refused: Family<ListenerLabels, counter::Counter>,
}

impl Metrics {
    /// Metrics that have counted nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A request ended.
    pub fn request_finished(&self, operation: Operation, code: Code, duration: Duration) {
        let protocol = operation.protocol();
        self.0.requests.get_or_create(&RequestLabels { protocol, operation, code }).inc();
        self.0.durations.get_or_create(&DurationLabels { protocol, operation }).observe(duration.as_secs_f64());
    }

    /// A grant was judged.
    pub fn grant_judged(&self, grant: Grant, outcome: GrantOutcome) {
        self.0.grants.get_or_create(&GrantLabels { grant, outcome }).inc();
    }

    /// A proof was compared, right or wrong.
    pub fn proof_evaluated(&self, factor: Factor) {
        self.0.proofs.get_or_create(&FactorLabels { factor }).inc();
    }

    /// An attempt was denied before anything was compared.
    pub fn attempt_denied(&self, counter: Counter) {
        self.0.denied.get_or_create(&CounterLabels { counter }).inc();
    }

    /// A provider was asked to take a message.
    pub fn message_tried(&self, channel: Channel, outcome: Try) {
        self.0.tries.get_or_create(&TryLabels { channel, outcome }).inc();
    }

    /// A message left the outbox.
    pub fn message_ended(&self, channel: Channel, ending: Ending) {
        self.0.endings.get_or_create(&EndingLabels { channel, ending }).inc();
    }

    /// A store could not do its work.
    pub fn store_failed(&self, store: Store, kind: StoreFailure) {
        self.0.store_failures.get_or_create(&StoreLabels { store, kind }).inc();
    }

    /// A password was not hashed because too many were waiting.
    pub fn hasher_shed(&self) {
        self.0.hasher_shed.inc();
    }

    /// So many seals of the data key that seals now are taken.
    pub fn data_key_seals(&self, taken: u64) {
        self.0.data_key_seals.set(taken);
    }

    /// Lines of the log were not written because nobody read.
    pub fn log_lines_dropped(&self, lines: u64) {
        self.0.log_lines_dropped.inc_by(lines);
    }

    /// A connection was accepted; it counts as open until the guard is dropped.
    #[must_use = "the connection counts as open while the guard lives"]
    pub fn connection_opened(&self, listener: Listener) -> OpenConnection {
        let gauge = self.0.connections.get_or_create_owned(&ListenerLabels { listener });
        gauge.inc();
        OpenConnection(gauge)
    }

    /// A connection was refused because too many are open.
    pub fn connection_refused(&self, listener: Listener) {
        self.0.connections_refused.get_or_create(&ListenerLabels { listener }).inc();
    }

    /// All of them as text, of the media type [`CONTENT_TYPE`].
    pub fn render(&self) -> String {
        let mut page = String::with_capacity(16 * 1024);
        if text::encode(&mut page, &self.0.registry).is_err() {
            // A page that is cut would read as counters that were reset.
            page.clear();
        }
        page
    }
}

impl Default for Inner {
    fn default() -> Self {
        let durations: fn() -> Histogram = || Histogram::new(DURATION_BOUNDS);
        let mut inner = Self {
            registry: Registry::default(),
            requests: Family::default(),
            durations: Family::new_with_constructor(durations),
            grants: Family::default(),
            proofs: Family::default(),
            denied: Family::default(),
            tries: Family::default(),
            endings: Family::default(),
            store_failures: Family::default(),
            hasher_shed: counter::Counter::default(),
            data_key_seals: Gauge::default(),
            log_lines_dropped: counter::Counter::default(),
            connections: Family::default(),
            connections_refused: Family::default(),
        };
        inner.register();
        inner
    }
}

impl Inner {
    fn register(&mut self) {
        self.registry.register_collector(Box::new(process::Process));
        let own = self.registry.sub_registry_with_prefix("countersign");
        own.register("build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        own.register("requests", "Requests that ended", self.requests.clone());
        own.register_with_unit("request_duration", "Time to answer", Unit::Seconds, self.durations.clone());
        own.register("grant_judged", "Grants that were judged", self.grants.clone());
        own.register("proof_evaluated", "Proofs that were compared", self.proofs.clone());
        own.register("attempt_denied", "Attempts denied before comparing", self.denied.clone());
        own.register("message_tried", "Tries at providers of messages", self.tries.clone());
        own.register("message_ended", "Messages that left the outbox", self.endings.clone());
        own.register("store_failures", "Steps a store could not do", self.store_failures.clone());
        own.register("hasher_shed", "Passwords not hashed for lack of room", self.hasher_shed.clone());
        own.register("data_key_seals", "Seals taken of the data key", self.data_key_seals.clone());
        own.register("log_lines_dropped", "Log lines that nobody read in time", self.log_lines_dropped.clone());
        own.register("connections", "Open connections", self.connections.clone());
        own.register("connections_refused", "Connections refused for lack of room", self.connections_refused.clone());
    }
}

/// Counts a connection as open until it is dropped.
#[derive(Debug)]
pub struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::grpc_code::GrpcCode;

    #[test]
    fn shows_requests_of_both_protocols() {
        let metrics = Metrics::new();
        let http = Operation::Http("POST", "/oauth/token");
        metrics.request_finished(http, Code::Http(403), Duration::from_millis(3));
        metrics.clone().request_finished(http, Code::Http(403), Duration::from_millis(3));
        let grpc = Operation::Grpc("countersign.v1.TokenService/IssueToken");
        metrics.request_finished(grpc, Code::Grpc(GrpcCode::PermissionDenied), Duration::from_millis(3));
        let page = metrics.render();
        for line in [
            r#"countersign_requests_total{protocol="http",operation="POST /oauth/token",code="403"} 2"#,
            r#"operation="countersign.v1.TokenService/IssueToken",code="PERMISSION_DENIED"} 1"#,
            r#"countersign_request_duration_seconds_count{protocol="http",operation="POST /oauth/token"} 2"#,
            r#"countersign_request_duration_seconds_bucket{le="0.0025",protocol="http",operation="POST /oauth/token"} 0"#,
            r#"countersign_build_info{version=""#,
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn shows_what_was_judged_denied_and_shed() {
        let metrics = Metrics::new();
        metrics.grant_judged(Grant::Otp, GrantOutcome::Refused);
        metrics.proof_evaluated(Factor::RecoveryCode);
        metrics.attempt_denied(Counter::Password);
        metrics.message_tried(Channel::Sms, Try::Unavailable);
        metrics.message_ended(Channel::Sms, Ending::Sent);
        metrics.store_failed(Store::Session, StoreFailure::Unavailable);
        metrics.hasher_shed();
        let page = metrics.render();
        for line in [
            r#"countersign_grant_judged_total{grant="otp",outcome="refused"} 1"#,
            r#"countersign_proof_evaluated_total{factor="recovery_code"} 1"#,
            r#"countersign_attempt_denied_total{counter="password"} 1"#,
            r#"countersign_message_tried_total{channel="sms",outcome="unavailable"} 1"#,
            r#"countersign_message_ended_total{channel="sms",ending="sent"} 1"#,
            r#"countersign_store_failures_total{store="session",kind="unavailable"} 1"#,
            "countersign_hasher_shed_total 1",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
    }

    #[test]
    fn a_connection_counts_while_it_is_open() {
        let metrics = Metrics::new();
        let open = metrics.connection_opened(Listener::Grpc);
        assert!(metrics.render().contains(r#"countersign_connections{listener="grpc"} 1"#));
        drop(open);
        assert!(metrics.render().contains(r#"countersign_connections{listener="grpc"} 0"#));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn tells_the_memory_the_process_holds() {
        let page = Metrics::new().render();
        let line = page.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes ")).unwrap();
        assert!(line.parse::<u64>().unwrap() > 100_000, "{line}");
    }
}
