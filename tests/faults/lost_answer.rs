//! What a login uses up is committed, and the answer to that is lost: between the two a program may be killed, a connection cut or a
//! database fail over. What was used is used, nobody gets a token of it, and the person goes on.

use std::sync::Arc;

use async_trait::async_trait;
use countersign_domain::{
    app::{App, ClientCredentials, ClientProof, Origin},
    audit::AuditEvent,
    error::Reason,
    id::{ClientId, UserId},
    message::OutboxRow,
    port::{
        PortError,
        login_store::{
            CommitOutcome, Counted, Failure, LastProven, LoginCommit, LoginStore, ProofQuery, UsedAssertion,
        },
    },
    secret::Secret,
    time::Timestamp,
    usecase::issue_token::{Command, Grant, StepUp},
};
use countersign_tests::{
    api::{To, Wish},
    dump, everywhere,
    person::{PASSWORD, Phone},
    refusal::{BAD_REFRESH_TOKEN, MALFORMED_TOKEN, Refused as _, WRONG_OTP, WRONG_RECOVERY_CODE},
    sent::NUMBER,
    tenant::{API, BACKEND, Client, NATIVE, Tenant},
    world::World,
};

/// Commits, and does not say so.
struct Mute(Arc<dyn LoginStore>);

#[async_trait]
impl LoginStore for Mute {
    async fn commit(&self, login: LoginCommit) -> Result<CommitOutcome, PortError> {
        match self.0.commit(login).await? {
            CommitOutcome::Committed => Err(PortError::Unavailable("durable store", Box::from("the answer was lost"))),
            refused => Ok(refused),
        }
    }

    async fn last_proven(&self, user: &UserId, query: ProofQuery) -> Result<LastProven, PortError> {
        self.0.last_proven(user, query).await
    }

    async fn count_failure(&self, user: &UserId, failure: Failure) -> Result<Counted, PortError> {
        self.0.count_failure(user, failure).await
    }

    async fn record(&self, audit: AuditEvent, messages: Vec<OutboxRow>) -> Result<(), PortError> {
        self.0.record(audit, messages).await
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

/// Offers `grant` to the server's own application, but for the answer of the commit.
async fn lose_the_answer(world: &World, client: Client, grant: Grant) {
    let app = world.app();
    let mute = App { logins: Arc::new(Mute(Arc::clone(&app.logins))), ..App::clone(app) };
    let proof = client.secret.map(|secret| ClientProof::Secret(Secret::new(secret.to_owned())));
    let client = ClientCredentials { client_id: Some(ClientId::new(client.id)), proof, certificate: None };
    let command = Command { client, grant, origin: Origin::default(), step_up: StepUp::default() };
    let refusal = Box::pin(mute.issue_token(command)).await.map(drop).unwrap_err();
    assert_eq!(refusal.reason(), Reason::StoreUnavailable);
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

everywhere! {
    async fn a_code_whose_answer_was_lost_is_used_and_the_next_one_logs_in(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let token = ann.mfa_token(&api).await;
        let code = phone.code(&world);
        lose_the_answer(&world, BACKEND, Grant::Otp { mfa_token: secret(&token), code: secret(&code) }).await;
        let logins = || dump::audited(&world.database(), "login.otp", ann.id.as_str());
        assert_eq!(logins(), 1, "it was committed");
        for wrong in [&code, "000000"] {
            api.otp(BACKEND, &token, wrong).await.refused(&MALFORMED_TOKEN);
        }
        assert_eq!(dump::failures(&world.database(), "authenticator", ann.id.as_str()), 0, "nothing was guessed at");
        world.advance(30);
        api.otp(BACKEND, &token, &phone.code(&world)).await.refused(&MALFORMED_TOKEN);
        let again = ann.mfa_token(&api).await;
        api.otp(BACKEND, &again, &code).await.refused(&WRONG_OTP);
        api.otp(BACKEND, &again, &phone.code(&world)).await.unwrap();
        assert_eq!(logins(), 2);
    }

    async fn a_recovery_code_whose_answer_was_lost_is_used(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let token = ann.mfa_token(&api).await;
        let code = phone.recovery_code.clone().unwrap();
        lose_the_answer(&world, BACKEND, Grant::RecoveryCode { mfa_token: secret(&token), code: secret(&code) }).await;
        api.recovery(BACKEND, &token, &code).await.refused(&MALFORMED_TOKEN);
        let again = ann.mfa_token(&api).await;
        api.recovery(BACKEND, &again, &code).await.refused(&WRONG_RECOVERY_CODE);
        api.otp(BACKEND, &again, &phone.code(&world)).await.expect("the app is there still");
        assert_eq!(dump::audited(&world.database(), "login.recovery_code", ann.id.as_str()), 1);
    }

    async fn an_exchange_whose_answer_was_lost_goes_on_within_the_overlap_and_not_after(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let wish = Wish { audience: Some(API), scope: Some("openid offline_access"), ..Wish::default() };
        for (client, overlaps) in [(BACKEND, true), (NATIVE, false)] {
            world.advance(30);
            let token = api.login_for(client, &ann.username, PASSWORD, wish).await.unwrap().mfa_token();
            let first = api.otp(client, &token, &phone.code(&world)).await.unwrap();
            lose_the_answer(&world, client, Grant::Refresh { token: secret(first.refresh()), scopes: None }).await;
            let second = api.refresh(client, first.refresh(), None).await;
            if overlaps {
                let second = second.expect("who was not answered asks again").tokens();
                api.refresh(client, second.refresh(), None).await.expect("it is the one that was committed");
            } else {
                second.refused(&BAD_REFRESH_TOKEN);
            }
        }
    }
}

everywhere! {
    in Tenant::default().with_messages();

    async fn a_code_that_was_sent_is_used_though_the_answer_was_lost(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let (token, sent, message) = ann.challenged(&world, &api, "sms").await;
        let logins = || dump::audited(&world.database(), "login.oob", ann.id.as_str());
        lose_the_answer(&world, BACKEND, oob(&token, &sent.oob_code, &message.code)).await;
        assert_eq!(logins(), 1, "it was committed");
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.refused(&MALFORMED_TOKEN);
        let (again, sent, message) = ann.challenged(&world, &api, "sms").await;
        api.oob(BACKEND, &again, &sent.oob_code, &message.code).await.expect("another code is good");
        assert_eq!(logins(), 2);
    }

    async fn an_enrolment_whose_answer_was_lost_stands(world: World, api: Api) {
        let (ann, bob) = (world.person("ann").await, world.person("bob").await);
        let token = ann.mfa_token(&api).await;
        let association = api.associate(&token).await.unwrap();
        let phone = Phone::new(association.secret, association.recovery_codes.into_iter().next());
        let code = phone.code(&world);
        lose_the_answer(&world, BACKEND, Grant::Otp { mfa_token: secret(&token), code: secret(&code) }).await;
        api.otp(BACKEND, &token, &code).await.refused(&MALFORMED_TOKEN);
        world.advance(30);
        let again = ann.mfa_token(&api).await;
        api.otp(BACKEND, &again, &phone.code(&world)).await.expect("the app was confirmed");
        let again = ann.mfa_token(&api).await;
        api.recovery(BACKEND, &again, &phone.recovery_code.unwrap()).await.expect("so was the code that came with it");

        let token = bob.mfa_token(&api).await;
        let (sent, message) = world.sent(api.associate_oob(&token, To::Phone("sms", NUMBER))).await;
        lose_the_answer(&world, BACKEND, oob(&token, &sent.oob_code, &message.code)).await;
        let (again, sent, message) = bob.challenged(&world, &api, "sms").await;
        api.oob(BACKEND, &again, &sent.oob_code, &message.code).await.expect("the telephone was confirmed");
    }
}

fn oob(token: &str, oob_code: &str, code: &str) -> Grant {
    let binding_code = Some(secret(code));
    Grant::Oob { mfa_token: secret(token), oob_code: secret(oob_code), binding_code }
}
