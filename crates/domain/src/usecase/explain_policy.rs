//! Tell what would follow a person's first factor, and why. Nothing happens.

use std::net::IpAddr;

use crate::{
    app::App,
    authentication::Authentication,
    error::{Error, Reason},
    id::{Audience, ClientId, RealmName, UserId},
    login_name::LoginName,
    login_policy::{FirstFactor, StepUp},
    policy::{Context, Decision, Facts, Rule, decide},
};

/// The login that is asked about.
#[derive(Clone, Debug)]
pub struct Question {
    /// Through which client.
    pub client: ClientId,
    /// In which realm.
    pub realm: RealmName,
    /// By whom.
    pub login: LoginName,
    /// For which API; `None`: as a request that names none.
    pub audience: Option<String>,
    /// What the request would ask for.
    pub step_up: StepUp,
    /// From which address; `None`: from one that is not known, which is a new network.
    pub address: Option<IpAddr>,
}

/// What would follow.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// Whose login it is.
    pub user: UserId,
    /// Whether the account is blocked: then nothing follows, whatever the policy says.
    pub blocked: bool,
    /// For which API.
    pub audience: Audience,
    /// What counts.
    pub rule: Rule,
    /// What is known.
    pub facts: Facts,
    /// What was decided.
    pub decision: Decision,
}

impl App {
    /// What would follow a first factor now; `None` if nobody has that name.
    ///
    /// # Errors
    ///
    /// [`Reason::ClientUnauthenticated`]: no such client. [`Reason::AudienceUnknown`]. [`Reason::AuthenticationUnmet`]: none of the
    /// `acr_values` is known. The store failed.
    pub async fn explain_policy(&self, question: Question) -> Result<Option<Explanation>, Error> {
        let wish = question.step_up.wish()?;
        let unknown = || Error::new(Reason::ClientUnauthenticated).because("unknown client");
        let client = self.registry.clients.get(&question.client).ok_or_else(unknown)?;
        let audience = self.offer(client, self.audience_of(question.audience.as_deref()))?.audience;
        let Some(account) = self.account_by_login(&question.realm, &question.login).await? else { return Ok(None) };
        let now = self.clock.now();
        let authentication = Authentication::password(now);
        let rule = self.registry.rule(client, &audience);
        let mut first = FirstFactor {
            client,
            account: &account,
            audience: &audience,
            authentication: &authentication,
            wish,
            context: Context::default(),
        };
        first.context = self.context_of(&rule, &first, question.address, false).await?;
        let facts = self.facts(&first, now);
        let decision = decide(&rule, &facts);
        let (user, blocked) = (account.user.id, account.user.blocked);
        Ok(Some(Explanation { user, blocked, audience, rule, facts, decision }))
    }
}
