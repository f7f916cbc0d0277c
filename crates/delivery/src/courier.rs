//! The domain's `Sender`: words, then the first provider of the channel that can be used.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use countersign_domain::{
    message::{Channel, Message, Purpose},
    port::{
        clock::Clock,
        sender::{Assessment, ChannelState, ProviderName, SendError, Sender},
    },
    secret::Secret,
    time::Timestamp,
};
use tokio::sync::Semaphore;

use crate::{
    breaker::{Breaker, Change},
    chain::chain,
    number_check::NumberCheck,
    observer::{Observer, Outcome},
    provider::{Provider, Rendered},
    words::{Words, WordsError},
};

/// Messages that one provider is handed at once.
const CONCURRENCY: usize = 20;

/// A provider under its name, with its limit and its circuit breaker. One that serves two channels has them once.
pub struct Line {
    name: ProviderName,
    provider: Arc<dyn Provider>,
    breaker: Breaker,
    slots: Semaphore,
}

impl Line {
    /// Gives `provider` its name in the configuration.
    pub fn new(name: impl Into<ProviderName>, provider: Arc<dyn Provider>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), provider, breaker: Breaker::new(), slots: Semaphore::new(CONCURRENCY) })
    }
}

/// Sends by the providers of each channel, in their order.
///
/// It turns to the next provider only if the one before has certainly not sent the message. While the circuit breaker of a
/// provider is open, it is passed over.
pub struct Courier {
    words: Arc<dyn Words>,
    clock: Arc<dyn Clock>,
    observer: Arc<dyn Observer>,
    lines: HashMap<Channel, Vec<Arc<Line>>>,
    last_sent: Mutex<HashMap<Channel, Timestamp>>,
    number_check: Option<NumberCheck>,
}

/// The provider at which a try ended: what the source of a [`SendError`] from a [`Courier`] is, if one was tried.
#[derive(Debug, thiserror::Error)]
#[error("provider {provider}")]
pub struct ProviderError {
    /// The provider.
    pub provider: ProviderName,
    /// Whether it knows a message again by its id.
    pub knows_ids: bool,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// Why nobody was tried.
#[derive(Debug, thiserror::Error)]
enum Untried {
    #[error("the channel has no provider")]
    Absent,
    #[error("every provider of the channel has failed too often lately")]
    Down,
    #[error("the message has no words")]
    Wordless(#[source] WordsError),
}

/// How a try at one provider ended badly.
enum Failure {
    /// It was not asked: its breaker is open.
    PassedOver,
    /// It was asked.
    Asked(SendError),
}

impl Courier {
    /// A courier without providers.
    pub fn new(words: Arc<dyn Words>, clock: Arc<dyn Clock>, observer: Arc<dyn Observer>) -> Self {
        Self { words, clock, observer, lines: HashMap::new(), last_sent: Mutex::default(), number_check: None }
    }

    /// Sends the messages of `channel` by `lines`, the first first.
    #[must_use]
    pub fn route(mut self, channel: Channel, lines: Vec<Arc<Line>>) -> Self {
        self.lines.insert(channel, lines);
        self
    }

    /// Asks `check` about every number before something is sent there.
    #[must_use]
    pub fn checking_numbers(mut self, check: NumberCheck) -> Self {
        self.number_check = Some(check);
        self
    }

    fn departures(&self) -> MutexGuard<'_, HashMap<Channel, Timestamp>> {
        self.last_sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lines(&self, channel: Channel) -> &[Arc<Line>] {
        self.lines.get(&channel).map_or(&[], Vec::as_slice)
    }

    async fn try_line(&self, line: &Line, message: &Message, words: &Rendered) -> Result<(), Failure> {
        // Asked before the queue too: nobody waits for a provider that is down.
        if !line.breaker.admits(self.clock.now()) {
            return Err(Failure::PassedOver);
        }
        // The semaphore is never closed.
        let Ok(_slot) = line.slots.acquire().await else { return Err(Failure::PassedOver) };
        let Some(permit) = line.breaker.admit(self.clock.now()) else { return Err(Failure::PassedOver) };

        let result = line.provider.send(message, words).await;
        let outcome = result.as_ref().map_or_else(Outcome::of, |()| Outcome::Sent);
        let change = match outcome {
            Outcome::Sent => permit.succeeded(),
            // Said of one message. Who sends many to a bad number neither opens the breaker nor closes it.
            Outcome::Refused | Outcome::Deferred => permit.found_nothing(),
            Outcome::Unavailable | Outcome::Unknown => permit.failed(self.clock.now()),
        };
        match change {
            Change::None => {}
            Change::Opened => tracing::warn!(provider = &*line.name, "the provider fails too often and gets a pause"),
            Change::Closed => tracing::info!(provider = &*line.name, "the provider is back"),
        }
        self.observer.tried(message.channel, &line.name, outcome);
        result.map_err(|error| Failure::Asked(error.at(line, message)))
    }
}

#[async_trait]
impl Sender for Courier {
    fn state(&self, channel: Channel) -> ChannelState {
        let now = self.clock.now();
        match self.lines(channel) {
            [] => ChannelState::Absent,
            lines if lines.iter().any(|line| line.breaker.admits(now)) => ChannelState::Up,
            _ => ChannelState::Down,
        }
    }

    async fn assess(&self, channel: Channel, to: &Secret<String>, purpose: Purpose) -> Assessment {
        match &self.number_check {
            Some(check) => check.assess(channel, to, purpose).await,
            None => Assessment::Clear,
        }
    }

    fn last_sent(&self, channel: Channel) -> Option<Timestamp> {
        self.departures().get(&channel).copied()
    }

    async fn send(&self, message: &Message) -> Result<ProviderName, SendError> {
        let words = self.words.render(message).map_err(|error| SendError::Refused(Untried::Wordless(error).into()))?;
        let lines = self.lines(message.channel);
        let mut last = SendError::Unavailable {
            retry_after: None,
            source: if lines.is_empty() { Untried::Absent } else { Untried::Down }.into(),
        };
        let mut waits = Vec::new();
        for line in lines {
            match self.try_line(line, message, &words).await {
                Ok(()) => {
                    self.departures().insert(message.channel, self.clock.now());
                    return Ok(Arc::clone(&line.name));
                }
                Err(Failure::PassedOver) => waits.push(None),
                Err(Failure::Asked(error)) => {
                    let (SendError::Unavailable { retry_after, source } | SendError::Deferred { retry_after, source }) =
                        &error
                    else {
                        return Err(error);
                    };
                    if matches!(error, SendError::Deferred { .. }) {
                        // The way is open; it is this message's end of it that is not.
                        self.departures().insert(message.channel, self.clock.now());
                    }
                    waits.push(*retry_after);
                    tracing::info!(
                        message.id = %message.id,
                        channel = message.channel.as_str(),
                        provider = &*line.name,
                        error = chain(&**source),
                        "the provider did not take a message"
                    );
                    last = error;
                }
            }
        }
        if let SendError::Unavailable { retry_after, .. } | SendError::Deferred { retry_after, .. } = &mut last {
            *retry_after = soonest(&waits);
        }
        Err(last)
    }
}

/// When the first provider may be asked again. One that named no time may be asked at any.
fn soonest(waits: &[Option<Duration>]) -> Option<Duration> {
    waits.iter().copied().min().flatten()
}

/// Adds the provider to an error.
trait At {
    fn at(self, line: &Line, message: &Message) -> Self;
}

impl At for SendError {
    fn at(self, line: &Line, message: &Message) -> Self {
        let (provider, knows_ids) = (Arc::clone(&line.name), line.provider.knows_ids(message));
        let wrap = |source| Box::new(ProviderError { provider, knows_ids, source });
        match self {
            Self::Refused(source) => Self::Refused(wrap(source)),
            Self::Unavailable { retry_after, source } => Self::Unavailable { retry_after, source: wrap(source) },
            Self::Deferred { retry_after, source } => Self::Deferred { retry_after, source: wrap(source) },
            Self::Unknown(source) => Self::Unknown(wrap(source)),
        }
    }
}
