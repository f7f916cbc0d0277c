//! List and forget the devices on which a person skips the second factor.

use crate::{
    app::{App, Bearer, Origin},
    audit::{AuditEvent, Event},
    error::{Error, Reason},
    id::{ClientId, FamilyId, UserId},
    port::refresh_store::{FamilyKind, RevocationReach},
    time::Timestamp,
    usecase::authenticators::ListCommand,
    user::User,
};

/// A remembered device as its owner may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RememberedDevice {
    /// Its id, which is no secret.
    pub id: String,
    /// The client it is remembered for.
    pub client: ClientId,
    /// When it was remembered.
    pub created_at: Timestamp,
    /// When it last logged in.
    pub used_at: Timestamp,
    /// When it is forgotten.
    pub expires_at: Timestamp,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Its entries.
    pub devices: Vec<RememberedDevice>,
    /// Names the next page.
    pub next_page_token: Option<String>,
}

impl App {
    /// One page of the person's remembered devices, the newest first.
    ///
    /// # Errors
    ///
    /// Any reason `ListRememberedDevices` lists in the protobuf contract.
    pub async fn list_remembered_devices(&self, command: ListCommand) -> Result<Page, Error> {
        let now = self.clock.now();
        let (token, account) = self.management_token(command.bearer.expose(), now).await?;
        token.require("read:authenticators")?;
        let mut devices = self.remembered_devices(&account.user, now).await?;
        if let Some(token) = &command.page_token {
            let last = devices.iter().position(|device| device.id == *token);
            let last = last.ok_or_else(|| Error::malformed("page_token", "page_token is not one of this list"))?;
            devices.drain(..=last);
        }
        let more = devices.len() > command.page_size;
        devices.truncate(command.page_size);
        let next_page_token = devices.last().filter(|_| more).map(|device| device.id.clone());
        Ok(Page { devices, next_page_token })
    }

    /// All of `user`'s remembered devices, the newest first, for an operator.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn devices_remembered(&self, user: &User) -> Result<Vec<RememberedDevice>, Error> {
        self.remembered_devices(user, self.clock.now()).await
    }

    /// Forgets one for an operator. False: `user` has no such device.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub async fn forget_device(&self, user: &User, id: &str) -> Result<bool, Error> {
        let Some(id) = self.device_family(&user.id, id).await? else { return Ok(false) };
        let row = self.by_operator(Event::DeviceForgotten, &user.id, self.clock.now());
        Ok(self.refresh.revoke_family(&id, RevocationReach::Family, row, Vec::new()).await?)
    }

    async fn remembered_devices(&self, user: &User, now: Timestamp) -> Result<Vec<RememberedDevice>, Error> {
        let families = self.refresh.list_families(&user.id, FamilyKind::Device).await?;
        let good = families.into_iter().filter(|family| family.epoch == user.epoch);
        let mut devices: Vec<RememberedDevice> = good
            .filter_map(|family| {
                let expires_at = family.expires_at.filter(|at| now < *at)?;
                Some(RememberedDevice {
                    id: family.id.to_string(),
                    client: family.client,
                    created_at: family.created_at,
                    used_at: family.used_at,
                    expires_at,
                })
            })
            .collect();
        devices.sort_by(|one, other| (other.created_at, &other.id).cmp(&(one.created_at, &one.id)));
        Ok(devices)
    }

    /// The family of a device that `user` has.
    async fn device_family(&self, user: &UserId, id: &str) -> Result<Option<FamilyId>, Error> {
        let Some(id) = FamilyId::parse(id) else { return Ok(None) };
        let family = self.refresh.find_family(&id).await?;
        Ok(family.filter(|family| family.kind == FamilyKind::Device && family.user == *user).map(|_| id))
    }

    /// Forgets one.
    ///
    /// # Errors
    ///
    /// Any reason `DeleteRememberedDevice` lists in the protobuf contract.
    pub async fn delete_remembered_device(&self, bearer: Bearer, id: &str, origin: &Origin) -> Result<(), Error> {
        let now = self.clock.now();
        let (token, account) = self.management_token(bearer.expose(), now).await?;
        token.require("remove:authenticators")?;
        self.require_fresh_login(&token, &account, now)?;
        let user = &account.user.id;
        let unknown = || Error::new(Reason::AuthenticatorNotFound);
        let id = self.device_family(user, id).await?.ok_or_else(unknown)?;
        let row = AuditEvent::about(Event::DeviceForgotten, user, now).by(&token.client).at_address(origin.address);
        if self.refresh.revoke_family(&id, RevocationReach::Family, row, Vec::new()).await? {
            Ok(())
        } else {
            Err(unknown())
        }
    }
}
