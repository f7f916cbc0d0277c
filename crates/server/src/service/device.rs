//! `DeviceService`.

use countersign_domain::error::Reason;
use countersign_proto::v1::{self, device_service_server::DeviceService};
use tonic::{Request, Response, Status, async_trait};

use super::{Parts, Services};
use crate::{caller, convert::device, work::Share};

#[async_trait]
impl DeviceService for Services {
    async fn enroll_device(
        &self,
        request: Request<v1::EnrollDeviceRequest>,
    ) -> Result<Response<v1::EnrollDeviceResponse>, Status> {
        let Parts { metadata, message, .. } = request.into();
        let app = self.app.clone();
        let work = device::parse(message).map(|command| async move { app.enroll_device(command).await });
        self.call(Share::Ordinary, &metadata, work, device::render).await
    }

    async fn update_device(
        &self,
        request: Request<v1::UpdateDeviceRequest>,
    ) -> Result<Response<v1::UpdateDeviceResponse>, Status> {
        let Parts { metadata, message, .. } = request.into();
        let app = self.app.clone();
        let id = message.device_id.clone();
        let work = caller::bearer(&metadata, Reason::DeviceUnauthenticated)
            .and_then(|bearer| device::parse_update(message, bearer))
            .map(|command| async move { app.update_device(command).await });
        self.call(Share::Ordinary, &metadata, work, |kept| device::render_maintained(id, kept)).await
    }

    async fn delete_device(
        &self,
        request: Request<v1::DeleteDeviceRequest>,
    ) -> Result<Response<v1::DeleteDeviceResponse>, Status> {
        let Parts { metadata, message, .. } = request.into();
        let app = self.app.clone();
        let work = caller::bearer(&metadata, Reason::DeviceUnauthenticated)
            .and_then(|bearer| Ok((device::parse_delete(message)?, bearer)))
            .map(|(id, bearer)| async move { app.delete_device(&id, &bearer).await });
        self.call(Share::Ordinary, &metadata, work, |()| v1::DeleteDeviceResponse {}).await
    }
}
