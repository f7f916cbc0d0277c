#![allow(clippy::unwrap_used)]

use std::{fs, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};
use rustls_pki_types::UnixTime;

use super::*;

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.not_after = date_time_ymd(2090, 1, 1);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn verifier(of: &[&CertifiedIssuer<'static, KeyPair>]) -> Arc<dyn ClientCertVerifier> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    fs::write(&file, of.iter().map(|authority| authority.pem()).collect::<String>()).unwrap();
    Authorities { file, optional: false }.verifier().unwrap()
}

#[test]
fn a_certificate_that_has_ended_or_whose_authority_is_gone_is_not_good_any_more() {
    let (authority, next) = (self::authority(), self::authority());
    let mut params = CertificateParams::new(["shop.internal".to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2026, 1, 2);
    let leaf = params.signed_by(&KeyPair::generate().unwrap(), &authority).unwrap();
    let peer = Peer::new(&[leaf.der().clone()]).unwrap();
    // 2026-01-01, noon.
    let (noon, day) = (1_767_268_800, 86_400);
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let both = verifier(&[&authority, &next]);
    assert!(peer.is_good(both.as_ref(), at(noon)));
    assert!(!peer.is_good(both.as_ref(), at(noon + day)));
    assert!(!peer.is_good(both.as_ref(), at(noon - day)));
    assert!(!peer.is_good(verifier(&[&next]).as_ref(), at(noon)));
    assert!(Peer::new(&[]).is_none());
}
