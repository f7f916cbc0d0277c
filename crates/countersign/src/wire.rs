//! The only place where adapters meet ports.

use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use countersign_crypto::{AeadSealer, Argon2Hasher, Argon2Options, KeyRing, MasterKey, SystemEntropy};
use countersign_domain::{
    app::App,
    id::RealmName,
    login_name::LoginName,
    port::{clock::Clock, entropy::Entropy, sealer::Sealer},
    usecase::manage_users::{AddUser, Added, NewPassword},
    user::{Email, Profile},
};
use countersign_storage::open::{OpenOptions, Stores, open_session_store, open_stores};
use countersign_telemetry::Metrics;

use crate::{
    config::{check::Checked, directory::UserConfig, registry::given},
    system::SystemClock,
};

/// Where short-lived state lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sessions {
    /// Where the configuration says.
    AsConfigured,
    /// In the durable store, for commands that need none.
    InDurable,
}
