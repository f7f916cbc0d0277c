//! How long a client may take nothing of what it is sent.
//!
//! Whoever asks and does not read holds a connection and what was written for it. Only what waits to be written is timed: a
//! connection on which there is nothing to say, such as that of somebody who watches a challenge, is left alone. It is measured
//! below TLS, where each byte that the client takes can be seen.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// The longest that not one byte is taken.
const STALL: Duration = Duration::from_secs(10);

/// A stream that fails with [`io::ErrorKind::TimedOut`] when the peer takes nothing any more.
pub struct Progress<S> {
    stream: S,
    /// Runs while something waits to be written.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Progress<S> {
    /// Watches `stream`.
    pub const fn new(stream: S) -> Self {
        Self { stream, stalled: None }
    }

    /// The outcome of a step of writing, or that it has been waited for too long.
    fn judge<T>(&mut self, cx: &mut Context<'_>, step: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if step.is_ready() {
            self.stalled = None;
            return step;
        }
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + STALL)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Progress<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Progress<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let step = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, step)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let step = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.judge(cx, step)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        time::timeout,
    };

    use super::*;

    fn watched() -> (DuplexStream, Progress<DuplexStream>) {
        let (peer, ours) = duplex(1024);
        (peer, Progress::new(ours))
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_given_ten_seconds() {
        let (_peer, mut stream) = watched();
        stream.write_all(&[0; 1024]).await.unwrap();
        let begin = Instant::now();
        assert_eq!(stream.write_all(&[0]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let waited = begin.elapsed();
        assert!(waited >= STALL && waited < STALL + Duration::from_millis(100), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn each_byte_that_is_taken_gives_as_long_again() {
        let (mut peer, mut stream) = watched();
        let writing = tokio::spawn(async move { stream.write_all(&[0; 1024 + 9]).await });
        for _ in 0..9 {
            assert!(timeout(STALL.mul_f32(0.9), std::future::pending::<()>()).await.is_err());
            peer.read_u8().await.unwrap();
        }
        writing.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn where_nothing_is_to_be_written_nothing_is_timed() {
        let (mut peer, mut stream) = watched();
        let silent = timeout(Duration::from_secs(3600), stream.read(&mut [0; 8])).await;
        assert!(silent.is_err(), "still waiting after an hour");
        stream.write_all(b"an event").await.unwrap();
        peer.read_exact(&mut [0; 8]).await.unwrap();
    }
}
