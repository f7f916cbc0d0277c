//! `NoticeService`.

use countersign_domain::secret::Secret;
use countersign_proto::v1::{self, notice_service_server::NoticeService};
use tonic::{Request, Response, Status, async_trait};

use super::{Parts, Services};
use crate::{caller, convert::notice, work::Share};

#[async_trait]
impl NoticeService for Services {
    async fn describe_notice(
        &self,
        request: Request<v1::DescribeNoticeRequest>,
    ) -> Result<Response<v1::DescribeNoticeResponse>, Status> {
        let Parts { metadata, message, .. } = request.into();
        let app = self.app.clone();
        let work = async move { app.describe_notice(Secret::new(message.token)).await };
        self.call(Share::Ordinary, &metadata, Ok(work), notice::render).await
    }

    async fn repudiate_authenticator(
        &self,
        request: Request<v1::RepudiateAuthenticatorRequest>,
    ) -> Result<Response<v1::RepudiateAuthenticatorResponse>, Status> {
        let Parts { metadata, extensions, message } = request.into();
        let origin = caller::origin(&extensions, &metadata, message.end_user.as_ref());
        let app = self.app.clone();
        let work = async move { app.repudiate_authenticator(Secret::new(message.token), origin).await };
        self.call(Share::Ordinary, &metadata, Ok(work), |()| v1::RepudiateAuthenticatorResponse {}).await
    }
}
