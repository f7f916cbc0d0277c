//! Messages of `DeviceService`.

use countersign_domain::{
    app::Bearer,
    authenticator::MAX_NAME_CHARS,
    error::Error,
    factor::{
        otp::PERIOD,
        push::{MAX_IDENTIFIER_CHARS, MAX_TOKEN_BYTES, PushAddress},
    },
    message::PushService,
    port::{
        device_verifier::DeviceKey,
        signer::{Algorithm, KeyMaterial},
    },
    secret::Secret,
    usecase::devices::{EnrollCommand, Maintained, Registration, UpdateCommand},
};
use countersign_proto::v1::{self, enroll_device_request::PublicKey};

use super::{Violations, given};

/// The longest number of a key, in base64url: 8192 bits.
const MAX_NUMBER: usize = 1366;

/// A command, or everything that is wrong with the request.
pub(crate) fn parse(request: v1::EnrollDeviceRequest) -> Result<EnrollCommand, Error> {
    let mut violations = Violations::default();
    let identifier = violations.required("identifier", request.identifier);
    check_names(&identifier, &request.name, &mut violations);
    if request.push_credentials.is_none() {
        violations.add("push_credentials", "Missing required parameter: push_credentials".into());
    }
    let push = request.push_credentials.and_then(|push| address(push, &mut violations));
    let key = public_key(request.public_key, &mut violations);
    let ticket = Secret::new(request.ticket);
    let command = key.zip(push).map(|(key, push)| EnrollCommand {
        ticket,
        identifier,
        name: request.name,
        push,
        key,
        number_matching: request.number_matching,
    });
    // One that is not there has been noted.
    violations.none(command).and_then(|command| command.ok_or_else(|| Error::missing("public_key")))
}

/// A command, or everything that is wrong with the request.
pub(crate) fn parse_update(request: v1::UpdateDeviceRequest, bearer: Bearer) -> Result<UpdateCommand, Error> {
    let mut violations = Violations::default();
    check_names(&request.identifier, &request.name, &mut violations);
    let push = request.push_credentials.and_then(|push| address(push, &mut violations));
    let device_id = parse_id(request.device_id, &mut violations);
    violations.none(UpdateCommand {
        device_id,
        bearer,
        identifier: given(request.identifier),
        name: given(request.name),
        push,
    })
}

/// A device's id, or what is wrong with it.
pub(crate) fn parse_delete(request: v1::DeleteDeviceRequest) -> Result<String, Error> {
    let mut violations = Violations::default();
    let id = parse_id(request.device_id, &mut violations);
    violations.none(id)
}

fn parse_id(id: String, violations: &mut Violations) -> String {
    let id = violations.required("device_id", id);
    violations.at_most("device_id", &id, 128);
    id
}

fn check_names(identifier: &str, name: &str, violations: &mut Violations) {
    violations.at_most("identifier", identifier, MAX_IDENTIFIER_CHARS);
    violations.printable("identifier", identifier);
    violations.at_most("name", name, MAX_NAME_CHARS);
    violations.printable("name", name);
}

fn address(push: v1::PushCredentials, violations: &mut Violations) -> Option<PushAddress> {
    let service = match push.service() {
        v1::PushService::Fcm => Some(PushService::Fcm),
        v1::PushService::Apns => Some(PushService::Apns),
        v1::PushService::Unspecified => None,
    };
    if service.is_none() {
        violations.add("push_credentials", "push_credentials.service must be GCM or APNS".into());
    }
    if push.token.is_empty() || push.token.len() > MAX_TOKEN_BYTES || !push.token.bytes().all(|b| b.is_ascii_graphic())
    {
        let description = format!("push_credentials.token must have 1 to {MAX_TOKEN_BYTES} visible ASCII characters");
        violations.add("push_credentials", description);
    }
    service.map(|service| PushAddress { service, token: Secret::new(push.token) })
}

fn public_key(key: Option<PublicKey>, violations: &mut Violations) -> Option<DeviceKey> {
    let (algorithm, material) = match key {
        None => {
            violations.add("public_key", "Missing required parameter: public_key".into());
            return None;
        }
        Some(PublicKey::Rsa(v1::DeviceRsaKey { modulus, exponent })) => {
            (Algorithm::Rs256, KeyMaterial::Rsa { modulus, exponent })
        }
        Some(PublicKey::Ec(v1::DeviceEcKey { x, y })) => (Algorithm::Es256, KeyMaterial::Ec { x, y }),
    };
    let longest = match &material {
        KeyMaterial::Rsa { modulus: one, exponent: other } | KeyMaterial::Ec { x: one, y: other } => {
            one.len().max(other.len())
        }
        KeyMaterial::Okp { x } => x.len(),
    };
    if longest > MAX_NUMBER {
        violations.add("public_key", "public_key is too long".into());
    }
    Some(DeviceKey { algorithm, material })
}

/// What the device keeps, as a message.
pub(crate) fn render(registration: Registration) -> v1::EnrollDeviceResponse {
    v1::EnrollDeviceResponse {
        device_id: registration.device_id,
        url: registration.url,
        issuer: registration.issuer,
        user_id: registration.user.as_str().to_owned(),
        token: registration.token.surrender(),
        totp: registration.totp.map(|app| v1::DeviceTotp {
            secret: app.secret.surrender(),
            algorithm: app.algorithm.as_str().to_owned(),
            digits: app.digits.into(),
            period: u32::try_from(PERIOD).unwrap_or(30),
        }),
    }
}

/// A device as it is kept now, as a message.
pub(crate) fn render_maintained(device_id: String, device: Maintained) -> v1::UpdateDeviceResponse {
    let service = match device.push.service {
        PushService::Fcm => v1::PushService::Fcm,
        PushService::Apns => v1::PushService::Apns,
    };
    v1::UpdateDeviceResponse {
        device_id,
        identifier: device.identifier,
        name: device.name.unwrap_or_default(),
        push_credentials: Some(v1::PushCredentials { service: service.into(), token: device.push.token.surrender() }),
    }
}
