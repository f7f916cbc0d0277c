//! Everything is sealed anew while people log in, and the command is killed in the middle of it.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use countersign_crypto::{entropy::SystemEntropy, master_key::MasterKey, sealer::AeadSealer};
use countersign_domain::port::sealer::{Place, Sealer as _};
use countersign_tests::{
    api::{Api, Outcome, Transport},
    otp,
    person::Phone,
    process::{self, DEMO_CLIENT, DEMO_PASSWORD, DemoProcess, Ended},
};
use rusqlite::{Connection, OpenFlags, params};
use tempfile::TempDir;
use tokio::{task::JoinSet, time::interval};

/// Authenticators of nobody, so that sealing anew takes a while.
const PLANTED: i64 = 4000;
/// People who log in again and again.
const PEOPLE: usize = 12;
/// How often each does: what may be tried with one name is bounded.
const EVERY: Duration = Duration::from_millis(1200);

async fn token(api: &Api, name: &str) -> String {
    api.login(DEMO_CLIENT, name, DEMO_PASSWORD).await.map(Outcome::mfa_token).expect("the password is right")
}

async fn enrol(api: &Api, name: &str) -> Phone {
    let token = token(api, name).await;
    let association = api.associate(&token).await.expect("nothing is enrolled yet");
    let phone = Phone::new(association.secret, association.recovery_codes.into_iter().next());
    let code = otp::code_of(&phone.secret, otp::real_step());
    api.otp(DEMO_CLIENT, &token, &code).await.expect("the first code confirms");
    phone
}

fn open(folder: &Path) -> Connection {
    let connection = Connection::open(folder.join("countersign.db")).unwrap();
    connection.busy_timeout(Duration::from_secs(5)).unwrap();
    connection
}

/// Seals with the key that follows from the demo's key-encryption key, as the server did when they were new.
fn plant(folder: &Path) {
    let master = MasterKey::parse(&std::fs::read_to_string(folder.join("kek")).unwrap()).unwrap();
    let sealer = AeadSealer::new(&master, Arc::new(SystemEntropy::new())).unwrap();
    sealer.grant(sealer.derived_id(), 1 << 14, 1 << 14);
    let mut connection = open(folder);
    connection.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    let transaction = connection.transaction().unwrap();
    for n in 0..PLANTED {
        let (id, user) = (format!("totp|dev_{n:016}"), format!("auth0|planted{n:05}"));
        let state = sealer.seal(Place { record: "authenticator", id: &id, owner: &user }, b"nobody's seed").unwrap();
        transaction
            .execute(
                "INSERT INTO authenticator (user_id, id, kind, status, state, preferred, failures, created_at) \
                 VALUES (?1, ?2, 'otp', 'active', ?3, 0, 0, 1)",
                params![user, id, state.as_bytes()],
            )
            .unwrap();
    }
    transaction.commit().unwrap();
}

/// How many authenticators are sealed with which key, the fewest first.
fn seals(folder: &Path) -> Vec<(String, i64)> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = Connection::open_with_flags(folder.join("countersign.db"), flags).unwrap();
    let mut statement = connection
        .prepare("SELECT lower(hex(substr(state, 3, 8))), count(*) FROM authenticator GROUP BY 1 ORDER BY 2")
        .unwrap();
    statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?))).unwrap().collect::<Result<_, _>>().unwrap()
}

async fn command(folder: &Path, arguments: &[&str]) -> Ended {
    process::run(folder, &[arguments, &["--dir", folder.to_str().unwrap()]].concat(), "").await
}

/// Logs `name` in with one recovery code after another, until told to stop.
async fn log_in(api: Api, name: String, mut code: String, stop: Arc<AtomicBool>, count: Arc<AtomicUsize>) {
    let mut ticks = interval(EVERY);
    while !stop.load(Ordering::SeqCst) {
        ticks.tick().await;
        let token = token(&api, &name).await;
        let tokens = api.recovery(DEMO_CLIENT, &token, &code).await.expect("no login fails");
        code = tokens.recovery_code.expect("a new one comes with it");
        count.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn logins_go_on_while_everything_is_sealed_anew_and_a_killed_command_goes_on() {
    let folder = TempDir::new().unwrap();
    let (folder, demo) = (folder.path(), DemoProcess::start(folder.path(), 20).await);
    let api = demo.api(Transport::Http).await;
    let ann = enrol(&api, "user00019").await;
    let before = token(&api, "user00019").await;
    let (stop, count, mut logins) = (Arc::new(AtomicBool::new(false)), Arc::default(), JoinSet::new());
    for n in 1..=PEOPLE {
        let name = format!("user{n:05}");
        let code = enrol(&api, &name).await.recovery_code.expect("the first one comes with a recovery code");
        logins.spawn(log_in(api.clone(), name, code, Arc::clone(&stop), Arc::clone(&count)));
    }
    plant(folder);
    let [(first, _)] = seals(folder).try_into().expect("there is one key so far");

    let arguments = ["keys", "rotate-data", "--dir", folder.to_str().unwrap()];
    let mut killed = process::start(folder, &arguments);
    let mut ticks = interval(Duration::from_millis(1));
    while !seals(folder).iter().any(|(key, values)| *key != first && *values >= 300) {
        ticks.tick().await;
        assert_eq!(killed.try_wait().unwrap(), None, "it takes a while");
    }
    killed.kill().await.unwrap();
    let left = seals(folder).iter().find(|(key, _)| *key == first).map_or(0, |(_, values)| *values);
    assert!(left > 0 && left < PLANTED, "{left} are left");
    let listed = command(folder, &["keys", "list"]).await.out;
    assert!(listed.contains(&format!("{first}\tA256GCM\tprevious\t")), "{listed}");
    let dropped = command(folder, &["keys", "drop-data", &first, "--now"]).await;
    assert_eq!(dropped.code, 65, "{dropped:?}");
    let said = |what: &str| dropped.err.contains(what);
    assert!(said(" authenticators") && said(" logins under way"), "{dropped:?}");

    let again = command(folder, &["keys", "rotate-data"]).await;
    assert_eq!(again.code, 0, "{again:?}");
    assert!(again.out.contains(" goes on; ") && again.out.contains(" sealed anew, 0 are left"), "{again:?}");
    assert!(again.err.lines().count() >= 9 && again.err.contains(" of "), "{again:?}");
    let [(second, _)] = seals(folder).try_into().expect("no value is left");
    assert_ne!(first, second);
    stop.store(true, Ordering::SeqCst);
    while let Some(ended) = logins.join_next().await {
        ended.expect("no login failed");
    }
    let count = count.load(Ordering::SeqCst);
    assert!(count > 20, "{count} logins");

    let dropped = command(folder, &["keys", "drop-data", &first]).await;
    assert!(dropped.code == 65 && dropped.err.contains("Not before"), "{dropped:?}");
    let dropped = command(folder, &["keys", "drop-data", &second, "--now"]).await;
    assert!(dropped.code == 65 && dropped.err.contains("have another take over"), "{dropped:?}");
    let dropped = command(folder, &["keys", "drop-data", &first, "--now"]).await;
    assert!(
        dropped.code == 65 && dropped.err.contains("Sealed with it: ") && dropped.err.contains(" logins under way"),
        "{dropped:?}"
    );
    // Its state opens still.
    let code = ann.recovery_code.clone().unwrap();
    api.recovery(DEMO_CLIENT, &before, &code).await.expect("a login under way goes on");
    let mut ticks = interval(Duration::from_millis(500));
    loop {
        // The row of a login that is over is removed within half a minute.
        ticks.tick().await;
        let dropped = command(folder, &["keys", "drop-data", &first, "--now"]).await;
        if dropped.code == 0 {
            break;
        }
        assert!(dropped.err.contains("logins under way"), "{dropped:?}");
    }
    assert_eq!(command(folder, &["keys", "drop-data", &first, "--now"]).await.code, 65, "it is dropped already");
    let listed = command(folder, &["keys", "list"]).await.out;
    assert!(listed.contains(&format!("{first}\tA256GCM\tdropped\t")), "{listed}");
    assert!(listed.contains(&format!("{second}\tA256GCM\tcurrent\t")), "{listed}");

    demo.kill().await;
    let demo = DemoProcess::start(folder, 20).await;
    let api = demo.api(Transport::Grpc).await;
    let token = token(&api, "user00019").await;
    let mut ticks = interval(Duration::from_millis(500));
    loop {
        // The code of the enrolment is used; the next one comes by the clock.
        ticks.tick().await;
        let code = otp::code_of(&ann.secret, otp::real_step());
        if api.otp(DEMO_CLIENT, &token, &code).await.is_ok() {
            break;
        }
    }
    let verified = command(folder, &["audit", "verify"]).await;
    assert_eq!(verified.code, 0, "{verified:?}");
    let trail = command(folder, &["audit", "export"]).await.out;
    let rows = |event: &str| trail.lines().filter(|line| line.contains(event)).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows("\"data_key.added\"").len(), 1, "the second run made none");
    let dropped = rows("\"data_key.dropped\"");
    assert!(dropped.len() == 1 && dropped[0].contains(&first) && dropped[0].contains("process "), "{dropped:?}");
}
