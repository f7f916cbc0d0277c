//! Identifiers, each a type of its own. None is secret.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

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
