//! Adapters for hashing, sealing and signing: `argon2` for passwords, AWS-LC for everything else.
//!
//! One [`master_key::MasterKey`] is the root. Each purpose has a key derived from it under a label of its own, so that no
//! key serves two ends. Slow work (argon2id, tokens by RSA) runs on a [`pool::WorkPool`], never on the threads of the async runtime.

mod certificate;
pub mod client_keys;
pub mod data_key_keeper;
mod data_keys;
pub mod device;
pub mod entropy;
mod jws;
pub mod key_keeper;
pub mod keyring;
pub mod master_key;
pub mod password;
pub mod pool;
pub mod sealer;
mod signing_key;
mod strict_json;
