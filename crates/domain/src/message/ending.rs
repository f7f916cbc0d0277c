//! How messages leave the outbox, and the row of the audit trail that says so. It tells neither the text nor where it went.

use super::{Channel, OutboxRow, Urgency};
use crate::{
    audit::{AuditEvent, Event},
    time::Timestamp,
};

/// How a message left the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// A provider took it.
    Sent,
    /// A provider refuses it for good.
    Refused,
    /// It was tried as often as a message of its kind is.
    TriedTooOften,
    /// It may have been sent, and would be sent once more by another try.
    InDoubt,
    /// Nobody needs it any more, or would by the next try.
    Expired,
}

impl End {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sent, Self::Refused, Self::TriedTooOften, Self::InDoubt, Self::Expired];

    /// Why it was not sent, as far as is known. `None`: it was.
    pub const fn failure(self) -> Option<&'static str> {
        match self {
            Self::Sent => None,
            Self::Refused => Some("refused"),
            Self::TriedTooOften => Some("tried too often"),
            Self::InDoubt => Some("in doubt"),
            Self::Expired => Some("expired"),
        }
    }
}

/// What the last try knew of a message. The default is what is known of one that was not tried.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    /// What it was for, if it could be opened.
    pub purpose: Option<&'static str>,
    /// The name of the provider in the configuration that was tried last, if one was.
    pub provider: Option<String>,
}

impl OutboxRow {
    /// The row of the audit trail that says how the message ended.
    pub fn ended(&self, end: End, tried: &Tried, at: Timestamp) -> AuditEvent {
        let named = |name: &str, value: Option<&str>| value.map(|value| format!("{name}={value}"));
        let words = [
            end.failure().map(str::to_owned),
            named("for", tried.purpose),
            named("provider", tried.provider.as_deref()),
        ];
        let detail = words.into_iter().flatten().collect::<Vec<_>>().join("; ");
        AuditEvent {
            user: self.user.clone(),
            detail: (!detail.is_empty()).then(|| detail.into()),
            ..AuditEvent::of_deployment(event_of(self.channel, self.urgency, end), at)
        }
    }
}

/// Auth0 has events for what is sent to prove a factor, so a notice has another one.
const fn event_of(channel: Channel, urgency: Urgency, end: End) -> Event {
    let (sent, failed) = match (urgency, channel) {
        (Urgency::Patient, _) => (Event::NoticeSent, Event::NoticeFailed),
        (Urgency::Awaited, Channel::Sms) => (Event::SmsSent, Event::SmsFailed),
        (Urgency::Awaited, Channel::Voice) => (Event::CallMade, Event::CallFailed),
        (Urgency::Awaited, Channel::Email) => (Event::EmailSent, Event::EmailFailed),
        (Urgency::Awaited, Channel::Push) => (Event::PushSent, Event::PushNotSent),
    };
    if matches!(end, End::Sent) { sent } else { failed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        id::{MessageId, UserId},
        secret::Sealed,
    };

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn row(channel: Channel, urgency: Urgency) -> OutboxRow {
        OutboxRow {
            id: MessageId::new("msg_1"),
            user: Some(UserId::new("auth0|ann")),
            channel,
            urgency,
            sealed: Sealed::new(Vec::new()),
            attempts: 1,
            doubts: 0,
            created_at: NOW,
            due_at: NOW,
            expires_at: NOW,
        }
    }

    #[test]
    fn codes_have_the_log_codes_of_their_channel_and_notices_have_none() {
        for (channel, code) in [
            (Channel::Sms, "gd_send_sms"),
            (Channel::Voice, "gd_send_voice"),
            (Channel::Email, "gd_send_email"),
            (Channel::Push, "gd_send_pn"),
        ] {
            for end in End::ALL {
                let code = if end == End::Sent { code.to_owned() } else { format!("{code}_failure") };
                let of = |urgency| row(channel, urgency).ended(end, &Tried::default(), NOW);
                assert_eq!(of(Urgency::Awaited).event.log_code(), code);
                assert_eq!(of(Urgency::Patient).event.log_code(), "");
                assert_eq!(of(Urgency::Awaited).user, Some(UserId::new("auth0|ann")));
            }
        }
    }

    #[test]
    fn the_detail_says_why_what_for_and_by_whom_as_far_as_is_known() {
        let row = row(Channel::Sms, Urgency::Awaited);
        let detail = |end, tried: Tried| row.ended(end, &tried, NOW).detail.map(std::borrow::Cow::into_owned);
        let tried = Tried { purpose: Some("verify"), provider: Some("gateway".into()) };
        assert_eq!(detail(End::Sent, tried.clone()).as_deref(), Some("for=verify; provider=gateway"));
        assert_eq!(detail(End::Refused, tried).as_deref(), Some("refused; for=verify; provider=gateway"));
        assert_eq!(detail(End::Expired, Tried::default()).as_deref(), Some("expired"));
        assert_eq!(detail(End::Sent, Tried::default()), None);
    }
}
