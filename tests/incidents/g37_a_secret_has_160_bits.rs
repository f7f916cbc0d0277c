//! G-37, devise-two-factor CVE-2024-8796: secrets of 120 bits, where RFC 4226, section 4, recommends 160.

use std::collections::HashSet;

use countersign_tests::everywhere;
use data_encoding::BASE32_NOPAD;

everywhere! {
    async fn every_secret_that_is_handed_out_has_160_bits_and_is_new(world: World, api: Api) {
        let mut seen = HashSet::new();
        for name in ["ann", "bob", "cid"] {
            let token = world.person(name).await.mfa_token(&api).await;
            for _ in 0..2 {
                let association = api.associate(&token).await.unwrap();
                let secret = BASE32_NOPAD.decode(association.secret.as_bytes()).unwrap();
                assert_eq!(secret.len() * 8, 160);
                assert!(association.barcode_uri.contains(&format!("secret={}", association.secret)));
                assert!(seen.insert(secret), "handed out before");
            }
        }
    }
}
