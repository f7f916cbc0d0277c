//! The commit point.

use async_trait::async_trait;
use countersign_domain::{
    audit::AuditEvent,
    authenticator::{RecoveryCode, RecoveryStatus, Status},
    id::UserId,
    port::{
        PortError,
        login_store::{Burn, CommitOutcome, FailureTarget, LoginCommit, LoginStore},
    },
    time::Timestamp,
};

use super::{Entry, MemoryStore};

#[async_trait]
impl LoginStore for MemoryStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.login.commit")]
    async fn commit(&self, login: LoginCommit) -> Result<CommitOutcome, PortError> {
        let mut state = self.lock();
        if login.transaction.is_some_and(|transaction| state.consumed.contains_key(&transaction.digest)) {
            return Ok(CommitOutcome::TransactionSpent);
        }
        let Some(entry) = state.standing(&login.user, login.epoch) else {
            return Ok(CommitOutcome::AccountChanged);
        };
        if !entry.burn(login.burn, login.now) {
            return Ok(CommitOutcome::ProofSpent);
        }
        if let Some(transaction) = login.transaction {
            state.consumed.insert(transaction.digest, transaction.sweep_at);
        }
        state.audit.push(login.audit);
        Ok(CommitOutcome::Committed)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.login.count_failure")]
    async fn count_failure(
        &self,
        user: &UserId,
        target: FailureTarget,
        ceiling: u32,
        audit: AuditEvent,
    ) -> Result<(), PortError> {
        let mut state = self.lock();
        if let Some(entry) = state.users.get_mut(user) {
            entry.count(&target, ceiling);
        }
        state.audit.push(audit);
        Ok(())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.login.purge")]
    async fn purge(&self, now: Timestamp) -> Result<u64, PortError> {
        let mut state = self.lock();
        let before = state.consumed.len();
        state.consumed.retain(|_, sweep_at| *sweep_at > now);
        let marks = u64::try_from(before - state.consumed.len()).unwrap_or(u64::MAX);
        Ok(state.users.values_mut().map(|entry| entry.sweep(now)).sum::<u64>() + marks)
    }
}

impl Entry {
    /// False if there was nothing left to burn; then nothing is changed.
    fn burn(&mut self, burn: Burn, now: Timestamp) -> bool {
        match burn {
            Burn::Nothing => true,
            Burn::OtpStep { authenticator, step } => {
                let Some(a) = self.authenticators.get_mut(&authenticator) else { return false };
                if a.status != Status::Active || a.last_step.is_some_and(|last| last >= step) {
                    return false;
                }
                (a.last_step, a.failures, a.last_used_at) = (Some(step), 0, Some(now));
                true
            }
            Burn::RecoveryCode { presented, successor, successor_digest } => {
                let usable = self
                    .recovery_code
                    .as_ref()
                    .is_some_and(|(code, digest)| code.status == RecoveryStatus::Active && *digest == presented);
                if !usable {
                    return false;
                }
                self.used_codes.insert(presented);
                let successor = RecoveryCode { status: RecoveryStatus::Active, ..successor };
                self.recovery_code = Some((successor, successor_digest));
                true
            }
            Burn::ConfirmOtp { authenticator, step, only_if_unenrolled } => {
                if only_if_unenrolled && self.is_enrolled() {
                    return false;
                }
                let Some(a) = self.authenticators.get_mut(&authenticator) else { return false };
                if !a.is_pending(now) {
                    return false;
                }
                let shown = a.bearer().and_then(|bearer| self.pending_codes.remove(&bearer));
                (a.status, a.last_step, a.failures) = (Status::Active, Some(step), 0);
                (a.confirmed_at, a.last_used_at) = (Some(now), Some(now));
                if let (None, Some((code, digest))) = (&self.recovery_code, shown) {
                    self.recovery_code = Some((RecoveryCode { status: RecoveryStatus::Active, ..code }, digest));
                }
                self.pending_codes.clear();
                true
            }
        }
    }

    fn count(&mut self, target: &FailureTarget, ceiling: u32) {
        match target {
            FailureTarget::Authenticators(ids) => {
                for id in ids {
                    let Some(a) = self.authenticators.get_mut(id) else { continue };
                    a.failures += 1;
                    if a.status == Status::Active && a.failures >= ceiling {
                        a.status = Status::Disabled;
                        self.user.epoch += 1;
                    }
                }
            }
            FailureTarget::RecoveryCode => {
                if let Some((code, _)) = &mut self.recovery_code
                    && code.status == RecoveryStatus::Active
                {
                    code.failures += 1;
                    if code.failures >= ceiling {
                        code.status = RecoveryStatus::Disabled;
                        self.user.epoch += 1;
                    }
                }
            }
        }
    }
}
