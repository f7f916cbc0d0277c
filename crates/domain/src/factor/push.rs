//! Devices that are asked and sign the answer: the Guardian protocol, and the number that is carried from the
//! login to the device (NIST SP 800-63B-4, section 3.1.3).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    authenticator::Authenticator,
    error::{Error, Reason},
    factor::{damaged, place},
    id::{AuthenticatorId, UserId},
    message::PushService,
    port::{
        device_verifier::DeviceKey,
        sealer::{DigestPurpose, Sealer},
    },
    secret::{Digest, Sealed, Secret},
};

/// The factor class of throttles and logs.
pub const CLASS: &str = "push";

/// The RFC 8176 name: a key was used. Whether hardware keeps it nobody tells us, so the weaker name is said.
pub const METHOD: &str = "swk";

/// The longest identifier and name of a device, in characters.
pub const MAX_IDENTIFIER_CHARS: usize = 256;

/// The longest token of a push service, in bytes; those of Firebase have a few hundred.
pub const MAX_TOKEN_BYTES: usize = 4096;

/// What a device said of itself when it registered.
#[derive(Clone, Debug)]
pub struct Device {
    /// The name its app goes by, the `iss` of what it signs.
    pub identifier: String,
    /// Where it is notified.
    pub push: PushAddress,
    /// Its public key.
    pub key: DeviceKey,
    /// Whether it asks its owner for the number that the login shows.
    pub number_matching: bool,
}

/// Where a device is notified.
#[derive(Clone, Debug)]
pub struct PushAddress {
    /// By whom.
    pub service: PushService,
    /// The token its app has from that service.
    pub token: Secret<String>,
}

/// The sealed form. `v` tells later versions apart. Before its device has registered there is only that.
#[derive(Serialize, Deserialize)]
struct Stored {
    v: u8,
    device: Option<StoredDevice>,
}

#[derive(Serialize, Deserialize)]
struct StoredDevice {
    identifier: String,
    service: PushService,
    token: Zeroizing<String>,
    key: DeviceKey,
    number_matching: bool,
}

/// Seals what is known of the device of the authenticator `id` of `user`; `None` before it has registered.
///
/// # Errors
///
/// The sealer failed.
pub fn seal(
    device: Option<&Device>,
    id: &AuthenticatorId,
    user: &UserId,
    sealer: &dyn Sealer,
) -> Result<Sealed, Error> {
    let device = device.map(|device| StoredDevice {
        identifier: device.identifier.clone(),
        service: device.push.service,
        token: Zeroizing::new(device.push.token.expose().clone()),
        key: device.key.clone(),
        number_matching: device.number_matching,
    });
    let bytes = Zeroizing::new(serde_json::to_vec(&Stored { v: 1, device }).map_err(damaged)?);
    Ok(sealer.seal(place(id, user), &bytes)?)
}

/// The device of `authenticator`; `None` if it has not registered.
///
/// # Errors
///
/// The state does not open at this place, or is none of ours.
pub fn open(authenticator: &Authenticator, sealer: &dyn Sealer) -> Result<Option<Device>, Error> {
    let bytes = sealer.open(place(&authenticator.id, &authenticator.user), &authenticator.state)?;
    let stored: Stored = serde_json::from_slice(bytes.expose()).map_err(damaged)?;
    if stored.v != 1 {
        return Err(Error::new(Reason::Internal).because("unknown version of a sealed factor"));
    }
    Ok(stored.device.map(|device| Device {
        identifier: device.identifier,
        push: PushAddress { service: device.service, token: Secret::new((*device.token).clone()) },
        key: device.key,
        number_matching: device.number_matching,
    }))
}

/// What a device's key is found by.
///
/// # Errors
///
/// The key cannot be written.
pub fn key_digest(key: &DeviceKey, sealer: &dyn Sealer) -> Result<Digest, Error> {
    let key = serde_json::to_vec(key).map_err(damaged)?;
    Ok(sealer.keyed_digest(DigestPurpose::Address, &[b"device", &key]))
}

/// The name devices know their authenticator by: its id without the kind.
pub fn device_id(id: &AuthenticatorId) -> &str {
    id.as_str().split_once('|').map_or("", |(_, device)| device)
}

/// What a device scans to enrol.
pub fn barcode_uri(app: &str, account: &str, ticket: &Secret<String>, base_url: &str) -> Secret<String> {
    let app = utf8_percent_encode(app, ESCAPED);
    let account = utf8_percent_encode(account, ESCAPED);
    let base_url = utf8_percent_encode(base_url, ESCAPED);
    Secret::new(format!("otpauth://totp/{app}:{account}?enrollment_tx_id={}&base_url={base_url}", ticket.expose()))
}

/// What stays as it is in a URI's part: RFC 3986's unreserved characters.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_barcode_is_as_recorded() {
        let ticket = Secret::new("t5FmaYNt8APzKlh3WCRNLi2dG3uZYnAC".to_owned());
        let uri = barcode_uri("My Test Tenant", "user@example.com", &ticket, "https://login.example.com/appliance-mfa");
        assert_eq!(
            uri.expose(),
            "otpauth://totp/My%20Test%20Tenant:user%40example.com?enrollment_tx_id=t5FmaYNt8APzKlh3WCRNLi2dG3uZYnAC\
             &base_url=https%3A%2F%2Flogin.example.com%2Fappliance-mfa"
        );
    }

    #[test]
    fn a_device_is_known_by_its_authenticators_id() {
        assert_eq!(device_id(&AuthenticatorId::new("push|dev_BBTKYpxKHOXVBnql")), "dev_BBTKYpxKHOXVBnql");
    }
}
