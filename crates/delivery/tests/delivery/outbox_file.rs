use std::{fs, os::unix::fs::PermissionsExt as _, sync::Arc};

use countersign_delivery::provider::{Provider as _, outbox::OutboxFile};
use countersign_domain::{message::Channel, testing::ManualClock};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::messages::{CODE, NUMBER, START, code, notice, push, words};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(START))
}

fn lines(path: &std::path::Path) -> Vec<Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn writes_one_line_with_what_the_person_would_see() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new/outbox.jsonl");
    let file = OutboxFile::open(&path, clock()).unwrap();
    let message = code(Channel::Sms, "msg_1");
    file.send(&message, &words(&message)).await.unwrap();
    assert_eq!(
        lines(&path),
        [json!({
            "id": "msg_1", "channel": "sms", "to": NUMBER, "text": format!("Your code is {CODE}. Tell it nobody."),
            "code": CODE, "at": "2026-09-21T14:13:20.000Z",
        })]
    );
}

#[tokio::test]
async fn a_notice_has_no_code_and_an_email_has_a_subject() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("outbox.jsonl");
    let file = OutboxFile::open(&path, clock()).unwrap();
    let message = notice(Channel::Email, "msg_1");
    file.send(&message, &words(&message)).await.unwrap();
    let line = &lines(&path)[0];
    assert!(line.get("code").is_none());
    assert_eq!(line["subject"], "Your account – a message");
}

#[tokio::test]
async fn a_notification_has_what_the_app_needs() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("outbox.jsonl");
    let file = OutboxFile::open(&path, clock()).unwrap();
    let message = push("msg_1");
    file.send(&message, &words(&message)).await.unwrap();
    let push = &lines(&path)[0]["push"];
    assert_eq!(push["service"], "APNS");
    assert_eq!(push["challenge"], "the-challenge");
    assert_eq!(push["transaction_token"], "the-transaction-token");
}

#[tokio::test]
async fn only_the_owner_may_read_the_file_and_its_new_folder() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("new/outbox.jsonl");
    OutboxFile::open(&path, clock()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);

    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    OutboxFile::open(&path, clock()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_several_writers_never_mix_and_none_is_lost() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("outbox.jsonl");
    let writers: Vec<_> = (0..4).map(|_| OutboxFile::open(&path, clock()).unwrap()).collect();
    let sends = (0..100).map(|n| {
        let writer = &writers[n % 4];
        async move {
            let message = code(Channel::Sms, &format!("msg_{n}"));
            writer.send(&message, &words(&message)).await.unwrap();
        }
    });
    join_all(sends).await;
    assert_eq!(lines(&path).len(), 100);
}

#[tokio::test]
async fn a_message_behind_a_torn_line_has_a_line_of_its_own() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("outbox.jsonl");
    let torn = "{\"id\":\"msg_1\",\"chan";
    fs::write(&path, torn).unwrap();
    let file = OutboxFile::open(&path, clock()).unwrap();
    for id in ["msg_2", "msg_3"] {
        let message = code(Channel::Sms, id);
        file.send(&message, &words(&message)).await.unwrap();
    }
    let content = fs::read_to_string(&path).unwrap();
    let mut lines = content.lines();
    assert_eq!(lines.next(), Some(torn));
    let ids: Vec<Value> = lines.map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].clone()).collect();
    assert_eq!(ids, ["msg_2", "msg_3"]);
}
