//! An endpoint that messages are posted to, which may be down, deaf or well.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::sent::Arrived;

/// What it does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It takes it.
    Well,
    /// It says that it cannot take it now.
    Overloaded,
    /// It has read it, and never answers.
    Silent,
}

/// An endpoint. Closed when dropped.
pub struct Receiver {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Value>>>,
    accepting: JoinHandle<()>,
}

/// An address of this machine at which nobody listens.
pub async fn closed_address() -> SocketAddr {
    let socket = TcpListener::bind("127.0.0.1:0").await.expect("there is a free port");
    socket.local_addr().expect("a bound socket has an address")
}

impl Receiver {
    /// Opens one at `address`.
    pub async fn open(address: SocketAddr, manner: Manner) -> Self {
        let socket = TcpListener::bind(address).await.expect("the port is free");
        let got = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&got);
        let accepting = tokio::spawn(async move {
            let mut held = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = socket.accept().await {
                held.spawn(serve(stream, Arc::clone(&kept), manner));
            }
        });
        Self { address, got, accepting }
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What came, in its order.
    pub fn got(&self) -> Vec<Arrived> {
        self.got.lock().expect("nobody panics with it").iter().map(Arrived::read).collect()
    }

    /// What came, as soon as there is so much.
    pub async fn messages(&self, count: usize) -> Vec<Arrived> {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        loop {
            ticks.tick().await;
            let got = self.got();
            if got.len() >= count {
                return got;
            }
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Requests of HTTP/1.1 whose body has a length.
async fn serve(mut stream: TcpStream, got: Arc<Mutex<Vec<Value>>>, manner: Manner) {
    let mut bytes = Vec::new();
    loop {
        let Some((message, rest)) = message(&bytes) else {
            let mut more = [0; 8192];
            match stream.read(&mut more).await {
                Ok(0) | Err(_) => return,
                Ok(count) => bytes.extend_from_slice(&more[..count]),
            }
            continue;
        };
        bytes = rest;
        got.lock().expect("nobody panics with it").push(message);
        let status = match manner {
            Manner::Well => "200 OK",
            Manner::Overloaded => "503 Service Unavailable",
            Manner::Silent => return std::future::pending().await,
        };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The first whole message, and what follows it.
fn message(bytes: &[u8]) -> Option<(Value, Vec<u8>)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"))?;
    let length: usize = length.trim().parse().expect("a length is a number");
    let body = bytes.get(end..end + length)?;
    Some((serde_json::from_slice(body).expect("a message is JSON"), bytes[end + length..].to_vec()))
}
