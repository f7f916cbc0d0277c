//! The accounts.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;
use countersign_domain::{
    account::Account,
    audit::AuditEvent,
    id::{RealmName, UserId},
    login_name::LoginName,
    message::OutboxRow,
    port::{
        PortError,
        user_store::{AddressesChanged, NewUser, UserInserted, UserStore},
    },
    time::Timestamp,
    user::{AddressChange, PasswordHash},
};

use super::{Entry, MemoryStore, State};

#[async_trait]
impl UserStore for MemoryStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.user.find_by_login")]
    async fn find_by_login(&self, realm: &RealmName, name: &LoginName) -> Result<Option<Account>, PortError> {
        let state = self.lock();
        let user = state.names.get(&(realm.clone(), name.as_str().to_owned()));
        Ok(user.and_then(|user| state.users.get(user)).map(Entry::account))
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.user.find")]
    async fn find(&self, user: &UserId) -> Result<Option<Account>, PortError> {
        Ok(self.lock().users.get(user).map(Entry::account))
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.user.insert")]
    async fn insert(&self, users: Vec<NewUser>) -> Result<Vec<UserInserted>, PortError> {
        let mut state = self.lock();
        Ok(users.into_iter().map(|new| insert_one(&mut state, new)).collect())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.user.list")]
    async fn list(&self, after: Option<(RealmName, String)>, limit: usize) -> Result<Vec<Account>, PortError> {
        let state = self.lock();
        let mut accounts: Vec<_> = state.users.values().map(Entry::account).collect();
        let place = |account: &Account| (account.user.realm.clone(), account.user.username.clone());
        accounts.sort_by_key(place);
        accounts.retain(|account| after.as_ref().is_none_or(|after| place(account) > *after));
        accounts.truncate(limit);
        Ok(accounts)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.user.set_password")]
    async fn set_password(
        &self,
        user: &UserId,
        password: PasswordHash,
        now: Timestamp,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        Ok(self.lock().change(user, now, audit, |entry| entry.user.password = password).is_some())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.user.set_blocked")]
    async fn set_blocked(
        &self,
        user: &UserId,
        blocked: bool,
        now: Timestamp,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        Ok(self.lock().change(user, now, audit, |entry| entry.user.blocked = blocked).is_some())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.user.reset_factors")]
    async fn reset_factors(
        &self,
        user: &UserId,
        now: Timestamp,
        messages: Vec<OutboxRow>,
        audit: AuditEvent,
    ) -> Result<Option<u64>, PortError> {
        let mut state = self.lock();
        state.check_seals(messages.iter().map(|row| &row.sealed))?;
        let gone = state.change(user, now, audit, |entry| {
            let confirmed = entry.is_enrolled();
            entry.user.address_failures = 0;
            entry.recovery_code = None;
            entry.pending_codes.clear();
            entry.used_codes.clear();
            let gone = entry.authenticators.len();
            entry.authenticators.clear();
            (u64::try_from(gone).unwrap_or(u64::MAX), confirmed)
        });
        if let Some((_, true)) = gone {
            state.insert_messages(messages);
        }
        Ok(gone.map(|(gone, _)| gone))
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.user.change_addresses")]
    async fn change_addresses(
        &self,
        user: &UserId,
        change: AddressChange,
        audit: AuditEvent,
    ) -> Result<AddressesChanged, PortError> {
        let mut state = self.lock();
        let Some(entry) = state.users.get_mut(user) else { return Ok(AddressesChanged::NoUser) };
        let Some(addresses) = change.apply(&entry.user.notification_addresses) else {
            return Ok(AddressesChanged::TooMany);
        };
        entry.user.notification_addresses.clone_from(&addresses);
        state.audit.push(audit);
        Ok(AddressesChanged::Changed(addresses))
    }

    async fn ping(&self) -> Result<(), PortError> {
        Ok(())
    }
}

impl State {
    fn change<T>(
        &mut self,
        user: &UserId,
        now: Timestamp,
        audit: AuditEvent,
        change: impl FnOnce(&mut Entry) -> T,
    ) -> Option<T> {
        let entry = self.users.get_mut(user)?;
        entry.user.epoch += 1;
        entry.user.tokens_valid_from = entry.user.tokens_valid_from.max(now);
        entry.user.updated_at = now;
        entry.proofs.clear();
        let value = change(entry);
        self.audit.push(audit);
        Some(value)
    }
}

fn insert_one(state: &mut State, new: NewUser) -> UserInserted {
    let key = |name: &LoginName| (new.user.realm.clone(), name.as_str().to_owned());
    if new.names.iter().any(|name| state.names.contains_key(&key(name))) {
        return UserInserted::NameTaken;
    }
    for name in &new.names {
        state.names.insert(key(name), new.user.id.clone());
    }
    let entry = Entry {
        user: new.user,
        authenticators: BTreeMap::new(),
        recovery_code: None,
        pending_codes: HashMap::new(),
        used_codes: HashSet::new(),
        proofs: BTreeMap::new(),
    };
    state.users.insert(entry.user.id.clone(), entry);
    state.audit.push(new.audit);
    UserInserted::Inserted
}
