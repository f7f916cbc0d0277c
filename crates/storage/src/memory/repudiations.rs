//! Links of notices.

use async_trait::async_trait;
use countersign_domain::{
    port::{
        PortError,
        repudiation_store::{Redemption, Repudiation, RepudiationStore},
    },
    secret::Digest,
};

use super::{MemoryStore, State};

#[async_trait]
impl RepudiationStore for MemoryStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.repudiation.find")]
    async fn find(&self, digest: &Digest) -> Result<Option<Repudiation>, PortError> {
        Ok(self.lock().link(digest).cloned())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.repudiation.redeem")]
    async fn redeem(&self, redemption: Redemption) -> Result<bool, PortError> {
        let mut state = self.lock();
        state.check_seals(redemption.messages.iter().map(|row| &row.sealed))?;
        let good = state.link(&redemption.digest).filter(|link| link.expires_at > redemption.now).cloned();
        let Some(link) = good else { return Ok(false) };
        state.repudiations.remove(&redemption.digest);
        let Some(entry) = state.users.get_mut(&link.user) else { return Ok(false) };
        entry.remove(&link.authenticator);
        entry.user.epoch += 1;
        entry.user.tokens_valid_from = entry.user.tokens_valid_from.max(redemption.now);
        entry.user.updated_at = redemption.now;
        state.insert_messages(redemption.messages);
        state.audit.push(redemption.audit);
        Ok(true)
    }
}

impl State {
    /// The link with this digest, if its authenticator is there.
    fn link(&self, digest: &Digest) -> Option<&Repudiation> {
        self.repudiations.get(digest).filter(|link| {
            self.users.get(&link.user).is_some_and(|entry| entry.authenticators.contains_key(&link.authenticator))
        })
    }
}
