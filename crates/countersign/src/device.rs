//! A phone in software, to try out and to test logins by push: what `countersign device` does.
//!
//! It speaks the device side of the Guardian protocol: it enrols with the ticket of a barcode, finds the logins that wait for it in
//! the outbox of a demo instead of being notified, and answers them with a token that its key signs. What it has to remember is in
//! one file, which only its owner may read.

pub mod answer;
pub mod barcode;
pub mod base_url;
pub mod code;
pub mod enrol;
pub mod guardian;
pub mod key;
pub mod outbox;
pub mod phone;
pub mod picture;

#[cfg(test)]
mod tests;
