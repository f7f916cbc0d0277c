//! Redis is there and says nothing, in the middle of a login: it takes what it is told, and answers when it goes on.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use countersign_domain::{
    app::{App, ClientCredentials, ClientProof, Origin},
    challenge::ChallengeRecord,
    error::Reason,
    id::ClientId,
    login_name::LoginName,
    port::{
        PortError,
        session_store::{AttemptId, Bucket, Reservation, SessionStore, Settlement},
    },
    secret::{Digest, Secret},
    time::Timestamp,
    transaction::TransactionRecord,
    usecase::issue_token::{Command, Grant, Outcome, PasswordGrant, StepUp},
};
use countersign_tests::{
    api::{Api, Transport},
    device::Device,
    dump,
    http::plain_client,
    person::PASSWORD,
    process,
    refusal::{MALFORMED_TOKEN, Refused as _, STORE_DOWN},
    sent::NUMBER,
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};
use tokio::task::JoinSet;

use super::redis_gone::recovered;

/// Stops Redis, or has it go on.
async fn redis(world: &mut World, signal: &str) {
    process::signal(world.redis().pid().unwrap(), signal).await;
}

/// What the server says of itself: 200, or 503 while a store is away.
async fn ready(world: &World) -> u16 {
    let url = format!("http://{}/readyz", world.server().ops());
    plain_client().get(url).send().await.unwrap().status().as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_says_nothing_logins_are_refused_and_the_same_ones_go_on_after_it() {
    for transport in [Transport::Http, Transport::Grpc] {
        let mut world = World::start(Store::Redis, Tenant::default().with_devices()).await;
        let api = world.api(transport);
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let bob = world.with_telephone(&api, "bob", NUMBER).await;
        let (eve, device) = (world.person("eve").await, Device::new("eve"));
        eve.enrol_device(&api, &device).await;
        let (waiting, sent, message) = bob.challenged(&world, &api, "sms").await;
        let (bearer, asked, pushed) = eve.asked(&world, &api).await;
        let answer = device.answer(&world, &pushed, true, asked.number.as_deref());
        let (pending, recovering) = (ann.mfa_token(&api).await, ann.mfa_token(&api).await);
        let (code, recovery) = (phone.code(&world), phone.recovery_code.clone().unwrap());
        let before = logins(&world, ann.id.as_str());
        redis(&mut world, "STOP").await;

        let refusals = [
            ann.password(&api).await.refused(&STORE_DOWN),
            api.otp(BACKEND, &pending, &code).await.refused(&STORE_DOWN),
            api.recovery(BACKEND, &recovering, &recovery).await.refused(&STORE_DOWN),
            api.challenge(BACKEND, &pending, "otp", None).await.refused(&STORE_DOWN),
            api.list(&pending).await.refused(&STORE_DOWN),
            api.oob(BACKEND, &waiting, &sent.oob_code, &message.code).await.refused(&STORE_DOWN),
            world.sends_nothing(api.send_code(BACKEND, &waiting, None, Some("sms")), &STORE_DOWN).await,
            api.poll(BACKEND, &bearer, &asked.oob_code).await.refused(&STORE_DOWN),
        ];
        for refusal in refusals {
            assert!(refusal.retry_after().is_some_and(|seconds| seconds >= 1), "{refusal:?}");
        }
        // Who waits does not wait for those before: all at once are refused as one is.
        let mut crowd = JoinSet::new();
        for _ in 0..64 {
            let (api, pending, code) = (api.clone(), pending.clone(), code.clone());
            crowd.spawn(async move { api.otp(BACKEND, &pending, &code).await });
        }
        for refused in crowd.join_all().await {
            refused.refused(&STORE_DOWN);
        }
        let unheard = api.resolve(&pushed.token, &answer).await.unwrap_err();
        assert!(unheard.is_undecided(), "{unheard:?}");
        assert_eq!(ready(&world).await, 503);
        // What needs no session store is served.
        assert_eq!(api.list(&manager).await.unwrap().len(), 3, "her app, its recovery code and her address");
        assert_eq!(logins(&world, ann.id.as_str()), before, "no login was completed meanwhile");

        redis(&mut world, "CONT").await;
        // Nothing is forgotten and nothing was burnt: each login goes on with what it had.
        recovered(|| api.otp(BACKEND, &pending, &code)).await;
        recovered(|| api.recovery(BACKEND, &recovering, &recovery)).await;
        recovered(|| api.oob(BACKEND, &waiting, &sent.oob_code, &message.code)).await;
        recovered(|| api.resolve(&pushed.token, &answer)).await;
        recovered(|| api.poll(BACKEND, &bearer, &asked.oob_code)).await;
        assert_eq!(logins(&world, ann.id.as_str()), before + 2);
        api.otp(BACKEND, &pending, &code).await.refused(&MALFORMED_TOKEN);
        ann.log_in(&world, &api, &phone).await;
        bob.log_in_over(&world, &api, "sms").await;
        eve.log_in_by(&world, &api, &device).await;
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while ready(&world).await != 200 {
            ticks.tick().await;
        }
    }
}

/// How many logins somebody completed.
fn logins(world: &World, person: &str) -> i64 {
    ["login.otp", "login.recovery_code", "login.oob", "login.push"]
        .iter()
        .map(|event| dump::audited(&world.database(), event, person))
        .sum()
}

/// Stops Redis before it is asked for `step` for the first time.
struct Stopping {
    sessions: Arc<dyn SessionStore>,
    redis: u32,
    step: &'static str,
}

impl Stopping {
    async fn before(&self, step: &str) {
        if step == self.step {
            process::signal(self.redis, "STOP").await;
        }
    }
}

#[async_trait]
impl SessionStore for Stopping {
    async fn insert_transaction(&self, record: TransactionRecord) -> Result<(), PortError> {
        self.before("insert_transaction").await;
        self.sessions.insert_transaction(record).await
    }

    async fn find_transaction(&self, digest: &Digest) -> Result<Option<TransactionRecord>, PortError> {
        self.before("find_transaction").await;
        self.sessions.find_transaction(digest).await
    }

    async fn exhaust_transaction(&self, digest: &Digest) -> Result<(), PortError> {
        self.sessions.exhaust_transaction(digest).await
    }

    async fn insert_challenge(&self, record: ChallengeRecord) -> Result<(), PortError> {
        self.sessions.insert_challenge(record).await
    }

    async fn take_try(&self, digest: &Digest) -> Result<Option<ChallengeRecord>, PortError> {
        self.before("take_try").await;
        self.sessions.take_try(digest).await
    }

    async fn find_challenge(&self, digest: &Digest) -> Result<Option<ChallengeRecord>, PortError> {
        self.before("find_challenge").await;
        self.sessions.find_challenge(digest).await
    }

    async fn decide(&self, digest: &Digest, mark: Digest) -> Result<Option<Digest>, PortError> {
        self.sessions.decide(digest, mark).await
    }

    async fn reserve(&self, buckets: &[Bucket], attempt: AttemptId, now: Timestamp) -> Result<Reservation, PortError> {
        self.before("reserve").await;
        self.sessions.reserve(buckets, attempt, now).await
    }

    async fn wait_of(&self, bucket: &Bucket, now: Timestamp) -> Result<Duration, PortError> {
        self.sessions.wait_of(bucket, now).await
    }

    async fn settle(&self, settlement: Settlement, now: Timestamp) {
        self.before("settle").await;
        self.sessions.settle(settlement, now).await;
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, PortError> {
        self.sessions.purge(now).await
    }

    async fn ping(&self) -> Result<(), PortError> {
        self.sessions.ping().await
    }
}

/// Offers `grant` to the server's own application, and stops Redis before it is asked for `step`; then it goes on. Whether the grant was
/// taken. If not, the store was said to be away.
async fn stopped_before(world: &mut World, step: &'static str, grant: Grant) -> bool {
    let pid = world.redis().pid().unwrap();
    let app = world.app();
    let sessions = Arc::new(Stopping { sessions: Arc::clone(&app.sessions), redis: pid, step });
    let stopping = App { sessions, ..App::clone(app) };
    let proof = BACKEND.secret.map(|secret| ClientProof::Secret(Secret::new(secret.to_owned())));
    let client = ClientCredentials { client_id: Some(ClientId::new(BACKEND.id)), proof, certificate: None };
    let command = Command { client, grant, origin: Origin::default(), step_up: StepUp::default() };
    let outcome = Box::pin(stopping.issue_token(command)).await;
    redis(world, "CONT").await;
    match outcome {
        Ok(Outcome::Tokens(_)) => true,
        Ok(Outcome::MfaRequired(_)) => panic!("{step}: a second factor was asked for"),
        Err(refusal) => {
            assert_eq!(refusal.reason(), Reason::StoreUnavailable, "{step}");
            false
        }
    }
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn at_whatever_step_redis_says_nothing_a_login_ends_or_is_refused_and_goes_on_after_it() {
    let mut world = World::start(Store::Redis, Tenant::default().with_messages()).await;
    let api: Api = world.api(Transport::Grpc);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let bob = world.with_telephone(&api, "bob", NUMBER).await;
    // What follows a commit is not waited for.
    for (step, taken) in [("find_transaction", false), ("reserve", false), ("settle", true)] {
        let (token, code) = (ann.mfa_token(&api).await, phone.code(&world));
        let grant = || Grant::Otp { mfa_token: secret(&token), code: secret(&code) };
        assert_eq!(stopped_before(&mut world, step, grant()).await, taken, "{step}");
        if taken {
            api.otp(BACKEND, &token, &code).await.refused(&MALFORMED_TOKEN);
        } else {
            recovered(|| api.otp(BACKEND, &token, &code)).await;
        }
    }
    assert_eq!(logins(&world, ann.id.as_str()), 3);
    for (step, taken) in [("find_transaction", false), ("reserve", false), ("take_try", false), ("settle", true)] {
        let (token, sent, message) = bob.challenged(&world, &api, "sms").await;
        let grant = Grant::Oob {
            mfa_token: secret(&token),
            oob_code: secret(&sent.oob_code),
            binding_code: Some(secret(&message.code)),
        };
        assert_eq!(stopped_before(&mut world, step, grant).await, taken, "{step}");
        if taken {
            api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&MALFORMED_TOKEN);
        } else {
            recovered(|| api.oob(BACKEND, &token, &sent.oob_code, &message.code)).await;
        }
    }
    assert_eq!(logins(&world, bob.id.as_str()), 4);
    for step in ["reserve", "settle", "insert_transaction"] {
        let grant = Grant::Password(PasswordGrant {
            login: Some(LoginName::parse("ann").unwrap()),
            password: secret(PASSWORD),
            realm: None,
            realm_grant: false,
            audience: None,
            scopes: None,
        });
        assert!(!stopped_before(&mut world, step, grant).await, "{step}: no login begins that nobody keeps");
        let token = recovered(|| ann.password(&api)).await.mfa_token();
        api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
    }
}
