#![allow(clippy::unwrap_used)]

mod forgery;

use std::sync::Mutex;

use countersign_domain::{secret::Sealed, testing::ManualClock, time::Timestamp};
use data_encoding::BASE64URL_NOPAD;

use super::*;
use crate::{entropy::SystemEntropy, master_key::MasterKey, sealer::AeadSealer};

const CLAIMS: &str = r#"{"iss":"https://id.example/","sub":"auth0|1","exp":1000}"#;

#[derive(Default)]
struct Keys(Mutex<Vec<StoredKey>>);

#[async_trait]
impl KeyStore for Keys {
    async fn list_keys(&self) -> Result<Vec<StoredKey>, PortError> {
        let mut keys = self.0.lock().unwrap().clone();
        keys.sort_by_key(|key| std::cmp::Reverse(key.created_at));
        Ok(keys)
    }

    async fn insert_first_key(&self, key: StoredKey) -> Result<bool, PortError> {
        let mut keys = self.0.lock().unwrap();
        let first = keys.iter().all(|other| other.algorithm != key.algorithm);
        if first {
            keys.push(key);
        }
        Ok(first)
    }
}

/// Says at first that there are no keys, as to a replica that looked before another one's insert.
struct Late<'a>(&'a Keys, Mutex<bool>);

#[async_trait]
impl KeyStore for Late<'_> {
    async fn list_keys(&self) -> Result<Vec<StoredKey>, PortError> {
        let looked_before = std::mem::replace(&mut *self.1.lock().unwrap(), true);
        if looked_before { self.0.list_keys().await } else { Ok(Vec::new()) }
    }

    async fn insert_first_key(&self, key: StoredKey) -> Result<bool, PortError> {
        self.0.insert_first_key(key).await
    }
}

fn sealer() -> AeadSealer {
    AeadSealer::new(&MasterKey::parse(&"0123456789abcdef".repeat(4)).unwrap(), Arc::new(SystemEntropy::new())).unwrap()
}

async fn load(store: &dyn KeyStore, algorithms: &[Algorithm]) -> Result<KeyRing, PortError> {
    let clock = ManualClock::new(Timestamp::from_millis(1_000));
    let algorithms = algorithms.iter().copied().collect();
    KeyRing::load(store, &sealer(), &clock, KeyRingOptions { algorithms, rsa_bits: RsaBits::default() }).await
}

async fn ec_ring() -> KeyRing {
    load(&Keys::default(), &[Algorithm::Es256]).await.unwrap()
}

async fn token(ring: &KeyRing, algorithm: Algorithm) -> String {
    ring.sign(algorithm, CLAIMS.as_bytes().to_vec()).await.unwrap().expose().clone()
}

fn kid(ring: &KeyRing) -> String {
    ring.keys[0].public().id.as_str().to_owned()
}

#[tokio::test]
async fn signs_what_it_verifies_with_both_algorithms() {
    let ring = load(&Keys::default(), &[Algorithm::Rs256, Algorithm::Es256]).await.unwrap();
    for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
        let token = token(&ring, algorithm).await;
        assert_eq!(ring.verify(&token).unwrap(), CLAIMS.as_bytes());
        let header = BASE64URL_NOPAD.decode(token.split('.').next().unwrap().as_bytes()).unwrap();
        let id = ring.current(algorithm).unwrap().public().id.clone();
        let expected = format!(r#"{{"alg":"{}","typ":"JWT","kid":"{id}"}}"#, algorithm.as_str());
        assert_eq!(String::from_utf8(header).unwrap(), expected);
    }
    let public = ring.public_keys();
    assert_eq!(public.len(), 2);
    assert!(public.iter().all(|key| key.id == signing_key::thumbprint(&key.material)));
}

#[tokio::test]
async fn keys_survive_a_restart_and_are_stored_sealed() {
    let keys = Keys::default();
    let before = load(&keys, &[Algorithm::Es256]).await.unwrap();
    let token = token(&before, Algorithm::Es256).await;
    let after = load(&keys, &[Algorithm::Es256]).await.unwrap();
    assert!(after.verify(&token).is_some());
    assert_eq!(before.public_keys(), after.public_keys());
    assert_eq!(keys.0.lock().unwrap().len(), 1);
    let stored = keys.0.lock().unwrap()[0].clone();
    assert_eq!(stored.created_at, Timestamp::from_millis(1_000));
    assert!(SigningKey::parse(Algorithm::Es256, stored.sealed.as_bytes()).is_err());
}

#[tokio::test]
async fn replicas_that_start_together_share_one_key() {
    let keys = Keys::default();
    let first = load(&keys, &[Algorithm::Es256]).await.unwrap();
    let second = load(&Late(&keys, Mutex::new(false)), &[Algorithm::Es256]).await.unwrap();
    assert_eq!(first.public_keys(), second.public_keys());
    assert!(second.verify(&token(&first, Algorithm::Es256).await).is_some());
}

#[tokio::test]
async fn the_newest_key_signs_and_older_ones_still_verify() {
    let (keys, newer) = (Keys::default(), Keys::default());
    let old = load(&keys, &[Algorithm::Es256]).await.unwrap();
    load(&newer, &[Algorithm::Es256]).await.unwrap();
    let mut key = newer.0.lock().unwrap()[0].clone();
    key.created_at = Timestamp::from_millis(2_000);
    keys.0.lock().unwrap().push(key.clone());
    let both = load(&keys, &[Algorithm::Es256]).await.unwrap();
    assert!(both.verify(&token(&old, Algorithm::Es256).await).is_some());
    assert!(old.verify(&token(&both, Algorithm::Es256).await).is_none());
    assert_eq!(both.public_keys()[0].id, key.id);
    assert_eq!(both.public_keys().len(), 2);
}

#[tokio::test]
async fn an_algorithm_that_is_not_asked_for_does_not_sign() {
    let ring = ec_ring().await;
    let answer = ring.sign(Algorithm::Rs256, CLAIMS.as_bytes().to_vec()).await;
    assert!(matches!(answer, Err(PortError::Unavailable("signing key", _))));
}

#[tokio::test]
async fn a_damaged_or_exchanged_key_stops_the_start() {
    let keys = Keys::default();
    load(&keys, &[Algorithm::Es256]).await.unwrap();
    let good = keys.0.lock().unwrap()[0].clone();
    let mut bytes = good.sealed.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    for bad in [
        StoredKey { sealed: Sealed::new(bytes), ..good.clone() },
        StoredKey { id: KeyId::new("another"), ..good.clone() },
        StoredKey { algorithm: Algorithm::Rs256, ..good },
    ] {
        *keys.0.lock().unwrap() = vec![bad];
        assert!(matches!(load(&keys, &[Algorithm::Es256]).await, Err(PortError::Corrupt(_))));
    }
}

#[tokio::test]
async fn debug_shows_ids_and_no_key() {
    let ring = ec_ring().await;
    assert_eq!(format!("{ring:?}"), format!("KeyRing {{ keys: [\"{}\"], .. }}", kid(&ring)));
}
