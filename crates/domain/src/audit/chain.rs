//! The links between the rows. Whoever has no key can neither make one nor move one.
//!
//! ```text
//! row 1 ──link──▶ row 2 ──link──▶ … ──link──▶ row n ── seal
//! ```
//!
//! The link of a row is a keyed digest of the link before it and of all that the row says, its number included. Only the newest row has
//! a seal, a keyed digest of its number and its link; the next row takes it away. So a row that was changed, moved, added or removed
//! does not fit its link, and a trail whose end was cut off has no seal.

use std::{fmt, sync::Arc};

use super::AuditEvent;
use crate::{
    port::sealer::{DigestPurpose, Sealer},
    secret::Digest,
    time::Timestamp,
};

/// What a row says, as the columns have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content<'a> {
    /// Its number. There are no gaps.
    pub id: i64,
    /// When, in milliseconds.
    pub at: i64,
    /// The name of the event.
    pub event: &'a str,
    /// The person; empty if it is about nobody.
    pub user: &'a str,
    /// The client.
    pub client: Option<&'a str>,
    /// The authenticator.
    pub authenticator: Option<&'a str>,
    /// The address.
    pub address: Option<&'a str>,
    /// The operator.
    pub operator: Option<&'a str>,
    /// Why or how.
    pub detail: Option<&'a str>,
}

/// A row as it was stored. Nothing in it is believed before its link was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// The name of the event.
    pub event: String,
    /// The person; empty if it is about nobody.
    pub user: String,
    /// The client.
    pub client: Option<String>,
    /// The authenticator.
    pub authenticator: Option<String>,
    /// The address.
    pub address: Option<String>,
    /// The operator.
    pub operator: Option<String>,
    /// Why or how.
    pub detail: Option<String>,
    /// What links it to the row before it. None: it is of a version that had no links.
    pub link: Option<Digest>,
    /// What says that it is the newest.
    pub seal: Option<Digest>,
}

impl AuditRow {
    /// What it says.
    pub fn content(&self) -> Content<'_> {
        Content {
            id: self.id,
            at: self.at.as_millis(),
            event: &self.event,
            user: &self.user,
            client: self.client.as_deref(),
            authenticator: self.authenticator.as_deref(),
            address: self.address.as_deref(),
            operator: self.operator.as_deref(),
            detail: self.detail.as_deref(),
        }
    }

    /// `event` as the row number `id`, without a link.
    pub fn unlinked(id: i64, event: &AuditEvent) -> Self {
        Self {
            id,
            at: event.at,
            event: event.event.as_str().to_owned(),
            user: event.user.as_ref().map_or_else(String::new, |user| user.as_str().to_owned()),
            client: event.client.as_ref().map(|client| client.as_str().to_owned()),
            authenticator: event.authenticator.as_ref().map(|id| id.as_str().to_owned()),
            address: event.address.map(|address| address.to_string()),
            operator: event.operator.as_deref().map(str::to_owned),
            detail: event.detail.as_deref().map(str::to_owned),
            link: None,
            seal: None,
        }
    }
}

/// What precedes the first row, and a row before which something is missing.
pub const NOTHING: Digest = Digest::new([0; 32]);

/// Makes links and seals.
#[derive(Clone)]
pub struct AuditChain(Arc<dyn Sealer>);

impl AuditChain {
    /// With the key of `sealer`.
    pub const fn new(sealer: Arc<dyn Sealer>) -> Self {
        Self(sealer)
    }

    /// The link of a row that follows the row with the link `previous`.
    pub fn link(&self, previous: &Digest, row: &Content<'_>) -> Digest {
        self.digest(b"link", previous, row)
    }

    /// Adds a row of a version without links to the digest of those before it. The first link of the chain stands on it.
    pub fn cover(&self, previous: &Digest, row: &Content<'_>) -> Digest {
        self.digest(b"cover", previous, row)
    }

    /// The seal of the newest row.
    pub fn seal(&self, id: i64, link: &Digest) -> Digest {
        self.0.keyed_digest(DigestPurpose::AuditTrail, &[b"seal", &id.to_be_bytes(), link.as_bytes()])
    }

    fn digest(&self, what: &[u8], previous: &Digest, row: &Content<'_>) -> Digest {
        const fn there(value: Option<&str>) -> &[u8] {
            if value.is_some() { &[1] } else { &[0] }
        }
        fn bytes(value: Option<&str>) -> &[u8] {
            value.map_or(&[], str::as_bytes)
        }
        let Content { id, at, event, user, client, authenticator, address, operator, detail } = *row;
        let (id, at) = (id.to_be_bytes(), at.to_be_bytes());
        self.0.keyed_digest(
            DigestPurpose::AuditTrail,
            &[
                what,
                previous.as_bytes(),
                &id,
                &at,
                event.as_bytes(),
                user.as_bytes(),
                there(client),
                bytes(client),
                there(authenticator),
                bytes(authenticator),
                there(address),
                bytes(address),
                there(operator),
                bytes(operator),
                there(detail),
                bytes(detail),
            ],
        )
    }
}

impl fmt::Debug for AuditChain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditChain")
    }
}
