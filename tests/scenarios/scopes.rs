//! Which scopes are granted, and when the answer names them.

use countersign_tests::{
    api::{Transport, Wish},
    jwt,
    person::PASSWORD,
    tenant::{API, LENIENT, Tenant},
    world::{Store, World},
};

#[tokio::test(flavor = "multi_thread")]
async fn granted_scopes_follow_the_request_and_are_named_where_they_differ() {
    let world = World::start(Store::Sqlite, Tenant::default()).await;
    world.person("ann").await;
    // Asked for, granted, named in the answer.
    let rows: [(Option<&str>, Option<&str>, &str, bool); 9] = [
        (None, None, "openid profile email address phone", true),
        (None, Some("openid"), "openid", false),
        (None, Some("openid email"), "openid email", false),
        (None, Some("openid nonsense"), "openid", true),
        (None, Some("nonsense"), "", false),
        (Some(API), None, "openid profile email address phone read:things write:things", true),
        (Some(API), Some("read:things"), "read:things", false),
        (Some(API), Some("read:things read:things"), "read:things", false),
        (Some(API), Some("openid read:things offline_access"), "openid read:things offline_access", false),
    ];
    for transport in [Transport::Http, Transport::Grpc] {
        let api = world.api(transport);
        for (audience, scope, granted, named) in rows {
            let wish = Wish { audience, scope, ..Wish::default() };
            let tokens = api.login_for(LENIENT, "ann", PASSWORD, wish).await.unwrap().tokens();
            let place = format!("{transport:?} {audience:?} {scope:?}");
            assert_eq!(jwt::claims(&tokens.access_token)["scope"], granted, "{place}");
            assert_eq!(tokens.scope.as_deref(), named.then_some(granted), "{place}");
            assert_eq!(tokens.id_token.is_some(), granted.contains("openid"), "{place}");
        }
    }
}
