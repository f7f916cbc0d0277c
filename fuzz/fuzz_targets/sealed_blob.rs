//! The reader of sealed blobs: it never panics, and opens nothing but what was sealed for the place.
#![no_main]

use std::sync::{Arc, LazyLock};

use countersign_crypto::{master_key::MasterKey, sealer::AeadSealer};
use countersign_domain::{
    port::sealer::{Place, Sealer as _},
    secret::Sealed,
    testing::SeededEntropy,
};
use libfuzzer_sys::fuzz_target;

const PLACE: Place<'static> = Place { record: "authenticator", id: "totp|dev_1", owner: "auth0|1" };

static SEALER: LazyLock<AeadSealer> = LazyLock::new(|| {
    let master = MasterKey::parse(&"01c2".repeat(16)).expect("a key");
    let sealer = AeadSealer::new(&master, Arc::new(SeededEntropy::new(1))).expect("keys derive");
    sealer.grant(sealer.derived_id(), 1, 1);
    sealer
});
static BLOB: LazyLock<Vec<u8>> =
    LazyLock::new(|| SEALER.seal(PLACE, b"a seed of twenty bytes").expect("seals").as_bytes().to_vec());

fuzz_target!(|data: &[u8]| {
    assert!(SEALER.open(PLACE, &Sealed::new(data.to_vec())).is_err() || data == *BLOB);
    // The good blob with changes: pairs of a place and a mask.
    let mut changed = BLOB.clone();
    for pair in data.chunks_exact(2) {
        let at = usize::from(pair[0]) % changed.len();
        changed[at] ^= pair[1];
    }
    assert_eq!(SEALER.open(PLACE, &Sealed::new(changed.clone())).is_ok(), changed == *BLOB);
});
