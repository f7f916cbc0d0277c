//! Redis: the contract, and what happens to the connection.

use std::{sync::Arc, time::Duration};

use countersign_domain::{
    port::{
        PortError,
        session_store::{Reservation, SessionStore as _},
    },
    time::Timestamp,
};
use countersign_storage::{
    contract::{
        Opened,
        records::{NOW, attempt, bucket, challenge, digest, transaction},
    },
    memory::MemoryStore,
    open::Stores,
    redis::{RedisOptions, RedisSessionStore, TimeSource},
    testing_redis::{RedisServer, RedisServerOptions},
};

fn caller() -> RedisOptions {
    RedisOptions { time: TimeSource::Caller, ..RedisOptions::default() }
}

async fn open() -> Opened {
    // The user has the documented rights and no others, so the contract shows that they are enough.
    let options =
        RedisServerOptions { acl_user: Some(("countersign".into(), "p4ss".into())), ..RedisServerOptions::default() };
    let server = RedisServer::start(options);
    let store = RedisSessionStore::connect(&server.url(), caller()).await.unwrap();
    store.begin().await.unwrap();
    let mut stores = Stores::of(Arc::new(MemoryStore::default()));
    stores.sessions = Arc::new(store);
    Opened { stores, guard: Box::new(server) }
}

countersign_storage::session_contract!(open);

fn chain(error: &dyn std::error::Error) -> String {
    let links = std::iter::successors(Some(error), |error| error.source());
    links.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn a_server_that_evicts_is_refused_unless_allowed() {
    let options = RedisServerOptions { maxmemory_policy: Some("allkeys-lru".into()), ..RedisServerOptions::default() };
    let server = RedisServer::start(options);
    let error = RedisSessionStore::connect(&server.url(), RedisOptions::default()).await.err().unwrap();
    assert!(chain(&error).contains("noeviction"), "{}", chain(&error));
    let allowed = RedisOptions { allow_eviction: true, ..RedisOptions::default() };
    RedisSessionStore::connect(&server.url(), allowed).await.unwrap().ping().await.unwrap();
}

#[tokio::test]
async fn a_server_whose_memory_is_full_is_not_ready() {
    let server = RedisServer::start(RedisServerOptions::default());
    let store = RedisSessionStore::connect(&server.url(), RedisOptions::default()).await.unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    for (most, ready) in [("0", true), ("1", false), ("0", true)] {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg("maxmemory").arg(most);
        set.exec_async(&mut connection).await.unwrap();
        assert_eq!(store.ping().await.is_ok(), ready, "maxmemory {most}");
    }
}

#[tokio::test]
async fn a_server_that_begins_to_evict_is_not_ready() {
    let server = RedisServer::start(RedisServerOptions::default());
    let store = RedisSessionStore::connect(&server.url(), RedisOptions::default()).await.unwrap();
    store.ping().await.unwrap();
    let mut connection = redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg("maxmemory-policy").arg("allkeys-lru").exec_async(&mut connection).await.unwrap();
    let error = store.ping().await.unwrap_err();
    assert!(chain(&error).contains("noeviction"), "{}", chain(&error));
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_not_shown() {
    let server =
        RedisServer::start(RedisServerOptions { password: Some("right".into()), ..RedisServerOptions::default() });
    RedisSessionStore::connect(&server.url(), RedisOptions::default()).await.unwrap();
    let url = format!("redis://:hunter2@127.0.0.1:{}", server.port());
    let error = RedisSessionStore::connect(&url, RedisOptions::default()).await.err().unwrap();
    assert!(!format!("{} {error:?}", chain(&error)).contains("hunter2"));
}

#[tokio::test]
async fn a_lost_server_is_an_error_at_once_and_used_when_it_returns() {
    let mut server = RedisServer::start(RedisServerOptions::default());
    let store = RedisSessionStore::connect(&server.url(), RedisOptions::default()).await.unwrap();
    assert_eq!(store.reserve(&[bucket(1, "otp")], attempt(1), NOW).await.unwrap(), Reservation::Granted);
    server.kill();
    let otp = [bucket(1, "otp")];
    for n in 0..6 {
        let call = store.reserve(&otp, attempt(n), NOW);
        let answer = tokio::time::timeout(Duration::from_secs(1), call).await.unwrap();
        assert!(matches!(answer, Err(PortError::Unavailable(..))), "{answer:?}");
    }
    server.restart();
    let back = async {
        // Both connections must be back, and the scripts are gone with the old server.
        let mut well = 0;
        while well < 4 {
            let answer = store.reserve(&[bucket(2, "otp")], attempt(1), NOW).await;
            well = if answer.is_ok() { well + 1 } else { 0 };
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), back).await.unwrap();
}

#[tokio::test]
async fn every_key_but_one_has_a_time_to_live() {
    let server = RedisServer::start(RedisServerOptions::default());
    let store = RedisSessionStore::connect(&server.url(), caller()).await.unwrap();
    store.insert_transaction(transaction(1)).await.unwrap();
    store.exhaust_transaction(&digest(1)).await.unwrap();
    store.insert_challenge(challenge(1, 1)).await.unwrap();
    store.insert_challenge(challenge(2, 1)).await.unwrap();
    store.take_try(&digest(2)).await.unwrap();
    store.reserve(&[bucket(1, "otp"), bucket(1, "rate")], attempt(1), NOW).await.unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(&mut connection).await.unwrap();
    assert_eq!(keys.len(), 6, "{keys:?}");
    for key in keys.into_iter().filter(|key| key != "cs1:kept_from") {
        assert!(key.starts_with("cs1:{"), "{key}");
        let left: i64 = redis::cmd("PTTL").arg(&key).query_async(&mut connection).await.unwrap();
        assert!((1..=7_200_000).contains(&left), "{key}: {left}");
    }
}

#[tokio::test]
async fn the_servers_clock_refills_by_default() {
    let server = RedisServer::start(RedisServerOptions::default());
    let store = RedisSessionStore::connect(&server.url(), RedisOptions::default()).await.unwrap();
    let narrow = countersign_domain::port::session_store::Bucket { capacity: 1, ..bucket(1, "otp") };
    store.reserve(std::slice::from_ref(&narrow), attempt(1), NOW).await.unwrap();
    // The caller's clock says that years have passed.
    let far = NOW.plus(Duration::from_secs(100_000_000));
    let answer = store.reserve(std::slice::from_ref(&narrow), attempt(2), far).await.unwrap();
    assert!(
        matches!(answer, Reservation::Denied { bucket: 0, retry_after } if retry_after <= Duration::from_secs(360))
    );
}

/// How many attempts a bucket that nobody has seen grants at `now`.
async fn granted(store: &RedisSessionStore, subject: usize, now: Timestamp) -> usize {
    for n in 0..20 {
        if store.reserve(&[bucket(subject, "otp")], attempt(n), now).await.unwrap() != Reservation::Granted {
            return n;
        }
    }
    20
}

#[tokio::test]
async fn whoever_lost_everything_has_buckets_begin_low_for_an_hour() {
    let server = RedisServer::start(RedisServerOptions::default());
    let store = RedisSessionStore::connect(&server.url(), caller()).await.unwrap();
    store.begin().await.unwrap();
    assert_eq!(granted(&store, 1, NOW).await, 10);
    let mut connection = redis::Client::open(server.url()).unwrap().get_multiplexed_async_connection().await.unwrap();
    redis::cmd("FLUSHALL").exec_async(&mut connection).await.unwrap();
    let later = |seconds| NOW.plus(Duration::from_secs(seconds));
    assert_eq!(granted(&store, 1, later(1)).await, 3);
    assert_eq!(granted(&store, 2, later(3600)).await, 3);
    // What was low fills up like any other, and is not made low again.
    assert_eq!(granted(&store, 1, later(1 + 360 * 10)).await, 10);
    assert_eq!(granted(&store, 3, later(3601)).await, 10);
    // Who begins with what lost its data, or with one that has kept it, changes nothing.
    redis::cmd("FLUSHALL").exec_async(&mut connection).await.unwrap();
    assert_eq!(granted(&store, 4, later(8000)).await, 3);
    store.begin().await.unwrap();
    assert_eq!(granted(&store, 5, later(8000)).await, 3);
}
