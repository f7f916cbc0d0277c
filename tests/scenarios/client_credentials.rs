//! Services that call an API as themselves.

use countersign_tests::{
    api::Wish,
    everywhere, jwt,
    refusal::{CLIENT_CREDENTIALS_OFF, Refused as _, STORE_DOWN, WRONG_CLIENT},
    signer::assertion,
    tenant::{API, BACKEND, ES256_API, MFA_API, SIGNER, Tenant},
};
use serde_json::json;

fn wish<'a>(audience: &'a str, scope: Option<&'a str>) -> Wish<'a> {
    Wish { audience: Some(audience), scope, ..Wish::default() }
}

everywhere! {
    in Tenant::default().with_es256_api();

    async fn a_service_gets_a_token_of_its_own_with_the_scopes_it_is_configured_for(world: World, api: Api) {
        let all = api.signed(&assertion(&world, "1")).service(SIGNER, wish(API, None)).await.unwrap();
        assert_eq!(all.scope.as_deref(), Some("read:things"));
        assert_eq!((&all.id_token, &all.refresh_token), (&None, &None));
        let claims = jwt::claims(&all.access_token);
        assert_eq!(claims["sub"], "signer@clients");
        assert_eq!(
            (&claims["gty"], &claims["aud"], &claims["azp"]),
            (&json!("client-credentials"), &json!(API), &json!("signer"))
        );
        assert!(["auth_time", "amr", "acr", "sid"].iter().all(|absent| claims.get(absent).is_none()));
        let more = wish(API, Some("openid offline_access write:things"));
        let narrow = api.signed(&assertion(&world, "2")).service(SIGNER, more).await.unwrap();
        assert_eq!(jwt::claims(&narrow.access_token)["scope"], "", "nothing else can be had");
        let active = api.introspect(BACKEND, &all.access_token).await.unwrap();
        assert_eq!(active.unwrap().subject, "signer@clients");
        assert!(api.subject(&all.access_token).await.is_err(), "it is nobody's");
    }

    async fn a_service_calls_no_other_api_and_nobody_else_is_a_service(world: World, api: Api) {
        for audience in [ES256_API, MFA_API, "https://id.test/userinfo", "https://unheard.test/"] {
            let refusal = api.signed(&assertion(&world, audience)).service(SIGNER, wish(audience, None)).await;
            assert!(refusal.is_err(), "{audience}");
        }
        api.service(BACKEND, wish(API, None)).await.refused(&CLIENT_CREDENTIALS_OFF);
        api.service(SIGNER, wish(API, None)).await.refused(&WRONG_CLIENT);
    }

    async fn while_the_store_is_away_no_service_is_said_to_be_good(world: World, api: Api) {
        let token = api.signed(&assertion(&world, "1")).service(SIGNER, wish(API, None)).await.unwrap().access_token;
        let file = rusqlite::Connection::open(world.database()).unwrap();
        file.execute_batch("ALTER TABLE user RENAME TO lost").unwrap();
        api.introspect(BACKEND, &token).await.map(|_| ()).refused(&STORE_DOWN);
        file.execute_batch("ALTER TABLE lost RENAME TO user").unwrap();
        assert!(api.introspect(BACKEND, &token).await.unwrap().is_some());
    }
}
