//! Authorities and certificates, and gRPC over connections that use them.

use std::{fs, net::SocketAddr, path::Path, sync::Arc};

use countersign_proto::v1::{
    challenge_service_client::ChallengeServiceClient, token_service_client::TokenServiceClient,
};
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, SanType, date_time_ymd,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;

/// An authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate with its key.
pub struct Leaf {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

/// What differs between certificates.
pub struct Wish<'a> {
    /// Its names: URIs have a colon.
    pub names: &'a [&'a str],
    /// The name of its subject, which names nobody.
    pub subject: &'a str,
    /// What it is for.
    pub usage: ExtendedKeyUsagePurpose,
    /// The years from whose first day it is good, and on whose first day it ends.
    pub years: (i32, i32),
}

impl Default for Wish<'_> {
    fn default() -> Self {
        Self { names: &[], subject: "somebody", usage: ExtendedKeyUsagePurpose::ClientAuth, years: (2024, 2090) }
    }
}

fn params(wish: &Wish<'_>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, wish.subject);
    params.not_before = date_time_ymd(wish.years.0, 1, 1);
    params.not_after = date_time_ymd(wish.years.1, 1, 1);
    let name = |name: &&str| {
        let text = (*name).try_into().expect("it is ASCII");
        if name.contains(':') { SanType::URI(text) } else { SanType::DnsName(text) }
    };
    params.subject_alt_names = wish.names.iter().map(name).collect();
    params
}

impl Authority {
    /// A new one.
    pub fn new(name: &str) -> Self {
        let mut params = params(&Wish { subject: name, ..Wish::default() });
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Its certificate.
    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a client with these names.
    pub fn client(&self, names: &[&str]) -> Leaf {
        self.sign(&Wish { names, ..Wish::default() })
    }

    /// A certificate for a server on this machine.
    pub fn server(&self) -> Leaf {
        self.sign(&Wish { names: &["localhost"], usage: ExtendedKeyUsagePurpose::ServerAuth, ..Wish::default() })
    }

    /// A certificate as wished.
    pub fn sign(&self, wish: &Wish<'_>) -> Leaf {
        let mut params = params(wish);
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![wish.usage.clone()];
        let key = KeyPair::generate().unwrap();
        Leaf { certificate: params.signed_by(&key, &self.0).unwrap(), key }
    }

    /// The client side of TLS that trusts this authority and shows `leaf`.
    pub fn dialled_with(&self, leaf: Option<&Leaf>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.0.der().to_vec())).unwrap();
        let builder = ClientConfig::builder_with_provider(countersign::tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match leaf {
            None => builder.with_no_client_auth(),
            Some(leaf) => {
                let key = PrivateKeyDer::try_from(leaf.key.serialize_der()).unwrap();
                builder.with_client_auth_cert(vec![leaf.certificate.der().clone()], key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        Arc::new(config)
    }
}

impl Leaf {
    /// Writes it and its key to `cert` and `key` of `folder`.
    pub fn write(&self, folder: &Path, cert: &str, key: &str) {
        fs::write(folder.join(cert), self.certificate.pem()).unwrap();
        fs::write(folder.join(key), self.key.serialize_pem()).unwrap();
    }
}

/// gRPC over TLS.
#[derive(Clone)]
pub struct Dialled {
    /// `TokenService`.
    pub token: TokenServiceClient<Channel>,
    /// `ChallengeService`.
    pub challenge: ChallengeServiceClient<Channel>,
}

/// Connects when it is first used, and again when a connection has ended.
pub fn dial(address: SocketAddr, tls: Arc<ClientConfig>) -> Dialled {
    let connect = move |_| {
        let tls = TlsConnector::from(Arc::clone(&tls));
        async move {
            let stream = TcpStream::connect(address).await?;
            let name = ServerName::try_from("localhost").expect("it is a name");
            tls.connect(name, stream).await.map(TokioIo::new)
        }
    };
    let channel = Endpoint::from_static("http://localhost").connect_with_connector_lazy(tower::service_fn(connect));
    Dialled { token: TokenServiceClient::new(channel.clone()), challenge: ChallengeServiceClient::new(channel) }
}

/// The reason that a refusal names, if the services said it: a connection that fails has none.
#[track_caller]
pub fn reason<T>(outcome: Result<T, Status>) -> Option<String> {
    let Err(status) = outcome else { panic!("it was not refused") };
    Some(status.get_details_error_info()?.reason)
}
