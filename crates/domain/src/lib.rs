//! What multi-factor authentication means: entities, rules, use cases, and the ports they speak to.
//!
//! No I/O and no wire types live here. A use case (`usecase/`) tells one story: load, judge, commit, sign. What it needs from
//! the world is a port (`port/`), one trait a file, and each port method is one atomic step.
//!
//! # Growing it
//!
//! *A new factor*: one file in `factor/`, one arm in [`factor`], one case of [`authenticator::FactorKind`].
//! *A new grant*: one file in `grant/`, one arm in [`usecase::issue_token`].
//! *A new reason to fail*: one case of [`error::Reason`]; the compiler points at the rest.

pub mod account;
pub mod app;
mod approval;
pub mod attempt;
pub mod audit;
pub mod authentication;
pub mod authenticator;
mod bearer;
pub mod certificate;
pub mod challenge;
pub mod claims;
pub mod client;
pub mod data_key;
mod dispatch;
pub mod error;
pub mod factor;
pub mod factor_set;
pub mod grant;
pub mod id;
mod implied;
mod known_network;
pub mod login_name;
mod login_policy;
pub mod message;
mod notice;
mod numeric_date;
pub mod opaque;
mod over;
pub mod password_rule;
mod pending_login;
pub mod phone;
pub mod policy;
pub mod port;
pub mod presence;
mod refresh_token;
pub mod registry;
mod remembered;
pub mod secret;
pub mod signing_key;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;
mod token_id;
pub mod transaction;
pub mod usecase;
pub mod user;
mod view;
pub mod wakes;
