//! The program is killed between any two states of a message: one that a login waits for, one that tells of something, one that asks a
//! device.

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

use countersign_tests::{
    api::{Api, To, Transport},
    device::{Device, Pushed, ticket},
    dump,
    metrics::Metrics,
    otp,
    person::PASSWORD,
    process::{self, ServeProcess},
    receiver::{Closed, Manner, Receiver},
    sent::{Arrived, NUMBER},
    tenant::{BACKEND, ISSUER, Tenant},
    trail,
};
use http::Method;
use rusqlite::Connection;
use serde_json::Value;
use tempfile::TempDir;

/// How far a message had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Point {
    /// What causes it was answered.
    Written,
    /// Its provider has read it.
    Tried,
    /// Its provider could not take it, and it waits for its second try.
    PutOff,
    /// Its provider has taken it, and it is in the outbox still.
    Taken,
}

const POINTS: [Point; 4] = [Point::Written, Point::Tried, Point::PutOff, Point::Taken];

impl Point {
    /// What its provider does with a message that comes to this point and no further.
    const fn manner(self) -> Manner {
        match self {
            Self::Written | Self::Tried => Manner::Silent,
            Self::PutOff => Manner::Overloaded,
            Self::Taken => Manner::Late,
        }
    }
}

/// A program whose messages go to a webhook, and one person.
struct Deployment {
    folder: TempDir,
    config: String,
    receiver: Receiver,
}

impl Deployment {
    async fn new() -> Self {
        let (folder, closed) = (TempDir::new().unwrap(), Closed::new());
        let url = format!("url = 'http://{}/'", closed.address());
        let ways = ["sms = ['hook']", "email = ['hook']", "push = ['hook']", "countries = ['US']"];
        let config = Tenant::default()
            .section("mfa", &["factors = ['push', 'otp', 'sms']"])
            .section("messages", &ways)
            .section("[messages.webhook]", &["name = 'hook'", &url, "secrets = ['a secret of 32 bytes or some more']"])
            .toml(&process::places(folder.path()));
        ServeProcess::add_user(folder.path(), &config, "ann", PASSWORD).await;
        Self { folder, config, receiver: closed.open(Manner::Well) }
    }

    /// Has her told of what happens to her account.
    async fn with_an_address(self) -> Self {
        let arguments = ["user", "notify", "ann", "--add", "ann@home.test", "--config", "countersign.toml"];
        let ended = process::run(self.folder.path(), &arguments, "").await;
        assert_eq!(ended.code, 0, "{ended:?}");
        self
    }

    async fn start(&self) -> ServeProcess {
        ServeProcess::start(self.folder.path(), &self.config).await
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("countersign.db")
    }

    fn waiting(&self) -> BTreeSet<String> {
        dump::waiting(&self.database()).into_iter().collect()
    }

    /// How many messages left, by the trail.
    fn left(&self) -> usize {
        trail::rows(&self.database()).iter().filter(|row| row.event.starts_with("message_sent.")).count()
    }

    /// As soon as no message waits.
    async fn nothing_waits(&self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while !self.waiting().is_empty() {
            ticks.tick().await;
        }
    }

    /// Ends the program, which has nothing left to send.
    async fn end(&self, process: ServeProcess) {
        self.nothing_waits().await;
        process.kill().await;
    }

    /// Has `cause` lead to `count` messages, kills the program as soon as they are at `point`, and starts it again. The answer is what
    /// `cause` was answered, and what the second program sent.
    async fn killed_at<T>(
        &self,
        point: Point,
        count: usize,
        cause: impl AsyncFnOnce(Api) -> T,
    ) -> (T, ServeProcess, Vec<Value>) {
        let (before, left) = (self.receiver.all().len(), self.left());
        let process = self.start().await;
        self.receiver.behave(point.manner());
        let answer = cause(process.api(Transport::Grpc).await).await;
        let held = self.reaches(point, before, count, &process).await;
        process.kill().await;
        drop(held);
        let waiting = self.waiting();
        assert_eq!(waiting.len(), count, "{point:?}: nobody knows whether they arrived");
        assert_eq!(self.left(), left, "{point:?}");
        let tried = self.receiver.all().split_off(before);
        assert!(tried.iter().all(|message| waiting.contains(id(message))), "{point:?}");

        // Whoever claimed them has had their time.
        dump::make_due(&self.database());
        self.receiver.behave(Manner::Well);
        let again = before + tried.len();
        let process = self.start().await;
        self.receiver.arrived(again + count).await;
        self.nothing_waits().await;
        let sent = self.receiver.all().split_off(again);
        assert_eq!(sent.iter().map(|message| id(message).to_owned()).collect::<BTreeSet<_>>(), waiting, "{point:?}");
        // What was on its way when the program was killed may be read only now.
        assert!(sent.len() == count || point == Point::Written, "{point:?}: each once: {sent:?}");
        for first in &tried {
            assert!(sent.contains(first), "{point:?}: it is the same, word for word: {first} of {sent:?}");
        }
        assert_eq!(self.left(), left + count, "{point:?}: one row of the trail each");
        (answer, process, sent)
    }

    /// Waits until `count` messages after the first `before` are at `point`. What comes back keeps them there.
    async fn reaches(&self, point: Point, before: usize, count: usize, process: &ServeProcess) -> Option<Connection> {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        match point {
            Point::Written => None,
            Point::Tried => {
                self.receiver.arrived(before + count).await;
                None
            }
            Point::PutOff => {
                while usize::try_from(dump::put_off(&self.database())).unwrap() < count {
                    ticks.tick().await;
                }
                None
            }
            Point::Taken => {
                self.receiver.arrived(before + count).await;
                // Nobody else can write: no row goes.
                let file = Connection::open(self.database()).unwrap();
                file.busy_timeout(Duration::from_secs(5)).unwrap();
                file.execute_batch("BEGIN IMMEDIATE").unwrap();
                self.receiver.behave(Manner::Well);
                let ops: SocketAddr = process.ops().trim_start_matches("http://").parse().unwrap();
                let all = f64::from(u32::try_from(count).unwrap());
                let sent = &["ending=\"sent\""];
                while Metrics::read(ops).await.sum("countersign_message_ended_total", sent) < all {
                    ticks.tick().await;
                }
                Some(file)
            }
        }
    }
}

fn id(message: &Value) -> &str {
    message["id"].as_str().unwrap()
}

async fn token(api: &Api) -> String {
    api.login(BACKEND, "ann", PASSWORD).await.unwrap().mfa_token()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_to_log_in_with_arrives_whenever_the_program_is_killed() {
    let deployment = Deployment::new().await;
    let process = deployment.start().await;
    let api = process.api(Transport::Http).await;
    let bearer = token(&api).await;
    let sent = api.associate_oob(&bearer, To::Phone("sms", NUMBER)).await.unwrap();
    let message = deployment.receiver.messages(1).await.remove(0);
    api.oob(BACKEND, &bearer, &sent.oob_code, &message.code).await.unwrap();
    deployment.end(process).await;

    for point in POINTS {
        let ((bearer, sent), process, messages) = deployment
            .killed_at(point, 1, async |api| {
                let bearer = token(&api).await;
                let sent = api.send_code(BACKEND, &bearer, None, Some("sms")).await.unwrap();
                (bearer, sent)
            })
            .await;
        let (api, message) = (process.api(Transport::Http).await, Arrived::read(&messages[0]));
        api.oob(BACKEND, &bearer, &sent.oob_code, &message.code)
            .await
            .unwrap_or_else(|refusal| panic!("{point:?}: the code, the handle and the login outlive it: {refusal:?}"));
        deployment.end(process).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_arrives_whenever_the_program_is_killed() {
    let deployment = Deployment::new().await.with_an_address().await;
    for point in POINTS {
        // Of the app and of the recovery code that comes with it.
        let ((), process, notices) = deployment
            .killed_at(point, 2, async |api| {
                let bearer = token(&api).await;
                let secret = api.associate(&bearer).await.unwrap().secret;
                api.otp(BACKEND, &bearer, &otp::code_of(&secret, otp::real_step())).await.unwrap();
            })
            .await;
        assert!(notices.iter().all(|notice| notice["to"] == "ann@home.test"), "{point:?}: {notices:?}");
        let link = notices.iter().find_map(|notice| {
            let (_, rest) = notice["text"].as_str()?.split_once(&format!("{ISSUER}notices/"))?;
            Some(format!("/notices/{}", rest.split_whitespace().next()?))
        });
        let api = process.api(Transport::Http).await;
        let bearer = token(&api).await;
        assert_eq!(api.list(&bearer).await.unwrap().len(), 2, "{point:?}: it was confirmed");
        // The link outlives it: the app goes, and the next time she enrols anew.
        let http = api.http();
        assert_eq!(http.send(http.request(Method::POST, &link.unwrap())).await.status, 200, "{point:?}");
        assert_eq!(api.list(&token(&api).await).await.unwrap(), [], "{point:?}");
        deployment.end(process).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_to_a_device_arrives_whenever_the_program_is_killed() {
    let (deployment, device) = (Deployment::new().await, Device::new("ann"));
    let process = deployment.start().await;
    let api = process.api(Transport::Http).await;
    let bearer = token(&api).await;
    let barcode = api.associate_push(&bearer).await.unwrap();
    api.enroll_device(&ticket(&barcode), &device).await.unwrap();
    api.poll(BACKEND, &bearer, &barcode.oob_code).await.unwrap();
    deployment.end(process).await;

    for point in POINTS {
        let ((bearer, asked), process, questions) = deployment
            .killed_at(point, 1, async |api| {
                let bearer = token(&api).await;
                let asked = api.ask(BACKEND, &bearer, None).await.unwrap();
                (bearer, asked)
            })
            .await;
        let (api, pushed) = (process.api(Transport::Http).await, Pushed::read(questions[0].clone()));
        let answer = device.answer_at(otp::real_now(), &pushed, true, asked.number.as_deref());
        api.resolve(&pushed.token, &answer).await.unwrap();
        api.poll(BACKEND, &bearer, &asked.oob_code)
            .await
            .unwrap_or_else(|refusal| panic!("{point:?}: the question and the login outlive it: {refusal:?}"));
        deployment.end(process).await;
    }
}
