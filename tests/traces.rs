//! The caller's trace goes on through the server to its stores.

use countersign_proto::v1::{IssueTokenRequest, PasswordGrant, issue_token_request::Grant};
use countersign_tests::{
    api::Transport,
    collector::Collector,
    grpc::{Grpc, proof},
    http::body,
    person::PASSWORD,
    process::{self, ServeProcess},
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};
use http::Method;
use opentelemetry_proto::tonic::trace::v1::Span;
use tempfile::TempDir;
use tonic::Request;

const CALLER: &str = "00f067aa0ba902b7";

/// What the caller of the request `number` says of its trace (W3C Trace Context, section 3.2).
fn trace(number: u8) -> String {
    format!("{number:02x}f92f3577b34da6a3ce929d0e0e4736")
}

fn traceparent(number: u8) -> String {
    format!("00-{}-{CALLER}-01", trace(number))
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

/// The names of the spans that lead from `span` to the caller.
fn way_out<'a>(spans: &'a [Span], span: &'a Span) -> Vec<&'a str> {
    let mut names = vec![span.name.as_str()];
    let mut parent = &span.parent_span_id;
    while hex(parent) != CALLER {
        let above = spans.iter().find(|above| above.span_id == *parent).unwrap_or_else(|| panic!("{names:?} hangs"));
        names.push(&above.name);
        parent = &above.parent_span_id;
    }
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_callers_trace_goes_through_http_and_grpc_to_both_stores() {
    let (collector, telemetry) = Collector::start(std::io::sink);
    let world = World::start(Store::Redis, Tenant::default()).await;
    let ann = world.person("ann").await;
    let login = [("grant_type", "password"), ("username", "ann"), ("password", PASSWORD)];
    let http = world.http();
    let request = http.request(Method::POST, "/oauth/token").header("traceparent", traceparent(1));
    http.send(request.json(&body(BACKEND, &login))).await;
    let grant = PasswordGrant { username: ann.username, password: PASSWORD.to_owned(), ..PasswordGrant::default() };
    let message = IssueTokenRequest {
        client: proof(BACKEND),
        grant: Some(Grant::Password(grant)),
        ..IssueTokenRequest::default()
    };
    let mut request = Request::new(message);
    request.metadata_mut().insert("traceparent", traceparent(2).parse().unwrap());
    Grpc::new(world.server().grpc()).token.issue_token(request).await.unwrap();
    drop(tokio::task::spawn_blocking(move || telemetry.flush().map(|()| telemetry)).await.unwrap().unwrap());

    let spans = collector.spans();
    for (number, entrance) in [(1, "POST /oauth/token"), (2, "countersign.v1.TokenService/IssueToken")] {
        let of_it: Vec<_> = spans.iter().filter(|span| hex(&span.trace_id) == trace(number)).cloned().collect();
        for store in ["store.user.find_by_login", "store.session.reserve", "store.session.insert_transaction"] {
            let span = of_it.iter().find(|span| span.name == store).unwrap_or_else(|| panic!("{store} in {of_it:?}"));
            assert_eq!(way_out(&of_it, span).last(), Some(&entrance));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_exports_the_spans_of_a_request_where_the_configuration_says() {
    let folder = TempDir::new().unwrap();
    for enabled in [true, false] {
        let (collector, endpoint) = Collector::listen();
        let lines = [format!("enabled = {enabled}"), format!("endpoint = '{endpoint}'")];
        let tenant = Tenant::default().section("otlp", &lines.each_ref().map(String::as_str));
        let process = ServeProcess::start(folder.path(), &tenant.toml(&process::places(folder.path()))).await;
        let login = [("grant_type", "password"), ("username", "nobody"), ("password", PASSWORD)];
        let http = process.api(Transport::Http).await.http().clone();
        let request = http.request(Method::POST, "/oauth/token").header("traceparent", traceparent(1));
        assert_eq!(http.send(request.json(&body(BACKEND, &login))).await.status, 403);
        // The last spans leave before it ends.
        process.signal("TERM").await;
        assert_eq!(process.ended().await.0, Some(0));

        let spans = collector.spans();
        if !enabled {
            assert_eq!(spans, [], "nobody asked for them");
            continue;
        }
        let of_it: Vec<_> = spans.into_iter().filter(|span| hex(&span.trace_id) == trace(1)).collect();
        let span = of_it.iter().find(|span| span.name == "store.user.find_by_login").unwrap();
        assert_eq!(way_out(&of_it, span).last(), Some(&"POST /oauth/token"));
        let all = collector.everything();
        assert!(all.contains("service.name") && !all.contains(PASSWORD), "{all}");
    }
}
