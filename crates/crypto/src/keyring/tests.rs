#![allow(clippy::unwrap_used)]

use std::sync::Mutex;

use aws_lc_rs::hmac;
use countersign_domain::{port::signer::KeyMaterial, secret::Sealed, testing::ManualClock, time::Timestamp};
use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;

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

/// A token with any header and claims, with a good signature of the ring's first key.
fn forge(ring: &KeyRing, header: &str, claims: &str) -> String {
    let input = format!("{}.{}", BASE64URL_NOPAD.encode(header.as_bytes()), BASE64URL_NOPAD.encode(claims.as_bytes()));
    let signature = ring.keys[0].sign_message(input.as_bytes()).unwrap();
    format!("{input}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn kid(ring: &KeyRing) -> String {
    ring.keys[0].public().id.as_str().to_owned()
}

fn good_header(ring: &KeyRing) -> String {
    format!(r#"{{"alg":"ES256","typ":"JWT","kid":"{}"}}"#, kid(ring))
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
async fn every_changed_byte_of_an_rs256_token_is_noticed() {
    let ring = load(&Keys::default(), &[Algorithm::Rs256]).await.unwrap();
    let token = token(&ring, Algorithm::Rs256).await;
    let (input, signature) = token.rsplit_once('.').unwrap();
    let signature = BASE64URL_NOPAD.decode(signature.as_bytes()).unwrap();
    for at in 0..signature.len() {
        let mut changed = signature.clone();
        changed[at] ^= 1;
        assert!(ring.verify(&format!("{input}.{}", BASE64URL_NOPAD.encode(&changed))).is_none(), "byte {at}");
    }
    let header = format!(r#"{{"alg":"RS256","typ":"JWT","kid":"{}"}}"#, kid(&ring));
    assert!(ring.verify(&forge(&ring, &header, CLAIMS)).is_some());
    for algorithm in ["RS384", "RS512", "PS256", "ES256", "HS256", "none"] {
        let header = header.replace("RS256", algorithm);
        assert!(ring.verify(&forge(&ring, &header, CLAIMS)).is_none(), "{algorithm}");
    }
}

#[tokio::test]
async fn every_changed_character_of_an_es256_token_is_noticed() {
    let ring = ec_ring().await;
    let token = token(&ring, Algorithm::Es256).await;
    for at in 0..token.len() {
        for other in ["A", "B", "_", ".", "=", " ", "\0"] {
            let mut changed = token.clone();
            changed.replace_range(at..=at, other);
            assert!(changed == token || ring.verify(&changed).is_none(), "{other} at {at}");
        }
        assert!(ring.verify(&token[..at]).is_none(), "cut at {at}");
    }
}

#[tokio::test]
async fn refuses_headers_that_are_signed_well_but_say_something_else() {
    let ring = ec_ring().await;
    let good = good_header(&ring);
    assert!(ring.verify(&forge(&ring, &good, CLAIMS)).is_some());
    // Where to find keys is not the token's to say, and unknown members are ignored.
    let kid = kid(&ring);
    let chatty = format!(
        r#"{{"jku":"https://evil.example/jwks","x5u":"https://evil.example","jwk":{{"kty":"oct","k":"AA"}},"cty":"x","kid":"{kid}","typ":"JWT","alg":"ES256"}}"#
    );
    assert!(ring.verify(&forge(&ring, &chatty, CLAIMS)).is_some());

    for header in [
        good.replace("ES256", "none"),
        good.replace("ES256", "None"),
        good.replace("ES256", "es256"),
        good.replace("ES256", "RS256"),
        good.replace("ES256", "HS256"),
        good.replace("ES256", ""),
        good.replace(r#""ES256""#, "null"),
        good.replace(r#""ES256""#, r#"["ES256"]"#),
        good.replace(r#""alg":"ES256","#, ""),
        good.replace(r#""JWT""#, r#""at+jwt""#),
        good.replace(r#""JWT""#, r#""jwt""#),
        good.replace(r#""JWT""#, r#""JOSE""#),
        good.replace(r#""JWT""#, "null"),
        good.replace(r#""typ":"JWT","#, ""),
        good.replace(&kid, "unknown"),
        good.replace(&kid, ""),
        good.replace(&kid, &format!("{kid} ")),
        good.replace(&format!(r#","kid":"{kid}""#), ""),
        good.replace('{', r#"{"crit":["exp"],"exp":1,"#),
        good.replace('{', r#"{"crit":[],"#),
        good.replace('{', r#"{"crit":null,"#),
        good.replace('{', r#"{"alg":"none","#),
        good.replace('{', r#"{"\u0061lg":"ES256","#),
        good.replace('{', r#"{"x":{"a":1,"a":2},"#),
        good.replace('}', r#","typ":"JWT"}"#),
        format!("[{good}]"),
        format!("{good}x"),
        String::new(),
    ] {
        assert!(header != good && ring.verify(&forge(&ring, &header, CLAIMS)).is_none(), "{header}");
    }
}

#[tokio::test]
async fn refuses_claims_that_are_signed_well_but_ambiguous() {
    let ring = ec_ring().await;
    for claims in [
        "",
        "[]",
        "null",
        r#""claims""#,
        r#"{"sub":"auth0|1","sub":"auth0|2"}"#,
        r#"{"sub":"auth0|1","s\u0075b":"auth0|2"}"#,
        r#"{"a":{"b":1,"b":2}}"#,
        r#"{"a":1}{"a":1}"#,
        r#"{"a":1"#,
    ] {
        assert!(ring.verify(&forge(&ring, &good_header(&ring), claims)).is_none(), "{claims}");
    }
}

#[tokio::test]
async fn a_public_key_used_as_a_shared_secret_opens_nothing() {
    let ring = load(&Keys::default(), &[Algorithm::Rs256]).await.unwrap();
    let KeyMaterial::Rsa { modulus, .. } = &ring.keys[0].public().material else { unreachable!() };
    for alg in ["HS256", "RS256", "none"] {
        let header = format!(r#"{{"alg":"{alg}","typ":"JWT","kid":"{}"}}"#, kid(&ring));
        let input =
            format!("{}.{}", BASE64URL_NOPAD.encode(header.as_bytes()), BASE64URL_NOPAD.encode(CLAIMS.as_bytes()));
        for secret in [modulus.as_bytes().to_vec(), BASE64URL_NOPAD.decode(modulus.as_bytes()).unwrap()] {
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), input.as_bytes());
            assert!(ring.verify(&format!("{input}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))).is_none(), "{alg}");
        }
        assert!(ring.verify(&format!("{input}.")).is_none(), "{alg}");
        assert!(ring.verify(&input).is_none(), "{alg}");
    }
}

#[tokio::test]
async fn a_token_has_exactly_three_parts_in_their_only_spelling() {
    let ring = ec_ring().await;
    let good = token(&ring, Algorithm::Es256).await;
    let [header, claims, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    // 64 bytes end in a character with four spare bits; any but zeros is another spelling of the same signature.
    let last = signature.chars().last().unwrap();
    let respelt = char::from(u8::try_from(last).unwrap() + 1);
    let respelt = format!("{}{respelt}", &signature[..signature.len() - 1]);
    for token in [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        format!("{good}."),
        format!("{good}.."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!("{header}..{claims}.{signature}"),
        format!("{header}.{claims}.{signature}=="),
        format!("{header}=.{claims}.{signature}"),
        format!("{header}.{claims}.{respelt}"),
        format!("{good}\n"),
        format!(" {good}"),
        format!("Bearer {good}"),
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!("{claims}.{header}.{signature}"),
    ] {
        assert!(ring.verify(&token).is_none(), "{token}");
    }
    assert!(ring.verify(&good).is_some());
}

#[tokio::test]
async fn a_token_is_at_most_eight_kibibytes() {
    let ring = ec_ring().await;
    let overhead = token(&ring, Algorithm::Es256).await.len();
    let sized = |filler: usize| forge(&ring, &good_header(&ring), &format!(r#"{{"f":"{}"}}"#, "x".repeat(filler)));
    let (mut longest, mut filler) = (0, (8192 - overhead) / 4 * 3);
    while sized(filler).len() <= 8192 {
        longest = filler;
        filler += 1;
    }
    assert!(ring.verify(&sized(longest)).is_some());
    assert!(ring.verify(&sized(longest + 1)).is_none());
}

#[tokio::test]
async fn another_ring_knows_none_of_our_tokens() {
    let (ours, theirs) = (ec_ring().await, ec_ring().await);
    let token = token(&ours, Algorithm::Es256).await;
    assert!(theirs.verify(&token).is_none());
    // Their signature under our key's name.
    let header = good_header(&ours);
    assert!(ours.verify(&forge(&theirs, &header, CLAIMS)).is_none());
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

fn shared_ring() -> &'static KeyRing {
    static RING: std::sync::OnceLock<KeyRing> = std::sync::OnceLock::new();
    RING.get_or_init(|| tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(ec_ring()))
}

proptest! {
    #[test]
    fn no_text_verifies_or_makes_the_parser_stumble(text in "[A-Za-z0-9_.=-]{0,200}|\\PC{0,60}") {
        prop_assert!(shared_ring().verify(&text).is_none());
    }

    #[test]
    fn claims_come_back_as_they_were_signed(value in "\\PC{0,100}") {
        let ring = shared_ring();
        let claims = serde_json::json!({ "value": value }).to_string().into_bytes();
        let token = ring.keys[0].sign(&claims).unwrap();
        prop_assert_eq!(ring.verify(&token).unwrap(), claims);
    }
}
