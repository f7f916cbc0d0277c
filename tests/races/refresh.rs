//! One refresh token at 64 hands at once.

use std::{collections::BTreeSet, sync::Arc};

use countersign_tests::{
    api::{Api, Outcome, Tokens, Transport, Wish},
    dump, everywhere,
    person::PASSWORD,
    refusal::{BAD_REFRESH_TOKEN, MALFORMED_TOKEN, Refusal, Refused as _},
    tenant::{API, BACKEND, CAREFUL, Client, ED25519_API, LENIENT, NATIVE, Tenant},
    trail::Trail,
    world::{Store, World},
};
use tokio::{sync::Barrier, task::JoinSet};

use super::{RUNNERS, race};

const SCOPE: &str = "openid offline_access read:things";

/// So many hands that hold one token.
const CROWD: usize = 10_000;

/// A public client whose people need no second factor, and whose refresh tokens rotate without an overlap.
const ABRUPT: Client = Client { id: "abrupt", secret: None };

/// A login at `client` for an API whose tokens take little to sign.
async fn cheap_login(api: &Api, client: Client) -> Tokens {
    let wish = Wish { audience: Some(ED25519_API), scope: Some("offline_access read:things"), ..Wish::default() };
    api.login_for(client, "ann", PASSWORD, wish).await.unwrap().tokens()
}

/// All of the crowd exchange `token` at once, over a few connections. Who is turned away because too many came asks again, until it is
/// decided.
async fn by_the_crowd(world: &World, client: Client, token: &str) -> (BTreeSet<String>, usize, usize) {
    let apis: Vec<Api> = (0..8).map(|_| world.api(Transport::Grpc)).collect();
    for api in &apis {
        // Who knows the server's limit of streams keeps to it.
        api.introspect(BACKEND, "x").await.unwrap();
    }
    let start = Arc::new(Barrier::new(CROWD));
    let mut crowd = JoinSet::new();
    for n in 0..CROWD {
        let (api, start, token) = (apis[n % apis.len()].clone(), Arc::clone(&start), token.to_owned());
        crowd.spawn(async move {
            start.wait().await;
            loop {
                match api.refresh(client, &token, None).await {
                    Ok(outcome) => return Some(outcome.tokens().refresh().to_owned()),
                    Err(refusal) if refusal.is_undecided() => tokio::task::yield_now().await,
                    Err(refusal) => {
                        assert!(refusal.is(&BAD_REFRESH_TOKEN), "{refusal:?}");
                        return None;
                    }
                }
            }
        });
    }
    let outcomes = crowd.join_all().await;
    let won: Vec<String> = outcomes.iter().flatten().cloned().collect();
    (won.iter().cloned().collect(), won.len(), outcomes.len() - won.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_at_once_within_the_overlap_get_the_one_successor() {
    let world = World::start(Store::Sqlite, Tenant::default().with_every_kind_of_token()).await;
    let ann = world.person("ann").await;
    let first = cheap_login(&world.api(Transport::Grpc), LENIENT).await;
    let (successors, won, lost) = by_the_crowd(&world, LENIENT, first.refresh()).await;
    assert_eq!((successors.len(), won, lost), (1, CROWD, 0), "no fork, and nobody who may have it is left out");
    assert_eq!(dump::rows(&world.database(), "refresh_family"), 1);
    assert_eq!(dump::audited(&world.database(), "token.refreshed", ann.id.as_str()), i64::try_from(CROWD).unwrap());
    assert_eq!(dump::audited(&world.database(), "token.reused", ann.id.as_str()), 0);
    let successor = successors.first().unwrap();
    world.api(Transport::Http).refresh(LENIENT, successor, None).await.unwrap().tokens();
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_at_once_without_an_overlap_have_one_winner() {
    let tenant = Tenant::default().with_every_kind_of_token().and(
        "[[clients]]\nid = 'abrupt'\nauthentication = 'none'\nmfa_demand = 'if-enrolled'\n\
         grant_types = ['password', 'refresh_token']\nrefresh = { overlap = '0s' }\n",
    );
    let world = World::start(Store::Sqlite, tenant).await;
    let ann = world.person("ann").await;
    let first = cheap_login(&world.api(Transport::Grpc), ABRUPT).await;
    let (successors, won, lost) = by_the_crowd(&world, ABRUPT, first.refresh()).await;
    assert_eq!((successors.len(), won, lost), (1, 1, CROWD - 1));
    assert_eq!(dump::audited(&world.database(), "token.refreshed", ann.id.as_str()), 1);
    assert_eq!(dump::audited(&world.database(), "token.reused", ann.id.as_str()), 1);
    assert_eq!(dump::rows(&world.database(), "refresh_family"), 0, "two had it: nobody goes on");
    let successor = successors.first().unwrap();
    world.api(Transport::Http).refresh(ABRUPT, successor, None).await.refused(&BAD_REFRESH_TOKEN);
}

async fn exchanged(api: &Api, client: Client, token: &str) -> (Vec<Tokens>, Vec<Refusal>) {
    let results = race(|_| {
        let (api, token) = (api.clone(), token.to_owned());
        async move { api.refresh(client, &token, None).await.map(Outcome::tokens) }
    })
    .await;
    let (mut won, mut lost) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(tokens) => won.push(tokens),
            Err(refusal) => lost.push(refusal),
        }
    }
    assert_eq!(won.len() + lost.len(), RUNNERS);
    let unfair: Vec<_> = lost.iter().filter(|lost| !lost.is(&BAD_REFRESH_TOKEN) && !lost.is_undecided()).collect();
    assert!(unfair.is_empty(), "{unfair:?}");
    (won, lost)
}

everywhere! {
    async fn without_an_overlap_one_wins_and_the_others_end_the_login(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let wish = Wish { audience: Some(API), scope: Some(SCOPE), ..Wish::default() };
        let token = api.login_for(NATIVE, &ann.username, PASSWORD, wish).await.unwrap().mfa_token();
        let first = api.otp(NATIVE, &token, &phone.code(&world)).await.unwrap();
        let (won, lost) = exchanged(&api, NATIVE, first.refresh()).await;
        assert_eq!(won.len(), 1, "{lost:?}");
        assert_eq!(dump::audited(&world.database(), "token.refreshed", ann.id.as_str()), 1);
        assert_eq!(dump::audited(&world.database(), "token.reused", ann.id.as_str()), 1);
        api.refresh(NATIVE, won[0].refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
    }

    async fn with_an_overlap_all_get_the_one_successor(world: World, api: Api) {
        let ann = world.person("ann").await;
        let wish = Wish { audience: Some(API), scope: Some(SCOPE), ..Wish::default() };
        let first = api.login_for(LENIENT, &ann.username, PASSWORD, wish).await.unwrap().tokens();
        let (won, lost) = exchanged(&api, LENIENT, first.refresh()).await;
        assert!(lost.iter().all(Refusal::is_undecided), "{lost:?}");
        let successors: BTreeSet<&str> = won.iter().map(Tokens::refresh).collect();
        assert_eq!(successors.len(), 1, "no fork");
        assert_eq!(dump::rows(&world.database(), "refresh_family"), 1);
        api.refresh(LENIENT, won[0].refresh(), None).await.unwrap().tokens();
    }

    async fn one_interrupted_exchange_is_completed_once(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let wish = Wish { audience: Some(API), scope: Some(SCOPE), ..Wish::default() };
        let token = api.login_for(CAREFUL, &ann.username, PASSWORD, wish).await.unwrap().mfa_token();
        let first = api.otp(CAREFUL, &token, &phone.code(&world)).await.unwrap();
        let waiting = api.refresh(CAREFUL, first.refresh(), None).await.unwrap().mfa_token();
        let code = phone.code(&world);
        let results = race(|_| {
            let (api, token, code) = (api.clone(), waiting.clone(), code.clone());
            async move { api.otp(CAREFUL, &token, &code).await }
        }).await;
        let won: Vec<Tokens> = results.into_iter().filter_map(Result::ok).collect();
        assert_eq!(won.len(), 1);
        api.otp(CAREFUL, &waiting, &phone.code(&world)).await.refused(&MALFORMED_TOKEN);
        api.refresh(CAREFUL, won[0].refresh(), None).await.unwrap().mfa_token();
    }

    async fn after_a_revocation_was_answered_nothing_is_exchanged(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let first = ann.lasting(&world, &api, &phone).await;
        let results = race(|number| {
            let (api, token) = (api.clone(), first.refresh().to_owned());
            async move {
                if number % 8 == 0 {
                    return api.revoke(BACKEND, &token).await.map(|()| None);
                }
                api.refresh(BACKEND, &token, None).await.map(|outcome| Some(outcome.tokens()))
            }
        }).await;
        let revoked = results.iter().filter(|result| matches!(result, Ok(None))).count();
        assert!(revoked > 0);
        for tokens in results.into_iter().filter_map(Result::ok).flatten() {
            api.refresh(BACKEND, tokens.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
            assert_eq!(api.introspect(BACKEND, &tokens.access_token).await.unwrap(), None);
        }
        assert_eq!(dump::rows(&world.database(), "refresh_family"), 0);
    }
}

everywhere! {
    async fn one_of_many_who_reuse_a_token_is_the_first_and_each_is_a_row(world: World, api: Api) {
        let ann = world.person("ann").await;
        let wish = Wish { audience: Some(API), scope: Some(SCOPE), ..Wish::default() };
        let first = api.login_for(LENIENT, "ann", PASSWORD, wish).await.unwrap().tokens();
        api.refresh(LENIENT, first.refresh(), None).await.unwrap().tokens();
        world.advance(11);
        let mut trail = Trail::of(&world);
        let results = race(|_| {
            let (api, token) = (api.clone(), first.refresh().to_owned());
            async move { api.refresh(LENIENT, &token, None).await }
        })
        .await;
        for result in results {
            result.refused(&BAD_REFRESH_TOKEN);
        }
        let events: Vec<String> = trail.new_rows().into_iter().map(|row| row.event).collect();
        let count = |name: &str| events.iter().filter(|event| *event == name).count();
        assert_eq!((count("token.reused"), count("proof_rejected.refresh_token")), (1, RUNNERS - 1), "{events:?}");
        assert_eq!(dump::audited(&world.database(), "token.reused", ann.id.as_str()), 1);
    }
}
