//! Several data keys: which one seals, and which ones open.
#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use super::*;
use crate::entropy::SystemEntropy;

const PLACE: Place<'static> = Place { record: "authenticator", id: "totp|dev_1", owner: "auth0|1" };

fn master(last: &str) -> MasterKey {
    MasterKey::parse(&format!("{}{last}", "01".repeat(31))).unwrap()
}

fn sealer() -> AeadSealer {
    let sealer = AeadSealer::new(&master("02"), Arc::new(SystemEntropy::new())).unwrap();
    sealer.grant(sealer.derived_id(), 100, 100);
    sealer
}

/// Has `sealer` know `keys`, each of which may seal.
fn install(sealer: &AeadSealer, keys: &[StoredDataKey], now: Timestamp) -> Result<(), PortError> {
    sealer.install(keys, now)?;
    for key in keys {
        sealer.grant(key.id, 100, 100);
    }
    Ok(())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

fn stored(sealer: &AeadSealer, seals_from: i64) -> StoredDataKey {
    let (id, wrapped) = sealer.new_data_key().unwrap();
    StoredDataKey { id, wrapped, created_at: at(0), seals_from: at(seals_from), dropped_at: None }
}

#[expect(clippy::needless_pass_by_value, reason = "every call makes one")]
fn is_corrupt<T>(outcome: Result<T, PortError>) -> bool {
    matches!(outcome, Err(PortError::Corrupt(_)))
}

#[test]
fn seals_with_the_newest_in_force_and_opens_with_all() {
    let sealer = sealer();
    let old = sealer.seal(PLACE, b"seed").unwrap();
    let keys = [stored(&sealer, 10), stored(&sealer, 20)];
    let mut blobs = vec![old];
    for (now, expected) in [(9, sealer.derived_id()), (10, keys[0].id), (19, keys[0].id), (20, keys[1].id)] {
        install(&sealer, &keys, at(now)).unwrap();
        let blob = sealer.seal(PLACE, b"seed").unwrap();
        assert_eq!(DataKeyId::of(&blob), Some(expected), "at {now}");
        blobs.push(blob);
        assert!(blobs.iter().all(|blob| sealer.open(PLACE, blob).unwrap().expose() == b"seed"), "at {now}");
    }
    let another = self::sealer();
    install(&another, &keys, at(9)).unwrap();
    assert_eq!(another.open(PLACE, &blobs[4]).unwrap().expose(), b"seed", "it opens before it seals");
}

#[test]
fn a_value_under_a_key_that_is_not_known_or_was_dropped_is_corrupt() {
    let sealer = sealer();
    let mut keys = [StoredDataKey::derived(sealer.derived_id()), stored(&sealer, 10), stored(&sealer, 20)];
    install(&sealer, &keys, at(15)).unwrap();
    let blob = sealer.seal(PLACE, b"seed").unwrap();
    assert!(is_corrupt(self::sealer().open(PLACE, &blob)));
    (keys[1].dropped_at, keys[1].wrapped) = (Some(at(30)), Sealed::new(Vec::new()));
    install(&sealer, &keys, at(30)).unwrap();
    assert!(is_corrupt(sealer.open(PLACE, &blob)), "it is forgotten");
    assert!(sealer.has_forgotten(&blob));
    let mut changed = sealer.seal(PLACE, b"seed").unwrap().as_bytes().to_vec();
    assert!(!sealer.has_forgotten(&Sealed::new(changed.clone())));
    *changed.last_mut().unwrap() ^= 1;
    let changed = Sealed::new(changed);
    assert!(is_corrupt(sealer.open(PLACE, &changed)) && !sealer.has_forgotten(&changed), "that is damage");
}

#[test]
fn the_derived_key_opens_until_it_is_dropped() {
    let sealer = sealer();
    let blob = sealer.seal(PLACE, b"seed").unwrap();
    let mut keys = [StoredDataKey::derived(sealer.derived_id()), stored(&sealer, 10)];
    install(&sealer, &keys, at(15)).unwrap();
    assert_eq!(sealer.open(PLACE, &blob).unwrap().expose(), b"seed");
    keys[0].dropped_at = Some(at(20));
    install(&sealer, &keys, at(20)).unwrap();
    assert!(is_corrupt(sealer.open(PLACE, &blob)));
    assert_eq!(DataKeyId::of(&sealer.seal(PLACE, b"seed").unwrap()), Some(keys[1].id));
}

#[test]
fn a_dropped_derived_key_without_a_successor_is_no_store_to_go_on_with() {
    let sealer = sealer();
    let before = DataKeyId::of(&sealer.seal(PLACE, b"seed").unwrap());
    let gone = StoredDataKey { dropped_at: Some(at(1)), ..StoredDataKey::derived(sealer.derived_id()) };
    assert!(is_corrupt(install(&sealer, &[gone], at(2))));
    assert_eq!(DataKeyId::of(&sealer.seal(PLACE, b"seed").unwrap()), before, "what was known stays");
}

#[test]
fn a_wrapped_key_opens_under_its_own_id_and_master_key_only() {
    let sealer = sealer();
    let (one, two) = (stored(&sealer, 10), stored(&sealer, 20));
    let moved = StoredDataKey { id: two.id, ..one.clone() };
    assert!(is_corrupt(install(&self::sealer(), &[moved], at(30))));
    let other = AeadSealer::new(&master("03"), Arc::new(SystemEntropy::new())).unwrap();
    assert!(is_corrupt(install(&other, std::slice::from_ref(&one), at(30))));
    for byte in 0..one.wrapped.as_bytes().len() {
        let mut bytes = one.wrapped.as_bytes().to_vec();
        bytes[byte] ^= 1;
        let changed = StoredDataKey { wrapped: Sealed::new(bytes), ..one.clone() };
        assert!(is_corrupt(install(&self::sealer(), &[changed], at(30))), "byte {byte}");
    }
    // A wrapped key in the place of a value, and a value in the place of a wrapped key.
    install(&sealer, std::slice::from_ref(&one), at(30)).unwrap();
    let name = one.id.to_string();
    assert!(is_corrupt(sealer.open(wrapped(&name), &one.wrapped)));
    let forged = sealer.seal(wrapped(&name), &[7; 32]).unwrap();
    assert!(is_corrupt(install(&self::sealer(), &[StoredDataKey { wrapped: forged, ..one }], at(30))));
}

#[test]
fn each_key_has_seals_of_its_own_and_those_that_seal_or_will_want_some() {
    let sealer = AeadSealer::new(&master("02"), Arc::new(SystemEntropy::new())).unwrap();
    let (derived, key) = (sealer.derived_id(), stored(&sealer, 10));
    assert_eq!(sealer.sealing(), [derived]);
    sealer.install(std::slice::from_ref(&key), at(9)).unwrap();
    assert_eq!(sealer.sealing(), [derived, key.id], "before it seals");
    sealer.grant(key.id, 1, 1);
    sealer.install(std::slice::from_ref(&key), at(10)).unwrap();
    assert_eq!(sealer.sealing(), [key.id]);
    assert_eq!(sealer.seals_taken(), 1);
    let blob = sealer.seal(PLACE, b"seed").unwrap();
    for outcome in [sealer.seal(PLACE, b"seed"), sealer.seal_anew(PLACE, &blob, derived)] {
        assert!(matches!(outcome, Err(PortError::Unavailable(..))));
    }
    sealer.install(std::slice::from_ref(&key), at(11)).unwrap();
    assert!(sealer.seal(PLACE, b"seed").is_err(), "reading the keys again grants nothing");
}

#[test]
fn what_is_sealed_anew_keeps_its_place_and_its_content() {
    let sealer = sealer();
    let old = sealer.seal(PLACE, b"seed").unwrap();
    let key = stored(&sealer, 10);
    let early = sealer.seal_anew(PLACE, &old, key.id);
    assert!(matches!(early, Err(PortError::Unavailable(..))), "the value is not to blame");
    install(&sealer, std::slice::from_ref(&key), at(0)).unwrap();
    let new = sealer.seal_anew(PLACE, &old, key.id).unwrap();
    assert_eq!(DataKeyId::of(&new), Some(key.id));
    assert_eq!(sealer.open(PLACE, &new).unwrap().expose(), b"seed");
    let moved = Place { owner: "auth0|2", ..PLACE };
    assert!(is_corrupt(sealer.open(moved, &new)));
    assert!(is_corrupt(sealer.seal_anew(moved, &old, key.id)), "a value that was moved stays shut");
}

/// Remembers what it gave.
struct Remembering(Mutex<Vec<Vec<u8>>>);

impl Entropy for Remembering {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), PortError> {
        SystemEntropy::new().fill(buffer)?;
        self.0.lock().unwrap().push(buffer.to_vec());
        Ok(())
    }
}

#[test]
fn a_new_key_is_256_random_bits_and_nowhere_in_what_is_stored() {
    let entropy = Arc::new(Remembering(Mutex::new(Vec::new())));
    let sealer = AeadSealer::new(&master("02"), Arc::clone(&entropy) as _).unwrap();
    let (id, wrapped) = sealer.new_data_key().unwrap();
    let given = entropy.0.lock().unwrap().clone();
    let key = given.iter().find(|bytes| bytes.len() == 32).unwrap();
    assert!(given.iter().any(|bytes| bytes == id.as_bytes()));
    assert!(!wrapped.as_bytes().windows(4).any(|window| key.windows(4).any(|part| part == window)));
    assert_ne!(sealer.new_data_key().unwrap().0, id);
}
