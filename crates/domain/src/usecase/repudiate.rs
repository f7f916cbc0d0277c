//! "This was not me": the link of a notice.

use crate::{
    account::Account,
    app::{App, Origin},
    audit::{AuditEvent, Event},
    authenticator::Authenticator,
    error::{Error, Reason},
    opaque::{self, TokenKind},
    port::repudiation_store::{Redemption, Repudiation},
    secret::{Digest, Secret},
    time::Timestamp,
};

/// What a link is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeDescription {
    /// The name of the deployment, as its messages bear it.
    pub app_name: String,
    /// What the owner of the authenticator knows it by.
    pub authenticator: Option<String>,
    /// When it was added.
    pub added_at: Timestamp,
    /// From this moment on the link is of no use.
    pub expires_at: Timestamp,
}

/// A link that is good, and what it removes.
struct Link {
    digest: Digest,
    repudiation: Repudiation,
    account: Account,
}

impl Link {
    fn authenticator(&self) -> Result<&Authenticator, Error> {
        self.account.authenticator(&self.repudiation.authenticator).ok_or_else(|| dead("the authenticator is gone"))
    }
}

impl App {
    /// What the link with `token` is about. Nothing changes, however often it is asked: programs that read mail follow links.
    ///
    /// # Errors
    ///
    /// Any reason `DescribeNotice` lists in the protobuf contract.
    pub async fn describe_notice(&self, token: Secret<String>) -> Result<NoticeDescription, Error> {
        let link = self.link(&token, self.clock.now()).await?;
        let authenticator = link.authenticator()?;
        Ok(NoticeDescription {
            app_name: self.registry.app_name.clone(),
            authenticator: self.known_as(authenticator)?,
            added_at: authenticator.confirmed_at.unwrap_or(authenticator.created_at),
            expires_at: link.repudiation.expires_at,
        })
    }

    /// Removes what the notice with `token` told of; everything in flight of the account ends.
    ///
    /// # Errors
    ///
    /// Any reason `RepudiateAuthenticator` lists in the protobuf contract.
    pub async fn repudiate_authenticator(&self, token: Secret<String>, origin: Origin) -> Result<(), Error> {
        let now = self.clock.now();
        let link = self.link(&token, now).await?;
        let user = &link.account.user;
        let languages = origin.languages.as_deref();
        let messages = self.notices_of_removal(user, [link.authenticator()?], languages, now)?;
        let sends = !messages.is_empty();
        let audit = AuditEvent::about(Event::AuthenticatorRepudiated, &user.id, now)
            .on(&link.repudiation.authenticator)
            .at_address(origin.address);
        if !self.repudiations.redeem(Redemption { digest: link.digest, now, messages, audit }).await? {
            return Err(dead("used before"));
        }
        if sends {
            self.bell.ring();
        }
        Ok(())
    }

    /// The link with `token`, if it is still good. Unknown, used and expired ones cannot be told apart.
    async fn link(&self, token: &Secret<String>, now: Timestamp) -> Result<Link, Error> {
        if !opaque::is_well_formed(TokenKind::Notice, token.expose()) {
            return Err(dead("malformed"));
        }
        let digest = self.notice_digest(token);
        let repudiation = self.repudiations.find(&digest).await?.ok_or_else(|| dead("unknown or used"))?;
        if now >= repudiation.expires_at {
            return Err(dead("expired"));
        }
        let account = self.users.find(&repudiation.user).await?.ok_or_else(|| dead("user is gone"))?;
        Ok(Link { digest, repudiation, account })
    }
}

fn dead(why: &'static str) -> Error {
    Error::new(Reason::AuthenticatorNotFound).because(why)
}
