//! What the README shows a newcomer, against the program itself.

use std::path::Path;

use countersign_storage::testing_redis::{RedisServer, RedisServerOptions};
use countersign_tests::{
    api::{Api, To, Transport, Wish},
    dump,
    process::{DEMO_CLIENT, DemoProcess, Ended, ServeProcess, folder_of_program, run},
    refusal::{BAD_REFRESH_TOKEN, Refused as _},
    sent::Arrived,
    tenant::Client,
};
use serde_json::Value;
use tempfile::TempDir;

const PERSON: &str = "grace";
const PASSWORD: &str = "nanosekunden für alle 1906";

/// The newest code in the outbox, as soon as it holds `count` of them.
async fn newest_code(demo: &Path, count: usize) -> Arrived {
    let mut ticks = tokio::time::interval(std::time::Duration::from_millis(5));
    loop {
        ticks.tick().await;
        let text = std::fs::read_to_string(demo.join("outbox.jsonl")).unwrap();
        // A line that is being written has no end yet.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let lines = whole.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let codes: Vec<_> = lines.filter(|line| line.get("code").is_some()).collect();
        if codes.len() >= count {
            return Arrived::read(&codes[count - 1]);
        }
    }
}

async fn mfa_token(api: &Api) -> String {
    api.login(DEMO_CLIENT, PERSON, PASSWORD).await.unwrap().mfa_token()
}

async fn device(folder: &Path, arguments: &[&str]) -> Ended {
    let all: Vec<_> = std::iter::once("device").chain(arguments.iter().copied()).collect();
    let done = run(folder, &all, "").await;
    assert_eq!(done.code, 0, "{done:?}");
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn enrols_a_number_and_a_phone_and_picks_one_of_five() {
    for transport in [Transport::Http, Transport::Grpc] {
        let folder = TempDir::new().unwrap();
        let place = folder.path().join("countersign-demo");
        let demo = DemoProcess::start(&place, 1).await;
        let api = demo.api(transport).await;

        // A number, and the code in the outbox.
        let token = mfa_token(&api).await;
        let sent = api.associate_oob(&token, To::Phone("sms", "+1 202 555 0143")).await.unwrap();
        let message = newest_code(&place, 1).await;
        assert_eq!((message.channel.as_str(), message.to.as_str()), ("sms", "+12025550143"));
        api.oob(DEMO_CLIENT, &token, &sent.oob_code, &message.code).await.unwrap();

        // A phone besides, which takes a token of the MFA API.
        let audience = format!("{}mfa/", demo.issuer());
        let scope = Some("enroll read:authenticators");
        let wish = Wish { audience: Some(&audience), scope, ..Wish::default() };
        let token = api.login_for(DEMO_CLIENT, PERSON, PASSWORD, wish).await.unwrap().mfa_token();
        let sent = api.send_code(DEMO_CLIENT, &token, None, Some("sms")).await.unwrap();
        let code = newest_code(&place, 2).await.code;
        let manager = api.oob(DEMO_CLIENT, &token, &sent.oob_code, &code).await.unwrap().access_token;
        let barcode = api.associate_push(&manager).await.unwrap();
        device(folder.path(), &["enrol", &barcode.uri]).await;
        api.poll(DEMO_CLIENT, &manager, &barcode.oob_code).await.unwrap();

        // It approves with the number.
        let token = mfa_token(&api).await;
        let asked = api.ask(DEMO_CLIENT, &token, None).await.unwrap();
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(20));
        while !device(folder.path(), &["list"]).await.out.contains("login\t") {
            ticks.tick().await;
        }
        device(folder.path(), &["approve", "--number", &asked.number.unwrap()]).await;
        api.poll(DEMO_CLIENT, &token, &asked.oob_code).await.unwrap();

        // Five factors and the recovery code; one is picked by its id.
        let token = mfa_token(&api).await;
        let listed = api.list(&token).await.unwrap();
        let shown: Vec<_> = listed.iter().map(|entry| entry.channel.as_deref().unwrap_or(&entry.kind)).collect();
        assert_eq!(shown, ["auth0", "otp", "sms", "voice", "email", "recovery-code"]);
        let sent = api.send_code(DEMO_CLIENT, &token, Some(&listed[3].id), None).await.unwrap();
        let message = newest_code(&place, 3).await;
        assert_eq!(message.channel, "voice");
        api.oob(DEMO_CLIENT, &token, &sent.oob_code, &message.code).await.unwrap();
    }
}

/// The commands below `heading`, up to the next one.
fn commands_below(heading: &str) -> String {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let section = readme.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let (_, rest) = section.split_once("```sh\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_of_ones_own_begins_with_the_commands_as_they_are_printed() {
    let folder = TempDir::new().unwrap();
    let printed = commands_below("A deployment of your own");
    let lines: Vec<_> = printed.lines().collect();
    let [build, path, rest @ ..] = lines.as_slice() else { panic!("{printed}") };
    assert_eq!((*build, *path), ("cargo build --release", "export PATH=\"$PWD/target/release:$PATH\""));
    // The program of this build, in a folder where nothing is.
    let before = rest.iter().filter(|line| !line.starts_with("countersign serve")).map(|line| format!("{line}\n"));
    let script = format!("set -e\nPATH=\"{}:$PATH\"\n{}", folder_of_program().display(), before.collect::<String>());
    let done = std::process::Command::new("sh").args(["-c", &script]).current_dir(&folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    // Other ports, since the usual ones may be taken here.
    assert_eq!(*rest.last().unwrap(), "countersign serve --config countersign.toml");
    let there = format!("cd '{}'", folder.path().display());
    let ports: String =
        ["GRPC", "HTTP", "OPS"].map(|name| format!("; export COUNTERSIGN__{name}__LISTEN=127.0.0.1:0")).concat();
    let config = std::fs::read_to_string(folder.path().join("countersign.toml")).unwrap();
    let server = ServeProcess::start_after(&format!("{there}{ports}"), folder.path(), &config).await;
    let secret = std::fs::read_to_string(folder.path().join("backend-secret")).unwrap();
    let backend = Client { id: "backend", secret: Some(secret.trim().to_owned().leak()) };
    for transport in [Transport::Http, Transport::Grpc] {
        let api = server.api(transport).await;
        let token = api.login(backend, "ada", "nineteen owls in a row").await.unwrap().mfa_token();
        assert!(!api.associate(&token).await.unwrap().secret.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_goes_on_as_at_auth0_without_a_second_factor_and_a_token_that_was_used_ends_the_login() {
    for transport in [Transport::Http, Transport::Grpc] {
        let folder = TempDir::new().unwrap();
        let demo = DemoProcess::start(folder.path(), 1).await;
        let api = demo.api(transport).await;
        let wish = Wish { scope: Some("openid offline_access"), ..Wish::default() };
        let token = api.login_for(DEMO_CLIENT, PERSON, PASSWORD, wish).await.unwrap().mfa_token();
        let sent = api.associate_oob(&token, To::Phone("sms", "+1 202 555 0143")).await.unwrap();
        let code = newest_code(folder.path(), 1).await.code;
        let first = api.oob(DEMO_CLIENT, &token, &sent.oob_code, &code).await.unwrap();

        // The person has a factor now, and a demo asks everybody for theirs at a login.
        mfa_token(&api).await;
        let second = api.refresh(DEMO_CLIENT, first.refresh(), None).await.unwrap().tokens();
        assert_ne!(first.refresh(), second.refresh(), "they rotate");
        api.refresh(DEMO_CLIENT, first.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
        api.refresh(DEMO_CLIENT, second.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_with_a_redis_keeps_its_sessions_there() {
    let redis = RedisServer::start(RedisServerOptions::default());
    for transport in [Transport::Http, Transport::Grpc] {
        let folder = TempDir::new().unwrap();
        let demo = DemoProcess::start_with(folder.path(), 1, &["--redis", &redis.url()]).await;
        let api = demo.api(transport).await;
        let before = dump::redis(&redis.url()).await.len();
        let token = mfa_token(&api).await;
        let sent = api.associate_oob(&token, To::Phone("sms", "+1 202 555 0143")).await.unwrap();
        assert!(dump::redis(&redis.url()).await.len() > before, "the login is there");
        let code = newest_code(folder.path(), 1).await.code;
        api.oob(DEMO_CLIENT, &token, &sent.oob_code, &code).await.unwrap();
        let token = mfa_token(&api).await;
        let sent = api.send_code(DEMO_CLIENT, &token, None, Some("sms")).await.unwrap();
        let code = newest_code(folder.path(), 2).await.code;
        api.oob(DEMO_CLIENT, &token, &sent.oob_code, &code).await.unwrap();
        demo.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_whose_port_is_taken_names_the_option_and_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for option in ["--grpc-port", "--http-port", "--https-port", "--ops-port"] {
        let mut arguments = vec!["demo"];
        for other in ["--grpc-port", "--http-port", "--https-port", "--ops-port"] {
            arguments.extend([other, if other == option { port.as_str() } else { "0" }]);
        }
        let ended = run(folder.path(), &arguments, "").await;
        assert_ne!(ended.code, 0);
        assert!(ended.err.contains(option) && ended.err.contains(&port), "{ended:?}");
        assert!(!folder.path().join("countersign-demo").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_is_explained_for_the_mfa_api_of_the_demo_that_is_there() {
    let folder = TempDir::new().unwrap();
    let demo = DemoProcess::start(folder.path(), 1).await;
    let audience = format!("{}mfa/", demo.issuer());
    assert!(!audience.contains(":8443/"), "it is on a port of its own");
    let asked = ["policy", "explain", "--client", DEMO_CLIENT.id, "--user", PERSON, "--json", "--dir", "."];
    let explain = async |more: &[&str]| run(folder.path(), &[&asked, more].concat(), "").await;
    let said = explain(&["--api", &audience]).await;
    assert_eq!(said.code, 0, "{said:?}");
    let said: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(said["api"], audience);
    assert_ne!(explain(&["--api", "https://localhost:8443/mfa/"]).await.code, 0);
    // It says so of a demo that was stopped, too; one whose description is damaged is named.
    demo.kill().await;
    assert_eq!(explain(&["--api", &audience]).await.code, 0);
    std::fs::write(folder.path().join("demo.json"), "{}").unwrap();
    let damaged = explain(&[]).await;
    assert!(damaged.code == 65 && damaged.err.contains("demo.json is damaged"), "{damaged:?}");
}
