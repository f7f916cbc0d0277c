//! How a call is carried out: within its time, and not too many at once.
//!
//! A call goes on without its caller: what is left of it runs on a task of its own then. Whoever hangs up, or asks for less time than it
//! takes, after a code was sent must not be spared what came of it: the attempt was taken, so the code is judged, a failure counted, a row
//! written. Otherwise hanging up in time would buy tries that no durable count knows of. What is bounded is how many calls run, their
//! callers there or not, and for how long. Only a password is not looked at any more if its sender left before its turn ([`Presence`]).
//!
//! [`Presence`]: countersign_domain::presence::Presence

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use countersign_domain::error::{Error, Reason};
use futures_util::FutureExt as _;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};
use tonic::{Status, metadata::MetadataMap};

use crate::status::to_status;

/// Longest time a call may take, if the caller does not ask for less.
pub const DEADLINE: Duration = Duration::from_secs(5);

/// Calls in flight: what anybody may take, and what is kept for people who have typed their password already.
const ORDINARY: usize = 384;
const RESERVED: usize = 128;

/// Which share of the room a call takes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// First factors and everything else.
    Ordinary,
    /// What completes a login that has begun. A flood of first factors leaves it its room.
    Completion,
}

/// The room for calls in flight.
#[derive(Clone)]
pub(crate) struct Room {
    ordinary: Arc<Semaphore>,
    reserved: Arc<Semaphore>,
}

impl Room {
    pub(crate) fn new() -> Self {
        Self { ordinary: Arc::new(Semaphore::new(ORDINARY)), reserved: Arc::new(Semaphore::new(RESERVED)) }
    }

    fn enter(&self, share: Share) -> Option<OwnedSemaphorePermit> {
        let ordinary = Arc::clone(&self.ordinary).try_acquire_owned().ok();
        match share {
            Share::Ordinary => ordinary,
            Share::Completion => ordinary.or_else(|| Arc::clone(&self.reserved).try_acquire_owned().ok()),
        }
    }

    /// Carries `work` out. Who drops this leaves the work to itself.
    ///
    /// # Errors
    ///
    /// `OVERLOADED` if there is no room, `DEADLINE_EXCEEDED` if the time is up, the caller's or ours, and what the work refuses.
    pub(crate) async fn carry_out<T: Send + 'static>(
        &self,
        share: Share,
        metadata: &MetadataMap,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Status> {
        let Some(permit) = self.enter(share) else { return Err(to_status(&Error::new(Reason::Overloaded))) };
        let work = Unstoppable::new(countersign_telemetry::carry(async move {
            let _permit = permit;
            match tokio::time::timeout(DEADLINE, AssertUnwindSafe(work).catch_unwind()).await {
                // Here and not where it is waited for: a cause is logged whoever hears of it.
                Ok(Ok(outcome)) => outcome.map_err(|error| to_status(&error)),
                // The message of a panic may hold anything; the panic hook has logged where it was.
                Ok(Err(_panic)) => Err(to_status(&Error::new(Reason::Internal).because("the use case panicked"))),
                Err(_elapsed) => Err(too_long()),
            }
        }));
        match asked_deadline(metadata) {
            Some(asked) => tokio::time::timeout(asked, work).await.unwrap_or_else(|_elapsed| Err(too_long())),
            None => work.await,
        }
    }

    /// Until no call runs any more, also none that was left by its caller. Nothing is let in meanwhile.
    pub(crate) async fn emptied(&self) {
        for (room, places) in [(&self.ordinary, ORDINARY), (&self.reserved, RESERVED)] {
            // Nobody closes it.
            drop(room.acquire_many(u32::try_from(places).unwrap_or(u32::MAX)).await);
        }
    }
}

fn too_long() -> Status {
    Status::deadline_exceeded("the call took too long")
}

/// Work that is polled where it is waited for. If it is dropped before it has ended, the rest of it is done on a task of its own.
struct Unstoppable<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> Unstoppable<T> {
    fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for Unstoppable<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        match self.0.as_mut().map(|work| work.as_mut().poll(cx)) {
            Some(Poll::Ready(outcome)) => {
                self.0 = None;
                Poll::Ready(outcome)
            }
            // As any future that is polled after its end.
            Some(Poll::Pending) | None => Poll::Pending,
        }
    }
}

impl<T: Send + 'static> Drop for Unstoppable<T> {
    fn drop(&mut self) {
        // Without a runtime there is nobody left to do it.
        if let (Some(rest), Ok(runtime)) = (self.0.take(), Handle::try_current()) {
            runtime.spawn(rest);
        }
    }
}

/// What `grpc-timeout` asks for, if that is less than anybody gets: up to eight digits and a unit.
fn asked_deadline(metadata: &MetadataMap) -> Option<Duration> {
    let asked = parse_timeout(metadata.get("grpc-timeout")?.to_str().ok()?)?;
    (asked < DEADLINE).then_some(asked)
}

fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Waker};

    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn reads_timeouts_as_the_grpc_protocol_spells_them() {
        assert_eq!(parse_timeout("100m"), Some(Duration::from_millis(100)));
        assert_eq!(parse_timeout("2S"), Some(Duration::from_secs(2)));
        for text in ["", "S", "100", "123456789S", "-1S", "1s", "1 S", "é"] {
            assert_eq!(parse_timeout(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn a_full_house_sheds_first_factors_and_lets_logins_complete() {
        let room = Room::new();
        let held: Vec<_> = (0..ORDINARY).map(|_| room.enter(Share::Ordinary).unwrap()).collect();
        let none = MetadataMap::new();
        let shed = room.carry_out(Share::Ordinary, &none, async { Ok(()) }).await.unwrap_err();
        assert_eq!(shed.code(), tonic::Code::Unavailable);
        assert!(room.carry_out(Share::Completion, &none, async { Ok(()) }).await.is_ok());
        drop(held);
        assert!(room.carry_out(Share::Ordinary, &none, async { Ok(()) }).await.is_ok());
    }

    fn poll_once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    /// Work that ends when the sender is dropped, and whether it has.
    fn gated() -> (oneshot::Sender<()>, impl Future<Output = Result<(), Error>> + Send, oneshot::Receiver<()>) {
        let (open, gate) = oneshot::channel::<()>();
        let (done, ended) = oneshot::channel();
        let work = async move {
            let _opened = gate.await;
            let _heard = done.send(());
            Ok(())
        };
        (open, work, ended)
    }

    #[tokio::test]
    async fn work_goes_on_without_its_caller_and_takes_its_room_until_it_ends() {
        let room = Room::new();
        let none = MetadataMap::new();
        let (open, work, ended) = gated();
        {
            let mut call = pin!(room.carry_out(Share::Ordinary, &none, work));
            assert!(poll_once(call.as_mut()).is_pending());
        }
        let mut emptied = pin!(room.emptied());
        assert!(poll_once(emptied.as_mut()).is_pending(), "it runs still");
        drop(open);
        ended.await.expect("it was not cut off");
        emptied.await;
        assert!(room.carry_out(Share::Ordinary, &none, async { Ok(()) }).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_callers_time_ends_the_wait_and_not_the_work() {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", "1m".parse().unwrap());
        let (open, work, ended) = gated();
        let outcome = Room::new().carry_out(Share::Completion, &metadata, work).await;
        assert_eq!(outcome.unwrap_err().code(), tonic::Code::DeadlineExceeded);
        drop(open);
        ended.await.expect("it was not cut off");
    }

    #[tokio::test(start_paused = true)]
    async fn work_ends_when_our_time_is_up() {
        let room = Room::new();
        let (held, ended) = oneshot::channel::<()>();
        let work = async move {
            let _held = held;
            std::future::pending::<Result<(), Error>>().await
        };
        let outcome = room.carry_out(Share::Completion, &MetadataMap::new(), work).await;
        assert_eq!(outcome.unwrap_err().code(), tonic::Code::DeadlineExceeded);
        assert!(ended.await.is_err(), "what the work held is let go");
        room.emptied().await;
    }

    #[tokio::test]
    async fn a_panic_is_an_internal_error() {
        let outcome = Room::new()
            .carry_out(Share::Ordinary, &MetadataMap::new(), async { if true { panic!("boom") } else { Ok(()) } })
            .await;
        assert_eq!(outcome.unwrap_err().code(), tonic::Code::Internal);
    }
}
