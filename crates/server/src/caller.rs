//! Who calls, and what they may say about the person.
//!
//! The transport says who calls, in the extensions of a request, which nobody can send over the wire.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use countersign_domain::{
    app::{Bearer, Origin},
    certificate::CertificateNames,
    error::{Error, Reason},
    secret::Secret,
};
use countersign_proto::v1::EndUserContext;
use tonic::{Extensions, metadata::MetadataMap};

/// The address of the connection a request came on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub SocketAddr);

/// Who calls. Without it a call is [`Caller::Direct`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The gateway of this process.
    InProcessGateway,
    /// A gateway elsewhere, known by its certificate.
    Gateway,
    /// Whoever has a certificate with these names, which was verified.
    Certified(CertificateNames),
    /// Anybody else.
    Direct,
}

/// Header of a client that tells its user's address, as gateways pass it on.
const FORWARDED_FOR: &str = "x-auth0-forwarded-for";

/// Where the person is, as far as this caller is believed.
pub(crate) fn origin(extensions: &Extensions, metadata: &MetadataMap, context: Option<&EndUserContext>) -> Origin {
    let languages = context.map(|context| kept(&context.locale)).filter(|languages| !languages.is_empty());
    let user_agent = context.map(|context| shown(&context.user_agent)).filter(|agent| !agent.is_empty());
    let peer = extensions.get::<PeerAddress>().map(|peer| peer.0.ip());
    match extensions.get::<Caller>() {
        Some(Caller::InProcessGateway | Caller::Gateway) => Origin {
            address: match context {
                Some(context) if !context.address.is_empty() => context.address.parse().ok(),
                _ => peer,
            },
            forwarded_for: metadata.get(FORWARDED_FOR).and_then(|value| first_address(value.to_str().ok()?)),
            languages,
            user_agent,
            ..Origin::default()
        },
        Some(Caller::Certified(_) | Caller::Direct) | None => {
            Origin { address: peer, languages, user_agent, ..Origin::default() }
        }
    }
}

/// The names in the certificate of a client that calls by itself. A gateway's own certificate proves none of its clients.
pub(crate) fn certificate(extensions: &Extensions) -> Option<CertificateNames> {
    match extensions.get::<Caller>() {
        Some(Caller::Certified(names)) => Some(Arc::clone(names)),
        Some(Caller::InProcessGateway | Caller::Gateway | Caller::Direct) | None => None,
    }
}

/// What is read of the languages a caller names.
fn kept(languages: &str) -> String {
    languages.chars().filter(char::is_ascii_graphic).take(256).collect()
}

/// What is kept of a user agent, which is only ever shown.
fn shown(agent: &str) -> String {
    agent.chars().filter(|symbol| symbol.is_ascii_graphic() || *symbol == ' ').take(256).collect()
}

fn first_address(list: &str) -> Option<IpAddr> {
    list.split(',').next()?.trim().parse().ok()
}

/// The bearer token of a call.
///
/// # Errors
///
/// `missing`, if there is none.
pub(crate) fn bearer(metadata: &MetadataMap, missing: Reason) -> Result<Bearer, Error> {
    let refused = || Error::new(missing).because("no bearer");
    let header = metadata.get("authorization").and_then(|value| value.to_str().ok()).ok_or_else(refused)?;
    let (scheme, token) = header.split_once(' ').ok_or_else(refused)?;
    if scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() {
        Ok(Secret::new(token.to_owned()))
    } else {
        Err(refused())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(address: &str) -> EndUserContext {
        EndUserContext { address: address.into(), ..EndUserContext::default() }
    }

    fn metadata(name: &'static str, value: &'static str) -> MetadataMap {
        let mut map = MetadataMap::new();
        map.insert(name, value.parse().unwrap());
        map
    }

    #[test]
    fn only_gateways_are_believed() {
        let mut extensions = Extensions::new();
        extensions.insert(PeerAddress("192.0.2.1:5".parse().unwrap()));
        let forwarded = metadata(FORWARDED_FOR, "203.0.113.9, 10.0.0.1");
        let direct = origin(&extensions, &forwarded, Some(&context("198.51.100.7")));
        assert_eq!(direct.address, "192.0.2.1".parse().ok());
        assert_eq!(direct.forwarded_for, None);

        extensions.insert(Caller::InProcessGateway);
        let gateway = origin(&extensions, &forwarded, Some(&context("198.51.100.7")));
        assert_eq!(gateway.address, "198.51.100.7".parse().ok());
        assert_eq!(gateway.forwarded_for, "203.0.113.9".parse().ok());
        assert_eq!(origin(&extensions, &forwarded, Some(&context("nonsense"))).address, None);

        extensions.insert(Caller::Gateway);
        let elsewhere = origin(&extensions, &forwarded, Some(&context("198.51.100.7")));
        assert_eq!((elsewhere.address, elsewhere.forwarded_for), (gateway.address, gateway.forwarded_for));
        assert_eq!(certificate(&extensions), None);

        let names = CertificateNames::default();
        extensions.insert(Caller::Certified(Arc::clone(&names)));
        let certified = origin(&extensions, &forwarded, Some(&context("198.51.100.7")));
        assert_eq!((certified.address, certified.forwarded_for), ("192.0.2.1".parse().ok(), None));
        assert_eq!(certificate(&extensions), Some(names));
    }

    #[test]
    fn the_scheme_is_read_in_any_case_and_nothing_else_is_a_bearer() {
        let token = bearer(&metadata("authorization", "bEaReR abc"), Reason::MfaTokenInvalid).unwrap();
        assert_eq!(token.expose(), "abc");
        for value in ["abc", "Basic abc", "Bearer ", "Bearer"] {
            let error = bearer(&metadata("authorization", value), Reason::MfaTokenInvalid).unwrap_err();
            assert_eq!(error.reason(), Reason::MfaTokenInvalid, "{value}");
        }
        assert!(bearer(&MetadataMap::new(), Reason::AccessTokenInvalid).is_err());
    }
}
