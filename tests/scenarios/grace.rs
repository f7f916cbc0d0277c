//! The grace period for enrolment: had once, and by nobody who must prove more.

use countersign_domain::time::Timestamp;
use countersign_tests::{
    api::{Api, Wish},
    dump, everywhere, jwt,
    person::{PASSWORD, Person, Phone},
    refusal::{Refused as _, STEP_UP},
    tenant::{API, Client, MFA_API, MFA_SCOPES, Tenant},
    world::{Store, World},
};
use serde_json::{Value, json};

/// A client whose people may take two weeks.
const PATIENT: Client = Client { id: "patient", secret: None };
/// A client whose people may take four.
const SLOW: Client = Client { id: "slow", secret: None };
/// An API that asks always, and says nothing of grace.
const BANK: &str = "https://bank.test/";
/// An API that asks always, and gives a week.
const LOUNGE: &str = "https://lounge.test/";
/// An API that wants a certain strength.
const VAULT: &str = "https://vault.test/";
const DAY: u64 = 86_400;
const TWO_FACTORS: &str = "http://schemas.openid.net/pape/policies/2007/06/multi-factor";
const PASSWORD_ALONE: &str = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport";

fn tenant() -> Tenant {
    let grants = "['password', 'mfa-otp', 'mfa-recovery-code', 'refresh_token']";
    let client = |client: Client, days: u64| {
        format!(
            "[[clients]]\nid = '{}'\nauthentication = 'none'\ngrant_types = {grants}\nmfa_grace = '{days}days'\n",
            client.id
        )
    };
    Tenant::default()
        .and("[[apis]]\naudience = 'https://bank.test/'\nmfa_demand = 'always'\n")
        .and("[[apis]]\naudience = 'https://lounge.test/'\nmfa_demand = 'always'\nmfa_grace = '7days'\n")
        .and("[[apis]]\naudience = 'https://vault.test/'\nmfa_strength = 'two-factors'\n")
        .and(&client(PATIENT, 14))
        .and(&client(SLOW, 28))
}

fn of(audience: &str) -> Wish<'_> {
    Wish { audience: Some(audience), ..Wish::default() }
}

/// Enrols an app with the password alone, as anybody may who has no factor.
async fn enrol_by_management(world: &World, api: &Api, person: &Person) -> Phone {
    let wish = Wish { scope: Some(MFA_SCOPES), ..of(MFA_API) };
    let manager = api.login_for(PATIENT, &person.username, PASSWORD, wish).await.unwrap().tokens().access_token;
    let phone = Phone::new(api.associate(&manager).await.unwrap().secret, None);
    api.otp(PATIENT, &manager, &phone.code(world)).await.unwrap();
    phone
}

fn after(told: Timestamp, days: u64) -> String {
    told.plus(std::time::Duration::from_secs(days * DAY)).to_rfc3339()
}

everywhere! {
    in tenant();

    async fn who_must_enrol_is_let_in_until_the_grace_period_is_over(world: World, api: Api) {
        let ann = world.person("ann").await;
        let told = world.now();
        let first = ann.password_at(&api, PATIENT).await.unwrap().tokens();
        assert_eq!(first.enroll_by, Some(after(told, 14)));
        let claims = jwt::claims(&first.access_token);
        assert_eq!((&claims["acr"], &claims["amr"]), (&json!(PASSWORD_ALONE), &json!(["pwd"])));
        world.advance(DAY);
        assert_eq!(ann.password_at(&api, SLOW).await.unwrap().tokens().enroll_by, Some(after(told, 28)), "told once for all");
        world.advance(13 * DAY - 1);
        world.advance_millis(999);
        assert_eq!(ann.password_at(&api, PATIENT).await.unwrap().tokens().enroll_by, Some(after(told, 14)));
        world.advance_millis(1);
        ann.password_at(&api, PATIENT).await.unwrap().mfa_token();
        ann.password_at(&api, SLOW).await.unwrap().tokens();
        world.advance(14 * DAY);
        ann.password_at(&api, SLOW).await.unwrap().mfa_token();
        let why = |event| dump::details(&world.database(), event, ann.id.as_str());
        let until = |days| after(told, days);
        assert_eq!(why("login.password"), [
            format!("policy:policy_always,not_enrolled,grace_begun; grace until {}", until(14)),
            format!("policy:policy_always,not_enrolled,within_grace; grace until {}", until(28)),
            format!("policy:policy_always,not_enrolled,within_grace; grace until {}", until(14)),
            format!("policy:policy_always,not_enrolled,within_grace; grace until {}", until(28)),
        ]);
        assert_eq!(why("login.mfa_required")[0], "password; policy:policy_always,not_enrolled,grace_over");
    }

    async fn nothing_renews_a_grace_period(world: World, api: Api) {
        let ann = world.person("ann").await;
        ann.password_at(&api, PATIENT).await.unwrap().tokens();
        world.advance(13 * DAY);
        // Neither a factor that comes and goes, nor an operator's reset.
        let phone = enrol_by_management(&world, &api, &ann).await;
        let wish = Wish { scope: Some(MFA_SCOPES), ..of(MFA_API) };
        let token = api.login_for(PATIENT, "ann", PASSWORD, wish).await.unwrap().mfa_token();
        let manager = api.otp(PATIENT, &token, &phone.code(&world)).await.unwrap().access_token;
        let id = api.list(&manager).await.unwrap().remove(0).id;
        api.delete(&manager, &id).await.unwrap();
        ann.password_at(&api, PATIENT).await.unwrap().tokens();
        assert!(world.app().reset_factors(&ann.id).await.unwrap().is_some());
        world.advance(DAY);
        ann.password_at(&api, PATIENT).await.unwrap().mfa_token();
        assert!(world.app().reset_factors(&ann.id).await.unwrap().is_some());
        ann.password_at(&api, PATIENT).await.unwrap().mfa_token();
    }

    async fn who_had_a_factor_gets_no_first_grace_period_by_a_reset(world: World, api: Api) {
        let (ann, _) = world.enrolled(&api, "ann").await;
        world.advance(14 * DAY);
        assert!(world.app().reset_factors(&ann.id).await.unwrap().is_some());
        ann.password_at(&api, PATIENT).await.unwrap().mfa_token();
    }

    async fn who_must_prove_more_has_no_grace(world: World, api: Api) {
        let ann = world.person("ann").await;
        ann.password_at(&api, PATIENT).await.unwrap().tokens();
        let acr = Wish { acr_values: Some(TWO_FACTORS), ..Wish::default() };
        for wish in [acr, of(BANK), of(VAULT)] {
            api.login_for(PATIENT, "ann", PASSWORD, wish).await.unwrap().mfa_token();
        }
        // Of two grace periods the shorter counts.
        api.login_for(PATIENT, "ann", PASSWORD, of(LOUNGE)).await.unwrap().tokens();
        world.advance(7 * DAY);
        api.login_for(PATIENT, "ann", PASSWORD, of(LOUNGE)).await.unwrap().mfa_token();
        api.login_for(PATIENT, "ann", PASSWORD, of(API)).await.unwrap().tokens();
    }

    async fn refreshing_outlives_no_grace_period(world: World, api: Api) {
        let ann = world.person("ann").await;
        let lasting = Wish { scope: Some("openid offline_access"), ..of(API) };
        let mut tokens = api.login_for(PATIENT, "ann", PASSWORD, lasting).await.unwrap().tokens();
        world.advance(14 * DAY - 1);
        tokens = api.refresh(PATIENT, tokens.refresh(), None).await.unwrap().tokens();
        assert_eq!(jwt::claims(&tokens.access_token)["amr"], json!(["pwd"]));
        world.advance(1);
        assert!(api.refresh(PATIENT, tokens.refresh(), None).await.is_err());
        ann.password_at(&api, PATIENT).await.unwrap().mfa_token();
    }

    async fn a_first_factor_may_be_enrolled_meanwhile_and_no_second_one(world: World, api: Api) {
        let ann = world.person("ann").await;
        ann.password_at(&api, PATIENT).await.unwrap().tokens();
        let wish = Wish { scope: Some(MFA_SCOPES), ..of(MFA_API) };
        let manager = api.login_for(PATIENT, "ann", PASSWORD, wish).await.unwrap().tokens().access_token;
        let phone = Phone::new(api.associate(&manager).await.unwrap().secret, None);
        api.otp(PATIENT, &manager, &phone.code(&world)).await.unwrap();
        api.associate(&manager).await.refused(&STEP_UP);
        let token = ann.password_at(&api, PATIENT).await.unwrap().mfa_token();
        let tokens = api.otp(PATIENT, &token, &phone.code(&world)).await.unwrap();
        assert_eq!(tokens.enroll_by, None);
    }

    async fn of_many_first_logins_one_begins_it_and_all_are_let_in(world: World, api: Api) {
        let ann = world.person("ann").await;
        let told = world.now();
        let logins: Vec<_> = (0..8)
            .map(|_| {
                let api = api.clone();
                tokio::spawn(async move { api.login(PATIENT, "ann", PASSWORD).await.unwrap().tokens() })
            })
            .collect();
        for login in logins {
            assert_eq!(login.await.unwrap().enroll_by, Some(after(told, 14)));
        }
        let why = dump::details(&world.database(), "login.password", ann.id.as_str());
        assert_eq!(why.len(), 8);
        assert_eq!(why.iter().filter(|why| why.contains("grace_begun")).count(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_says_until_when() {
    let world = World::start(Store::Sqlite, tenant()).await;
    let api = world.api(countersign_tests::api::Transport::Http);
    let ann = world.person("ann").await;
    let explain = async || {
        let ended = world.command(&["policy", "explain", "--client", "patient", "--user", "ann", "--json"]).await;
        assert_eq!(ended.code, 0, "{}", ended.err);
        serde_json::from_str::<Value>(&ended.out).unwrap()
    };
    let said = explain().await;
    assert_eq!(said["reasons"], json!(["policy_always", "not_enrolled", "grace_begun"]));
    assert_eq!((&said["rule"]["grace_seconds"], &said["person"]["told_at"]), (&json!(14 * DAY), &Value::Null));
    assert_eq!(explain().await["person"]["told_at"], Value::Null, "asking tells nobody");
    ann.password_at(&api, PATIENT).await.unwrap().tokens();
    let said = explain().await;
    assert_eq!(said["person"]["told_at"], json!(world.now().to_rfc3339()));
    assert_eq!(said["grace_until"], json!(after(world.now(), 14)));
    let people = world.command(&["policy", "explain", "--client", "patient", "--user", "ann"]).await;
    let until = format!("grace until     {}", after(world.now(), 14));
    for line in ["rule: grace     14days", until.as_str()] {
        assert!(people.out.lines().any(|said| said == line), "{line} in:\n{}", people.out);
    }
}
