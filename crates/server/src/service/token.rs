//! `TokenService`.

use countersign_domain::{app::Origin, error::Reason, presence::Presence, usecase::issue_token::Grant};
use countersign_proto::v1::{self, token_service_server::TokenService};
use tonic::{Request, Response, Status, async_trait};

use super::{Parts, Services};
use crate::{caller, convert::token, work::Share};

#[async_trait]
impl TokenService for Services {
    async fn issue_token(
        &self,
        request: Request<v1::IssueTokenRequest>,
    ) -> Result<Response<v1::IssueTokenResponse>, Status> {
        let Parts { metadata, extensions, message } = request.into();
        // Dropped with this call: it says whether anybody waits for a password to be looked at.
        let (_waiter, presence) = Presence::of_caller();
        let origin = Origin { presence, ..caller::origin(&extensions, &metadata, message.end_user.as_ref()) };
        let parsed = token::parse(message, origin, self.known(&extensions));
        let share = match parsed.as_ref().map(|command| &command.grant) {
            Ok(Grant::Otp { .. } | Grant::Oob { .. } | Grant::RecoveryCode { .. }) => Share::Completion,
            _ => Share::Ordinary,
        };
        let app = self.app.clone();
        // On the heap: the largest of the grants would be moved around with each call otherwise.
        let work = parsed.map(|command| async move { Box::pin(app.issue_token(command)).await });
        self.call(share, &metadata, work, token::render).await
    }

    async fn revoke_token(
        &self,
        request: Request<v1::RevokeTokenRequest>,
    ) -> Result<Response<v1::RevokeTokenResponse>, Status> {
        let Parts { metadata, extensions, message } = request.into();
        let origin = caller::origin(&extensions, &metadata, message.end_user.as_ref());
        let app = self.app.clone();
        let work = token::parse_revocation(message, origin, self.known(&extensions))
            .map(|command| async move { app.revoke_token(command).await });
        self.call(Share::Completion, &metadata, work, |()| v1::RevokeTokenResponse {}).await
    }

    async fn introspect_token(
        &self,
        request: Request<v1::IntrospectTokenRequest>,
    ) -> Result<Response<v1::IntrospectTokenResponse>, Status> {
        let Parts { metadata, extensions, message } = request.into();
        let origin = caller::origin(&extensions, &metadata, message.end_user.as_ref());
        let app = self.app.clone();
        let work = token::parse_introspection(message, origin, self.known(&extensions))
            .map(|command| async move { app.introspect_token(command).await });
        self.call(Share::Ordinary, &metadata, work, token::render_introspection).await
    }

    async fn get_user_info(
        &self,
        request: Request<v1::GetUserInfoRequest>,
    ) -> Result<Response<v1::GetUserInfoResponse>, Status> {
        let app = self.app.clone();
        let work = caller::bearer(request.metadata(), Reason::AccessTokenInvalid)
            .map(|bearer| async move { app.user_info(bearer).await });
        self.call(Share::Ordinary, request.metadata(), work, token::render_user_info).await
    }

    async fn get_signing_keys(
        &self,
        _request: Request<v1::GetSigningKeysRequest>,
    ) -> Result<Response<v1::GetSigningKeysResponse>, Status> {
        Ok(Response::new(token::render_keys(self.app.signing_keys())))
    }

    async fn get_metadata(
        &self,
        _request: Request<v1::GetMetadataRequest>,
    ) -> Result<Response<v1::GetMetadataResponse>, Status> {
        Ok(Response::new(token::render_metadata(self.app.metadata())))
    }
}
