//! The use cases, one file each: a command goes in, a noun or an [`Error`](crate::error::Error) comes out.

pub mod answer_challenge;
pub mod associate;
pub mod authenticators;
pub mod describe;
pub mod devices;
pub mod explain_policy;
pub mod introspect_token;
pub mod issue_token;
pub mod manage_users;
pub mod open_challenge;
pub mod remembered_devices;
pub mod repudiate;
pub mod revoke_token;
pub mod user_info;
pub mod watch_challenge;
