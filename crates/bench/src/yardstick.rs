//! Yardsticks: what the parts of a login cost by themselves, with nothing of ours around them.

pub mod commit;
pub mod empty_call;
pub mod hash;
pub mod http_call;
pub mod message;
pub mod policy;
pub mod redis_trip;
mod rows;
pub mod signature;
pub mod totp;
pub mod verification;
