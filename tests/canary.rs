//! Secrets that are planted, and looked for in everything that leaves the process or stays behind.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use countersign_domain::{
    audit::chain::AuditRow,
    id::UserId,
    message::{Channel, Content, Message, Purpose},
    secret::Secret,
    user::AddressChange,
};
use countersign_tests::{
    api::{Api, Sent, To, Transport, Wish},
    collector::Collector,
    device::{Device, other_number, ticket},
    dump,
    http::body,
    person::{PASSWORD, Person},
    sent::{Arrived, GERMAN_NUMBER, NUMBER},
    tenant::{BACKEND, FORWARDER, MFA_API, MFA_SCOPES, Tenant},
    trail,
    world::{Store, World},
};
use http::Method;

/// Keeps every log line.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What was planted, under the name a failure calls it by.
#[derive(Default)]
struct Canaries(Vec<(String, String)>);

impl Canaries {
    fn plant(&mut self, name: &str, secret: &str) -> String {
        assert!(secret.len() >= 6, "{name} is too short to be found by itself");
        self.0.push((name.to_owned(), secret.to_owned()));
        secret.to_owned()
    }

    /// Panics if one of them is in `place`.
    fn search(&self, place: &str, bytes: &[u8]) {
        for (name, secret) in &self.0 {
            let needle = secret.as_bytes();
            let digits = needle.iter().all(u8::is_ascii_digit);
            let found = bytes.windows(needle.len()).enumerate().any(|(at, window)| {
                // Six digits turn up inside times and numbers by chance; a code of its own has an end on both sides.
                let alone = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'.');
                window == needle
                    && (!digits
                        || alone(at.checked_sub(1).and_then(|at| bytes.get(at))) && alone(bytes.get(at + needle.len())))
            });
            assert!(!found, "{name} is in {place}");
        }
    }
}

/// Where sessions live if there is no Redis.
const SESSIONS: [&str; 3] = ["mfa_transaction", "challenge", "bucket"];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_secret_is_in_a_log_line_a_metric_a_trace_a_table_or_a_redis_key() {
    Box::pin(plant_and_search(Store::Redis)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_secret_is_in_a_table_where_sessions_are_or_in_its_log() {
    Box::pin(plant_and_search(Store::Sqlite)).await;
}

#[expect(clippy::too_many_lines, reason = "one story: what is planted and where it is looked for")]
async fn plant_and_search(store: Store) {
    let lines = Lines::default();
    let writer = lines.clone();
    let (collector, telemetry) = Collector::start(move || writer.clone());

    let world = World::start(store, Tenant::default().with_devices()).await;
    let mut canaries = Canaries::default();
    canaries.plant("the password", PASSWORD);
    canaries.plant("a client's secret", BACKEND.secret.unwrap());
    canaries.plant("another client's secret", FORWARDER.secret.unwrap());
    canaries.plant("the key-encryption key", "a2V5IGVuY3J5cHRpb24ga2V5IG9mIDMyIGJ5dGVzISE=");
    let mut people = Canaries::default();

    for transport in [Transport::Http, Transport::Grpc] {
        let api = world.api(transport);
        let username = format!("canary-{transport:?}");
        let person = world.person(&username).await;
        people.plant("a username", &username);
        people.plant("an address", &person.email);
        let notified = people.plant("an address for notices", &format!("notified-{transport:?}@canary.test"));
        let change = AddressChange { add: vec![notified], remove: Vec::new() };
        world.app().change_addresses(&person.id, change).await.unwrap();

        let wrong = canaries.plant("a wrong password", &format!("wrong-canary-{transport:?}"));
        api.login(BACKEND, &username, &wrong).await.unwrap_err();
        api.login(BACKEND, "canary-nobody", &wrong).await.unwrap_err();
        let token = canaries.plant("an mfa_token", &person.mfa_token(&api).await);
        let association = api.associate(&token).await.unwrap();
        canaries.plant("a seed", &association.secret);
        canaries.plant("an otpauth URI", &association.barcode_uri);
        let recovery = canaries.plant("a recovery code", &association.recovery_codes[0]);
        let phone = countersign_tests::person::Phone::new(association.secret, None);
        let bad = canaries.plant("a wrong code", &phone.wrong(&world));
        api.otp(BACKEND, &token, &bad).await.unwrap_err();
        let good = canaries.plant("a code", &phone.code(&world));
        let tokens = api.otp(BACKEND, &token, &good).await.unwrap();
        canaries.plant("an access token", &tokens.access_token);
        canaries.plant("an ID token", tokens.id_token.as_ref().unwrap());
        api.subject(&tokens.access_token).await.unwrap();

        let token = canaries.plant("an mfa_token", &person.mfa_token(&api).await);
        api.challenge(BACKEND, &token, "otp", None).await.unwrap();
        api.recovery(BACKEND, &token, "WRONGRECOVERYCANARY00000").await.unwrap_err();
        canaries.plant("a wrong recovery code", "WRONGRECOVERYCANARY00000");
        let tokens = api.recovery(BACKEND, &token, &recovery).await.unwrap();
        canaries.plant("a new recovery code", tokens.recovery_code.as_ref().unwrap());

        let wish = Wish { audience: Some(MFA_API), scope: Some(MFA_SCOPES), ..Wish::default() };
        let token = api.login_for(BACKEND, &username, PASSWORD, wish).await.unwrap().mfa_token();
        canaries.plant("an mfa_token", &token);
        let code = canaries.plant("a code", &phone.code(&world));
        let manager = api.otp(BACKEND, &token, &code).await.unwrap().access_token;
        canaries.plant("an access token of the MFA API", &manager);
        let wish = Wish { scope: Some("openid offline_access"), ..Wish::default() };
        let token = api.login_for(BACKEND, &username, PASSWORD, wish).await.unwrap().mfa_token();
        canaries.plant("an mfa_token", &token);
        let code = canaries.plant("a code", &phone.code(&world));
        let tokens = api.otp(BACKEND, &token, &code).await.unwrap();
        let refresh = canaries.plant("a refresh token", tokens.refresh());
        let tokens = api.refresh(BACKEND, &refresh, None).await.unwrap().tokens();
        let refresh = canaries.plant("its successor", tokens.refresh());
        canaries.plant("an access token", &tokens.access_token);
        for token in [&refresh, &tokens.access_token] {
            api.introspect(BACKEND, token).await.unwrap();
        }
        for wrong in ["csref_forged-canary", "forged-refresh-canary"] {
            let wrong = canaries.plant("a forged refresh token", wrong);
            api.refresh(BACKEND, &wrong, None).await.unwrap_err();
            api.revoke(BACKEND, &wrong).await.unwrap();
        }
        api.revoke(BACKEND, &refresh).await.unwrap();
        api.refresh(BACKEND, &refresh, None).await.unwrap_err();

        let listed = api.list(&manager).await.unwrap();
        api.update(&manager, &listed[0].id, Some("a phone"), Some(true)).await.unwrap();
        api.list("forged-bearer-canary").await.unwrap_err();
        canaries.plant("a forged bearer", "forged-bearer-canary");
        for notice in world.notices().await {
            let Some((_, rest)) = notice["text"].as_str().unwrap().split_once("/notices/") else { continue };
            let token = canaries.plant("the token of a link", rest.split_whitespace().next().unwrap());
            world.http().get(&format!("/notices/{token}")).await;
        }
        plant_messages(&world, &api, &person, &manager, &mut canaries).await;
        plant_devices(&world, &api, &person, &manager, &mut canaries).await;
        let nowhere = canaries.plant("an API that there is none of", "https://nowhere.canary.test/");
        api.service(BACKEND, Wish { audience: Some(&nowhere), ..Wish::default() }).await.unwrap_err();
        // Left open, so that a transaction is stored.
        canaries.plant("a pending mfa_token", &person.mfa_token(&api).await);
    }
    given_up(&world, &mut canaries).await;
    // In places where secrets do not belong.
    let http = world.http();
    let stray = canaries.plant("a wrong token of a link", "csnot_stray-notice-canary");
    http.send(http.request(Method::POST, &format!("/notices/{stray}"))).await;
    http.get(&format!("/notices/{stray}/more")).await;
    let stray = canaries.plant("a secret in an address", "stray-query-canary");
    http.form(&format!("/oauth/token?password={stray}&client_secret={stray}"), &[("x", "y")]).await;
    let stray = canaries.plant("a secret in a path", "stray-path-canary");
    http.get(&format!("/mfa/authenticators/{stray}")).await;
    http.get(&format!("/nowhere/{stray}")).await;
    let stray = canaries.plant("a secret as a name", "stray-member-canary");
    http.post("/oauth/token", &serde_json::json!({"grant_type": stray, "client_id": stray, stray.clone(): stray}))
        .await;
    let stray = canaries.plant("an address as a client", "stray-client@canary.test");
    let login = [("grant_type", "password"), ("username", "x"), ("password", "y")];
    http.form("/oauth/token", &[&login[..], &[("client_id", &stray)]].concat()).await;
    let request = http.request(Method::POST, "/oauth/token").basic_auth(&stray, Some("x"));
    http.send(request.form(&login)).await;
    let request = http
        .request(Method::POST, "/oauth/token")
        .header("cookie", "session=cookie-canary")
        .header("dpop", "dpop-canary");
    canaries.plant("a cookie", "cookie-canary");
    canaries.plant("a proof", "dpop-canary");
    http.send(request.json(&body(BACKEND, &[("grant_type", "password")]))).await;

    let telemetry = tokio::task::spawn_blocking(move || telemetry.flush().map(|()| telemetry)).await.unwrap().unwrap();
    let spans = collector.everything();
    assert!(spans.len() > 1000, "spans were exported");
    let lines = lines.0.lock().unwrap().clone();
    assert!(lines.split(|byte| *byte == b'\n').count() > 40, "lines were written");
    is_paid_for(&lines);
    for (place, bytes) in [
        ("a log line", lines.as_slice()),
        ("a trace", spans.as_bytes()),
        ("the metrics", world.metrics().await.text().as_bytes()),
    ] {
        canaries.search(place, bytes);
        people.search(place, bytes);
    }
    let trail = trail::rows(&world.database());
    tells_of_what_was_planted(&trail);
    let trail = format!("{trail:?}");
    canaries.search("the audit trail", trail.as_bytes());
    people.search("the audit trail", trail.as_bytes());
    let stored = dump::sqlite(&world.database());
    assert!(stored.iter().any(|(_, bytes)| bytes == b"canary-Http"), "the dump finds what is stored");
    for counter in ["phone-person:", "phone-destination-verify:", "phone-prefix:", "email-person:"] {
        let counted = |(place, bytes): &(String, Vec<u8>)| {
            place.starts_with("table sent,") && bytes.starts_with(counter.as_bytes())
        };
        assert!(stored.iter().any(counted), "{counter} is counted");
    }
    let log = |(place, bytes): &(String, Vec<u8>)| place.ends_with("-wal") && !bytes.is_empty();
    assert!(stored.iter().any(log), "what was written last is in the log");
    let cached = match world.redis_url() {
        Some(url) => {
            let cached = dump::redis(&url).await;
            assert!(cached.len() > 4, "something is in Redis");
            cached
        }
        None => sessions(&stored),
    };
    for (place, bytes) in stored.iter().chain(&cached) {
        canaries.search(place, bytes);
    }
    for (place, bytes) in &cached {
        people.search(place, bytes);
    }
    drop(telemetry);
}

/// What is in the tables of sessions. Each has something.
fn sessions(stored: &[(String, Vec<u8>)]) -> Vec<(String, Vec<u8>)> {
    let of = |table: &str| {
        let column = format!("table {table}, column ");
        let found: Vec<_> = stored.iter().filter(|(place, _)| place.starts_with(&column)).cloned().collect();
        assert!(!found.is_empty(), "something is in {table}");
        found
    };
    SESSIONS.into_iter().flat_map(of).collect()
}

/// A message that nobody took in time.
async fn given_up(world: &World, canaries: &mut Canaries) {
    let (app, now) = (world.app(), world.now());
    let message = Message {
        id: Message::new_id(app.entropy.as_ref()).unwrap(),
        channel: Channel::Sms,
        to: Secret::new(canaries.plant("a number that was not reached", "+12025550199")),
        content: Content::Code {
            purpose: Purpose::Verify,
            code: Secret::new(canaries.plant("a code that was not sent", "975310")),
        },
        languages: None,
        created_at: now.minus(Duration::from_secs(10)),
        expires_at: now.minus(Duration::from_secs(5)),
    };
    let row = message.seal(&UserId::new("auth0|nobody"), app.sealer.as_ref()).unwrap();
    app.outbox.insert(vec![row]).await.unwrap();
    assert_eq!(app.outbox.purge(now).await.unwrap(), 1);
}

/// The trail that is searched has a row of each kind that is about something that was planted.
fn tells_of_what_was_planted(trail: &[AuditRow]) {
    for event in [
        "message_sent.sms",
        "message_sent.voice",
        "message_sent.email",
        "message_sent.push",
        "message_sent.notice",
        "message_failed.sms",
        "enrollment.refused",
        "enrollment.unconfirmed",
        "exchange_refused.oob",
        "service.refused",
    ] {
        assert!(trail.iter().any(|row| row.event == event), "{event}");
    }
}

/// Every message that costs money has a line for whoever adds up, which says how it went and where to, and nobody's number.
fn is_paid_for(lines: &[u8]) {
    let lines: Vec<serde_json::Value> = String::from_utf8_lossy(lines)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|line: &serde_json::Value| line["target"] == "countersign::spend")
        .collect();
    for channel in ["sms", "voice"] {
        assert!(lines.iter().any(|line| line["channel"] == channel && line["country"] == "US"), "{lines:?}");
    }
    assert!(lines.iter().all(|line| line["channel"] != "email" && line["channel"] != "push"), "{lines:?}");
}

/// A device: enrolled, answering wrong and right, and asked without an answer.
async fn plant_devices(world: &World, api: &Api, person: &Person, manager: &str, canaries: &mut Canaries) {
    let mut device = Device::new(&format!("identifier-canary-{:?}", api.transport()));
    device.push_token = Some(canaries.plant("a push token", &format!("push-canary-{:?}", api.transport())));
    let barcode = api.associate_push(manager).await.unwrap();
    canaries.plant("an oob_code of a device", &barcode.oob_code);
    let ticket = canaries.plant("a ticket", &ticket(&barcode));
    let registration = api.enroll_device(&ticket, &device).await.unwrap();
    canaries.plant("a device's token", &registration.token);
    canaries.plant("a seed of a device", registration.totp_secret.as_ref().unwrap());
    let tokens = api.poll(BACKEND, manager, &barcode.oob_code).await.unwrap();
    canaries.plant("an access token of the MFA API", &tokens.access_token);
    let own = canaries
        .plant("what a device signs for itself", &device.own_bearer(world, person.id.as_str(), &registration.id));
    api.update_device(&registration.id, &own, "a tablet", device.push_token.as_ref().unwrap()).await.unwrap();
    api.delete_device(&registration.id, "csdev_forged-canary").await.unwrap_err();
    canaries.plant("a forged token of a device", "csdev_forged-canary");
    api.enroll_device(&ticket, &Device::new("another-identifier-canary")).await.unwrap_err();
    canaries.plant("another device's identifier", "another-identifier-canary");
    for answered in [true, false] {
        let token = canaries.plant("an mfa_token", &person.mfa_token(api).await);
        let (asked, pushed) = world.pushed(api.ask(BACKEND, &token, None)).await;
        canaries.plant("an oob_code of a device", &asked.oob_code);
        canaries.plant("the bearer of an answer", &pushed.token);
        canaries.plant("what a device signs", &pushed.challenge);
        let number = &canaries.plant("the number of a notification", asked.number.as_ref().unwrap());
        let other = other_number(number);
        canaries.plant("another number", other);
        let wrong = device.answer(world, &pushed, true, Some(other));
        canaries.plant("a wrong answer", &wrong);
        api.resolve(&pushed.token, &wrong).await.unwrap_err();
        if answered {
            let right = canaries.plant("an answer", &device.answer(world, &pushed, true, Some(number)));
            api.resolve(&pushed.token, &right).await.unwrap();
            let tokens = api.poll(BACKEND, &token, &asked.oob_code).await.unwrap();
            canaries.plant("an access token", &tokens.access_token);
        } else {
            api.resolve(&pushed.token, &device.answer(world, &pushed, false, None)).await.unwrap();
            api.poll(BACKEND, &token, &asked.oob_code).await.unwrap_err();
        }
    }
}

/// Codes over every channel, wrong and right, enrolled and not, and some that are left open.
async fn plant_messages(world: &World, api: &Api, person: &Person, manager: &str, canaries: &mut Canaries) {
    let plant = |canaries: &mut Canaries, sent: &Sent, message: &Arrived| {
        canaries.plant("an oob_code", &sent.oob_code);
        canaries.plant("a code that was sent", &message.code);
        canaries.plant("the words of a message", &message.text);
    };
    let number = if api.transport() == Transport::Http { NUMBER } else { GERMAN_NUMBER };
    canaries.plant("a number", number);
    canaries.plant("a number without its sign", number.trim_start_matches('+'));
    let mailbox = format!("mailbox-canary-{:?}@work.example", api.transport());
    canaries.plant("an address that was given", &mailbox);
    for to in [To::Phone("sms", number), To::Email(Some(&mailbox))] {
        let (sent, message) = world.sent(api.associate_oob(manager, to)).await;
        plant(canaries, &sent, &message);
        api.oob(BACKEND, manager, &sent.oob_code, message.wrong()).await.unwrap_err();
        let tokens = api.oob(BACKEND, manager, &sent.oob_code, &message.code).await.unwrap();
        canaries.plant("an access token of the MFA API", &tokens.access_token);
    }
    for channel in ["sms", "voice", "email"] {
        let (token, sent, message) = person.challenged(world, api, channel).await;
        canaries.plant("an mfa_token", &token);
        plant(canaries, &sent, &message);
        api.oob(BACKEND, &token, "csoob_forged-canary", &message.code).await.unwrap_err();
        let wrong = canaries.plant("a wrong code", if message.code == "986420" { "864209" } else { "986420" });
        api.oob(BACKEND, &token, &sent.oob_code, &wrong).await.unwrap_err();
        let tokens = api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.unwrap();
        canaries.plant("an access token", &tokens.access_token);
        // Open: the challenge is stored.
        let (token, sent, message) = person.challenged(world, api, channel).await;
        canaries.plant("a pending mfa_token", &token);
        plant(canaries, &sent, &message);
    }
    canaries.plant("a forged oob_code", "csoob_forged-canary");
    for typed in ["+1202555canary", "+120255501999999", "+33612345678"] {
        canaries.plant("a number that was refused", typed);
        api.associate_oob(manager, To::Phone("sms", typed)).await.unwrap_err();
    }
    canaries.plant("an address that was refused", "refused-canary@");
    api.associate_oob(manager, To::Email(Some("refused-canary@"))).await.unwrap_err();
    // Until there is nothing more to send: what says so must not say to whom.
    let token = person.mfa_token(api).await;
    while api.send_code(BACKEND, &token, None, Some("sms")).await.is_ok() {}
}
