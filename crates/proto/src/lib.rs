//! The `countersign.v1` messages, clients and server traits, generated at build from `proto/`.
//!
//! Messages have no `Debug`: many hold secrets, and none may reach a log.
//! To grow the contract, edit the `.proto` files; the lint in this crate's tests says what a new item needs.

mod codec;

/// Package `countersign.v1`.
pub mod v1 {
    #![allow(missing_docs, clippy::all, clippy::pedantic)]
    tonic::include_proto!("countersign.v1");
}

/// The compiled descriptors of `countersign.v1`, a `FileDescriptorSet`, for reflection and for the lint.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/countersign.v1.bin"));
