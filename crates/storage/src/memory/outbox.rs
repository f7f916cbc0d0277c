//! Messages that wait to be sent.

use async_trait::async_trait;
use countersign_domain::{
    audit::AuditEvent,
    id::MessageId,
    message::{
        Channel, OutboxRow, Urgency,
        day::{DayCharge, DayCharged},
        ending::{End, Tried},
    },
    port::{
        PortError,
        outbox_store::{Ended, OutboxStore},
    },
    time::Timestamp,
};

use super::{MemoryStore, State};

#[async_trait]
impl OutboxStore for MemoryStore {
    #[tracing::instrument(level = "debug", skip_all, name = "store.outbox.insert")]
    async fn insert(&self, rows: Vec<OutboxRow>) -> Result<(), PortError> {
        let mut state = self.lock();
        state.check_seals(rows.iter().map(|row| &row.sealed))?;
        state.insert_messages(rows);
        Ok(())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.outbox.insert_charged")]
    async fn insert_charged(
        &self,
        row: OutboxRow,
        charges: Vec<DayCharge>,
        audit: AuditEvent,
    ) -> Result<DayCharged, PortError> {
        let mut state = self.lock();
        state.check_seals([&row.sealed])?;
        let charged = state.charge_day(&charges);
        if charged == DayCharged::All {
            state.insert_messages(vec![row]);
            state.audit.push(audit);
        }
        Ok(charged)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.outbox.look_at_day")]
    async fn look_at_day(&self, charges: &[DayCharge]) -> Result<DayCharged, PortError> {
        Ok(self.lock().look_at_day(charges))
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.outbox.claim")]
    async fn claim(
        &self,
        channel: Channel,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, PortError> {
        let mut state = self.lock();
        let due = |row: &&mut OutboxRow| row.channel == channel && row.due_at <= now && row.expires_at >= now;
        let mut rows: Vec<_> = state.outbox.values_mut().filter(due).collect();
        rows.sort_by_key(|row| row.due_at);
        rows.truncate(limit);
        let mut claimed: Vec<_> = rows
            .into_iter()
            .map(|row| {
                row.due_at = lease_until;
                row.attempts += 1;
                row.clone()
            })
            .collect();
        claimed.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        Ok(claimed)
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.outbox.postpone")]
    async fn postpone(&self, id: &MessageId, due_at: Timestamp, ended: Ended) -> Result<(), PortError> {
        if let Some(row) = self.lock().outbox.get_mut(id) {
            row.due_at = due_at;
            row.doubts += u32::from(ended == Ended::InDoubt);
        }
        Ok(())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.outbox.remove")]
    async fn remove(&self, id: &MessageId, audit: AuditEvent) -> Result<(), PortError> {
        let mut state = self.lock();
        if state.outbox.remove(id).is_some() {
            state.audit.push(audit);
        }
        Ok(())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.outbox.oldest")]
    async fn oldest(&self, channel: Channel, now: Timestamp) -> Result<Option<Timestamp>, PortError> {
        let state = self.lock();
        let waiting = state
            .outbox
            .values()
            .filter(|row| row.channel == channel && row.urgency == Urgency::Awaited && row.expires_at >= now);
        Ok(waiting.map(|row| row.created_at).min())
    }

    #[tracing::instrument(level = "debug", skip_all, name = "store.outbox.purge")]
    async fn purge(&self, now: Timestamp) -> Result<u64, PortError> {
        let mut state = self.lock();
        // A row that is due later and expires before is being tried: whoever tries it says how it ended.
        let is_swept = |row: &OutboxRow| row.expires_at < now && row.due_at <= now;
        let swept: Vec<_> = state.outbox.extract_if(.., |_, row| is_swept(row)).collect();
        state.audit.extend(swept.iter().map(|(_, row)| row.ended(End::Expired, &Tried::default(), now)));
        let before = state.sent.len();
        state.sent.retain(|(day, _), _| *day >= now.utc_day() - 1);
        Ok(u64::try_from(swept.len() + before - state.sent.len()).unwrap_or(u64::MAX))
    }
}

impl State {
    /// Adds one to each count of a day, or to none.
    pub(super) fn charge_day(&mut self, charges: &[DayCharge]) -> DayCharged {
        let looked = self.look_at_day(charges);
        if looked == DayCharged::All {
            for of in charges {
                *self.sent.entry((of.day, of.counter.clone())).or_default() += 1;
            }
        }
        looked
    }

    fn look_at_day(&self, charges: &[DayCharge]) -> DayCharged {
        let sent = |of: &DayCharge| self.sent.get(&(of.day, of.counter.clone())).copied().unwrap_or(0);
        let reached = charges.iter().position(|of| sent(of) >= of.most);
        reached.map_or(DayCharged::All, |charge| DayCharged::Reached { charge })
    }

    /// Adds rows. The id names the message: one that is there already stays as it is.
    pub(super) fn insert_messages(&mut self, rows: Vec<OutboxRow>) {
        for row in rows {
            self.outbox.entry(row.id.clone()).or_insert(row);
        }
    }
}
