#![allow(clippy::unwrap_used)]

use axum::{extract::State, routing::get};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Semaphore,
    task::JoinHandle,
};

use super::*;

/// A handler that says it was entered, and waits to be let go.
#[derive(Clone)]
struct Gate {
    entered: Arc<Semaphore>,
    open: Arc<Semaphore>,
}

struct Served {
    address: SocketAddr,
    gate: Gate,
    metrics: Metrics,
    stopping: watch::Sender<bool>,
    task: JoinHandle<()>,
}

async fn served(max_per_address: usize, in_flight: Duration) -> Served {
    let gate = Gate { entered: Arc::new(Semaphore::new(0)), open: Arc::new(Semaphore::new(0)) };
    let (stopping, stop_seen) = watch::channel(false);
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let router = Router::new()
        .route("/peer", get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string()))
        .route(
            "/gate",
            get(async |State(gate): State<Gate>| {
                gate.entered.add_permits(1);
                gate.open.acquire().await.unwrap().forget();
                "through"
            }),
        )
        .route("/large", get(async || vec![0_u8; 1 << 20]))
        .with_state(gate.clone());
    let connections = Connections::new(100, max_per_address);
    let metrics = Metrics::new();
    let counted = (metrics.clone(), Label::Http);
    let listener = Listener { socket, tls: None, router, connections, metrics: counted, stopping: stop_seen };
    let task = tokio::spawn(listener.run(in_flight));
    Served { address, gate, metrics, stopping, task }
}

async fn send(address: SocketAddr, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection that was closed with bytes unread is reset; what came before counts.
    let _ended = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn handlers_know_who_calls() {
    let served = served(9, Duration::ZERO).await;
    let stream = send(served.address, "GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    let local = stream.local_addr().unwrap();
    assert!(answer(stream).await.ends_with(&local.to_string()));
}

#[tokio::test]
async fn headers_have_a_size() {
    let served = served(9, Duration::ZERO).await;
    let long = "x".repeat(17 * 1024);
    let stream = send(served.address, &format!("GET /peer HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n")).await;
    let answer = answer(stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn a_connection_too_many_is_closed_at_once() {
    let served = served(1, Duration::ZERO).await;
    let _first = send(served.address, "GET /gate HTTP/1.1\r\nHost: x\r\n\r\n").await;
    served.gate.entered.acquire().await.unwrap().forget();
    let second = send(served.address, "GET /peer HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(answer(second).await, "");
    let page = served.metrics.render();
    for line in [r#"connections{listener="http"} 1"#, r#"connections_refused_total{listener="http"} 1"#] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
}

#[tokio::test]
async fn what_has_begun_is_finished_and_nothing_new_is_accepted() {
    let served = served(9, Duration::from_secs(60)).await;
    let stream = send(served.address, "GET /gate HTTP/1.1\r\nHost: x\r\n\r\n").await;
    served.gate.entered.acquire().await.unwrap().forget();
    served.stopping.send_replace(true);
    while TcpStream::connect(served.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    served.gate.open.add_permits(1);
    let answer = answer(stream).await.to_lowercase();
    assert!(answer.ends_with("through") && answer.contains("connection: close"), "{answer}");
    served.task.await.unwrap();
}

#[tokio::test]
async fn what_takes_too_long_is_cut_off() {
    let served = served(9, Duration::ZERO).await;
    let stream = send(served.address, "GET /gate HTTP/1.1\r\nHost: x\r\n\r\n").await;
    served.gate.entered.acquire().await.unwrap().forget();
    served.stopping.send_replace(true);
    served.task.await.unwrap();
    assert_eq!(answer(stream).await, "");
}

#[tokio::test(start_paused = true)]
async fn who_asks_and_does_not_read_is_let_go() {
    let served = served(9, Duration::ZERO).await;
    // More than the system keeps for a reader who may come.
    let _stream = send(served.address, &"GET /large HTTP/1.1\r\nHost: x\r\n\r\n".repeat(40)).await;
    let open = async |wanted| {
        while !served.metrics.render().contains(&format!("connections{{listener=\"http\"}} {wanted}")) {
            system::pause(Duration::from_millis(100)).await;
        }
    };
    open(1).await;
    let begin = tokio::time::Instant::now();
    assert!(tokio::time::timeout(Duration::from_secs(600), open(0)).await.is_ok(), "still there after ten minutes");
    assert!(begin.elapsed() >= Duration::from_secs(9), "{:?}", begin.elapsed());
}
