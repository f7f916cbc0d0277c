//! Families of refresh tokens.

use async_trait::async_trait;
use countersign_domain::{
    audit::AuditEvent,
    id::{FamilyId, UserId},
    message::OutboxRow,
    port::{
        PortError,
        refresh_store::{FamilyKind, MAX_FAMILIES, RefreshFamily, RefreshStep, RefreshStore, RevocationReach},
    },
    time::Timestamp,
};

use super::{MemoryStore, State};

#[async_trait]
impl RefreshStore for MemoryStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.refresh.find")]
    async fn find_family(&self, id: &FamilyId) -> Result<Option<RefreshFamily>, PortError> {
        Ok(self.lock().families.get(id).cloned())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.refresh.list")]
    async fn list_families(&self, user: &UserId, kind: FamilyKind) -> Result<Vec<RefreshFamily>, PortError> {
        let state = self.lock();
        Ok(state.families.values().filter(|family| family.user == *user && family.kind == kind).cloned().collect())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.refresh.revoke")]
    async fn revoke_family(
        &self,
        id: &FamilyId,
        reach: RevocationReach,
        audit: AuditEvent,
        messages: Vec<OutboxRow>,
    ) -> Result<bool, PortError> {
        let mut state = self.lock();
        let Some(gone) = state.families.remove(id) else { return Ok(false) };
        if reach == RevocationReach::Grant {
            let key = |family: &RefreshFamily| (family.user.clone(), family.client.clone(), family.audience.clone());
            state.families.retain(|_, other| key(other) != key(&gone));
        }
        state.insert_messages(messages);
        state.audit.push(audit);
        Ok(true)
    }
}

impl State {
    /// Whether the token that `step` exchanges is there.
    pub(super) fn can_refresh(&self, user: &UserId, step: &RefreshStep) -> bool {
        match step {
            RefreshStep::Nothing | RefreshStep::Open(_) => true,
            RefreshStep::Exchange { family, generation, .. } => {
                self.families.get(family).is_some_and(|family| family.user == *user && family.generation == *generation)
            }
        }
    }

    /// Does it, if [`Self::can_refresh`].
    pub(super) fn refresh(&mut self, step: RefreshStep, now: Timestamp) {
        match step {
            RefreshStep::Nothing => {}
            RefreshStep::Open(family) => {
                self.make_room(&family);
                self.families.insert(family.id, *family);
            }
            RefreshStep::Exchange { family, rotates, adds, .. } => {
                if let Some(family) = self.families.get_mut(&family) {
                    for method in adds {
                        if !family.methods.contains(&method) {
                            family.methods.push(method);
                        }
                    }
                    family.used_at = family.used_at.max(now);
                    if rotates {
                        family.generation += 1;
                        family.rotated_at = now;
                    }
                }
            }
        }
    }

    /// Those that have expired go first, then the oldest.
    fn make_room(&mut self, new: &RefreshFamily) {
        let expired = |family: &RefreshFamily| family.expires_at.is_some_and(|at| at <= new.created_at);
        let mut others: Vec<_> = self
            .families
            .values()
            .filter(|f| (&f.user, &f.client, f.kind) == (&new.user, &new.client, new.kind))
            .collect();
        others.sort_by_key(|family| (!expired(family), family.created_at, family.id));
        let ids: Vec<_> = others.iter().rev().skip(MAX_FAMILIES - 1).map(|family| family.id).collect();
        for id in ids {
            self.families.remove(&id);
        }
    }
}
