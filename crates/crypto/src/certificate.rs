//! A certificate for an RSA key of the key set. Some libraries, auth0-PHP among them, read such keys from `x5c` alone (RFC 7517,
//! section 4.7). Nobody is to believe what else it says: it is signed by the key itself.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use countersign_domain::port::PortError;
use rcgen::{CertificateParams, DnType, Error, PKCS_RSA_SHA256, PublicKeyData, SignatureAlgorithm, SigningKey};

struct Pair<'a>(&'a RsaKeyPair);

impl PublicKeyData for Pair<'_> {
    fn der_bytes(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

impl SigningKey for Pair<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Error> {
        let mut signature = vec![0; self.0.public_modulus_len()];
        let signed = self.0.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature);
        signed.map(|()| signature).map_err(|_unspecified| Error::RemoteKeyError)
    }
}

/// The self-signed certificate of `pair`, DER (RFC 5280, section 4.1). It follows from the key: every server makes the same one.
///
/// # Errors
///
/// [`PortError::Unavailable`] if the key does not sign.
pub(crate) fn self_signed(pair: &RsaKeyPair) -> Result<Vec<u8>, PortError> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "countersign signing key");
    let certificate = params.self_signed(&Pair(pair));
    certificate
        .map(|certificate| certificate.der().to_vec())
        .map_err(|error| PortError::Unavailable("signing key", Box::new(error)))
}
