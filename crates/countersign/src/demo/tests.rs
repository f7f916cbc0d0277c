#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::HashSet, sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::ServerName;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use super::*;
use crate::{cli::health, config::directory::RefreshConfig, tls};

fn on_free_ports(dir: &Path) -> DemoOptions {
    DemoOptions {
        dir: dir.to_owned(),
        users: 3,
        https_port: 0,
        http_port: 0,
        grpc_port: 0,
        ops_port: 0,
        ..DemoOptions::default()
    }
}

/// The whole answer to a GET over TLS that trusts the demo's authority and nobody else.
async fn get(demo: &Description, path: &str) -> String {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(tls::certificates(Path::new(&demo.ca_file)).unwrap());
    let config = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let host = demo.https_url.strip_prefix("https://").unwrap();
    let port = host.rsplit_once(':').unwrap().1;
    let stream = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn body(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_demo_says_where_it_is_and_a_second_start_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    let options = on_free_ports(&dir);
    let (running, demo) = start(&options, Metrics::new()).await.unwrap();

    let written: Value = serde_json::from_slice(&fs::read(dir.join("demo.json")).unwrap()).unwrap();
    let mut shape = written.clone();
    for member in ["issuer", "https_url", "http_url", "grpc_addr", "ops_addr", "ca_file", "outbox"] {
        assert!(shape.get_mut(member).is_some_and(|value| value.take().as_str().is_some_and(|text| !text.is_empty())));
    }
    insta::assert_json_snapshot!(shape);
    assert_eq!(fs::read(&demo.outbox).unwrap(), b"");
    for secret in ["kek", "server-key.pem", "countersign.db", "demo.json"] {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(dir.join(secret)).unwrap().permissions().mode() & 0o077, 0, "{secret}");
    }

    assert_eq!(health::ask(&demo.ops_addr).await.unwrap(), "ready");
    let discovery = body(&get(&demo, "/.well-known/openid-configuration").await);
    assert_eq!(discovery.get("issuer").unwrap(), &written["issuer"]);
    let keys = body(&get(&demo, "/.well-known/jwks.json").await);
    assert!(keys["keys"].as_array().unwrap().iter().all(|key| key["kty"] == "RSA"));
    let id =
        running.app.find_user(&settings::REALM.into_realm(), &"user00003".into_login()).await.unwrap().unwrap().user.id;
    running.stop().await;

    let ca = fs::read(dir.join("ca.pem")).unwrap();
    let (running, demo) = start(&DemoOptions { users: 5, ..options }, Metrics::new()).await.unwrap();
    assert_eq!(fs::read(dir.join("ca.pem")).unwrap(), ca);
    // A next one may have been made in between.
    assert_eq!(body(&get(&demo, "/.well-known/jwks.json").await)["keys"][0], keys["keys"][0]);
    for (name, expected) in [("user00003", Some(&id)), ("user00005", None)] {
        let account = running.app.find_user(&settings::REALM.into_realm(), &name.into_login()).await.unwrap().unwrap();
        assert!(expected.is_none_or(|id| *id == account.user.id));
    }
    running.stop().await;
    assert!(health::ask(&demo.ops_addr).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_users_are_all_there_and_their_password_was_hashed_once() {
    let folder = tempfile::tempdir().unwrap();
    let options = DemoOptions { users: 10_000, ..on_free_ports(folder.path()) };
    let (running, demo) = start(&options, Metrics::new()).await.unwrap();
    // Each hash has a salt of its own, so there were as many as there are different verifiers.
    let mut verifiers = HashSet::new();
    for person in &demo.users {
        let login = person.username.as_str().into_login();
        let account = running.app.find_user(&settings::REALM.into_realm(), &login).await.unwrap();
        verifiers.insert(
            account.unwrap_or_else(|| panic!("{} is missing", person.username)).user.password.as_str().to_owned(),
        );
    }
    assert_eq!(demo.users.len(), 10_003);
    assert_eq!(verifiers.len(), 4, "three with names, and one for all others");
    running.stop().await;
}

trait Names {
    fn into_realm(self) -> countersign_domain::id::RealmName;
    fn into_login(self) -> countersign_domain::login_name::LoginName;
}

impl Names for &str {
    fn into_realm(self) -> countersign_domain::id::RealmName {
        countersign_domain::id::RealmName::new(self)
    }

    fn into_login(self) -> countersign_domain::login_name::LoginName {
        countersign_domain::login_name::LoginName::parse(self).unwrap()
    }
}

#[test]
fn the_greeting_shows_what_can_be_typed() {
    let demo = Description {
        issuer: "https://localhost:8443/".to_owned(),
        https_url: "https://localhost:8443".to_owned(),
        http_url: "http://localhost:8080".to_owned(),
        grpc_addr: "127.0.0.1:50051".to_owned(),
        ops_addr: "127.0.0.1:9090".to_owned(),
        ca_file: "/demo/ca.pem".to_owned(),
        realm: settings::REALM.to_owned(),
        audience: settings::AUDIENCE.to_owned(),
        clients: Vec::new(),
        users: people::everybody(1)
            .into_iter()
            .map(|person| description::DemoUser {
                username: person.username,
                password: person.password,
                email: person.email,
            })
            .collect(),
        outbox: "/demo/outbox.jsonl".to_owned(),
    };
    insta::assert_snapshot!(welcome::text(&demo));
}

#[test]
fn a_declared_password_is_held_to_the_rule_for_new_ones() {
    let dir = tempfile::tempdir().unwrap();
    let mut config = settings::config(&settings::Place { dir: dir.path().to_owned(), https_port: 8443, redis: None });
    for (password, rule) in
        [("password", "many people have"), ("a", "at least 8 characters"), ("ada-lovelace", "names")]
    {
        config.users[0].password = crate::config::secret::SecretText::new(password);
        let mistakes = config.clone().check().unwrap_err().to_string();
        assert!(mistakes.lines().any(|line| line.contains("users[0].password") && line.contains(rule)), "{mistakes}");
    }
}

#[test]
fn refresh_tokens_of_every_client_rotate_as_at_auth0() {
    let place = Place { dir: "d".into(), https_port: 1, redis: None };
    let clients = settings::config(&place).clients;
    assert_eq!(clients.len(), 3);
    for client in clients {
        let RefreshConfig { rotate, overlap, mfa, .. } = client.refresh;
        assert_eq!((rotate, overlap, mfa), (true, Duration::ZERO, false), "{}", client.id);
    }
    // What is not the demo's is more lenient with answers that are lost.
    assert_eq!(RefreshConfig::default().overlap, Duration::from_secs(10));
}
