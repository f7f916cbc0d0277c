//! `ChallengeService`.

use countersign_proto::v1::{self, challenge_service_server::ChallengeService};
use tonic::{Request, Response, Status, async_trait};

use super::{Parts, Services};
use crate::{caller, convert::challenge, work::Share};

#[async_trait]
impl ChallengeService for Services {
    async fn create_challenge(
        &self,
        request: Request<v1::CreateChallengeRequest>,
    ) -> Result<Response<v1::CreateChallengeResponse>, Status> {
        let Parts { metadata, extensions, message } = request.into();
        let origin = caller::origin(&extensions, &metadata, message.end_user.as_ref());
        let app = self.app.clone();
        let work = challenge::parse(message, origin).map(|command| async move { app.open_challenge(command).await });
        self.call(Share::Completion, &metadata, work, challenge::render).await
    }
}
