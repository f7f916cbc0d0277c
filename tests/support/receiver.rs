//! An endpoint that messages are posted to, which may be down, deaf or well.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::sent::Arrived;

/// What it does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It takes it.
    Well,
    /// It says that it cannot take it now.
    Overloaded,
    /// It says that it will never take it.
    Refusing,
    /// It has read it, and never answers.
    Silent,
    /// It has read it, and answers as soon as it behaves otherwise.
    Late,
}

/// An address of this machine that nobody else can have, and at which nobody listens yet.
pub struct Closed {
    socket: TcpSocket,
    address: SocketAddr,
}

impl Closed {
    /// Takes a free one.
    pub fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("there are sockets");
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("there is a free port");
        let address = socket.local_addr().expect("a bound socket has an address");
        Self { socket, address }
    }

    /// The address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Opens an endpoint there.
    pub fn open(self, manner: Manner) -> Receiver {
        let socket = self.socket.listen(1024).expect("the port is ours");
        let (got, (manner, seen)) = (Arc::new(Mutex::new(Vec::new())), watch::channel(manner));
        let kept = Arc::clone(&got);
        let accepting = tokio::spawn(async move {
            let mut held = JoinSet::new();
            while let Ok((stream, _)) = socket.accept().await {
                held.spawn(serve(stream, Arc::clone(&kept), seen.clone()));
            }
        });
        Receiver { got, manner, accepting }
    }
}

impl Default for Closed {
    fn default() -> Self {
        Self::new()
    }
}

/// An endpoint. Closed when dropped.
pub struct Receiver {
    got: Arc<Mutex<Vec<Value>>>,
    manner: watch::Sender<Manner>,
    accepting: JoinHandle<()>,
}

impl Receiver {
    /// From now on it behaves like this.
    pub fn behave(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    /// What came, in its order: messages with codes.
    pub fn got(&self) -> Vec<Arrived> {
        self.all().iter().map(Arrived::read).collect()
    }

    /// Whatever came, in its order.
    pub fn all(&self) -> Vec<Value> {
        self.got.lock().expect("nobody panics with it").clone()
    }

    /// What came, as soon as there is so much: messages with codes.
    pub async fn messages(&self, count: usize) -> Vec<Arrived> {
        self.arrived(count).await.iter().map(Arrived::read).collect()
    }

    /// Whatever came, as soon as there is so much.
    pub async fn arrived(&self, count: usize) -> Vec<Value> {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        loop {
            ticks.tick().await;
            let all = self.all();
            if all.len() >= count {
                return all;
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
async fn serve(mut stream: TcpStream, got: Arc<Mutex<Vec<Value>>>, mut manner: watch::Receiver<Manner>) {
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
        let before = *manner.borrow();
        got.lock().expect("nobody panics with it").push(message);
        let behaves = if before == Manner::Late {
            let Ok(changed) = manner.wait_for(|manner| *manner != Manner::Late).await else { return };
            *changed
        } else {
            before
        };
        let status = match behaves {
            Manner::Well => "200 OK",
            Manner::Overloaded => "503 Service Unavailable",
            Manner::Refusing => "422 Unprocessable Content",
            Manner::Silent | Manner::Late => return std::future::pending().await,
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
