//! `ChallengeService`.

use countersign_proto::v1::{self, challenge_service_server::ChallengeService};
use tonic::{Request, Response, Status, async_trait};

use super::{Parts, Services};
use crate::{
    caller,
    convert::challenge,
    watch::{self, States},
    work::Share,
};

#[async_trait]
impl ChallengeService for Services {
    type WatchChallengeStream = States;

    async fn create_challenge(
        &self,
        request: Request<v1::CreateChallengeRequest>,
    ) -> Result<Response<v1::CreateChallengeResponse>, Status> {
        let Parts { metadata, extensions, message } = request.into();
        let origin = caller::origin(&extensions, &metadata, message.end_user.as_ref());
        let app = self.app.clone();
        let work = challenge::parse(message, origin, self.known(&extensions))
            .map(|command| async move { app.open_challenge(command).await });
        self.call(Share::Completion, &metadata, work, challenge::render).await
    }

    async fn watch_challenge(&self, request: Request<v1::WatchChallengeRequest>) -> Result<Response<States>, Status> {
        let Parts { metadata, extensions, message } = request.into();
        let place = self.watchers.enter()?;
        let origin = caller::origin(&extensions, &metadata, None);
        let app = self.app.clone();
        let work = challenge::parse_watch(message, origin, self.known(&extensions))
            .map(|command| async move { app.watch_challenge(command).await });
        let watched = self.call(Share::Completion, &metadata, work, |watched| watched).await?.into_inner();
        Ok(Response::new(watch::states(self.app.clone(), watched, place)))
    }

    async fn answer_challenge(
        &self,
        request: Request<v1::AnswerChallengeRequest>,
    ) -> Result<Response<v1::AnswerChallengeResponse>, Status> {
        let Parts { metadata, message, .. } = request.into();
        let (app, command) = (self.app.clone(), challenge::parse_answer(message));
        let work = async move { app.answer_challenge(command).await };
        // Nobody knows yet who this is.
        self.call(Share::Ordinary, &metadata, Ok(work), |()| v1::AnswerChallengeResponse {}).await
    }
}
