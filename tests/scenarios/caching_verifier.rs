//! Signing keys go through all their states while people log in, and APIs that keep the key set for its time verify every token.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use countersign_domain::time::Timestamp;
use countersign_tests::{
    api::{Api, Transport, Wish},
    http::plain_client,
    jwt,
    person::PASSWORD,
    tenant::{API, ES256_API, KEEPER, LENIENT, Tenant},
    world::{Store, World},
};
use serde_json::Value;
use tokio::sync::Notify;

/// An API that verifies tokens by itself. It reads the key set as RFC 9111 has it: when what it has is no longer fresh, and then with
/// `If-None-Match`.
struct Verifier<'a> {
    world: &'a World,
    client: reqwest::Client,
    keys: Value,
    tag: String,
    fresh_until: Timestamp,
    signers: BTreeSet<String>,
    unchanged: u32,
}

impl<'a> Verifier<'a> {
    async fn new(world: &'a World) -> Self {
        let beginning = Timestamp::from_millis(0);
        let (keys, tag) = (Value::Null, String::new());
        let mut verifier = Self {
            world,
            client: plain_client(),
            keys,
            tag,
            fresh_until: beginning,
            signers: BTreeSet::new(),
            unchanged: 0,
        };
        verifier.read().await;
        verifier
    }

    async fn read(&mut self) {
        let asked_at = self.world.now();
        let request = self.client.get(self.world.http().url("/.well-known/jwks.json"));
        let request = if self.tag.is_empty() { request } else { request.header("if-none-match", &self.tag) };
        let answer = request.send().await.unwrap();
        let control = answer.headers()["cache-control"].to_str().unwrap();
        let age = control.split(", ").find_map(|part| part.strip_prefix("max-age=")).expect("it may be kept");
        self.fresh_until = asked_at.plus(Duration::from_secs(age.parse().unwrap()));
        if answer.status() == 304 {
            self.unchanged += 1;
            return;
        }
        assert_eq!(answer.status(), 200);
        answer.headers()["etag"].to_str().unwrap().clone_into(&mut self.tag);
        self.keys = answer.json().await.unwrap();
    }

    /// Panics unless the token verifies.
    async fn verify(&mut self, token: &str) {
        if self.world.now() >= self.fresh_until {
            self.read().await;
        }
        let (header, _) = jwt::verified(token, &self.keys);
        self.signers.insert(header["kid"].as_str().unwrap().to_owned());
    }
}

/// Logs in at `audience` with the password, or goes on with a refresh token, until told to stop; each token is verified.
async fn load(world: &World, username: &str, audience: &str, done: &Done) -> (BTreeSet<String>, u32) {
    let api: Api = world.api(Transport::Http);
    let mut verifier = Verifier::new(world).await;
    let wish = Wish { audience: Some(audience), scope: Some("openid offline_access read:things"), ..Wish::default() };
    let kept = api.login_for(KEEPER, username, PASSWORD, wish).await.unwrap().tokens();
    for n in 0_u32.. {
        if done.stop.load(Ordering::SeqCst) {
            break;
        }
        let outcome = if n.is_multiple_of(8) || kept.refresh_token.is_none() {
            api.login_for(LENIENT, username, PASSWORD, wish).await
        } else {
            api.refresh(KEEPER, kept.refresh(), None).await
        };
        let tokens = outcome.expect("no login fails").tokens();
        verifier.verify(&tokens.access_token).await;
        verifier.verify(tokens.id_token.as_deref().unwrap()).await;
        done.logins.fetch_add(1, Ordering::SeqCst);
        done.changed.notify_one();
    }
    (verifier.signers, verifier.unchanged)
}

#[derive(Default)]
struct Done {
    stop: AtomicBool,
    logins: AtomicU64,
    changed: Notify,
}

/// Lets two and a half days pass, in steps of which each is also the time of some login: three keys sign, and one is retired.
async fn days(world: &World, done: &Done) {
    for _ in 0..900 {
        let before = done.logins.load(Ordering::SeqCst);
        world.advance(240);
        world.keys().turn().await.unwrap();
        while done.logins.load(Ordering::SeqCst) == before {
            done.changed.notified().await;
        }
    }
    done.stop.store(true, Ordering::SeqCst);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_keys_rotate_under_load_who_keeps_the_key_set_for_its_time_verifies_every_token() {
    let world = World::start(Store::Sqlite, Tenant::default().with_rotation().with_es256_api()).await;
    world.people(&["ann", "bob", "cal", "dan"]).await;
    world.keys().turn().await.unwrap();
    let done = Done::default();
    let (ann, bob, cal, dan, ()) = tokio::join!(
        load(&world, "ann", API, &done),
        load(&world, "bob", API, &done),
        load(&world, "cal", API, &done),
        load(&world, "dan", ES256_API, &done),
        days(&world, &done),
    );
    for (signers, unchanged) in [&ann, &bob, &cal] {
        assert_eq!(signers.len(), 3, "two keys took over");
        assert!(*unchanged > 0, "it was told that nothing has changed");
    }
    assert_eq!(dan.0.len(), 6, "of ES256, and of RS256 for ID tokens");
    let listed = world.command(&["keys", "list"]).await.out;
    for algorithm in ["RS256", "ES256"] {
        for state in ["next", "current", "previous", "retired"] {
            assert!(listed.contains(&format!("\t{algorithm}\t{state}\t")), "{algorithm} {state}: {listed}");
        }
    }
}
