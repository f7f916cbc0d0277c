//! Names of callers in their certificates (RFC 8705, section 2.1).

use std::{collections::BTreeSet, sync::Arc};

/// The longest name, in bytes.
const MAX: usize = 255;

/// A name that an authority has put into a certificate (RFC 5280, section 4.2.1.6). Names are equal or they are not: nothing in them
/// stands for anything else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateName {
    /// A `uniformResourceIdentifier`, such as `spiffe://example.com/shop`.
    Uri(String),
    /// A `dNSName`, in small letters.
    Dns(String),
}

/// The names in the certificate of who calls, which was verified.
pub type CertificateNames = Arc<BTreeSet<CertificateName>>;

impl CertificateName {
    /// The URI.
    pub fn uri(name: &str) -> Self {
        Self::Uri(name.to_owned())
    }

    /// The name of a host.
    pub fn dns(name: &str) -> Self {
        Self::Dns(name.to_ascii_lowercase())
    }

    /// What an operator wrote: a URI if there is a colon in it, and the name of a host otherwise. `None` if it is neither, or stands
    /// for several.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() || text.len() > MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        match text.split_once(':') {
            Some((scheme, rest)) => (is_scheme(scheme) && !rest.is_empty()).then(|| Self::uri(text)),
            None => text.split('.').all(is_label).then(|| Self::dns(text)),
        }
    }
}

/// RFC 3986, section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

/// RFC 1123, section 2.1.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_uri_or_a_host_and_never_a_pattern() {
        let uri = "spiffe://example.com/Shop";
        assert_eq!(CertificateName::parse(uri), Some(CertificateName::Uri(uri.to_owned())));
        assert_eq!(CertificateName::parse("Shop.internal"), Some(CertificateName::Dns("shop.internal".to_owned())));
        for wrong in ["", "*.internal", "a b", "shop.", ".shop", "-a.b", ":x", "1a:x", "spiffe:", "spiffe://ü", "a_b"]
        {
            assert_eq!(CertificateName::parse(wrong), None, "{wrong}");
        }
        assert_eq!(CertificateName::parse(&"a".repeat(256)), None);
    }

    #[test]
    fn a_uri_is_no_host_of_the_same_letters() {
        assert_ne!(CertificateName::uri("shop"), CertificateName::dns("shop"));
        assert_eq!(CertificateName::dns("SHOP"), CertificateName::dns("shop"));
    }
}
