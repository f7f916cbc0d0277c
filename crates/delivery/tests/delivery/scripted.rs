//! A provider that does what it is told, and writes down what it was asked.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use countersign_delivery::provider::{Provider, Rendered};
use countersign_domain::{
    message::{Content, Message},
    port::sender::SendError,
};
use tokio::sync::Semaphore;

/// What a provider does with one message.
#[derive(Clone, Copy, Debug)]
pub enum Do {
    Send,
    Refuse,
    Fail,
    FailFor(Duration),
    Defer,
    Lose,
    Panic,
    /// Sends when it is let.
    Wait,
}

pub struct Scripted {
    script: Mutex<VecDeque<Do>>,
    otherwise: Mutex<Do>,
    seen: Mutex<Vec<(String, String)>>,
    /// Of those who wait: taken away to let them go.
    pub gate: Semaphore,
    inside: AtomicUsize,
    most: AtomicUsize,
}

impl Scripted {
    /// Follows `script`, then does `otherwise`.
    pub fn new(script: &[Do], otherwise: Do) -> Arc<Self> {
        Arc::new(Self {
            script: Mutex::new(script.iter().copied().collect()),
            otherwise: Mutex::new(otherwise),
            seen: Mutex::default(),
            gate: Semaphore::new(0),
            inside: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        })
    }

    pub fn always(what: Do) -> Arc<Self> {
        Self::new(&[], what)
    }

    pub fn turn_to(&self, what: Do) {
        *self.otherwise.lock().unwrap() = what;
    }

    /// Id and code of each call, in order.
    pub fn seen(&self) -> Vec<(String, String)> {
        self.seen.lock().unwrap().clone()
    }

    pub fn calls(&self) -> usize {
        self.seen.lock().unwrap().len()
    }

    pub fn inside(&self) -> usize {
        self.inside.load(Ordering::SeqCst)
    }

    /// The most calls at the same time.
    pub fn most_inside(&self) -> usize {
        self.most.load(Ordering::SeqCst)
    }
}

/// Counts out even a call that is dropped.
struct Inside<'a>(&'a AtomicUsize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Provider for Scripted {
    async fn send(&self, message: &Message, _words: &Rendered) -> Result<(), SendError> {
        self.most.fetch_max(self.inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        let _inside = Inside(&self.inside);
        let code = match &message.content {
            Content::Code { code, .. } => code.expose().clone(),
            Content::Notice(_) | Content::Push(_) => String::new(),
        };
        self.seen.lock().unwrap().push((message.id.to_string(), code));
        let next = self.script.lock().unwrap().pop_front().unwrap_or(*self.otherwise.lock().unwrap());
        match next {
            Do::Send => Ok(()),
            Do::Refuse => Err(SendError::Refused("no such number".into())),
            Do::Fail => Err(SendError::Unavailable { retry_after: None, source: "status 503".into() }),
            Do::FailFor(span) => Err(SendError::Unavailable { retry_after: Some(span), source: "status 429".into() }),
            Do::Defer => Err(SendError::Deferred { retry_after: None, source: "mailbox full".into() }),
            Do::Lose => Err(SendError::Unknown("connection lost".into())),
            Do::Panic => panic!("a fault of the provider"),
            Do::Wait => {
                self.gate.acquire().await.unwrap().forget();
                Ok(())
            }
        }
    }
}
