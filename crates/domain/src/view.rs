//! Authenticators as their owner may see them.

use crate::{
    account::Account,
    app::{App, AuthenticatorView, FactorView, StateView},
    authenticator::{Authenticator, FactorKind, RecoveryCode, RecoveryStatus, Status},
    error::Error,
    factor::{oob, otp::OtpSecret},
    message::Channel,
    time::Timestamp,
};

impl App {
    /// Everything `account` may be shown at `now`, in the server's order, the recovery code last.
    ///
    /// # Errors
    ///
    /// A sealed factor does not open.
    pub(crate) fn views(&self, account: &Account, now: Timestamp) -> Result<Vec<AuthenticatorView>, Error> {
        let mut views = account.listed(now).into_iter().map(|a| self.view(a)).collect::<Result<Vec<_>, _>>()?;
        // A pending code belongs to a pending enrolment and goes with it.
        let shown =
            account.recovery_code.as_ref().filter(|code| code.status != RecoveryStatus::Pending || !views.is_empty());
        views.extend(shown.map(recovery_view));
        Ok(views)
    }

    /// One authenticator.
    ///
    /// # Errors
    ///
    /// Its sealed factor does not open.
    pub(crate) fn view(&self, authenticator: &Authenticator) -> Result<AuthenticatorView, Error> {
        let factor = match authenticator.kind {
            FactorKind::Otp => {
                let secret = OtpSecret::open(authenticator, self.sealer.as_ref())?;
                FactorView::Otp { algorithm: secret.algorithm(), digits: secret.digits() }
            }
            FactorKind::Push => FactorView::Oob { channel: Channel::Push },
            FactorKind::Sms => FactorView::Oob { channel: Channel::Sms },
            FactorKind::Voice => FactorView::Oob { channel: Channel::Voice },
            FactorKind::Email => FactorView::Oob { channel: Channel::Email },
        };
        Ok(AuthenticatorView {
            id: authenticator.id.clone(),
            factor,
            state: match authenticator.status {
                Status::Pending { .. } => StateView::Pending,
                Status::Active => StateView::Active,
                Status::Disabled => StateView::Disabled,
            },
            name: self.known_as(authenticator)?,
            preferred: authenticator.preferred,
            created_at: authenticator.created_at,
            last_used_at: authenticator.last_used_at,
        })
    }

    /// What its owner knows it by: the name they gave it, or where its codes go, masked.
    ///
    /// # Errors
    ///
    /// Its sealed factor does not open.
    pub(crate) fn known_as(&self, authenticator: &Authenticator) -> Result<Option<String>, Error> {
        match (&authenticator.name, authenticator.kind.channel()) {
            // A device has the name it gave itself when it registered.
            (None, Some(channel)) if channel != Channel::Push => {
                let to = oob::destination(authenticator, self.sealer.as_ref())?;
                Ok(Some(oob::mask(authenticator.kind, to.expose())))
            }
            (name, _) => Ok(name.clone()),
        }
    }
}

fn recovery_view(code: &RecoveryCode) -> AuthenticatorView {
    AuthenticatorView {
        id: code.id.clone(),
        factor: FactorView::RecoveryCode,
        state: match code.status {
            RecoveryStatus::Pending => StateView::Pending,
            RecoveryStatus::Active => StateView::Active,
            RecoveryStatus::Disabled => StateView::Disabled,
        },
        name: None,
        preferred: false,
        created_at: code.created_at,
        last_used_at: None,
    }
}
