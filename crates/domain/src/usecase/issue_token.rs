//! Turn a grant into tokens, or into the demand for a second factor.

use std::time::Duration;

use crate::{
    app::{App, ClientCredentials, Origin, RequestedScopes},
    authenticator::FactorKind,
    error::Error,
    grant::oob::Offer,
    id::{RealmName, Scope},
    login_name::LoginName,
    opaque::{self, TokenKind},
    registry::Client,
    secret::Secret,
    time::Timestamp,
    user::{Email, Profile},
};

pub use crate::login_policy::StepUp;

/// A grant and who offers it.
#[derive(Clone, Debug)]
pub struct Command {
    /// The calling client.
    pub client: ClientCredentials,
    /// What is offered.
    pub grant: Grant,
    /// Where the person is.
    pub origin: Origin,
    /// What is asked of the login behind the tokens. The second factors answer for the original request.
    pub step_up: StepUp,
}

/// What is offered.
#[derive(Clone, Debug)]
pub enum Grant {
    /// RFC 6749, section 4.3.
    Password(PasswordGrant),
    /// A code of an authenticator app. `mfa_token` may be an access token of the MFA API.
    Otp {
        /// The pending login, or the token an enrolment was begun with.
        mfa_token: Secret<String>,
        /// The code as it was typed.
        code: Secret<String>,
    },
    /// A code that was sent, or what became of a device that was asked. `mfa_token` may be an access token of the MFA API.
    Oob {
        /// The pending login, or the token an enrolment was begun with.
        mfa_token: Secret<String>,
        /// The challenge.
        oob_code: Secret<String>,
        /// The code as it was typed; `None` while a device is waited for.
        binding_code: Option<Secret<String>>,
    },
    /// RFC 6749, section 6.
    Refresh {
        /// The token as it was presented.
        token: Secret<String>,
        /// The scopes, if any were named: fewer than were granted, or the same.
        scopes: RequestedScopes,
    },
    /// RFC 6749, section 4.4: a service calls an API as itself.
    ClientCredentials {
        /// The audience, if one was named.
        audience: Option<String>,
        /// The scopes, if any were named.
        scopes: RequestedScopes,
    },
    /// A client says that a person has logged in with it.
    AssertedLogin {
        /// What it says.
        login: AssertedLogin,
        /// The audience, if one was named.
        audience: Option<String>,
        /// The scopes, if any were named.
        scopes: RequestedScopes,
    },
    /// The recovery code.
    RecoveryCode {
        /// The pending login.
        mfa_token: Secret<String>,
        /// The code as it was typed.
        code: Secret<String>,
    },
}

/// How a client says who has logged in.
#[derive(Clone, Debug)]
pub enum AssertedLogin {
    /// In so many words; the client has proven itself with the request.
    Plain(AssertedSubject),
    /// In a JWT that it signed with its private key (RFC 7523, section 2.1).
    Signed(Secret<String>),
}

/// Who has logged in with a client.
#[derive(Clone, Debug)]
pub struct AssertedSubject {
    /// A username, or an address, of the client's realm.
    pub subject: String,
    /// When they did.
    pub at: Timestamp,
    /// How, by RFC 8176's names.
    pub methods: Vec<String>,
    /// Their address, for an account that is made.
    pub email: Option<Email>,
    /// What else is known of them, for an account that is made.
    pub profile: Profile,
}

/// A username and a password.
#[derive(Clone, Debug)]
pub struct PasswordGrant {
    /// Canonical login name; `None` if what was typed can name nobody.
    pub login: Option<LoginName>,
    /// The password as it was typed.
    pub password: Secret<String>,
    /// The realm, if one was named.
    pub realm: Option<RealmName>,
    /// Whether the request was of the password-realm grant.
    pub realm_grant: bool,
    /// The audience, if one was named.
    pub audience: Option<String>,
    /// The scopes, if any were named.
    pub scopes: RequestedScopes,
}

/// What a grant that was not refused leads to.
#[derive(Debug)]
pub enum Outcome {
    /// The login is complete.
    Tokens(TokenSet),
    /// A second factor is needed.
    MfaRequired(MfaRequired),
}

/// What a complete login yields.
#[derive(Debug)]
pub struct TokenSet {
    /// JWT access token.
    pub access_token: Secret<String>,
    /// How long it lives.
    pub lifetime: Duration,
    /// The granted scopes.
    pub scopes: Vec<Scope>,
    /// Whether the answer must name them.
    pub scopes_changed: bool,
    /// The ID token, with the scope `openid`.
    pub id_token: Option<Secret<String>>,
    /// The token to go on with, if the login was granted `offline_access`.
    pub refresh_token: Option<Secret<String>>,
    /// The token of the device, if it is remembered.
    pub device_token: Option<Secret<String>>,
    /// Until when the person may log in without the second factor that they must enrol, if they may.
    pub enroll_by: Option<Timestamp>,
    /// The recovery code that replaces the one just used.
    pub recovery_code: Option<Secret<String>>,
}

/// The demand for a second factor.
#[derive(Debug)]
pub struct MfaRequired {
    /// Handle of the pending login.
    pub mfa_token: Secret<String>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Factors that would be accepted. Empty: must enrol.
    pub challenge: Vec<FactorType>,
    /// Factors that may be enrolled. Empty unless the person is not enrolled.
    pub enroll: Vec<FactorType>,
    /// Whether the client is told over HTTP.
    pub published: bool,
}

/// Kinds of factors as policy and `mfa_requirements` name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactorType {
    /// An authenticator app.
    Otp,
    /// Text messages and calls.
    Phone,
    /// E-mail.
    Email,
    /// A device that is asked.
    Push,
    /// The recovery code.
    RecoveryCode,
}

impl FactorType {
    pub(crate) const fn of(kind: FactorKind) -> Self {
        match kind {
            FactorKind::Otp => Self::Otp,
            FactorKind::Sms | FactorKind::Voice => Self::Phone,
            FactorKind::Email => Self::Email,
            FactorKind::Push => Self::Push,
        }
    }
}

impl App {
    /// Judges one grant.
    ///
    /// # Errors
    ///
    /// Any reason `IssueToken` lists in the protobuf contract.
    pub async fn issue_token(&self, command: Command) -> Result<Outcome, Error> {
        let Command { client: credentials, grant, origin, step_up } = command;
        let client = self.authenticate_client(&credentials, &origin).await?;
        let is_of_service = matches!(grant, Grant::ClientCredentials { .. });
        let outcome = self.judge(client, grant, step_up, &origin).await;
        // A service that is refused has a row of its own.
        if is_of_service { outcome } else { self.unless_refused(outcome, client, &origin).await }
    }

    async fn judge(&self, client: &Client, grant: Grant, step_up: StepUp, origin: &Origin) -> Result<Outcome, Error> {
        match grant {
            Grant::Password(grant) => self.password_grant(client, grant, step_up.wish()?, origin).await,
            Grant::Otp { mfa_token, code } => {
                self.otp_grant(client, &mfa_token, &code, origin).await.map(Outcome::Tokens)
            }
            Grant::Oob { mfa_token, oob_code, binding_code } => {
                if opaque::is_well_formed(TokenKind::Approval, oob_code.expose()) {
                    return self.push_grant(client, &mfa_token, &oob_code, origin).await.map(Outcome::Tokens);
                }
                let binding_code = binding_code.ok_or_else(|| Error::missing("binding_code"))?;
                let offer = Offer { token: &mfa_token, oob_code: &oob_code, binding_code: &binding_code };
                self.oob_grant(client, offer, origin).await.map(Outcome::Tokens)
            }
            Grant::Refresh { token, scopes } => {
                self.refresh_grant(client, &token, &scopes, step_up.wish()?, origin).await
            }
            Grant::ClientCredentials { audience, scopes } => {
                self.client_credentials_grant(client, audience.as_deref(), &scopes, origin).await.map(Outcome::Tokens)
            }
            Grant::AssertedLogin { login, audience, scopes } => {
                self.asserted_grant(client, login, (audience.as_deref(), &scopes), step_up.wish()?, origin).await
            }
            Grant::RecoveryCode { mfa_token, code } => {
                self.recovery_grant(client, &mfa_token, &code, origin).await.map(Outcome::Tokens)
            }
        }
    }
}
