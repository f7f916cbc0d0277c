//! What a database that was put back has forgotten of people, as the rows tell that were written after the backup.
//!
//! Whatever may have been taken away from a person since, and so from whoever had stolen it, must not come back.

use std::collections::{BTreeMap, BTreeSet};

use super::{Event, chain::AuditRow};
use crate::id::UserId;

/// A change of an account that outlives logins in flight and tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Authenticators were added or removed, or a recovery code was used or replaced: what the database has is not what there was.
    Factors,
    /// The password was changed: the old one opens the account again.
    Password,
    /// An operator blocked the account, and did not unblock it.
    Block,
    /// Where notices go was changed.
    Addresses,
}

/// What was forgotten of one person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// What was changed.
    pub changes: BTreeSet<Change>,
    /// Wrong codes.
    pub failures: u32,
}

/// What was forgotten, of everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// By person. Some of them may be unknown to the database: they came after the backup.
    pub people: BTreeMap<UserId, Forgotten>,
    /// What became of keys since, in the words of the rows.
    pub keys: Vec<String>,
}

/// A row that nothing can be concluded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// A newer version wrote it.
    #[error("this program does not know what its event means")]
    UnknownEvent,
    /// The rows are of a database that was itself put back, and fenced.
    #[error("it is an earlier fence: what that made void is not told row by row")]
    EarlierFence,
}

impl Lost {
    /// Takes the next row.
    ///
    /// # Errors
    ///
    /// Nothing can be concluded from it.
    pub fn take(&mut self, row: &AuditRow) -> Result<(), Unclear> {
        let event = Event::from_name(&row.event).ok_or(Unclear::UnknownEvent)?;
        let effect = effect(event)?;
        if effect == Effect::Keys {
            self.keys.push(format!("{} {}", row.event, row.detail.as_deref().unwrap_or_default()));
        }
        if row.user.is_empty() || matches!(effect, Effect::Keys | Effect::Nothing) {
            return Ok(());
        }
        let Forgotten { changes, failures } = self.people.entry(UserId::new(row.user.as_str())).or_default();
        match effect {
            Effect::Of(change) => {
                changes.insert(change);
            }
            // Whoever blocks an account knows why its factors are not to be trusted.
            Effect::Block => changes.extend([Change::Block, Change::Factors]),
            Effect::Unblock => {
                changes.remove(&Change::Block);
            }
            Effect::Failure => *failures = failures.saturating_add(1),
            Effect::Keys | Effect::Nothing => {}
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effect {
    Nothing,
    Of(Change),
    Block,
    Unblock,
    Failure,
    Keys,
}

/// What comes of an event. Logins in flight and tokens are void anyhow.
const fn effect(event: Event) -> Result<Effect, Unclear> {
    use Event as E;
    Ok(match event {
        E::RecoveryLogin
        | E::EnrollmentCompleted
        | E::DeviceRemoved
        | E::AuthenticatorRemoved
        | E::AuthenticatorRepudiated
        | E::FactorsReset => Effect::Of(Change::Factors),
        E::PasswordSet => Effect::Of(Change::Password),
        E::UserBlocked => Effect::Block,
        E::UserUnblocked => Effect::Unblock,
        E::AddressesChanged => Effect::Of(Change::Addresses),
        E::OtpFailed | E::OobFailed | E::PushFailed | E::RecoveryFailed => Effect::Failure,
        E::SigningKeyAdded
        | E::SigningKeyPromoted
        | E::SigningKeyEnded
        | E::SigningKeyRetired
        | E::DataKeyAdded
        | E::DataKeyDropped => Effect::Keys,
        E::Fenced => return Err(Unclear::EarlierFence),
        E::PasswordLogin
        | E::AssertedLogin
        | E::ServiceAuthorized
        | E::ServiceRefused
        | E::GrantRefused
        | E::IntrospectionRefused
        | E::LoginUnmet
        | E::AssertionFailed
        | E::ClientFailed
        | E::OtpLogin
        | E::OobLogin
        | E::PushLogin
        | E::MfaRequired
        | E::RememberedLogin
        | E::DeviceTokenReused
        | E::DeviceForgotten
        | E::TokenRefreshed
        | E::RefreshTokenReused
        | E::TokenRevoked
        | E::RevocationRefused
        | E::PasswordFailed
        | E::PasswordThrottled
        | E::OtpThrottled
        | E::OobThrottled
        | E::PushThrottled
        | E::RecoveryThrottled
        | E::RefreshFailed
        | E::ExchangeRefused
        | E::MfaTokenRefused
        | E::AccessTokenRefused
        | E::EnrollmentStarted
        | E::EnrollmentRefused
        | E::EnrollmentUnconfirmed
        | E::ChallengeOpened
        | E::ChallengeRefused
        | E::SmsSent
        | E::SmsFailed
        | E::CallMade
        | E::CallFailed
        | E::EmailSent
        | E::EmailFailed
        | E::PushSent
        | E::PushNotSent
        | E::NoticeSent
        | E::NoticeFailed
        | E::DeviceApproved
        | E::DeviceRefused
        | E::DeviceRegistered
        | E::DeviceUpdated
        | E::AuthenticatorUpdated
        | E::UserAsserted
        | E::UserAdded
        | E::EverythingEnded
        | E::TrailStarted => Effect::Nothing,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{audit::AuditEvent, time::Timestamp};

    fn row(event: Event) -> AuditRow {
        AuditRow::unlinked(1, &AuditEvent::about(event, &UserId::new("auth0|ann"), Timestamp::from_millis(1)))
    }

    fn of(events: &[Event]) -> Forgotten {
        let mut lost = Lost::default();
        for event in events {
            lost.take(&row(*event)).unwrap();
        }
        lost.people.remove(&UserId::new("auth0|ann")).unwrap_or_default()
    }

    fn only(change: Change) -> Forgotten {
        Forgotten { changes: [change].into(), failures: 0 }
    }

    #[test]
    fn whoever_has_other_factors_than_before_has_lost_them() {
        for event in [
            Event::RecoveryLogin,
            Event::EnrollmentCompleted,
            Event::DeviceRemoved,
            Event::AuthenticatorRemoved,
            Event::AuthenticatorRepudiated,
            Event::FactorsReset,
        ] {
            assert_eq!(of(&[event]), only(Change::Factors), "{event:?}");
        }
        assert_eq!(of(&[Event::OtpLogin, Event::EnrollmentStarted, Event::DeviceForgotten]), Forgotten::default());
    }

    #[test]
    fn a_block_counts_until_it_is_taken_back() {
        let blocked = of(&[Event::UserUnblocked, Event::UserBlocked]);
        assert_eq!(blocked.changes, [Change::Block, Change::Factors].into());
        assert_eq!(of(&[Event::UserBlocked, Event::UserUnblocked]), only(Change::Factors));
    }

    #[test]
    fn passwords_addresses_and_wrong_codes_are_told_apart() {
        assert_eq!(of(&[Event::PasswordSet]), only(Change::Password));
        assert_eq!(of(&[Event::AddressesChanged]), only(Change::Addresses));
        let wrong = [Event::OtpFailed, Event::OobFailed, Event::OtpLogin, Event::PushFailed, Event::RecoveryFailed];
        assert_eq!(of(&wrong), Forgotten { changes: [].into(), failures: 4 });
    }

    #[test]
    fn changes_of_keys_are_told() {
        let mut lost = Lost::default();
        let retired = AuditEvent::of_deployment(Event::SigningKeyRetired, Timestamp::from_millis(1)).because("key=k");
        lost.take(&AuditRow::unlinked(1, &retired)).unwrap();
        assert_eq!((lost.keys, lost.people.len()), (vec!["signing_key.retired key=k".to_owned()], 0));
    }

    #[test]
    fn what_is_unclear_is_refused() {
        let mut lost = Lost::default();
        assert_eq!(lost.take(&row(Event::Fenced)), Err(Unclear::EarlierFence));
        assert_eq!(lost.take(&AuditRow { event: "new".into(), ..row(Event::Fenced) }), Err(Unclear::UnknownEvent));
    }
}
