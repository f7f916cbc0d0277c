//! Empties the outbox.

use std::{
    collections::HashMap,
    future::pending,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use countersign_domain::{
    audit::AuditEvent,
    error::Error,
    id::MessageId,
    message::{
        Channel, Message, OutboxRow, Urgency,
        ending::{End, Tried},
    },
    port::{
        clock::Clock,
        entropy::Entropy,
        outbox_store::{Ended, OutboxStore},
        sealer::Sealer,
        sender::{ProviderName, SendError, Sender},
    },
    time::Timestamp,
};
use futures_util::FutureExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch},
    task::JoinSet,
    time::MissedTickBehavior,
};

use crate::{
    backoff,
    bell::{Bell, Handed, LEASE},
    chain::chain,
    courier::ProviderError,
    observer::{Ending, Observer, Outcome},
};

/// A try that takes longer is given up.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long before the end of the lease a try is given up, so that no other worker sends beside it.
const MARGIN: Duration = Duration::from_secs(5);
/// How often it is looked whether those who write have ended, when the worker stops.
const LOOK: Duration = Duration::from_millis(20);
/// How often the outbox is looked at when nobody rings.
const POLL: Duration = Duration::from_secs(1);
/// Tries before a message that somebody waits for is given up. Others are tried until they expire: no outage of some hours loses them.
const ATTEMPTS: u32 = 8;

/// Duplicates that tries of unknown outcome may cost one person. Providers that know ids make none.
const DUPLICATES: u32 = 1;

/// What a [`Worker`] works with.
#[derive(Clone)]
pub struct WorkerPorts {
    /// Where messages wait.
    pub outbox: Arc<dyn OutboxStore>,
    /// Opens them.
    pub sealer: Arc<dyn Sealer>,
    /// Sends them.
    pub sender: Arc<dyn Sender>,
    /// Tells what is due.
    pub clock: Arc<dyn Clock>,
    /// Spreads further tries.
    pub entropy: Arc<dyn Entropy>,
    /// Is told how messages ended.
    pub observer: Arc<dyn Observer>,
}

/// Sends what waits in the outbox. Any number of workers may share one. Who writes a row may also claim it for the worker of the
/// same process and hand it over.
///
/// A row is claimed for 30 seconds. If the process dies in between, the row is due again after that, and the message is sent
/// with the same id and the same code: at most twice, and once by providers that know idempotency keys. After a try whose outcome is
/// unknown it is tried once more, and as often as any other by those providers.
pub struct Worker {
    bell: Bell,
    work: Arc<Work>,
}

/// What the tasks of a worker share.
struct Work {
    ports: WorkerPorts,
    /// Messages that are done while their row could not be removed: they are not sent again.
    done: Mutex<HashMap<MessageId, Done>>,
}

/// A message that is done.
struct Done {
    /// How, for the audit trail.
    audit: AuditEvent,
    /// When its row is swept at the latest.
    expires_at: Timestamp,
}

/// One try.
struct Try {
    /// What the message is for, if it could be opened.
    purpose: Option<&'static str>,
    result: Result<ProviderName, SendError>,
}

/// One channel of a worker.
struct Lane {
    channel: Channel,
    /// Whether rows may be due that were not claimed yet.
    more: bool,
}

/// What becomes of a row after a try.
enum Next {
    Remove(End),
    Postpone(Timestamp, Ended),
}

impl Worker {
    /// A worker that is woken by `bell`.
    pub fn new(bell: Bell, ports: WorkerPorts) -> Self {
        Self { bell, work: Arc::new(Work { ports, done: Mutex::default() }) }
    }

    /// Works until `stop` turns true or its sender is gone. Then it claims no more, and returns when what is in flight or about to be
    /// handed over has ended, or
    /// after `in_flight`: what was not sent by then stays in the outbox, as if the process had died.
    pub async fn run(self, mut stop: watch::Receiver<bool>, in_flight: Duration) {
        let mut ticks = tokio::time::interval(POLL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tasks = JoinSet::new();
        let mut lanes = Channel::ALL.map(|channel| Lane { channel, more: true });
        let mut handed = self.bell.open();
        loop {
            let looks = tokio::select! {
                biased;
                () = told(&mut stop) => break,
                Some(Handed { row, place }) = next(&mut handed) => {
                    tasks.spawn(Arc::clone(&self.work).deliver(row, Some(place)));
                    continue;
                }
                Some(_) = tasks.join_next() => false,
                () = self.bell.rung() => true,
                _ = ticks.tick() => true,
            };
            for lane in &mut lanes {
                lane.more |= looks;
                while lane.more {
                    // Taken first, and not all: those who hand rows over take some too.
                    let mut places = half(self.bell.room(lane.channel));
                    if places.is_empty() {
                        break;
                    }
                    let rows = self.work.claim(lane.channel, places.len()).await;
                    lane.more = rows.len() == places.len();
                    for row in rows {
                        tasks.spawn(Arc::clone(&self.work).deliver(row, places.pop()));
                    }
                }
            }
        }
        self.bell.close();
        let ended = async {
            let mut looks = tokio::time::interval(LOOK);
            // Who has a place still is about to write a row and hand it over.
            while !self.bell.is_idle() || !tasks.is_empty() {
                tokio::select! {
                    Some(Handed { row, place }) = next(&mut handed) => {
                        tasks.spawn(Arc::clone(&self.work).deliver(row, Some(place)));
                    }
                    Some(_) = tasks.join_next() => {}
                    _ = looks.tick() => {}
                }
            }
        };
        if tokio::time::timeout(in_flight, ended).await.is_err() {
            tracing::warn!(messages = tasks.len(), "messages in flight were cut off; they stay in the outbox");
            tasks.shutdown().await;
        }
    }
}

/// The next row that is handed over; for ever, if none ever is.
async fn next(handed: &mut Option<mpsc::UnboundedReceiver<Handed>>) -> Option<Handed> {
    match handed {
        Some(handed) => handed.recv().await,
        None => pending().await,
    }
}

/// Half of the places that are free, but one if there is any.
fn half(room: &Arc<Semaphore>) -> Vec<OwnedSemaphorePermit> {
    let half = room.available_permits().div_ceil(2);
    std::iter::from_fn(|| Arc::clone(room).try_acquire_owned().ok()).take(half).collect()
}

/// Until the process stops; also if nobody is left to stop it.
async fn told(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

impl Work {
    async fn claim(&self, channel: Channel, room: usize) -> Vec<OutboxRow> {
        let now = self.ports.clock.now();
        match self.ports.outbox.claim(channel, now, now.plus(LEASE), room).await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(channel = channel.as_str(), error = chain(&error), "the outbox cannot be read");
                Vec::new()
            }
        }
    }

    /// Tries to send a claimed row, which has its `place` until that is over.
    async fn deliver(self: Arc<Self>, row: OutboxRow, place: Option<OwnedSemaphorePermit>) {
        if let Some(audit) = self.done(&row.id) {
            return self.remove(&row, audit).await;
        }
        let left = row.due_at.since(self.ports.clock.now()).saturating_sub(MARGIN);
        if left.is_zero() {
            tracing::warn!(message.id = %row.id, "a message came too late to be tried within its lease");
            return;
        }
        let Try { purpose, result } = self.try_once(&row, left.min(PATIENCE)).await;
        let now = self.ports.clock.now();
        match self.judge(&row, &result, now) {
            Next::Remove(end) => {
                let ending = Ending::of(end);
                report_end(&row, &result, ending);
                self.ports.observer.ended(row.channel, ending, now.since(row.created_at));
                let tried = Tried { purpose, provider: provider_of(&result).map(str::to_owned) };
                self.remove(&row, row.ended(end, &tried, now)).await;
            }
            Next::Postpone(due_at, ended) => {
                report_delay(&row, &result, due_at.since(now));
                if let Err(error) = self.ports.outbox.postpone(&row.id, due_at, ended).await {
                    tracing::warn!(message.id = %row.id, error = chain(&error), "a message stays until its lease ends");
                }
            }
        }
        drop(place);
    }

    /// A panic is the end of one try, not of the worker. What it said may hold the message, so it is not logged here.
    async fn try_once(&self, row: &OutboxRow, patience: Duration) -> Try {
        let message = match Message::open(row, &*self.ports.sealer) {
            Ok(message) => message,
            Err(error) => return Try { purpose: None, result: Err(unopened(error)) },
        };
        let send = AssertUnwindSafe(self.ports.sender.send(&message)).catch_unwind();
        let result = match tokio::time::timeout(patience, send).await {
            Ok(Ok(result)) => result,
            Ok(Err(_panic)) => Err(SendError::Unknown("the sender panicked".into())),
            Err(elapsed) => Err(SendError::Unknown(elapsed.into())),
        };
        Try { purpose: Some(message.content.purpose()), result }
    }

    fn judge(&self, row: &OutboxRow, result: &Result<ProviderName, SendError>, now: Timestamp) -> Next {
        let (retry_after, ended) = match result {
            Ok(_) => return Next::Remove(End::Sent),
            Err(SendError::Refused(_)) => return Next::Remove(End::Refused),
            Err(SendError::Unavailable { retry_after, .. } | SendError::Deferred { retry_after, .. }) => {
                (*retry_after, Ended::Unsent)
            }
            Err(SendError::Unknown(source)) if at(source).is_some_and(|error| error.knows_ids) => (None, Ended::Unsent),
            Err(SendError::Unknown(_)) => (None, Ended::InDoubt),
        };
        let in_doubt = ended == Ended::InDoubt;
        // Without randomness tries are merely not spread.
        let mut random = [0];
        if self.ports.entropy.fill(&mut random).is_err() {
            random = [0];
        }
        let [random] = random;
        let (longest, attempts, asked) = match row.urgency {
            Urgency::Awaited => (backoff::URGENT, ATTEMPTS, backoff::URGENT),
            Urgency::Patient => (backoff::PATIENT, u32::MAX, backoff::ASKED),
        };
        // The one further try of what can wait comes late: by then the provider may answer.
        let steps = if in_doubt && row.urgency == Urgency::Patient { u32::MAX } else { row.attempts };
        let delay = backoff::delay(steps, longest, random);
        // Who asks for too long may be back sooner, and is asked as long as the message is of use.
        let due_at = now.plus(delay.max(retry_after.unwrap_or_default().min(asked)));
        if in_doubt && row.doubts >= DUPLICATES {
            Next::Remove(End::InDoubt)
        } else if row.attempts >= attempts {
            Next::Remove(End::TriedTooOften)
        } else if due_at >= row.expires_at {
            Next::Remove(End::Expired)
        } else {
            Next::Postpone(due_at, ended)
        }
    }

    /// Removes the row of a message that is done. It has its row in the audit trail then, and not before.
    async fn remove(&self, row: &OutboxRow, audit: AuditEvent) {
        let removed = self.ports.outbox.remove(&row.id, audit.clone()).await;
        let now = self.ports.clock.now();
        let mut all = self.all_done();
        all.retain(|id, done| *id != row.id && done.expires_at > now);
        if let Err(error) = removed {
            all.insert(row.id.clone(), Done { audit, expires_at: row.expires_at });
            tracing::warn!(message.id = %row.id, error = chain(&error), "a message that is done cannot be removed");
        }
    }

    fn done(&self, id: &MessageId) -> Option<AuditEvent> {
        self.all_done().get(id).map(|done| done.audit.clone())
    }

    fn all_done(&self) -> MutexGuard<'_, HashMap<MessageId, Done>> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message that does not open now may open when the key is back.
fn unopened(error: Error) -> SendError {
    SendError::Unavailable { retry_after: None, source: error.into() }
}

fn report_end(row: &OutboxRow, result: &Result<ProviderName, SendError>, ending: Ending) {
    let (id, channel, attempts, outcome) = (row.id.as_str(), row.channel.as_str(), row.attempts, ending.as_str());
    let provider = provider_of(result);
    match result {
        Ok(_) => tracing::info!(message.id = id, channel, provider, attempts, outcome, "a message was sent"),
        Err(error) => {
            let error = chain(error);
            tracing::warn!(message.id = id, channel, provider, attempts, outcome, error, "a message was not sent");
        }
    }
}

fn report_delay(row: &OutboxRow, result: &Result<ProviderName, SendError>, delay: Duration) {
    let Err(error) = result else { return };
    tracing::info!(
        message.id = row.id.as_str(),
        channel = row.channel.as_str(),
        provider = provider_of(result),
        attempts = row.attempts,
        outcome = Outcome::of(error).as_str(),
        retry_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        error = chain(error),
        "a message will be tried again"
    );
}

/// The provider that took it, or the one at which the try ended.
fn provider_of(result: &Result<ProviderName, SendError>) -> Option<&str> {
    let source = match result {
        Ok(name) => return Some(name),
        Err(
            SendError::Refused(source)
            | SendError::Unavailable { source, .. }
            | SendError::Deferred { source, .. }
            | SendError::Unknown(source),
        ) => source,
    };
    at(source).map(|error| &*error.provider)
}

/// Where a try ended, if a provider was asked.
#[expect(clippy::borrowed_box, reason = "the box is what errors are made of")]
fn at(source: &Box<dyn std::error::Error + Send + Sync>) -> Option<&ProviderError> {
    source.downcast_ref()
}
