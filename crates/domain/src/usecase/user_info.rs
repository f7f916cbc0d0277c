//! Tell who an access token is about.

use crate::{
    app::{App, Bearer},
    error::{Error, Reason},
    id::{Scope, UserId},
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
        let now = self.clock.now();
        let token = self.access_token(bearer.expose(), &self.registry.userinfo_audience(), now)?;
        let granted = |scope| token.scopes.contains(&Scope::new(scope));
        let invalid = |why| Error::new(Reason::AccessTokenInvalid).because(why);
        if !granted("openid") {
            return Err(invalid("scope openid"));
        }
        self.charge_rate(&token.user, "userinfo", self.registry.policy.userinfo_rate, now).await?;
        let account = self.users.find(&token.user).await?.ok_or_else(|| invalid("user is gone"))?;
        let user = account.user;
        if user.blocked {
            return Err(invalid("user is blocked"));
        }
        if self.is_void(&token.id, &user) {
            return Err(invalid("voided"));
        }
        let profile = granted("profile").then(|| ProfileClaims {
            name: user.shown_name().to_owned(),
            nickname: user.nickname().to_owned(),
            given_name: user.profile.given_name.clone(),
            family_name: user.profile.family_name.clone(),
            picture: user.profile.picture.clone(),
            updated_at: user.updated_at,
        });
        Ok(UserInfo { profile, email: user.email.filter(|_| granted("email")), subject: user.id })
    }
}
