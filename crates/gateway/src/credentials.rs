//! How a client says who it is: in the body, by HTTP Basic (RFC 6749, section 2.3.1), or by an assertion (RFC 7523).

use countersign_proto::v1::{ClientAuthentication, ErrorReason, client_authentication::Credential};
use data_encoding::BASE64_NOPAD;
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use percent_encoding::percent_decode_str;

use crate::{
    oauth_error::{Problem, Refusal},
    params::{Parameter, Params},
    reply::ClientId,
};

/// The one type of assertions that is understood (RFC 7523, section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Reads the client's credentials. Only the Basic scheme counts: a stray bearer token is none of a client's business.
///
/// # Errors
///
/// [`Problem::TwoClientAuthentications`], [`Problem::ClientMismatch`], [`Problem::MissingParameter`], [`Problem::NotOneOf`]; a Basic header that
/// cannot be read is a client that is not authenticated.
pub(crate) fn client(headers: &HeaderMap, params: &Params<'_>) -> Result<ClientAuthentication, Refusal> {
    let body_id = params.text(Parameter::ClientId)?;
    let body_secret = params.text(Parameter::ClientSecret)?;
    let assertion = assertion(params)?;
    let basic_header = headers.get(AUTHORIZATION).and_then(|value| scheme(value, "Basic"));
    if usize::from(body_secret.is_some()) + usize::from(assertion.is_some()) + usize::from(basic_header.is_some()) > 1 {
        return Err(Problem::TwoClientAuthentications.into());
    }
    if let Some(assertion) = assertion {
        let credential = Some(Credential::ClientAssertion(assertion));
        return Ok(ClientAuthentication { client_id: body_id.unwrap_or_default().to_owned(), credential });
    }
    let Some(encoded) = basic_header else {
        let client_id = body_id.ok_or(Problem::MissingParameter("client_id"))?.to_owned();
        let credential = body_secret.map(|secret| Credential::ClientSecret(secret.to_owned()));
        return Ok(ClientAuthentication { client_id, credential });
    };
    let (client_id, secret) = basic(encoded).ok_or(Refusal::reason(ErrorReason::ClientUnauthenticated))?;
    if body_id.is_some_and(|id| id != client_id) {
        return Err(Problem::ClientMismatch.into());
    }
    let credential = (!secret.is_empty()).then_some(Credential::ClientSecret(secret));
    Ok(ClientAuthentication { client_id, credential })
}

/// The JWT a client proves itself with (RFC 7521, section 4.2), which must say that it is one.
fn assertion(params: &Params<'_>) -> Result<Option<String>, Problem> {
    let Some(assertion) = params.text(Parameter::ClientAssertion)? else { return Ok(None) };
    match params.text(Parameter::ClientAssertionType)? {
        None => Err(Problem::MissingParameter("client_assertion_type")),
        Some(ASSERTION_TYPE) => Ok(Some(assertion.to_owned())),
        Some(_) => Err(Problem::NotOneOf("client_assertion_type", ASSERTION_TYPE)),
    }
}

/// The same, with the name noted for CORS where it can be read.
pub(crate) fn noted_client(
    headers: &HeaderMap,
    params: &Params<'_>,
    name: &mut Option<ClientId>,
) -> Result<ClientAuthentication, Refusal> {
    let client = client(headers, params);
    if let Ok(client) = &client
        && !client.client_id.is_empty()
    {
        *name = Some(ClientId(client.client_id.clone()));
    }
    client
}

/// The rest of an `Authorization` header of this scheme, whose letter case does not matter (RFC 9110, section 11.1).
pub(crate) fn scheme<'a>(value: &'a HeaderValue, scheme: &str) -> Option<&'a str> {
    let value = value.to_str().ok()?;
    let (name, rest) = value.split_once(' ')?;
    let rest = rest.trim();
    (name.eq_ignore_ascii_case(scheme) && !rest.is_empty()).then_some(rest)
}

/// Client id and secret out of Basic credentials.
///
/// RFC 6749 wants both form-encoded before base64; half of the clients do not do it. They are told apart by what an
/// encoder would have left behind: see [`looks_encoded`]. What stays ambiguous is a raw secret that consists of nothing but
/// unreserved characters and escapes that look valid, such as `a%20b`: it is taken for an encoded one. A secret with a
/// character that encoders replace, such as `/` or `=`, never is.
fn basic(encoded: &str) -> Option<(String, String)> {
    let bytes = BASE64_NOPAD.decode(encoded.trim_end_matches('=').as_bytes()).ok()?;
    let pair = String::from_utf8(bytes).ok()?;
    let (id, secret) = pair.split_once(':')?;
    if id.is_empty() {
        return None;
    }
    if looks_encoded(id) && looks_encoded(secret) && pair.contains('%') {
        Some((decode(id)?, decode(secret)?))
    } else {
        Some((id.to_owned(), secret.to_owned()))
    }
}

/// Whether a form encoder can have written this: valid escapes and characters it leaves alone, nothing else.
fn looks_encoded(text: &str) -> bool {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'%' => {
                [bytes.next(), bytes.next()].iter().all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit()))
            }
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')' | b'+' => true,
            _ => byte.is_ascii_alphanumeric(),
        };
        if !fits {
            return false;
        }
    }
    true
}

fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use data_encoding::BASE64;

    use super::*;

    fn read(basic: &str, body: &str) -> Result<(String, Option<String>), Refusal> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(basic).unwrap());
        let params = Params::parse(&HeaderMap::new(), body.as_bytes()).unwrap();
        client(&headers, &params).map(|client| {
            let proof = client.credential.map(|credential| match credential {
                Credential::ClientSecret(secret) => secret,
                Credential::ClientAssertion(jwt) => format!("signed: {jwt}"),
            });
            (client.client_id, proof)
        })
    }

    fn pair(pair: &str) -> (String, Option<String>) {
        read(&format!("Basic {}", BASE64.encode(pair.as_bytes())), "").ok().unwrap()
    }

    fn both(id: &str, secret: &str) -> (String, Option<String>) {
        (id.to_owned(), Some(secret.to_owned()))
    }

    #[test]
    fn reads_encoded_and_raw_secrets() {
        for (sent, id, secret) in [
            ("web:s3cret", "web", "s3cret"),
            ("web:a%2Fb%2Bc%25d", "web", "a/b+c%d"),
            ("web:a/b+c%d", "web", "a/b+c%d"),
            ("web:a/b+c%2Fd", "web", "a/b+c%2Fd"),
            ("web%2Dapp:a+b", "web-app", "a b"),
            ("web-app:a+b", "web-app", "a+b"),
            ("web:100%", "web", "100%"),
            ("web:a%2fb", "web", "a/b"),
            ("web:p%C3%A9", "web", "pé"),
            ("web:a:b", "web", "a:b"),
        ] {
            assert_eq!(pair(sent), both(id, secret), "{sent}");
        }
    }

    #[test]
    fn the_demo_kind_of_secret_works_from_both_kinds_of_client() {
        let secret = "q8/Zt+3%w=V";
        let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        assert_eq!(pair(&format!("web:{encoded}")), both("web", secret));
        assert_eq!(pair(&format!("web:{secret}")), both("web", secret));
    }

    #[test]
    fn the_scheme_has_no_letter_case_and_padding_may_be_missing() {
        assert_eq!(read("bAsIc d2ViOnM", "").ok().unwrap(), both("web", "s"));
        assert_eq!(read("Basic d2ViOnM=", "client_id=web").ok().unwrap(), both("web", "s"));
        assert_eq!(pair("web:"), ("web".to_owned(), None));
    }

    #[test]
    fn a_stray_bearer_is_ignored() {
        assert_eq!(read("Bearer x", "client_id=web&client_secret=s").ok().unwrap(), both("web", "s"));
    }

    #[test]
    fn refuses_two_ways_at_once_and_two_names() {
        let problem = |basic: &str, body: &str| match read(basic, body).err().unwrap() {
            Refusal::Problem(problem) => problem.outcome(),
            Refusal::Service(refused) => refused.reason.as_str_name(),
        };
        assert_eq!(problem("Basic d2ViOnM=", "client_secret=s"), "TWO_CLIENT_AUTHENTICATIONS");
        let assertion =
            "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=x.y.z";
        assert_eq!(problem("Basic d2ViOnM=", assertion), "TWO_CLIENT_AUTHENTICATIONS");
        assert_eq!(problem("Bearer x", &format!("{assertion}&client_secret=s")), "TWO_CLIENT_AUTHENTICATIONS");
        assert_eq!(problem("Bearer x", "client_assertion=x.y.z"), "MISSING_PARAMETER");
        assert_eq!(problem("Bearer x", "client_assertion=x.y.z&client_assertion_type=other"), "NOT_ONE_OF");
        let both = |id| (id, Some("signed: x.y.z".to_owned()));
        assert_eq!(read("Bearer x", assertion).ok().unwrap(), both(String::new()));
        assert_eq!(read("Bearer x", &format!("{assertion}&client_id=web")).ok().unwrap(), both("web".to_owned()));
        assert_eq!(problem("Basic d2ViOnM=", "client_id=other"), "CLIENT_MISMATCH");
        assert_eq!(problem("Basic %%%", ""), "CLIENT_UNAUTHENTICATED");
        assert_eq!(problem("Basic bm9jb2xvbg==", ""), "CLIENT_UNAUTHENTICATED");
        assert_eq!(problem("Digest x", ""), "MISSING_PARAMETER");
    }
}
