//! The factors, one file each.

pub(crate) mod drift;
pub mod oob;
pub mod otp;
pub mod push;
pub mod recovery_code;

use crate::{
    error::Error,
    id::{AuthenticatorId, UserId},
    port::{
        PortError,
        sealer::{Place, record},
    },
};

/// Where the data of a factor belongs.
fn place<'a>(id: &'a AuthenticatorId, user: &'a UserId) -> Place<'a> {
    Place { record: record::AUTHENTICATOR, id: id.as_str(), owner: user.as_str() }
}

fn damaged(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    PortError::Corrupt(Box::new(error)).into()
}
