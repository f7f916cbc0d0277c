//! The routes, and what they share.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    middleware,
    response::Response,
    routing::{MethodRouter, delete, get, patch, post},
};
use bytes::Bytes;
use countersign_proto::v1::{
    associate_service_client::AssociateServiceClient, challenge_service_client::ChallengeServiceClient,
    device_service_client::DeviceServiceClient, notice_service_client::NoticeServiceClient,
    token_service_client::TokenServiceClient,
};

use crate::{
    config::GatewayConfig,
    cors::Cors,
    finish::finish,
    oauth_error::Problem,
    openapi,
    reply::Kind,
    route::{
        guardian, mfa_associate, mfa_authenticators, mfa_challenge, mfa_remembered_devices, notices, oauth_introspect,
        oauth_revoke, oauth_token, userinfo, well_known,
    },
    transport::Transport,
};

/// What every handler works with.
pub(crate) struct Gateway<T> {
    pub(crate) config: GatewayConfig,
    pub(crate) cors: Cors,
    /// The `OpenAPI` document of this deployment.
    pub(crate) openapi: Bytes,
    transport: T,
}

impl<T: Transport> Gateway<T> {
    pub(crate) fn tokens(&self) -> TokenServiceClient<T> {
        TokenServiceClient::new(self.transport.clone())
    }

    pub(crate) fn challenges(&self) -> ChallengeServiceClient<T> {
        ChallengeServiceClient::new(self.transport.clone())
    }

    pub(crate) fn authenticators(&self) -> AssociateServiceClient<T> {
        AssociateServiceClient::new(self.transport.clone())
    }

    pub(crate) fn devices(&self) -> DeviceServiceClient<T> {
        DeviceServiceClient::new(self.transport.clone())
    }

    pub(crate) fn notices(&self) -> NoticeServiceClient<T> {
        NoticeServiceClient::new(self.transport.clone())
    }
}

/// A route: its path as in the `OpenAPI` document, and its handlers by method.
pub(crate) type Route<T> = (&'static str, MethodRouter<Arc<Gateway<T>>>);

/// The table of routes.
pub(crate) fn routes<T: Transport>() -> Vec<Route<T>> {
    vec![
        ("/oauth/token", post(oauth_token::handle::<T>)),
        ("/oauth/revoke", post(oauth_revoke::handle::<T>)),
        ("/oauth/introspect", post(oauth_introspect::handle::<T>)),
        ("/mfa/challenge", post(mfa_challenge::handle::<T>)),
        ("/mfa/associate", post(mfa_associate::handle::<T>)),
        ("/mfa/authenticators", get(mfa_authenticators::list::<T>)),
        (
            "/mfa/authenticators/{authenticator_id}",
            get(mfa_authenticators::show::<T>)
                .patch(mfa_authenticators::update::<T>)
                .delete(mfa_authenticators::delete::<T>),
        ),
        ("/mfa/remembered-devices", get(mfa_remembered_devices::list::<T>)),
        ("/mfa/remembered-devices/{device_id}", delete(mfa_remembered_devices::delete::<T>)),
        ("/appliance-mfa/api/enroll", post(guardian::enroll::<T>)),
        ("/appliance-mfa/api/resolve-transaction", post(guardian::resolve::<T>)),
        ("/appliance-mfa/api/device-accounts/{device_id}", patch(guardian::update::<T>).delete(guardian::delete::<T>)),
        ("/notices/{token}", get(notices::show::<T>).post(notices::repudiate::<T>)),
        ("/userinfo", get(userinfo::handle::<T>).post(userinfo::handle::<T>)),
        ("/.well-known/openid-configuration", get(well_known::discovery::<T>)),
        ("/.well-known/oauth-authorization-server", get(well_known::discovery::<T>)),
        ("/.well-known/jwks.json", get(well_known::keys::<T>)),
        ("/openapi.json", get(well_known::openapi::<T>)),
    ]
}

/// The name of the route a path belongs to.
pub(crate) fn route_name(path: &str) -> Option<&'static str> {
    const PATHS: [&str; 14] = [
        "/oauth/token",
        "/oauth/revoke",
        "/oauth/introspect",
        "/mfa/challenge",
        "/mfa/associate",
        "/mfa/authenticators",
        "/mfa/remembered-devices",
        "/appliance-mfa/api/enroll",
        "/appliance-mfa/api/resolve-transaction",
        "/userinfo",
        "/.well-known/openid-configuration",
        "/.well-known/oauth-authorization-server",
        "/.well-known/jwks.json",
        "/openapi.json",
    ];
    PATHS.into_iter().find(|known| *known == path).or_else(|| {
        let named =
            |prefix| path.strip_prefix(prefix).is_some_and(|name: &str| !name.is_empty() && !name.contains('/'));
        if named("/mfa/authenticators/") {
            return Some("/mfa/authenticators/{authenticator_id}");
        }
        if named("/mfa/remembered-devices/") {
            return Some("/mfa/remembered-devices/{device_id}");
        }
        if named("/appliance-mfa/api/device-accounts/") {
            return Some("/appliance-mfa/api/device-accounts/{device_id}");
        }
        named("/notices/").then_some("/notices/{token}")
    })
}

/// The HTTP API over `transport`.
///
/// The server that mounts it inserts the peer's address into every request as
/// [`axum::extract::ConnectInfo`]`<`[`std::net::SocketAddr`]`>`. For the request log, responses carry
/// [`countersign_telemetry::RouteName`] and, where they are refusals, [`countersign_telemetry::RequestFacts`].
pub fn router<T: Transport>(transport: T, config: GatewayConfig) -> Router {
    let gateway = Arc::new(Gateway {
        cors: Cors::new(&config.origins),
        openapi: openapi::for_issuer(&config.issuer),
        transport,
        config,
    });
    let routes = routes::<T>().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    routes
        .fallback(not_found::<T>)
        .method_not_allowed_fallback(method_not_allowed::<T>)
        // Outermost, so that errors of the router itself get the same headers.
        .layer(middleware::from_fn_with_state(Arc::clone(&gateway), finish::<T>))
        .with_state(gateway)
}

async fn not_found<T: Transport>(State(gateway): State<Arc<Gateway<T>>>) -> Response {
    gateway.refuse(Kind::Api, Problem::NotFound.into())
}

async fn method_not_allowed<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let kind = if request.uri().path() == "/oauth/token" { Kind::Token } else { Kind::Api };
    gateway.refuse(kind, Problem::MethodNotAllowed.into())
}

#[cfg(test)]
mod tests;
