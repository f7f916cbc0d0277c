//! What a handler leaves unread of a request's body.
//!
//! HTTP/1.1 has no way to the next request but through the rest of this one. hyper closes the connection where a body was left, and
//! does not say so; the next request on it fails, and behind a proxy that keeps connections it may be somebody else's. HTTP/2 resets
//! the stream (RFC 9113, section 8.1), and not every client looks at the answer then. So what is left is read here before the answer
//! goes, within limits. Beyond them, the answer says that the connection ends, and may be lost over HTTP/2.

use std::{
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::timeout;

/// The most bytes that are read.
const MOST: usize = 8 * 1024 * 1024;
/// How long they may take to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// A body that is given to a handler, and comes back when that is done with it.
pub struct Lent<B: Body> {
    body: Option<B>,
    state: State,
    owner: Arc<Mutex<Back<B>>>,
}

#[derive(Clone, Copy)]
enum State {
    Untouched,
    Begun,
    Ended,
    Broken,
}

/// What came back.
enum Back<B> {
    /// Nothing: the handler still has it, or it broke.
    Nothing,
    /// All of it was read.
    Ended,
    /// It was not looked at.
    Whole(B),
    /// The rest of it.
    Rest(B),
}

/// The side that gets a [`Lent`] body back.
pub struct Leftover<B>(Arc<Mutex<Back<B>>>);

/// Whether another request can follow on the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Yes.
    Keep,
    /// No: nobody knows where it would begin.
    Close,
}

/// Gives `body` away for a while.
pub fn lend<B: Body>(body: B) -> (Lent<B>, Leftover<B>) {
    let owner = Arc::new(Mutex::new(Back::Nothing));
    (Lent { body: Some(body), state: State::Untouched, owner: Arc::clone(&owner) }, Leftover(owner))
}

impl<B: Body<Data = Bytes> + Unpin> Leftover<B> {
    /// Reads what was left. `asks_first`: the client has said that it sends the body only when it is told to go on
    /// (RFC 9110, section 10.1.1); who was not told may send it or not.
    pub async fn settle(self, asks_first: bool) -> Next {
        let back = mem::replace(&mut *locked(&self.0), Back::Nothing);
        let mut body = match back {
            Back::Ended => return Next::Keep,
            Back::Rest(body) => body,
            Back::Whole(body) if !asks_first => body,
            Back::Whole(_) | Back::Nothing => return Next::Close,
        };
        if body.size_hint().lower() > MOST as u64 {
            return Next::Close;
        }
        timeout(PATIENCE, rest(&mut body)).await.unwrap_or(Next::Close)
    }
}

async fn rest<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> Next {
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        seen += frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
        if frame.is_err() || seen > MOST {
            return Next::Close;
        }
    }
    Next::Keep
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B: Body + Unpin> Body for Lent<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        if let State::Untouched = this.state {
            this.state = State::Begun;
        }
        let frame = ready!(Pin::new(body).poll_frame(cx));
        match &frame {
            None => this.state = State::Ended,
            Some(Err(_)) => this.state = State::Broken,
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl<B: Body> Drop for Lent<B> {
    fn drop(&mut self) {
        let Some(body) = self.body.take() else { return };
        *locked(&self.owner) = match self.state {
            State::Ended => Back::Ended,
            State::Broken => Back::Nothing,
            State::Untouched | State::Begun if body.is_end_stream() => Back::Ended,
            State::Untouched => Back::Whole(body),
            State::Begun => Back::Rest(body),
        };
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io;

    use tokio::time::Instant;

    use super::*;

    /// Pieces of 16 KiB, and then an end, an error or nothing at all.
    struct Pieces(usize, Option<io::Result<()>>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            if self.0 > 0 {
                self.0 -= 1;
                return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 16 * 1024])))));
            }
            match self.1.take() {
                None => Poll::Pending,
                Some(Ok(())) => Poll::Ready(None),
                Some(Err(error)) => Poll::Ready(Some(Err(error))),
            }
        }
    }

    async fn left(body: Pieces, read: usize, asks_first: bool) -> Next {
        let (mut lent, leftover) = lend(body);
        for _ in 0..read {
            let _piece = lent.frame().await;
        }
        drop(lent);
        leftover.settle(asks_first).await
    }

    #[tokio::test(start_paused = true)]
    async fn a_little_is_read_and_the_connection_kept() {
        for read in 0..4 {
            assert_eq!(left(Pieces(3, Some(Ok(()))), read, false).await, Next::Keep, "{read} pieces were read");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn much_is_not_read() {
        let most = MOST / (16 * 1024);
        assert_eq!(left(Pieces(most + 1, Some(Ok(()))), 0, false).await, Next::Close);
        assert_eq!(left(Pieces(most + 1, Some(Ok(()))), 1, false).await, Next::Keep);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_is_not_awaited_for_long() {
        let begin = Instant::now();
        assert_eq!(left(Pieces(1, None), 1, false).await, Next::Close);
        assert!(begin.elapsed() <= PATIENCE + Duration::from_millis(100), "{:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_body_ends_the_connection() {
        for read in 0..3 {
            let body = Pieces(1, Some(Err(io::ErrorKind::InvalidData.into())));
            assert_eq!(left(body, read, false).await, Next::Close, "{read} pieces were read");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_first_and_is_not_told_to_go_on_is_not_awaited() {
        let begin = Instant::now();
        assert_eq!(left(Pieces(1, Some(Ok(()))), 0, true).await, Next::Close);
        assert_eq!(left(Pieces(2, Some(Ok(()))), 1, true).await, Next::Keep, "it was told by whoever began to read");
        assert!(begin.elapsed().is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn a_handler_that_keeps_the_body_ends_the_connection() {
        let (lent, leftover) = lend(Pieces(1, Some(Ok(()))));
        assert_eq!(leftover.settle(false).await, Next::Close);
        drop(lent);
    }
}
