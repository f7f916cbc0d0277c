//! Forged tokens, at every place that takes a token we signed (RFC 8725; RFC 7515, section 10).

use aws_lc_rs::{
    encoding::AsDer as _,
    hmac,
    rand::SystemRandom,
    rsa::KeySize,
    signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair},
};
use countersign_crypto::key_keeper::place;
use countersign_domain::{
    id::KeyId,
    opaque::{TokenKind, mint},
    secret::Sealed,
    testing::SeededEntropy,
};
use countersign_tests::{
    api::{Api, Transport, Wish},
    jwt,
    person::PASSWORD,
    refusal::{BAD_OOB_CODE, Expected, MALFORMED_TOKEN, NO_SUCH_AUTHENTICATOR, Refusal, Refused as _, WRONG_OTP},
    tenant::{API, BACKEND, LENIENT, Tenant},
    world::{Store, World},
};
use data_encoding::BASE64URL_NOPAD;
use rusqlite::Connection;
use serde_json::{Value, json};

/// Where a token is presented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Userinfo,
    List,
    Get,
    Rename,
    Delete,
    Associate,
    RememberedDevices,
    Forget,
    AppGrant,
    SentCodeGrant,
    DeviceGrant,
    Introspection,
}

const PLACES: [Place; 12] = [
    Place::Userinfo,
    Place::List,
    Place::Get,
    Place::Rename,
    Place::Delete,
    Place::Associate,
    Place::RememberedDevices,
    Place::Forget,
    Place::AppGrant,
    Place::SentCodeGrant,
    Place::DeviceGrant,
    Place::Introspection,
];

/// An id that nothing has: what a token that passes is told of.
const NOTHING: &str = "totp|dev_0000000000000000";

/// Whether `token` is good enough there. What is asked for need not be had: then the refusal is about that.
async fn passes(api: &Api, place: Place, token: &str) -> bool {
    let but_for = |refusal: Refusal, expected: &[&Expected]| expected.iter().any(|expected| refusal.is(expected));
    match place {
        Place::Userinfo => api.subject(token).await.is_ok(),
        Place::List => api.list(token).await.is_ok(),
        Place::Get => but_for(api.find(token, NOTHING).await.unwrap_err(), &[&NO_SUCH_AUTHENTICATOR]),
        Place::Rename => {
            but_for(api.update(token, NOTHING, Some("x"), None).await.unwrap_err(), &[&NO_SUCH_AUTHENTICATOR])
        }
        Place::Delete => but_for(api.delete(token, NOTHING).await.unwrap_err(), &[&NO_SUCH_AUTHENTICATOR]),
        Place::Associate => api.associate(token).await.is_ok(),
        Place::RememberedDevices => api.remembered(token).await.is_ok(),
        Place::Forget => but_for(api.forget(token, NOTHING).await.unwrap_err(), &[&NO_SUCH_AUTHENTICATOR]),
        Place::AppGrant => but_for(api.otp(BACKEND, token, "000000").await.unwrap_err(), &[&WRONG_OTP]),
        Place::SentCodeGrant => {
            but_for(api.oob(BACKEND, token, "csoob_x", "000000").await.unwrap_err(), &[&BAD_OOB_CODE])
        }
        Place::DeviceGrant => but_for(api.poll(BACKEND, token, &approval()).await.unwrap_err(), &[&BAD_OOB_CODE]),
        Place::Introspection => api.introspect(BACKEND, token).await.is_ok_and(|told| told.is_some()),
    }
}

/// A handle of a device's answer that is well-formed and nobody's.
fn approval() -> String {
    mint(TokenKind::Approval, &SeededEntropy::new(1)).unwrap().expose().clone()
}

/// What may neither be challenged with a token that we signed, whatever it says, nor take the recovery code: that takes an `mfa_token`.
async fn stays_out(api: &Api, token: &str) {
    api.challenge(BACKEND, token, "otp", None).await.refused(&MALFORMED_TOKEN);
    api.recovery(BACKEND, token, "AAAAAAAAAAAAAAAAAAAAAAAA").await.refused(&MALFORMED_TOKEN);
}

fn part(text: &str) -> String {
    BASE64URL_NOPAD.encode(text.as_bytes())
}

fn signed(pair: &RsaKeyPair, header: &str, claims: &str) -> String {
    let input = format!("{}.{}", part(header), part(claims));
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), input.as_bytes(), &mut signature).unwrap();
    format!("{input}.{}", BASE64URL_NOPAD.encode(&signature))
}

/// The server's own key, as if it could be made to sign anything.
fn stolen(world: &World) -> (String, RsaKeyPair, String) {
    let file = Connection::open(world.database()).unwrap();
    let find = |algorithm: &str| {
        let sql = "SELECT id, sealed FROM signing_key WHERE algorithm = ?1";
        file.query_row(sql, [algorithm], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?))).unwrap()
    };
    let ((rsa, sealed), (other, _)) = (find("RS256"), find("ES256"));
    let pkcs8 = world.app().sealer.open(place(&KeyId::new(rsa.as_str())), &Sealed::new(sealed)).unwrap();
    (rsa, RsaKeyPair::from_pkcs8(pkcs8.expose()).unwrap(), other)
}

/// Tokens that say what the good one says, and that no verifier may take.
#[expect(clippy::too_many_lines, reason = "one table")]
fn forgeries(kid: &str, pair: &RsaKeyPair, other_kid: &str, claims: &Value) -> Vec<(&'static str, String)> {
    let text = claims.to_string();
    let header = json!({ "alg": "RS256", "typ": "JWT", "kid": kid });
    let with = |member: &str, value: Value| {
        let mut header = header.clone();
        header[member] = value;
        signed(pair, &header.to_string(), &text)
    };
    let without = |member: &str| {
        let mut header = header.clone();
        header.as_object_mut().unwrap().remove(member);
        signed(pair, &header.to_string(), &text)
    };
    let says = |change: &dyn Fn(&mut Value)| {
        let mut claims = claims.clone();
        change(&mut claims);
        signed(pair, &header.to_string(), &claims.to_string())
    };
    let good = signed(pair, &header.to_string(), &text);
    let [head, body, signature] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let mut all = Vec::new();
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let head = part(&json!({ "alg": alg, "typ": "JWT", "kid": kid }).to_string());
        all.push(("alg none, no signature", format!("{head}.{body}.")));
        all.push(("alg none, two parts", format!("{head}.{body}")));
        all.push(("alg none, the old signature", format!("{head}.{body}.{signature}")));
        all.push(("alg none, signed well", with("alg", json!(alg))));
    }
    for alg in ["RS384", "RS512", "PS256", "ES256", "Ed25519", "EdDSA", "HS256", "rs256"] {
        all.push(("another alg, signed well", with("alg", json!(alg))));
    }
    let modulus = pair.public_key().modulus().big_endian_without_leading_zero().to_vec();
    let der = pair.public_key().as_der().unwrap().as_ref().to_vec();
    for (name, secret) in
        [("HS256 with the modulus", modulus.clone()), ("HS256 with the key", der), ("HS256 empty", vec![])]
    {
        for alg in ["HS256", "RS256"] {
            let input = format!("{}.{body}", part(&json!({ "alg": alg, "typ": "JWT", "kid": kid }).to_string()));
            let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), input.as_bytes());
            all.push((name, format!("{input}.{}", BASE64URL_NOPAD.encode(tag.as_ref()))));
        }
    }
    for (name, value) in [
        ("unknown kid", json!("unknown")),
        ("empty kid", json!("")),
        ("kid of another key", json!(other_kid)),
        ("kid that is a path", json!("../../dev/null")),
        ("kid that is SQL", json!("' OR 1=1 --")),
        ("kid that is a number", json!(1)),
        ("kid that is a list", json!([kid])),
    ] {
        all.push((name, with("kid", value)));
    }
    let crossed = json!({ "alg": "ES256", "typ": "JWT", "kid": other_kid }).to_string();
    all.push(("another key's name and alg", signed(pair, &crossed, &text)));
    for value in [json!(["exp"]), json!([]), json!(null), json!(["b64"])] {
        all.push(("crit", with("crit", value)));
    }
    let evil = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let n = BASE64URL_NOPAD.encode(evil.public_key().modulus().big_endian_without_leading_zero());
    let jwk = json!({ "kty": "RSA", "alg": "RS256", "use": "sig", "kid": kid, "n": n, "e": "AQAB" });
    for (member, value) in [
        ("jwk", jwk),
        ("jku", json!("https://evil.example/jwks.json")),
        ("x5u", json!("https://evil.example/chain.pem")),
        ("x5c", json!(["AAAA"])),
        ("x", json!(1)),
    ] {
        for kid in [kid, "evil"] {
            let mut header = json!({ "alg": "RS256", "typ": "JWT", "kid": kid });
            header[member] = value.clone();
            all.push(("another's key, brought along", signed(&evil, &header.to_string(), &text)));
        }
    }
    for typ in ["client-authentication+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "JOSE", "jwt", "AT+JWT", ""] {
        all.push(("wrong typ", with("typ", json!(typ))));
    }
    all.push(("typ that is no text", with("typ", json!(["JWT"]))));
    for member in ["alg", "kid", "typ"] {
        all.push(("a member of the header is missing", without(member)));
    }
    let twice = |text: &str, more: &str| format!("{},{more}}}", text.strip_suffix('}').unwrap());
    all.push(("alg twice", signed(pair, &twice(&header.to_string(), r#""alg":"none""#), &text)));
    all.push(("kid twice", signed(pair, &twice(&header.to_string(), r#""kid":"x""#), &text)));
    all.push(("sub twice", signed(pair, &header.to_string(), &twice(&text, r#""sub":"auth0|other""#))));
    all.push(("exp twice, escaped", signed(pair, &header.to_string(), &twice(&text, r#""\u0065xp":99999999999"#))));
    all.push(("oversize", says(&|claims| claims["filler"] = json!("x".repeat(8192)))));
    for (member, value) in [
        ("exp", json!("99999999999")),
        ("exp", json!(1e99)),
        ("exp", json!(1.5)),
        ("exp", json!(0)),
        ("exp", json!(null)),
        ("iat", json!("0")),
        ("sub", json!(7)),
        ("aud", json!(7)),
        ("aud", json!({})),
        ("aud", json!(["https://other.test/"])),
        ("iss", json!("https://evil.test/")),
        ("iss", json!("https://id.test")),
        ("client_id", json!(7)),
        ("client_id", json!("another")),
        ("azp", json!("another")),
        ("jti", json!(1)),
        ("scope", json!(["openid"])),
        ("amr", json!("mfa")),
        ("auth_time", json!("0")),
    ] {
        all.push((member, says(&|claims| claims[member] = value.clone())));
    }
    for member in ["exp", "iat", "iss", "aud", "sub", "client_id", "jti", "scope"] {
        all.push((member, says(&|claims| drop(claims.as_object_mut().unwrap().remove(member)))));
    }
    for (name, token) in [
        ("trailing dot", format!("{good}.")),
        ("trailing part", format!("{good}.{signature}")),
        ("trailing garbage", format!("{good}x!")),
        ("padding", format!("{good}==")),
        ("padded header", format!("{head}=.{body}.{signature}")),
        ("five parts", format!("{head}..{body}.{signature}.{signature}")),
        ("no signature", format!("{head}.{body}.")),
        ("half a signature", format!("{head}.{body}.{}", &signature[..signature.len() / 2])),
        ("parts in another order", format!("{body}.{head}.{signature}")),
        ("the JSON form", json!({ "protected": head, "payload": body, "signature": signature }).to_string()),
        ("garbage after the claims", signed(pair, &header.to_string(), &format!("{text}x"))),
        ("two objects", signed(pair, &header.to_string(), &format!("{text}{text}"))),
        ("a list of claims", signed(pair, &header.to_string(), &format!("[{text}]"))),
        ("no claims", signed(pair, &header.to_string(), "")),
    ] {
        all.push((name, token));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_forged_token_passes_anywhere() {
    // Whether somebody is asked about too often is another question.
    let tenant =
        Tenant::default().with_es256_api().section("limits.userinfo_rate", &["capacity = 1000", "refill = '1ms'"]);
    let world = World::start(Store::Sqlite, tenant).await;
    let api = world.api(Transport::Http);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let manager = ann.manager(&world, &api, &phone).await;
    world.person("bob").await;
    let wish = |audience, scope| Wish { audience, scope: Some(scope), ..Wish::default() };
    let about = api.login_for(LENIENT, "bob", PASSWORD, wish(None, "openid")).await.unwrap().tokens().access_token;
    let reader = api.login_for(LENIENT, "bob", PASSWORD, wish(Some(API), "read:things")).await.unwrap().tokens();
    let (kid, pair, other_kid) = stolen(&world);
    for place in PLACES {
        let good = match place {
            Place::Userinfo => &about,
            Place::Introspection => &reader.access_token,
            _ => &manager,
        };
        let claims = jwt::claims(good);
        let header = json!({ "alg": "RS256", "typ": "JWT", "kid": kid }).to_string();
        let resigned = signed(&pair, &header, &claims.to_string());
        let forged = forgeries(&kid, &pair, &other_kid, &claims);
        assert!(forged.len() > 100, "{}", forged.len());
        for transport in [Transport::Http, Transport::Grpc] {
            let api = world.api(transport);
            assert!(passes(&api, place, &resigned).await, "{place:?}: what is forged differs in nothing else");
            if place == Place::List {
                stays_out(&api, &resigned).await;
            }
            for (name, token) in &forged {
                assert!(!passes(&api, place, token).await, "{place:?} over {transport:?}: {name}: {token}");
                if place == Place::List && token.len() < 4096 {
                    stays_out(&api, token).await;
                }
            }
        }
    }
}
