//! What a login uses up, and what a failure counts against.

use std::collections::BTreeSet;

use countersign_domain::{
    authenticator::{Authenticator, FactorKind, RecoveryCode, RecoveryStatus, Status},
    id::{AuthenticatorId, PairId},
    port::login_store::{Burn, Failure, FailureTarget, MAX_PROOFS, NewProof, Spent},
    secret::Digest,
    time::Timestamp,
};

use super::Entry;

impl Entry {
    /// False if there was nothing left to burn; then nothing is changed. Marks of challenges are the caller's.
    pub(super) fn burn(&mut self, burn: Burn, now: Timestamp) -> bool {
        match burn {
            Burn::Nothing => true,
            Burn::Use { authenticator, spent, telephone } => {
                self.use_one(&authenticator, spent, telephone.as_ref(), now)
            }
            Burn::UseAddress => {
                let verified = self.user.email.as_ref().is_some_and(|email| email.verified);
                if verified {
                    self.user.address_failures = 0;
                }
                verified
            }
            Burn::RecoveryCode { presented, successor, successor_digest } => {
                self.use_recovery_code(presented, successor, successor_digest)
            }
            Burn::Confirm { authenticator, spent, only_if_unenrolled } => {
                !(only_if_unenrolled && self.is_enrolled()) && self.confirm(&authenticator, spent, now)
            }
        }
    }

    fn use_one(
        &mut self,
        authenticator: &AuthenticatorId,
        spent: Spent,
        telephone: Option<&PairId>,
        now: Timestamp,
    ) -> bool {
        let Some(a) = self.authenticators.get_mut(authenticator) else { return false };
        if a.status != Status::Active {
            return false;
        }
        if let Spent::Step(step) = spent {
            if a.last_step.is_some_and(|last| last >= step) {
                return false;
            }
            a.last_step = Some(step);
        }
        a.last_used_at = Some(now);
        a.failures = 0;
        for a in self.counted_with(authenticator).filter(|a| telephone.is_some() && a.pair.as_ref() == telephone) {
            a.failures = 0;
        }
        true
    }

    fn use_recovery_code(&mut self, presented: Digest, successor: RecoveryCode, successor_digest: Digest) -> bool {
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

    fn confirm(&mut self, authenticator: &AuthenticatorId, spent: Spent, now: Timestamp) -> bool {
        let Some(a) = self.authenticators.get_mut(authenticator) else { return false };
        if !a.is_pending(now) {
            return false;
        }
        let bearer = a.bearer();
        a.last_used_at = Some(now);
        if let Spent::Step(step) = spent {
            a.last_step = Some(step);
        }
        for a in self.pair_of(authenticator).filter(|a| matches!(a.status, Status::Pending { .. })) {
            (a.status, a.failures, a.confirmed_at) = (Status::Active, 0, Some(now));
        }
        let shown = bearer.and_then(|bearer| self.pending_codes.remove(&bearer));
        if let (None, Some((code, digest))) = (&self.recovery_code, shown) {
            self.recovery_code = Some((RecoveryCode { status: RecoveryStatus::Active, ..code }, digest));
        }
        self.pending_codes.clear();
        self.user.told_at.get_or_insert(now);
        true
    }

    /// Remembers a second factor; what does not count any more, or is one too many, goes.
    pub(super) fn remember(&mut self, proof: NewProof, epoch: u64, now: Timestamp) {
        self.proofs.retain(|_, (of, _)| *of == epoch);
        let (_, at) = self.proofs.entry((proof.network, proof.strength.level())).or_insert((epoch, now));
        *at = now.max(*at);
        while self.proofs.len() > usize::try_from(MAX_PROOFS).unwrap_or(usize::MAX) {
            let oldest = self.proofs.iter().min_by_key(|(_, (_, at))| *at).map(|(key, _)| *key);
            oldest.and_then(|key| self.proofs.remove(&key));
        }
    }

    /// The authenticator, and the other way of the same telephone: its codes come from one place. A device and its app prove different
    /// things, and have failures of their own.
    fn counted_with(&mut self, id: &AuthenticatorId) -> impl Iterator<Item = &mut Authenticator> {
        self.pair_of(id).filter(move |a| a.id == *id || matches!(a.kind, FactorKind::Sms | FactorKind::Voice))
    }

    /// The authenticator and what is paired with it.
    pub(super) fn pair_of(&mut self, id: &AuthenticatorId) -> impl Iterator<Item = &mut Authenticator> {
        let pair = self.authenticators.get(id).and_then(|a| a.pair.clone());
        self.authenticators.values_mut().filter(move |a| a.id == *id || (pair.is_some() && a.pair == pair))
    }

    /// Whether the failures of a target are now as many as people are told of.
    pub(super) fn count(&mut self, failure: &Failure) -> bool {
        match &failure.target {
            FailureTarget::Authenticators(ids) => self.count_authenticators(ids, failure),
            FailureTarget::Address => {
                self.user.address_failures += 1;
                if self.user.address_failures == failure.ceiling {
                    self.user.epoch += 1;
                }
                self.user.address_failures == failure.notify_at
            }
            FailureTarget::RecoveryCode => {
                let Some((code, _)) = &mut self.recovery_code else { return false };
                if code.status != RecoveryStatus::Active {
                    return false;
                }
                code.failures += 1;
                if code.failures >= failure.ceiling {
                    code.status = RecoveryStatus::Disabled;
                    self.user.epoch += 1;
                }
                code.failures == failure.notify_at
            }
        }
    }

    fn count_authenticators(&mut self, ids: &[AuthenticatorId], failure: &Failure) -> bool {
        let (mut seen, mut disables, mut notifies) = (BTreeSet::new(), false, false);
        for id in ids {
            if seen.contains(id) {
                continue;
            }
            let mut ripe = false;
            for a in self.counted_with(id) {
                a.failures += 1;
                seen.insert(a.id.clone());
                notifies |= a.failures == failure.notify_at;
                ripe |= a.is_active() && a.failures >= failure.ceiling;
            }
            for a in self.pair_of(id).filter(|a| ripe && a.is_active()) {
                a.status = Status::Disabled;
                disables = true;
            }
        }
        if disables {
            self.user.epoch += 1;
        }
        notifies
    }
}
