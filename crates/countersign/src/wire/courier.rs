//! From the configuration to whoever brings messages.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context as _;
use countersign_delivery::{
    courier::{Courier, Line},
    observer::{Ending, Observer, Outcome},
    templates::Templates,
    worker::Bell,
};
use countersign_domain::{
    message::Channel,
    port::{clock::Clock, outbox_store, sender::Sender},
};
use countersign_telemetry::{
    Metrics,
    metrics::label::{Channel as ChannelLabel, Delivery as Outcomes},
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
    Ok(Arc::new(courier))
}

/// Counts what becomes of messages.
pub(crate) struct Counted(pub(crate) Metrics);

impl Observer for Counted {
    fn tried(&self, channel: Channel, _provider: &str, outcome: Outcome) {
        if let Outcome::Unavailable | Outcome::Unknown = outcome {
            self.0.message_tried(label(channel), Outcomes::Postponed);
        }
    }

    fn ended(&self, channel: Channel, ending: Ending, _age: std::time::Duration) {
        let outcome = match ending {
            Ending::Sent => Outcomes::Sent,
            Ending::Refused => Outcomes::Refused,
            Ending::GivenUp => Outcomes::GivenUp,
        };
        self.0.message_tried(label(channel), outcome);
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

/// Wakes the worker that empties the outbox.
pub(super) struct Ringing(pub(super) Bell);

impl outbox_store::Bell for Ringing {
    fn ring(&self) {
        self.0.ring();
    }
}
