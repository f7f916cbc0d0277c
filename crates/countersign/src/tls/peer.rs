//! Who is at the other end, by the certificate that was shown.

use std::{collections::BTreeSet, sync::Arc};

use countersign_domain::certificate::{CertificateName, CertificateNames};
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::EndEntityCert;

/// A certificate that was verified, and those that came with it.
#[derive(Clone, Debug)]
pub struct Peer {
    certificate: CertificateDer<'static>,
    intermediates: Vec<CertificateDer<'static>>,
}

impl Peer {
    /// The one with this chain, which a handshake has verified.
    pub fn new(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let (certificate, intermediates) = chain.split_first()?;
        let owned = |one: &CertificateDer<'_>| one.clone().into_owned();
        Some(Self { certificate: owned(certificate), intermediates: intermediates.iter().map(owned).collect() })
    }

    /// The names in it.
    pub fn names(&self) -> CertificateNames {
        let Ok(certificate) = EndEntityCert::try_from(&self.certificate) else { return CertificateNames::default() };
        let names: BTreeSet<_> = certificate
            .valid_uri_names()
            .map(CertificateName::uri)
            .chain(certificate.valid_dns_names().map(CertificateName::dns))
            .collect();
        Arc::new(names)
    }

    /// Whether it is good at `now` in the eyes of `verifier`, which may know other authorities than at the handshake.
    pub fn is_good(&self, verifier: &dyn ClientCertVerifier, now: UnixTime) -> bool {
        verifier.verify_client_cert(&self.certificate, &self.intermediates, now).is_ok()
    }
}
