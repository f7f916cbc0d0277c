//! Whether something speaks against sending to a number: that it was ported a moment ago, say, or got another SIM card (NIST SP 800-63B-4,
//! section 3.1.3.3).
//!
//! # For receivers
//!
//! An endpoint of the operator's own is asked before each text message and call. The body is JSON: `channel` (`sms` or `voice`), `to` (the
//! number in E.164) and `purpose` (`enroll` or `verify`). It is signed as messages to a [webhook](crate::provider::webhook) are.
//!
//! Any status of 2xx says that nothing speaks against it, 403 and 422 that nothing is to be sent there; bodies are not read. Whatever else
//! comes, or nothing, leaves it unknown: then the message is sent, and the audit trail says that nobody knew. 400, 404, 409, 410 and 429 are
//! understood to be about this one number: who asks for many that nobody knows gives the endpoint no pause.

use std::sync::Arc;

use countersign_domain::{
    message::{Channel, Purpose},
    port::{
        clock::Clock,
        sender::{Assessment, SendError},
    },
    secret::Secret,
};
use serde::Serialize;

use crate::{
    breaker::{Breaker, Change},
    chain::chain,
    provider::{
        SettingsError,
        webhook::{Endpoint, WebhookSettings},
    },
};

/// Asks the endpoint. While it fails too often it gets a pause, in which nobody waits for it.
pub struct NumberCheck {
    endpoint: Endpoint,
    clock: Arc<dyn Clock>,
    breaker: Breaker,
}

#[derive(Serialize)]
struct Body<'a> {
    channel: &'static str,
    to: &'a str,
    purpose: Purpose,
}

impl NumberCheck {
    /// Prepares the client. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// The settings cannot be used.
    pub fn new(settings: &WebhookSettings, clock: Arc<dyn Clock>) -> Result<Self, SettingsError> {
        Ok(Self { endpoint: Endpoint::new(settings, Arc::clone(&clock))?, clock, breaker: Breaker::new() })
    }

    /// What speaks against sending to the number `to`.
    pub(crate) async fn assess(&self, channel: Channel, to: &Secret<String>, purpose: Purpose) -> Assessment {
        let Some(permit) = self.breaker.admit(self.clock.now()) else { return Assessment::Unknown };
        let (assessment, change) = match self.ask(channel, to, purpose).await {
            Ok(200..=299) => (Assessment::Clear, permit.succeeded()),
            Ok(403 | 422) => (Assessment::AtRisk, permit.succeeded()),
            Ok(status) => {
                tracing::warn!(status, "a number was not checked");
                let of_this_number = matches!(status, 400 | 404 | 409 | 410 | 429);
                let change = if of_this_number { permit.found_nothing() } else { permit.failed(self.clock.now()) };
                (Assessment::Unknown, change)
            }
            Err(error) => {
                tracing::warn!(cause = chain(&error), "a number was not checked");
                (Assessment::Unknown, permit.failed(self.clock.now()))
            }
        };
        match change {
            Change::None => {}
            Change::Opened => tracing::warn!("the check of numbers fails too often and gets a pause"),
            Change::Closed => tracing::info!("the check of numbers is back"),
        }
        assessment
    }

    /// The status of the answer.
    async fn ask(&self, channel: Channel, to: &Secret<String>, purpose: Purpose) -> Result<u16, SendError> {
        let body = serde_json::to_vec(&Body { channel: channel.as_str(), to: to.expose(), purpose }).map(Secret::new);
        let body = body.map_err(|error| SendError::Refused(error.into()))?;
        self.endpoint.status_of(&body).await
    }
}
