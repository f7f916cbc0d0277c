//! What was refused is a row too: enrolments, their confirmations, challenges that led to nothing, services. A flood is few rows.

use std::sync::Arc;

use async_trait::async_trait;
use countersign_domain::{
    app::{App, ClientCredentials, Origin},
    audit::{Event, chain::AuditRow},
    error::Reason,
    id::{ClientId, UserId},
    login_name::LoginName,
    opaque::{self, REFRESH_BYTES, TokenKind},
    port::{
        PortError,
        password_hasher::{PasswordHasher, PasswordVerdict},
    },
    presence::Presence,
    secret::Secret,
    usecase::{
        issue_token::{self, Grant, PasswordGrant, StepUp},
        manage_users::NewPassword,
    },
    user::PasswordHash,
};
use countersign_tests::{
    api::{To, Transport, Wish},
    device::{Device, ticket},
    everywhere,
    person::PASSWORD,
    refusal::{
        ALREADY_ENROLLED, BAD_EMAIL, BAD_OOB_CODE, BAD_PHONE, CLIENT_CREDENTIALS_OFF, EXPIRED_OOB_CODE,
        FOREIGN_OOB_CODE, FOREIGN_PHONE, NO_INTROSPECTION, NO_PHONE, OTP_GRANT_OFF, PENDING, REJECTED, Refused as _,
        STEP_UP, TICKET_TAKEN, TOO_MANY_PUSHES, TOO_MANY_SMS,
    },
    sent::NUMBER,
    signer::assertion,
    tenant::{API, BACKEND, Client, ES256_API, LENIENT, NARROW, NATIVE, REMEMBERING, SIGNER, Tenant},
    trail::{self, Trail},
    world::{Store, World},
};

const REFUSED: &str = "enrollment.refused";
const UNCONFIRMED: &str = "enrollment.unconfirmed";
const OVER: &str = "token_refused.mfa";
const NOTHING_CAME: &str = "exchange_refused.oob";

everywhere! {
    in Tenant::default().with_devices();

    async fn an_enrolment_that_is_not_begun_is_a_row_that_says_why(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let mut trail = Trail::of(&world);
        api.associate_oob(&token, To::Phone("sms", "+1202555x")).await.refused(&BAD_PHONE);
        let row = trail.says_why(REFUSED, "not a number");
        assert_eq!((row.user.as_str(), row.client.as_deref()), (ann.id.as_str(), Some(BACKEND.id)));
        assert_eq!(row.address.as_deref(), Some("127.0.0.1"));
        assert_eq!(Event::from_name(&row.event).unwrap().log_code(), "gd_start_enroll_failed");
        api.associate_oob(&token, To::Phone("sms", "+33612345678")).await.refused(&FOREIGN_PHONE);
        let row = trail.says_why(REFUSED, "country not allowed");
        assert!(!format!("{row:?}").contains("612345678"), "it says nothing of the number: {row:?}");
        api.associate_oob(&token, To::Email(Some("nowhere@"))).await.refused(&BAD_EMAIL);
        trail.says_why(REFUSED, "not an address");
        api.associate_oob(&token, To::Phone("sms", "")).await.refused(&NO_PHONE);
        trail.says("what lacks something is no result", &[]);
        while api.associate_oob(&token, To::Phone("sms", NUMBER)).await.is_ok() {}
        api.associate_oob(&token, To::Phone("sms", NUMBER)).await.refused(&TOO_MANY_SMS);
        let last = trail.new_rows().pop().unwrap();
        assert_eq!((last.event.as_str(), last.detail.as_deref()), (REFUSED, Some("limit of messages")));
        while api.associate(&token).await.is_ok() {}
        let last = trail.new_rows().pop().unwrap();
        assert_eq!((last.event.as_str(), last.detail.as_deref()), (REFUSED, Some("limit of authenticators")));
        let (bob, _phone) = world.enrolled(&api, "bob").await;
        let token = bob.mfa_token(&api).await;
        trail.new_rows();
        api.associate(&token).await.refused(&ALREADY_ENROLLED);
        trail.says_why(REFUSED, "already enrolled");
        let cid = world.person("cid").await;
        let early = cid.login_to_manage(&api).await.unwrap().tokens().access_token;
        let phone = cid.enrol(&world, &api).await;
        trail.new_rows();
        api.associate(&early).await.refused(&STEP_UP);
        trail.says_why(REFUSED, "login too weak or too long ago");
        api.otp(BACKEND, &early, &phone.code(&world)).await.refused(&STEP_UP);
        trail.says_why(UNCONFIRMED, "login too weak");
    }

    async fn a_confirmation_that_comes_to_nothing_is_a_row_that_says_why(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        world.advance(60);
        let manager = ann.manager(&world, &api, &phone).await;
        let mut trail = Trail::of(&world);
        let (sent, code) = world.sent(api.associate_oob(&manager, To::Phone("sms", NUMBER))).await;
        trail.says("it begins", &["enrollment.started"]);
        api.oob(BACKEND, &manager, &sent.oob_code, code.wrong()).await.unwrap_err();
        trail.says("a wrong code has a row of its own", &["proof_rejected.oob"]);
        api.oob(NATIVE, &manager, &sent.oob_code, &code.code).await.unwrap_err();
        trail.says_why(UNCONFIRMED, "token of another client");
        api.oob(BACKEND, &manager, "x", &code.code).await.refused(&BAD_OOB_CODE);
        trail.says("what is no handle is no result", &[]);
        world.advance(300);
        api.oob(BACKEND, &manager, &sent.oob_code, &code.code).await.refused(&EXPIRED_OOB_CODE);
        let row = trail.says_why(UNCONFIRMED, "expired");
        assert_eq!((row.user.as_str(), row.client.as_deref()), (ann.id.as_str(), Some(BACKEND.id)));

        let barcode = api.associate_push(&manager).await.unwrap();
        api.enroll_device(&ticket(&barcode), &Device::new("ann")).await.unwrap();
        trail.says("a device", &["enrollment.started", "device.registered"]);
        api.enroll_device(&ticket(&barcode), &Device::new("eve")).await.refused(&TICKET_TAKEN);
        trail.says_why(UNCONFIRMED, "another device was first");
        api.poll(BACKEND, &manager, &barcode.oob_code).await.unwrap();
        trail.says("the first", &["enrollment.completed"]);
        api.poll(BACKEND, &manager, &barcode.oob_code).await.refused(&BAD_OOB_CODE);
        trail.says("a confirmation that was used", &[UNCONFIRMED]);
    }

    async fn a_device_that_is_asked_in_vain_is_a_row_that_says_why(world: World, api: Api) {
        let (ann, device) = (world.person("ann").await, Device::new("ann"));
        ann.enrol_device(&api, &device).await;
        let (token, asked, pushed) = ann.asked(&world, &api).await;
        let mut trail = Trail::of(&world);
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&PENDING);
        trail.says("nothing is decided", &[]);
        api.resolve(&pushed.token, &device.answer(&world, &pushed, false, None)).await.unwrap();
        trail.says("its owner refuses", &["device.refused"]);
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&REJECTED);
        let row = trail.says_why(NOTHING_CAME, "refused on the device");
        assert_eq!((row.user.as_str(), row.client.as_deref()), (ann.id.as_str(), Some(BACKEND.id)));
        assert_eq!(Event::from_name(&row.event).unwrap().log_code(), "feoobft");
        let (other, asked, _) = ann.asked(&world, &api).await;
        trail.new_rows();
        api.poll(BACKEND, &token, &asked.oob_code).await.refused(&FOREIGN_OOB_CODE);
        trail.says_why(NOTHING_CAME, "of another login");
        world.advance(300);
        api.poll(BACKEND, &other, &asked.oob_code).await.refused(&EXPIRED_OOB_CODE);
        trail.says_why(NOTHING_CAME, "expired");
    }

    async fn a_challenge_that_is_not_opened_is_a_row_that_says_why(world: World, api: Api) {
        let (ann, device) = (world.person("ann").await, Device::new("ann"));
        ann.enrol_device(&api, &device).await;
        let token = ann.mfa_token(&api).await;
        while api.ask(BACKEND, &token, None).await.is_ok() {}
        let bob = world.with_telephone(&api, "bob", NUMBER).await;
        let bobs = bob.mfa_token(&api).await;
        while api.send_code(BACKEND, &bobs, None, Some("sms")).await.is_ok() {}
        let mut trail = Trail::of(&world);
        let mut says = |user: &str, kind: &str| {
            let row = trail.says_why("challenge.refused", "limit of messages");
            assert_eq!((row.user.as_str(), row.client.as_deref()), (user, Some(BACKEND.id)));
            assert!(row.authenticator.is_some_and(|id| id.starts_with(kind)));
        };
        api.ask(BACKEND, &token, None).await.refused(&TOO_MANY_PUSHES);
        says(ann.id.as_str(), "push|");
        api.send_code(BACKEND, &bobs, None, Some("sms")).await.refused(&TOO_MANY_SMS);
        says(bob.id.as_str(), "sms|");
    }

    async fn a_code_that_is_over_is_a_row_that_says_why(world: World, api: Api) {
        let ann = world.with_telephone(&api, "ann", NUMBER).await;
        let (token, sent, code) = ann.challenged(&world, &api, "sms").await;
        let (newer, _, _) = ann.challenged(&world, &api, "sms").await;
        let mut trail = Trail::of(&world);
        api.oob(BACKEND, &token, &sent.oob_code, &code.code).await.refused(&BAD_OOB_CODE);
        trail.says_why(NOTHING_CAME, "unknown, superseded or used");
        let (_, sent, code) = ann.challenged(&world, &api, "sms").await;
        trail.new_rows();
        api.oob(BACKEND, &newer, &sent.oob_code, &code.code).await.refused(&FOREIGN_OOB_CODE);
        trail.says_why(NOTHING_CAME, "of another login");
    }
}

everywhere! {
    in Tenant::default().with_es256_api();

    async fn a_factor_that_is_off_and_a_service_that_is_refused_are_rows(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let mut trail = Trail::of(&world);
        api.associate_oob(&token, To::Phone("sms", NUMBER)).await.unwrap_err();
        trail.says_why(REFUSED, "factor not allowed");
        let wish = |audience, scope| Wish { audience: Some(audience), scope, ..Wish::default() };
        api.service(BACKEND, wish(API, None)).await.refused(&CLIENT_CREDENTIALS_OFF);
        let row = trail.says_why("service.refused", "grant not allowed");
        assert_eq!((row.user.as_str(), row.client.as_deref()), ("", Some(BACKEND.id)));
        for (number, audience, why) in [("1", ES256_API, "API not allowed"), ("2", "https://unheard.test/", "unknown API")] {
            api.signed(&assertion(&world, number)).service(SIGNER, wish(audience, None)).await.unwrap_err();
            let row = trail.says_why("service.refused", why);
            assert!(!format!("{row:?}").contains("unheard"), "what was asked for is written nowhere: {row:?}");
        }
        api.signed(&assertion(&world, "3")).service(SIGNER, wish(API, Some("read:things write:things"))).await.unwrap();
        trail.says_why("service.authorized", "fewer scopes than asked for");
        api.signed(&assertion(&world, "4")).service(SIGNER, wish(API, Some("read:things"))).await.unwrap();
        assert_eq!(trail.says("as asked for", &["service.authorized"])[0].detail, None);
    }

    async fn what_a_client_may_not_do_is_a_row(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        world.advance(60);
        let token = ann.mfa_token(&api).await;
        let wish = Wish { audience: Some(API), scope: Some("offline_access"), ..Wish::default() };
        let tokens = api.login_for(BACKEND, &ann.username, PASSWORD, wish).await.unwrap().mfa_token();
        let tokens = api.otp(BACKEND, &tokens, &phone.code(&world)).await.unwrap();
        let mut trail = Trail::of(&world);
        let mut says = |event: &str, why: &str, user: &str, client: Client| {
            let row = trail.says("one row", &[event]).remove(0);
            assert_eq!(row.detail.as_deref().unwrap_or_default(), why);
            assert_eq!((row.user.as_str(), row.client.as_deref()), (user, Some(client.id)));
            assert_eq!(row.address.as_deref(), Some("127.0.0.1"));
        };
        let otp = "http://auth0.com/oauth/grant-type/mfa-otp";
        api.otp(NARROW, &token, "123456").await.refused(&OTP_GRANT_OFF);
        says("grant.refused", otp, "", NARROW);
        api.challenge(NARROW, &token, "otp", None).await.refused(&OTP_GRANT_OFF);
        says("grant.refused", otp, "", NARROW);
        api.introspect(NARROW, &tokens.access_token).await.refused(&NO_INTROSPECTION);
        says("introspection.refused", "", "", NARROW);
        api.revoke(NATIVE, tokens.refresh()).await.unwrap();
        says("revocation.refused", "of another client", ann.id.as_str(), NATIVE);
        let mut bytes = *opaque::bytes_of::<REFRESH_BYTES>(TokenKind::Refresh, tokens.refresh()).unwrap().expose();
        *bytes.last_mut().unwrap() ^= 1;
        api.revoke(BACKEND, opaque::of_bytes(TokenKind::Refresh, &bytes).expose()).await.unwrap();
        says("revocation.refused", "forged", ann.id.as_str(), BACKEND);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_codes_of_no_challenge_is_few_rows() {
    let world = World::start(Store::Sqlite, Tenant::default().with_messages()).await;
    let api = world.api(Transport::Grpc);
    let token = world.person("ann").await.mfa_token(&api).await;
    let mut trail = Trail::of(&world);
    for n in 0..260 {
        let mut bytes = [7; 38];
        bytes[37] = u8::try_from(n % 251).unwrap();
        let handle = opaque::of_bytes(TokenKind::Oob, &bytes);
        api.oob(BACKEND, &token, handle.expose(), "123456").await.refused(&BAD_OOB_CODE);
    }
    let rows = trail.new_rows();
    assert!(!rows.is_empty() && rows.len() <= 200, "{}", rows.len());
    assert!(rows.iter().all(|row| row.event == NOTHING_CAME), "{rows:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_refusals_is_few_rows_that_count_the_rest() {
    let world = World::start(Store::Sqlite, Tenant::default().with_messages()).await;
    let api = world.api(Transport::Grpc);
    let token = world.person("ann").await.mfa_token(&api).await;
    let mut trail = Trail::of(&world);
    for _ in 0..260 {
        api.associate_oob(&token, To::Phone("sms", "+33612345678")).await.refused(&FOREIGN_PHONE);
    }
    let rows = trail.new_rows();
    assert!(rows.len() <= 200, "{}", rows.len());
    world.advance(1);
    api.service(BACKEND, Wish { audience: Some(API), ..Wish::default() }).await.refused(&CLIENT_CREDENTIALS_OFF);
    let untold = 260 - rows.len();
    trail.says_why("service.refused", &format!("grant not allowed; and {untold} more before it"));
    assert!(trail::rows(&world.database()).len() < 220);
}

everywhere! {
    in Tenant::default().with_devices();

    async fn a_token_that_is_over_is_a_row_that_says_whose_it_was(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let token = ann.mfa_token(&api).await;
        let used = ann.mfa_token(&api).await;
        api.otp(BACKEND, &used, &phone.code(&world)).await.unwrap();
        let mut trail = Trail::of(&world);
        let tried = async |token: &str| {
            api.otp(BACKEND, token, "123456").await.unwrap_err();
            api.recovery(BACKEND, token, "AAAAAAAAAAAAAAAAAAAAAAAA").await.unwrap_err();
            api.oob(BACKEND, token, "x", "123456").await.unwrap_err();
            api.challenge(BACKEND, token, "otp", None).await.unwrap_err();
            api.associate(token).await.unwrap_err();
        };
        let mut said = |user: &str, why: &str| {
            let rows = trail.new_rows();
            assert_eq!(rows.len(), 5, "{rows:?}");
            for row in rows {
                let known = (row.event.as_str(), row.user.as_str(), row.detail.as_deref());
                assert_eq!(known, (OVER, user, Some(why)));
                assert_eq!(row.address.as_deref(), Some("127.0.0.1"));
                assert!(row.client.as_deref() == Some(BACKEND.id) || user.is_empty(), "{row:?}");
            }
        };
        tried(&used).await;
        said("", "unknown or used");
        let stranger = opaque::of_bytes(TokenKind::Mfa, &[7; 38]);
        tried(stranger.expose()).await;
        said("", "unknown or used");
        tried("csmfa_x").await;
        assert!(trail.new_rows().is_empty(), "what is no token by its form is no result");

        let of_ann = |row: AuditRow| {
            assert_eq!((row.user.as_str(), row.client.as_deref()), (ann.id.as_str(), Some(BACKEND.id)));
        };
        world.app().set_blocked(&ann.id, true).await.unwrap();
        trail.new_rows();
        api.otp(BACKEND, &token, "123456").await.unwrap_err();
        of_ann(trail.says_why(OVER, "blocked"));
        world.app().set_blocked(&ann.id, false).await.unwrap();
        trail.new_rows();
        api.associate(&token).await.unwrap_err();
        of_ann(trail.says_why(OVER, "account has changed"));
        let token = ann.mfa_token(&api).await;
        trail.new_rows();
        api.challenge(NATIVE, &token, "otp", None).await.unwrap_err();
        let row = trail.says_why(OVER, "token of another client");
        assert_eq!((row.user.as_str(), row.client.as_deref()), (ann.id.as_str(), Some(NATIVE.id)));
        world.advance(600);
        api.challenge(BACKEND, &token, "otp", None).await.unwrap_err();
        of_ann(trail.says_why(OVER, "expired"));
        let token = ann.mfa_token(&api).await;
        for _ in 0..11 {
            api.otp(BACKEND, &token, &phone.wrong(&world)).await.unwrap_err();
        }
        trail.new_rows();
        api.otp(BACKEND, &token, &phone.wrong(&world)).await.unwrap_err();
        of_ann(trail.says_why(OVER, "exhausted"));
    }

    async fn an_access_token_that_is_over_enrols_nothing_and_is_a_row(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let mut trail = Trail::of(&world);
        let tried = async || {
            api.associate(&manager).await.unwrap_err();
            api.otp(BACKEND, &manager, "123456").await.unwrap_err();
        };
        let mut said = |why: &str| {
            for row in trail.says(why, &["token_refused.access", "token_refused.access"]) {
                let known = (row.user.as_str(), row.client.as_deref(), row.detail.as_deref());
                assert_eq!(known, (ann.id.as_str(), Some(BACKEND.id), Some(why)));
            }
        };
        world.advance(86_400);
        tried().await;
        said("expired");
        api.list(&manager).await.unwrap_err();
        api.associate("no token").await.unwrap_err();
        api.otp(BACKEND, &format!("{manager}x"), "123456").await.unwrap_err();
        assert!(trail.new_rows().is_empty(), "reading, and what anybody can write, is no result");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_tokens_that_nobody_has_is_few_rows() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let api = world.api(Transport::Grpc);
    let ann = world.person("ann").await;
    let mut trail = Trail::of(&world);
    for n in 0..=255 {
        let stranger = opaque::of_bytes(TokenKind::Mfa, &[n; 38]);
        api.otp(BACKEND, stranger.expose(), "123456").await.unwrap_err();
    }
    assert_eq!(trail.new_rows().len(), 200);
    let token = ann.mfa_token(&api).await;
    trail.new_rows();
    world.advance(600);
    api.otp(BACKEND, &token, "123456").await.unwrap_err();
    let row = trail.new_rows().remove(0);
    assert_eq!((row.user.as_str(), row.detail.as_deref()), (ann.id.as_str(), Some("expired; and 56 more before it")));
}

/// Sets another password while it looks at the one that is offered.
struct Meanwhile {
    hasher: Arc<dyn PasswordHasher>,
    app: Arc<App>,
    user: UserId,
}

#[async_trait]
impl PasswordHasher for Meanwhile {
    async fn verify(
        &self,
        stored: Option<PasswordHash>,
        password: Secret<String>,
        asked_by: &Presence,
    ) -> Result<PasswordVerdict, PortError> {
        let verdict = self.hasher.verify(stored, password, asked_by).await;
        let other = NewPassword::Plain(Secret::new("another passphrase".to_owned()));
        self.app.set_password(&self.user, other).await.expect("it can be set");
        verdict
    }

    async fn hash(&self, password: Secret<String>) -> Result<PasswordHash, PortError> {
        self.hasher.hash(password).await
    }

    fn import(&self, phc: &Secret<String>) -> Result<PasswordHash, PortError> {
        self.hasher.import(phc)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_is_changed_while_it_is_looked_at_is_a_row() {
    for (store, client, device) in
        [(Store::Sqlite, LENIENT, false), (Store::Redis, LENIENT, false), (Store::Sqlite, REMEMBERING, true)]
    {
        let world = World::start(store, Tenant::default()).await;
        let api = world.api(Transport::Http);
        let (ann, token) = if device {
            let (ann, phone) = world.enrolled(&api, "ann").await;
            world.advance(60);
            let token = api.login(client, "ann", PASSWORD).await.unwrap().mfa_token();
            (ann, api.otp_remembering(client, &token, &phone.code(&world)).await.unwrap().device_token)
        } else {
            (world.person("ann").await, None)
        };
        let hasher =
            Meanwhile { hasher: Arc::clone(&world.app().hasher), app: Arc::clone(world.app()), user: ann.id.clone() };
        let app = App { hasher: Arc::new(hasher), ..App::clone(world.app()) };
        let mut trail = Trail::of(&world);
        let credentials =
            ClientCredentials { client_id: Some(ClientId::new(client.id)), proof: None, certificate: None };
        let grant = PasswordGrant {
            login: Some(LoginName::parse("ann").unwrap()),
            password: Secret::new(PASSWORD.to_owned()),
            realm: None,
            realm_grant: false,
            audience: None,
            scopes: None,
        };
        let origin = Origin { device_token: token.map(Secret::new), ..Origin::default() };
        let command = issue_token::Command {
            client: credentials,
            grant: Grant::Password(grant),
            origin,
            step_up: StepUp::default(),
        };
        let refused = Box::pin(app.issue_token(command)).await.unwrap_err();
        assert_eq!(refused.reason(), Reason::CredentialsRejected);
        let rows = trail.says("it was right, and is no longer", &["user.password_set", "proof_rejected.password"]);
        assert_eq!(rows[1].detail.as_deref(), Some("account has changed"));
    }
}
