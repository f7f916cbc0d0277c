//! The way from who writes messages to the worker that sends them.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use countersign_domain::{
    message::{Channel, OutboxRow},
    port::outbox_store::{self, Claim},
    time::Timestamp,
};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};

/// How long a claimed row is left alone by other workers.
pub(crate) const LEASE: Duration = Duration::from_secs(30);

/// Messages of one channel in flight at once. Each channel has its own, so that one whose providers are slow holds up no other; and
/// above the limit of one provider, so that a slow provider leaves room for the next.
const IN_FLIGHT: usize = 64;

/// Wakes a [`Worker`](crate::worker::Worker): rung after a commit that put a message into the outbox. Clones ring the same worker.
#[derive(Clone)]
pub struct Bell(Arc<Shared>);

struct Shared {
    rung: Notify,
    /// What may be in flight, of each of [`Channel::ALL`]. Nothing before the worker runs.
    rooms: [Arc<Semaphore>; Channel::ALL.len()],
    handing: mpsc::UnboundedSender<Handed>,
    handed: Mutex<Option<mpsc::UnboundedReceiver<Handed>>>,
}

/// A row that was written as claimed by this worker.
pub(crate) struct Handed {
    pub(crate) row: OutboxRow,
    pub(crate) place: OwnedSemaphorePermit,
}

impl Bell {
    /// A bell that nobody hears yet.
    pub fn new() -> Self {
        let (handing, handed) = mpsc::unbounded_channel();
        let rooms = Channel::ALL.map(|_| Arc::new(Semaphore::new(0)));
        Self(Arc::new(Shared { rung: Notify::new(), rooms, handing, handed: Mutex::new(Some(handed)) }))
    }

    /// Wakes the worker, now or as soon as it listens.
    pub fn ring(&self) {
        self.0.rung.notify_one();
    }

    /// Until it rings.
    pub(crate) async fn rung(&self) {
        self.0.rung.notified().await;
    }

    /// Where the messages of `channel` that are in flight have their places.
    pub(crate) fn room(&self, channel: Channel) -> &Arc<Semaphore> {
        let at = Channel::ALL.iter().position(|known| *known == channel).unwrap_or_default();
        let [first, ..] = &self.0.rooms;
        self.0.rooms.get(at).unwrap_or(first)
    }

    /// The worker runs. The answer is where rows are handed over; a second worker is handed none.
    pub(crate) fn open(&self) -> Option<mpsc::UnboundedReceiver<Handed>> {
        for room in &self.0.rooms {
            room.add_permits(IN_FLIGHT);
        }
        self.0.handed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Whether nobody has a place.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.rooms.iter().all(|room| room.available_permits() >= IN_FLIGHT)
    }

    /// The worker takes nothing more.
    pub(crate) fn close(&self) {
        for room in &self.0.rooms {
            room.close();
        }
    }
}

impl Default for Bell {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Bell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bell")
    }
}

impl outbox_store::Bell for Bell {
    fn ring(&self) {
        Self::ring(self);
    }

    fn claim(&self, channel: Channel, now: Timestamp) -> Option<Box<dyn Claim>> {
        let permit = Arc::clone(self.room(channel)).try_acquire_owned().ok()?;
        Some(Box::new(Place { permit, lease_until: now.plus(LEASE), handing: self.0.handing.clone() }))
    }
}

/// A place among what is in flight, for a row that is about to be written.
struct Place {
    permit: OwnedSemaphorePermit,
    lease_until: Timestamp,
    handing: mpsc::UnboundedSender<Handed>,
}

impl Claim for Place {
    fn lease_until(&self) -> Timestamp {
        self.lease_until
    }

    fn hand_over(self: Box<Self>, row: OutboxRow) {
        // If the worker has ended, it is as if it had died: the row is due again when its lease ends.
        drop(self.handing.send(Handed { row, place: self.permit }));
    }
}
