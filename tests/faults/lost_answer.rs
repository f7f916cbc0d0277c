//! What a login uses up is committed, and the answer to that is lost: between the two a program may be killed, a connection cut or a
//! database fail over. What was used is used, nobody gets a token of it, and the person goes on.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use countersign_domain::{
    app::{App, ClientCredentials, ClientProof, Origin},
    audit::AuditEvent,
    error::{Error, Reason},
    id::{ClientId, FamilyId, Scope, UserId},
    message::OutboxRow,
    port::{
        PortError,
        login_store::{
            CommitOutcome, ConsumedTransaction, Counted, Failure, LastProven, LoginCommit, LoginStore, ProofQuery,
            UsedAssertion,
        },
        refresh_store::{FamilyKind, RefreshFamily, RefreshStore, RevocationReach},
    },
    secret::Secret,
    time::Timestamp,
    usecase::{
        issue_token::{AssertedLogin, Command, Grant, StepUp},
        revoke_token,
    },
};
use countersign_tests::{
    api::{Api, To, Tokens, Wish},
    device::{Device, ticket},
    dump, everywhere, jwt, otp,
    person::{PASSWORD, Person, Phone},
    refusal::{
        BAD_ASSERTED_LOGIN, BAD_OOB_CODE, BAD_REFRESH_TOKEN, MALFORMED_TOKEN, Refused as _, WRONG_CLIENT, WRONG_OTP,
        WRONG_RECOVERY_CODE,
    },
    sent::NUMBER,
    signer::{assertion, login, login_claims},
    tenant::{API, BACKEND, CAREFUL, Client, NATIVE, SIGNER, Tenant},
    world::World,
};

/// Does what it is asked for, and says so as often as `answers` tells; then no more.
struct Mute {
    logins: Arc<dyn LoginStore>,
    answers: AtomicUsize,
}

impl Mute {
    /// What was done, unless the answer is lost.
    fn say<T>(&self, done: T) -> Result<T, PortError> {
        let left = self.answers.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(|_| done).map_err(|_none| lost())
    }
}

fn lost() -> PortError {
    PortError::Unavailable("durable store", Box::from("the answer was lost"))
}

#[async_trait]
impl LoginStore for Mute {
    async fn commit(&self, login: LoginCommit) -> Result<CommitOutcome, PortError> {
        match self.logins.commit(login).await? {
            CommitOutcome::Committed => self.say(CommitOutcome::Committed),
            refused => Ok(refused),
        }
    }

    async fn is_completed(&self, login: &ConsumedTransaction) -> Result<bool, PortError> {
        self.logins.is_completed(login).await
    }

    async fn last_proven(&self, user: &UserId, query: ProofQuery) -> Result<LastProven, PortError> {
        self.logins.last_proven(user, query).await
    }

    async fn count_failure(&self, user: &UserId, failure: Failure) -> Result<Counted, PortError> {
        self.logins.count_failure(user, failure).await
    }

    async fn record(&self, audit: AuditEvent, messages: Vec<OutboxRow>) -> Result<(), PortError> {
        self.logins.record(audit, messages).await
    }

    async fn note(&self, audit: AuditEvent) -> Result<(), PortError> {
        self.logins.note(audit).await
    }

    async fn redeem_assertion(&self, assertion: UsedAssertion) -> Result<bool, PortError> {
        if self.logins.redeem_assertion(assertion).await? { self.say(true) } else { Ok(false) }
    }

    async fn purge(&self, now: Timestamp) -> Result<u64, PortError> {
        self.logins.purge(now).await
    }
}

/// Ends families, and does not say so.
struct MuteRefresh(Arc<dyn RefreshStore>);

#[async_trait]
impl RefreshStore for MuteRefresh {
    async fn find_family(&self, id: &FamilyId) -> Result<Option<RefreshFamily>, PortError> {
        self.0.find_family(id).await
    }

    async fn list_families(&self, user: &UserId, kind: FamilyKind) -> Result<Vec<RefreshFamily>, PortError> {
        self.0.list_families(user, kind).await
    }

    async fn revoke_family(
        &self,
        id: &FamilyId,
        reach: RevocationReach,
        audit: AuditEvent,
        messages: Vec<OutboxRow>,
    ) -> Result<bool, PortError> {
        if self.0.revoke_family(id, reach, audit, messages).await? { Err(lost()) } else { Ok(false) }
    }
}

/// How a client proves itself: with its secret.
fn credentials(client: Client) -> ClientCredentials {
    let proof = client.secret.map(|secret| ClientProof::Secret(Secret::new(secret.to_owned())));
    ClientCredentials { client_id: Some(ClientId::new(client.id)), proof, certificate: None }
}

/// How [`SIGNER`] does: with `assertion`.
fn signing(assertion: &str) -> ClientCredentials {
    let proof = Some(ClientProof::Assertion(secret(assertion)));
    ClientCredentials { client_id: Some(ClientId::new(SIGNER.id)), proof, certificate: None }
}

fn is_lost(answer: Result<(), Error>) {
    assert_eq!(answer.unwrap_err().reason(), Reason::StoreUnavailable);
}

/// Offers `grant` to the server's own application, but for the answer of the commit.
async fn lose_the_answer(world: &World, client: Client, grant: Grant) {
    lose_an_answer(world, credentials(client), grant, 0).await;
}

/// The same for any `client`, but for the answers of its store after the first `answers`.
async fn lose_an_answer(world: &World, client: ClientCredentials, grant: Grant, answers: usize) {
    let app = world.app();
    let logins = Arc::new(Mute { logins: Arc::clone(&app.logins), answers: AtomicUsize::new(answers) });
    let mute = App { logins, ..App::clone(app) };
    let command = Command { client, grant, origin: Origin::default(), step_up: StepUp::default() };
    is_lost(Box::pin(mute.issue_token(command)).await.map(drop));
}

/// Ends `token` in the server's own application, but for the answer of the store.
async fn lose_the_answer_to_a_revocation(world: &World, client: Client, token: &str) {
    let app = world.app();
    let mute = App { refresh: Arc::new(MuteRefresh(Arc::clone(&app.refresh))), ..App::clone(app) };
    let command =
        revoke_token::Command { client: credentials(client), token: secret(token), origin: Origin::default() };
    is_lost(Box::pin(mute.revoke_token(command)).await);
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

/// A login that goes on.
const LASTING: Wish<'static> = Wish {
    audience: Some(API),
    scope: Some("openid offline_access"),
    realm: None,
    acr_values: None,
    max_age: None,
    device_token: None,
};

async fn lasting(world: &World, api: &Api, ann: &Person, phone: &Phone, client: Client) -> Tokens {
    let token = api.login_for(client, &ann.username, PASSWORD, LASTING).await.unwrap().mfa_token();
    api.otp(client, &token, &phone.code(world)).await.unwrap()
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
        for (client, overlaps) in [(BACKEND, true), (NATIVE, false)] {
            world.advance(30);
            let first = lasting(&world, &api, &ann, &phone, client).await;
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

    async fn a_revocation_whose_answer_was_lost_is_done_and_may_be_asked_for_again(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        for (client, ends_all) in [(BACKEND, false), (CAREFUL, true)] {
            let mut logins = Vec::new();
            for _ in 0..2 {
                logins.push(lasting(&world, &api, &ann, &phone, client).await);
            }
            let (ended, beside) = (logins[0].clone(), logins[1].clone());
            let before = dump::audited(&world.database(), "token.revoked", ann.id.as_str());
            lose_the_answer_to_a_revocation(&world, client, ended.refresh()).await;
            let revoked = || dump::audited(&world.database(), "token.revoked", ann.id.as_str()) - before;
            assert_eq!(revoked(), 1, "it was done");
            api.refresh(client, ended.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
            assert_eq!(api.introspect(BACKEND, &ended.access_token).await.unwrap(), None);

            // Who logs in before it is asked for again goes on, whatever the first one ended.
            let since = lasting(&world, &api, &ann, &phone, client).await;
            for _ in 0..2 {
                api.revoke(client, ended.refresh()).await.expect("who was not answered asks again");
            }
            assert_eq!(revoked(), 1, "there was nothing left to do");
            assert_eq!(api.introspect(BACKEND, &beside.access_token).await.unwrap().is_none(), ends_all);
            assert!(api.introspect(BACKEND, &since.access_token).await.unwrap().is_some());
            api.revoke(client, since.refresh()).await.unwrap();
            assert_eq!(revoked(), 2);
        }
    }

    async fn an_assertion_of_a_client_whose_answer_was_lost_is_used(world: World, api: Api) {
        let service = || Grant::ClientCredentials { audience: Some(API.to_owned()), scopes: None };
        let wish = Wish { audience: Some(API), ..Wish::default() };
        let used = assertion(&world, "one");
        lose_an_answer(&world, signing(&used), service(), 0).await;
        for _ in 0..2 {
            api.signed(&used).service(SIGNER, wish).await.refused(&WRONG_CLIENT);
        }
        let token = api.signed(&assertion(&world, "two")).service(SIGNER, wish).await.expect("another one is good");
        // Nor is it good for anything else.
        api.signed(&used).introspect(SIGNER, &token.access_token).await.refused(&WRONG_CLIENT);
        api.signed(&assertion(&world, "three")).introspect(SIGNER, &token.access_token).await.unwrap().unwrap();
    }

    async fn an_asserted_login_is_used_once_its_own_mark_is_made_whichever_answer_was_lost(world: World, api: Api) {
        // Marked are the client's assertion and the login's, in this order; then it is committed.
        for (answers, login_used) in [(0, false), (1, true), (2, true)] {
            let (subject, jti) = (format!("ext-{answers}"), |what: &str| format!("{what}-{answers}"));
            let proof = assertion(&world, &jti("proof"));
            let asserted = login(&login_claims(&world, &subject, &jti("login")));
            let grant = Grant::AssertedLogin {
                login: AssertedLogin::Signed(secret(&asserted)),
                audience: Some(API.to_owned()),
                scopes: Some(vec![Scope::new("openid"), Scope::new("offline_access")]),
            };
            let families = dump::rows(&world.database(), "refresh_family");
            lose_an_answer(&world, signing(&proof), grant, answers).await;
            api.signed(&proof).signed_login(SIGNER, &asserted, LASTING).await.refused(&WRONG_CLIENT);
            let again = api.signed(&assertion(&world, &jti("again"))).signed_login(SIGNER, &asserted, LASTING).await;
            let tokens = if login_used {
                again.refused(&BAD_ASSERTED_LOGIN);
                let other = login(&login_claims(&world, &subject, &jti("other")));
                let proof = assertion(&world, &jti("another"));
                api.signed(&proof).signed_login(SIGNER, &other, LASTING).await.expect("another one is good").tokens()
            } else {
                again.expect("nobody had looked at it").tokens()
            };
            // Of what was committed nobody has a token.
            let opened = dump::rows(&world.database(), "refresh_family") - families;
            assert_eq!(opened, if answers == 2 { 2 } else { 1 });
            let person = jwt::claims(&tokens.access_token)["sub"].as_str().unwrap().to_owned();
            assert_eq!(dump::audited(&world.database(), "user.asserted", &person), 1, "one account, whoever made it");
        }
    }
}

/// As [`CAREFUL`], and its refresh tokens rotate without an overlap.
const ABRUPT: Client = Client { id: "abrupt", secret: Some("a fifth secret of 16 or more") };

everywhere! {
    in Tenant::default().and(
        "[[clients]]\nid = 'abrupt'\nsecrets = ['a fifth secret of 16 or more']\ngrant_types = ['password', 'mfa-otp', 'refresh_token']\n\
         refresh = { mfa = true, overlap = '0s' }\n",
    );

    async fn a_second_factor_asked_for_by_an_exchange_is_used_and_the_login_goes_on_within_the_overlap(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        for (client, overlaps) in [(CAREFUL, true), (ABRUPT, false)] {
            // Late in a time step, so that the next code comes within the overlap.
            let first = lasting(&world, &api, &ann, &phone, client).await;
            world.advance(otp::PERIOD - 1);
            let waiting = api.refresh(client, first.refresh(), None).await.unwrap().mfa_token();
            let code = phone.code(&world);
            let (families, before) = (dump::rows(&world.database(), "refresh_family"), logins(&world, &ann));
            lose_the_answer(&world, client, Grant::Otp { mfa_token: secret(&waiting), code: secret(&code) }).await;
            assert_eq!(logins(&world, &ann), before + 1, "it was committed");
            api.otp(client, &waiting, &code).await.refused(&MALFORMED_TOKEN);
            world.advance(1);
            let code = phone.code(&world);
            api.otp(client, &waiting, &code).await.refused(&MALFORMED_TOKEN);
            let again = api.refresh(client, first.refresh(), None).await;
            if overlaps {
                // The second factor is asked for again, and what it completes is the exchange that was committed.
                let again = again.expect("who was not answered asks again").mfa_token();
                let second = api.otp(client, &again, &code).await.unwrap();
                assert_ne!(second.refresh(), first.refresh());
                assert_eq!(dump::rows(&world.database(), "refresh_family"), families);
                world.advance(30);
                let next = api.refresh(client, second.refresh(), None).await.unwrap().mfa_token();
                api.otp(client, &next, &phone.code(&world)).await.expect("it is the one that was committed");
            } else {
                again.refused(&BAD_REFRESH_TOKEN);
                assert_eq!(dump::rows(&world.database(), "refresh_family"), families - 1, "the login is over");
                let token = ann.mfa_token(&api).await;
                api.otp(BACKEND, &token, &code).await.expect("the code of now was not spent by it");
            }
        }
        assert_eq!(dump::failures(&world.database(), "authenticator", ann.id.as_str()), 0, "nothing was guessed at");
    }

    async fn after_the_overlap_an_exchange_that_a_second_factor_completed_ends_the_login(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let first = lasting(&world, &api, &ann, &phone, CAREFUL).await;
        let waiting = api.refresh(CAREFUL, first.refresh(), None).await.unwrap().mfa_token();
        let code = phone.code(&world);
        lose_the_answer(&world, CAREFUL, Grant::Otp { mfa_token: secret(&waiting), code: secret(&code) }).await;
        world.advance(10);
        api.refresh(CAREFUL, first.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
        assert_eq!(dump::audited(&world.database(), "token.reused", ann.id.as_str()), 1);
        assert_eq!(dump::rows(&world.database(), "refresh_family"), 0);
        lasting(&world, &api, &ann, &phone, CAREFUL).await;
    }
}

/// How often somebody completed a login with their app.
fn logins(world: &World, person: &Person) -> i64 {
    dump::audited(&world.database(), "login.otp", person.id.as_str())
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

everywhere! {
    in Tenant::default().with_devices();

    async fn an_approval_whose_tokens_were_lost_is_used(world: World, api: Api) {
        let (ann, device) = (world.person("ann").await, Device::new("ann"));
        ann.enrol_device(&api, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        let answer = device.answer(&world, &pushed, true, asked.number.as_deref());
        api.resolve(&pushed.token, &answer).await.unwrap();
        let logins = || dump::audited(&world.database(), "login.push", ann.id.as_str());
        lose_the_answer(&world, BACKEND, poll(&token, &asked.oob_code)).await;
        assert_eq!(logins(), 1, "it was committed");
        for _ in 0..2 {
            api.poll(BACKEND, &token, &asked.oob_code).await.refused(&MALFORMED_TOKEN);
        }
        assert_eq!(logins(), 1);
        // The next login has a question of its own.
        let (again, next, pushed) = ann.asked(&world, &api).await;
        api.poll(BACKEND, &again, &asked.oob_code).await.refused(&BAD_OOB_CODE);
        let answer = device.answer(&world, &pushed, true, next.number.as_deref());
        api.resolve(&pushed.token, &answer).await.unwrap();
        api.poll(BACKEND, &again, &next.oob_code).await.expect("another approval is good");
        assert_eq!(logins(), 2);
    }

    async fn a_device_whose_confirmation_was_lost_is_enrolled(world: World, api: Api) {
        let (ann, device) = (world.person("ann").await, Device::new("ann"));
        let token = ann.mfa_token(&api).await;
        let barcode = api.associate_push(&token).await.unwrap();
        let registration = api.enroll_device(&ticket(&barcode), &device).await.unwrap();
        lose_the_answer(&world, BACKEND, poll(&token, &barcode.oob_code)).await;
        api.poll(BACKEND, &token, &barcode.oob_code).await.refused(&MALFORMED_TOKEN);
        assert_eq!(dump::audited(&world.database(), "enrollment.completed", ann.id.as_str()), 1);
        ann.log_in_by(&world, &api, &device).await;
        let again = ann.mfa_token(&api).await;
        api.recovery(BACKEND, &again, &barcode.recovery_codes[0]).await.expect("so was the code that came with it");
        let app = Phone::new(registration.totp_secret.unwrap(), None);
        let again = ann.mfa_token(&api).await;
        api.otp(BACKEND, &again, &app.code(&world)).await.expect("and its app");
    }
}

fn poll(token: &str, oob_code: &str) -> Grant {
    Grant::Oob { mfa_token: secret(token), oob_code: secret(oob_code), binding_code: None }
}

fn oob(token: &str, oob_code: &str, code: &str) -> Grant {
    let binding_code = Some(secret(code));
    Grant::Oob { mfa_token: secret(token), oob_code: secret(oob_code), binding_code }
}
