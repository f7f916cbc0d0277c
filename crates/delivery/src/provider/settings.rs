//! What can be wrong in the settings of a provider, and what several of them share.

use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

use rustls_pki_types::{CertificateDer, pem::PemObject as _};
use url::{Host, Url};

/// Why a provider cannot be made from its settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file with further root certificates.
    #[error("{0} holds no root certificates that can be read")]
    Roots(PathBuf, #[source] Option<rustls_pki_types::pem::Error>),
    /// The TLS library refuses.
    #[error("TLS cannot be set up")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The HTTP client refuses.
    #[error("the HTTP client cannot be set up")]
    Http(#[source] reqwest::Error),
    /// A URL that cannot be used.
    #[error("the URL must begin with https://, or with http:// and an address of this machine")]
    Url,
    /// Messages would travel in the clear.
    #[error("without TLS the mail server must be on this machine")]
    Plain,
    /// The sender of e-mails.
    #[error("the sender is no e-mail address")]
    From,
    /// Keys of signatures.
    #[error("a webhook needs secrets of at least {0} bytes")]
    Secret(usize),
}

/// The certificates of a PEM file; none without a file.
pub(super) fn roots(file: Option<&Path>) -> Result<Vec<CertificateDer<'static>>, SettingsError> {
    let Some(file) = file else { return Ok(Vec::new()) };
    let unreadable = |error| SettingsError::Roots(file.to_owned(), error);
    let roots = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match roots {
        Ok(roots) if roots.is_empty() => Err(unreadable(None)),
        Ok(roots) => Ok(roots),
        Err(error) => Err(unreadable(Some(error))),
    }
}

/// Codes travel over TLS, or not at all over the network.
pub(super) fn endpoint(text: &str) -> Result<Url, SettingsError> {
    let url = Url::parse(text).map_err(|_| SettingsError::Url)?;
    let near = match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => is_near(name),
        None => return Err(SettingsError::Url),
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if near => Ok(url),
        _ => Err(SettingsError::Url),
    }
}

/// Whether `host` is this machine.
pub(super) fn is_near(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;

    use super::*;

    #[test]
    fn endpoints_are_encrypted_or_near() {
        for good in ["https://api.example.com", "http://127.0.0.1:8080/x", "http://[::1]:1", "http://localhost"] {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in ["http://api.example.com", "http://localhost.example.com", "ftp://localhost", "api.example.com", ""]
        {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_a_mistake() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("roots.pem");
        assert!(matches!(roots(Some(&path)), Err(SettingsError::Roots(..))));
        fs::write(&path, "nothing").unwrap();
        assert!(matches!(roots(Some(&path)), Err(SettingsError::Roots(_, None))));
        assert!(roots(None).unwrap().is_empty());
    }
}
