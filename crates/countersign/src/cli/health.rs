//! `healthcheck`: one request, by hand, so that an image needs no other program.

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long the answer may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// The most of an answer that is read.
const MAX_ANSWER: u64 = 4096;

/// Asks `/readyz` at `address`. The answer is what the server said.
///
/// # Errors
///
/// Nobody answers, or the answer is not "ready".
pub async fn ask(address: &str) -> anyhow::Result<String> {
    let answer = tokio::time::timeout(PATIENCE, exchange(address)).await;
    let answer = answer.context("no answer in time")?.with_context(|| format!("cannot ask {address}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").context("that is no HTTP server")?;
    let body = body.trim();
    if head.split(' ').nth(1) == Some("200") { Ok(body.to_owned()) } else { bail!("not ready: {body}") }
}

async fn exchange(address: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Where a listener on `listen` can be reached from the same machine.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        ip if !ip.is_unspecified() => ip,
        ip if ip.is_ipv4() => Ipv4Addr::LOCALHOST.into(),
        _ => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, listen.port())
}
