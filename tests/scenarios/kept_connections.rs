//! A connection on which the next request would not be heard is not said to be kept.

use std::{net::SocketAddr, time::Instant};

use countersign_tests::{
    tenant::Tenant,
    world::{Store, World},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// How a request says what its body is, and the body.
const SMALL: [(&str, &str); 2] =
    [("Content-Length: 20", "xxxxxxxxxxxxxxxxxxxx"), ("Transfer-Encoding: chunked", "2\r\nxx\r\n0\r\n\r\n")];

/// Every path that is served, with names for what is variable, and one that is not.
fn paths(world: &World) -> Vec<String> {
    let paths = world.document().document()["paths"].as_object().unwrap();
    let filled = paths.keys().map(|path| match path.split_once('{') {
        Some((before, after)) => format!("{before}some{}", after.split_once('}').unwrap().1),
        None => path.clone(),
    });
    filled.chain(["/nowhere".to_owned()]).collect()
}

struct Answer {
    status: u16,
    closes: bool,
}

/// The answer to a request of `method`; `None` if the connection ended instead.
async fn answer(stream: &mut TcpStream, method: &str) -> Option<Answer> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let header = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    if method != "HEAD" {
        stream.read_exact(&mut vec![0; length]).await.ok()?;
    }
    let status = head.split(' ').nth(1)?.parse().unwrap();
    Some(Answer { status, closes: header("connection") == Some("close") })
}

async fn connected(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_body_that_nobody_reads_leaves_the_connection_to_the_next_request() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let address = world.server().http();
    let mut elsewhere = connected(address).await;
    for path in paths(&world) {
        for method in METHODS {
            for (framing, body) in SMALL {
                let place = format!("{method} {path}, {framing}");
                let mut stream = connected(address).await;
                let begin = Instant::now();
                stream
                    .write_all(format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n").as_bytes())
                    .await
                    .unwrap();
                // As long as another request takes, so that who does not wait for the body has answered by now.
                elsewhere.write_all(b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
                assert_eq!(answer(&mut elsewhere, "GET").await.unwrap().status, 200);
                stream.write_all(body.as_bytes()).await.unwrap();
                let first = answer(&mut stream, method).await.unwrap_or_else(|| panic!("{place}: no answer"));
                if first.closes {
                    // Honest, and right if the machine was so slow that the body came late.
                    assert!(begin.elapsed().as_millis() > 500, "{place}: {} and closed", first.status);
                    continue;
                }
                let next = b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: x\r\n\r\n";
                let sent = stream.write_all(next).await;
                let next = answer(&mut stream, "GET").await.map(|answer| answer.status);
                assert_eq!(
                    (sent.is_ok(), next),
                    (true, Some(200)),
                    "{place}: {}, and the next was not heard",
                    first.status
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_that_nobody_reads_ends_the_connection_and_the_answer_says_so() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    for path in paths(&world) {
        for method in METHODS {
            let mut stream = connected(world.server().http()).await;
            let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let first = answer(&mut stream, method).await.unwrap_or_else(|| panic!("{method} {path}: no answer"));
            assert!(first.closes, "{method} {path}: {} and kept", first.status);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_would_be_told_to_go_on_and_is_not_may_not_stay() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let mut stream = connected(world.server().http()).await;
    let head = "POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let first = answer(&mut stream, "POST").await.unwrap();
    assert_eq!((first.status, first.closes), (404, true));
}
