//! The stores are away while tokens are asked about, ended and exchanged: nothing is said to be good, and nothing to be done.

use std::time::Duration;

use countersign_tests::{
    api::{Api, Transport, Wish},
    refusal::{Refused as _, STORE_DOWN},
    signer::{ASSERTION_TYPE, assertion, login, login_claims},
    tenant::{API, BACKEND, SIGNER, Tenant},
    world::{Store, World},
};
use rusqlite::Connection;
use serde_json::json;

const WISH: Wish<'static> = Wish {
    audience: Some(API),
    scope: Some("openid read:things offline_access"),
    realm: None,
    acr_values: None,
    max_age: None,
    device_token: None,
};

/// Hides from the server what it decides about tokens by, until told otherwise.
fn durable_store_is(away: bool, world: &World) {
    let file = Connection::open(world.database()).unwrap();
    file.busy_timeout(Duration::from_secs(5)).unwrap();
    for table in ["user", "refresh_family", "used_assertion"] {
        let (from, to) = if away {
            (table.to_owned(), format!("lost_{table}"))
        } else {
            (format!("lost_{table}"), table.to_owned())
        };
        file.execute_batch(&format!("ALTER TABLE {from} RENAME TO {to}")).unwrap();
    }
}

/// The API for a client that signs, with an assertion that nobody used.
fn signing(world: &World, api: &Api, n: &mut u32) -> Api {
    *n += 1;
    api.signed(&assertion(world, &format!("auth-{n}")))
}

#[tokio::test(flavor = "multi_thread")]
async fn while_stores_are_away_no_token_is_good_and_no_revocation_is_done_whoever_asks() {
    for transport in [Transport::Http, Transport::Grpc] {
        let mut world = World::start(Store::Redis, Tenant::default()).await;
        let api = world.api(transport);
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let lasting = ann.lasting(&world, &api, &phone).await;
        let n = &mut 0;
        let jwt = login(&login_claims(&world, "ext-1", "word"));
        let asserted = signing(&world, &api, n).signed_login(SIGNER, &jwt, WISH).await.unwrap().tokens();
        let service =
            signing(&world, &api, n).service(SIGNER, Wish { audience: Some(API), ..Wish::default() }).await.unwrap();
        let access = [&lasting.access_token, &asserted.access_token, &service.access_token];

        // They are kept in the durable store: without Redis they are good as ever.
        world.redis().kill();
        for token in access {
            assert!(api.introspect(BACKEND, token).await.unwrap().is_some());
            assert!(signing(&world, &api, n).introspect(SIGNER, token).await.unwrap().is_some());
        }
        let lasting = api.refresh(BACKEND, lasting.refresh(), None).await.expect("it needs no Redis").tokens();

        for redis_too in [true, false] {
            durable_store_is(true, &world);
            if !redis_too {
                world.redis().restart();
            }
            for token in access.into_iter().chain([&lasting.access_token]) {
                api.introspect(BACKEND, token).await.refused(&STORE_DOWN);
                signing(&world, &api, n).introspect(SIGNER, token).await.refused(&STORE_DOWN);
            }
            api.introspect(BACKEND, lasting.refresh()).await.refused(&STORE_DOWN);
            signing(&world, &api, n).introspect(SIGNER, asserted.refresh()).await.refused(&STORE_DOWN);
            let refusals = [
                api.revoke(BACKEND, lasting.refresh()).await.refused(&STORE_DOWN),
                signing(&world, &api, n).revoke(SIGNER, asserted.refresh()).await.refused(&STORE_DOWN),
                api.refresh(BACKEND, lasting.refresh(), None).await.refused(&STORE_DOWN),
                signing(&world, &api, n).refresh(SIGNER, asserted.refresh(), None).await.refused(&STORE_DOWN),
            ];
            for refusal in refusals {
                assert!(refusal.retry_after().is_some_and(|seconds| seconds >= 1), "{refusal:?}");
            }
            durable_store_is(false, &world);
        }

        // Nothing was ended or spent meanwhile.
        for token in access {
            assert!(api.introspect(BACKEND, token).await.unwrap().is_some());
        }
        for (client, token, signs) in [(BACKEND, lasting.refresh(), false), (SIGNER, asserted.refresh(), true)] {
            let mut caller = || if signs { signing(&world, &api, n) } else { api.clone() };
            let next = caller().refresh(client, token, None).await.expect("it was not exchanged").tokens();
            caller().revoke(client, next.refresh()).await.expect("it is there again");
            assert_eq!(caller().introspect(client, &next.access_token).await.unwrap(), None);
        }
    }
}

/// What is answered is answered alike over the wire: the body of a refusal says nothing of a token.
#[tokio::test(flavor = "multi_thread")]
async fn the_answers_are_503_and_say_nothing_of_the_token() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let api = world.api(Transport::Http);
    let (ann, phone) = world.enrolled(&api, "ann").await;
    let lasting = ann.lasting(&world, &api, &phone).await;
    let mut n = 0;
    durable_store_is(true, &world);
    for path in ["/oauth/introspect", "/oauth/revoke"] {
        for token in [lasting.refresh(), lasting.access_token.as_str()] {
            // Of an access token there is nothing to revoke: it is no refresh token, and no store is asked.
            if path == "/oauth/revoke" && token == lasting.access_token {
                continue;
            }
            n += 1;
            let signed = assertion(&world, &n.to_string());
            for proof in [
                json!({"client_id": BACKEND.id, "client_secret": BACKEND.secret}),
                json!({"client_assertion": signed, "client_assertion_type": ASSERTION_TYPE}),
            ] {
                let mut body = proof;
                body["token"] = json!(token);
                let answer = world.http().post(path, &body).await;
                assert_eq!(answer.status, 503, "{path}");
                let body = answer.json();
                assert_eq!(body["error"], "temporarily_unavailable", "{path}");
                assert!(body.get("active").is_none(), "{path}: {body}");
            }
        }
    }
    durable_store_is(false, &world);
    api.refresh(BACKEND, lasting.refresh(), None).await.unwrap().tokens();
}
