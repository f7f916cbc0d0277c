//! Tell who an access token is about.

use crate::{
    app::{App, Bearer},
    error::Error,
    id::UserId,
    time::Timestamp,
    user::Email,
};

/// The claims a token's scopes allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserInfo {
    /// The person.
    pub subject: UserId,
    /// With the scope `profile`.
    pub profile: Option<ProfileClaims>,
    /// With the scope `email`.
    pub email: Option<Email>,
}

/// The claims of the scope `profile`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileClaims {
    /// Full name, or the username.
    pub name: String,
    /// Local part of the address, or the username.
    pub nickname: String,
    /// Given name.
    pub given_name: Option<String>,
    /// Family name.
    pub family_name: Option<String>,
    /// Address of a picture.
    pub picture: Option<String>,
    /// When the account last changed.
    pub updated_at: Timestamp,
}

impl App {
    /// Who the access token is about.
    ///
    /// # Errors
    ///
    /// Any reason `GetUserInfo` lists in the protobuf contract.
    pub async fn user_info(&self, bearer: Bearer) -> Result<UserInfo, Error> {
        let _ = bearer;
        Err(Error::new(crate::error::Reason::Internal))
    }
}
