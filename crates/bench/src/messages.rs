//! The other end of the webhook: takes messages and hands them to who waits.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use anyhow::Context as _;
use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post};
use serde::Deserialize;
use tokio::{net::TcpListener, sync::oneshot};

type Waiting = HashMap<String, oneshot::Sender<Arrived>>;

/// Who waits for a message, by number or push token. Cheap to clone.
#[derive(Clone, Default)]
pub struct Mailbox(Arc<Mutex<Waiting>>);

/// A message.
#[derive(Deserialize)]
pub struct Arrived {
    to: String,
    /// The code, of a text message.
    pub code: Option<String>,
    /// What a notification asks about.
    pub push: Option<Push>,
}

/// What a notification asks about.
#[derive(Deserialize)]
pub struct Push {
    /// What the device signs.
    pub challenge: String,
    /// The bearer of its answer.
    pub transaction_token: String,
}

impl Mailbox {
    /// The next message to `number`, or to a push token.
    pub fn expect(&self, number: &str) -> oneshot::Receiver<Arrived> {
        let (sender, receiver) = oneshot::channel();
        self.lock().insert(number.to_owned(), sender);
        receiver
    }

    fn take(&self, message: &[u8]) -> StatusCode {
        let Ok(arrived) = serde_json::from_slice::<Arrived>(message) else { return StatusCode::BAD_REQUEST };
        // Who does not wait any more has failed already.
        if let Some(waiting) = self.lock().remove(&arrived.to) {
            drop(waiting.send(arrived));
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
