//! List, show, change and remove a person's authenticators.

use crate::{
    account::Account,
    app::{App, AuthenticatorView, Bearer, Origin},
    audit::{AuditEvent, Event},
    claims::AccessToken,
    error::{Error, Reason},
    id::{AuthenticatorId, UserId},
    port::authenticator_store::{AuthenticatorChange, Spared},
    time::Timestamp,
};

/// One page of a list.
#[derive(Clone, Debug)]
pub struct ListCommand {
    /// The bearer token of the call.
    pub bearer: Bearer,
    /// Most entries, 1 to 100.
    pub page_size: usize,
    /// `next_page_token` of the page before.
    pub page_token: Option<String>,
}

/// A page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its entries.
    pub authenticators: Vec<AuthenticatorView>,
    /// Names the next page.
    pub next_page_token: Option<String>,
}

/// A change to one authenticator.
#[derive(Clone, Debug)]
pub struct UpdateCommand {
    /// The bearer token of the call.
    pub bearer: Bearer,
    /// Which.
    pub authenticator: AuthenticatorId,
    /// The new name; empty removes it.
    pub name: Option<String>,
    /// Whether it is preferred.
    pub preferred: Option<bool>,
}

impl App {
    /// One page of the person's authenticators, in the server's order, the recovery code last.
    ///
    /// # Errors
    ///
    /// Any reason `ListAuthenticators` lists in the protobuf contract.
    pub async fn list_authenticators(&self, command: ListCommand) -> Result<Page, Error> {
        let now = self.clock.now();
        let actor = self.actor(command.bearer.expose(), "read:authenticators", now).await?;
        let mut views = self.views(&actor.account, now)?;
        if let Some(token) = &command.page_token {
            // The token is the last id of the page before; if that one is gone, so is the place it marked.
            let last = views.iter().position(|view| view.id.as_str() == token);
            let last = last.ok_or_else(|| Error::malformed("page_token", "page_token is not one of this list"))?;
            views.drain(..=last);
        }
        let more = views.len() > command.page_size;
        views.truncate(command.page_size);
        let next_page_token = views.last().filter(|_| more).map(|view| view.id.as_str().to_owned());
        Ok(Page { authenticators: views, next_page_token })
    }

    /// One authenticator.
    ///
    /// # Errors
    ///
    /// Any reason `GetAuthenticator` lists in the protobuf contract.
    pub async fn find_authenticator(&self, bearer: Bearer, id: AuthenticatorId) -> Result<AuthenticatorView, Error> {
        let now = self.clock.now();
        let (token, account) = self.management_token(bearer.expose(), now).await?;
        token.require("read:authenticators")?;
        self.view_of(&account, &id, now)
    }

    /// Changes one authenticator.
    ///
    /// # Errors
    ///
    /// Any reason `UpdateAuthenticator` lists in the protobuf contract.
    pub async fn update_authenticator(&self, command: UpdateCommand) -> Result<AuthenticatorView, Error> {
        let now = self.clock.now();
        let (token, account) = self.management_token(command.bearer.expose(), now).await?;
        token.require("enroll")?;
        self.require_fresh_login(&token, &account, now)?;
        refuse_implied(&account, &command.authenticator)?;
        let change = AuthenticatorChange {
            name: command.name.map(|name| Some(name).filter(|name| !name.is_empty())),
            preferred: command.preferred,
        };
        let user = account.user.id;
        let row = row(Event::AuthenticatorUpdated, &user, &token, &command.authenticator, now);
        if !self.authenticators.update(&user, &command.authenticator, change, row).await? {
            return Err(Error::new(Reason::AuthenticatorNotFound));
        }
        let account = self.account(&user).await?.ok_or_else(|| Error::new(Reason::AccessTokenInvalid))?;
        self.view_of(&account, &command.authenticator, now)
    }

    /// Removes one authenticator.
    ///
    /// # Errors
    ///
    /// Any reason `DeleteAuthenticator` lists in the protobuf contract.
    pub async fn delete_authenticator(&self, bearer: Bearer, id: AuthenticatorId, origin: Origin) -> Result<(), Error> {
        let now = self.clock.now();
        loop {
            let (token, account) = self.management_token(bearer.expose(), now).await?;
            token.require("remove:authenticators")?;
            self.require_fresh_login(&token, &account, now)?;
            let user = &account.user.id;
            refuse_implied(&account, &id)?;
            if account.authenticator(&id).is_none() {
                return Err(Error::new(Reason::AuthenticatorNotFound));
            }
            let row = row(Event::AuthenticatorRemoved, user, &token, &id, now);
            let messages =
                self.notices_of_removal(&account.user, account.authenticator(&id), origin.languages.as_deref(), now)?;
            let sends = !messages.is_empty();
            let epoch = account.user.epoch + 1;
            let spares = Spared { digest: self.spared(&token.id, user, epoch), epoch };
            if self.authenticators.delete(user, &id, Some(spares), messages, row).await? {
                if sends {
                    self.bell.ring();
                }
                return Ok(());
            }
            // Something ended what was read, often another removal with the same token. Whoever causes that has removed something, so it
            // comes to an end.
        }
    }

    fn view_of(&self, account: &Account, id: &AuthenticatorId, now: Timestamp) -> Result<AuthenticatorView, Error> {
        let mut views = self.views(account, now)?;
        let found = views.iter().position(|view| view.id == *id);
        found.map(|at| views.swap_remove(at)).ok_or_else(|| Error::new(Reason::AuthenticatorNotFound))
    }
}

/// What follows from an address is not kept, so it can neither be changed nor removed.
fn refuse_implied(account: &Account, id: &AuthenticatorId) -> Result<(), Error> {
    if account.authenticator(id).is_some_and(|a| a.implied.is_some()) {
        return Err(Error::new(Reason::AuthenticatorImplied));
    }
    Ok(())
}

fn row(event: Event, user: &UserId, token: &AccessToken, id: &AuthenticatorId, at: Timestamp) -> AuditEvent {
    AuditEvent::about(event, user, at).by(&token.client).on(id)
}
