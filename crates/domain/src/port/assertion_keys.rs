//! The public keys of a client.

use std::fmt;

/// The keys that one client signs with. Each knows the algorithms it is good for.
pub trait AssertionKeys: fmt::Debug + Send + Sync {
    /// The claims of a JWT that one of the keys signed: `None` unless it has three parts, a `typ` that is among `types` (in any letter
    /// case; where it has none, `types` must have the empty one), an `alg` of at most 16 characters that a key is good for, no `crit`,
    /// and a good signature. A `kid` that one of the keys has chooses it. Keys and addresses of keys in the header are not looked at.
    /// The claims are the caller's to judge.
    fn verify(&self, token: &str, types: &[&str]) -> Option<Vec<u8>>;
}
