//! TLS of the listeners: rustls on aws-lc-rs, 1.3 and, for outside clients, 1.2.

mod peer;
mod side;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, bail};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::CryptoProvider,
    server::{NoServerSessionStorage, WebPkiClientVerifier, danger::ClientCertVerifier},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};

pub use self::{peer::Peer, side::Side};

/// The provider of all cryptography in TLS. Passed on by value; nothing relies on a process-wide default.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The files of one listener.
#[derive(Clone, Debug)]
pub struct Files {
    /// Its certificate chain.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who signs the certificates that clients show.
    pub authorities: Option<Authorities>,
}

/// Who signs the certificates that clients show.
#[derive(Clone, Debug)]
pub struct Authorities {
    /// Their certificates: several, while one replaces another.
    pub file: PathBuf,
    /// Whether a client may come without a certificate.
    pub optional: bool,
}

/// What the files say.
pub struct Loaded {
    /// The TLS side of a listener.
    pub config: Arc<ServerConfig>,
    /// Who judges the certificates of clients.
    pub verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl Files {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// A file cannot be read or is not what it should be; key and certificate do not belong together.
    pub fn load(&self) -> anyhow::Result<Loaded> {
        let chain = certificates(&self.cert)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .with_context(|| format!("cannot read a key from {}", self.key.display()))?;
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let verifier = self.authorities.as_ref().map(Authorities::verifier).transpose()?;
        let builder = match &verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(Arc::clone(verifier)),
        };
        let mut config = builder.with_single_cert(chain, key).context("certificate and key do not fit")?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        if verifier.is_some() {
            // Who resumes a session shows no certificate again: it would outlive its end.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        Ok(Loaded { config: Arc::new(config), verifier })
    }
}

impl Authorities {
    fn verifier(&self) -> anyhow::Result<Arc<dyn ClientCertVerifier>> {
        let path = self.file.display();
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.file)? {
            roots.add(certificate).with_context(|| format!("{path} holds no authority"))?;
        }
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
        let builder = if self.optional { builder.allow_unauthenticated() } else { builder };
        builder.build().with_context(|| format!("{path} cannot verify clients"))
    }
}

/// The certificates in a PEM file, at least one.
///
/// # Errors
///
/// The file cannot be read, or there is none in it.
pub fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>();
    let certificates = read().with_context(|| format!("cannot read certificates from {}", path.display()))?;
    if certificates.is_empty() {
        bail!("{} holds no certificate", path.display());
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests;
