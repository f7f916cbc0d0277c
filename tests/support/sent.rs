//! Telephones and mailboxes that codes arrive at.

use std::{fmt::Debug, future::Future};

use serde_json::Value;

use crate::{
    api::{Api, Sent, To, Tokens, Wish},
    jwt,
    person::{PASSWORD, Person},
    refusal::{Expected, Refusal, Refused as _},
    tenant::{BACKEND, MFA_API, MFA_SCOPES},
    world::World,
};

/// A number in the United States.
pub const NUMBER: &str = "+12025550123";
/// A number in Germany.
pub const GERMAN_NUMBER: &str = "+4915112345678";

/// One of the numbers beside [`NUMBER`]: they differ in the last four digits.
pub fn neighbour(last: u32) -> String {
    format!("+1202555{last:04}")
}

/// A message that arrived.
#[derive(Clone, Debug)]
pub struct Arrived {
    /// Its id.
    pub id: String,
    /// The way it took.
    pub channel: String,
    /// Where it arrived.
    pub to: String,
    /// Its words.
    pub text: String,
    /// The line above them, of an e-mail.
    pub subject: Option<String>,
    /// The code in it.
    pub code: String,
}

impl Arrived {
    /// The message of one line of an outbox, or of one request to a webhook.
    pub fn read(message: &Value) -> Self {
        let member = |name: &str| message[name].as_str().unwrap_or_else(|| panic!("{name} of {message}")).to_owned();
        Self {
            id: member("id"),
            channel: member("channel"),
            to: member("to"),
            text: member("text"),
            subject: message["subject"].as_str().map(str::to_owned),
            code: member("code"),
        }
    }

    /// Another code.
    pub fn wrong(&self) -> &'static str {
        if self.code == "271828" { "314159" } else { "271828" }
    }
}

impl World {
    /// What `call` answers, and the one message it leads to. Nothing else may be on its way.
    pub async fn sent<T: Debug>(&self, call: impl Future<Output = Result<T, Refusal>>) -> (T, Arrived) {
        let before = self.outbox().len();
        let answer = call.await.expect("a code is sent");
        let message = self.messages(before + 1).await.remove(before);
        (answer, Arrived::read(&message))
    }

    /// Makes `call`, which must be refused as `expected` without any message.
    pub async fn sends_nothing<T: Debug>(
        &self,
        call: impl Future<Output = Result<T, Refusal>>,
        expected: &Expected,
    ) -> Refusal {
        let before = self.message_ids();
        let refusal = call.await.refused(expected);
        assert_eq!(self.message_ids(), before, "no message was made");
        refusal
    }

    /// Makes an account and enrols a telephone at its first login.
    pub async fn with_telephone(&self, api: &Api, username: &str, number: &str) -> Person {
        let person = self.person(username).await;
        person.enrol_oob(self, api, To::Phone("sms", number)).await;
        person
    }
}

impl Person {
    /// Enrols a telephone or a mailbox while logging in.
    pub async fn enrol_oob(&self, world: &World, api: &Api, to: To<'_>) -> (Tokens, Sent) {
        let token = self.mfa_token(api).await;
        let (sent, message) = world.sent(api.associate_oob(&token, to)).await;
        let tokens = api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.expect("the code confirms");
        (tokens, sent)
    }

    /// The first factor, and a code that is sent over `channel`: the `mfa_token`, the handle, and what arrived.
    pub async fn challenged(&self, world: &World, api: &Api, channel: &str) -> (String, Sent, Arrived) {
        let token = self.mfa_token(api).await;
        let (sent, message) = world.sent(api.send_code(BACKEND, &token, None, Some(channel))).await;
        (token, sent, message)
    }

    /// Both factors, the second over `channel`.
    pub async fn log_in_over(&self, world: &World, api: &Api, channel: &str) -> Tokens {
        let (token, sent, message) = self.challenged(world, api, channel).await;
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.expect("the code is right")
    }

    /// A login for the MFA API with all its scopes.
    pub async fn login_to_manage(&self, api: &Api) -> Result<crate::api::Outcome, Refusal> {
        let wish = Wish { audience: Some(MFA_API), scope: Some(MFA_SCOPES), ..Wish::default() };
        api.login_for(BACKEND, &self.username, PASSWORD, wish).await
    }

    /// An access token of the MFA API, the second factor over `channel`.
    pub async fn manager_over(&self, world: &World, api: &Api, channel: &str) -> String {
        let token = self.login_to_manage(api).await.expect("the password is right").mfa_token();
        let (sent, message) = world.sent(api.send_code(BACKEND, &token, None, Some(channel))).await;
        api.oob(BACKEND, &token, &sent.oob_code, &message.code).await.expect("the code is right").access_token
    }
}

/// How a token says its person authenticated: `amr`, and whether `acr` is that of two factors.
pub fn authentication(token: &str) -> (Vec<String>, bool) {
    let claims = jwt::claims(token);
    let amr = claims["amr"].as_array().expect("amr is an array").iter();
    let amr = amr.map(|method| method.as_str().expect("a method is text").to_owned()).collect();
    (amr, claims["acr"] == "http://schemas.openid.net/pape/policies/2007/06/multi-factor")
}
