//! A message that is not written is not paid for: whatever refuses it after its budgets were charged. One that may be written is.

use std::sync::Arc;

use async_trait::async_trait;
use countersign_domain::{
    app::{App, Bearer, ClientCredentials, ClientProof, Origin},
    audit::AuditEvent,
    error::Error,
    id::{AuthenticatorId, ClientId, MessageId, UserId},
    message::{
        Channel, OutboxRow,
        day::{DayCharge, DayCharged},
    },
    port::{
        PortError,
        authenticator_store::{
            AuthenticatorChange, AuthenticatorStore, DeviceRecord, EnrollmentBegun, NewEnrollment, Spared,
        },
        login_store::{
            CommitOutcome, ConsumedTransaction, Counted, Failure, LastProven, LoginCommit, LoginStore, ProofQuery,
            UsedAssertion,
        },
        outbox_store::{Ended, OutboxStore},
    },
    secret::Secret,
    time::Timestamp,
    usecase::{
        answer_challenge,
        associate::{self, Enrollment},
        open_challenge,
    },
};
use countersign_tests::{
    api::{Api, To},
    device::Device,
    everywhere,
    refusal::{Refused as _, TOO_MANY_PUSHES, TOO_MANY_SMS},
    sent::{NUMBER, neighbour},
    tenant::{BACKEND, Tenant},
    world::World,
};

fn undone() -> PortError {
    PortError::Undone("durable store", Box::from("the disk is full"))
}

fn unknown() -> PortError {
    PortError::Unavailable("durable store", Box::from("the answer was lost"))
}

/// Begins no enrolment.
struct Beginning(Arc<dyn AuthenticatorStore>, fn() -> Result<EnrollmentBegun, PortError>);

#[async_trait]
impl AuthenticatorStore for Beginning {
    async fn begin_enrollment(&self, _: NewEnrollment, _: Timestamp) -> Result<EnrollmentBegun, PortError> {
        (self.1)()
    }

    async fn update(
        &self,
        user: &UserId,
        authenticator: &AuthenticatorId,
        change: AuthenticatorChange,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        self.0.update(user, authenticator, change, audit).await
    }

    async fn keep_device(&self, device: DeviceRecord, now: Timestamp) -> Result<bool, PortError> {
        self.0.keep_device(device, now).await
    }

    async fn delete(
        &self,
        user: &UserId,
        authenticator: &AuthenticatorId,
        spares: Option<Spared>,
        messages: Vec<OutboxRow>,
        audit: AuditEvent,
    ) -> Result<bool, PortError> {
        self.0.delete(user, authenticator, spares, messages, audit).await
    }
}

/// Takes no code.
struct Taking(Arc<dyn OutboxStore>, fn() -> PortError);

#[async_trait]
impl OutboxStore for Taking {
    async fn insert(&self, rows: Vec<OutboxRow>) -> Result<(), PortError> {
        self.0.insert(rows).await
    }

    async fn insert_charged(&self, _: OutboxRow, _: Vec<DayCharge>, _: AuditEvent) -> Result<DayCharged, PortError> {
        Err((self.1)())
    }

    async fn look_at_day(&self, charges: &[DayCharge]) -> Result<DayCharged, PortError> {
        self.0.look_at_day(charges).await
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

/// Records nothing.
struct Recording(Arc<dyn LoginStore>, fn() -> PortError);

#[async_trait]
impl LoginStore for Recording {
    async fn commit(&self, login: LoginCommit) -> Result<CommitOutcome, PortError> {
        self.0.commit(login).await
    }

    async fn is_completed(&self, login: &ConsumedTransaction) -> Result<bool, PortError> {
        self.0.is_completed(login).await
    }

    async fn last_proven(&self, user: &UserId, query: ProofQuery) -> Result<LastProven, PortError> {
        self.0.last_proven(user, query).await
    }

    async fn count_failure(&self, user: &UserId, failure: Failure) -> Result<Counted, PortError> {
        self.0.count_failure(user, failure).await
    }

    async fn record(&self, _: AuditEvent, _: Vec<OutboxRow>) -> Result<(), PortError> {
        Err((self.1)())
    }

    async fn note(&self, audit: AuditEvent) -> Result<(), PortError> {
        self.0.note(audit).await
    }

    async fn redeem_assertion(&self, assertion: UsedAssertion) -> Result<bool, PortError> {
        self.0.redeem_assertion(assertion).await
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, PortError> {
        self.0.purge(now).await
    }
}

/// An enrolment of `number` that `begun` becomes of.
async fn enrol(
    world: &World,
    token: &str,
    number: &str,
    begun: fn() -> Result<EnrollmentBegun, PortError>,
) -> Result<(), Error> {
    let app = world.app();
    let app = App { authenticators: Arc::new(Beginning(Arc::clone(&app.authenticators), begun)), ..App::clone(app) };
    let enrollment = Enrollment::Oob {
        channels: vec![Channel::Sms],
        phone_number: Some(Secret::new(number.to_owned())),
        email: None,
    };
    let bearer = Bearer::new(token.to_owned());
    Box::pin(app.associate(associate::Command { bearer, enrollment, name: None, origin: Origin::default() }))
        .await
        .map(drop)
}

/// A challenge over `channel` whose row the store fails to write.
async fn send(world: &World, token: &str, channel: Channel, failure: fn() -> PortError) -> Result<(), Error> {
    let app = world.app();
    let app = App {
        outbox: Arc::new(Taking(Arc::clone(&app.outbox), failure)),
        logins: Arc::new(Recording(Arc::clone(&app.logins), failure)),
        ..App::clone(app)
    };
    let proof = BACKEND.secret.map(|secret| ClientProof::Secret(Secret::new(secret.to_owned())));
    let command = open_challenge::Command {
        client: ClientCredentials { client_id: Some(ClientId::new(BACKEND.id)), proof, certificate: None },
        mfa_token: Secret::new(token.to_owned()),
        challenge_types: vec!["oob".to_owned()],
        authenticator: None,
        oob_channel: Some(channel),
        origin: Origin::default(),
    };
    Box::pin(app.open_challenge(command)).await.map(drop)
}

fn three_of(what: &str) -> Tenant {
    let section = format!("limits.sends.{what}");
    Tenant::default().with_messages().section(&section, &["capacity = 3", "refill = '10m'"])
}

async fn others_can_enrol(world: &World, api: &Api) {
    let dan = world.person("dan").await;
    let token = dan.mfa_token(api).await;
    world.sent(api.associate_oob(&token, To::Phone("sms", &neighbour(4)))).await;
}

everywhere! {
    in three_of("prefix");

    async fn an_enrolment_that_is_refused_when_it_is_stored_is_paid_for_by_nobody(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        for begun in [
            || Ok(EnrollmentBegun::LimitReached),
            || Ok(EnrollmentBegun::AlreadyEnrolled),
            || Ok(EnrollmentBegun::AccountChanged),
            || Ok(EnrollmentBegun::DayIsOver { charge: 0 }),
            || Err(undone()),
        ] {
            for _ in 0..2 {
                enrol(&world, &token, NUMBER, begun).await.unwrap_err();
            }
        }
        others_can_enrol(&world, &api).await;
    }

    async fn an_enrolment_that_may_have_been_stored_stays_paid_for(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        for _ in 0..3 {
            enrol(&world, &token, NUMBER, || Err(unknown())).await.unwrap_err();
        }
        world.sends_nothing(api.associate_oob(&token, To::Phone("sms", NUMBER)), &TOO_MANY_SMS).await;
    }

    async fn who_has_as_many_factors_as_there_may_be_takes_no_message_from_others(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        for _ in 0..50 {
            api.associate(&token).await.unwrap();
        }
        for _ in 0..5 {
            // One is left, and a telephone is two: for text messages and for calls.
            let before = world.message_ids();
            let refusal = api.associate_oob(&token, To::Phone("sms", NUMBER)).await.unwrap_err();
            assert!(refusal.retry_after().is_none(), "{refusal:?}");
            assert_eq!(world.message_ids(), before);
        }
        others_can_enrol(&world, &api).await;
    }
}

everywhere! {
    in three_of("phone");

    async fn a_code_that_could_not_be_written_is_not_paid_for_and_one_that_may_be_is(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let token = ann.mfa_token(&api).await;
        for _ in 0..5 {
            send(&world, &token, Channel::Sms, undone).await.unwrap_err();
        }
        ann.log_in_over(&world, &api, "sms").await;
        let token = ann.mfa_token(&api).await;
        send(&world, &token, Channel::Sms, unknown).await.unwrap_err();
        api.send_code(BACKEND, &token, None, Some("sms")).await.refused(&TOO_MANY_SMS);
    }
}

everywhere! {
    in Tenant::default().with_devices().section("limits.sends.push", &["capacity = 3", "refill = '10m'"]);

    async fn a_device_that_could_not_be_asked_is_not_paid_for_and_one_that_may_be_is(world: World, api: Api) {
        let ann = world.person("ann").await;
        ann.enrol_device(&api, &Device::new("hers")).await;
        let token = ann.mfa_token(&api).await;
        for _ in 0..5 {
            send(&world, &token, Channel::Push, undone).await.unwrap_err();
        }
        for _ in 0..2 {
            world.pushed(api.ask(BACKEND, &token, None)).await;
        }
        send(&world, &token, Channel::Push, unknown).await.unwrap_err();
        api.ask(BACKEND, &token, None).await.refused(&TOO_MANY_PUSHES);
    }

    async fn a_refusal_that_could_not_be_written_is_told_once_it_is(world: World, api: Api) {
        let (ann, device) = (world.person("ann").await, Device::new("hers"));
        ann.enrol_device(&api, &device).await;
        let (_, _, pushed) = ann.asked(&world, &api).await;
        let answer = device.answer(&world, &pushed, false, None);
        let told = world.notices().await.len();
        for failure in [undone, unknown] {
            let app = world.app();
            let app = App { logins: Arc::new(Recording(Arc::clone(&app.logins), failure)), ..App::clone(app) };
            let transaction_token = Secret::new(pushed.token.clone());
            let command = answer_challenge::Command { transaction_token, response: Secret::new(answer.clone()) };
            Box::pin(app.answer_challenge(command)).await.unwrap_err();
        }
        assert_eq!(world.notices().await.len(), told);
        api.resolve(&pushed.token, &answer).await.unwrap();
        assert_eq!(world.notices().await.len(), told + 1, "its owner has not been told yet");
    }
}
