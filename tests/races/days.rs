//! The last message of a day, wanted by several who all saw that there was one: it is charged when it is written, and who comes too late
//! is put back to where they were.

use std::sync::Arc;

use async_trait::async_trait;
use countersign_domain::{
    app::{App, ClientCredentials, ClientProof, Origin},
    audit::AuditEvent,
    error::{Error, Reason},
    id::{ClientId, MessageId},
    message::{
        Channel, OutboxRow,
        day::{DayCharge, DayCharged},
    },
    port::{
        PortError,
        outbox_store::{Ended, OutboxStore},
    },
    secret::Secret,
    time::Timestamp,
    usecase::{associate, open_challenge},
};
use countersign_tests::{
    api::{To, Transport},
    dump,
    refusal::TOO_MANY_SMS,
    sent::{NUMBER, neighbour},
    tenant::{BACKEND, Tenant},
    world::{Store, World},
};

/// Saw the day before the others came.
struct Early(Arc<dyn OutboxStore>);

#[async_trait]
impl OutboxStore for Early {
    async fn insert(&self, rows: Vec<OutboxRow>) -> Result<(), PortError> {
        self.0.insert(rows).await
    }

    async fn insert_charged(
        &self,
        row: OutboxRow,
        charges: Vec<DayCharge>,
        audit: AuditEvent,
    ) -> Result<DayCharged, PortError> {
        self.0.insert_charged(row, charges, audit).await
    }

    async fn look_at_day(&self, _: &[DayCharge]) -> Result<DayCharged, PortError> {
        Ok(DayCharged::All)
    }

    async fn claim(
        &self,
        channel: Channel,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<OutboxRow>, PortError> {
        self.0.claim(channel, now, lease_until, limit).await
    }

    async fn postpone(&self, id: &MessageId, due_at: Timestamp, ended: Ended) -> Result<(), PortError> {
        self.0.postpone(id, due_at, ended).await
    }

    async fn remove(&self, id: &MessageId, audit: AuditEvent) -> Result<(), PortError> {
        self.0.remove(id, audit).await
    }

    async fn oldest(&self, channel: Channel, now: Timestamp) -> Result<Option<Timestamp>, PortError> {
        self.0.oldest(channel, now).await
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, PortError> {
        self.0.purge(now).await
    }
}

/// Asks for a code by text message.
async fn ask(app: &App, token: &str) -> Result<(), Error> {
    let proof = BACKEND.secret.map(|secret| ClientProof::Secret(Secret::new(secret.to_owned())));
    let command = open_challenge::Command {
        client: ClientCredentials { client_id: Some(ClientId::new(BACKEND.id)), proof, certificate: None },
        mfa_token: Secret::new(token.to_owned()),
        challenge_types: vec!["oob".into()],
        authenticator: None,
        oob_channel: Some(Channel::Sms),
        origin: Origin::default(),
    };
    app.open_challenge(command).await.map(drop)
}

/// Begins to enrol a telephone.
async fn begin(app: &App, token: &str, number: &str) -> Result<(), Error> {
    let command = associate::Command {
        bearer: Secret::new(token.to_owned()),
        enrollment: associate::Enrollment::Oob {
            channels: vec![Channel::Sms],
            phone_number: Some(Secret::new(number.to_owned())),
            email: None,
        },
        name: None,
        origin: Origin::default(),
    };
    app.associate(command).await.map(drop)
}

fn is_over(refused: Result<(), Error>) {
    let error = refused.unwrap_err();
    assert_eq!(error.reason(), Reason::MessageLimitReached);
    let throttle = error.throttle().unwrap();
    assert_eq!((throttle.limit, throttle.retry_after.as_secs()), (3, 8 * 3600));
}

/// How many challenges wait for their codes.
async fn challenges(world: &World) -> usize {
    let kept = dump::redis(&world.redis_url().unwrap()).await;
    kept.iter()
        .filter(|(key, _)| key.contains("}:c"))
        .map(|(key, _)| key)
        .collect::<std::collections::HashSet<_>>()
        .len()
}

/// Until nothing waits: what follows a refusal is not waited for.
async fn nothing_waits(world: &World) {
    for _ in 0..1000 {
        if challenges(world).await == 0 {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("a challenge waits for a code that nobody was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_too_late_for_the_last_of_a_day_is_charged_nothing_and_leaves_nothing() {
    let tenant = Tenant::default().with_messages().section("limits.sends.country", &["capacity = 3", "refill = '8h'"]);
    let world = World::start(Store::Redis, tenant).await;
    let api = world.api(Transport::Http);
    let ann = world.with_telephone(&api, "ann", NUMBER).await;
    let bob = world.person("bob").await;
    ann.log_in_over(&world, &api, "sms").await;
    world.advance(8 * 3600);
    ann.log_in_over(&world, &api, "sms").await;
    nothing_waits(&world).await;

    // Three are the day's; the bucket has one more to give.
    let app = App { outbox: Arc::new(Early(Arc::clone(&world.app().outbox))), ..App::clone(world.app()) };
    let before = world.message_ids();
    let (token, begun) = (ann.mfa_token(&api).await, bob.mfa_token(&api).await);
    for _ in 0..2 {
        is_over(ask(&app, &token).await);
        nothing_waits(&world).await;
        is_over(begin(&app, &begun, &neighbour(1)).await);
        nothing_waits(&world).await;
    }
    assert_eq!(world.message_ids(), before);
    assert!(world.app().users.find(&bob.id).await.unwrap().unwrap().authenticators.is_empty());
    assert_eq!(dump::details(&world.database(), "enrollment.refused", bob.id.as_str()), ["limit of messages"; 2]);
    assert_eq!(dump::details(&world.database(), "challenge.refused", ann.id.as_str()), ["limit of messages"; 2]);

    // At midnight it has two, as if nobody had asked.
    world.advance(8 * 3600);
    ann.log_in_over(&world, &api, "sms").await;
    bob.enrol_oob(&world, &api, To::Phone("sms", &neighbour(1))).await;
    let token = ann.mfa_token(&api).await;
    let refusal = world.sends_nothing(api.send_code(BACKEND, &token, None, Some("sms")), &TOO_MANY_SMS).await;
    assert_eq!(refusal.retry_after(), Some(8 * 3600));
}
