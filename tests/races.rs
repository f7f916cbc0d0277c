//! Sixty-four at once, and one winner: G-30, Parse Server 2026, where a recovery code and a one-time code were each accepted by
//! requests that came at the same moment.

mod both_transports;
mod days;
mod devices;
mod refresh;
mod remembered_devices;
mod sent_codes;

use std::{future::Future, sync::Arc};

use countersign_domain::factor::otp::step_at;
use countersign_tests::{
    api::{Api, Tokens},
    dump, everywhere, otp,
    person::{PASSWORD, Person, Phone},
    refusal::{MALFORMED_TOKEN, Refusal, Refused as _, TOO_MANY_CODES, WRONG_OTP, WRONG_RECOVERY_CODE},
    tenant::{BACKEND, Tenant},
    world::World,
};
use tokio::{sync::Barrier, task::JoinSet};

const RUNNERS: usize = 64;

/// Runs `attempt` for each number, all released at the same moment.
async fn race<F, R>(attempt: F) -> Vec<R::Output>
where
    F: Fn(usize) -> R,
    R: Future<Output: Send> + Send + 'static,
{
    let start = Arc::new(Barrier::new(RUNNERS));
    let mut runners = JoinSet::new();
    for number in 0..RUNNERS {
        let (start, attempt) = (Arc::clone(&start), attempt(number));
        runners.spawn(async move {
            start.wait().await;
            attempt.await
        });
    }
    runners.join_all().await
}

/// With more tries than runners, so that all of them get as far as the commit and none is turned away before.
fn with_tries_for_all() -> Tenant {
    Tenant::default().section("limits.factor_failures", &["capacity = 100", "refill = '6m'"])
}

/// Whether it is a fair way to lose: the code or the token was used, the tries were, or nothing was decided.
fn is_fair(refusal: &Refusal) -> bool {
    let fair = [WRONG_OTP, WRONG_RECOVERY_CODE, MALFORMED_TOKEN, TOO_MANY_CODES];
    refusal.is_undecided() || fair.iter().any(|expected| refusal.is(expected))
}

/// The one winner; every other must have been refused, for a fair reason.
#[track_caller]
fn one_winner(results: Vec<Result<Tokens, Refusal>>) -> (Tokens, Vec<Refusal>) {
    let (mut won, mut lost) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(tokens) => won.push(tokens),
            Err(refusal) => lost.push(refusal),
        }
    }
    assert_eq!((won.len(), lost.len()), (1, RUNNERS - 1), "winners and losers: {lost:?}");
    let unfair: Vec<_> = lost.iter().filter(|refusal| !is_fair(refusal)).collect();
    assert!(unfair.is_empty(), "lost for another reason than having lost: {unfair:?}");
    (won.remove(0), lost)
}

async fn sessions(api: &Api, ann: &Person) -> Vec<String> {
    let mut tokens = Vec::new();
    for _ in 0..RUNNERS {
        tokens.push(api.login(BACKEND, &ann.username, PASSWORD).await.unwrap().mfa_token());
    }
    tokens
}

fn completed(world: &World, event: &str, ann: &Person) -> i64 {
    dump::audited(&world.database(), event, ann.id.as_str())
}

async fn one_step_over_many_sessions(world: &World, api: &Api) -> Vec<Refusal> {
    let (ann, phone) = world.enrolled(api, "ann").await;
    let (tokens, code) = (sessions(api, &ann).await, phone.code(world));
    let results = race(|number| {
        let (api, token, code) = (api.clone(), tokens[number].clone(), code.clone());
        async move { api.otp(BACKEND, &token, &code).await }
    })
    .await;
    let (_, lost) = one_winner(results);
    assert_eq!(completed(world, "login.otp", &ann), 1);
    lost
}

everywhere! {
    async fn one_step_over_many_sessions_completes_one_login_with_the_usual_tries(world: World, api: Api) {
        // Who loses has spent a try; after ten of them the rest is turned away.
        let lost = one_step_over_many_sessions(&world, &api).await;
        let looked_at = lost.iter().filter(|refusal| refusal.is(&WRONG_OTP)).count();
        assert!(looked_at <= 10, "{looked_at} tries");
    }
}

everywhere! {
    in with_tries_for_all();

    async fn one_step_over_many_sessions_completes_one_login(world: World, api: Api) {
        let lost = one_step_over_many_sessions(&world, &api).await;
        assert!(!lost.iter().any(|refusal| refusal.is(&TOO_MANY_CODES)), "all got to the commit: {lost:?}");
    }

    async fn one_step_in_one_session_completes_it_once(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let (token, code) = (ann.mfa_token(&api).await, phone.code(&world));
        let results = race(|_| {
            let (api, token, code) = (api.clone(), token.clone(), code.clone());
            async move { api.otp(BACKEND, &token, &code).await }
        }).await;
        one_winner(results);
        assert_eq!(completed(&world, "login.otp", &ann), 1);
    }

    async fn one_session_with_different_codes_completes_once(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let mut phones = vec![phone];
        for _ in 0..7 {
            phones.push(ann.add_phone(&world, &api, &manager).await);
        }
        world.advance(120);
        let step = step_at(world.now());
        let token = ann.mfa_token(&api).await;
        let before = completed(&world, "login.otp", &ann);
        let results = race(|number| {
            let code = otp::code_of(&phones[number % 8].secret, step);
            let (api, token) = (api.clone(), token.clone());
            async move { api.otp(BACKEND, &token, &code).await }
        }).await;
        one_winner(results);
        assert_eq!(completed(&world, "login.otp", &ann) - before, 1);
        // The losers of the session burnt nothing: the winner's app alone has used this step.
        let mut free = 0;
        world.advance(6 * 3600);
        for phone in &phones {
            let token = ann.mfa_token(&api).await;
            free += usize::from(api.otp(BACKEND, &token, &otp::code_at(&phone.secret, world.now())).await.is_ok());
        }
        assert_eq!(free, 8);
    }

    async fn one_recovery_code_over_many_sessions_completes_one_login(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let (tokens, code) = (sessions(&api, &ann).await, phone.recovery_code.clone().unwrap());
        let results = race(|number| {
            let (api, token, code) = (api.clone(), tokens[number].clone(), code.clone());
            async move { api.recovery(BACKEND, &token, &code).await }
        }).await;
        let (won, _) = one_winner(results);
        assert_eq!(completed(&world, "login.recovery_code", &ann), 1);
        world.advance(24 * 3600);
        let token = ann.mfa_token(&api).await;
        api.recovery(BACKEND, &token, &code).await.refused(&WRONG_RECOVERY_CODE);
        api.recovery(BACKEND, &token, won.recovery_code.as_deref().unwrap()).await.unwrap();
    }

    async fn a_recovery_code_and_a_code_for_one_session_complete_it_once(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let (token, code) = (ann.mfa_token(&api).await, phone.code(&world));
        let recovery = phone.recovery_code.clone().unwrap();
        let results = race(|number| {
            let (api, token, code, recovery) = (api.clone(), token.clone(), code.clone(), recovery.clone());
            async move {
                if number % 2 == 0 {
                    api.otp(BACKEND, &token, &code).await
                } else {
                    api.recovery(BACKEND, &token, &recovery).await
                }
            }
        }).await;
        one_winner(results);
        api.challenge(BACKEND, &token, "otp", None).await.refused(&MALFORMED_TOKEN);
    }

    async fn one_enrolment_is_confirmed_once(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = ann.mfa_token(&api).await;
        let phone = Phone::new(api.associate(&token).await.unwrap().secret, None);
        let code = phone.code(&world);
        let results = race(|_| {
            let (api, token, code) = (api.clone(), token.clone(), code.clone());
            async move { api.otp(BACKEND, &token, &code).await }
        }).await;
        one_winner(results);
        assert_eq!(completed(&world, "enrollment.completed", &ann), 1);
        let token = ann.mfa_token(&api).await;
        assert_eq!(api.list(&token).await.unwrap().len(), 2);
    }

    async fn of_many_first_enrolments_one_is_confirmed(world: World, api: Api) {
        let ann = world.person("ann").await;
        let tokens: Vec<String> = sessions(&api, &ann).await.into_iter().take(RUNNERS).collect();
        let mut phones = Vec::new();
        for token in tokens.iter().take(8) {
            phones.push(Phone::new(api.associate(token).await.unwrap().secret, None));
        }
        let now = world.now();
        let results = race(|number| {
            let code = otp::code_at(&phones[number % 8].secret, now);
            let (api, token) = (api.clone(), tokens[number % 8].clone());
            async move { api.otp(BACKEND, &token, &code).await }
        }).await;
        one_winner(results);
        assert_eq!(completed(&world, "enrollment.completed", &ann), 1);
        let token = ann.mfa_token(&api).await;
        let active = api.list(&token).await.unwrap().into_iter().filter(|entry| entry.active && entry.kind == "otp").count();
        assert_eq!(active, 1);
    }

    async fn one_access_token_confirms_one_enrolment_once(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &phone).await;
        let second = Phone::new(api.associate(&manager).await.unwrap().secret, None);
        let code = second.code(&world);
        let results = race(|_| {
            let (api, token, code) = (api.clone(), manager.clone(), code.clone());
            async move { api.otp(BACKEND, &token, &code).await }
        }).await;
        one_winner(results);
        assert_eq!(completed(&world, "enrollment.completed", &ann), 2);
        world.advance(24 * 3600);
        let token = ann.mfa_token(&api).await;
        api.otp(BACKEND, &token, &code).await.refused(&WRONG_OTP);
    }

    async fn deleting_while_logging_in_leaves_one_truth(world: World, api: Api) {
        let (ann, first) = world.enrolled(&api, "ann").await;
        let manager = ann.manager(&world, &api, &first).await;
        let id = api.list(&manager).await.unwrap().remove(0).id;
        let token = ann.mfa_token(&api).await;
        let code = first.code(&world);
        let results = race(|number| {
            let (api, token, code, manager, id) = (api.clone(), token.clone(), code.clone(), manager.clone(), id.clone());
            async move {
                if number == 0 { api.delete(&manager, &id).await.map(|()| None) } else { api.otp(BACKEND, &token, &code).await.map(Some) }
            }
        }).await;
        let unfair: Vec<_> = results.iter().filter_map(|result| result.as_ref().err()).filter(|lost| !is_fair(lost)).collect();
        assert!(unfair.is_empty(), "{unfair:?}");
        let logins = results.iter().filter(|result| matches!(result, Ok(Some(_)))).count();
        assert!(logins <= 1, "{logins}");
        assert_eq!(results.iter().filter(|result| matches!(result, Ok(None))).count(), 1, "the removal went through");
        world.advance(24 * 3600);
        let token = ann.mfa_token(&api).await;
        assert_eq!(api.list(&token).await.unwrap(), [], "removed, whatever came first");
    }
}
