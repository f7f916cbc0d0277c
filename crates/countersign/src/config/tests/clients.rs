//! How clients prove themselves, and what they may do then.

use super::*;

const SECRET: &str = "secrets = ['0123456789abcdef']";
const PUBLIC: &str = "authentication = 'none'";
const KEY: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

/// A configuration with an API, and a client with `lines`.
fn with(lines: &str) -> String {
    format!("{GOOD}\n[[apis]]\naudience = 'https://api.test'\nscopes = ['read']\n[[clients]]\nid = 'app'\n{lines}\n")
}

/// That each has one mistake, which begins like this.
#[track_caller]
fn each_has_its_mistake(rows: &[(&str, &str)]) {
    for (lines, mistake) in rows {
        let found = mistakes(&with(lines), &[]);
        let found: Vec<_> = found.lines().filter(|line| line.contains("clients[0]")).collect();
        assert!(found.len() == 1 && found.iter().all(|line| line.contains(mistake)), "{lines}\n{found:#?}");
    }
}

#[track_caller]
fn all_are_good(rows: &[&str]) {
    for lines in rows {
        let outcome = loaded(&with(lines), &[]);
        assert!(outcome.is_ok(), "{lines}\n{}", outcome.unwrap_err());
    }
}

#[test]
fn a_client_has_the_proof_of_its_kind_and_no_other() {
    let signs = format!("authentication = 'private-key-jwt'\nkeys = ['{KEY}']");
    all_are_good(&[SECRET, PUBLIC, &signs, "secrets = ['0123456789abcdef', 'fedcba9876543210']"]);
    each_has_its_mistake(&[
        ("", "clients[0].secrets: at least one is needed, or authentication = \"none\""),
        ("secrets = ['0123456789abcde']", "clients[0].secrets[0]: must have 16 to 512 characters"),
        ("secrets = ['0123456789abcdef', 'x']", "clients[0].secrets[1]: must have 16 to 512 characters"),
        ("secret_files = ['/nonexistent/secret']", "clients[0].secret_files[0]: cannot read the file: No such file"),
        (&format!("{PUBLIC}\n{SECRET}"), "clients[0].secrets: a client without authentication has none"),
        (&format!("{PUBLIC}\ntrust_forwarded_for = true"), "clients[0].trust_forwarded_for: a client without"),
        ("authentication = 'private-key-jwt'", "clients[0].keys: at least one is needed for private-key-jwt"),
        (&format!("{signs}\n{SECRET}"), "clients[0].secrets: a client that signs assertions has none"),
    ]);
}

#[test]
fn a_secret_is_given_here_or_in_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let (good, empty) = (file("good", "0123456789abcdef\n"), file("empty", "\n"));
    all_are_good(&[&format!("secret_files = ['{good}']")]);
    each_has_its_mistake(&[
        (&format!("{SECRET}\nsecret_files = ['{good}']"), "clients[0].secrets: are given here and in files"),
        (&format!("secret_files = ['{good}', '{empty}']"), "clients[0].secret_files[1]: "),
    ]);
}

#[test]
fn a_key_is_a_public_key_that_is_strong_enough() {
    let signs = |keys: &str| format!("authentication = 'private-key-jwt'\n{keys}");
    let pair = rcgen::KeyPair::generate().unwrap();
    all_are_good(&[&signs(&format!("keys = ['''{}''', '{KEY}']", pair.public_key_pem()))]);
    let secret = r#"{"keys":[{"kty":"oct","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}]}"#;
    let short = r#"{"keys":[{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4","e":"AQAB"}]}"#;
    for (keys, place) in [
        ("keys = ['']".to_owned(), "clients[0].keys[0]: "),
        ("keys = ['ssh-ed25519 AAAA']".to_owned(), "clients[0].keys[0]: "),
        (format!("keys = ['{KEY}', '{{}}']"), "clients[0].keys[1]: "),
        (format!("keys = ['{secret}']"), "clients[0].keys[0]: "),
        (format!("keys = ['{short}']"), "clients[0].keys[0]: "),
        (format!("keys = ['''{}''']", pair.serialize_pem()), "clients[0].keys[0]: "),
        (
            "key_files = ['/nonexistent/key.pem']".to_owned(),
            "clients[0].key_files[0]: cannot read the file: No such file",
        ),
    ] {
        let found = mistakes(&with(&signs(&keys)), &[]);
        assert!(found.contains(place), "{keys}\n{found}");
        assert!(!found.contains(pair.serialize_pem().lines().nth(1).unwrap()), "no key is shown: {found}");
    }
}

#[test]
fn a_service_calls_apis_that_there_are_with_scopes_that_they_have() {
    let services =
        |proof: &str, services: &str| format!("{proof}\ngrant_types = ['client_credentials']\nservices = [{services}]");
    let read = "{ audience = 'https://api.test', scopes = ['read'] }";
    all_are_good(&[&services(SECRET, read), &services(SECRET, "{ audience = 'https://api.test' }")]);
    each_has_its_mistake(&[
        (
            &services(PUBLIC, read),
            "clients[0].grant_types: a client without authentication cannot have client_credentials",
        ),
        (&services(SECRET, ""), "clients[0].services: and client_credentials among the grant_types need each other"),
        (&format!("{SECRET}\nservices = [{read}]"), "clients[0].services: and client_credentials among"),
        (&services(SECRET, &format!("{read}, {read}")), "clients[0].services[1].audience: is there twice"),
        (&services(SECRET, "{ audience = 'https://no.test' }"), "clients[0].services[0].audience: is not the audience"),
        (
            &services(SECRET, "{ audience = 'https://api.test', scopes = ['read', 'write'] }"),
            "clients[0].services[0].scopes[1]: is not a scope of that API",
        ),
    ]);
}

#[test]
fn who_asserts_logins_proves_itself_and_has_a_realm() {
    let asserts =
        |proof: &str, asserts: &str| format!("{proof}\ngrant_types = ['asserted-login']\nasserts = {{ {asserts} }}");
    let staff = "realm = 'staff'";
    all_are_good(&[
        &asserts(SECRET, staff),
        &asserts(SECRET, "realm = 'staff', create_users = true, max_age = '1s'"),
        &asserts(SECRET, "realm = 'staff', max_age = '1h'"),
    ]);
    each_has_its_mistake(&[
        (&asserts(PUBLIC, staff), "clients[0].grant_types: a client without authentication cannot have asserted-login"),
        (&asserts(SECRET, ""), "clients[0].asserts.realm: and asserted-login among the grant_types need each other"),
        (&format!("{SECRET}\nasserts = {{ {staff} }}"), "clients[0].asserts.realm: and asserted-login among"),
        (&asserts(SECRET, "realm = 'guests'"), "clients[0].asserts.realm: is not the name of any of the realms"),
        (&asserts(SECRET, "realm = 'staff', max_age = '0s'"), "clients[0].asserts.max_age: must be 1s to 1h"),
        (&asserts(SECRET, "realm = 'staff', max_age = '61m'"), "clients[0].asserts.max_age: must be 1s to 1h"),
    ]);
}

#[test]
fn what_else_a_client_may_do_is_within_bounds() {
    all_are_good(&[
        &format!("{SECRET}\nintrospects = ['https://api.test']"),
        &format!("{PUBLIC}\nremember_devices_for = '8766h'"),
    ]);
    each_has_its_mistake(&[
        (&format!("{SECRET}\nintrospects = ['https://no.test']"), "clients[0].introspects[0]: is not the audience"),
        (&format!("{PUBLIC}\nintrospects = ['https://api.test']"), "clients[0].introspects: a client without"),
        (&format!("{PUBLIC}\nremember_devices_for = '8767h'"), "clients[0].remember_devices_for: must be 0ms to"),
        (&format!("{PUBLIC}\nid_token_lifetime = '59s'"), "clients[0].id_token_lifetime: must be 1m to 30days"),
        (
            &format!("{PUBLIC}\nmfa_demand = 'never'\nmfa_factors = ['sms']"),
            "clients[0].mfa_factors[0]: is not one of mfa.factors",
        ),
    ]);
}

/// gRPC with the certificates of a demo in `folder`, whose authority signs clients too.
fn encrypted(folder: &std::path::Path, more: &str) -> String {
    let files = crate::demo::certificates::Certificates::keep(folder).unwrap();
    let (cert, key, ca) = (files.cert.display(), files.key.display(), files.ca.display());
    format!(
        "{GOOD}\n[grpc.tls]\nenabled = true\ncert_file = '{cert}'\nkey_file = '{key}'\nclient_ca_file = '{ca}'\n{more}\n"
    )
}

#[test]
fn a_client_with_a_certificate_has_names_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let tls = encrypted(folder.path(), "gateways = ['spiffe://test/gateway']");
    let client = |names: &str| {
        format!(
            "[[clients]]\nid = '{}'\nauthentication = 'tls-client-auth'\ncertificate_names = [{names}]\n",
            names.len()
        )
    };
    let outcome = loaded(&format!("{tls}{}", client("'spiffe://test/shop', 'shop.internal'")), &[]);
    assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    for (clients, mistake) in [
        (client(""), "clients[0].certificate_names: at least one is needed for tls-client-auth"),
        (client("'*.internal'"), "clients[0].certificate_names[0]: must be a URI or the name of a host"),
        (client("'a', 'a b'"), "clients[0].certificate_names[1]: must be a URI or the name of a host"),
        (client("'a', 'A'"), "clients[0].certificate_names[1]: is there twice"),
        (client("'a'") + &client("'b', 'a'"), "clients[1].certificate_names[1]: is there twice"),
        (client("'spiffe://test/gateway'"), "clients[0].certificate_names[0]: is there twice"),
        (client("'a'") + SECRET, "clients[0].secrets: a client with a certificate has none"),
        (
            format!("[[clients]]\nid = 'app'\n{SECRET}\ncertificate_names = ['a']\n"),
            "clients[0].certificate_names: are for tls-client-auth alone",
        ),
    ] {
        let found = mistakes(&format!("{tls}{clients}"), &[]);
        assert!(found.contains(mistake), "{clients}\n{found}");
        assert_eq!(found.matches("].").count(), 1, "and no other: {found}");
    }
    let plain = mistakes(&format!("{GOOD}\n{}", client("'a'")), &[]);
    assert!(plain.contains("clients[0].authentication: tls-client-auth needs grpc.tls.enabled"), "{plain}");
}

#[test]
fn authorities_of_clients_need_tls_and_gateways_need_authorities() {
    let folder = tempfile::tempdir().unwrap();
    for more in ["", "client_certificates = 'optional'", "gateways = ['gateway.internal']"] {
        assert!(loaded(&encrypted(folder.path(), more), &[]).is_ok(), "{more}");
    }
    let tls = encrypted(folder.path(), "gateways = ['spiffe://test/gateway', 'no name']");
    assert!(mistakes(&tls, &[]).contains("grpc.tls.gateways[1]: must be a URI or the name of a host"));
    let off = mistakes(&tls.replace("enabled = true", "enabled = false"), &[]);
    assert!(off.contains("grpc.tls.client_ca_file: needs grpc.tls.enabled"), "{off}");
    let nobody = mistakes(&format!("{GOOD}\ngrpc.tls = {{ gateways = ['gateway.internal'] }}\n"), &[]);
    assert!(nobody.contains("grpc.tls.gateways: need grpc.tls.client_ca_file"), "{nobody}");
    let wrong = mistakes(&tls.replace("ca.pem", "server-key.pem"), &[]);
    assert!(wrong.contains("server-key.pem holds no certificate"), "{wrong}");
}
