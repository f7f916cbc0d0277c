//! Asks the policy about a login: gathers the facts, and says what a refusal looks like.

use std::time::Duration;

use crate::{
    account::Account,
    app::{App, Origin},
    audit::{AuditEvent, Event},
    authentication::{ACR_MULTI_FACTOR, ACR_PASSWORD, Authentication},
    authenticator::{FactorKind, Status},
    claims::AccessToken,
    error::{Error, Reason},
    factor_set::FactorSet,
    id::Audience,
    policy::{self, Context, Decision, Facts, Purpose, Reasons, Rule, Verdict, Why, Wish, decide},
    registry::Client,
    time::Timestamp,
};

/// What a request asks of the authentication behind its tokens (RFC 9470, section 4).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepUp {
    /// Authentication classes, the one that is preferred first; empty: any.
    pub acr_values: Vec<String>,
    /// The longest time since the person logged in.
    pub max_age: Option<Duration>,
}

impl StepUp {
    /// What it comes to: the first class that is known is the one that is asked for. One that is higher than it serves too.
    ///
    /// # Errors
    ///
    /// [`Reason::AuthenticationUnmet`]: none of the classes is known here.
    pub(crate) fn wish(&self) -> Result<Wish, Error> {
        let known = self.acr_values.iter().find_map(|acr| match acr.as_str() {
            ACR_MULTI_FACTOR => Some(true),
            ACR_PASSWORD => Some(false),
            _ => None,
        });
        match known {
            None if !self.acr_values.is_empty() => Err(unmet("acr_values")),
            two_factors => Ok(Wish { two_factors: two_factors.unwrap_or(false), max_age: self.max_age }),
        }
    }
}

/// How a first factor was proven: now, or, where a refresh token goes on with a login, back then.
pub(crate) struct FirstFactor<'a> {
    /// Through which client.
    pub client: &'a Client,
    /// By whom.
    pub account: &'a Account,
    /// For which API.
    pub audience: &'a Audience,
    /// How.
    pub authentication: &'a Authentication,
    /// What the request asks for.
    pub wish: Wish,
    /// What is remembered of the person.
    pub context: Context,
}

impl App {
    /// What follows a first factor at `now`, where `rule` counts.
    ///
    /// # Errors
    ///
    /// [`Reason::AuthenticationUnmet`]: nothing can, which leaves a row. The store failed.
    pub(crate) async fn decide_by(
        &self,
        rule: &Rule,
        first: &FirstFactor<'_>,
        origin: &Origin,
        now: Timestamp,
    ) -> Result<Decision, Error> {
        let decision = decide(rule, &self.facts(first, now));
        if decision.verdict != Verdict::Unmet {
            return Ok(decision);
        }
        let row = AuditEvent::about(Event::LoginUnmet, &first.account.user.id, now)
            .by(&first.client.id)
            .at_address(first.client.address_of(origin))
            .because(format!("policy:{}", decision.reasons));
        self.note_cheap(row).await?;
        Err(refused(decision.reasons))
    }

    /// What is known.
    pub(crate) fn facts(&self, first: &FirstFactor<'_>, now: Timestamp) -> Facts {
        let account = first.account;
        let manages = self.registry.is_mfa_audience(first.audience.as_str());
        let stands = |kind: &Status| matches!(kind, Status::Active | Status::Disabled);
        let authenticators = account.authenticators.iter();
        Facts {
            purpose: if manages { Purpose::FactorManagement } else { Purpose::Api },
            enrolled: authenticators.filter(|a| a.implied.is_none() && stands(&a.status)).map(|a| a.kind).collect(),
            usable: account.authenticators.iter().filter(|a| a.is_active()).map(|a| a.kind).collect(),
            recovery_code: account.usable_recovery_code().is_some(),
            offered: self.offered(),
            two_factors_proven: first.authentication.is_multi_factor(),
            second_makes_two: first.authentication.may_become_multi_factor(),
            authenticated_at: first.authentication.at,
            wish: first.wish,
            context: first.context,
            told_at: account.user.told_at,
            now,
        }
    }

    /// The factors that may be enrolled here.
    pub(crate) fn offered(&self) -> FactorSet {
        self.registry.factors.iter().copied().collect()
    }

    /// Refuses a token of the first factor alone while the person has a second one (RFC 9470). E-mail does not count: who has nothing
    /// else gets such a token without it.
    ///
    /// # Errors
    ///
    /// [`Reason::StepUpRequired`].
    pub(crate) fn require_second_factor(&self, token: &AccessToken, account: &Account) -> Result<(), Error> {
        if account.is_strongly_enrolled() && !token.has_mfa() { Err(self.step_up(account)) } else { Ok(()) }
    }

    /// Refuses a token that may not change factors any more: of the first factor alone while there is a second, or of a login that is
    /// too long ago (OWASP ASVS 5.0, 7.5.1).
    ///
    /// # Errors
    ///
    /// [`Reason::StepUpRequired`], saying what would do.
    pub(crate) fn require_fresh_login(
        &self,
        token: &AccessToken,
        account: &Account,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.require_second_factor(token, account)?;
        self.require_recent_login(token.authenticated_at, account, now)
    }

    /// Refuses a login that is too long ago to change factors.
    ///
    /// # Errors
    ///
    /// [`Reason::StepUpRequired`], saying what would do.
    pub(crate) fn require_recent_login(
        &self,
        authenticated_at: Option<Timestamp>,
        account: &Account,
        now: Timestamp,
    ) -> Result<(), Error> {
        let max_age = self.registry.policy.management_max_age;
        let recent = authenticated_at.is_some_and(|at| policy::is_within(at, max_age, now));
        if recent { Ok(()) } else { Err(self.step_up(account)) }
    }

    /// What is asked for instead, in the words of RFC 9470, section 3.
    pub(crate) fn step_up(&self, account: &Account) -> Error {
        let error = Error::new(Reason::StepUpRequired);
        let error = if account.is_strongly_enrolled() { error.with("acr_values", ACR_MULTI_FACTOR) } else { error };
        error.with("max_age", self.registry.policy.management_max_age.as_secs().to_string())
    }

    /// The authentication classes that tokens can have. None of them says more than countersign can keep: there is no value for AAL2
    /// of NIST SP 800-63B-4 before there is a factor that resists phishing (section 2.2.2).
    pub(crate) fn acr_values(&self) -> Vec<&'static str> {
        let two = self.registry.factors.iter().copied().any(FactorKind::is_strong);
        std::iter::once(ACR_PASSWORD).chain(two.then_some(ACR_MULTI_FACTOR)).collect()
    }
}

fn refused(reasons: Reasons) -> Error {
    unmet(if reasons.has(Why::MaxAgeExceeded) { "max_age" } else { "factors" })
}

fn unmet(what: &'static str) -> Error {
    Error::new(Reason::AuthenticationUnmet).with("unmet", what)
}
