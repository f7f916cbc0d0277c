//! Between messages and commands. `parse` finds every wrong field at once; `render` cannot fail.

mod asserted;
pub mod associate;
pub mod authenticator;
pub mod challenge;
pub mod device;
pub mod notice;
pub mod token;

use std::collections::BTreeMap;

use countersign_domain::{
    app::{ClientCredentials, ClientProof},
    certificate::CertificateNames,
    client::MAX_SECRET_CHARS,
    error::{Error, Violation},
    id::ClientId,
    registry::Client,
    secret::Secret,
    time::Timestamp,
};
use countersign_proto::v1::{self, client_authentication::Credential};

/// Collects what is wrong with a request.
#[derive(Default)]
pub(crate) struct Violations(Vec<Violation>);

impl Violations {
    /// `value`, unless it is absent; then that is noted and the answer is empty.
    pub(crate) fn required(&mut self, field: &'static str, value: String) -> String {
        if value.is_empty() {
            self.add(field, format!("Missing required parameter: {field}"));
        }
        value
    }

    /// Notes that `value` is longer than `most` characters, if it is.
    pub(crate) fn at_most(&mut self, field: &'static str, value: &str, most: usize) {
        if value.len() > most && value.chars().count() > most {
            self.add(field, format!("{field} must have at most {most} characters"));
        }
    }

    /// Notes that `value` has control characters, if it has.
    pub(crate) fn printable(&mut self, field: &'static str, value: &str) {
        // Those that turn the direction of what follows around make one name look like another.
        let turns =
            |symbol| matches!(symbol, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if value.chars().any(|symbol| symbol.is_control() || turns(symbol)) {
            self.add(field, format!("{field} must not have control characters"));
        }
    }

    /// Notes that `field` is wrong.
    pub(crate) fn add(&mut self, field: &'static str, description: String) {
        self.0.push(Violation { field, description });
    }

    /// `value` if nothing is wrong.
    pub(crate) fn none<T>(self, value: T) -> Result<T, Error> {
        if self.0.is_empty() { Ok(value) } else { Err(Error::violations(self.0)) }
    }
}

/// `None` where the protobuf field has its default, which means absent.
pub(crate) fn given(value: String) -> Option<String> {
    Some(value).filter(|value| !value.is_empty())
}

/// What a request is read beside.
pub(crate) struct Known<'a> {
    /// The names in the certificate of the connection.
    pub certificate: Option<CertificateNames>,
    /// The clients there are.
    pub clients: &'a BTreeMap<ClientId, Client>,
}

/// What came of a client, in the message and with the connection.
pub(crate) fn client(
    client: Option<v1::ClientAuthentication>,
    known: Known<'_>,
    violations: &mut Violations,
) -> ClientCredentials {
    let v1::ClientAuthentication { client_id, credential } = client.unwrap_or_default();
    violations.at_most("client_id", &client_id, ClientId::MAX_CHARS);
    let proof = match credential {
        None => None,
        Some(Credential::ClientSecret(secret)) => {
            violations.at_most("client_secret", &secret, MAX_SECRET_CHARS);
            given(secret).map(Secret::new).map(ClientProof::Secret)
        }
        Some(Credential::ClientAssertion(jwt)) => given(jwt).map(Secret::new).map(ClientProof::Assertion),
    };
    let asserted = matches!(proof, Some(ClientProof::Assertion(_)));
    let client_id = if asserted { client_id } else { violations.required("client_id", client_id) };
    let client_id = given(client_id).map(ClientId::new);
    // A name that no client has is whatever somebody typed.
    if let Some(id) = client_id.as_ref().filter(|id| known.clients.contains_key(*id)) {
        countersign_telemetry::note(|facts| facts.client_id = Some(id.as_str().to_owned()));
    }
    ClientCredentials { client_id, proof, certificate: known.certificate }
}

pub(crate) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: time.as_secs(),
        nanos: i32::try_from(time.as_millis().rem_euclid(1000)).unwrap_or(0) * 1_000_000,
    }
}
