//! Every kind of token at every place that takes one: exactly the right pairs pass (RFC 8725, section 2.8).

use countersign_tests::{
    api::{Api, Outcome, To, Wish},
    everywhere,
    person::PASSWORD,
    sent::NUMBER,
    signer::{assertion, login, login_claims},
    tenant::{API, AT_API, BACKEND, Client, LENIENT, REMEMBERING, SIGNER, Tenant},
    world::World,
};

fn of_service() -> Wish<'static> {
    Wish { audience: Some(API), ..Wish::default() }
}

/// Everything that is, or looks like, a credential of ours, each good at its own place.
async fn kinds(world: &World, api: &Api) -> Vec<(&'static str, String)> {
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
    vec![
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
    ]
}

everywhere! {
    in Tenant::default().with_messages().with_every_kind_of_token();

    async fn exactly_the_right_pairs_of_token_and_place_pass(world: World, api: Api) {
        let kinds = kinds(&world, &api).await;
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
            note("device", api.resolve(token, token).await.is_ok());
            note("refresh grant", api.refresh(BACKEND, token, None).await.is_ok());
            let on_device = Wish { device_token: Some(token), ..Wish::default() };
            let skipped = api.login_for(REMEMBERING, "ann", PASSWORD, on_device).await;
            note("remembered device", matches!(skipped, Ok(Outcome::Tokens(_))));
            note("assertion of a client", api.signed(token).service(SIGNER, of_service()).await.is_ok());
            let proven = api.signed(&assertion(&world, &format!("place {number}")));
            note("asserted login", proven.signed_login(SIGNER, token, of_service()).await.is_ok());
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
