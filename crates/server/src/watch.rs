//! The streams of who waits for a device. They are no calls in flight: they cost a place, and next to nothing while they wait.

use std::{pin::Pin, sync::Arc, time::Duration};

use countersign_domain::{
    app::App,
    error::{Error, Reason},
    usecase::watch_challenge::{ChallengeState, Watched},
};
use countersign_proto::v1::WatchChallengeResponse;
use futures_util::{Stream, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tonic::Status;

use crate::{convert::challenge::render_state, status::to_status};

/// Streams at the same time.
const MOST: usize = 10_000;

/// How often one looks that nobody woke: the device may have answered another process.
const LOOK: Duration = Duration::from_secs(2);

/// What becomes of one challenge.
pub(crate) type States = Pin<Box<dyn Stream<Item = Result<WatchChallengeResponse, Status>> + Send>>;

/// The places of those who watch.
#[derive(Clone)]
pub(crate) struct Watchers {
    room: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

/// One of them.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    stopping: watch::Receiver<bool>,
}

impl Watchers {
    /// Places that are given up when `stopping` says so.
    pub(crate) fn new(stopping: watch::Receiver<bool>) -> Self {
        Self { room: Arc::new(Semaphore::new(MOST)), stopping }
    }

    /// Takes a place.
    ///
    /// # Errors
    ///
    /// `OVERLOADED` if there is none.
    pub(crate) fn enter(&self) -> Result<Place, Status> {
        let permit = Arc::clone(&self.room).try_acquire_owned();
        let permit = permit.map_err(|_none| to_status(&Error::new(Reason::Overloaded)))?;
        Ok(Place { _permit: permit, stopping: self.stopping.clone() })
    }
}

/// Where a stream stands.
struct Reader {
    app: Arc<App>,
    watched: Watched,
    place: Place,
    /// What was told last; `None` before the first state.
    told: Option<ChallengeState>,
}

/// The states of `watched`, up to the first that is final.
pub(crate) fn states(app: Arc<App>, watched: Watched, place: Place) -> States {
    let reader = Some(Reader { app, watched, place, told: None });
    Box::pin(stream::unfold(reader, |reader| async {
        let mut reader = reader?;
        match reader.next().await {
            Ok(state) => {
                reader.told = Some(state);
                let goes_on = state == ChallengeState::Pending;
                Some((Ok(render_state(state)), goes_on.then_some(reader)))
            }
            Err(status) => Some((Err(status), None)),
        }
    }))
}

impl Reader {
    /// The next state that was not told yet.
    async fn next(&mut self) -> Result<ChallengeState, Status> {
        loop {
            // Listen first, then look: what happens in between is heard.
            let Some(heard) = self.watched.waiting.listen() else {
                return Err(Status::internal("the place was given up"));
            };
            let state = self.app.challenge_state(&self.watched).await.map_err(|error| to_status(&error))?;
            if self.told != Some(state) {
                return Ok(state);
            }
            // No longer than it lives, by the clock that judges.
            let left = self.watched.expires_at.since(self.app.clock.now()).min(LOOK);
            tokio::select! {
                _ = tokio::time::timeout(left, heard) => {}
                _ = self.place.stopping.wait_for(|stopping| *stopping) => {
                    return Err(Status::unavailable("the server stops; ask another one"));
                }
            }
        }
    }
}
