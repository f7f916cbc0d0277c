//! The authenticators.

use async_trait::async_trait;
use countersign_domain::{
    audit::AuditEvent,
    authenticator::{Authenticator, FactorKind, Status},
    id::{AuthenticatorId, UserId},
    message::{OutboxRow, day::DayCharged},
    port::{
        PortError,
        authenticator_store::{
            AuthenticatorChange, AuthenticatorStore, DeviceRecord, EnrollmentBegun, NewEnrollment, Spared,
        },
    },
    time::Timestamp,
};

use super::{Entry, MemoryStore};

#[async_trait]
impl AuthenticatorStore for MemoryStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.authenticator.begin_enrollment")]
    async fn begin_enrollment(&self, enrollment: NewEnrollment, now: Timestamp) -> Result<EnrollmentBegun, PortError> {
        let mut state = self.lock();
        let authenticators = std::iter::once(&enrollment.authenticator).chain(&enrollment.companion);
        let messages = enrollment.messages.iter().map(|message| &message.sealed);
        state.check_seals(authenticators.map(|authenticator| &authenticator.state).chain(messages))?;
        let user = &enrollment.authenticator.user;
        if let Some(entry) = state.users.get_mut(user) {
            entry.sweep(now);
        }
        let Some(entry) = state.standing(user, enrollment.epoch) else {
            return Ok(EnrollmentBegun::AccountChanged);
        };
        if enrollment.only_if_unenrolled && entry.is_enrolled() {
            return Ok(EnrollmentBegun::AlreadyEnrolled);
        }
        let bearer = enrollment.authenticator.bearer();
        let counted = |a: &&Authenticator| a.bearer().is_none() || a.bearer() == bearer;
        let wanted = 1 + usize::from(enrollment.companion.is_some());
        if entry.authenticators.values().filter(counted).count() + wanted > enrollment.limit {
            return Ok(EnrollmentBegun::LimitReached);
        }
        if let DayCharged::Reached { charge } = state.charge_day(&enrollment.charges) {
            return Ok(EnrollmentBegun::DayIsOver { charge });
        }
        let Some(entry) = state.standing(user, enrollment.epoch) else {
            return Ok(EnrollmentBegun::AccountChanged);
        };
        for mut authenticator in std::iter::once(enrollment.authenticator).chain(enrollment.companion) {
            authenticator.implied = None;
            entry.authenticators.insert(authenticator.id.clone(), authenticator);
        }
        let with_recovery_code =
            entry.recovery_code.is_none() && bearer.is_some_and(|bearer| !entry.pending_codes.contains_key(&bearer));
        if let (true, Some(bearer)) = (with_recovery_code, bearer) {
            entry.pending_codes.insert(bearer, enrollment.recovery_code);
        }
        state.insert_messages(enrollment.messages);
        state.audit.push(enrollment.audit);
        Ok(EnrollmentBegun::Begun { with_recovery_code })
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.authenticator.update")]
    async fn update(
        &self,
        user: &UserId,
        authenticator: &AuthenticatorId,
        change: AuthenticatorChange,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        let mut state = self.lock();
        let Some(entry) = state.users.get_mut(user) else { return Ok(false) };
        if !entry.authenticators.get(authenticator).is_some_and(|a| a.status == Status::Active) {
            return Ok(false);
        }
        for a in entry.authenticators.values_mut() {
            let this = a.id == *authenticator;
            match change.preferred {
                Some(preferred) if this => a.preferred = preferred,
                Some(true) => a.preferred = false,
                _ => {}
            }
            if let Some(name) = change.name.as_ref().filter(|_| this) {
                a.name.clone_from(name);
            }
        }
        state.audit.push(audit);
        Ok(true)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.authenticator.keep_device")]
    async fn keep_device(&self, device: DeviceRecord, now: Timestamp) -> Result<bool, PortError> {
        let mut state = self.lock();
        state.check_seals([&device.state])?;
        let Some(entry) = state.users.get_mut(&device.user) else { return Ok(false) };
        let Some(a) = entry.authenticators.get_mut(&device.authenticator) else { return Ok(false) };
        let fits = if device.registers {
            a.is_pending(now) && a.address.is_none()
        } else {
            a.is_active() && a.address == Some(device.key)
        };
        if a.kind != FactorKind::Push || a.state != device.before || !fits {
            return Ok(false);
        }
        (a.state, a.address) = (device.state, Some(device.key));
        if device.name.is_some() {
            a.name = device.name;
        }
        state.audit.push(device.audit);
        Ok(true)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.authenticator.delete")]
    async fn delete(
        &self,
        user: &UserId,
        authenticator: &AuthenticatorId,
        spares: Option<Spared>,
        messages: Vec<OutboxRow>,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        let mut state = self.lock();
        state.check_seals(messages.iter().map(|row| &row.sealed))?;
        let Some(entry) = state.users.get_mut(user) else { return Ok(false) };
        let confirmed = entry.pair_of(authenticator).any(|a| a.bearer().is_none());
        if confirmed && spares.is_some_and(|spares| spares.epoch != entry.user.epoch + 1) {
            return Ok(false);
        }
        let Some(confirmed) = entry.remove(authenticator) else { return Ok(false) };
        if confirmed {
            entry.user.epoch += 1;
            entry.user.spared = spares.map(|spares| spares.digest);
            entry.user.updated_at = audit.at;
            state.insert_messages(messages);
        }
        state.audit.push(audit);
        Ok(true)
    }
}

impl Entry {
    /// Removes an authenticator and what is paired with it, and with the last one the recovery code. The answer is whether one of them
    /// was confirmed; `None`: there was none.
    pub(super) fn remove(&mut self, authenticator: &AuthenticatorId) -> Option<bool> {
        let gone: Vec<_> = self.pair_of(authenticator).map(|a| (a.id.clone(), a.bearer())).collect();
        for (id, _) in &gone {
            self.authenticators.remove(id);
        }
        if !gone.is_empty() && !self.is_enrolled() {
            self.recovery_code = None;
            self.used_codes.clear();
            self.forget_codes();
        }
        (!gone.is_empty()).then(|| gone.iter().any(|(_, bearer)| bearer.is_none()))
    }

    /// Removes pending authenticators that have expired, and with the last of a bearer its pending recovery code. The answer is how many rows.
    pub(super) fn sweep(&mut self, now: Timestamp) -> u64 {
        let before = self.authenticators.len();
        self.authenticators.retain(|_, a| !matches!(a.status, Status::Pending { until, .. } if until <= now));
        let mut gone = before - self.authenticators.len();
        gone += self.forget_codes();
        u64::try_from(gone).unwrap_or(u64::MAX)
    }

    /// Removes codes that wait for a confirmation nobody can give any more. The answer is how many.
    fn forget_codes(&mut self) -> usize {
        let before = self.pending_codes.len();
        let authenticators = &self.authenticators;
        self.pending_codes.retain(|bearer, _| authenticators.values().any(|a| a.bearer() == Some(*bearer)));
        before - self.pending_codes.len()
    }
}
