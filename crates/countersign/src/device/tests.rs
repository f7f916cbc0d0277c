#![allow(clippy::unwrap_used, clippy::panic)]

mod server;

use std::{path::Path, time::Duration};

use clap::Parser as _;
use countersign_domain::{factor::otp, secret::Secret};
use serde_json::Value;
use tempfile::TempDir;

use self::server::{Server, TICKET, barcode};
use super::{outbox::Waiting, phone::Phone, picture};
use crate::{
    cli::{Cli, Command, device::perform, exit::Failure},
    demo::certificates::Certificates,
};

/// A phone on a disk, and somebody who types.
struct Person {
    folder: TempDir,
    server: Server,
}

impl Person {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(folder.path()).await;
        Self { folder, server }
    }

    async fn enrolled() -> Self {
        let person = Self::new().await;
        person.types(&["enrol", &person.server.barcode()], "").await.unwrap();
        person
    }

    fn phone(&self) -> std::path::PathBuf {
        self.folder.path().join("phone.json")
    }

    /// `countersign device …` with the phone and the outbox of this person, and `input` on standard input.
    async fn types(&self, words: &[&str], input: &str) -> Result<Vec<String>, Failure> {
        let phone = self.phone();
        let mut line = vec!["countersign", "device"];
        line.extend(words);
        line.extend(["--phone", phone.to_str().unwrap()]);
        if ["list", "approve", "deny"].contains(&words[0]) {
            line.extend(["--outbox", self.server.outbox.to_str().unwrap()]);
        }
        let Command::Device(command) = Cli::try_parse_from(line).unwrap().command else { panic!() };
        perform(command.verb, &mut input.as_bytes()).await
    }

    async fn fails(&self, words: &[&str], input: &str) -> String {
        let failure = self.types(words, input).await.unwrap_err();
        assert!(matches!(failure, Failure::Data(_)), "{failure:?}");
        failure.to_string()
    }
}

const NOW: Duration = Duration::ZERO;

#[tokio::test]
async fn a_phone_enrols_lists_approves_and_denies() {
    let person = Person::new().await;
    let said = person.types(&["enrol", &person.server.barcode(), "--name", "Ada's phone"], "").await.unwrap();
    assert_eq!(
        said,
        ["Enrolled Ada's phone for auth0|ada of http://localhost/: dev_1234567890abcdef; \
          `countersign device code` prints its codes"]
    );
    let device = person.server.device();
    assert_eq!((&device["name"], &device["number_matching"]), (&"Ada's phone".into(), &true.into()));
    assert_eq!(device["push_credentials"]["service"], "GCM");

    person.server.ask("msg_first000000", true, Duration::from_secs(60));
    person.server.ask("msg_second00000", false, Duration::from_secs(5));
    let listed = person.types(&["list"], "").await.unwrap();
    let columns: Vec<Vec<_>> = listed.iter().map(|line| line.split('\t').collect()).collect();
    assert_eq!(
        columns[0],
        ["account", "dev_1234567890abcdef", "Ada's phone", "auth0|ada", "http://localhost/", "number"]
    );
    assert_eq!(columns[1][..5], ["login", "second00", "A page", "192.0.2.7", "Mozilla\u{fffd}[2J"]);
    assert_eq!((columns[1][6], columns[2][1], columns[2][6]), ("tap", "first000", "number"));

    person.types(&["approve", "first"], "012345\n").await.unwrap();
    let claims = person.server.last();
    assert_eq!((&claims["auth0_guardian_accepted"], &claims["binding_code"]), (&true.into(), &"012345".into()));
    assert_eq!(claims.get("auth0_guardian_reason"), None);
    assert_eq!(person.types(&["list"], "").await.unwrap().len(), 2, "an answered login waits no longer");

    let said = person.types(&["deny", "--reason", "not me"], "").await.unwrap();
    assert_eq!(said, ["Denied login second00 to A page from 192.0.2.7 with Mozilla\u{fffd}[2J"]);
    let claims = person.server.last();
    assert_eq!(
        (&claims["auth0_guardian_accepted"], &claims["auth0_guardian_reason"]),
        (&false.into(), &"not me".into())
    );
    assert_eq!(claims.get("binding_code"), None);
    assert_eq!(person.types(&["list"], "").await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_newest_login_is_approved_and_a_number_may_come_along() {
    let person = Person::enrolled().await;
    person.server.ask("msg_old", true, Duration::from_secs(9));
    person.server.ask("msg_new", true, NOW);
    person.types(&["approve", "--number", "000001"], "").await.unwrap();
    let claims = person.server.last();
    assert_eq!((&claims["sub"], &claims["binding_code"]), (&"challenge-msg_new".into(), &"000001".into()));
}

#[tokio::test]
async fn no_number_goes_where_none_is_asked_for() {
    let person = Person::new().await;
    person.types(&["enrol", &person.server.barcode(), "--no-number-matching"], "").await.unwrap();
    assert_eq!(person.server.device()["number_matching"], false);
    person.server.ask("msg_1", false, NOW);
    person.types(&["approve", "--number", "123456"], "").await.unwrap();
    assert_eq!(person.server.last().get("binding_code"), None);
}

#[tokio::test]
async fn a_wrong_number_is_told_before_anything_is_sent() {
    let person = Person::enrolled().await;
    person.server.ask("msg_1", true, NOW);
    for (words, input) in
        [(vec!["approve", "--number", "12345"], ""), (vec!["approve"], "12345a\n"), (vec!["approve"], "")]
    {
        assert_eq!(person.fails(&words, input).await, "The number has six digits; nothing was sent");
    }
    assert_eq!(person.types(&["list"], "").await.unwrap().len(), 2, "it still waits");
}

#[tokio::test]
async fn a_barcode_may_be_a_picture_or_come_by_a_pipe() {
    for kind in ["text by a pipe", "SVG by a pipe", "SVG", "PNG"] {
        let person = Person::new().await;
        let barcode = person.server.barcode();
        let svg = otp::qr_svg(&Secret::new(barcode.clone())).unwrap().expose().clone();
        let file = person.folder.path().join("barcode");
        let (word, input) = match kind {
            "text by a pipe" => ("-", barcode),
            "SVG by a pipe" => ("-", svg),
            "SVG" => (text(&file), std::fs::write(&file, svg).map(|()| String::new()).unwrap()),
            _ => {
                (text(&file), std::fs::write(&file, picture::tests::png(&barcode, 3)).map(|()| String::new()).unwrap())
            }
        };
        person.types(&["enrol", word], &input).await.unwrap_or_else(|failure| panic!("{kind}: {failure}"));
    }
}

#[tokio::test]
async fn an_enrolment_whose_answer_was_lost_is_done_again_with_the_same_key() {
    let person = Person::new().await;
    person.server.lose(1);
    let lost = person.types(&["enrol", &person.server.barcode()], "").await.unwrap_err();
    assert!(matches!(lost, Failure::Unavailable(_)), "{lost:?}");
    person.types(&["enrol", &person.server.barcode()], "").await.unwrap();
    let phone = Phone::load(&person.phone()).unwrap();
    assert_eq!((phone.accounts.len(), phone.pending.len()), (1, 0));
}

#[tokio::test]
async fn an_expired_ticket_is_told_in_the_words_of_the_server() {
    let person = Person::new().await;
    let expired = barcode(&TICKET.replace('0', "9"), &person.server.base);
    assert_eq!(
        person.fails(&["enrol", &expired], "").await,
        "The server refused, 404 enrollment_transaction_not_found: The enrollment transaction was not found or has expired"
    );
    assert!(Phone::load(&person.phone()).unwrap().pending.is_empty());
}

#[tokio::test]
async fn what_is_no_barcode_is_refused() {
    let person = Person::new().await;
    assert!(person.fails(&["enrol", "-"], "hello").await.contains("no otpauth:// text"));
    assert!(person.fails(&["enrol", "otpauth://totp/a?secret=GEZDGNBV"], "").await.contains("makes codes"));
    assert!(person.fails(&["enrol", "/nowhere.png"], "").await.contains("/nowhere.png cannot be read"));
    assert!(!person.phone().exists(), "no phone is made for it");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() {
    let person = Person::new().await;
    let elsewhere = barcode(TICKET, "http://127.0.0.1:1/appliance-mfa");
    let failure = person.types(&["enrol", &elsewhere], "").await.unwrap_err();
    assert!(matches!(&failure, Failure::Unavailable(why) if why.contains("cannot be reached")), "{failure}");
}

#[tokio::test]
async fn what_does_not_wait_cannot_be_answered() {
    let person = Person::new().await;
    assert!(person.fails(&["list"], "").await.contains("`countersign device enrol` makes one"));
    person.types(&["enrol", &person.server.barcode()], "").await.unwrap();
    assert!(person.fails(&["approve"], "").await.contains("--outbox names one"), "there is no outbox");
    std::fs::write(&person.server.outbox, "").unwrap();
    assert_eq!(person.fails(&["approve"], "").await, "No login waits for this phone");
    person.server.ask("msg_old", false, Duration::from_secs(301));
    person.server.ask("msg_ab", false, NOW);
    person.server.ask("msg_ac", false, NOW);
    assert_eq!(person.fails(&["deny", "a"], "").await, "Several waiting logins begin with a");
    assert_eq!(person.fails(&["deny", "old"], "").await, "No login old waits for this phone");
}

#[tokio::test]
async fn a_login_that_the_server_forgot_waits_no_longer() {
    let person = Person::enrolled().await;
    person.server.ask("msg_1", false, NOW);
    person.server.forget();
    assert_eq!(
        person.fails(&["approve"], "").await,
        "The server refused, 404 login_transaction_not_found: The login was not found"
    );
    assert_eq!(person.fails(&["approve"], "").await, "No login waits for this phone");
}

#[tokio::test]
async fn other_messages_and_broken_lines_hide_no_login() {
    let person = Person::enrolled().await;
    let outbox = &person.server;
    outbox.write(
        &r#"{"id":"msg_s","channel":"sms","to":"+12025550143","text":"1","code":"1","at":"2026-11-24T12:00:00.000Z"}"#,
    );
    outbox.write(&r#"{"id":"msg_b","channel":"pu"#);
    outbox.write(&"");
    outbox.ask("msg_1", false, NOW);
    assert_eq!(person.types(&["list"], "").await.unwrap().len(), 2);
    let phone = Phone::load(&person.phone()).unwrap();
    let waiting = Waiting::read(&outbox.outbox, &phone, now()).unwrap();
    assert_eq!(waiting.broken, [2]);
    assert!(!format!("{waiting:?}").contains("bearer-"), "it prints no token");
    let other = Phone::new().unwrap();
    assert!(Waiting::read(&outbox.outbox, &other, now()).unwrap().logins.is_empty());
}

#[tokio::test]
async fn codes_come_along_and_an_account_is_removed() {
    let person = Person::enrolled().await;
    let code = person.types(&["code"], "").await.unwrap();
    assert!(code[0].len() == 6 && code[0].bytes().all(|byte| byte.is_ascii_digit()));
    person.types(&["remove"], "").await.unwrap();
    assert!(person.server.is_removed());
    assert!(person.fails(&["code"], "").await.contains("no such account"));

    let person = Person::enrolled().await;
    person.server.remove();
    let said = person.types(&["remove"], "").await.unwrap();
    assert!(said[0].ends_with("which the server did not know any more"), "{said:?}");
    assert!(person.types(&["list"], "").await.unwrap().is_empty(), "and there is no outbox");
}

#[tokio::test]
async fn an_account_whose_server_is_gone_is_removed_from_the_phone_alone() {
    let person = Person::enrolled().await;
    let mut kept: Value = serde_json::from_slice(&std::fs::read(person.phone()).unwrap()).unwrap();
    kept["accounts"][0]["url"] = "http://127.0.0.1:1/appliance-mfa".into();
    std::fs::write(person.phone(), kept.to_string()).unwrap();
    let failure = person.types(&["remove"], "").await.unwrap_err();
    assert!(matches!(failure, Failure::Unavailable(_)), "{failure}");
    assert_eq!(Phone::load(&person.phone()).unwrap().accounts.len(), 1, "it stays until somebody says so");
    assert_eq!(
        person.types(&["remove", "--local"], "").await.unwrap(),
        ["Removed dev_1234567890abcdef of http://localhost/ from this phone alone; the server was not told"]
    );
    assert!(Phone::load(&person.phone()).unwrap().accounts.is_empty());
}

#[tokio::test]
async fn a_server_that_is_there_is_not_told_of_what_is_removed_from_the_phone_alone() {
    let person = Person::enrolled().await;
    person.types(&["remove", "--local"], "").await.unwrap();
    assert!(!person.server.is_removed());
}

#[tokio::test]
async fn only_the_authority_that_is_named_is_trusted() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_encrypted(folder.path()).await;
    let person = Person { folder, server };
    let barcode = person.server.barcode();
    let files = Certificates::in_dir(person.folder.path());
    let elsewhere = tempfile::tempdir().unwrap();
    let other = Certificates::keep(elsewhere.path()).unwrap().ca;
    let untrusted = person.types(&["enrol", &barcode, "--cacert", text(&other)], "").await.unwrap_err();
    assert!(matches!(&untrusted, Failure::Unavailable(why) if why.contains("certificate")), "{untrusted}");
    let none = person.types(&["enrol", &barcode, "--cacert", text(&files.key)], "").await.unwrap_err();
    assert!(none.to_string().contains("server-key.pem"), "{none}");
    person.types(&["enrol", &barcode, "--cacert", text(&files.ca)], "").await.unwrap();
    person.server.ask("msg_1", true, NOW);
    person.types(&["approve", "--cacert", text(&files.ca)], "123456\n").await.unwrap();
    assert_eq!(person.server.last()["binding_code"], "123456");
}

#[tokio::test]
async fn a_phone_prints_and_says_no_secret() {
    let person = Person::enrolled().await;
    person.server.ask("msg_1", true, NOW);
    let kept: Value = serde_json::from_slice(&std::fs::read(person.phone()).unwrap()).unwrap();
    let mut said = format!("{:?}", Phone::load(&person.phone()).unwrap());
    said.push_str(&person.types(&["list"], "").await.unwrap().concat());
    let account = &kept["accounts"][0];
    for secret in [&kept["push_token"], &account["key"], &account["token"], &account["totp"]["secret"]] {
        assert!(!said.contains(secret.as_str().unwrap()), "{said}");
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn now() -> countersign_domain::time::Timestamp {
    use countersign_domain::port::clock::Clock as _;
    crate::system::SystemClock.now()
}
