//! The text of an enrolment's barcode.

use countersign_domain::secret::Secret;
use url::Url;

use super::base_url::BaseUrl;
use crate::cli::exit::Failure;

/// Characters of a ticket.
const TICKET_LENGTH: usize = 32;

/// What a barcode tells a phone: `otpauth://totp/App:label?enrollment_tx_id=…&base_url=…`.
#[derive(Debug)]
pub struct Barcode {
    /// What an enrolment is allowed with, once.
    pub ticket: Secret<String>,
    /// Where to enrol.
    pub base_url: BaseUrl,
}

impl Barcode {
    /// Reads it.
    ///
    /// # Errors
    ///
    /// It is no barcode of an enrolment for push, and what it is instead if that can be told. It is not repeated.
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let url = Url::parse(text.trim()).map_err(|_| refused("it holds no otpauth:// text"))?;
        if url.scheme() != "otpauth" || url.host_str() != Some("totp") {
            return Err(refused("it does not begin with otpauth://totp/"));
        }
        let ticket = match parameter(&url, "enrollment_tx_id")? {
            Some(ticket) => ticket,
            None if parameter(&url, "secret")?.is_some() => {
                return Err(refused("it is for an app that makes codes, not for one that is asked"));
            }
            None => return Err(refused("it has no enrollment_tx_id")),
        };
        if ticket.len() != TICKET_LENGTH || !ticket.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(refused("its enrollment_tx_id is not 32 letters and digits"));
        }
        let base_url = parameter(&url, "base_url")?.ok_or_else(|| refused("it has no base_url"))?;
        Ok(Self { ticket: Secret::new(ticket), base_url: BaseUrl::parse(&base_url)? })
    }
}

fn parameter(url: &Url, name: &str) -> Result<Option<String>, Failure> {
    let mut values = url.query_pairs().filter(|(key, _)| key == name).map(|(_, value)| value.into_owned());
    let value = values.next();
    if values.next().is_some() { Err(refused(&format!("it has {name} twice"))) } else { Ok(value) }
}

fn refused(why: &str) -> Failure {
    Failure::Data(format!("The barcode cannot be used: {why}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const TICKET: &str = "0123456789abcdefGHIJKLMNOPQRSTUV";
    const BASE: &str = "base_url=https%3A%2F%2Flocalhost%3A8443%2Fappliance-mfa";

    #[test]
    fn a_barcode_says_where_and_with_what_to_enrol() {
        let text = format!("otpauth://totp/My%20App:ada%40example.com?enrollment_tx_id={TICKET}&{BASE}\n");
        let barcode = Barcode::parse(&text).unwrap();
        assert_eq!(barcode.ticket.expose(), TICKET);
        assert_eq!(barcode.base_url.to_string(), "https://localhost:8443/appliance-mfa");
        assert!(!format!("{barcode:?}").contains(TICKET));
    }

    #[test]
    fn other_barcodes_are_told_apart() {
        let tx = format!("enrollment_tx_id={TICKET}");
        for (text, why) in [
            (String::new(), "no otpauth:// text"),
            ("https://example.com/?a=b".to_owned(), "does not begin with otpauth://totp/"),
            (format!("otpauth://hotp/a?{tx}&{BASE}"), "does not begin with otpauth://totp/"),
            ("otpauth://totp/a?secret=GEZDGNBV".to_owned(), "makes codes"),
            (format!("otpauth://totp/a?{BASE}"), "no enrollment_tx_id"),
            (format!("otpauth://totp/a?enrollment_tx_id=short&{BASE}"), "32 letters and digits"),
            (format!("otpauth://totp/a?{tx}&{tx}&{BASE}"), "enrollment_tx_id twice"),
            (format!("otpauth://totp/a?{tx}"), "no base_url"),
            (format!("otpauth://totp/a?{tx}&base_url=http%3A%2F%2Fa.example"), "https://"),
        ] {
            let error = Barcode::parse(&text).unwrap_err();
            assert!(matches!(&error, Failure::Data(message) if message.contains(why)), "{text}: {error}");
            assert!(!error.to_string().contains(TICKET));
        }
    }
}
