//! One refresh token at 64 hands at once.

use std::collections::BTreeSet;

use countersign_tests::{
    api::{Api, Outcome, Tokens, Wish},
    dump, everywhere,
    person::PASSWORD,
    refusal::{BAD_REFRESH_TOKEN, MALFORMED_TOKEN, Refusal, Refused as _},
    tenant::{API, BACKEND, CAREFUL, Client, LENIENT, NATIVE},
};

use super::{RUNNERS, race};

const SCOPE: &str = "openid offline_access read:things";

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
