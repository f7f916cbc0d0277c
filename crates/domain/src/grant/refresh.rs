//! The `refresh_token` grant: goes on with a login (RFC 6749, section 6), and notices when two do (RFC 9700, section 4.14.2).

use crate::{
    account::Account,
    app::{App, Origin, RequestedScopes},
    audit::{AuditEvent, Event},
    authentication::Authentication,
    error::{Error, Reason},
    grant::Granted,
    id::{Audience, FamilyId, Scope},
    login_policy::FirstFactor,
    message::{NoticeEvent, OutboxRow},
    pending_login::PendingLogin,
    policy::{Context, Decision, Demands, Reasons, Rule, Strength, Verdict, Why, Wish},
    port::{
        login_store::{Burn, CommitOutcome, LoginCommit, NewProof},
        refresh_store::{FamilyKind, RefreshFamily, RefreshStep, RevocationReach},
    },
    refresh_token::PresentedRefreshToken,
    registry::{Client, GrantType, OFFLINE_ACCESS},
    secret::Secret,
    time::Timestamp,
    transaction::{MfaTransaction, OriginalGrant},
    usecase::issue_token::Outcome,
    user::User,
};

/// How a login ends.
pub(crate) struct Ending {
    /// How the person authenticated, all factors.
    pub authentication: Authentication,
    /// What becomes of its refresh tokens, if it has any.
    pub refreshing: Option<Refreshing>,
    /// What becomes of the device it is on.
    pub remembering: Option<Refreshing>,
    /// Why the policy let it end so, if it was asked.
    pub reasons: Option<Reasons>,
    /// What tells of it.
    pub messages: Vec<OutboxRow>,
    /// The end of the grace period that it was let in by.
    pub grace_until: Option<Timestamp>,
    /// What is to be remembered of its second factor.
    pub proof: Option<NewProof>,
}

/// What becomes of the refresh tokens of a login.
pub(crate) struct Refreshing {
    /// What is to be committed.
    pub step: RefreshStep,
    /// The family.
    pub family: FamilyId,
    /// The token that is handed out if it was.
    pub token: Secret<String>,
}

impl Ending {
    /// `login`, with what becomes of the refresh tokens, and why it was asked for in its row.
    pub(crate) fn of(&self, login: LoginCommit) -> LoginCommit {
        let step = |of: &Option<Refreshing>| of.as_ref().map(|of| of.step.clone()).unwrap_or_default();
        let (refresh, device) = (step(&self.refreshing), step(&self.remembering));
        let mut audit = match (self.reasons, self.grace_until) {
            (Some(reasons), Some(until)) => {
                login.audit.because(format!("policy:{reasons}; grace until {}", until.to_rfc3339()))
            }
            (Some(reasons), None) => login.audit.because(format!("policy:{reasons}")),
            (None, _) => login.audit,
        };
        let begins_grace = self.reasons.is_some_and(|reasons| reasons.has(Why::GraceBegun));
        if matches!(device, RefreshStep::Open(_)) {
            let why = audit.detail.as_deref().map(|why| format!("{why}; ")).unwrap_or_default();
            audit = audit.because(format!("{why}device remembered"));
        }
        let messages = login.messages.into_iter().chain(self.messages.iter().cloned()).collect();
        LoginCommit { refresh, device, begins_grace, proof: self.proof, messages, audit, ..login }
    }
}

impl App {
    /// Exchanges a refresh token.
    pub(crate) async fn refresh_grant(
        &self,
        client: &Client,
        token: &Secret<String>,
        scopes: &RequestedScopes,
        wish: Wish,
        origin: &Origin,
    ) -> Result<Outcome, Error> {
        client.may_use(GrantType::RefreshToken)?;
        let now = self.clock.now();
        let presented =
            PresentedRefreshToken::parse(FamilyKind::Refresh, token.expose()).ok_or_else(|| invalid("malformed"))?;
        loop {
            let Some(family) = self.refresh.find_family(&presented.family).await? else {
                let row = AuditEvent::of_deployment(Event::RefreshFailed, now).by(&client.id);
                self.note_cheap(row.at_address(client.address_of(origin)).because("unknown or revoked")).await?;
                return Err(invalid("unknown or revoked"));
            };
            let failed = |why| family.audit(Event::RefreshFailed, client, origin, now).because(why);
            if !presented.is_of(&family, self) {
                self.note_cheap(failed("forged")).await?;
                return Err(invalid("forged"));
            }
            let exchange = self.exchange(client, &family, presented.generation, Vec::new(), origin, now).await?;
            let account = match self.account_of(&family).await {
                Ok(account) => account,
                Err(error) => {
                    match error.reason() {
                        Reason::StoreUnavailable | Reason::Overloaded => {}
                        Reason::UserBlocked => self.note_cheap(failed("user is blocked")).await?,
                        Reason::RefreshTokenUserGone => self.note_cheap(failed("user is gone")).await?,
                        _ => self.note_cheap(failed("account has changed")).await?,
                    }
                    return Err(error);
                }
            };
            let scopes = match self.narrowed(client, &family, scopes) {
                Ok(scopes) => scopes,
                Err(error) => {
                    self.note_cheap(failed(error.detail().unwrap_or("scope exceeded"))).await?;
                    return Err(error);
                }
            };
            let authentication = family.authentication();
            let audience = &family.audience;
            let rule = self.registry.rule(client, audience);
            // A client whose exchanges ask for no second factor may still wish for one.
            let rule = if client.refresh.asks_mfa { rule } else { Rule { demands: Demands::default(), ..rule } };
            let mut first = FirstFactor {
                client,
                account: &account,
                audience,
                authentication: &authentication,
                wish,
                context: Context::default(),
            };
            // The device is the one that holds the token.
            first.context = self.context_of(&rule, &first, client.address_of(origin), true).await?;
            let decision = self.decide_by(&rule, &first, origin, now).await?;
            let reasons = (client.refresh.asks_mfa || wish != Wish::default()).then_some(decision.reasons);
            if decision.verdict != Verdict::Pass {
                let transaction = self.interrupted(client, family, presented.generation, (scopes, &decision), now);
                return self.require_mfa(client, decision.verdict, &transaction, origin).await;
            }
            let audit = family.audit(Event::TokenRefreshed, client, origin, now);
            let ending = Ending {
                authentication,
                refreshing: Some(exchange),
                remembering: None,
                reasons,
                grace_until: decision.grace_until,
                messages: Vec::new(),
                proof: None,
            };
            let commit = ending.of(LoginCommit::new(&account.user, None, Burn::Nothing, audit));
            match self.logins.commit(commit).await? {
                CommitOutcome::Committed => {}
                // Somebody was faster. What the token is worth now is looked at again: each time round it is a generation older.
                // Or the person was told to enrol meanwhile: they are not told again.
                CommitOutcome::RefreshSpent | CommitOutcome::ToldBefore => continue,
                _ => {
                    self.note_cheap(failed("account has changed")).await?;
                    return Err(invalid("account has changed"));
                }
            }
            let granted = Granted {
                user: &account.user,
                client,
                audience: &family.audience,
                scopes,
                scopes_changed: true,
                ending,
                grant: GrantType::RefreshToken.as_str(),
                now,
            };
            return self.answer(granted).await.map(Outcome::Tokens);
        }
    }

    /// How `login` ends once the second factor is committed, which is of some strength and which `by` adds. What a refresh goes on with
    /// is from then on one of both: tokens of later exchanges say so too.
    ///
    /// # Errors
    ///
    /// [`Reason::RefreshTokenInvalid`]: the login goes on with a refresh token that is none any more. There is no randomness; the
    /// store or the sealer failed.
    pub(crate) async fn ending(
        &self,
        login: &PendingLogin,
        client: &Client,
        (strength, by): (Strength, impl FnOnce(Authentication) -> Authentication),
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Ending, Error> {
        let transaction = &login.transaction;
        let (authentication, refreshing) = match &transaction.grant {
            OriginalGrant::Password | OriginalGrant::Asserted { .. } => {
                let authentication = by(Self::first_factor(transaction));
                let access = (&transaction.audience, transaction.scopes.as_slice());
                let opening = self.opening(client, &login.account.user, access, &authentication, (now, None))?;
                (authentication, opening)
            }
            OriginalGrant::Refresh { family, generation, .. } => {
                let Some(family) = self.refresh.find_family(family).await? else {
                    let user = &login.account.user.id;
                    let row =
                        AuditEvent::about(Event::RefreshFailed, user, now).by(&client.id).because("revoked meanwhile");
                    let row = row.at_address(client.address_of(origin));
                    return Err(self.unless_completed(invalid("revoked"), login.consumed(), row).await);
                };
                // Nobody reused anything: the token was not spent when this login began, of which there may be several.
                if !family.takes(*generation, client, now) {
                    let row = family.audit(Event::RefreshFailed, client, origin, now).because("exchanged meanwhile");
                    return Err(self.unless_completed(invalid("exchanged meanwhile"), login.consumed(), row).await);
                }
                let authentication = by(family.authentication());
                let proven = authentication.names();
                (authentication, Some(self.exchange(client, &family, *generation, proven, origin, now).await?))
            }
        };
        let remembering = self.remembering(client, &login.account.user, transaction, origin, now)?;
        let messages = if remembering.is_some() {
            let languages = origin.languages.as_deref();
            self.notices(&login.account.user, NoticeEvent::DeviceRemembered, None, languages, now)?
        } else {
            Vec::new()
        };
        let reasons = Some(transaction.reasons);
        let proof = self.proof_from(&login.account.user.id, client.address_of(origin), strength);
        Ok(Ending { authentication, refreshing, remembering, reasons, grace_until: None, messages, proof })
    }

    /// Opens a family, if `offline_access` was granted. It ends by `ends_by` at the latest.
    ///
    /// # Errors
    ///
    /// There is no randomness.
    pub(crate) fn opening(
        &self,
        client: &Client,
        user: &User,
        (audience, scopes): (&Audience, &[Scope]),
        authentication: &Authentication,
        (now, ends_by): (Timestamp, Option<Timestamp>),
    ) -> Result<Option<Refreshing>, Error> {
        if !scopes.iter().any(|scope| scope.as_str() == OFFLINE_ACCESS) {
            return Ok(None);
        }
        let (mut id, mut salt) = ([0; FamilyId::BYTES], [0; 16]);
        self.entropy.fill(&mut id)?;
        self.entropy.fill(&mut salt)?;
        let token_lifetime = self.token_shape(audience).lifetime;
        let expires_at = client.refresh.lifetime.map(|lifetime| now.plus(lifetime)).into_iter().chain(ends_by).min();
        let family = RefreshFamily {
            kind: FamilyKind::Refresh,
            id: FamilyId::new(id),
            user: user.id.clone(),
            client: client.id.clone(),
            audience: audience.clone(),
            scopes: scopes.to_vec(),
            epoch: user.epoch,
            authenticated_at: authentication.at,
            methods: authentication.names(),
            salt,
            generation: 0,
            rotated_at: now,
            used_at: now,
            created_at: now,
            expires_at,
            sweep_at: expires_at.map(|at| at.plus(token_lifetime)),
        };
        let (id, token) = (family.id, self.refresh_token(&family, 0));
        Ok(Some(Refreshing { step: RefreshStep::Open(Box::new(family)), family: id, token }))
    }

    /// What exchanging a token of `generation` does, with which `proven` was. One that was exchanged before ends the family.
    async fn exchange(
        &self,
        client: &Client,
        family: &RefreshFamily,
        generation: u32,
        proven: Vec<String>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Refreshing, Error> {
        let failed = |why| family.audit(Event::RefreshFailed, client, origin, now).because(why);
        if family.client != client.id {
            self.note_cheap(failed("of another client")).await?;
            return Err(invalid("of another client"));
        }
        if family.has_expired(client, now) {
            self.note_cheap(failed("expired")).await?;
            return Err(invalid("expired"));
        }
        if !family.takes(generation, client, now) {
            let audit = family.audit(Event::RefreshTokenReused, client, origin, now);
            // Somebody else may have noticed first.
            if !self.refresh.revoke_family(&family.id, RevocationReach::Family, audit, Vec::new()).await? {
                self.note_cheap(failed("reused, and revoked meanwhile")).await?;
            }
            return Err(invalid("reused: the family is revoked"));
        }
        let rotates = generation == family.generation && client.refresh.rotates;
        let handed_out = if rotates { family.generation.saturating_add(1) } else { family.generation };
        let adds = proven.into_iter().filter(|method| !family.methods.contains(method)).collect();
        Ok(Refreshing {
            step: RefreshStep::Exchange { family: family.id, generation: family.generation, rotates, adds },
            family: family.id,
            token: self.refresh_token(family, handed_out),
        })
    }

    /// Whose family it is, if they may go on.
    async fn account_of(&self, family: &RefreshFamily) -> Result<Account, Error> {
        let account = self.account(&family.user).await?.ok_or_else(|| Error::new(Reason::RefreshTokenUserGone))?;
        if account.user.blocked {
            return Err(Error::new(Reason::UserBlocked));
        }
        if account.user.epoch == family.epoch { Ok(account) } else { Err(invalid("account has changed")) }
    }

    /// The scopes of this exchange: those that were granted and are offered still, or those of them that were asked for. A scope
    /// that nobody can have is passed over, as at the login.
    fn narrowed(
        &self,
        client: &Client,
        family: &RefreshFamily,
        requested: &RequestedScopes,
    ) -> Result<Vec<Scope>, Error> {
        // Nobody named an API in this request: it is the token that leads nowhere.
        let offer = self.offer(client, family.audience.clone()).map_err(|_| invalid("its API is no longer there"))?;
        if !offer.scopes.iter().any(|scope| scope.as_str() == OFFLINE_ACCESS) {
            return Err(invalid("offline access is no longer offered"));
        }
        let granted: Vec<Scope> = family.scopes.iter().filter(|scope| offer.scopes.contains(scope)).cloned().collect();
        let Some(requested) = requested else { return Ok(granted) };
        let mut narrowed = Vec::new();
        for scope in requested {
            if granted.contains(scope) {
                if !narrowed.contains(scope) {
                    narrowed.push(scope.clone());
                }
            } else if offer.scopes.contains(scope) {
                return Err(Error::new(Reason::ScopeExceeded).with("scope", scope.as_str()));
            }
        }
        Ok(narrowed)
    }

    /// The exchange as a login that waits for its second factor. The token that was presented is not spent.
    fn interrupted(
        &self,
        client: &Client,
        family: RefreshFamily,
        generation: u32,
        (scopes, decision): (Vec<Scope>, &Decision),
        now: Timestamp,
    ) -> MfaTransaction {
        MfaTransaction {
            user: family.user,
            client: client.id.clone(),
            audience: family.audience,
            scopes,
            scopes_changed: true,
            grant: OriginalGrant::Refresh { family: family.id, generation, methods: family.methods },
            epoch: family.epoch,
            authenticated_at: family.authenticated_at,
            expires_at: now.plus(self.registry.policy.mfa_token_lifetime),
            allowed: decision.allowed,
            reasons: decision.reasons,
        }
    }
}

impl RefreshFamily {
    /// A row of the audit trail about it.
    pub(crate) fn audit(&self, event: Event, client: &Client, origin: &Origin, at: Timestamp) -> AuditEvent {
        AuditEvent::about(event, &self.user, at).by(&client.id).at_address(client.address_of(origin))
    }

    /// How the person authenticated: when it was opened, and with second factors that exchanges asked for since. An exchange by itself
    /// proves nothing, and nothing makes the login younger.
    pub(crate) fn authentication(&self) -> Authentication {
        let methods = self.methods.iter().map(|method| method.clone().into()).collect();
        Authentication { at: self.authenticated_at, methods }
    }

    /// Whether a token of `generation` may be exchanged at `now`: the latest, and for a moment the one before.
    fn takes(&self, generation: u32, client: &Client, now: Timestamp) -> bool {
        let policy = &client.refresh;
        let overlaps = policy.rotates
            && generation.checked_add(1) == Some(self.generation)
            && now < self.rotated_at.plus(policy.overlap);
        generation == self.generation || overlaps
    }

    /// When its tokens are of no use any more if they are not used before: too long after the login, or not used for too long. Settings
    /// that have become stricter since the login count. `None`: never.
    pub(crate) fn ends_at(&self, client: &Client) -> Option<Timestamp> {
        let idle = client.refresh.idle_lifetime.map(|lifetime| self.used_at.plus(lifetime));
        let overall = client.refresh.lifetime.map(|lifetime| self.created_at.plus(lifetime));
        self.expires_at.into_iter().chain(overall).chain(idle).min()
    }

    /// Whether its tokens are of no use at `now`.
    pub(crate) fn has_expired(&self, client: &Client, now: Timestamp) -> bool {
        self.ends_at(client).is_some_and(|at| now >= at)
    }
}

fn invalid(why: &'static str) -> Error {
    Error::new(Reason::RefreshTokenInvalid).because(why)
}
