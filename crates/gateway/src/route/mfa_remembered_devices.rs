//! `/mfa/remembered-devices` and `/mfa/remembered-devices/{device_id}`.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use countersign_proto::v1::{
    DeleteRememberedDeviceRequest, ErrorReason, ListRememberedDevicesRequest, RememberedDevice,
};
use http::{StatusCode, request::Parts};

use crate::{
    call::{end_user, outgoing_as_bearer},
    oauth_error::{Place, Refusal},
    reply::{Kind, json, nothing},
    router::Gateway,
    shape,
    transport::Transport,
};

/// Most pages that are put together.
const MAX_PAGES: usize = 64;

/// `GET /mfa/remembered-devices`.
pub(crate) async fn list<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let result = all(&gateway, &request).await.map(|devices| {
        let entries: Vec<_> = devices.iter().map(shape::RememberedDevice::of).collect();
        json(Kind::Api, StatusCode::OK, &entries)
    });
    gateway.answer(Place::Authenticator, result)
}

async fn all<T: Transport>(gateway: &Gateway<T>, request: &Parts) -> Result<Vec<RememberedDevice>, Refusal> {
    let mut client = gateway.authenticators();
    let mut found = Vec::new();
    let mut page_token = String::new();
    for _ in 0..MAX_PAGES {
        let message = ListRememberedDevicesRequest { page_size: 0, page_token };
        let call = outgoing_as_bearer(&gateway.config, request, message)?;
        let page = client.list_remembered_devices(call).await?.into_inner();
        found.extend(page.devices);
        if page.next_page_token.is_empty() {
            return Ok(found);
        }
        page_token = page.next_page_token;
    }
    Err(Refusal::reason(ErrorReason::Internal))
}

/// `DELETE /mfa/remembered-devices/{device_id}`.
pub(crate) async fn delete<T: Transport>(State(gateway): State<Arc<Gateway<T>>>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let result = async {
        let device_id = request.uri.path().strip_prefix("/mfa/remembered-devices/").unwrap_or_default().to_owned();
        let message = DeleteRememberedDeviceRequest { device_id, end_user: Some(end_user(&gateway.config, &request)) };
        let call = outgoing_as_bearer(&gateway.config, &request, message)?;
        gateway.authenticators().delete_remembered_device(call).await?;
        Ok(nothing())
    };
    let result = result.await;
    gateway.answer(Place::Authenticator, result)
}
