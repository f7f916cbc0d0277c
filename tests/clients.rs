//! Clients that nobody here wrote, against a demo.

use countersign::{
    config::layers,
    demo::{DemoOptions, certificates::Certificates, description::Description, start},
    serve::{self, Running, Sockets, StartOptions},
};
use countersign_telemetry::Metrics;
use countersign_tests::{
    node,
    person::PASSWORD,
    process::{ServeProcess, folder_of_program, places},
    python, signer,
    tenant::{API, ISSUER, Tenant},
};
use tempfile::TempDir;

async fn demo() -> (TempDir, Running, Description) {
    // Both sides of TLS in this process use the same provider.
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = TempDir::new().unwrap();
    let options = DemoOptions {
        dir: folder.path().to_owned(),
        users: 3,
        https_port: 0,
        http_port: 0,
        grpc_port: 0,
        ops_port: 0,
        ..DemoOptions::default()
    };
    let (running, description) = start(&options, Metrics::new()).await.expect("the demo starts");
    (folder, running, description)
}

#[tokio::test(flavor = "multi_thread")]
async fn auth0_python_logs_in_with_a_second_factor() {
    let (folder, _running, description) = demo().await;
    let json = folder.path().join("demo.json");
    let trust = [("REQUESTS_CA_BUNDLE", description.ca_file.as_str()), ("SSL_CERT_FILE", description.ca_file.as_str())];
    let said = python::run("auth0_login.py", &[json.to_str().unwrap()], &trust).await;
    assert!(said.contains("logged in"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn auth0s_own_mfa_client_uses_every_kind_of_factor() {
    let (folder, _running, description) = demo().await;
    let json = folder.path().join("demo.json");
    let program = folder_of_program().join("countersign");
    let arguments = [&json, &program, folder.path()].map(|path| path.to_str().unwrap());
    let said = node::run("auth0_mfa.mjs", &arguments, &[("NODE_EXTRA_CA_CERTS", &description.ca_file)]).await;
    assert!(said.contains("enrolled, proved and removed"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_grpc_client_finds_the_services_by_reflection_and_logs_in() {
    let (folder, _running, _) = demo().await;
    let json = folder.path().join("demo.json");
    let said = python::run("grpc_login.py", &[json.to_str().unwrap()], &[]).await;
    assert!(said.contains("logged in"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn authlib_goes_on_with_logins_revokes_introspects_and_signs() {
    let folder = TempDir::new().unwrap();
    let config = Tenant::default().toml(&places(folder.path()));
    ServeProcess::add_user(folder.path(), &config, "ann", PASSWORD).await;
    let process = ServeProcess::start(folder.path(), &config).await;
    let arguments = [&process.http(), ISSUER, API, "ann", PASSWORD];
    // It is on loopback, without TLS.
    let said = python::run("authlib_tokens.py", &arguments, &[("AUTHLIB_INSECURE_TRANSPORT", "1")]).await;
    assert!(said.contains("went on and ended"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn openid_client_discovers_logs_in_goes_on_introspects_revokes_and_signs() {
    let _already = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = TempDir::new().unwrap();
    let certificates = Certificates::keep(folder.path()).unwrap();
    let https = serve::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    // It goes by the issuer alone, which must say where the server is.
    let issuer = format!("https://localhost:{}/", https.local_addr().unwrap().port());
    let text = format!(
        "issuer = '{issuer}'\ndefault_realm = 'people'\n{}\
         [[realms]]\nname = 'people'\n[[users]]\nusername = 'ann'\npassword = '{PASSWORD}'\n\
         [[apis]]\naudience = '{API}'\nscopes = ['read:things']\nallow_offline_access = true\n\
         [[clients]]\nid = 'web'\nsecrets = ['s3cr3t/with+what%needs&encoding=']\nintrospects = ['{API}']\n\
         grant_types = ['password', 'mfa-otp', 'refresh_token']\n\
         [[clients]]\nid = 'service'\nauthentication = 'private-key-jwt'\nkeys = ['{}']\nintrospects = ['{API}']\n\
         grant_types = ['client_credentials', 'asserted-login', 'refresh_token']\nmfa_demand = 'if-enrolled'\n\
         services = [{{ audience = '{API}', scopes = ['read:things'] }}]\n\
         asserts = {{ realm = 'people', create_users = true }}\n",
        places(folder.path()),
        signer::key_set(),
    );
    let (mut config, mistakes) = layers::parse(&text, &layers::Variables::new());
    assert!(mistakes.as_slice().is_empty(), "{mistakes}");
    config.https.enabled = true;
    config.https.cert_file = certificates.cert;
    config.https.key_file = certificates.key;
    // For a password in the configuration.
    config.demo = true;
    let sockets = Sockets { https: Some(https), ..Sockets::default() };
    let _running = serve::start(config, StartOptions { sockets, ..StartOptions::default() }).await.unwrap();
    let trust = [("NODE_EXTRA_CA_CERTS", certificates.ca.to_str().unwrap())];
    let said = node::run("openid_client.mjs", &[&issuer, API, "ann", PASSWORD], &trust).await;
    assert!(said.contains("went on and ended"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_of_a_login_of_ones_own_gets_tokens_after_a_second_factor() {
    let folder = TempDir::new().unwrap();
    let (private, public) = (folder.path().join("shop.key"), folder.path().join("shop.json"));
    std::fs::write(&private, signer::private_key_pem()).unwrap();
    std::fs::write(&public, signer::key_set()).unwrap();
    // What the page shows, and nothing else; only the key is where this test may write.
    let page = include_str!("../docs/behind-your-login.md");
    let (_, from) = page.split_once("```toml\n").expect("the page shows a configuration");
    let (shown, _) = from.split_once("```").expect("it has an end");
    let key = "/etc/countersign/shop.pem";
    assert!(shown.contains(key), "{shown}");
    let shown = shown.replace(key, public.to_str().unwrap());
    let config = format!("issuer = '{ISSUER}'\n{}{shown}", places(folder.path()));
    let process = ServeProcess::start(folder.path(), &config).await;
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/behind_your_login.py");
    let arguments = [&process.http(), ISSUER, private.to_str().unwrap(), example];
    let said = python::run("behind_your_login.py", &arguments, &[]).await;
    assert!(said.contains("logged in behind a login"), "{said}");
}
