//! The e-mail factor that nobody enrolled: it follows from a verified address.

use crate::{
    account::Account,
    app::App,
    authenticator::{Authenticator, FAILURE_CEILING, FactorKind, Status},
    error::Error,
    factor::oob,
    id::{AuthenticatorId, RealmName, UserId},
    login_name::LoginName,
    opaque::ALPHANUMERIC,
    port::sealer::DigestPurpose,
    secret::{Sealed, Secret},
};

impl App {
    /// The account of `user` with everything that can be used.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub(crate) async fn account(&self, user: &UserId) -> Result<Option<Account>, Error> {
        Ok(self.users.find(user).await?.map(|account| self.with_implied(account)))
    }

    /// The account that logs in as `name`, likewise.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub(crate) async fn account_by_login(&self, realm: &RealmName, name: &LoginName) -> Result<Option<Account>, Error> {
        Ok(self.users.find_by_login(realm, name).await?.map(|account| self.with_implied(account)))
    }

    fn with_implied(&self, mut account: Account) -> Account {
        let user = &account.user;
        let Some(email) = user.email.as_ref().filter(|email| email.verified) else { return account };
        if !self.registry.factors.contains(&FactorKind::Email) {
            return account;
        }
        let digest = oob::address_digest(&email.address, self.sealer.as_ref());
        // A pending one does not exist yet. A disabled one does: it must not come back by another name.
        let takes_its_place = |a: &Authenticator| {
            a.kind == FactorKind::Email && a.address == Some(digest) && !matches!(a.status, Status::Pending { .. })
        };
        if account.authenticators.iter().any(takes_its_place) {
            return account;
        }
        let parts = [user.id.as_str().as_bytes(), email.address.as_bytes()];
        let name = self.sealer.keyed_digest(DigestPurpose::Address, &parts);
        let name: String = name.as_bytes().iter().take(16).map(|byte| letter(*byte)).collect();
        let id = AuthenticatorId::new(format!("{}|dev_{name}", FactorKind::Email.id_prefix()));
        let failures = user.address_failures;
        let implied = Authenticator {
            state: Sealed::new(Vec::new()),
            id,
            user: user.id.clone(),
            kind: FactorKind::Email,
            status: if failures < FAILURE_CEILING { Status::Active } else { Status::Disabled },
            pair: None,
            address: Some(digest),
            implied: Some(Secret::new(email.address.clone())),
            name: None,
            preferred: false,
            last_step: None,
            drift: 0,
            failures,
            created_at: user.created_at,
            confirmed_at: Some(user.created_at),
            last_used_at: None,
        };
        account.authenticators.push(implied);
        account
    }
}

fn letter(byte: u8) -> char {
    let alphabet = ALPHANUMERIC;
    alphabet.get(usize::from(byte) % alphabet.len()).map_or('0', |symbol| char::from(*symbol))
}
