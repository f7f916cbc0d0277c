//! The threads that read. In WAL mode they do not wait for the writer, nor it for them.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
};

use countersign_domain::port::PortError;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{DURABLE_STORE, port_error};

type Job = Box<dyn FnOnce(&Connection) + Send>;

/// The way to the threads.
pub(super) struct Readers {
    queue: Option<SyncSender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

impl Readers {
    /// Starts one thread for each connection. At most `waiting` jobs wait.
    pub(super) fn start(connections: Vec<Connection>, waiting: usize) -> std::io::Result<Self> {
        let (queue, jobs) = sync_channel(waiting);
        let jobs = Arc::new(Mutex::new(jobs));
        let mut readers = Self { queue: Some(queue), threads: Vec::with_capacity(connections.len()) };
        for connection in connections {
            let jobs = Arc::clone(&jobs);
            let thread = std::thread::Builder::new().name("sqlite-reader".into()).spawn(move || {
                while let Some(job) = next(&jobs) {
                    // A panic costs its caller the answer, not everybody the thread.
                    if catch_unwind(AssertUnwindSafe(|| job(&connection))).is_err() {
                        tracing::error!("a job that reads panicked");
                    }
                    if !connection.is_autocommit()
                        && let Err(error) = connection.execute_batch("ROLLBACK")
                    {
                        tracing::error!(%error, "a reading transaction was not ended");
                    }
                }
            })?;
            readers.threads.push(thread);
        }
        Ok(readers)
    }

    /// Reads with `work`, and waits for what it found.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, PortError> {
        let (answer, found) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // A caller that has gone does not want the answer.
            drop(answer.send(work(connection).map_err(port_error)));
        });
        let queue = self.queue.as_ref().ok_or(PortError::Overloaded)?;
        queue.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => PortError::Overloaded,
            TrySendError::Disconnected(_) => {
                PortError::Unavailable(DURABLE_STORE, Box::from("the threads that read have ended"))
            }
        })?;
        match found.await {
            Ok(outcome) => outcome,
            Err(gone) => Err(PortError::Unavailable(DURABLE_STORE, Box::new(gone))),
        }
    }

    /// Reads with `work` in one transaction, so that all it reads is of one moment.
    pub(super) async fn snapshot<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, PortError> {
        self.read(move |connection| {
            connection.prepare_cached("BEGIN DEFERRED")?.execute([])?;
            let outcome = work(connection);
            // Not a rollback, after which SQLite prepares its statements anew.
            connection.prepare_cached("COMMIT")?.execute([])?;
            outcome
        })
        .await
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.queue = None;
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread that reads ended in a panic");
            }
        }
    }
}

/// One thread waits in the queue, the other for its turn there.
fn next(jobs: &Mutex<Receiver<Job>>) -> Option<Job> {
    jobs.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}
