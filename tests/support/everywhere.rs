//! Runs one story on every store and over every transport.

use crate::{
    api::{Api, Transport},
    tenant::Tenant,
    world::{Store, World},
};

/// Starts a world and hands it over with its API.
pub async fn world(store: Store, transport: Transport, tenant: Tenant) -> (World, Api) {
    let world = World::start(store, tenant).await;
    let api = world.api(transport);
    (world, api)
}

/// Makes four tests of each story: over HTTP and gRPC, on SQLite alone and with Redis.
///
/// ```text
/// everywhere! {
///     async fn a_person_logs_in(world: World, api: Api) { … }
/// }
/// ```
///
/// `in some_tenant();` before the first story runs all of them in that tenant instead of the usual one.
#[macro_export]
macro_rules! everywhere {
    (in $tenant:expr; $(async fn $name:ident($($binding:ident)+: World, $api:ident: Api) $body:block)*) => {$(
        mod $name {
            #[allow(clippy::wildcard_imports, unused_imports, reason = "the story's own module is its scope")]
            use super::*;

            #[allow(unused_mut, unused_variables, reason = "not every story moves its world")]
            async fn story($($binding)+: $crate::world::World, $api: $crate::api::Api) $body

            #[tokio::test(flavor = "multi_thread")]
            async fn over_http_on_sqlite() {
                let (store, transport) = ($crate::world::Store::Sqlite, $crate::api::Transport::Http);
                let (world, api) = $crate::everywhere::world(store, transport, $tenant).await;
                story(world, api).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn over_grpc_on_sqlite() {
                let (store, transport) = ($crate::world::Store::Sqlite, $crate::api::Transport::Grpc);
                let (world, api) = $crate::everywhere::world(store, transport, $tenant).await;
                story(world, api).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn over_http_with_redis() {
                let (store, transport) = ($crate::world::Store::Redis, $crate::api::Transport::Http);
                let (world, api) = $crate::everywhere::world(store, transport, $tenant).await;
                story(world, api).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn over_grpc_with_redis() {
                let (store, transport) = ($crate::world::Store::Redis, $crate::api::Transport::Grpc);
                let (world, api) = $crate::everywhere::world(store, transport, $tenant).await;
                story(world, api).await;
            }
        }
    )*};
    ($(async fn $name:ident($($binding:ident)+: World, $api:ident: Api) $body:block)*) => {
        $crate::everywhere! {
            in $crate::tenant::Tenant::default();
            $(async fn $name($($binding)+: World, $api: Api) $body)*
        }
    };
}
