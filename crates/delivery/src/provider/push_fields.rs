//! A notification's fields, for providers that speak JSON.

use countersign_domain::message::{Push, PushService};
use serde::Serialize;

/// What an app needs to show a login and to answer.
#[derive(Serialize)]
pub(super) struct PushFields<'a> {
    service: PushService,
    device: &'a str,
    challenge: &'a str,
    transaction_token: &'a str,
    base_url: &'a str,
    requested_at: String,
    client_name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<&'a str>,
    number_matching: bool,
}

impl<'a> PushFields<'a> {
    /// The fields of `push`.
    pub(super) fn of(push: &'a Push) -> Self {
        let context = &push.context;
        Self {
            service: context.service,
            device: &context.device,
            challenge: push.challenge.expose(),
            transaction_token: push.transaction_token.expose(),
            base_url: &context.base_url,
            requested_at: context.requested_at.to_rfc3339(),
            client_name: &context.client_name,
            user_agent: context.user_agent.as_deref(),
            address: context.address.as_deref(),
            number_matching: context.number_matching,
        }
    }
}
