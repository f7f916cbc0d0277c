use std::time::Duration;

use countersign_delivery::provider::{
    Provider as _, SettingsError,
    smtp::{Smtp, SmtpEncryption, SmtpSettings},
};
use countersign_domain::{
    message::{Channel, Message},
    port::sender::SendError,
    secret::Secret,
};
use tokio::net::TcpListener;

use super::{
    failure::everything,
    logs::Logs,
    mail_server::MailServer,
    messages::{ADDRESS, CODE, code, notice, words},
};

async fn send(smtp: &Smtp, message: &Message) -> Result<(), SendError> {
    smtp.send(message, &words(message)).await
}

fn to(user: &str) -> Message {
    Message { to: Secret::new(format!("{user}@example.com")), ..code(Channel::Email, "msg_1") }
}

#[tokio::test]
async fn an_email_arrives_over_required_starttls_with_text_and_html() {
    let logs = Logs::catch();
    let mut server = MailServer::start(SmtpEncryption::StartTls).await;
    let smtp = Smtp::new(&server.settings()).unwrap();
    send(&smtp, &code(Channel::Email, "msg_1")).await.unwrap();
    let taken = server.taken().await;
    assert_eq!(taken.0["to"], ADDRESS);
    assert_eq!(taken.0["from"], "login@example.com");
    assert_eq!(taken.0["user"], "countersign");
    assert_eq!(taken.0["tls"], true);
    let source = taken.source();
    for part in [
        "Message-ID: <msg_1@example.com>\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "Date: Mon, 21 Sep 2026 14:13:20 +0000\r\n",
        "Content-Type: multipart/alternative;",
        "Content-Type: text/plain; charset=utf-8\r\n",
        "Content-Type: text/html; charset=utf-8\r\n",
        "To: ada@example.com\r\n",
        "<login@example.com>\r\n",
        CODE,
    ] {
        assert!(source.contains(part), "{part} is missing:\n{source}");
    }
    logs.assert_discreet();
}

#[tokio::test]
async fn an_email_arrives_over_implicit_tls() {
    let mut server = MailServer::start(SmtpEncryption::Tls).await;
    let smtp = Smtp::new(&server.settings()).unwrap();
    send(&smtp, &notice(Channel::Email, "msg_1")).await.unwrap();
    let taken = server.taken().await;
    assert_eq!(taken.0["tls"], true);
    assert_eq!(taken.0["user"], "countersign");
}

#[tokio::test]
async fn an_email_without_html_has_one_part() {
    let mut server = MailServer::start(SmtpEncryption::Plain).await;
    let smtp = Smtp::new(&server.settings()).unwrap();
    let message = code(Channel::Email, "msg_1");
    let mut words = words(&message);
    words.html = None;
    smtp.send(&message, &words).await.unwrap();
    let source = server.taken().await.source();
    assert!(source.contains("Content-Type: text/plain; charset=utf-8\r\n"));
    assert!(!source.contains("multipart"));
}

#[tokio::test]
async fn a_subject_adds_no_headers() {
    let mut server = MailServer::start(SmtpEncryption::Plain).await;
    let smtp = Smtp::new(&server.settings()).unwrap();
    let message = code(Channel::Email, "msg_1");
    let mut words = words(&message);
    words.subject = Some("Hello\r\nBcc: eve@example.com".into());
    smtp.send(&message, &words).await.unwrap();
    assert!(!server.taken().await.source().contains("\r\nBcc"));
}

#[tokio::test]
async fn every_try_has_the_same_message_id() {
    let mut server = MailServer::start(SmtpEncryption::Plain).await;
    let smtp = Smtp::new(&server.settings()).unwrap();
    let mut sources = Vec::new();
    for _ in 0..2 {
        send(&smtp, &code(Channel::Email, "msg_1")).await.unwrap();
        sources.push(server.taken().await.source());
    }
    assert!(sources.iter().all(|source| source.contains("Message-ID: <msg_1@example.com>\r\n")));
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let mut server = MailServer::start(SmtpEncryption::StartTls).await;
    let smtp = Smtp::new(&server.settings()).unwrap();
    let mut connections = Vec::new();
    for n in 0..3 {
        send(&smtp, &code(Channel::Email, &format!("msg_{n}"))).await.unwrap();
        connections.push(server.taken().await.0["connection"].as_u64().unwrap());
    }
    assert_eq!(connections, [1, 1, 1]);
}

#[tokio::test]
async fn answers_of_the_server_decide_what_happens_next() {
    let logs = Logs::catch();
    let server = MailServer::start(SmtpEncryption::StartTls).await;
    let smtp = Smtp::new(&server.settings()).unwrap();
    for (user, expected) in [
        ("nobody", "Refused"),
        ("busy", "Deferred"),
        ("full", "Deferred"),
        ("spam", "Refused"),
        ("greylist", "Unavailable"),
        ("lost", "Unknown"),
    ] {
        let error = send(&smtp, &to(user)).await.unwrap_err();
        let told = everything(&error);
        assert!(told.starts_with(expected), "{user}: {told}");
        assert!(!told.contains("@example.com"), "{user}: {told}");
    }
    logs.assert_discreet();
}

#[tokio::test]
async fn a_server_that_does_not_answer_the_message_may_have_taken_it() {
    let server = MailServer::start(SmtpEncryption::Plain).await;
    let settings = SmtpSettings { timeout: Duration::from_secs(2), ..server.settings() };
    let error = send(&Smtp::new(&settings).unwrap(), &to("mute")).await.unwrap_err();
    assert!(matches!(error, SendError::Unknown(_)), "{error:?}");
}

#[tokio::test]
async fn a_server_that_does_not_greet_has_taken_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = SmtpSettings {
        port: listener.local_addr().unwrap().port(),
        encryption: SmtpEncryption::Plain,
        from_address: "login@example.com".into(),
        timeout: Duration::from_millis(200),
        ..SmtpSettings::default()
    };
    let error = send(&Smtp::new(&settings).unwrap(), &to("ada")).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_is_not_there_has_taken_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = SmtpSettings {
        port: listener.local_addr().unwrap().port(),
        encryption: SmtpEncryption::Plain,
        from_address: "login@example.com".into(),
        ..SmtpSettings::default()
    };
    drop(listener);
    let error = send(&Smtp::new(&settings).unwrap(), &to("ada")).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_wrong_password_blames_no_message() {
    let server = MailServer::start(SmtpEncryption::StartTls).await;
    let mut settings = server.settings();
    settings.credentials.as_mut().unwrap().password = Secret::new("wrong".into());
    let error = send(&Smtp::new(&settings).unwrap(), &to("ada")).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { .. }), "{error:?}");
    assert!(everything(&error).contains("535"), "{error:?}");

    settings.credentials = None;
    let error = send(&Smtp::new(&settings).unwrap(), &to("ada")).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_without_starttls_gets_no_message() {
    let server = MailServer::start(SmtpEncryption::Plain).await;
    let settings = SmtpSettings { encryption: SmtpEncryption::StartTls, ..server.settings() };
    let error = send(&Smtp::new(&settings).unwrap(), &to("ada")).await.unwrap_err();
    assert!(matches!(error, SendError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_or_another_name_gets_no_message() {
    let server = MailServer::start(SmtpEncryption::Tls).await;
    let stranger = SmtpSettings { root_ca_file: None, ..server.settings() };
    let misnamed = SmtpSettings { host: "127.0.0.1".into(), ..server.settings() };
    for settings in [stranger, misnamed] {
        let error = send(&Smtp::new(&settings).unwrap(), &to("ada")).await.unwrap_err();
        assert!(matches!(error, SendError::Unavailable { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn what_is_no_address_is_refused_without_repeating_it() {
    let server = MailServer::start(SmtpEncryption::Plain).await;
    let smtp = Smtp::new(&server.settings()).unwrap();
    for address in ["+4915112345678", "ada@example.com\r\nRCPT TO:<eve@example.com>", "ada@@example.com", ""] {
        let message = Message { to: Secret::new(address.into()), ..code(Channel::Email, "msg_1") };
        let error = send(&smtp, &message).await.unwrap_err();
        assert!(matches!(error, SendError::Refused(_)), "{error:?}");
        assert!(address.is_empty() || !everything(&error).contains(address), "{error:?}");
    }
}

#[tokio::test]
async fn without_tls_only_this_machine_is_a_mail_server() {
    let settings = SmtpSettings {
        host: "mail.example.com".into(),
        encryption: SmtpEncryption::Plain,
        from_address: "login@example.com".into(),
        ..SmtpSettings::default()
    };
    assert!(matches!(Smtp::new(&settings), Err(SettingsError::Plain)));
    let settings = SmtpSettings { encryption: SmtpEncryption::StartTls, ..settings };
    assert!(Smtp::new(&settings).is_ok());
    assert!(matches!(Smtp::new(&SmtpSettings { from_address: "nobody".into(), ..settings }), Err(SettingsError::From)));
}
