//! The verifiers of our own tokens and of what devices sign: they never panic, and take nothing that the key did not sign.
#![no_main]

use std::{
    collections::BTreeSet,
    sync::{Arc, LazyLock},
    time::Duration,
};

use countersign_crypto::{
    device::AwsLcDeviceVerifier,
    entropy::SystemEntropy,
    key_keeper::{KeyKeeper, KeyOptions},
    keyring::{KeyRing, RsaBits},
    master_key::MasterKey,
    sealer::AeadSealer,
};
use countersign_domain::{
    port::{
        device_verifier::{DeviceKey, DeviceVerifier as _},
        signer::{Algorithm, Signer as _, TokenType, Unsigned},
    },
    signing_key::RotationPolicy,
    testing::ManualClock,
    time::Timestamp,
};
use countersign_storage::memory::MemoryStore;
use libfuzzer_sys::fuzz_target;

static SIGNED: LazyLock<(KeyRing, DeviceKey, String)> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let master = MasterKey::parse(&"01c2".repeat(16)).expect("a key");
        let sealer = AeadSealer::new(&master, Arc::new(SystemEntropy::new())).expect("keys derive");
        sealer.grant(sealer.derived_id(), 10, 10);
        let rotation = RotationPolicy { age: None, lead: Duration::ZERO, keep: Duration::ZERO };
        let algorithms = BTreeSet::from([Algorithm::Es256]);
        let options = KeyOptions { algorithms, rsa_bits: RsaBits::Bits2048, rotation };
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let keeper = KeyKeeper::new(Arc::new(MemoryStore::default()), Arc::new(sealer), clock, options);
        let ring = KeyRing::load(keeper).await.expect("a key ring");
        let claims = br#"{"sub":"auth0|1","aud":"https://api.example/"}"#.to_vec();
        let token = ring.sign(Unsigned { algorithm: Algorithm::Es256, token_type: TokenType::Jwt, claims }).await;
        let public = ring.public_keys().remove(0);
        let device = DeviceKey { algorithm: public.algorithm, material: public.material };
        (ring, device, token.expect("signs").expose().clone())
    })
});

fuzz_target!(|data: &[u8]| {
    let (ring, device, token) = &*SIGNED;
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(ring.verify(text).is_none());
        assert!(AwsLcDeviceVerifier.verify(device, text).is_none());
        // A payload of the fuzzer's between a good header and a good signature.
        let (header, rest) = token.split_once('.').expect("three parts");
        let (payload, signature) = rest.split_once('.').expect("three parts");
        assert_eq!(ring.verify(&format!("{header}.{text}.{signature}")).is_some(), text == payload);
        assert_eq!(ring.verify(&format!("{text}.{payload}.{signature}")).is_some(), text == header);
    }
    // The good token with changes: pairs of a place and a byte.
    let mut changed = token.clone().into_bytes();
    for pair in data.chunks_exact(2) {
        let at = usize::from(pair[0]).wrapping_mul(7) % changed.len();
        changed[at] = pair[1];
    }
    if let Ok(changed) = String::from_utf8(changed) {
        assert_eq!(ring.verify(&changed).is_some(), changed == *token);
        assert_eq!(AwsLcDeviceVerifier.verify(device, &changed).is_some(), changed == *token);
    }
});
