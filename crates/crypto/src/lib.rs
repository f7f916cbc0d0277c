//! Adapters for hashing, sealing and signing.
