//! Every kind of token at every place that takes one: exactly the right pairs pass (RFC 8725, section 2.8).

use countersign_proto::v1::WatchChallengeRequest;
use countersign_tests::{
    api::{Api, Outcome, To, Wish},
    device::{Device, Pushed, ticket},
    everywhere,
    grpc::proof,
    person::PASSWORD,
    sent::NUMBER,
    signer::{assertion, login, login_claims},
    tenant::{API, AT_API, BACKEND, Client, ISSUER, LENIENT, REMEMBERING, SIGNER, Tenant},
    world::World,
};
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What cannot stand in a path as it is (RFC 3986, section 2.3).
const RESERVED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn of_service() -> Wish<'static> {
    Wish { audience: Some(API), ..Wish::default() }
}

/// A login that waits for a device.
struct Waiting {
    mfa_token: String,
    oob_code: String,
    pushed: Pushed,
    /// What the device signed.
    answer: String,
    device_id: String,
    device_token: String,
}

impl Waiting {
    async fn begin(world: &World, api: &Api) -> Self {
        let (cas, device) = (world.person("cas").await, Device::new("cas"));
        let (_, registered) = cas.enrol_device(api, &device).await;
        let (mfa_token, asked, pushed) = cas.asked(world, api).await;
        let answer = device.answer(world, &pushed, true, asked.number.as_deref());
        let (device_id, device_token) = (registered.id, registered.token);
        Self { mfa_token, oob_code: asked.oob_code, pushed, answer, device_id, device_token }
    }
}

/// The token in the link that tells a new person of their app.
async fn token_of_notice(world: &World, api: &Api) -> String {
    world.enrolled(api, "eve").await;
    let notices = world.notices().await;
    let texts = notices.iter().filter(|notice| notice["to"] == "eve@people.test").map(|notice| &notice["text"]);
    let mut links = texts.filter_map(|text| text.as_str()?.split_once(&format!("{ISSUER}notices/")));
    links.next().expect("there is a link").1.split_whitespace().next().unwrap().to_owned()
}

/// Everything that is, or looks like, a credential of ours, each good at its own place.
async fn kinds(world: &World, api: &Api) -> (Vec<(&'static str, String)>, Waiting) {
    let (ann, phone) = world.enrolled(api, "ann").await;
    let bob = world.person("bob").await;
    let lasting = ann.lasting(world, api, &phone).await;
    let reader = |audience| async move {
        let wish = Wish { audience: Some(audience), scope: Some("read:things"), ..Wish::default() };
        api.login_for(LENIENT, "bob", PASSWORD, wish).await.unwrap().tokens().access_token
    };
    let about = Wish { scope: Some("openid"), ..Wish::default() };
    let about = api.login_for(LENIENT, "bob", PASSWORD, about).await.unwrap().tokens();
    let manager = ann.manager(world, api, &phone).await;
    let enrolling = bob.mfa_token(api).await;
    world.advance(60);
    let token = api.login(REMEMBERING, "ann", PASSWORD).await.unwrap().mfa_token();
    let device = api.otp_remembering(REMEMBERING, &token, &phone.code(world)).await.unwrap().device_token.unwrap();
    let service = api.signed(&assertion(world, "service")).service(SIGNER, of_service()).await.unwrap();
    let (sent, message) = world.sent(api.associate_oob(&enrolling, To::Phone("sms", NUMBER))).await;
    let notice = token_of_notice(world, api).await;
    let barcode = api.associate_push(&world.person("dan").await.mfa_token(api).await).await.unwrap();
    let waiting = Waiting::begin(world, api).await;
    let kinds = vec![
        ("ID token", about.id_token.unwrap()),
        ("access token of an API", reader(API).await),
        ("access token of RFC 9068", reader(AT_API).await),
        ("access token for userinfo", about.access_token),
        ("access token of the MFA API", manager),
        ("mfa_token", ann.mfa_token(api).await),
        ("refresh token", lasting.refresh().to_owned()),
        ("oob_code", sent.oob_code),
        ("code that was sent", message.code),
        ("recovery code", phone.recovery_code.clone().unwrap()),
        ("secret of an app", phone.secret.clone()),
        ("client secret", BACKEND.secret.unwrap().to_owned()),
        ("user id", ann.id.as_str().to_owned()),
        ("nothing", String::new()),
        ("token of a remembered device", device),
        ("token of a service", service.access_token),
        ("assertion of a client", assertion(world, "kind")),
        ("asserted login", login(&login_claims(world, "ext-1", "login"))),
        ("token of a notice", notice),
        ("enrolment ticket", ticket(&barcode)),
        ("transaction token", waiting.pushed.token.clone()),
        ("oob_code of a device", waiting.oob_code.clone()),
        // The last: it removes the device.
        ("token of a device", waiting.device_token.clone()),
    ];
    (kinds, waiting)
}

async fn watches(api: &Api, mfa_token: &str, oob_code: &str) -> bool {
    let (mfa_token, oob_code) = (mfa_token.to_owned(), oob_code.to_owned());
    let request = WatchChallengeRequest { client: proof(BACKEND), mfa_token, oob_code };
    api.grpc().challenge.clone().watch_challenge(request).await.is_ok()
}

/// Whether the page of a notice is shown, and whether its button does something.
async fn notice_page(world: &World, token: &str) -> (bool, bool) {
    if token.is_empty() {
        // That is the path of nothing.
        return (false, false);
    }
    let link = format!("/notices/{}", utf8_percent_encode(token, &RESERVED));
    let answer = async |method| world.http().send(world.http().request(method, &link)).await.status == 200;
    (answer(Method::GET).await, answer(Method::POST).await)
}

everywhere! {
    in Tenant::default().with_devices().with_every_kind_of_token();

    async fn exactly_the_right_pairs_of_token_and_place_pass(world: World, api: Api) {
        let (kinds, waiting) = kinds(&world, &api).await;
        let mut passed = Vec::new();
        for (number, (kind, token)) in kinds.iter().enumerate() {
            let mut note = |place, passes: bool| if passes { passed.push((place, *kind)) };
            let secret: &'static str = Box::leak(token.clone().into_boxed_str());
            let pretender = Client { id: BACKEND.id, secret: Some(secret) };
            note("client secret", api.introspect(pretender, "x").await.is_ok());
            note("userinfo", api.subject(token).await.is_ok());
            note("list", api.list(token).await.is_ok());
            note("associate", api.associate(token).await.is_ok());
            note("rename", api.update(token, "totp|dev_0000000000000000", Some("x"), None).await.is_ok());
            note("challenge", api.challenge(BACKEND, token, "otp", None).await.is_ok());
            note("introspection", api.introspect(BACKEND, token).await.is_ok_and(|told| told.is_some()));
            // A code that would be right is not even looked at.
            note("otp grant", api.otp(BACKEND, token, "000000").await.is_ok());
            note("recovery grant", api.recovery(BACKEND, token, &kinds[9].1).await.is_ok());
            note("oob grant", api.oob(BACKEND, token, &kinds[7].1, &kinds[8].1).await.is_ok());
            note("refresh grant", api.refresh(BACKEND, token, None).await.is_ok());
            let on_device = Wish { device_token: Some(token), ..Wish::default() };
            let skipped = api.login_for(REMEMBERING, "ann", PASSWORD, on_device).await;
            note("remembered device", matches!(skipped, Ok(Outcome::Tokens(_))));
            note("assertion of a client", api.signed(token).service(SIGNER, of_service()).await.is_ok());
            let proven = api.signed(&assertion(&world, &format!("place {number}")));
            note("asserted login", proven.signed_login(SIGNER, token, of_service()).await.is_ok());
            let (shown, pressed) = notice_page(&world, token).await;
            note("page of a notice", shown);
            note("button of a notice", pressed);
            let device = Device::new(&format!("place-{number}"));
            note("device enrolment", api.enroll_device(token, &device).await.is_ok());
            // What a device signed is no token of this list.
            note("device answer, signed", api.resolve(&waiting.pushed.token, token).await.is_ok());
            note("device answer", api.resolve(token, &waiting.answer).await.is_ok());
            note("watch, mfa_token", watches(&api, token, &waiting.oob_code).await);
            note("watch, oob_code", watches(&api, &waiting.mfa_token, token).await);
            note("oob grant, oob_code", api.poll(BACKEND, &waiting.mfa_token, token).await.is_ok());
            note("device update", api.update_device(&waiting.device_id, token, "x", "push-x").await.is_ok());
            note("device removal", api.delete_device(&waiting.device_id, token).await.is_ok());
        }
        let expected = [
            ("introspection", "access token of an API"),
            ("introspection", "access token of RFC 9068"),
            ("userinfo", "access token for userinfo"),
            ("list", "access token of the MFA API"),
            ("associate", "access token of the MFA API"),
            ("list", "mfa_token"),
            ("challenge", "mfa_token"),
            ("recovery grant", "mfa_token"),
            ("introspection", "refresh token"),
            ("refresh grant", "refresh token"),
            ("client secret", "client secret"),
            ("remembered device", "token of a remembered device"),
            ("introspection", "token of a service"),
            ("assertion of a client", "assertion of a client"),
            ("asserted login", "asserted login"),
            ("page of a notice", "token of a notice"),
            ("button of a notice", "token of a notice"),
            ("device enrolment", "enrolment ticket"),
            ("device answer", "transaction token"),
            ("watch, oob_code", "oob_code of a device"),
            ("oob grant, oob_code", "oob_code of a device"),
            ("device update", "token of a device"),
            ("device removal", "token of a device"),
        ];
        assert_eq!(passed, expected);
        let fresh = api.login(BACKEND, "bob", PASSWORD).await.unwrap().mfa_token();
        assert!(api.oob(BACKEND, &fresh, &kinds[5].1, &kinds[8].1).await.is_err(), "an mfa_token is no oob_code");
        for (kind, token) in &kinds {
            assert_eq!(api.revoke(BACKEND, token).await.is_ok(), *kind != "nothing");
        }
        assert!(api.list(&kinds[4].1).await.is_ok(), "only refresh tokens are revoked");
        assert!(api.refresh(BACKEND, &kinds[6].1, None).await.is_err());
    }
}
