//! The push services together: each device is reached by its own.

use async_trait::async_trait;
use countersign_domain::{
    message::{Content, Message, PushService},
    port::sender::SendError,
};

use super::{Provider, Rendered, apns::Apns, fcm::Fcm};

/// One provider for all devices. Two providers side by side would each count the other's devices as failures.
#[derive(Debug, Default)]
pub struct PushServices {
    /// For Android.
    pub fcm: Option<Fcm>,
    /// For iOS.
    pub apns: Option<Apns>,
}

/// Why a device cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error("the push service of the device is not configured")]
struct NotConfigured;

#[async_trait]
impl Provider for PushServices {
    async fn send(&self, message: &Message, words: &Rendered) -> Result<(), SendError> {
        match (service(message), &self.fcm, &self.apns) {
            (Some(PushService::Fcm), Some(fcm), _) => fcm.send(message, words).await,
            (Some(PushService::Apns), _, Some(apns)) => apns.send(message, words).await,
            (Some(_), _, _) => Err(SendError::Refused(Box::new(NotConfigured))),
            (None, _, _) => Err(SendError::Refused(Box::new(super::guardian::NotForUs::NoLogin))),
        }
    }

    fn knows_ids(&self, message: &Message) -> bool {
        match (service(message), &self.fcm, &self.apns) {
            (Some(PushService::Fcm), Some(fcm), _) => fcm.knows_ids(message),
            (Some(PushService::Apns), _, Some(apns)) => apns.knows_ids(message),
            _ => false,
        }
    }
}

/// The service that reaches the device; `None` if the message is for none.
fn service(message: &Message) -> Option<PushService> {
    match &message.content {
        Content::Push(push) => Some(push.context.service),
        Content::Code { .. } | Content::Notice(_) => None,
    }
}
