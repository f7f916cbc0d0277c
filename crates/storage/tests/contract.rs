//! The contract, for every adapter, and what is particular to each.
#![allow(clippy::unwrap_used, clippy::unused_async, reason = "tests; the contract opens every store the same way")]

#[path = "contract/audit_chain.rs"]
mod audit_chain;
#[path = "contract/fence.rs"]
mod fence;
#[path = "contract/redis_store.rs"]
mod redis_store;
#[path = "contract/redis_tls.rs"]
mod redis_tls;
#[path = "contract/sqlite_store.rs"]
mod sqlite_store;

mod memory {
    use std::sync::Arc;

    use countersign_storage::{
        contract::{Opened, sessions},
        memory::MemoryStore,
        open::Stores,
    };

    async fn open() -> Opened {
        Opened { stores: Stores::of(Arc::new(MemoryStore::default())), guard: Box::new(()) }
    }

    countersign_storage::durable_contract!(open);
    countersign_storage::session_contract!(open);

    #[tokio::test]
    async fn a_purge_takes_what_expired() {
        sessions::a_purge_takes_what_expired(&open().await.stores).await;
    }
}
