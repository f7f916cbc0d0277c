//! Authenticators as messages.

use countersign_domain::{
    app::{AuthenticatorView, FactorView, StateView},
    factor::otp::OtpAlgorithm,
    message::Channel,
};
use countersign_proto::v1::{self, authenticator};

use super::timestamp;

/// One authenticator.
pub(crate) fn render(view: AuthenticatorView) -> v1::Authenticator {
    v1::Authenticator {
        authenticator_id: view.id.as_str().to_owned(),
        factor: Some(match view.factor {
            FactorView::Otp { algorithm, digits } => authenticator::Factor::Otp(v1::OtpFactor {
                algorithm: algorithm_name(algorithm).into(),
                digits: digits.into(),
            }),
            FactorView::Oob { channel } => {
                authenticator::Factor::Oob(v1::OobFactor { channel: channel_name(channel).into() })
            }
            FactorView::RecoveryCode => authenticator::Factor::RecoveryCode(v1::RecoveryCodeFactor {}),
        }),
        state: match view.state {
            StateView::Pending => v1::AuthenticatorState::Pending,
            StateView::Active => v1::AuthenticatorState::Active,
            StateView::Disabled => v1::AuthenticatorState::Disabled,
        }
        .into(),
        name: view.name.unwrap_or_default(),
        preferred: view.preferred,
        create_time: Some(timestamp(view.created_at)),
        last_use_time: view.last_used_at.map(timestamp),
    }
}

/// The channel's name in messages.
pub(crate) const fn channel_name(channel: Channel) -> v1::OobChannel {
    match channel {
        Channel::Sms => v1::OobChannel::Sms,
        Channel::Voice => v1::OobChannel::Voice,
        Channel::Email => v1::OobChannel::Email,
        Channel::Push => v1::OobChannel::Push,
    }
}

/// The channel a message names.
pub(crate) const fn channel(name: v1::OobChannel) -> Option<Channel> {
    match name {
        v1::OobChannel::Unspecified => None,
        v1::OobChannel::Sms => Some(Channel::Sms),
        v1::OobChannel::Voice => Some(Channel::Voice),
        v1::OobChannel::Email => Some(Channel::Email),
        v1::OobChannel::Push => Some(Channel::Push),
    }
}

const fn algorithm_name(algorithm: OtpAlgorithm) -> v1::OtpAlgorithm {
    match algorithm {
        OtpAlgorithm::Sha1 => v1::OtpAlgorithm::Sha1,
        OtpAlgorithm::Sha256 => v1::OtpAlgorithm::Sha256,
        OtpAlgorithm::Sha512 => v1::OtpAlgorithm::Sha512,
    }
}
