//! Refresh tokens: a login goes on, and nobody goes on with it twice.

use countersign_domain::{port::refresh_store::MAX_FAMILIES, secret::Secret, usecase::manage_users::NewPassword};
use countersign_tests::{
    api::{Api, Outcome, Tokens, Transport, Wish},
    dump, everywhere, jwt,
    person::{PASSWORD, Person, Phone},
    refusal::{
        BAD_REFRESH_TOKEN, BLOCKED_AT_PASSWORD, MALFORMED_TOKEN, REFRESH_GRANT_OFF, Refused as _, SCOPE_TOO_WIDE,
        USER_GONE, WRONG_CLIENT, WRONG_OTP,
    },
    signer,
    tenant::{API, BACKEND, CAREFUL, Client, ES256_API, KEEPER, LENIENT, MFA_API, NARROW, NATIVE, SIGNER, Tenant},
    trail::Trail,
    world::{Store, World},
};
use serde_json::json;

const DAY: u64 = 86_400;
const SCOPE: &str = "openid offline_access read:things";

fn wish(scope: &str) -> Wish<'_> {
    Wish { audience: Some(API), scope: Some(scope), ..Wish::default() }
}

/// Both factors at `client`, asking for a refresh token.
async fn log_in(world: &World, api: &Api, ann: &Person, phone: &Phone, client: Client) -> Tokens {
    let token = api.login_for(client, &ann.username, PASSWORD, wish(SCOPE)).await.unwrap().mfa_token();
    api.otp(client, &token, &phone.code(world)).await.expect("the code is right")
}

/// The password at a client whose people need nothing else.
async fn password_alone(api: &Api, client: Client, username: &str) -> Tokens {
    api.login_for(client, username, PASSWORD, wish(SCOPE)).await.unwrap().tokens()
}

async fn refreshed(api: &Api, client: Client, token: &str) -> Tokens {
    api.refresh(client, token, None).await.expect("the refresh token is good").tokens()
}

everywhere! {
    async fn a_login_goes_on_and_says_the_same_of_the_person(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let first = log_in(&world, &api, &ann, &phone, BACKEND).await;
        world.advance(3 * DAY);
        let second = refreshed(&api, BACKEND, first.refresh()).await;
        assert_ne!(first.refresh(), second.refresh(), "it rotates");
        assert_eq!(second.scope.as_deref(), Some(SCOPE), "always named");
        let (was, is) = (jwt::claims(&first.access_token), jwt::claims(&second.access_token));
        for same in ["sub", "aud", "azp", "scope", "auth_time", "amr", "acr", "sid"] {
            assert_eq!(was[same], is[same], "{same}");
            assert!(!is[same].is_null(), "{same}");
        }
        assert_eq!((&was["gty"], &is["gty"]), (&json!("password"), &json!("refresh_token")));
        assert_eq!(is["amr"], json!(["pwd", "otp", "mfa"]));
        assert_ne!(was["jti"], is["jti"]);
        assert_eq!(is["iat"], json!(world.now().as_secs()));
        let id = jwt::claims(second.id_token.as_deref().expect("openid was granted"));
        assert_eq!((&id["auth_time"], &id["sub"]), (&was["auth_time"], &json!(ann.id.as_str())));
        assert_eq!(dump::audited(&world.database(), "token.refreshed", ann.id.as_str()), 1);
        let third = refreshed(&api, BACKEND, second.refresh()).await;
        assert_eq!(jwt::claims(&third.access_token)["auth_time"], was["auth_time"]);
    }

    async fn who_enrols_or_recovers_gets_one_too(world: World, api: Api) {
        let ann = world.person("ann").await;
        let token = api.login_for(BACKEND, &ann.username, PASSWORD, wish(SCOPE)).await.unwrap().mfa_token();
        let association = api.associate(&token).await.unwrap();
        let phone = Phone::new(association.secret, association.recovery_codes.into_iter().next());
        let enrolled = api.otp(BACKEND, &token, &phone.code(&world)).await.unwrap();
        refreshed(&api, BACKEND, enrolled.refresh()).await;
        let token = api.login_for(BACKEND, &ann.username, PASSWORD, wish(SCOPE)).await.unwrap().mfa_token();
        let recovered = api.recovery(BACKEND, &token, phone.recovery_code.as_deref().unwrap()).await.unwrap();
        refreshed(&api, BACKEND, recovered.refresh()).await;
    }

    async fn there_is_none_without_asking_or_where_it_is_not_allowed(world: World, api: Api) {
        let ann = world.person("ann").await;
        let login = async |client, audience, scope| {
            let wish = Wish { audience, scope, ..Wish::default() };
            api.login_for(client, &ann.username, PASSWORD, wish).await.unwrap().tokens()
        };
        assert!(login(LENIENT, Some(API), None).await.refresh_token.is_none(), "not asked for");
        assert!(login(LENIENT, Some(API), Some("openid")).await.refresh_token.is_none());
        let managing = login(LENIENT, Some(MFA_API), Some("enroll offline_access")).await;
        assert_eq!((managing.refresh_token, managing.scope.as_deref()), (None, Some("enroll")), "never for the MFA API");
        assert!(login(LENIENT, None, Some("openid offline_access")).await.refresh_token.is_some(), "for userinfo");
        api.refresh(NARROW, "csref_x", None).await.refused(&REFRESH_GRANT_OFF);
    }

    async fn a_token_that_was_used_ends_all_that_came_of_the_login(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let first = log_in(&world, &api, &ann, &phone, NATIVE).await;
        let another = log_in(&world, &api, &ann, &phone, NATIVE).await;
        let second = refreshed(&api, NATIVE, first.refresh()).await;
        // Auth0's default: no overlap, not for a moment.
        api.refresh(NATIVE, first.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
        api.refresh(NATIVE, second.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
        assert_eq!(dump::audited(&world.database(), "token.reused", ann.id.as_str()), 1);
        refreshed(&api, NATIVE, another.refresh()).await;
    }

    async fn within_the_overlap_the_token_before_yields_the_same_successor(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let first = log_in(&world, &api, &ann, &phone, BACKEND).await;
        let second = refreshed(&api, BACKEND, first.refresh()).await;
        for wait in [0, 9] {
            world.advance(wait);
            let again = refreshed(&api, BACKEND, first.refresh()).await;
            assert_eq!(again.refresh(), second.refresh(), "no fork");
            assert_ne!(again.access_token, second.access_token);
        }
        world.advance(1);
        api.refresh(BACKEND, first.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
        api.refresh(BACKEND, second.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
    }

    async fn two_before_the_current_is_too_old_even_within_the_overlap(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let first = log_in(&world, &api, &ann, &phone, BACKEND).await;
        let second = refreshed(&api, BACKEND, first.refresh()).await;
        let third = refreshed(&api, BACKEND, second.refresh()).await;
        assert_eq!(refreshed(&api, BACKEND, second.refresh()).await.refresh(), third.refresh());
        api.refresh(BACKEND, first.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
        for dead in [&second, &third] {
            api.refresh(BACKEND, dead.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
        }
    }

    async fn a_client_may_have_tokens_that_stay(world: World, api: Api) {
        let ann = world.person("ann").await;
        let first = password_alone(&api, KEEPER, &ann.username).await;
        for _ in 0..3 {
            world.advance(700 * DAY);
            let again = refreshed(&api, KEEPER, first.refresh()).await;
            assert_eq!(again.refresh(), first.refresh());
        }
        let access = jwt::claims(&first.access_token);
        assert_eq!(access["amr"], json!(["pwd"]));
    }

    async fn tokens_expire_unused_and_with_the_login(world: World, api: Api) {
        let ann = world.person("ann").await;
        let unused = password_alone(&api, LENIENT, &ann.username).await;
        let mut used = password_alone(&api, LENIENT, &ann.username).await;
        world.advance(7 * DAY - 1);
        used = refreshed(&api, LENIENT, used.refresh()).await;
        world.advance(1);
        api.refresh(LENIENT, unused.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
        for _ in 0..3 {
            world.advance(6 * DAY);
            used = refreshed(&api, LENIENT, used.refresh()).await;
        }
        world.advance(5 * DAY - 1);
        used = refreshed(&api, LENIENT, used.refresh()).await;
        world.advance(1);
        api.refresh(LENIENT, used.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
    }

    async fn scopes_narrow_for_once_and_never_widen(world: World, api: Api) {
        let ann = world.person("ann").await;
        let first = password_alone(&api, LENIENT, &ann.username).await;
        let narrowed = api.refresh(LENIENT, first.refresh(), Some("read:things nonsense read:things")).await.unwrap().tokens();
        assert_eq!(narrowed.scope.as_deref(), Some("read:things"), "a scope that nobody can have is passed over");
        assert!(narrowed.id_token.is_none());
        assert_eq!(jwt::claims(&narrowed.access_token)["scope"], "read:things");
        let refusal = api.refresh(LENIENT, narrowed.refresh(), Some("read:things write:things")).await;
        refusal.refused(&SCOPE_TOO_WIDE);
        let whole = refreshed(&api, LENIENT, narrowed.refresh()).await;
        assert_eq!(whole.scope.as_deref(), Some(SCOPE), "the refusal spent nothing, and the narrowing was for once");
    }

    async fn nobody_elses_token_and_no_forged_one_is_good(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let tokens = log_in(&world, &api, &ann, &phone, BACKEND).await;
        let good = tokens.refresh().to_owned();
        for thief in [NATIVE, LENIENT, CAREFUL] {
            api.refresh(thief, &good, None).await.refused(&BAD_REFRESH_TOKEN);
        }
        let pretender = Client { id: BACKEND.id, secret: Some("not the secret of the backend") };
        api.refresh(pretender, &good, None).await.refused(&WRONG_CLIENT);
        for at in [0, 5, 6, 20, 40, 60, 89, good.len() - 1] {
            let mut changed = good.clone().into_bytes();
            changed[at] = if changed[at] == b'a' { b'b' } else { b'a' };
            let changed = String::from_utf8(changed).unwrap();
            api.refresh(BACKEND, &changed, None).await.refused(&BAD_REFRESH_TOKEN);
        }
        let pending = ann.mfa_token(&api).await;
        let access = tokens.access_token.clone();
        for wrong in ["x", "csref_", "v1.MRHbz1VqR_y42v", &good.to_uppercase(), &format!("{good} "), &pending, &access] {
            api.refresh(BACKEND, wrong, None).await.refused(&BAD_REFRESH_TOKEN);
        }
        refreshed(&api, BACKEND, &good).await;
    }

    async fn what_changes_the_account_ends_its_refresh_tokens(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let app = world.app();

        let tokens = log_in(&world, &api, &ann, &phone, BACKEND).await;
        assert!(app.set_blocked(&ann.id, true).await.unwrap());
        api.refresh(BACKEND, tokens.refresh(), None).await.refused(&BLOCKED_AT_PASSWORD);
        assert!(app.set_blocked(&ann.id, false).await.unwrap());
        api.refresh(BACKEND, tokens.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);

        let tokens = log_in(&world, &api, &ann, &phone, BACKEND).await;
        let manager = ann.manager(&world, &api, &phone).await;
        ann.add_phone(&world, &api, &manager).await;
        let added = refreshed(&api, BACKEND, tokens.refresh()).await;
        let listed = api.list(&manager).await.unwrap();
        api.delete(&manager, &listed[0].id).await.unwrap();
        api.refresh(BACKEND, added.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);

        let tokens = password_alone(&api, LENIENT, world.person("bob").await.username.as_str()).await;
        let bob = jwt::claims(&tokens.access_token)["sub"].as_str().unwrap().to_owned();
        let bob = countersign_domain::id::UserId::new(bob);
        assert!(app.reset_factors(&bob).await.unwrap().is_some());
        api.refresh(LENIENT, tokens.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);

        let tokens = password_alone(&api, LENIENT, "bob").await;
        assert!(app.set_password(&bob, NewPassword::Plain(Secret::new("another passphrase".to_owned()))).await.unwrap());
        api.refresh(LENIENT, tokens.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
    }

    async fn an_app_that_failures_disabled_ends_the_tokens_that_came_of_it(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let mut tokens = log_in(&world, &api, &ann, &phone, BACKEND).await;
        for failure in 1..=100 {
            // Nobody may try ten times in a row.
            world.advance(3600);
            if failure == 100 {
                tokens = refreshed(&api, BACKEND, tokens.refresh()).await;
                assert!(api.introspect(BACKEND, &tokens.access_token).await.unwrap().is_some(), "99 change nothing");
            }
            let token = ann.mfa_token(&api).await;
            api.otp(BACKEND, &token, &phone.wrong(&world)).await.refused(&WRONG_OTP);
        }
        api.refresh(BACKEND, tokens.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
        assert!(api.introspect(BACKEND, &tokens.access_token).await.unwrap().is_none());
    }

    async fn who_is_gone_is_told_so(world: World, api: Api) {
        let ann = world.person("ann").await;
        let tokens = password_alone(&api, LENIENT, &ann.username).await;
        dump::forget(&world.database(), ann.id.as_str());
        api.refresh(LENIENT, tokens.refresh(), None).await.refused(&USER_GONE);
        api.refresh(NATIVE, tokens.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
    }

    async fn a_second_factor_may_be_asked_for_and_spends_nothing_until_it_is_given(world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let first = log_in(&world, &api, &ann, &phone, CAREFUL).await;
        world.advance(DAY);
        let mut tokens = Vec::new();
        for _ in 0..2 {
            tokens.push(api.refresh(CAREFUL, first.refresh(), Some("openid")).await.unwrap().mfa_token());
        }
        api.otp(CAREFUL, &tokens[0], &phone.wrong(&world)).await.refused(&WRONG_OTP);
        let second = api.otp(CAREFUL, &tokens[0], &phone.code(&world)).await.unwrap();
        assert_ne!(first.refresh(), second.refresh());
        assert_eq!(second.scope.as_deref(), Some("openid"), "as the refresh asked");
        let (was, is) = (jwt::claims(&first.access_token), jwt::claims(&second.access_token));
        for same in ["auth_time", "amr", "acr", "sid"] {
            assert_eq!(was[same], is[same], "{same}");
        }
        assert_eq!(is["gty"], "refresh_token");
        api.otp(CAREFUL, &tokens[0], &phone.code(&world)).await.refused(&MALFORMED_TOKEN);

        let third = api.refresh(CAREFUL, second.refresh(), None).await.unwrap().mfa_token();
        // The other one waits for a token that was exchanged since, longer ago than the overlap.
        world.advance(30);
        api.otp(CAREFUL, &tokens[1], &phone.code(&world)).await.refused(&BAD_REFRESH_TOKEN);
        // That was no theft: the token had not been spent when both logins began.
        assert_eq!(dump::audited(&world.database(), "token.reused", ann.id.as_str()), 0);
        api.otp(CAREFUL, &third, &phone.code(&world)).await.unwrap();
        world.advance(10);
        api.refresh(CAREFUL, second.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
        assert_eq!(dump::audited(&world.database(), "token.reused", ann.id.as_str()), 1);
    }

    async fn tokens_outlive_a_restart(mut world: World, api: Api) {
        let (ann, phone) = world.enrolled(&api, "ann").await;
        let first = log_in(&world, &api, &ann, &phone, BACKEND).await;
        let transport = api.transport();
        world.restart().await;
        let api = world.api(transport);
        let second = refreshed(&api, BACKEND, first.refresh()).await;
        assert_eq!(refreshed(&api, BACKEND, first.refresh()).await.refresh(), second.refresh());
    }
}

everywhere! {
    in Tenant::default().with_es256_api();

    async fn an_api_that_does_not_allow_it_gives_none(world: World, api: Api) {
        let ann = world.person("ann").await;
        let wish = Wish { audience: Some(ES256_API), scope: Some("read:things offline_access"), ..Wish::default() };
        let outcome = api.login_for(LENIENT, &ann.username, PASSWORD, wish).await.unwrap();
        let Outcome::Tokens(tokens) = outcome else { panic!("the password is enough") };
        assert_eq!((tokens.refresh_token, tokens.scope.as_deref()), (None, Some("read:things")));
    }
}

const TELLER: Client = Client { id: "teller", secret: Some("a seventh secret of 16 or more") };

fn telling(refresh: &str) -> Tenant {
    Tenant::default().and(&format!(
        "[[clients]]\nid = 'teller'\nsecrets = ['{}']\ngrant_types = ['password', 'refresh_token']\nmfa_demand = 'never'\n\
         introspects = ['{API}']\nrefresh = {{ {refresh} }}\n",
        TELLER.secret.unwrap()
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn introspection_says_when_a_token_ends_that_is_not_used() {
    let mut world = World::start(Store::Sqlite, telling("lifetime = '30days', idle_lifetime = '7days'")).await;
    world.person("ann").await;
    let mut tokens = password_alone(&world.api(Transport::Http), TELLER, "ann").await;
    let began = world.now().as_secs();
    let days = |days: u64| Some(began + i64::try_from(days * DAY).unwrap());
    let told = async |world: &World, token: &str| {
        let mut told = Vec::new();
        for transport in [Transport::Http, Transport::Grpc] {
            told.push(world.api(transport).introspect(TELLER, token).await.unwrap().map(|told| told.expires_at));
        }
        assert_eq!(told[0], told[1]);
        told.remove(0)
    };
    assert_eq!(told(&world, tokens.refresh()).await, Some(days(7)), "a week without use");
    for _ in 0..5 {
        world.advance(5 * DAY);
        tokens = refreshed(&world.api(Transport::Http), TELLER, tokens.refresh()).await;
    }
    assert_eq!(told(&world, tokens.refresh()).await, Some(days(30)), "a month after the login, used or not");
    world.restart_as(telling("lifetime = '30days', idle_lifetime = '1day'")).await;
    assert_eq!(told(&world, tokens.refresh()).await, Some(days(26)), "what became stricter counts");
    world.restart_as(telling("lifetime = '25days 1h', idle_lifetime = '1day'")).await;
    assert_eq!(told(&world, tokens.refresh()).await, Some(days(25).map(|at| at + 3600)));
    world.advance(3599);
    assert!(told(&world, tokens.refresh()).await.is_some());
    world.advance(1);
    assert_eq!(told(&world, tokens.refresh()).await, None, "and then it ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_an_api_that_is_gone_is_of_no_use_and_its_row_says_why() {
    const GONE: &str = "https://gone.test/";
    let with_it = Tenant::default().and(&format!("[[apis]]\naudience = '{GONE}'\nallow_offline_access = true\n"));
    let mut world = World::start(Store::Sqlite, with_it).await;
    world.person("ann").await;
    let wish = Wish { audience: Some(GONE), scope: Some("openid offline_access"), ..Wish::default() };
    let tokens = world.api(Transport::Http).login_for(LENIENT, "ann", PASSWORD, wish).await.unwrap().tokens();
    world.restart_as(Tenant::default()).await;
    let mut trail = Trail::of(&world);
    trail.new_rows();
    for transport in [Transport::Http, Transport::Grpc] {
        let api = world.api(transport);
        api.refresh(LENIENT, tokens.refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
        let rows = trail.says("nobody asked for a scope", &["proof_rejected.refresh_token"]);
        assert_eq!(rows[0].detail.as_deref(), Some("its API is no longer there"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_and_one_logins_at_a_client_the_oldest_goes() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    let api = world.api(Transport::Grpc);
    let mut kept = Vec::new();
    for n in 0..=MAX_FAMILIES {
        world.advance_millis(1);
        let jwt = signer::login(&signer::login_claims(&world, "ext-1", &format!("login-{n}")));
        let proven = api.signed(&signer::assertion(&world, &format!("client-{n}")));
        kept.push(proven.signed_login(SIGNER, &jwt, wish(SCOPE)).await.unwrap().tokens());
        if n + 1 == MAX_FAMILIES {
            let asking = api.signed(&signer::assertion(&world, "asks"));
            assert!(asking.introspect(SIGNER, kept[0].refresh()).await.unwrap().is_some(), "there is room for it");
        }
    }
    assert_eq!(kept.len(), 201);
    let proven = |n: &str| api.signed(&signer::assertion(&world, n));
    proven("first").refresh(SIGNER, kept[0].refresh(), None).await.refused(&BAD_REFRESH_TOKEN);
    refreshed(&proven("second"), SIGNER, kept[1].refresh()).await;
    refreshed(&proven("last"), SIGNER, kept[MAX_FAMILIES].refresh()).await;
}
