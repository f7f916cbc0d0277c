//! Identifiers, each a type of its own. None is secret.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::opaque;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Wraps `value` as it is; ids compare byte for byte.
            pub fn new(value: impl Into<Arc<str>>) -> Self {
                Self(value.into())
            }

            /// The text of the id.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id! {
    /// A person: `auth0|` and 24 lower-case alphanumerics, the `sub` of every token.
    UserId
}
id! {
    /// A client in the sense of RFC 6749, section 2.
    ClientId
}
id! {
    /// One enrolled authenticator: `{kind}|dev_{16 alphanumerics}`.
    AuthenticatorId
}
id! {
    /// The identifier of an API, the `aud` of its access tokens.
    Audience
}
id! {
    /// A realm: where usernames and passwords live.
    RealmName
}
id! {
    /// One scope token of RFC 6749, section 3.3.
    Scope
}
id! {
    /// A signing key, the `kid` of RFC 7515, section 4.1.4.
    KeyId
}
id! {
    /// What authenticators that were enrolled together share: `dev_{16 alphanumerics}`.
    PairId
}
id! {
    /// A message to a person, `msg_` and 24 alphanumerics; the idempotency key at providers.
    MessageId
}

impl ClientId {
    /// The longest a client may have, in characters.
    pub const MAX_CHARS: usize = 128;
}

impl RealmName {
    /// The longest a realm may have, in characters.
    pub const MAX_CHARS: usize = 128;
}

impl Scope {
    /// The longest an API may have, in characters.
    pub const MAX_CHARS: usize = 128;
}

/// The refresh tokens of one login: 128 random bits. As text, the `sid` of its access tokens, 26 base32 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FamilyId([u8; Self::BYTES]);

impl FamilyId {
    /// How many bytes it has.
    pub const BYTES: usize = 16;

    /// Wraps the bytes.
    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Reads the text.
    pub fn parse(text: &str) -> Option<Self> {
        opaque::parse_base32(text).and_then(|bytes| bytes.try_into().ok()).map(Self)
    }
}

impl fmt::Display for FamilyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&opaque::base32(&self.0))
    }
}

impl fmt::Debug for FamilyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FamilyId({self})")
    }
}
