//! What callers have done in a transaction of the thread that writes.

use std::sync::Arc;

use countersign_domain::port::PortError;
use tokio::sync::oneshot;

use crate::sqlite::{DURABLE_STORE, port_error, transaction::Transaction};

/// What a job did.
pub(in crate::sqlite) enum Step<T> {
    /// Its changes stay.
    Keep(T),
    /// Its changes are taken back.
    Undo(T),
}

/// What a job needs of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::sqlite) enum Durability {
    /// Its effect need not survive a loss of power: losing an MFA transaction, a challenge or a bucket only makes a person start again. The file
    /// stays sound either way.
    Session,
    /// Its effect must survive.
    Full,
}

/// Somebody's work, and the way back to them.
pub(super) trait Job: Send {
    /// Does it, perhaps a second time after everything was taken back. Are its changes to be kept?
    fn run(&mut self, transaction: &Transaction<'_>) -> bool;

    /// Tells what became of it, once it is known whether the batch was committed.
    fn answer(self: Box<Self>, batch: Result<(), Lost>);
}

pub(super) struct Queued {
    pub durability: Durability,
    pub job: Box<dyn Job>,
}

pub(super) struct Submitted<W, T> {
    work: W,
    /// `None` until it was done, and if it panicked.
    outcome: Option<Result<T, PortError>>,
    caller: oneshot::Sender<Result<T, PortError>>,
}

impl<W, T> Submitted<W, T> {
    /// `work` for `caller`.
    pub(super) const fn new(work: W, caller: oneshot::Sender<Result<T, PortError>>) -> Self {
        Self { work, outcome: None, caller }
    }
}

impl<W, T> Job for Submitted<W, T>
where
    W: Fn(&Transaction<'_>) -> rusqlite::Result<Step<T>> + Send,
    T: Send,
{
    fn run(&mut self, transaction: &Transaction<'_>) -> bool {
        self.outcome = None;
        let (keep, outcome) = match (self.work)(transaction) {
            Ok(Step::Keep(value)) => (true, Ok(value)),
            Ok(Step::Undo(value)) => (false, Ok(value)),
            Err(error) => (false, Err(undone(port_error(error)))),
        };
        self.outcome = Some(outcome);
        keep
    }

    fn answer(self: Box<Self>, batch: Result<(), Lost>) {
        let outcome = match batch {
            Ok(()) => self.outcome,
            Err(lost) if lost.undone => Some(Err(PortError::Undone(DURABLE_STORE, Box::new(lost)))),
            Err(lost) => Some(Err(PortError::Unavailable(DURABLE_STORE, Box::new(lost)))),
        };
        if let Some(outcome) = outcome {
            // A caller that has gone does not want the answer.
            drop(self.caller.send(outcome));
        }
    }
}

/// Has the thread look at what is unwritten.
pub(super) struct Look;

impl Job for Look {
    fn run(&mut self, _transaction: &Transaction<'_>) -> bool {
        true
    }

    fn answer(self: Box<Self>, _batch: Result<(), Lost>) {}
}

/// The batch was not committed, or nobody knows.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the transaction was not committed")]
pub(super) struct Lost {
    #[source]
    pub why: Arc<rusqlite::Error>,
    /// Whether it is certain that nothing of it is in the file.
    pub undone: bool,
}

/// Nothing stays of a job that fails, whatever becomes of the others.
fn undone(error: PortError) -> PortError {
    match error {
        PortError::Unavailable(store, why) => PortError::Undone(store, why),
        other => other,
    }
}
