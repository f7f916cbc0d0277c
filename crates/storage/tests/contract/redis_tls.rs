//! Redis over TLS, by an authority of the test's own.

use std::sync::Arc;

use countersign_domain::port::{PortError, session_store::SessionStore as _};
use countersign_storage::{
    contract::{sessions, throttles},
    memory::MemoryStore,
    open::Stores,
    redis::{RedisOptions, RedisSessionStore, TimeSource},
    testing_redis::{RedisServer, RedisServerOptions},
};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

/// A server with a certificate, and the certificate of who issued it.
fn server() -> (RedisServer, Vec<u8>) {
    let authority = authority();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let tls = Some((leaf.pem(), key.serialize_pem()));
    let server = RedisServer::start(RedisServerOptions { tls, ..RedisServerOptions::default() });
    (server, authority.pem().into_bytes())
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn trusting(ca_pem: Option<Vec<u8>>) -> RedisOptions {
    RedisOptions { time: TimeSource::Caller, ca_pem, ..RedisOptions::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_store_keeps_its_promises_over_tls() {
    let (server, ca) = server();
    assert!(server.url().starts_with("rediss://"), "{}", server.url());
    let store = RedisSessionStore::connect(&server.url(), trusting(Some(ca))).await.unwrap();
    store.begin().await.unwrap();
    let mut stores = Stores::of(Arc::new(MemoryStore::default()));
    stores.sessions = Arc::new(store);
    sessions::it_answers_a_ping(&stores).await;
    sessions::a_transaction_reads_back(&stores).await;
    throttles::three_hundred_at_once_get_exactly_ten(&stores).await;
}

#[tokio::test]
async fn a_server_whose_authority_is_not_trusted_is_refused() {
    let (server, ca) = server();
    for trusted in [None, Some(authority().pem().into_bytes())] {
        let refused = RedisSessionStore::connect(&server.url(), trusting(trusted)).await.err().unwrap();
        assert!(matches!(refused, PortError::Unavailable(..)), "{refused:?}");
        assert!(format!("{refused:?}").contains("invalid peer certificate"), "{refused:?}");
    }
    // Nor does it speak anything but TLS.
    let plain = format!("redis://127.0.0.1:{}", server.port());
    assert!(RedisSessionStore::connect(&plain, trusting(None)).await.is_err());
    RedisSessionStore::connect(&server.url(), trusting(Some(ca))).await.unwrap().ping().await.unwrap();
}
