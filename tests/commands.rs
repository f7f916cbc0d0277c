//! What commands say, to whom, and how they end.

use std::fs;

use countersign_tests::{
    process::{self, run, run_on_a_terminal},
    tenant::{BACKEND, FORWARDER, Tenant},
};
use tempfile::TempDir;

/// Secrets in their places and in wrong ones, each beside a mistake.
const WRONG: &str = "
issuer = 'https://user:issuer-canary@login.example.com/'
default_realm = 'realm-canary'
colour = 'colour-canary'

[grpc]
listen = 'listen-canary'

[gateway]
trusted_proxies = ['10.0.0.0/8', 'proxy-canary']
client_error = 'error-canary'

[keys]
kek = 'kek-canary'
rsa_bits = 'bits-canary'

[storage]
url = 'postgres://user:database-canary@localhost/x'
session_url_file = 'redis://:cache-canary@localhost'

[passwords]
max_wait = 'wait-canary'

[limits.factor_failures]
capacity = 0

[otlp]
enabled = true
endpoint = 'https://user:otlp-canary@localhost:4317'

[[realms]]
name = 'people'

[[clients]]
id = 'id canary'
secrets = ['secret-canary-of-16-or-more', 'short-canary']
origins = ['https://user:origin-canary@app.example.com']

[[clients]]
id = 'web'
secret = 'singular-canary-of-16-or-more'
secrets = 'text-canary-of-16-or-more'
authentication = 'way-canary'
grant_types = ['password', 'grant-canary']

[[users]]
realm = 'people'
username = 'ada'
password_phc = 'phc-canary'
";

/// Where they are, as the file says it.
const PLACES: [&str; 21] = [
    "clients[0].id",
    "clients[0].origins[0]",
    "clients[0].secrets[1]",
    "clients[1].authentication",
    "clients[1].grant_types[1]",
    "clients[1].secret",
    "clients[1].secrets",
    "colour",
    "default_realm",
    "gateway.client_error",
    "gateway.trusted_proxies[1]",
    "grpc.listen",
    "issuer",
    "keys.kek",
    "keys.rsa_bits",
    "limits.factor_failures.capacity",
    "otlp.endpoint",
    "passwords.max_wait",
    "storage.session_url_file",
    "storage.url",
    "users[0].password_phc",
];

const CHECK: [&str; 3] = ["check-config", "--config", "countersign.toml"];

#[tokio::test(flavor = "multi_thread")]
async fn a_check_names_the_place_of_every_mistake_and_shows_no_value() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("countersign.toml"), WRONG).unwrap();
    let ended = run(folder.path(), &CHECK, "").await;
    assert_eq!((ended.code, ended.out.as_str()), (64, ""), "{ended:?}");
    let mut lines = ended.err.lines();
    let count = format!("countersign: {} mistakes in the configuration", PLACES.len());
    assert_eq!(lines.next(), Some(count.as_str()), "{}", ended.err);
    let named: Vec<_> = lines.map(|line| line.trim_start().split_once(": ").unwrap().0).collect();
    assert_eq!(named, PLACES, "{}", ended.err);
    assert!(!ended.err.contains("canary"), "{}", ended.err);
    // Who would serve with it is told the same.
    let served = run(folder.path(), &["serve", "--config", "countersign.toml"], "").await;
    assert_eq!((served.code, served.err), (64, ended.err));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_toml_is_not_shown() {
    let folder = TempDir::new().unwrap();
    for line in ["kek = 'begun-canary", "kek = canary-bare", "kek canary", "kek = 'once'\nkek = 'twice-canary'"] {
        fs::write(folder.path().join("countersign.toml"), format!("[keys]\n{line}\n")).unwrap();
        let ended = run(folder.path(), &CHECK, "").await;
        assert_eq!((ended.code, ended.out.as_str()), (64, ""), "{line}: {ended:?}");
        assert!(ended.err.contains("--config: is not TOML: ") && ended.err.contains("line "), "{line}: {ended:?}");
        assert!(!ended.err.contains("canary"), "{line}: {ended:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_file_is_called_good() {
    let folder = TempDir::new().unwrap();
    let config = Tenant::default().toml(&process::places(folder.path()));
    fs::write(folder.path().join("countersign.toml"), config).unwrap();
    let ended = run(folder.path(), &CHECK, "").await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "The configuration is good.\n"), "{ended:?}");
    assert!(ended.err.lines().all(|line| line.starts_with("warning: client ")), "{ended:?}");
    let secrets = [BACKEND, FORWARDER].map(|client| client.secret.unwrap());
    assert!(secrets.iter().all(|secret| !ended.err.contains(secret)), "{ended:?}");
    assert!(!folder.path().join("countersign.db").exists(), "a check makes nothing");
}

/// A folder with a store that has as many sealed values as [`LAST`] says.
async fn sealed() -> TempDir {
    let folder = TempDir::new().unwrap();
    let config = Tenant::default().toml(&process::places(folder.path()));
    fs::write(folder.path().join("countersign.toml"), config).unwrap();
    for algorithm in ["RS256", "ES256", "Ed25519"] {
        let added = ["keys", "add", "--algorithm", algorithm, "--config", "countersign.toml"];
        assert_eq!(run(folder.path(), &added, "").await.code, 0);
    }
    folder
}

const ROTATION: &str = "countersign keys rotate-data --config countersign.toml";
const DONE: &str = "3 values are sealed anew, 0 are left";
/// The last thing that is said of how far it is.
const LAST: &str = "3 of 3";

/// What a rotation shows on a terminal that `redirection` takes something away from, and the folder.
async fn rotated(redirection: &str) -> (String, TempDir) {
    let folder = sealed().await;
    let ended = run_on_a_terminal(folder.path(), &format!("{ROTATION} {redirection}"), "").await;
    assert_eq!(ended.code, 0, "{ended:?}");
    (ended.out, folder)
}

fn read(folder: &TempDir, name: &str) -> String {
    fs::read_to_string(folder.path().join(name)).unwrap()
}

/// Whether a bar is in what a terminal showed.
fn has_a_bar(shown: &str) -> bool {
    // It is drawn anew in its place.
    shown
        .split('\r')
        .any(|drawn| drawn.contains('█') && drawn.contains(&format!("{LAST}, ")) && drawn.contains(" to go"))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_a_rotation_is_shown_a_bar_and_a_file_gets_lines() {
    // Each waits for servers to learn of the new key.
    let (both, complaints, words) = tokio::join!(rotated(""), rotated(">said"), rotated("2>complained"));
    for (shown, said) in [(&both.0, &both.0), (&complaints.0, &read(&complaints.1, "said"))] {
        assert!(has_a_bar(shown) && said.contains(DONE), "{shown:?} {said}");
        assert!(!shown.lines().any(|line| line == LAST), "a line is beside the bar: {shown:?}");
    }
    // Whether the rest is on a terminal does not matter.
    let (shown, folder) = words;
    assert_eq!(read(&folder, "complained"), format!("{LAST}\n"));
    assert!(shown.contains(DONE) && !has_a_bar(&shown) && !shown.contains('\u{1b}'), "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_nobody_watches_shows_no_bar() {
    let folder = sealed().await;
    let ended = run(folder.path(), &["keys", "rotate-data", "--config", "countersign.toml"], "").await;
    assert_eq!((ended.code, ended.err), (0, format!("{LAST}\n")));
    assert!(ended.out.contains(DONE) && !has_a_bar(&ended.out) && !ended.out.contains('\u{1b}'), "{}", ended.out);
}
