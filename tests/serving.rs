//! `countersign serve` on the listeners that its configuration names, and what it does by itself.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::{Duration, Instant},
};

use countersign_tests::{
    api::{Api, Transport},
    certificates::Authority,
    grpc::Grpc,
    http::{Http, plain_client, trusting_client},
    otp,
    person::PASSWORD,
    process::{self, DemoProcess, ServeProcess},
    tenant::{BACKEND, Tenant},
};
use rusqlite::Connection;
use tempfile::TempDir;

/// A configuration with HTTPS by a certificate of `authority`, and `http` as the section of HTTP.
fn with_https(folder: &TempDir, authority: &Authority, http: &str) -> String {
    authority.server().write(folder.path(), "cert.pem", "key.pem");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (cert, key) = (file("cert.pem"), file("key.pem"));
    let https = format!("[https]\nenabled = true\nlisten = '127.0.0.1:0'\ncert_file = '{cert}'\nkey_file = '{key}'\n");
    let places = process::places(folder.path());
    let places = places.replace("[https]\nenabled = false\n", &https);
    Tenant::default().toml(&places.replace("[http]\nlisten = '127.0.0.1:0'\n", http))
}

#[tokio::test(flavor = "multi_thread")]
async fn https_is_served_with_the_certificate_of_the_configuration_beside_http() {
    let (folder, authority) = (TempDir::new().unwrap(), Authority::new("one"));
    let config = with_https(&folder, &authority, "[http]\nlisten = '127.0.0.1:0'\n");
    ServeProcess::add_user(folder.path(), &config, "ann", PASSWORD).await;
    let process = ServeProcess::start(folder.path(), &config).await;

    // A whole login over it, and then the same account over HTTP.
    let http = Http::trusting(&authority.pem(), process.https()).await;
    let unused = Grpc::new(([127, 0, 0, 1], 1).into());
    let api = Api::new(Transport::Http, http, unused);
    let token = api.login(BACKEND, "ann", PASSWORD).await.unwrap().mfa_token();
    let secret = api.associate(&token).await.unwrap().secret;
    let tokens = api.otp(BACKEND, &token, &otp::code_at(&secret, otp::real_now())).await.unwrap();
    let subject = api.subject(&tokens.access_token).await.unwrap();
    let plain = process.api(Transport::Http).await;
    assert_eq!(plain.subject(&tokens.access_token).await.unwrap(), subject);
    let listed = plain.list(&plain.login(BACKEND, "ann", PASSWORD).await.unwrap().mfa_token()).await.unwrap();
    assert!(listed.iter().any(|entry| entry.kind == "otp" && entry.active), "{listed:?}");

    // Nobody else's certificate, and nothing without TLS.
    let keys = format!("{}/.well-known/jwks.json", process.https());
    let other = trusting_client(&Authority::new("two").pem()).get(&keys).send().await.unwrap_err();
    assert!(format!("{other:?}").contains("UnknownIssuer"), "{other:?}");
    let address = process.https().trim_start_matches("https://").to_owned();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /.well-known/jwks.json HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // It may reset the connection.
    let _ended = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn http_is_not_served_beside_https_where_the_configuration_says_so() {
    let (folder, authority) = (TempDir::new().unwrap(), Authority::new("one"));
    // Were it to listen there, it would find the port taken and not start.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let http = format!("[http]\nenabled = false\nlisten = '{}'\n", taken.local_addr().unwrap());
    let process = ServeProcess::start(folder.path(), &with_https(&folder, &authority, &http)).await;
    assert!(process.listens("https") && !process.listens("http"));
    let keys = format!("{}/.well-known/jwks.json", process.https());
    assert_eq!(trusting_client(&authority.pem()).get(&keys).send().await.unwrap().status(), 200);
    // Whom the system trusts does not matter: the certificate is that of the configuration.
    plain_client().get(&keys).send().await.unwrap_err();
}

/// The RS256 key in this state, as soon as it is one that `fits`.
async fn key(folder: &TempDir, state: &str, fits: impl Fn(&str) -> bool) -> String {
    let list = ["keys", "list", "--dir", folder.path().to_str().unwrap()];
    let patience = Instant::now() + Duration::from_secs(60);
    loop {
        let ended = process::run(folder.path(), &list, "").await;
        assert_eq!(ended.code, 0, "{ended:?}");
        let found = ended.out.lines().find_map(|line| {
            let mut columns = line.split('\t');
            let id = columns.next()?;
            (columns.next() == Some("RS256") && columns.next() == Some(state) && fits(id)).then(|| id.to_owned())
        });
        if let Some(id) = found {
            return id;
        }
        assert!(Instant::now() < patience, "no key is {state}: {}", ended.out);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_old_enough_makes_way_for_the_next_without_being_told() {
    let folder = TempDir::new().unwrap();
    let demo = DemoProcess::start(folder.path(), 1).await;
    let (old, next) = (key(&folder, "current", |_| true).await, key(&folder, "next", |_| true).await);
    demo.kill().await;
    let connection = Connection::open(folder.path().join("countersign.db")).unwrap();
    let days = 40 * 24 * 3600 * 1000_i64;
    let aged = "UPDATE signing_key SET created_at = created_at - ?1, changed_at = changed_at - ?1";
    connection.execute(aged, [days]).unwrap();
    drop(connection);
    let again = DemoProcess::start(folder.path(), 1).await;
    assert_eq!(key(&folder, "current", |id| id != old).await, next);
    assert_eq!(key(&folder, "previous", |_| true).await, old);
    again.kill().await;
}
