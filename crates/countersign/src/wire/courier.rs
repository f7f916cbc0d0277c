//! From the configuration to whoever brings messages.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use async_trait::async_trait;
use countersign_delivery::{
    courier::{Courier, Line},
    number_check::NumberCheck,
    observer::{Ending, Observer, Outcome},
    templates::Templates,
};
use countersign_domain::{
    message::{Channel, Message},
    port::{
        clock::Clock,
        sender::{ChannelState, ProviderName, SendError, Sender},
    },
    time::Timestamp,
};
use countersign_telemetry::{
    Metrics,
    metrics::label::{Channel as ChannelLabel, Ending as EndingLabel, Try},
};

use crate::config::check::Checked;

/// The courier of the configuration.
///
/// # Errors
///
/// A provider cannot be made from its settings; a template is wrong.
pub(super) fn courier(config: &Checked, clock: &Arc<dyn Clock>, metrics: &Metrics) -> anyhow::Result<Arc<dyn Sender>> {
    let templates = Templates::load(config.template_settings()).context("messages.templates_dir")?;
    let mut lines = BTreeMap::new();
    for (name, settings) in &config.delivery.providers {
        let provider = settings.provider(clock).with_context(|| format!("the provider {name} cannot be used"))?;
        lines.insert(name.as_str(), Line::new(name.as_str(), provider));
    }
    let mut courier = Courier::new(Arc::new(templates), Arc::clone(clock), Arc::new(Counted(metrics.clone())));
    for (channel, names) in &config.delivery.routes {
        let used: Vec<_> = names.iter().filter_map(|name| lines.get(name.as_str()).cloned()).collect();
        if !used.is_empty() {
            courier = courier.route(*channel, used);
        }
    }
    if let Some(settings) = &config.delivery.number_check {
        let check = NumberCheck::new(settings, Arc::clone(clock)).context("messages.number_check cannot be used")?;
        courier = courier.checking_numbers(check);
    }
    Ok(Arc::new(courier))
}

/// Somebody who knows which channels there are and sends nothing: for commands that leave that to the server.
pub(super) struct Routes(BTreeSet<Channel>);

impl Routes {
    /// The channels of the configuration.
    pub(super) fn new(config: &Checked) -> Self {
        let routed = config.delivery.routes.iter().filter(|(_, names)| !names.is_empty());
        Self(routed.map(|(channel, _)| *channel).collect())
    }
}

#[async_trait]
impl Sender for Routes {
    fn state(&self, channel: Channel) -> ChannelState {
        if self.0.contains(&channel) { ChannelState::Up } else { ChannelState::Absent }
    }

    fn last_sent(&self, _channel: Channel) -> Option<Timestamp> {
        None
    }

    async fn send(&self, _message: &Message) -> Result<ProviderName, SendError> {
        Err(SendError::Unavailable { retry_after: None, source: Box::from("this command sends nothing") })
    }
}

/// Counts what becomes of messages.
pub(crate) struct Counted(pub(crate) Metrics);

impl Observer for Counted {
    fn tried(&self, channel: Channel, _provider: &str, outcome: Outcome) {
        let outcome = match outcome {
            Outcome::Sent => Try::Sent,
            Outcome::Refused => Try::Refused,
            Outcome::Unavailable => Try::Unavailable,
            Outcome::Deferred => Try::Deferred,
            Outcome::Unknown => Try::Unknown,
        };
        self.0.message_tried(label(channel), outcome);
    }

    fn ended(&self, channel: Channel, ending: Ending, _age: Duration) {
        let ending = match ending {
            Ending::Sent => EndingLabel::Sent,
            Ending::Refused => EndingLabel::Refused,
            Ending::GivenUp => EndingLabel::GivenUp,
        };
        self.0.message_ended(label(channel), ending);
    }
}

const fn label(channel: Channel) -> ChannelLabel {
    match channel {
        Channel::Sms => ChannelLabel::Sms,
        Channel::Voice => ChannelLabel::Voice,
        Channel::Email => ChannelLabel::Email,
        Channel::Push => ChannelLabel::Push,
    }
}
