//! The password grants: the first factor (RFC 6749, section 4.3).

use crate::{
    account::Account,
    app::{App, Origin, RequestedScopes},
    attempt::{Asker, Subject},
    audit::{AuditEvent, Event},
    authentication::Authentication,
    error::{Error, Reason},
    factor_set::FactorSet,
    grant::{
        Granted, audit,
        refresh::{Ending, Refreshing},
    },
    id::{Audience, RealmName, Scope},
    login_policy::FirstFactor,
    policy::{Context, Decision, Verdict, Wish},
    port::{
        PortError,
        login_store::{Burn, CommitOutcome, LoginCommit},
        password_hasher::PasswordVerdict,
        session_store::Settlement,
    },
    registry::{Client, GrantType, MFA_API_SCOPES, OFFLINE_ACCESS, OIDC_SCOPES},
    remembered::Asked,
    time::Timestamp,
    transaction::{MfaTransaction, OriginalGrant},
    usecase::issue_token::{FactorType, MfaRequired, Outcome, PasswordGrant, TokenSet},
    user::PasswordHash,
};

/// A first factor that was proven, and what was asked for with it.
pub(crate) struct FirstProven<'a> {
    /// To whom tokens would go.
    pub client: &'a Client,
    /// Whose it is.
    pub account: &'a Account,
    /// For which API.
    pub audience: Audience,
    /// With which scopes.
    pub scopes: Vec<Scope>,
    /// Whether the answer must name them.
    pub scopes_changed: bool,
    /// How it was proven.
    pub authentication: Authentication,
    /// By which grant.
    pub grant: OriginalGrant,
    /// What the audit trail calls a login that needs nothing more.
    pub event: Event,
    /// What strength it wishes for.
    pub wish: Wish,
    /// Where the person is.
    pub origin: &'a Origin,
    /// When.
    pub now: Timestamp,
}

/// What may be had of an audience.
pub(crate) struct Offer {
    /// The audience.
    pub audience: Audience,
    /// The scopes.
    pub scopes: Vec<Scope>,
    /// The scopes that are granted when none is asked for.
    pub when_unnamed: Vec<Scope>,
}

impl App {
    /// Judges a password.
    pub(crate) async fn password_grant(
        &self,
        client: &Client,
        grant: PasswordGrant,
        wish: Wish,
        origin: &Origin,
    ) -> Result<Outcome, Error> {
        client.may_use(if grant.realm_grant { GrantType::PasswordRealm } else { GrantType::Password })?;
        let (audience, scopes) = self.resolve(client, grant.audience.as_deref(), &grant.scopes)?;
        let scopes_changed = named_differently(grant.scopes.as_ref(), &scopes);
        let realm = self.realm_of(client, &grant)?;
        let now = self.clock.now();

        let account = match &grant.login {
            Some(login) if self.registry.realms.contains(&realm) => self.account_by_login(&realm, login).await?,
            _ => None,
        };
        let subject = match &account {
            Some(account) => Subject::Account(&account.user),
            None => Subject::Unknown(&realm, grant.login.as_ref()),
        };
        let address = client.address_of(origin);
        if origin.presence.has_left() {
            return Err(PortError::Abandoned.into());
        }
        let permit = self.reserve_password_attempt(subject, Asker { client: &client.id, address }, now).await?;
        // Without an account the same work is done, so that the time tells nothing.
        // Who has no password here, likewise.
        let stored = account.as_ref().map(|account| account.user.password.clone()).filter(PasswordHash::is_set);
        let verdict = match self.hasher.verify(stored, grant.password, &origin.presence).await {
            Ok(verdict) => verdict,
            Err(error) => {
                // Nothing was looked at: who is told to come back, or has left, must find their attempt.
                self.sessions.settle(Settlement { refund: vec![permit.refund()], ..Settlement::default() }, now).await;
                return Err(error.into());
            }
        };
        let (Some(account), PasswordVerdict::Right) = (&account, verdict) else {
            let row = match &account {
                Some(account) => audit(Event::PasswordFailed, &account.user, client, None, address, now),
                None => AuditEvent::of_deployment(Event::PasswordFailed, now).by(&client.id).at_address(address),
            };
            self.note_cheap(row).await?;
            return Err(Error::new(Reason::CredentialsRejected));
        };
        self.sessions.settle(Settlement { reset: Some(permit.reset()), ..Settlement::default() }, now).await;
        if account.user.blocked {
            let row = audit(Event::PasswordFailed, &account.user, client, None, address, now).because("blocked");
            self.note_cheap(row).await?;
            return Err(Error::new(Reason::UserBlocked));
        }

        let proven = FirstProven {
            client,
            account,
            audience,
            scopes,
            scopes_changed,
            authentication: Authentication::password(now),
            grant: OriginalGrant::Password,
            event: Event::PasswordLogin,
            wish,
            origin,
            now,
        };
        match self.after_first_factor(proven).await {
            // The account changed while its password was checked: the password is what was refused.
            Err(error) if error.reason() == Reason::MfaTokenInvalid => {
                let why = "account has changed";
                let row = audit(Event::PasswordFailed, &account.user, client, None, address, now).because(why);
                self.note_cheap(row).await?;
                Err(Error::new(Reason::CredentialsRejected).because(why))
            }
            outcome => outcome,
        }
    }

    /// What follows a first factor that was proven: tokens, or the demand for a second one.
    ///
    /// # Errors
    ///
    /// [`Reason::MfaTokenInvalid`]: the account has changed meanwhile; a store or the signer failed.
    pub(crate) async fn after_first_factor(&self, proven: FirstProven<'_>) -> Result<Outcome, Error> {
        if let Some(outcome) = self.follow(&proven).await? {
            return Ok(outcome);
        }
        // Another login told the person to enrol since the account was read, whose grace period is that one's; or it used the token of the
        // device, which is one that was used before then.
        let changed = || Error::new(Reason::MfaTokenInvalid).because("account has changed");
        let read = &proven.account.user;
        let account = self.account(&read.id).await?.filter(|account| account.user.epoch == read.epoch);
        let account = account.ok_or_else(changed)?;
        self.follow(&FirstProven { account: &account, ..proven }).await?.ok_or_else(changed)
    }

    /// The same; `None` if something it goes by was changed by another login meanwhile.
    async fn follow(&self, proven: &FirstProven<'_>) -> Result<Option<Outcome>, Error> {
        let FirstProven { client, account, audience, scopes, scopes_changed, authentication, .. } = proven;
        let FirstProven { grant, origin, now, .. } = proven;
        let (client, account, origin, now) = (*client, *account, *origin, *now);
        let rule = self.registry.rule(client, audience);
        let context = Context::default();
        let mut first = FirstFactor { client, account, audience, authentication, wish: proven.wish, context };
        let device = self.device_in(&rule, &first, origin, now).await?;
        first.context = self.context_of(&rule, &first, client.address_of(origin), device.is_some()).await?;
        let decision = self.decide_by(&rule, &first, origin, now).await?;
        // A remembered device proves no factor: it never answers where a certain strength or a fresh proof is asked for.
        let skips = decision.verdict == Verdict::Challenge && !decision.reasons.by_context();
        if skips && self.may_skip(&first) {
            let asked = Asked {
                audience,
                scopes,
                scopes_changed: *scopes_changed,
                authentication,
                grant: grant.name(),
                reasons: decision.reasons,
            };
            if let Some(tokens) = self.remembered_login(client, account, &asked, origin, now).await? {
                return Ok(Some(Outcome::Tokens(tokens)));
            }
        }
        match decision.verdict {
            Verdict::Pass => Ok(self.let_in(proven, &decision, device).await?.map(Outcome::Tokens)),
            Verdict::Challenge | Verdict::Enroll | Verdict::Unmet => {
                let transaction = MfaTransaction {
                    user: account.user.id.clone(),
                    client: client.id.clone(),
                    audience: audience.clone(),
                    scopes: scopes.clone(),
                    scopes_changed: *scopes_changed,
                    grant: grant.clone(),
                    epoch: account.user.epoch,
                    authenticated_at: authentication.at,
                    expires_at: now.plus(self.registry.policy.mfa_token_lifetime),
                    allowed: decision.allowed,
                    reasons: decision.reasons,
                };
                self.require_mfa(client, decision.verdict, &transaction, origin).await.map(Some)
            }
        }
    }

    /// Tokens without a second factor. `None`: the person would be told to enrol, and was told meanwhile; or the token of the `device` that
    /// they are let in for was used meanwhile.
    async fn let_in(
        &self,
        proven: &FirstProven<'_>,
        decision: &Decision,
        device: Option<Refreshing>,
    ) -> Result<Option<TokenSet>, Error> {
        let FirstProven { client, account, audience, scopes, authentication, now, .. } = proven;
        let row = audit(proven.event, &account.user, client, None, client.address_of(proven.origin), *now);
        // Who is let in for a time only does not stay longer by refreshing.
        let span = (*now, decision.grace_until);
        let ending = Ending {
            authentication: authentication.clone(),
            refreshing: self.opening(client, &account.user, (audience, scopes), authentication, span)?,
            remembering: device,
            reasons: Some(decision.reasons),
            grace_until: decision.grace_until,
            messages: Vec::new(),
            proof: None,
        };
        let login = LoginCommit::new(&account.user, None, Burn::Nothing, row);
        match self.logins.commit(ending.of(login)).await? {
            CommitOutcome::ToldBefore => return Ok(None),
            CommitOutcome::RefreshSpent if ending.remembering.is_some() => return Ok(None),
            outcome => Self::judged(outcome, "password")?,
        }
        let granted = Granted {
            user: &account.user,
            client,
            audience,
            scopes: scopes.clone(),
            scopes_changed: proven.scopes_changed,
            ending,
            grant: proven.grant.name(),
            now: *now,
        };
        self.answer(granted).await.map(Some)
    }

    /// Asks for a second factor.
    pub(crate) async fn require_mfa(
        &self,
        client: &Client,
        verdict: Verdict,
        transaction: &MfaTransaction,
        origin: &Origin,
    ) -> Result<Outcome, Error> {
        let row = AuditEvent::about(Event::MfaRequired, &transaction.user, self.clock.now())
            .by(&client.id)
            .at_address(client.address_of(origin))
            .because(format!("{}; policy:{}", transaction.grant.name(), transaction.reasons));
        // First, since a store that keeps both writes them with one commit.
        let mfa_token = self.keep_login(transaction).await?;
        self.logins.note(row).await?;
        let types = self.factor_types(transaction.allowed);
        let (challenge, enroll) = match verdict {
            // E-mail is not offered for enrolment: it may be challenged.
            Verdict::Enroll => (Vec::new(), types.filter(|kind| *kind != FactorType::Email).collect()),
            _ => (types.chain([FactorType::RecoveryCode]).collect(), Vec::new()),
        };
        Ok(Outcome::MfaRequired(MfaRequired {
            mfa_token,
            expires_at: transaction.expires_at,
            challenge,
            enroll,
            published: client.publish_mfa_requirements,
        }))
    }

    /// Writes a row that a stranger may cause as often as they like. In a flood the row that follows says how many had none.
    pub(crate) async fn note_cheap(&self, row: AuditEvent) -> Result<(), Error> {
        let row = match self.audit_budget.take(row.at) {
            None => return Ok(()),
            Some(0) => row,
            Some(untold) => {
                let why = row.detail.as_deref().map(|why| format!("{why}; ")).unwrap_or_default();
                row.because(format!("{why}and {untold} more before it"))
            }
        };
        Ok(self.logins.note(row).await?)
    }

    /// The kinds of `allowed` factors that the deployment has enabled, the recovery code apart, each once.
    fn factor_types(&self, allowed: FactorSet) -> impl Iterator<Item = FactorType> {
        let enabled = self.registry.factors.iter().filter(|kind| allowed.has(**kind));
        let mut types: Vec<_> = enabled.map(|kind| FactorType::of(*kind)).collect();
        types.dedup();
        types.into_iter()
    }

    fn realm_of(&self, client: &Client, grant: &PasswordGrant) -> Result<RealmName, Error> {
        match &grant.realm {
            Some(realm) => Ok(realm.clone()),
            None if grant.realm_grant => Err(Error::missing("realm")),
            None => client
                .default_realm
                .clone()
                .or_else(|| self.registry.default_realm.clone())
                .ok_or_else(|| Error::new(Reason::NoDefaultRealm)),
        }
    }

    /// The audience and the scopes that are granted.
    pub(crate) fn resolve(
        &self,
        client: &Client,
        audience: Option<&str>,
        requested: &RequestedScopes,
    ) -> Result<(Audience, Vec<Scope>), Error> {
        let offer = self.offer(client, self.audience_of(audience))?;
        let granted = match requested {
            None => offer.when_unnamed,
            Some(requested) => {
                let mut granted: Vec<Scope> = Vec::new();
                for scope in requested {
                    if offer.scopes.contains(scope) && !granted.contains(scope) {
                        granted.push(scope.clone());
                    }
                }
                granted
            }
        };
        Ok((offer.audience, granted))
    }

    /// The audience a request means that names `audience`, or none.
    pub(crate) fn audience_of(&self, audience: Option<&str>) -> Audience {
        match audience {
            Some(audience) => Audience::new(audience),
            None => self.registry.default_audience.clone().unwrap_or_else(|| self.registry.userinfo_audience()),
        }
    }

    /// What `client` may have of `audience`.
    ///
    /// # Errors
    ///
    /// [`Reason::AudienceUnknown`].
    pub(crate) fn offer(&self, client: &Client, audience: Audience) -> Result<Offer, Error> {
        let named = |names: &[&'static str]| names.iter().map(|name| Scope::new(*name)).collect::<Vec<_>>();
        if self.registry.is_mfa_audience(audience.as_str()) {
            // Nothing that says who somebody is: what the client demands of a login was not asked for (decision 6).
            let own = named(&MFA_API_SCOPES);
            return Ok(Offer { audience: self.registry.mfa_audience(), scopes: own.clone(), when_unnamed: own });
        }
        let oidc = named(&OIDC_SCOPES);
        let (all, offline): (Vec<Scope>, _) = if let Some(api) = self.registry.apis.get(&audience) {
            (oidc.into_iter().chain(api.scopes.iter().cloned()).collect(), api.allow_offline_access)
        } else if audience == self.registry.userinfo_audience() {
            (oidc, true)
        } else {
            return Err(Error::new(Reason::AudienceUnknown).with("audience", audience.as_str()));
        };
        let offline = offline && client.grants.contains(&GrantType::RefreshToken);
        let scopes = all.iter().cloned().chain(offline.then(|| Scope::new(OFFLINE_ACCESS))).collect();
        Ok(Offer { audience, scopes, when_unnamed: all })
    }

    /// The pending login's parts that a second factor needs, as of `now`.
    pub(crate) fn first_factor(transaction: &MfaTransaction) -> Authentication {
        match &transaction.grant {
            OriginalGrant::Password => Authentication::password(transaction.authenticated_at),
            OriginalGrant::Refresh { methods, .. } | OriginalGrant::Asserted { methods } => Authentication {
                at: transaction.authenticated_at,
                methods: methods.iter().map(|method| method.clone().into()).collect(),
            },
        }
    }
}

/// Whether the answer must name the scopes (RFC 6749, section 5.1): none were asked for, or others were granted. An answer
/// without any scope names none, as recorded.
pub(crate) fn named_differently(requested: Option<&Vec<Scope>>, granted: &[Scope]) -> bool {
    match requested {
        _ if granted.is_empty() => false,
        None => true,
        Some(requested) => requested.iter().any(|scope| !granted.contains(scope)),
    }
}
