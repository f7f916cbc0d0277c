//! Ending refresh tokens, and asking whether a token is good.

use countersign_tests::{
    api::{Api, Introspected, Tokens, Transport, Wish},
    dump, everywhere, jwt,
    person::{PASSWORD, Person, Phone},
    refusal::{BAD_REFRESH_TOKEN, NO_INTROSPECTION, Refused as _, WRONG_CLIENT},
    tenant::{API, BACKEND, CAREFUL, Client, FORWARDER, KEEPER, LENIENT, NATIVE, Tenant},
    world::{Store, World},
};
use serde_json::json;

const SCOPE: &str = "openid offline_access read:things";
const PRETENDER: Client = Client { id: BACKEND.id, secret: Some("not the secret of the backend") };

async fn log_in(world: &World, api: &Api, ann: &Person, phone: &Phone, client: Client) -> Tokens {
    let wish = Wish { audience: Some(API), scope: Some(SCOPE), ..Wish::default() };
    let token = api.login_for(client, &ann.username, PASSWORD, wish).await.unwrap().mfa_token();
    api.otp(client, &token, &phone.code(world)).await.expect("the code is right")
}

everywhere! {
    async fn a_revoked_login_does_not_go_on(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let (tokens, other) = (
            log_in(&world, &api, &ann, &phone, BACKEND).await,
            log_in(&world, &api, &ann, &phone, BACKEND).await,
        );
        let newest = api.refresh(BACKEND, tokens.refresh(), None).await.unwrap().tokens();
        assert!(api.introspect(BACKEND, &newest.access_token).await.unwrap().is_some());
        // An earlier token of the family names it too.
        api.revoke(BACKEND, tokens.refresh()).await.unwrap();
        for dead in [&tokens, &newest] {
            api.refresh(BACKEND, dead.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
            assert_eq!(api.introspect(BACKEND, &dead.access_token).await.unwrap(), None);
            assert_eq!(api.subject(&dead.access_token).await.unwrap(), ann.id.as_str(), "it lives on where nobody asks");
        }
        assert_eq!(dump::audited(&world.database(), "token.revoked", ann.id.as_str()), 1);
        api.revoke(BACKEND, newest.refresh()).await.expect("again is no error");
        assert_eq!(dump::audited(&world.database(), "token.revoked", ann.id.as_str()), 1);
        assert!(api.introspect(BACKEND, &other.access_token).await.unwrap().is_some());
        api.refresh(BACKEND, other.refresh(), None).await.unwrap().tokens();
    }

    async fn what_is_not_the_clients_is_answered_alike_and_lives_on(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let tokens = log_in(&world, &api, &ann, &phone, BACKEND).await;
        let token = tokens.refresh();
        let other = if &token[70..71] == "a" { "b" } else { "a" };
        let forged = format!("{}{other}{}", &token[..70], &token[71..]);
        let access = tokens.access_token.as_str();
        for unknown in ["x", "csref_", "v1.MRHbz1VqR_y42v", &forged, &token.to_uppercase(), access] {
            api.revoke(BACKEND, unknown).await.expect("whether there was such a token is not told");
        }
        for thief in [NATIVE, FORWARDER, CAREFUL] {
            api.revoke(thief, token).await.unwrap();
        }
        api.revoke(PRETENDER, token).await.refused(&WRONG_CLIENT);
        api.revoke(Client { id: "nobody", secret: None }, token).await.refused(&WRONG_CLIENT);
        api.refresh(BACKEND, token, None).await.unwrap().tokens();
    }

    async fn a_client_may_end_all_logins_of_a_person_at_once(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let mut logins = Vec::new();
        for _ in 0..3 {
            logins.push(log_in(&world, &api, &ann, &phone, CAREFUL).await);
        }
        let elsewhere = log_in(&world, &api, &ann, &phone, BACKEND).await;
        // One of them waits for its second factor.
        let pending = api.refresh(CAREFUL, logins[2].refresh(), None).await.unwrap().mfa_token();
        api.revoke(CAREFUL, logins[0].refresh()).await.unwrap();
        for dead in &logins {
            api.refresh(CAREFUL, dead.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
        }
        api.otp(CAREFUL, &pending, &phone.code(&world)).await.refused(&BAD_REFRESH_TOKEN);
        let details = dump::details(&world.database(), "proof_rejected.refresh_token", ann.id.as_str());
        assert_eq!(details, ["revoked meanwhile"], "of the others nobody knows whose they were");
        api.refresh(BACKEND, elsewhere.refresh(), None).await.unwrap().tokens();
    }

    async fn an_api_learns_what_a_good_token_says(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let tokens = log_in(&world, &api, &ann, &phone, NATIVE).await;
        let claims = jwt::claims(&tokens.access_token);
        let told = api.introspect(BACKEND, &tokens.access_token).await.unwrap().unwrap();
        assert_eq!(told, Introspected {
            is_access_token: true,
            subject: ann.id.as_str().to_owned(),
            client: NATIVE.id.to_owned(),
            audiences: vec![API.to_owned(), "https://id.test/userinfo".to_owned()],
            scope: SCOPE.to_owned(),
            expires_at: claims["exp"].as_i64(),
            authenticated_at: claims["auth_time"].as_i64(),
            methods: ["pwd", "otp", "mfa"].map(str::to_owned).to_vec(),
        });
        let own = log_in(&world, &api, &ann, &phone, BACKEND).await;
        let told = api.introspect(BACKEND, own.refresh()).await.unwrap().unwrap();
        assert_eq!((told.is_access_token, told.subject.as_str(), told.scope.as_str()), (false, ann.id.as_str(), SCOPE));
        let next = api.refresh(BACKEND, own.refresh(), None).await.unwrap().tokens();
        assert_eq!(api.introspect(BACKEND, own.refresh()).await.unwrap(), None, "it was exchanged");
        assert!(api.introspect(BACKEND, next.refresh()).await.unwrap().is_some(), "asking spends nothing");
        assert_eq!(api.introspect(BACKEND, tokens.refresh()).await.unwrap(), None, "another client's");
    }

    async fn everything_else_is_inactive_and_nothing_more(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let tokens = log_in(&world, &api, &ann, &phone, BACKEND).await;
        let good = tokens.access_token.clone();
        assert!(api.introspect(BACKEND, &good).await.unwrap().is_some());
        let mut claims = jwt::claims(&good);
        claims["scope"] = json!("openid write:things");
        let manager = ann.manager(&world, &api, &phone).await;
        let foreign = ann.log_in(&world, &api, &phone).await;
        let pending = ann.mfa_token(&api).await;
        let wrong = [
            "x".to_owned(),
            jwt::forged(&good, &claims),
            jwt::unsigned(&jwt::claims(&good)),
            tokens.id_token.clone().unwrap(),
            pending,
            // Of an API this client may not ask about.
            manager,
            foreign.access_token,
        ];
        for wrong in &wrong {
            assert_eq!(api.introspect(BACKEND, wrong).await.unwrap(), None, "{wrong}");
        }
        let left = claims["exp"].as_i64().unwrap() - world.now().as_secs();
        world.advance(u64::try_from(left).unwrap() - 1);
        assert!(api.introspect(BACKEND, &good).await.unwrap().is_some());
        world.advance(1);
        assert_eq!(api.introspect(BACKEND, &good).await.unwrap(), None, "expired");
    }

    async fn what_ends_a_persons_tokens_shows_at_once(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let app = world.app();
        let tokens = log_in(&world, &api, &ann, &phone, NATIVE).await;
        world.advance(1);
        let next = api.refresh(NATIVE, tokens.refresh(), None).await.unwrap().tokens();
        api.refresh(NATIVE, tokens.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
        for dead in [&tokens, &next] {
            assert_eq!(api.introspect(BACKEND, &dead.access_token).await.unwrap(), None, "a token was used twice");
        }
        let tokens = log_in(&world, &api, &ann, &phone, NATIVE).await;
        assert!(app.set_blocked(&ann.id, true).await.unwrap());
        assert_eq!(api.introspect(BACKEND, &tokens.access_token).await.unwrap(), None, "blocked");
        assert!(app.set_blocked(&ann.id, false).await.unwrap());
        assert_eq!(api.introspect(BACKEND, &tokens.access_token).await.unwrap(), None, "voided");
        dump::forget(&world.database(), ann.id.as_str());
        assert_eq!(api.introspect(BACKEND, &tokens.access_token).await.unwrap(), None, "gone");
    }

    async fn only_who_is_configured_may_ask(world: World, api: Api) {
        let ann = world.person("ann").await;
        let wish = Wish { audience: Some(API), ..Wish::default() };
        let tokens = api.login_for(LENIENT, &ann.username, PASSWORD, wish).await.unwrap().tokens();
        for client in [NATIVE, LENIENT, KEEPER, FORWARDER] {
            api.introspect(client, &tokens.access_token).await.refused(&NO_INTROSPECTION);
        }
        for client in [PRETENDER, Client { id: BACKEND.id, secret: None }, Client { id: "nobody", secret: None }] {
            api.introspect(client, &tokens.access_token).await.refused(&WRONG_CLIENT);
        }
        assert!(api.introspect(BACKEND, &tokens.access_token).await.unwrap().is_some(), "a login without a refresh token");
    }
}

/// A client that is configured for a while.
const GUEST: Client = Client { id: "guest", secret: Some("a sixth secret of 16 or more") };

#[tokio::test(flavor = "multi_thread")]
async fn what_a_client_was_given_ends_when_it_leaves_the_configuration() {
    let with_guest = Tenant::default().and(
        "[[clients]]\nid = 'guest'\nsecrets = ['a sixth secret of 16 or more']\ngrant_types = ['password']\n\
         mfa_demand = 'if-enrolled'\n",
    );
    let mut world = World::start(Store::Sqlite, with_guest.clone()).await;
    world.person("ann").await;
    let wish = Wish { audience: Some(API), scope: Some("openid read:things"), ..Wish::default() };
    let token = world.api(Transport::Http).login_for(GUEST, "ann", PASSWORD, wish).await.unwrap().tokens().access_token;
    for (tenant, stands) in [(with_guest.clone(), true), (Tenant::default(), false), (with_guest, true)] {
        world.restart_as(tenant).await;
        for transport in [Transport::Http, Transport::Grpc] {
            let api = world.api(transport);
            assert_eq!(api.introspect(BACKEND, &token).await.unwrap().is_some(), stands);
            assert_eq!(api.subject(&token).await.is_ok(), stands);
        }
    }
}
