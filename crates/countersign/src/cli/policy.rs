//! `policy`: ask what follows a first factor, and why.

use std::{fmt::Write as _, net::IpAddr, sync::Arc, time::Duration};

use clap::{Args, Subcommand};
use countersign_domain::{
    authenticator::FactorKind,
    error::{Error, Reason},
    factor_set::FactorSet,
    id::ClientId,
    login_name::LoginName,
    policy::{Demands, Rule, Strength, Verdict, Why},
    port::clock::Clock,
    time::Timestamp,
    usecase::{
        explain_policy::{Explanation, Question},
        issue_token::StepUp,
    },
};
use humantime_serde::re::humantime::format_duration;
use serde_json::json;

use super::{
    exit::Failure,
    run,
    user::{InRealm, no_realm, no_user, open},
};

/// `policy` and its verb.
#[derive(Args, Debug)]
pub struct PolicyCommand {
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Say what would follow if a person's password were right now, and why. Nothing happens.
    Explain(Box<Explain>),
}

/// `policy explain`.
#[derive(Args, Debug)]
pub struct Explain {
    /// The client they log in through.
    #[arg(long, value_name = "ID")]
    pub client: String,
    /// Their username or address.
    #[arg(long, value_name = "NAME")]
    pub user: String,
    /// The audience of the API the tokens are for. Without: as a request that names none.
    #[arg(long, value_name = "AUDIENCE")]
    pub api: Option<String>,
    /// An authentication class the request asks for (`acr_values`); may be repeated.
    #[arg(long = "acr", value_name = "ACR")]
    pub acr_values: Vec<String>,
    /// The address they log in from. Without: one that is not known, which is a new network.
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<IpAddr>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Where they are.
    #[command(flatten)]
    pub target: InRealm,
}

/// Explains.
///
/// # Errors
///
/// There is no such client, API or person; the store cannot be read.
pub async fn run(command: PolicyCommand, clock: &Arc<dyn Clock>) -> Result<(), Failure> {
    let Verb::Explain(asked) = command.verb;
    let (app, realm) = open(&asked.target, clock).await?;
    let question = Question {
        client: ClientId::new(asked.client.as_str()),
        realm: realm.ok_or_else(no_realm)?,
        login: LoginName::parse(&asked.user).map_err(|error| Failure::Data(error.to_string()))?,
        audience: asked.api.clone(),
        step_up: StepUp { acr_values: asked.acr_values.clone(), max_age: None },
        address: asked.address,
    };
    let explained = app.explain_policy(question).await.map_err(|error| refused(error, &asked))?;
    let explanation = explained.ok_or_else(|| no_user(&asked.user))?;
    run::print(text(&asked, &explanation).trim_end());
    Ok(())
}

fn refused(error: Error, asked: &Explain) -> Failure {
    match error.reason() {
        Reason::ClientUnauthenticated => Failure::Data(format!("There is no client {}", asked.client)),
        Reason::AudienceUnknown => {
            Failure::Data(format!("There is no API {}", asked.api.as_deref().unwrap_or_default()))
        }
        Reason::AuthenticationUnmet => Failure::Data("None of these authentication classes is known".to_owned()),
        _ => error.into(),
    }
}

fn text(asked: &Explain, explanation: &Explanation) -> String {
    if asked.json { as_json(asked, explanation) } else { for_people(asked, explanation) }
}

fn as_json(asked: &Explain, explanation: &Explanation) -> String {
    let Explanation { user, blocked, audience, rule, facts, decision } = explanation;
    let reasons: Vec<_> = decision.reasons.iter().map(Why::as_str).collect();
    json!({
        "client": asked.client,
        "user": user.as_str(),
        "blocked": blocked,
        "api": audience.as_str(),
        "verdict": decision.verdict.as_str(),
        "reasons": reasons,
        "accepted": names(decision.allowed.in_both(facts.offered)),
        "grace_until": decision.grace_until.map(Timestamp::to_rfc3339),
        "rule": {
            "demands": demands(rule.demands),
            "factors": names(rule.factors),
            "strength": strength(rule.strength),
            "context": looks_at(rule),
            "grace_seconds": grace(rule).map(|grace| grace.as_secs()),
        },
        "person": {
            "enrolled": names(facts.enrolled),
            "usable": names(facts.usable),
            "recovery_code": facts.recovery_code,
            "told_at": facts.told_at.map(Timestamp::to_rfc3339),
            "network_proven_at": facts.context.network.map(Timestamp::to_rfc3339),
            "last_proven_at": facts.context.last.map(Timestamp::to_rfc3339),
        },
    })
    .to_string()
}

fn for_people(asked: &Explain, explanation: &Explanation) -> String {
    let Explanation { user, blocked, audience, rule, facts, decision } = explanation;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // A String takes whatever is written to it.
        let _written = writeln!(text, "{name:<15} {value}");
    };
    line("person", &format!("{} ({user})", asked.user));
    line("client", &asked.client);
    line("api", audience.as_str());
    line("verdict", decision.verdict.as_str());
    line("", if *blocked { "the account is blocked: nothing follows" } else { sentence(decision.verdict) });
    for why in decision.reasons.iter() {
        line("because", &format!("{}: {}", why.as_str(), why.sentence()));
    }
    line("rule: demands", &demands(rule.demands).join(", "));
    line("rule: factors", &listed(rule.factors.in_both(facts.offered)));
    line("rule: strength", strength(rule.strength));
    if rule.demands.by_context() {
        line("rule: context", &looks_at(rule).join(", "));
    }
    line("rule: grace", &grace(rule).map_or_else(|| "-".to_owned(), |grace| format_duration(grace).to_string()));
    line("enrolled", &listed(facts.enrolled));
    line("usable", &listed(facts.usable));
    line("recovery code", if facts.recovery_code { "yes" } else { "no" });
    if rule.demands.by_context() {
        line("this network", &moment(facts.context.network));
        line("last factor", &moment(facts.context.last));
    }
    line("told to enrol", &moment(facts.told_at));
    line("grace until", &moment(decision.grace_until));
    line("accepted", &listed(decision.allowed.in_both(facts.offered)));
    text
}

/// What a rule that goes by the context looks at.
fn looks_at(rule: &Rule) -> Vec<String> {
    let context = rule.context;
    let named = [("new-network", context.networks), ("new-device", context.devices)];
    let age = context.max_age.map(|age| format!("max-age {}", format_duration(age)));
    named.into_iter().filter(|(_, looks)| *looks).map(|(name, _)| name.to_owned()).chain(age).collect()
}

/// The grace period of a rule that asks for a second factor of who has none.
fn grace(rule: &Rule) -> Option<Duration> {
    let enrols = rule.demands.always() || rule.demands.by_context();
    Some(rule.grace_given()).filter(|_| enrols).filter(|grace| !grace.is_zero())
}

fn moment(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), Timestamp::to_rfc3339)
}

const fn sentence(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "tokens, without a second factor",
        Verdict::Challenge => "a second factor is asked for",
        Verdict::Enroll => "the person must enrol a second factor",
        Verdict::Unmet => "nothing: what is asked for cannot be met",
    }
}

fn demands(demands: Demands) -> Vec<&'static str> {
    let all = [("if-enrolled", demands.if_enrolled()), ("context", demands.by_context()), ("always", demands.always())];
    let named: Vec<_> = all.into_iter().filter_map(|(name, holds)| holds.then_some(name)).collect();
    if named.is_empty() { vec!["never"] } else { named }
}

const fn strength(strength: Strength) -> &'static str {
    match strength {
        Strength::Any => "any",
        Strength::TwoFactors => "two-factors",
        Strength::Unrestricted => "unrestricted",
    }
}

fn names(factors: FactorSet) -> Vec<&'static str> {
    factors.kinds().map(FactorKind::as_str).collect()
}

fn listed(factors: FactorSet) -> String {
    if factors.is_empty() { "-".to_owned() } else { names(factors).join(", ") }
}
