//! What a message is charged to: buckets that refill, in the session store, and counts of the day, in the durable one.

use std::sync::Arc;

use data_encoding::HEXLOWER;

use super::Sending;
use crate::{
    app::App,
    error::{Error, Reason, Throttle},
    factor::oob,
    message::{
        Channel, Purpose,
        day::{DayCharge, DayCharged},
    },
    phone::Phone,
    port::{
        PortError,
        sealer::DigestPurpose,
        session_store::{AttemptId, Bucket, BucketKey, Reservation, Settlement},
    },
    registry::Limit,
    secret::Digest,
    time::Timestamp,
};

/// The target of lines about messages that cost money, for filters: `countersign::spend=info`.
const SPEND_TARGET: &str = "countersign::spend";

/// Everything that one message is counted against.
pub(super) struct Budgets {
    channel: Channel,
    buckets: Vec<Bucket>,
    /// A count of the day for each bucket whose charge is for good.
    charges: Vec<DayCharge>,
    /// The bucket that is paid back when the code is typed in.
    pub unproven: Option<String>,
    /// Where a message goes that costs money.
    country: Option<String>,
}

/// What was paid for a message that is not written yet.
pub(crate) struct Receipt {
    /// The way it takes.
    pub channel: Channel,
    /// What it is still to be charged to.
    pub charges: Vec<DayCharge>,
    buckets: Vec<Bucket>,
    attempt: AttemptId,
    /// The challenge that waits for its code.
    challenge: Digest,
    /// Where it goes, if it costs money.
    country: Option<String>,
    /// Whether nobody could say if something speaks against the number.
    pub unchecked: bool,
}

impl Receipt {
    /// Tells whoever adds up what costs money that the message is written: from now on it may leave.
    pub(crate) fn note_spent(&self) {
        if let Some(country) = &self.country {
            tracing::info!(target: SPEND_TARGET, channel = self.channel.as_str(), country, "a message is paid for");
        }
    }

    /// The refusal if the count of the day at this place is at its most.
    pub(crate) fn day_is_over(&self, charge: usize, now: Timestamp) -> Error {
        day_is_over(self.channel, self.charges.get(charge), now)
    }
}

impl App {
    /// The bucket of codes that nobody typed in, by the name a challenge has of it.
    pub(crate) fn unproven_bucket(&self, counter: &str) -> Bucket {
        self.send_bucket(counter, self.registry.policy.sends.unproven)
    }

    /// What `sending` is counted against at `now`.
    ///
    /// # Errors
    ///
    /// [`Reason::DeliveryUnavailable`]: the number's kind or country is not sent to any more.
    pub(super) fn budgets(&self, sending: &Sending<'_>, channel: Channel, now: Timestamp) -> Result<Budgets, Error> {
        let (user, to) = (&sending.authenticator.user, sending.to);
        let limits = &self.registry.policy.sends;
        // Text messages and calls share everything: each can be had instead of the other.
        let class = if channel == Channel::Email { "email" } else { "phone" };
        let counter = |what: &str, value: &str| {
            let digest = self.sealer.keyed_digest(DigestPurpose::Throttle, &[what.as_bytes(), value.as_bytes()]);
            format!("{class}-{what}:{}", HEXLOWER.encode(digest.as_bytes().get(..16).unwrap_or_default()))
        };
        // Anybody may wish to enrol a number; what that costs must not be taken from who logs in with it.
        let destination = match sending.purpose {
            Purpose::Enroll => "destination-enroll",
            Purpose::Verify => "destination-verify",
        };
        let mut priced = vec![
            (counter("person", user.as_str()), limits.of_person(channel)),
            (counter(destination, &oob::one_destination(to.expose())), limits.destination),
        ];
        let (mut unproven, mut country) = (None, None);
        if channel != Channel::Email {
            let unsent = |why| Error::new(Reason::DeliveryUnavailable).with("channel", channel.as_str()).because(why);
            // Enrolled when numbers of its kind, or of its country, were still sent to.
            let phone = Phone::parse(to.expose()).ok_or_else(|| unsent("the number's kind is not sent to any more"))?;
            if !self.registry.countries.contains(phone.country()) {
                return Err(unsent("the number's country is not listed any more"));
            }
            priced.extend([
                (counter("prefix", phone.prefix()), limits.prefix),
                (format!("phone-country:{}", phone.country()), limits.country),
                ("phone-deployment".into(), limits.deployment),
            ]);
            // A number that logs in was typed in from once: what others do next door is not held against it.
            unproven = (sending.purpose == Purpose::Enroll).then(|| counter("unproven", phone.prefix()));
            country = Some(phone.country().to_owned());
        }
        let charges = priced.iter().map(|(counter, limit)| DayCharge::new(counter, *limit, now)).collect();
        let mut buckets: Vec<_> = priced.iter().map(|(counter, limit)| self.send_bucket(counter, *limit)).collect();
        buckets.extend(unproven.as_deref().map(|counter| self.unproven_bucket(counter)));
        Ok(Budgets { channel, buckets, charges, unproven, country })
    }

    /// Charges every bucket of `budgets`, or none, for the message whose code `challenge` waits for; also none if a count of the day is at
    /// its most already. That is only looked at here, so that who is refused keeps the code they have: it is judged when the message is written.
    ///
    /// # Errors
    ///
    /// [`Reason::MessageLimitReached`] with the wait; a store failed.
    pub(super) async fn charge_buckets(
        &self,
        budgets: Budgets,
        challenge: Digest,
        now: Timestamp,
    ) -> Result<Receipt, Error> {
        let Budgets { channel, buckets, charges, country, .. } = budgets;
        if let DayCharged::Reached { charge } = self.outbox.look_at_day(&charges).await? {
            return Err(day_is_over(channel, charges.get(charge), now));
        }
        let attempt = self.attempt_id()?;
        match self.sessions.reserve(&buckets, attempt, now).await? {
            Reservation::Granted => {
                Ok(Receipt { channel, charges, buckets, attempt, challenge, country, unchecked: false })
            }
            Reservation::Denied { bucket, retry_after } => {
                let spent = buckets.get(bucket);
                let (limit, which) =
                    spent.map_or((0, "unknown"), |bucket| (bucket.capacity, budget_of(&bucket.key.counter)));
                tracing::warn!(
                    channel = channel.as_str(),
                    budget = which,
                    "a message was not sent: its budget is spent"
                );
                Err(limit_reached(channel, which, Throttle { limit, retry_after }))
            }
        }
    }

    /// Gives back what a message was charged to as one whose code nobody has typed in yet.
    pub(super) async fn take_back_unproven(&self, receipt: &Receipt, counter: Option<&str>, now: Timestamp) {
        let Some(counter) = counter else { return };
        let refund = vec![(self.unproven_bucket(counter), receipt.attempt)];
        self.sessions.settle(Settlement { refund, ..Settlement::default() }, now).await;
    }

    /// Takes back what was done for a message that is not written: the buckets are refunded, and nothing waits for a code that nobody is
    /// sent.
    pub(crate) async fn take_back(&self, receipt: Receipt, now: Timestamp) {
        let refund = receipt.buckets.into_iter().map(|bucket| (bucket, receipt.attempt)).collect();
        let settlement = Settlement { challenge: Some(receipt.challenge), refund, ..Settlement::default() };
        self.sessions.settle(settlement, now).await;
    }

    /// The same after the durable store failed, if it is certain that it wrote nothing. A message that may be sent stays paid for.
    pub(crate) async fn take_back_unwritten(&self, receipt: Option<Receipt>, error: &PortError, now: Timestamp) {
        if let Some(receipt) = receipt.filter(|_| error.did_not_happen()) {
            self.take_back(receipt, now).await;
        }
    }

    fn send_bucket(&self, counter: &str, limit: Limit) -> Bucket {
        Bucket {
            key: BucketKey {
                // One subject for all, so that one step charges all or none.
                subject: self.sealer.keyed_digest(DigestPurpose::Throttle, &[b"messages"]),
                counter: Arc::from(counter),
            },
            capacity: limit.capacity,
            refill: limit.refill,
            locks: false,
        }
    }
}

/// The refusal of a message whose count of the day is at its most.
fn day_is_over(channel: Channel, reached: Option<&DayCharge>, now: Timestamp) -> Error {
    let (limit, which) = reached.map_or((0, "unknown"), |reached| (reached.most, budget_of(&reached.counter)));
    tracing::warn!(
        channel = channel.as_str(),
        budget = which,
        "a message was not sent: its budget of the day is spent"
    );
    limit_reached(channel, which, Throttle { limit, retry_after: now.until_next_day() })
}

fn limit_reached(channel: Channel, which: &'static str, throttle: Throttle) -> Error {
    let messages = match channel {
        Channel::Sms => "SMS",
        Channel::Voice => "calls",
        Channel::Email => "emails",
        Channel::Push => "notifications",
    };
    Error::new(Reason::MessageLimitReached)
        .with("channel", channel.as_str())
        .with("messages", messages)
        .because(which)
        .throttled(throttle)
}

/// The budget that `counter` belongs to, as the log names it.
fn budget_of(counter: &str) -> &'static str {
    const NAMES: [&str; 7] =
        ["person", "destination-enroll", "destination-verify", "prefix", "unproven", "country", "deployment"];
    NAMES.into_iter().find(|name| counter.contains(name)).unwrap_or("unknown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_of_one_budget() {
        for (counter, budget) in [
            ("phone-person:00ff", "person"),
            ("email-destination-enroll:00ff", "destination-enroll"),
            ("phone-destination-verify:00ff", "destination-verify"),
            ("phone-prefix:00ff", "prefix"),
            ("phone-unproven:00ff", "unproven"),
            ("phone-country:DE", "country"),
            ("phone-deployment", "deployment"),
            ("otp", "unknown"),
        ] {
            assert_eq!(budget_of(counter), budget, "{counter}");
        }
    }
}
