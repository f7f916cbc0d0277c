//! The life of a data key: what everything is sealed with that must be read again.
//!
//! ```text
//!  next ────▶ current ────▶ previous ────▶ dropped
//!  opens,      seals        opens what      gone: it is
//!  soon seals               is left         forgotten
//! ```
//!
//! The first one follows from the operator's key and is not stored. The others are random, and stored under a key that follows from it. A
//! key is there for a while before it seals, so that every server knows it when it meets the first value under it.

use std::{fmt, time::Duration};

use data_encoding::HEXLOWER;

use crate::{
    port::sealer::{Place, record},
    secret::Sealed,
    time::Timestamp,
};

/// How long a key is there before it seals. Servers read the keys once a second.
pub const LEAD: Duration = Duration::from_secs(10);

/// How long after that a server may still seal with the one before it.
pub const SETTLED: Duration = Duration::from_secs(3);

/// How long a key is kept after it sealed last: longer than a login under way, whose state is sealed and nowhere counted if it is in Redis.
pub const GRACE: Duration = Duration::from_secs(3600);

/// How many values a key may seal: its nonces are random (NIST SP 800-38D, section 8.3).
pub const SEALS: u64 = 1 << 32;

/// From how many on another key is due.
pub const SEALS_BEFORE_ROTATION: u64 = 1 << 30;

/// Which data key sealed a value: it is written into each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataKeyId([u8; 8]);

impl DataKeyId {
    /// Wraps eight bytes.
    pub const fn new(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The eight bytes.
    pub const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// Reads what [`Display`](fmt::Display) writes.
    pub fn parse(text: &str) -> Option<Self> {
        HEXLOWER.decode(text.as_bytes()).ok()?.try_into().ok().map(Self)
    }

    /// The key that `sealed` names, whoever made it.
    pub fn of(sealed: &Sealed) -> Option<Self> {
        sealed.as_bytes().get(2..10)?.try_into().ok().map(Self)
    }
}

impl fmt::Display for DataKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for DataKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataKeyId({self})")
    }
}

/// A data key as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDataKey {
    /// Its id.
    pub id: DataKeyId,
    /// The key, sealed. Empty for the one that follows from the operator's key, and once it is dropped.
    pub wrapped: Sealed,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when it seals.
    pub seals_from: Timestamp,
    /// When it was dropped.
    pub dropped_at: Option<Timestamp>,
}

impl StoredDataKey {
    /// The key that follows from the operator's key: it was there before all others.
    pub const fn derived(id: DataKeyId) -> Self {
        let beginning = Timestamp::from_millis(0);
        Self { id, wrapped: Sealed::new(Vec::new()), created_at: beginning, seals_from: beginning, dropped_at: None }
    }
}

/// Where a data key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataKeyState {
    /// It opens, and will seal.
    Next,
    /// It seals.
    Current,
    /// It opens what is left under it. It sealed until then.
    Previous {
        /// When the next one took over.
        until: Timestamp,
    },
    /// It opens nothing any more.
    Dropped,
}

impl DataKeyState {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Next => "next",
            Self::Current => "current",
            Self::Previous { .. } => "previous",
            Self::Dropped => "dropped",
        }
    }
}

/// Where `key` stands among `keys` at `now`.
pub fn state_of(key: &StoredDataKey, keys: &[StoredDataKey], now: Timestamp) -> DataKeyState {
    if key.dropped_at.is_some() {
        return DataKeyState::Dropped;
    }
    if key.seals_from > now {
        return DataKeyState::Next;
    }
    let later = keys.iter().map(|other| other.seals_from).filter(|from| *from > key.seals_from && *from <= now);
    later.min().map_or(DataKeyState::Current, |until| DataKeyState::Previous { until })
}

/// Columns that hold sealed values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SealedIn {
    /// Seeds, numbers, addresses and keys of devices.
    Authenticators,
    /// Signing keys.
    SigningKeys,
    /// Messages that wait to be sent.
    Messages,
    /// Logins under way.
    Transactions,
    /// Codes that were sent, and devices that are asked.
    Challenges,
}

impl SealedIn {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Authenticators, Self::SigningKeys, Self::Messages, Self::Transactions, Self::Challenges];

    /// Those that stay, and are sealed anew. The others are gone within minutes.
    pub const KEPT: [Self; 3] = [Self::Authenticators, Self::SigningKeys, Self::Messages];

    /// What they hold.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Authenticators => "authenticators",
            Self::SigningKeys => "signing keys",
            Self::Messages => "messages that wait",
            Self::Transactions => "logins under way",
            Self::Challenges => "challenges",
        }
    }
}

/// A sealed value that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedValue {
    /// Where it is; one of [`SealedIn::KEPT`].
    pub column: SealedIn,
    /// The record's key.
    pub id: String,
    /// Whose it is, as it is bound in.
    pub owner: String,
    /// The value.
    pub sealed: Sealed,
}

impl SealedValue {
    /// What the value is bound to. `None`: it is none that is kept.
    pub fn place(&self) -> Option<Place<'_>> {
        let record = match self.column {
            SealedIn::Authenticators => record::AUTHENTICATOR,
            SealedIn::SigningKeys => record::SIGNING_KEY,
            SealedIn::Messages => record::MESSAGE,
            SealedIn::Transactions | SealedIn::Challenges => return None,
        };
        Some(Place { record, id: &self.id, owner: &self.owner })
    }
}

/// How many values of a column are sealed with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SealedCount {
    /// The column.
    pub column: SealedIn,
    /// The key they name.
    pub key: DataKeyId,
    /// How many.
    pub values: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8, seals_from: i64, dropped: bool) -> StoredDataKey {
        let at = Timestamp::from_millis(seals_from);
        StoredDataKey {
            id: DataKeyId::new([n; 8]),
            wrapped: Sealed::new(Vec::new()),
            created_at: at,
            seals_from: at,
            dropped_at: dropped.then_some(at),
        }
    }

    fn states(keys: &[StoredDataKey], now: i64) -> Vec<DataKeyState> {
        keys.iter().map(|key| state_of(key, keys, Timestamp::from_millis(now))).collect()
    }

    #[test]
    fn one_key_seals_at_any_time_and_the_next_one_takes_over_by_the_clock() {
        let keys = [StoredDataKey::derived(DataKeyId::new([0; 8])), key(1, 1000, false), key(2, 2000, false)];
        let previous = |until| DataKeyState::Previous { until: Timestamp::from_millis(until) };
        assert_eq!(states(&keys, 999), [DataKeyState::Current, DataKeyState::Next, DataKeyState::Next]);
        assert_eq!(states(&keys, 1000), [previous(1000), DataKeyState::Current, DataKeyState::Next]);
        assert_eq!(states(&keys, 2000), [previous(1000), previous(2000), DataKeyState::Current]);
    }

    #[test]
    fn a_dropped_key_is_nothing_else() {
        let keys = [key(1, 1000, true), key(2, 2000, false)];
        assert_eq!(states(&keys, 1500), [DataKeyState::Dropped, DataKeyState::Next]);
        assert_eq!(states(&keys, 2500), [DataKeyState::Dropped, DataKeyState::Current]);
    }

    #[test]
    fn an_id_is_read_as_it_is_written_and_found_in_what_it_sealed() {
        let id = DataKeyId::new([0, 1, 2, 3, 4, 5, 6, 255]);
        assert_eq!(id.to_string(), "00010203040506ff");
        assert_eq!(DataKeyId::parse("00010203040506ff"), Some(id));
        for wrong in ["", "00010203040506", "00010203040506FF", "00010203040506ff00", "signing-key-id-x"] {
            assert_eq!(DataKeyId::parse(wrong), None, "{wrong}");
        }
        assert_eq!(DataKeyId::of(&Sealed::new(vec![1, 1, 0, 1, 2, 3, 4, 5, 6, 255, 9])), Some(id));
        assert_eq!(DataKeyId::of(&Sealed::new(vec![1, 1, 0, 1])), None);
    }

    #[test]
    fn what_is_kept_has_a_place_of_its_own_and_nothing_else_has_one() {
        let place = |column| {
            let (id, owner) = ("a".to_owned(), "b".to_owned());
            let value = SealedValue { column, id, owner, sealed: Sealed::new(Vec::new()) };
            value.place().map(|place| place.record)
        };
        let records: std::collections::HashSet<_> =
            SealedIn::KEPT.into_iter().map(|column| place(column).unwrap()).collect();
        assert_eq!(records.len(), SealedIn::KEPT.len());
        for column in SealedIn::ALL {
            assert_eq!(place(column).is_some(), SealedIn::KEPT.contains(&column), "{column:?}");
        }
    }
}
