//! The audit trail, to be read. Rows are written by the steps they tell of.

use async_trait::async_trait;

use super::PortError;
use crate::audit::chain::AuditRow;

/// Reads the trail.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// The rows after the row number `after`, in the order of their numbers, at most `limit`. A page that is not full MUST have ended
    /// with the newest row of one moment.
    async fn list_rows(&self, after: i64, limit: usize) -> Result<Vec<AuditRow>, PortError>;

    /// The number of the newest row; 0 if there is none.
    async fn last_row(&self) -> Result<i64, PortError>;
}
