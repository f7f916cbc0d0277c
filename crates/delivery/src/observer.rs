//! What metrics want to know of deliveries.

use std::time::Duration;

use countersign_domain::{
    message::{Channel, ending::End},
    port::sender::SendError,
};

/// How one try at one provider ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The provider took it.
    Sent,
    /// The provider refuses it for good.
    Refused,
    /// The provider did not take it.
    Unavailable,
    /// The provider did not take it because of its recipient.
    Deferred,
    /// The answer did not come.
    Unknown,
}

impl Outcome {
    /// The name in log lines and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::Deferred => "deferred",
            Self::Unknown => "unknown",
        }
    }

    /// The outcome that ended in `error`.
    pub const fn of(error: &SendError) -> Self {
        match error {
            SendError::Refused(_) => Self::Refused,
            SendError::Unavailable { .. } => Self::Unavailable,
            SendError::Deferred { .. } => Self::Deferred,
            SendError::Unknown(_) => Self::Unknown,
        }
    }
}

/// How a message left the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ending {
    /// A provider took it.
    Sent,
    /// It is refused for good.
    Refused,
    /// It was tried too often, or nobody needs it any more.
    GivenUp,
}

impl Ending {
    /// What metrics say of `end`.
    pub const fn of(end: End) -> Self {
        match end {
            End::Sent => Self::Sent,
            End::Refused => Self::Refused,
            End::TriedTooOften | End::InDoubt | End::Expired => Self::GivenUp,
        }
    }

    /// The name in log lines and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Refused => "refused",
            Self::GivenUp => "given_up",
        }
    }
}

/// Is told what happens. `()` listens to nothing.
pub trait Observer: Send + Sync {
    /// A provider was tried.
    fn tried(&self, channel: Channel, provider: &str, outcome: Outcome) {
        let _ = (channel, provider, outcome);
    }

    /// A message left the outbox, `age` after it was caused.
    fn ended(&self, channel: Channel, ending: Ending, age: Duration) {
        let _ = (channel, ending, age);
    }
}

impl Observer for () {}
