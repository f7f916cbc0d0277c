//! A person with everything that decides how they may log in, read in one step.

use crate::{
    authenticator::{Authenticator, FactorKind, RecoveryCode, RecoveryStatus, Status},
    id::AuthenticatorId,
    time::Timestamp,
    user::User,
};

/// A user, their authenticators and their recovery code, as one snapshot.
///
/// Whether a second factor is needed is computed from it each time; nothing caches the answer.
#[derive(Clone, Debug)]
pub struct Account {
    /// The person.
    pub user: User,
    /// Every authenticator, in no particular order.
    pub authenticators: Vec<Authenticator>,
    /// The unused recovery code, if there is one.
    pub recovery_code: Option<RecoveryCode>,
}

impl Account {
    /// Whether the person has an authenticator that was ever confirmed. What follows from an address is not one.
    ///
    /// A disabled one counts: who burns through its ceiling with a stolen password must not be able to enrol another.
    /// Pending ones do not exist here.
    pub fn is_enrolled(&self) -> bool {
        self.enrolled().next().is_some()
    }

    /// Whether the person has a second factor that makes two of a password: any but e-mail.
    pub fn is_strongly_enrolled(&self) -> bool {
        self.enrolled().any(|a| a.kind.is_strong())
    }

    fn enrolled(&self) -> impl Iterator<Item = &Authenticator> {
        self.authenticators
            .iter()
            .filter(|a| a.implied.is_none() && matches!(a.status, Status::Active | Status::Disabled))
    }

    /// The authenticator with this id, whatever its status.
    pub fn authenticator(&self, id: &AuthenticatorId) -> Option<&Authenticator> {
        self.authenticators.iter().find(|a| a.id == *id)
    }

    /// The active authenticators, the one the server would choose first.
    pub fn active(&self) -> Vec<&Authenticator> {
        let mut active: Vec<_> = self.authenticators.iter().filter(|a| a.is_active()).collect();
        active.sort_by(|a, b| selection_order(a, b));
        active
    }

    /// All authenticators that can be shown at `now`: active and disabled ones in the server's order, then pending ones,
    /// newest first. Expired pending ones are left out.
    pub fn listed(&self, now: Timestamp) -> Vec<&Authenticator> {
        let mut listed: Vec<_> = self
            .authenticators
            .iter()
            .filter(|a| !matches!(a.status, Status::Pending { .. }) || a.is_pending(now))
            .collect();
        listed.sort_by(|a, b| rank(a).cmp(&rank(b)).then_with(|| selection_order(a, b)));
        listed
    }

    /// The active authenticators of one kind.
    pub fn active_of(&self, kind: FactorKind) -> impl Iterator<Item = &Authenticator> {
        self.authenticators.iter().filter(move |a| a.kind == kind && a.is_active())
    }

    /// The recovery code, if it can complete a login.
    pub fn usable_recovery_code(&self) -> Option<&RecoveryCode> {
        self.recovery_code.as_ref().filter(|code| code.status == RecoveryStatus::Active)
    }
}

/// The one order (design, section 5): the preferred one; the strongest kind; the last used; the newest.
fn selection_order(a: &Authenticator, b: &Authenticator) -> std::cmp::Ordering {
    b.preferred
        .cmp(&a.preferred)
        .then_with(|| a.kind.cmp(&b.kind))
        .then_with(|| b.last_used_at.cmp(&a.last_used_at))
        .then_with(|| b.confirmed_at.cmp(&a.confirmed_at))
        .then_with(|| b.created_at.cmp(&a.created_at))
        .then_with(|| b.id.cmp(&a.id))
}

fn rank(a: &Authenticator) -> u8 {
    match a.status {
        Status::Active => 0,
        Status::Disabled => 1,
        Status::Pending { .. } => 2,
    }
}
