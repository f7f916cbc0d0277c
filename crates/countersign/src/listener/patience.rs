//! How long a connection may keep us waiting.
//!
//! hyper's own time for headers runs between requests too, so five seconds of it would cut idle connections under the feet of
//! proxies that keep them; and it does not run before the first byte. So the time is measured here, where bytes come in:
//!
//! ```text
//! Head --request complete--> Busy --answered--> Idle --bytes--> Head
//! Head: 5 s in all    Idle: 75 s    Busy: others measure
//! Head --whole preface of HTTP/2--> Preface --first request--> HTTP/2, where pings find out who is gone. Preface: 75 s
//! ```

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

/// For a request's first line and headers, from the first byte; and for the first byte of a connection.
const HEAD: Duration = Duration::from_secs(5);
/// Between requests; longer than the 60 s after which common proxies give up a connection.
const IDLE: Duration = Duration::from_secs(75);
/// How HTTP/2 begins (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Where the conversation stands. The service tells; the stream reads.
#[derive(Clone, Debug, Default)]
pub struct Conversation(Arc<AtomicU8>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Head = 0,
    Busy = 1,
    Idle = 2,
    Preface = 3,
    Http2 = 4,
}

impl Conversation {
    /// The headers of a request are complete.
    pub fn asked(&self) {
        self.move_to(Phase::Busy);
    }

    /// The request is answered.
    pub fn answered(&self) {
        self.move_to(Phase::Idle);
    }

    fn phase(&self) -> Phase {
        match self.0.load(Ordering::Acquire) {
            0 => Phase::Head,
            1 => Phase::Busy,
            2 => Phase::Idle,
            3 => Phase::Preface,
            _ => Phase::Http2,
        }
    }

    /// Once HTTP/2, always HTTP/2: requests overlap there, and keep-alive pings find out who is gone.
    fn move_to(&self, phase: Phase) {
        let next = match (self.phase(), phase) {
            (Phase::Http2, _) | (Phase::Preface, Phase::Busy) => Phase::Http2,
            (Phase::Preface, _) => Phase::Preface,
            (_, phase) => phase,
        };
        self.0.store(next as u8, Ordering::Release);
    }
}

/// A stream that fails with [`io::ErrorKind::TimedOut`] when the peer takes too long.
pub struct Patience<S> {
    stream: S,
    conversation: Conversation,
    /// How much of the preface of HTTP/2 has come; none if something else came.
    preface: Option<usize>,
    measured: Option<Phase>,
    timer: Pin<Box<Sleep>>,
}

impl<S> Patience<S> {
    /// Watches `stream`.
    pub fn new(stream: S, conversation: Conversation) -> Self {
        let timer = Box::pin(sleep_until(Instant::now() + HEAD));
        Self { stream, conversation, preface: Some(0), measured: Some(Phase::Head), timer }
    }

    /// Whether the time for what is being waited for is up.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let phase = self.conversation.phase();
        let limit = match phase {
            Phase::Head => HEAD,
            Phase::Idle | Phase::Preface => IDLE,
            Phase::Busy | Phase::Http2 => {
                self.measured = None;
                return Poll::Pending;
            }
        };
        if self.measured != Some(phase) {
            self.measured = Some(phase);
            self.timer.as_mut().reset(Instant::now() + limit);
        }
        self.timer.as_mut().poll(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patience<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let Poll::Ready(read) = Pin::new(&mut this.stream).poll_read(cx, buffer) else {
            ready!(this.poll_late(cx));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        };
        let came = buffer.filled().get(before..).unwrap_or_default();
        if !came.is_empty() {
            this.preface = this.preface.and_then(|so_far| preface(so_far, came));
            if this.preface.is_some_and(|so_far| so_far == HTTP2_PREFACE.len()) {
                this.preface = None;
                this.conversation.move_to(Phase::Preface);
            }
            if this.conversation.phase() == Phase::Idle {
                this.conversation.move_to(Phase::Head);
                // A new request has its own time, also where nobody has looked since the one before began.
                this.measured = None;
            }
            // Who sends a byte now and then must not be read for ever.
            if this.conversation.phase() == Phase::Head && this.poll_late(cx).is_ready() {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
        }
        Poll::Ready(read)
    }
}

/// How much of the preface there is with `came`, after `so_far` of it; `None` if it is none.
fn preface(so_far: usize, came: &[u8]) -> Option<usize> {
    let rest = HTTP2_PREFACE.get(so_far..)?;
    let compared = came.len().min(rest.len());
    (came.get(..compared) == rest.get(..compared)).then_some(so_far + compared)
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patience<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
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
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
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
        time::advance,
    };

    use super::*;

    fn watched() -> (DuplexStream, Patience<DuplexStream>, Conversation) {
        let (peer, ours) = duplex(1024);
        let conversation = Conversation::default();
        (peer, Patience::new(ours, conversation.clone()), conversation)
    }

    async fn waited(stream: &mut Patience<DuplexStream>) -> (io::ErrorKind, Duration) {
        let begin = Instant::now();
        let error = stream.read(&mut [0; 64]).await.unwrap_err();
        (error.kind(), begin.elapsed())
    }

    fn about(measured: Duration, wanted: Duration) -> bool {
        measured >= wanted && measured < wanted + Duration::from_millis(100)
    }

    #[tokio::test(start_paused = true)]
    async fn requests_that_follow_each_other_at_once_have_five_seconds_each() {
        let (mut peer, mut stream, conversation) = watched();
        for _ in 0..60 {
            peer.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            // All of it is there: nobody waits, so nobody looks between one request and the next.
            assert_eq!(stream.read(&mut [0; 64]).await.unwrap(), 18);
            conversation.asked();
            conversation.answered();
            advance(Duration::from_secs(1)).await;
        }
        peer.write_all(b"G").await.unwrap();
        assert_eq!(stream.read(&mut [0; 64]).await.unwrap(), 1);
        let (error, waited) = waited(&mut stream).await;
        assert!(error == io::ErrorKind::TimedOut && about(waited, HEAD), "{error} {waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_is_given_five_seconds() {
        let (_peer, mut stream, _) = watched();
        let (kind, waited) = waited(&mut stream).await;
        assert_eq!(kind, io::ErrorKind::TimedOut);
        assert!(about(waited, HEAD), "{waited:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn headers_byte_by_byte_are_given_five_seconds_in_all() {
        let (mut peer, mut stream, _) = watched();
        let begin = Instant::now();
        loop {
            peer.write_all(b"x").await.unwrap();
            if stream.read(&mut [0; 64]).await.is_err() {
                break;
            }
            advance(Duration::from_secs(1)).await;
        }
        assert!(begin.elapsed() <= HEAD + Duration::from_secs(1), "{:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn between_requests_there_is_more_time() {
        let (mut peer, mut stream, conversation) = watched();
        peer.write_all(b"GET").await.unwrap();
        assert_eq!(stream.read(&mut [0; 64]).await.unwrap(), 3);
        conversation.asked();
        advance(Duration::from_secs(30)).await;
        conversation.answered();
        let (_, idle) = waited(&mut stream).await;
        assert!(about(idle, IDLE), "{idle:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_request_has_five_seconds_again() {
        let (mut peer, mut stream, conversation) = watched();
        conversation.asked();
        conversation.answered();
        peer.write_all(b"G").await.unwrap();
        assert_eq!(stream.read(&mut [0; 64]).await.unwrap(), 1);
        let (_, head) = waited(&mut stream).await;
        assert!(about(head, HEAD), "{head:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_beginning_like_that_of_http2_buys_no_time() {
        for beginning in ["P", "PRI * HTTP/2.0\r\n"] {
            let (mut peer, mut stream, _) = watched();
            peer.write_all(beginning.as_bytes()).await.unwrap();
            assert!(stream.read(&mut [0; 64]).await.is_ok());
            let (_, head) = waited(&mut stream).await;
            assert!(about(head, HEAD), "{beginning:?}: {head:?}");
        }
        let (mut peer, mut stream, _) = watched();
        let begin = Instant::now();
        for byte in b"POST / HTTP/1.1\r\n".iter().cycle() {
            peer.write_all(&[*byte]).await.unwrap();
            if stream.read(&mut [0; 64]).await.is_err() {
                break;
            }
            advance(Duration::from_secs(1)).await;
        }
        assert!(begin.elapsed() <= HEAD + Duration::from_secs(1), "{:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn http2_without_a_request_is_given_up() {
        let (mut peer, mut stream, _) = watched();
        for part in [&HTTP2_PREFACE[..5], &HTTP2_PREFACE[5..]] {
            peer.write_all(part).await.unwrap();
            assert!(stream.read(&mut [0; 64]).await.is_ok());
        }
        let (_, idle) = waited(&mut stream).await;
        assert!(about(idle, IDLE), "{idle:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn http2_keeps_its_own_time() {
        let (mut peer, mut stream, conversation) = watched();
        peer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        assert!(stream.read(&mut [0; 64]).await.is_ok());
        conversation.asked();
        conversation.answered();
        let late = tokio::time::timeout(Duration::from_secs(3600), stream.read(&mut [0; 64])).await;
        assert!(late.is_err(), "still waiting after an hour");
    }
}
