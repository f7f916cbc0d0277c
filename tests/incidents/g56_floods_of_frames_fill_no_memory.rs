//! G-56, RUSTSEC-2026-0258, RUSTSEC-2024-0332 and rapid reset: frames that cost their sender nothing, and the server its memory.

use std::{fs, iter, net::SocketAddr};

use countersign_tests::{
    api::Transport,
    tenant::Tenant,
    world::{Store, World},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How much the process may grow, in KiB.
const GROWTH: u64 = 50 * 1024;

// RFC 9113, section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header field that is not indexed (RFC 7541, section 6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![0], text(name), text(value)].concat()
}

/// `POST /oauth/token`.
fn request() -> Vec<u8> {
    let [scheme, method] = [0x86, 0x83];
    [vec![method, scheme], field(":path", "/oauth/token"), field(":authority", "x")].concat()
}

/// Sends the chunks until there are no more or the server has had enough. The answer is whether it said so.
async fn flood(address: SocketAddr, chunks: impl Iterator<Item = Vec<u8>>) -> bool {
    let (mut answers, mut socket) = TcpStream::connect(address).await.unwrap().into_split();
    let reading = tokio::spawn(async move {
        let mut all = Vec::new();
        // Reset by the server: that is an answer too.
        let whole = answers.read_to_end(&mut all).await.is_ok();
        (all, whole)
    });
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(SETTINGS, 0, 0, &[])].concat();
    let mut refused = false;
    for chunk in iter::once(preface).chain(chunks) {
        refused = socket.write_all(&chunk).await.is_err();
        if refused {
            break;
        }
    }
    drop(socket);
    let (answers, whole) = reading.await.unwrap();
    let mut rest = answers.as_slice();
    while let [a, b, c, kind, _, _, _, _, _, tail @ ..] = rest {
        let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap();
        refused |= *kind == GOAWAY && tail.get(4..8).is_some_and(|code| code != [0; 4]);
        rest = tail.get(length..).unwrap_or_default();
    }
    refused || !whole
}

fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_floods_is_cut_off_and_everybody_else_is_served() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let (ann, phone) = world.enrolled(&world.api(Transport::Grpc), "ann").await;
    for address in [world.server().http(), world.server().grpc()] {
        let open = |flags| frame(HEADERS, flags, 1, &request());
        let empty = iter::once(open(END_HEADERS)).chain((0..400).map(|_| frame(DATA, 0, 1, &[]).repeat(1000)));
        let long = field(&"x".repeat(100), &"y".repeat(100)).repeat(70);
        let headers = iter::once(open(0)).chain((0..4000).map(|_| frame(CONTINUATION, 0, 1, &long)));
        let reset = |stream| {
            let opened = frame(HEADERS, END_HEADERS | END_STREAM, stream, &request());
            [opened, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
        };
        let resets = (1..200_001).step_by(2).map(reset);
        let pings = (0..200).map(|_| frame(PING, 0, 0, b"12345678").repeat(1000));
        let settings = (0..200).map(|_| frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 100]).repeat(1000));
        let before = resident();
        let good = async {
            for _ in 0..5 {
                ann.log_in(&world, &world.api(Transport::Http), &phone).await;
            }
        };
        let (empty, headers, resets, _, _, ()) = tokio::join!(
            flood(address, empty),
            flood(address, headers),
            flood(address, resets),
            flood(address, pings),
            flood(address, settings),
            good
        );
        assert!(empty && headers && resets, "{address}: {:?}", [empty, headers, resets]);
        let grown = resident().saturating_sub(before);
        assert!(grown < GROWTH, "{address}: {grown} KiB more");
    }
    ann.log_in(&world, &world.api(Transport::Grpc), &phone).await;
}
