//! Messages of `AssociateService`.

use countersign_domain::{
    app::{Bearer, Origin},
    authenticator::MAX_NAME_CHARS,
    error::Error,
    factor::otp::OtpAlgorithm,
    id::AuthenticatorId,
    secret::Secret,
    usecase::{
        associate::{Association, Command, Details, Enrollment},
        authenticators::{ListCommand, Page, UpdateCommand},
        remembered_devices::{self, RememberedDevice},
    },
};
use countersign_proto::v1::{self, associate_authenticator_request, associate_authenticator_response};

use super::{
    Violations,
    authenticator::{self, channel, channel_name},
    given, timestamp,
};

/// Most entries of a page, and how many there are if the request does not say.
const PAGE: u32 = 100;

/// A command, or everything that is wrong with the request.
pub(crate) fn parse(
    request: v1::AssociateAuthenticatorRequest,
    bearer: Bearer,
    origin: Origin,
) -> Result<Command, Error> {
    let mut violations = Violations::default();
    check_name(&request.name, &mut violations);
    let enrollment = match request.enrollment {
        None => {
            violations.add("authenticator_types", "Missing required parameter: authenticator_types".into());
            Enrollment::Otp { algorithm: OtpAlgorithm::Sha1, digits: 6 }
        }
        Some(associate_authenticator_request::Enrollment::Otp(otp)) => {
            let algorithm = match v1::OtpAlgorithm::try_from(otp.algorithm) {
                Ok(v1::OtpAlgorithm::Unspecified | v1::OtpAlgorithm::Sha1) => OtpAlgorithm::Sha1,
                Ok(v1::OtpAlgorithm::Sha256) => OtpAlgorithm::Sha256,
                Ok(v1::OtpAlgorithm::Sha512) => OtpAlgorithm::Sha512,
                Err(_unknown) => {
                    violations.add("algorithm", "algorithm must be SHA1, SHA256 or SHA512".into());
                    OtpAlgorithm::Sha1
                }
            };
            let digits = match otp.digits {
                0 | 6 => 6,
                8 => 8,
                _ => {
                    violations.add("digits", "digits must be 6 or 8".into());
                    6
                }
            };
            Enrollment::Otp { algorithm, digits }
        }
        Some(associate_authenticator_request::Enrollment::Oob(oob)) => {
            let channels: Vec<_> = oob.channels().filter_map(channel).collect();
            if channels.is_empty() || oob.channels.len() > 10 {
                violations.add("oob_channels", "oob_channels must name sms, voice, email or auth0".into());
            }
            violations.at_most("phone_number", &oob.phone_number, 40);
            violations.at_most("email", &oob.email, 254);
            Enrollment::Oob {
                channels,
                phone_number: given(oob.phone_number).map(Secret::new),
                email: given(oob.email).map(Secret::new),
            }
        }
    };
    violations.none(Command { bearer, enrollment, name: given(request.name), origin })
}

/// What the device needs, as a message.
pub(crate) fn render(association: Association) -> v1::AssociateAuthenticatorResponse {
    use associate_authenticator_response::Enrollment;
    v1::AssociateAuthenticatorResponse {
        authenticator: Some(authenticator::render(association.authenticator)),
        enrollment: Some(match association.details {
            Details::Otp(otp) => Enrollment::Otp(v1::OtpEnrollmentDetails {
                secret: otp.secret.surrender(),
                barcode_uri: otp.barcode_uri.surrender(),
                barcode_svg: otp.barcode_svg.surrender(),
            }),
            Details::Oob { oob_code, channel, restricted } => Enrollment::Oob(v1::OobEnrollmentDetails {
                oob_code: oob_code.surrender(),
                channel: channel_name(channel).into(),
                restricted,
            }),
            Details::Push { oob_code, barcode_uri, barcode_svg } => Enrollment::Push(v1::PushEnrollmentDetails {
                oob_code: oob_code.surrender(),
                barcode_uri: barcode_uri.surrender(),
                barcode_svg: barcode_svg.surrender(),
            }),
        }),
        recovery_codes: association.recovery_code.into_iter().map(Secret::surrender).collect(),
    }
}

/// A command, or what is wrong with the request.
pub(crate) fn parse_list(request: v1::ListAuthenticatorsRequest, bearer: Bearer) -> Result<ListCommand, Error> {
    let mut violations = Violations::default();
    if request.page_size > PAGE {
        violations.add("page_size", format!("page_size must be at most {PAGE}"));
    }
    violations.at_most("page_token", &request.page_token, 128);
    let page_size = if request.page_size == 0 { PAGE } else { request.page_size };
    violations.none(ListCommand { bearer, page_size: page_size as usize, page_token: given(request.page_token) })
}

/// What is asked of a list of remembered devices, or what is wrong with it.
pub(crate) fn parse_devices(request: v1::ListRememberedDevicesRequest, bearer: Bearer) -> Result<ListCommand, Error> {
    let v1::ListRememberedDevicesRequest { page_size, page_token } = request;
    parse_list(v1::ListAuthenticatorsRequest { page_size, page_token }, bearer)
}

/// A page of remembered devices as a message.
pub(crate) fn render_devices(page: remembered_devices::Page) -> v1::ListRememberedDevicesResponse {
    let device = |device: RememberedDevice| v1::RememberedDevice {
        device_id: device.id,
        client_id: device.client.as_str().to_owned(),
        create_time: Some(timestamp(device.created_at)),
        use_time: Some(timestamp(device.used_at)),
        expire_time: Some(timestamp(device.expires_at)),
    };
    v1::ListRememberedDevicesResponse {
        devices: page.devices.into_iter().map(device).collect(),
        next_page_token: page.next_page_token.unwrap_or_default(),
    }
}

/// The id of a remembered device, or what is wrong with it.
pub(crate) fn parse_device_id(id: String) -> Result<String, Error> {
    let mut violations = Violations::default();
    let id = violations.required("device_id", id);
    violations.at_most("device_id", &id, 128);
    violations.none(id)
}

/// A page as a message.
pub(crate) fn render_page(page: Page) -> v1::ListAuthenticatorsResponse {
    v1::ListAuthenticatorsResponse {
        authenticators: page.authenticators.into_iter().map(authenticator::render).collect(),
        next_page_token: page.next_page_token.unwrap_or_default(),
    }
}

/// An id, or what is wrong with it.
pub(crate) fn parse_id(id: String) -> Result<AuthenticatorId, Error> {
    let mut violations = Violations::default();
    let id = violations.required("authenticator_id", id);
    violations.at_most("authenticator_id", &id, 128);
    violations.none(AuthenticatorId::new(id))
}

/// A command, or everything that is wrong with the request.
pub(crate) fn parse_update(request: v1::UpdateAuthenticatorRequest, bearer: Bearer) -> Result<UpdateCommand, Error> {
    let mut violations = Violations::default();
    let id = violations.required("authenticator_id", request.authenticator_id);
    violations.at_most("authenticator_id", &id, 128);
    if request.name.is_none() && request.preferred.is_none() {
        violations.add("name", "name or preferred must be given".into());
    }
    check_name(request.name.as_deref().unwrap_or_default(), &mut violations);
    violations.none(UpdateCommand {
        bearer,
        authenticator: AuthenticatorId::new(id),
        name: request.name,
        preferred: request.preferred,
    })
}

fn check_name(name: &str, violations: &mut Violations) {
    violations.at_most("name", name, MAX_NAME_CHARS);
    violations.printable("name", name);
}
