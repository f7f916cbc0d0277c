//! The other end of the webhook: takes messages and hands codes to who waits for them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;
use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use serde::Deserialize;
use tokio::{net::TcpListener, sync::oneshot};

type Waiting = HashMap<String, oneshot::Sender<String>>;

/// Who waits for a code, by number. Cheap to clone.
#[derive(Clone, Default)]
pub struct Mailbox(Arc<Mutex<Waiting>>);

#[derive(Deserialize)]
struct Arrived {
    to: String,
    code: String,
}

impl Mailbox {
    /// The code of the next message to `number`.
    pub fn expect(&self, number: &str) -> oneshot::Receiver<String> {
        let (sender, receiver) = oneshot::channel();
        self.lock().insert(number.to_owned(), sender);
        receiver
    }

    fn take(&self, message: &[u8]) -> StatusCode {
        let Ok(Arrived { to, code }) = serde_json::from_slice(message) else { return StatusCode::BAD_REQUEST };
        // Who does not wait any more has failed already.
        if let Some(waiting) = self.lock().remove(&to) {
            drop(waiting.send(code));
        }
        StatusCode::OK
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes messages at `socket` until the process ends.
///
/// # Errors
///
/// The socket is gone.
pub async fn serve(socket: TcpListener, mailbox: Mailbox) -> anyhow::Result<()> {
    let take = |State(mailbox): State<Mailbox>, message: Bytes| async move { mailbox.take(&message) };
    let router = Router::new().route("/", post(take)).with_state(mailbox);
    axum::serve(socket, router).await.context("the receiver of messages failed")
}
