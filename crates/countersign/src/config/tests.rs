#![allow(clippy::unwrap_used)]

mod clients;
mod users;

use std::{fs, path::PathBuf, sync::Arc};

use countersign_crypto::{entropy::SystemEntropy, master_key::MasterKey, sealer::AeadSealer};
use countersign_domain::{
    id::{Audience, ClientId},
    port::sealer::Sealer,
    registry::{RefreshPolicy, Registry},
};

use super::*;
use crate::config::layers::{Variables, load, parse};

const KEK: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn variables(pairs: &[(&str, &str)]) -> Variables {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn loaded(toml: &str, pairs: &[(&str, &str)]) -> Result<check::Checked, mistake::Mistakes> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("countersign.toml");
    fs::write(&file, toml).unwrap();
    load(Some(&file), &variables(pairs))
}

/// The mistakes, as a person sees them.
fn mistakes(toml: &str, pairs: &[(&str, &str)]) -> String {
    loaded(toml, pairs).unwrap_err().to_string()
}

const GOOD: &str = r#"
issuer = "https://login.example.com/"
default_realm = "staff"
keys.kek = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
realms = [{ name = "staff" }]
"#;

#[test]
fn little_is_needed() {
    let config = loaded(GOOD, &[]).unwrap();
    assert_eq!(config.app_name, "login.example.com");
    assert_eq!(config.kek.expose(), KEK);
    assert!(config.warnings().is_empty());
}

#[test]
fn every_mistake_of_shape_is_found() {
    let toml = r#"
        issuer = 7
        colour = "red"
        keys.kek = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

        [grpc]
        enabled = "perhaps"
        listen = "everywhere"
        tls = { cert = "x" }

        [passwords]
        threads = -1
        max_wait = "soon"

        [gateway]
        trusted_proxies = ["10.0.0.0/8", "the proxy"]
        client_error = "shrug"

        [[clients]]
        id = "a"
        authentication = "trust"
        grant_types = ["password", "implicit"]

        [[clients]]
        id = 12
        secret = "hunter2hunter2hunter2"
    "#;
    insta::assert_snapshot!(mistakes(toml, &[("COUNTERSIGN__OPS__LISTEN", "9090"), ("COUNTERSIGN__OPS__LISTN", "x")]));
}

#[test]
fn a_bad_item_of_a_list_hides_nothing_that_follows_from_the_others() {
    let needs = "messages.sms: needs a provider, since mfa.factors has sms";
    for (factors, wrong) in [
        ("['sms', 'foo']", vec!["mfa.factors[1]"]),
        ("['foo', 'sms']", vec!["mfa.factors[0]"]),
        ("['foo', 'bar', 'sms', 7]", vec!["mfa.factors[0]", "mfa.factors[1]", "mfa.factors[3]"]),
    ] {
        let found = loaded(&format!("{GOOD}\n[mfa]\nfactors = {factors}\n"), &[]).unwrap_err();
        assert!(found.to_string().contains(needs), "{factors}: {found}");
        let places: Vec<_> = found.as_slice().iter().map(|mistake| mistake.path.as_str()).collect();
        assert_eq!(places.into_iter().filter(|path| path.starts_with("mfa.")).collect::<Vec<_>>(), wrong, "{found}");
    }
    let client = "[[clients]]\nid = 'app'\nauthentication = 'none'\norigins = ['https://app.test', 7, 'there']";
    let found = loaded(&format!("{GOOD}\n{client}\n"), &[]).unwrap_err();
    let places: Vec<_> = found.as_slice().iter().map(|mistake| mistake.path.as_str()).collect();
    assert_eq!(places, ["clients[0].origins[1]", "clients[0].origins[2]"], "{found}");
}

#[test]
fn every_mistake_of_sense_is_found() {
    let toml = r#"
        issuer = "http://login.example.com"
        default_realm = "nowhere"
        default_audience = "https://unknown.example.com"
        grpc.listen = "127.0.0.1:8080"
        grpc.tls = { enabled = true, cert_file = "/nonexistent/cert.pem", key_file = "/nonexistent/key.pem" }
        https.enabled = true
        storage = { url = "postgres://db", session_url = "memcached://cache" }
        keys = { kek = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", kek_file = "/nonexistent/kek", rsa_bits = 1024 }
        passwords = { memory_kib = 1024, lanes = 0, max_wait = "2h" }
        limits = { mfa_token_lifetime = "1s", factor_failures = { capacity = 0 }, otp_window = { ahead = 30 } }
        otlp = { enabled = true, endpoint = "here" }

        [[realms]]
        name = "staff"
        [[realms]]
        name = "staff"

        [[clients]]
        id = "web"
        secrets = ["short"]
        grant_types = ["password"]
        origins = ["https://app.example.com/", "*"]
        default_realm = "guests"
        [[clients]]
        id = "web"
        [[clients]]
        id = "phone app"
        authentication = "none"
        secrets = ["0123456789abcdef"]
        trust_forwarded_for = true
        introspects = ["https://api.example.com", "https://unknown.example.com"]
        [[clients]]
        id = "browser"
        authentication = "none"
        grant_types = ["refresh_token"]
        refresh = { rotate = false, expire = false, overlap = "2m", lifetime = "400days", idle_lifetime = "500days" }

        [[apis]]
        audience = "https://api.example.com"
        scopes = ["read write"]
        [[apis]]
        audience = "https://api.example.com"
        token_lifetime = "1s"

        [[users]]
        username = ""
        email = "nobody"
        password = "in plain text"
        [[users]]
        realm = "guests"
        username = "ada"
        password_phc = "$2b$12$abc"
    "#;
    insta::assert_snapshot!(mistakes(toml, &[]));
}

#[test]
fn what_refresh_tokens_must_do_is_asked_of_those_who_have_them() {
    let with = |client: &str| format!("{GOOD}\n[[clients]]\nid = \"app\"\n{client}");
    let good = [
        "authentication = \"none\"\nrefresh = { rotate = false, expire = false }",
        "authentication = \"none\"\ngrant_types = [\"refresh-token\"]\nrefresh = { overlap = \"0s\", lifetime = \"1s\", idle_lifetime = \"1s\" }",
        "secrets = [\"0123456789abcdef\"]\ngrant_types = [\"refresh_token\"]\nrefresh = { rotate = false, expire = false }",
    ];
    for client in good {
        assert!(loaded(&with(client), &[]).is_ok(), "{client}");
    }
    let policy = |client: &str| {
        let config = loaded(&with(client), &[]).unwrap();
        let entropy = Arc::new(SystemEntropy::new());
        let sealer: Arc<dyn Sealer> = Arc::new(AeadSealer::new(&MasterKey::parse(KEK).unwrap(), entropy).unwrap());
        config.registry(&sealer).clients.into_values().next().unwrap().refresh
    };
    let usual = policy("secrets = [\"0123456789abcdef\"]");
    assert_eq!(usual, RefreshPolicy::default());
    assert!(usual.rotates && !usual.asks_mfa && usual.overlap.as_secs() == 10);
    let endless = policy(good[2]);
    assert_eq!((endless.rotates, endless.lifetime, endless.idle_lifetime), (false, None, None));
}

#[test]
fn audiences_of_our_own_cannot_be_taken() {
    let toml = format!(
        "{GOOD}\napis = [{{ audience = \"https://login.example.com/mfa\" }}]\n\
         clients = [{{ id = \"https://login.example.com/userinfo\", authentication = \"none\" }}]"
    );
    insta::assert_snapshot!(mistakes(&toml, &[]));
}

#[test]
fn plain_http_is_for_loopback() {
    for issuer in ["http://localhost:8080/", "http://127.0.0.1/", "http://[::1]:1234/"] {
        assert!(loaded(GOOD, &[("COUNTERSIGN__ISSUER", issuer)]).is_ok(), "{issuer}");
    }
    for issuer in [
        "http://192.0.2.1/",
        "https://login.example.com",
        "https://login.example.com/?a",
        "https://LOGIN.example.com/",
        "https://login.example.com:443/",
        "https://ada@login.example.com/",
        "ftp://login.example.com/",
        "login",
    ] {
        assert!(loaded(GOOD, &[("COUNTERSIGN__ISSUER", issuer)]).is_err(), "{issuer}");
    }
}

#[test]
fn what_no_request_could_name_is_a_mistake() {
    let (longest, longer) = ("a".repeat(128), "a".repeat(129));
    let client =
        |id: &str, secret: &str| format!("clients = [{{ id = '{id}', secrets = ['{secret}'], grant_types = [] }}]");
    let api = |scope: &str| format!("apis = [{{ audience = 'https://api/', scopes = ['{scope}'] }}]");
    for (good, bad, mistake) in [
        (client(&longest, &"s".repeat(512)), client(&longer, &"s".repeat(513)), "clients[0].id: must be 1 to 128"),
        (client("a", &"s".repeat(512)), client("a", &"s".repeat(513)), "clients[0].secrets[0]: must have 16 to 512"),
        (api(&longest), api(&longer), "apis[0].scopes[0]: must be 1 to 128 ASCII"),
        (api("offline"), api("offline_access"), "apis[0].scopes[0]: is a scope of countersign's own"),
        (api("OpenID"), api("openid"), "apis[0].scopes[0]: is a scope of countersign's own"),
        (
            "messages.countries = ['GB']".into(),
            "messages.countries = ['UK']".into(),
            "messages.countries[0]: must be two",
        ),
        (String::new(), "messages.countries = ['us']".into(), "messages.countries[0]: must be two capital"),
        (String::new(), "storage.url = 'sqlite::memory:'".into(), "storage.url: must be sqlite: and the path"),
    ] {
        let outcome = loaded(&format!("{GOOD}{good}"), &[]);
        assert!(outcome.is_ok(), "{good}: {}", outcome.unwrap_err());
        let shown = mistakes(&format!("{GOOD}{bad}"), &[]);
        assert!(shown.contains(mistake), "{bad}: {shown}");
    }
    let realm = |name: &str| GOOD.replace("staff", name);
    assert!(loaded(&realm(&longest), &[]).is_ok());
    assert!(mistakes(&realm(&longer), &[]).contains("realms[0].name: must be 1 to 128 printable"));
    let prefixed = GOOD.replace(".com/", ".com/login/");
    assert!(mistakes(&prefixed, &[]).contains("issuer: must have no path"));
}

#[test]
fn variables_win_over_the_file_and_the_file_over_defaults() {
    let config = loaded(
        &format!("{GOOD}\nops.listen = \"127.0.0.1:1\"\nhttp.listen = \"127.0.0.1:2\""),
        &[
            ("COUNTERSIGN__OPS__LISTEN", "127.0.0.1:3"),
            ("COUNTERSIGN__PASSWORDS__THREADS", "5"),
            ("COUNTERSIGN__STORAGE__REDIS_ALLOW_EVICTION", "true"),
            ("COUNTERSIGN__APIS", r#"[{audience="https://api.example.com", scopes=["read"]}]"#),
            ("COUNTERSIGN__APP_NAME", "2026"),
            ("COUNTERSIGN_CONFIG", "no setting"),
            ("PATH", "/bin"),
        ],
    )
    .unwrap();
    assert_eq!(config.ops.listen.port(), 3);
    assert_eq!(config.http.listen.port(), 2);
    assert_eq!(config.grpc.listen.port(), 50_051);
    assert_eq!(config.passwords.threads, 5);
    assert!(config.storage.redis_allow_eviction);
    assert_eq!(config.apis.first().unwrap().scopes, ["read"]);
    assert_eq!(config.app_name, "2026", "text that looks like a number is still text");
}

#[test]
fn secrets_come_by_value_or_by_file_and_are_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> String {
        let path: PathBuf = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let kek = file("kek", &format!("{KEK}\n"));
    let secret = file("secret", "0123456789 abcdef\r\n");
    let toml = format!(
        "{}\nkeys.kek_file = \"{kek}\"\nclients = [{{ id = \"web\", secret_files = [\"{secret}\"] }}]",
        GOOD.replace("keys.kek =", "# ")
    );
    let config = loaded(&toml, &[]).unwrap();
    assert_eq!(config.kek.expose(), KEK);
    let secrets = config.client_secrets.values().next().unwrap();
    assert_eq!(secrets.first().unwrap().expose(), "0123456789 abcdef");

    let both = mistakes(&toml, &[("COUNTERSIGN__KEYS__KEK", KEK)]);
    assert!(both.contains("keys.kek: is given here and in keys.kek_file"), "{both}");

    let (config, _) =
        parse(&format!("{GOOD}\nstorage.session_url = \"redis://:canary-canary@cache\""), &Variables::new());
    let shown = format!("{config:?}{}", toml::to_string(&config).unwrap());
    assert!(!shown.contains("canary") && !shown.contains(KEK), "{shown}");
    let wrong = mistakes("keys.kek = 31337313373133731337\nissuer = \"canary\"\nkeys.rsa_bits = \"canary\"", &[]);
    assert!(!wrong.contains("313373") && !wrong.contains("canary"), "{wrong}");
}

#[test]
fn a_file_that_is_not_toml_is_one_mistake_that_shows_no_line() {
    let wrong = loaded("keys.kek = \"canary", &[]).unwrap_err();
    let [mistake] = wrong.as_slice() else { panic!("{wrong}") };
    assert_eq!(mistake.path, "--config");
    assert!(mistake.what.starts_with("is not TOML: "), "{wrong}");
    assert!(!mistake.what.contains("canary"), "{wrong}");
}

#[test]
fn password_grants_are_warned_about() {
    let toml =
        format!("{GOOD}\nclients = [{{ id = \"old\", authentication = \"none\", grant_types = [\"password\"] }}]");
    let warnings = loaded(&toml, &[]).unwrap().warnings();
    assert!(warnings.iter().any(|warning| warning.contains("old") && warning.contains("RFC 9700")), "{warnings:?}");
}

#[test]
fn asserted_logins_that_could_not_enrol_are_warned_about() {
    let warned = |max_age: &str| {
        let toml = format!(
            "{GOOD}\n[limits]\nmanagement_max_age = '10m'\n[[clients]]\nid = 'web'\nauthentication = 'secret'\n\
             secrets = ['{}']\ngrant_types = ['asserted-login']\nasserts = {{ realm = 'staff', max_age = '{max_age}' }}\n",
            "s".repeat(64)
        );
        loaded(&toml, &[]).unwrap().warnings()
    };
    assert_eq!(warned("10m"), Vec::<String>::new());
    assert!(warned("11m")[0].starts_with("client web may assert logins of 11m ago"), "{:?}", warned("11m"));
}

#[test]
fn rules_that_go_by_network_are_warned_about_where_callers_of_grpc_may_meet_them() {
    let toml = |grpc: bool, client: &str, api: &str| {
        format!(
            "{GOOD}\n[grpc]\nenabled = {grpc}\n[[clients]]\nid = 'web'\nauthentication = 'none'\n{client}\n\
             [[apis]]\naudience = 'https://api.example.com'\n{api}\n"
        )
    };
    let warned = |toml: &str| loaded(toml, &[]).unwrap().warnings().join("\n");
    let (context, elsewhere) = ("mfa_demand = 'context'", "mfa_context = { new_network = false, max_age = '1h' }");
    let both = warned(&toml(true, context, context));
    assert!(both.starts_with("client web, API https://api.example.com: decided by network"), "{both}");
    assert!(warned(&toml(true, context, "")).starts_with("client web: decided by network"));
    assert!(warned(&toml(true, "", context)).starts_with("API https://api.example.com: decided by network"));
    let by_default = format!("{}[mfa]\ndemand = 'context'\n", toml(true, "", ""));
    assert!(warned(&by_default).starts_with("client web: decided by network"));
    for quiet in [
        toml(true, "", ""),
        toml(false, context, context),
        toml(true, &format!("{context}\n{elsewhere}"), ""),
        toml(true, "", &format!("{context}\n{elsewhere}")),
    ] {
        assert_eq!(warned(&quiet), "", "{quiet}");
    }
}

#[test]
fn the_printed_default_is_what_it_was_and_reads_back() {
    let printed = reference::default_toml().unwrap();
    let (config, mistakes) = parse(&printed, &Variables::new());
    assert!(mistakes.or(()).is_ok());
    assert_eq!(toml::to_string_pretty(&config).unwrap(), printed);
    insta::assert_snapshot!(printed);
}

#[test]
fn the_reference_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/config.md");
    let generated = reference::markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs")).unwrap();
        fs::write(path, &generated).unwrap();
    }
    let stored = fs::read_to_string(path).unwrap_or_default();
    assert!(stored == generated, "docs/config.md is stale: run this test with UPDATE_DOCS=1");
    assert!(generated.contains("RSA keys only until an API here uses another algorithm"));
}

#[test]
fn devices_are_reached_by_firebase_and_apple_as_declared() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("apns.p8");
    fs::write(&key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let toml = |services: &str| {
        format!(
            "{GOOD}\n[mfa]\nfactors = ['push', 'otp']\n[messages]\npush = ['phones']\n\
             [[messages.push_services]]\nname = 'phones'\n{services}"
        )
    };
    let apns = format!(
        "apns_key_file = '{}'\napns_key_id = 'ABC123DEFG'\napns_team_id = 'DEF123GHIJ'\napns_topic = 'com.example.app'\n",
        key.display()
    );
    assert!(loaded(&toml(&apns), &[]).is_ok());
    let routes = loaded(&toml(&apns), &[]).unwrap().delivery.routes;
    assert_eq!(routes[&countersign_domain::message::Channel::Push], ["phones"]);

    let found = |services: &str| mistakes(&toml(services), &[]);
    assert!(found("").contains("messages.push_services[0]: needs fcm_service_account_file or apns_key_file"));
    let half = apns.replace("apns_topic = 'com.example.app'\n", "");
    assert!(found(&half).contains("messages.push_services[0].apns_topic: is needed with apns_key_file"));
    let clear = format!("{apns}apns_base_url = 'http://push.example.com'\n");
    assert!(found(&clear).contains("must begin with https://"), "{}", found(&clear));
    let gone = found("fcm_service_account_file = '/nonexistent/firebase.json'\n");
    assert!(gone.contains("fcm_service_account_file: cannot read the file: No such file"), "{gone}");
    let broken = folder.path().join("firebase.json");
    fs::write(&broken, "{\"private_key\": \"secret of firebase\"}").unwrap();
    let broken = found(&format!("fcm_service_account_file = '{}'\n", broken.display()));
    assert!(broken.contains("messages.push_services[0]: ") && !broken.contains("secret of firebase"), "{broken}");
    let slow = format!("{apns}timeout = '1m'\n");
    assert!(found(&slow).contains("messages.push_services[0].timeout: must be 1s to 10s"), "{}", found(&slow));
}

#[test]
fn devices_need_a_provider_that_notifies() {
    let push = format!("{GOOD}\n[mfa]\nfactors = ['push']\n");
    assert!(mistakes(&push, &[]).contains("messages.push: needs a provider, since mfa.factors has push"));
    let mail = format!(
        "{push}[messages]\npush = ['mail']\n[[messages.smtp]]\nname = 'mail'\nfrom = 'no-reply@example.com'\nencryption = 'none'\n"
    );
    assert!(mistakes(&mail, &[]).contains("messages.push[0]: is a provider that does not carry push"));
}

#[test]
fn a_grace_period_has_a_bound_and_goes_with_no_required_strength() {
    let client = |lines: &str| format!("{GOOD}\n[[clients]]\nid = 'web'\nauthentication = 'none'\n{lines}\n");
    let api = |lines: &str| format!("{GOOD}\n[[apis]]\naudience = 'https://api.example.com'\n{lines}\n");
    assert!(loaded(&client("mfa_grace = '90days'"), &[]).is_ok());
    assert!(loaded(&client("mfa_grace = '0s'\nmfa_strength = 'two-factors'"), &[]).is_ok());
    assert!(loaded(&api("mfa_demand = 'always'\nmfa_grace = '7days'"), &[]).is_ok());
    for (toml, path) in [(client("mfa_grace = '91days'"), "clients[0]"), (api("mfa_grace = '91days'"), "apis[0]")] {
        let found = mistakes(&toml, &[]);
        assert!(found.contains(&format!("{path}.mfa_grace: must be 0ms to 90days")), "{found}");
    }
    for (path, toml) in [
        ("clients[0]", client("mfa_grace = '1day'\nmfa_strength = 'unrestricted'")),
        ("apis[0]", api("mfa_grace = '1day'\nmfa_strength = 'unrestricted'")),
    ] {
        let found = mistakes(&toml, &[]);
        assert!(found.contains(&format!("{path}.mfa_grace: must be 0s with mfa_strength")), "{found}");
    }
}

#[test]
fn who_asks_always_says_how_long_people_may_take() {
    let toml = format!(
        "{GOOD}\n[[clients]]\nid = 'strict'\nauthentication = 'none'\n\
         [[clients]]\nid = 'patient'\nauthentication = 'none'\nmfa_grace = '14days'\n\
         [[clients]]\nid = 'open'\nauthentication = 'none'\nmfa_demand = 'never'\n\
         [[apis]]\naudience = 'https://quiet.example.com'\n\
         [[apis]]\naudience = 'https://strict.example.com'\nmfa_demand = 'always'\n\
         [[apis]]\naudience = 'https://patient.example.com'\nmfa_demand = 'always'\nmfa_grace = '7days'\n"
    );
    let registry = registry_of(&toml);
    let days = |client: &str, api: &str| {
        let client = registry.clients.get(&ClientId::new(client)).unwrap();
        registry.rule(client, &Audience::new(format!("https://{api}.example.com"))).grace_given().as_secs() / 86_400
    };
    for (client, api, grace) in [
        ("strict", "quiet", 0),
        ("strict", "patient", 0),
        ("patient", "quiet", 14),
        ("patient", "strict", 0),
        ("patient", "patient", 7),
        ("open", "strict", 0),
        ("open", "patient", 7),
    ] {
        assert_eq!(days(client, api), grace, "{client} {api}");
    }
}

#[test]
fn what_a_login_is_judged_by_is_something_and_asked_about() {
    let client = |lines: &str| format!("{GOOD}\n[[clients]]\nid = 'web'\nauthentication = 'none'\n{lines}\n");
    let api = |lines: &str| format!("{GOOD}\n[[apis]]\naudience = 'https://api.example.com'\n{lines}\n");
    for good in [
        client("mfa_demand = 'context'"),
        client("mfa_demand = 'context'\nmfa_context = { new_network = false, max_age = '1m' }"),
        client(
            "mfa_demand = 'context'\nremember_devices_for = '7days'\n\
             mfa_context = { new_network = false, new_device = true, max_age = '0s' }",
        ),
        api("mfa_demand = 'context'\nmfa_context = { new_device = true }"),
    ] {
        loaded(&good, &[]).unwrap_or_else(|mistakes| panic!("{good}: {mistakes}"));
    }
    let nothing = "{ new_network = false, max_age = '0s' }";
    for (toml, expected) in [
        (client("mfa_context = {}"), "clients[0].mfa_context: is for mfa_demand = \"context\""),
        (api("mfa_context = {}"), "apis[0].mfa_context: is for mfa_demand = \"context\""),
        (client(&format!("mfa_demand = 'context'\nmfa_context = {nothing}")), "clients[0].mfa_context: must look at"),
        (format!("{GOOD}\n[mfa.context]\nnew_network = false\nmax_age = '0s'\n"), "mfa.context: must look at"),
        (
            api("mfa_demand = 'context'\nmfa_context = { max_age = '59s' }"),
            "apis[0].mfa_context.max_age: must be 1m to 8766h",
        ),
        (
            client("mfa_demand = 'context'\nmfa_context = { new_device = true }"),
            "clients[0].remember_devices_for: is needed",
        ),
        (
            client("[mfa]\ndemand = 'context'\ncontext = { new_device = true }"),
            "clients[0].remember_devices_for: is needed",
        ),
    ] {
        let found = mistakes(&toml, &[]);
        assert!(found.contains(expected), "{expected} in {found}");
    }
}

#[test]
fn what_is_looked_at_counts_for_who_goes_by_it() {
    let toml = format!(
        "{GOOD}\n[mfa.context]\nmax_age = '7days'\n\
         [[clients]]\nid = 'strict'\nauthentication = 'none'\n\
         [[clients]]\nid = 'web'\nauthentication = 'none'\nmfa_demand = 'context'\n\
         [[apis]]\naudience = 'https://quiet.example.com'\n\
         [[apis]]\naudience = 'https://api.example.com'\nmfa_demand = 'context'\n\
         mfa_context = {{ new_network = false, max_age = '1h' }}\n"
    );
    let registry = registry_of(&toml);
    let context = |client: &str, api: &str| {
        let client = registry.clients.get(&ClientId::new(client)).unwrap();
        registry.rule(client, &Audience::new(format!("https://{api}.example.com"))).context
    };
    let looks = |networks, seconds| countersign_domain::policy::ContextRule {
        networks,
        devices: false,
        max_age: Some(std::time::Duration::from_secs(seconds)),
    };
    assert_eq!(context("strict", "quiet"), countersign_domain::policy::ContextRule::default());
    assert_eq!(context("web", "quiet"), looks(true, 7 * 86_400));
    assert_eq!(context("strict", "api"), looks(false, 3600));
    assert_eq!(context("web", "api"), looks(true, 3600), "of two the stricter");
    assert!(registry.goes_by_context);
    assert!(!registry_of(GOOD).goes_by_context);
}

fn registry_of(toml: &str) -> Registry {
    let entropy = Arc::new(SystemEntropy::new());
    let sealer: Arc<dyn Sealer> = Arc::new(AeadSealer::new(&MasterKey::parse(KEK).unwrap(), entropy).unwrap());
    loaded(toml, &[]).unwrap().registry(&sealer)
}

#[test]
fn who_is_asked_about_numbers_is_checked() {
    let toml = |lines: &str| format!("{GOOD}\n[messages.number_check]\n{lines}");
    let url = "url = 'https://numbers.example.com/check'\n";
    let secrets = "secrets = ['a secret of 32 bytes or some more']\n";
    let check = |lines: &str| loaded(&toml(lines), &[]).map(|checked| checked.delivery.number_check.is_some());
    assert!(check(&format!("{url}{secrets}")).unwrap());
    assert!(!check("").unwrap(), "nobody is asked");
    for (lines, mistake) in [
        (secrets.to_owned(), "messages.number_check.url: is needed"),
        (url.to_owned(), "messages.number_check: "),
        (format!("{url}secrets = ['too short']\n"), "messages.number_check: "),
        (format!("{url}{secrets}timeout = '4s'\n"), "messages.number_check.timeout: must be 100ms to 3s"),
        (format!("url = 'http://numbers.example.com/'\n{secrets}"), "messages.number_check: "),
        (
            format!("{url}{secrets}secret_files = ['/nonexistent']\n"),
            "messages.number_check.secrets: are given here and in files",
        ),
    ] {
        let found = mistakes(&toml(&lines), &[]);
        assert!(found.contains(mistake) && !found.contains("too short"), "{lines}: {found}");
    }
}
