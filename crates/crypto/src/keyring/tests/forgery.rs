//! Tokens that must not verify, whoever signed them.

use aws_lc_rs::hmac;
use countersign_domain::port::signer::{KeyMaterial, TokenType};
use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;

use super::{CLAIMS, Keys, ec_ring, kid, load, token};
use crate::keyring::*;

/// A token with any header and claims, with a good signature of the ring's first key.
fn forge(ring: &KeyRing, header: &str, claims: &str) -> String {
    let input = format!("{}.{}", BASE64URL_NOPAD.encode(header.as_bytes()), BASE64URL_NOPAD.encode(claims.as_bytes()));
    let signature = ring.known()[0].key.sign_message(input.as_bytes()).unwrap();
    format!("{input}.{}", BASE64URL_NOPAD.encode(&signature))
}

fn good_header(ring: &KeyRing) -> String {
    format!(r#"{{"alg":"ES256","typ":"JWT","kid":"{}"}}"#, kid(ring))
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
        good.replace(r#""JWT""#, r#""AT+JWT""#),
        good.replace(r#""JWT""#, r#""application/at+jwt""#),
        good.replace(r#""JWT""#, r#""client-authentication+jwt""#),
        good.replace(r#""JWT""#, r#""dpop+jwt""#),
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
    let known = ring.known();
    let KeyMaterial::Rsa { modulus, .. } = &known[0].key.public().material else { unreachable!() };
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
        let token = ring.known()[0].key.sign(TokenType::Jwt, &claims).unwrap();
        prop_assert_eq!(ring.verify(&token).unwrap().claims, claims);
    }
}
