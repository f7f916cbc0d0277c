//! The demo's own certificate authority, and the one certificate it ever signs.
//!
//! The authority's key is thrown away once it has signed, so that trusting `ca.pem` trusts nothing but this demo.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

use super::write_private;

/// Names the certificate is for.
const NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Where the files are.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority, for clients to trust.
    pub ca: PathBuf,
    /// The certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Certificates {
    /// Where they are in `dir`.
    pub fn in_dir(dir: &Path) -> Self {
        Self { ca: dir.join("ca.pem"), cert: dir.join("server.pem"), key: dir.join("server-key.pem") }
    }

    /// Those in `dir`, made if they are not there.
    ///
    /// # Errors
    ///
    /// They cannot be made or written.
    pub fn keep(dir: &Path) -> anyhow::Result<Self> {
        let files = Self::in_dir(dir);
        if !(files.ca.exists() && files.cert.exists() && files.key.exists()) {
            files.make()?;
        }
        Ok(files)
    }

    fn make(&self) -> anyhow::Result<()> {
        let issuer = CertifiedIssuer::self_signed(authority()?, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let cert = server()?.signed_by(&key, &issuer)?;
        write_private(&self.key, zeroize::Zeroizing::new(key.serialize_pem()).as_bytes())?;
        write_private(&self.cert, cert.pem().as_bytes())?;
        write_private(&self.ca, issuer.pem().as_bytes())
    }
}

fn authority() -> Result<CertificateParams, rcgen::Error> {
    let mut params = params("countersign demo authority", &[])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn server() -> Result<CertificateParams, rcgen::Error> {
    let mut params = params("countersign demo", &NAMES)?;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

/// The times are far apart on purpose: a demo that was left for a year must still start.
fn params(name: &str, names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2049, 1, 1);
    Ok(params)
}
