//! Remembered devices: what lets a person skip the second factor where they completed one before.
//!
//! A device token is derived from a family like a refresh token, and rotates with each use; one that was used before ends the device.
//! It says that the device is known, never that a factor was proven: tokens of such a login say how the first one was, and no more.

use crate::{
    account::Account,
    app::{App, Origin},
    audit::Event,
    authentication::Authentication,
    authenticator::FactorKind,
    error::{Error, Reason},
    grant::{
        Granted, audit,
        refresh::{Ending, Refreshing},
    },
    id::{Audience, FamilyId, Scope},
    login_policy::FirstFactor,
    message::NoticeEvent,
    policy::{Reasons, Rule, Strength, Wish},
    port::{
        login_store::{Burn, CommitOutcome, LoginCommit},
        refresh_store::{FamilyKind, RefreshFamily, RefreshStep, RevocationReach},
    },
    refresh_token::PresentedRefreshToken,
    registry::Client,
    time::Timestamp,
    transaction::{MfaTransaction, OriginalGrant},
    usecase::issue_token::TokenSet,
    user::User,
};

/// What a login asks for whose first factor was proven.
pub(crate) struct Asked<'a> {
    /// The audience.
    pub audience: &'a Audience,
    /// The scopes that are granted.
    pub scopes: &'a [Scope],
    /// Whether the answer must name them.
    pub scopes_changed: bool,
    /// How the first factor was proven.
    pub authentication: &'a Authentication,
    /// By which grant: `gty`.
    pub grant: &'static str,
    /// Why the policy asked for a second factor.
    pub reasons: Reasons,
}

impl App {
    /// Has the device remembered with the login that `transaction` waits for, if that is wished and the client may.
    ///
    /// # Errors
    ///
    /// There is no randomness.
    pub(crate) fn remembering(
        &self,
        client: &Client,
        user: &User,
        transaction: &MfaTransaction,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Option<Refreshing>, Error> {
        let Some(lifetime) = client.remembers_devices.filter(|_| origin.remember_device) else { return Ok(None) };
        let renews = matches!(transaction.grant, OriginalGrant::Refresh { .. });
        if renews || self.registry.is_mfa_audience(transaction.audience.as_str()) {
            return Ok(None);
        }
        let (mut id, mut salt) = ([0; FamilyId::BYTES], [0; 16]);
        self.entropy.fill(&mut id)?;
        self.entropy.fill(&mut salt)?;
        let expires_at = now.plus(lifetime);
        let family = RefreshFamily {
            kind: FamilyKind::Device,
            id: FamilyId::new(id),
            user: user.id.clone(),
            client: client.id.clone(),
            audience: Audience::new(""),
            scopes: Vec::new(),
            epoch: user.epoch,
            authenticated_at: now,
            methods: Vec::new(),
            salt,
            generation: 0,
            rotated_at: now,
            used_at: now,
            created_at: now,
            expires_at: Some(expires_at),
            sweep_at: Some(expires_at),
        };
        let (family_id, token) = (family.id, self.refresh_token(&family, 0));
        Ok(Some(Refreshing { step: RefreshStep::Open(Box::new(family)), family: family_id, token }))
    }

    /// Whether a device may answer for the second factor: not where the request or the policy asks for a certain strength or a fresh proof, nor
    /// where the API allows fewer factors than the client, with which it was remembered.
    pub(crate) fn may_skip(&self, first: &FirstFactor<'_>) -> bool {
        let rule = self.registry.rule(first.client, first.audience);
        let narrows = |kind: &FactorKind| first.client.mfa.factors.has(*kind) && !rule.factors.has(*kind);
        first.wish == Wish::default() && rule.strength == Strength::Any && !self.registry.factors.iter().any(narrows)
    }

    /// What letting somebody in does to the device that `rule` looks at, if it is remembered. Where a certain strength or certain factors
    /// are asked for, none is: nobody wrote down what it was remembered by.
    ///
    /// # Errors
    ///
    /// The store failed.
    pub(crate) async fn device_in(
        &self,
        rule: &Rule,
        first: &FirstFactor<'_>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Option<Refreshing>, Error> {
        if self.looks_at_devices(rule, first.audience) && self.may_skip(first) {
            self.recognised(first.client, first.account, first.audience, origin, now).await
        } else {
            Ok(None)
        }
    }

    /// Completes a login on a device that is remembered. `None`: it is not, and the second factor is asked for.
    ///
    /// # Errors
    ///
    /// [`Reason::MfaTokenInvalid`]: the account has changed meanwhile. A store, the signer or the randomness failed.
    pub(crate) async fn remembered_login(
        &self,
        client: &Client,
        account: &Account,
        asked: &Asked<'_>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Option<TokenSet>, Error> {
        loop {
            let Some(exchange) = self.recognised(client, account, asked.audience, origin, now).await? else {
                return Ok(None);
            };
            let authentication = asked.authentication.clone();
            let refreshing =
                self.opening(client, &account.user, (asked.audience, asked.scopes), &authentication, (now, None))?;
            let ending = Ending {
                authentication,
                refreshing,
                remembering: Some(exchange),
                reasons: Some(asked.reasons),
                messages: Vec::new(),
                grace_until: None,
                proof: None,
            };
            let row = audit(Event::RememberedLogin, &account.user, client, None, client.address_of(origin), now);
            let login = ending.of(LoginCommit::new(&account.user, None, Burn::Nothing, row));
            match self.logins.commit(login).await? {
                CommitOutcome::Committed => {}
                // Somebody was faster with the same token: it is looked at again, and is one that was used before.
                CommitOutcome::RefreshSpent => continue,
                _ => return Err(Error::new(Reason::MfaTokenInvalid).because("account has changed")),
            }
            let granted = Granted {
                user: &account.user,
                client,
                audience: asked.audience,
                scopes: asked.scopes.to_vec(),
                scopes_changed: asked.scopes_changed,
                ending,
                grant: asked.grant,
                now,
            };
            return self.answer(granted).await.map(Some);
        }
    }

    /// What using the token of the device does, if it is good for this person, client and audience. One that was used before ends the
    /// device.
    async fn recognised(
        &self,
        client: &Client,
        account: &Account,
        audience: &Audience,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Option<Refreshing>, Error> {
        let Some(token) = origin.device_token.as_ref().filter(|_| client.remembers_devices.is_some()) else {
            return Ok(None);
        };
        if self.registry.is_mfa_audience(audience.as_str()) {
            return Ok(None);
        }
        let Some(presented) = PresentedRefreshToken::parse(FamilyKind::Device, token.expose()) else { return Ok(None) };
        let Some(family) = self.refresh.find_family(&presented.family).await? else { return Ok(None) };
        let user = &account.user;
        let good = family.kind == FamilyKind::Device
            && presented.is_of(&family, self)
            && family.client == client.id
            && family.user == user.id
            && family.epoch == user.epoch
            && family.expires_at.is_some_and(|at| now < at);
        if !good {
            return Ok(None);
        }
        if presented.generation != family.generation {
            let row = family.audit(Event::DeviceTokenReused, client, origin, now);
            let languages = origin.languages.as_deref();
            let messages = self.notices(user, NoticeEvent::RememberedDeviceReused, None, languages, now)?;
            if self.refresh.revoke_family(&family.id, RevocationReach::Family, row, messages).await? {
                self.bell.ring();
            }
            return Ok(None);
        }
        Ok(Some(Refreshing {
            step: RefreshStep::Exchange {
                family: family.id,
                generation: family.generation,
                rotates: true,
                adds: Vec::new(),
            },
            family: family.id,
            token: self.refresh_token(&family, family.generation.saturating_add(1)),
        }))
    }
}
