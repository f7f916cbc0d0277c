//! The commit point.

use std::collections::hash_map::Entry;

use async_trait::async_trait;
use countersign_domain::{
    audit::AuditEvent,
    id::UserId,
    message::OutboxRow,
    port::{
        PortError,
        login_store::{
            Burn, COMPLETED, CommitOutcome, ConsumedTransaction, Counted, Failure, LastProven, LoginCommit, LoginStore,
            ProofQuery, Spent, UsedAssertion,
        },
        repudiation_store::Repudiation,
    },
    time::Timestamp,
};

use super::{Mark, MemoryStore};

#[async_trait]
impl LoginStore for MemoryStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.login.commit")]
    async fn commit(&self, login: LoginCommit) -> Result<CommitOutcome, PortError> {
        let mut state = self.lock();
        state.check_seals(login.messages.iter().map(|row| &row.sealed))?;
        let transaction = login.transaction.map(|used| (Mark::Transaction(used.digest), used.sweep_at));
        if transaction.is_some_and(|(mark, _)| state.consumed.contains_key(&mark)) {
            return Ok(CommitOutcome::TransactionSpent);
        }
        let (challenge, lacks_login) = match login.burn.spent() {
            Some(Spent::Challenge(used)) => (Some((Mark::Challenge(used.digest), used.sweep_at)), false),
            Some(Spent::OfLogin) => (None, transaction.is_none()),
            Some(Spent::Step(_)) | None => (None, false),
        };
        let spent = lacks_login || challenge.is_some_and(|(mark, _)| state.consumed.contains_key(&mark));
        let refreshes = state.can_refresh(&login.user, &login.refresh) && state.can_refresh(&login.user, &login.device);
        let Some(entry) = state.standing(&login.user, login.epoch) else {
            return Ok(CommitOutcome::AccountChanged);
        };
        if !refreshes {
            return Ok(CommitOutcome::RefreshSpent);
        }
        if login.begins_grace && entry.user.told_at.is_some() {
            return Ok(CommitOutcome::ToldBefore);
        }
        let burnt = match &login.burn {
            Burn::Use { authenticator, .. } | Burn::Confirm { authenticator, .. } => Some(authenticator.clone()),
            _ => None,
        };
        let link = login.repudiation.map(|new| {
            let (user, authenticator, expires_at) = (login.user.clone(), new.authenticator, new.expires_at);
            (new.digest, Repudiation { user, authenticator, expires_at })
        });
        if spent || !entry.burn(login.burn, login.now) {
            return Ok(CommitOutcome::ProofSpent);
        }
        if let (Some(drift), Some(app)) = (login.drift, burnt.and_then(|id| entry.authenticators.get_mut(&id))) {
            app.drift = drift;
        }
        if let Some(proof) = login.proof {
            entry.remember(proof, login.epoch, login.now);
        }
        if login.begins_grace {
            entry.user.told_at = Some(login.now);
        }
        state.refresh(login.refresh, login.now);
        state.refresh(login.device, login.now);
        state.consumed.extend(transaction.into_iter().chain(challenge));
        state.repudiations.extend(link);
        state.insert_messages(login.messages);
        state.audit.push(login.audit);
        Ok(CommitOutcome::Committed)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.login.is_completed")]
    async fn is_completed(&self, login: &ConsumedTransaction) -> Result<bool, PortError> {
        Ok(self.lock().consumed.contains_key(&Mark::Transaction(login.digest)))
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.login.last_proven")]
    async fn last_proven(&self, user: &UserId, query: ProofQuery) -> Result<LastProven, PortError> {
        let state = self.lock();
        let Some(entry) = state.users.get(user) else { return Ok(LastProven::default()) };
        let counts = |strength: u8, epoch: u64| epoch == query.epoch && strength >= query.strength.level();
        let counting = || entry.proofs.iter().filter(|((_, strength), (epoch, _))| counts(*strength, *epoch));
        let here = counting().filter(|((network, _), _)| network.is_some() && *network == query.network);
        Ok(LastProven {
            network: here.map(|(_, (_, at))| *at).max(),
            anywhere: counting().map(|(_, (_, at))| *at).max(),
        })
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.login.count_failure")]
    async fn count_failure(&self, user: &UserId, failure: Failure) -> Result<Counted, PortError> {
        let mut state = self.lock();
        state.check_seals(failure.messages.iter().map(|row| &row.sealed))?;
        if failure.login.is_some_and(|login| state.consumed.contains_key(&Mark::Transaction(login.digest))) {
            state.audit.push(failure.audit.because(COMPLETED));
            return Ok(Counted::LoginSpent);
        }
        if state.users.get_mut(user).is_some_and(|entry| entry.count(&failure)) {
            state.insert_messages(failure.messages);
        }
        state.audit.push(failure.audit);
        Ok(Counted::Yes)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.login.record")]
    async fn record(&self, audit: AuditEvent, messages: Vec<OutboxRow>) -> Result<(), PortError> {
        let mut state = self.lock();
        state.check_seals(messages.iter().map(|row| &row.sealed))?;
        state.insert_messages(messages);
        state.audit.push(audit);
        Ok(())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.login.note")]
    async fn note(&self, audit: AuditEvent) -> Result<(), PortError> {
        self.lock().audit.push(audit);
        Ok(())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.login.redeem_assertion")]
    async fn redeem_assertion(&self, assertion: UsedAssertion) -> Result<bool, PortError> {
        match self.lock().consumed.entry(Mark::Assertion(assertion.digest)) {
            Entry::Occupied(_) => Ok(false),
            Entry::Vacant(mark) => {
                mark.insert(assertion.sweep_at);
                Ok(true)
            }
        }
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.login.purge")]
    async fn purge(&self, now: Timestamp) -> Result<u64, PortError> {
        let mut state = self.lock();
        let before = state.consumed.len();
        state.consumed.retain(|_, sweep_at| *sweep_at > now);
        let marks = u64::try_from(before - state.consumed.len()).unwrap_or(u64::MAX);
        let before = state.repudiations.len();
        state.repudiations.retain(|_, link| link.expires_at > now);
        let links = u64::try_from(before - state.repudiations.len()).unwrap_or(u64::MAX);
        let before = state.families.len();
        state.families.retain(|_, family| family.sweep_at.is_none_or(|at| at > now));
        let families = u64::try_from(before - state.families.len()).unwrap_or(u64::MAX);
        Ok(state.users.values_mut().map(|entry| entry.sweep(now)).sum::<u64>() + marks + links + families)
    }
}
