//! `AssociateService`.

use countersign_domain::error::Reason;
use countersign_proto::v1::{self, associate_service_server::AssociateService};
use tonic::{Request, Response, Status, async_trait};

use super::{Parts, Services};
use crate::{
    caller,
    convert::{associate, authenticator},
    work::Share,
};

/// What a call that an `mfa_token` would do for is refused with, if it has no bearer.
const NO_BEARER: Reason = Reason::MfaTokenInvalid;

#[async_trait]
impl AssociateService for Services {
    async fn associate_authenticator(
        &self,
        request: Request<v1::AssociateAuthenticatorRequest>,
    ) -> Result<Response<v1::AssociateAuthenticatorResponse>, Status> {
        let Parts { metadata, extensions, message } = request.into();
        let origin = caller::origin(&extensions, &metadata, message.end_user.as_ref());
        let app = self.app.clone();
        let work = caller::bearer(&metadata, NO_BEARER)
            .and_then(|bearer| associate::parse(message, bearer, origin))
            .map(|command| async move { app.associate(command).await });
        self.call(Share::Completion, &metadata, work, associate::render).await
    }

    async fn list_authenticators(
        &self,
        request: Request<v1::ListAuthenticatorsRequest>,
    ) -> Result<Response<v1::ListAuthenticatorsResponse>, Status> {
        let Parts { metadata, message, .. } = request.into();
        let app = self.app.clone();
        let work = caller::bearer(&metadata, NO_BEARER)
            .and_then(|bearer| associate::parse_list(message, bearer))
            .map(|command| async move { app.list_authenticators(command).await });
        self.call(Share::Completion, &metadata, work, associate::render_page).await
    }

    async fn get_authenticator(
        &self,
        request: Request<v1::GetAuthenticatorRequest>,
    ) -> Result<Response<v1::GetAuthenticatorResponse>, Status> {
        let Parts { metadata, message, .. } = request.into();
        let app = self.app.clone();
        let work = caller::bearer(&metadata, Reason::AccessTokenInvalid)
            .and_then(|bearer| Ok((bearer, associate::parse_id(message.authenticator_id)?)))
            .map(|(bearer, id)| async move { app.find_authenticator(bearer, id).await });
        let render = |view| v1::GetAuthenticatorResponse { authenticator: Some(authenticator::render(view)) };
        self.call(Share::Ordinary, &metadata, work, render).await
    }

    async fn update_authenticator(
        &self,
        request: Request<v1::UpdateAuthenticatorRequest>,
    ) -> Result<Response<v1::UpdateAuthenticatorResponse>, Status> {
        let Parts { metadata, message, .. } = request.into();
        let app = self.app.clone();
        let work = caller::bearer(&metadata, Reason::AccessTokenInvalid)
            .and_then(|bearer| associate::parse_update(message, bearer))
            .map(|command| async move { app.update_authenticator(command).await });
        let render = |view| v1::UpdateAuthenticatorResponse { authenticator: Some(authenticator::render(view)) };
        self.call(Share::Ordinary, &metadata, work, render).await
    }

    async fn delete_authenticator(
        &self,
        request: Request<v1::DeleteAuthenticatorRequest>,
    ) -> Result<Response<v1::DeleteAuthenticatorResponse>, Status> {
        let Parts { metadata, extensions, message } = request.into();
        let origin = caller::origin(&extensions, &metadata, message.end_user.as_ref());
        let app = self.app.clone();
        let work = caller::bearer(&metadata, Reason::AccessTokenInvalid)
            .and_then(|bearer| Ok((bearer, associate::parse_id(message.authenticator_id)?)))
            .map(|(bearer, id)| async move { app.delete_authenticator(bearer, id, origin).await });
        self.call(Share::Ordinary, &metadata, work, |()| v1::DeleteAuthenticatorResponse {}).await
    }

    async fn list_remembered_devices(
        &self,
        request: Request<v1::ListRememberedDevicesRequest>,
    ) -> Result<Response<v1::ListRememberedDevicesResponse>, Status> {
        let Parts { metadata, message, .. } = request.into();
        let app = self.app.clone();
        let work = caller::bearer(&metadata, Reason::AccessTokenInvalid)
            .and_then(|bearer| associate::parse_devices(message, bearer))
            .map(|command| async move { app.list_remembered_devices(command).await });
        self.call(Share::Ordinary, &metadata, work, associate::render_devices).await
    }

    async fn delete_remembered_device(
        &self,
        request: Request<v1::DeleteRememberedDeviceRequest>,
    ) -> Result<Response<v1::DeleteRememberedDeviceResponse>, Status> {
        let Parts { metadata, extensions, message } = request.into();
        let origin = caller::origin(&extensions, &metadata, message.end_user.as_ref());
        let app = self.app.clone();
        let work = caller::bearer(&metadata, Reason::AccessTokenInvalid)
            .and_then(|bearer| Ok((bearer, associate::parse_device_id(message.device_id)?)))
            .map(|(bearer, id)| async move { app.delete_remembered_device(bearer, &id, &origin).await });
        self.call(Share::Ordinary, &metadata, work, |()| v1::DeleteRememberedDeviceResponse {}).await
    }
}
