//! The audit trail, without links: nobody changes the memory of a test.

use async_trait::async_trait;
use countersign_domain::{
    audit::chain::AuditRow,
    port::{PortError, audit_store::AuditStore},
};

use super::MemoryStore;

#[async_trait]
impl AuditStore for MemoryStore {
    async fn list_rows(&self, after: i64, limit: usize) -> Result<Vec<AuditRow>, PortError> {
        let state = self.lock();
        let rows = (1..).zip(&state.audit).filter(|(id, _)| *id > after).take(limit);
        Ok(rows.map(|(id, event)| AuditRow::unlinked(id, event)).collect())
    }

    async fn last_row(&self) -> Result<i64, PortError> {
        Ok(i64::try_from(self.lock().audit.len()).unwrap_or(i64::MAX))
    }
}
