//! List, show, change and remove a person's authenticators.

use crate::{
    app::{App, AuthenticatorView, Bearer},
    error::Error,
    id::AuthenticatorId,
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
        let _ = command;
        Err(Error::new(crate::error::Reason::Internal))
    }

    /// One authenticator.
    ///
    /// # Errors
    ///
    /// Any reason `GetAuthenticator` lists in the protobuf contract.
    pub async fn find_authenticator(&self, bearer: Bearer, id: AuthenticatorId) -> Result<AuthenticatorView, Error> {
        let _ = (bearer, id);
        Err(Error::new(crate::error::Reason::Internal))
    }

    /// Changes one authenticator.
    ///
    /// # Errors
    ///
    /// Any reason `UpdateAuthenticator` lists in the protobuf contract.
    pub async fn update_authenticator(&self, command: UpdateCommand) -> Result<AuthenticatorView, Error> {
        let _ = command;
        Err(Error::new(crate::error::Reason::Internal))
    }

    /// Removes one authenticator.
    ///
    /// # Errors
    ///
    /// Any reason `DeleteAuthenticator` lists in the protobuf contract.
    pub async fn delete_authenticator(&self, bearer: Bearer, id: AuthenticatorId) -> Result<(), Error> {
        let _ = (bearer, id);
        Err(Error::new(crate::error::Reason::Internal))
    }
}
