//! One part of a run by itself, with people of its own.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{
    beside::Yardsticks,
    deployment::{AUDIENCE, Deployment, Extra, RS256_AUDIENCE, Redis, SCOPE},
    measure::{Row, megabytes},
    messages::{self, Mailbox},
    people::Stores,
    plan::Plan,
    process,
    run::{Options, code_rows, password_rows, second_factors},
    tokens, waiting,
    yardstick::signature,
};

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Part {
    /// Full logins and the hashes they take turns with.
    Logins,
    /// Second factors on the embedded store, twice.
    SecondFactors,
    /// The same with Redis.
    Redis,
    /// Second factors answered with two RS256 tokens, and what the cores sign.
    TwoTokens,
    /// Refresh and introspection.
    Sessions,
    /// Codes by text message.
    Codes,
    /// The memory of an idle server and of waiting streams.
    Streams,
}

impl Part {
    /// Measures it, and prints what came of it.
    ///
    /// # Errors
    ///
    /// As [`run`](crate::run::run).
    pub async fn run(self, options: &Options) -> anyhow::Result<()> {
        let plan = if options.quick { Plan::QUICK } else { Plan::FULL };
        let rows = match self {
            Self::Logins => logins(plan, options).await?,
            Self::SecondFactors => second_factors_alone(plan, options, None).await?,
            Self::Redis => second_factors_with_redis(plan, options).await?,
            Self::TwoTokens => two_tokens(plan, options).await?,
            Self::Sessions => sessions(plan, options).await?,
            Self::Codes => codes(plan, options).await?,
            Self::Streams => return streams(plan, options).await,
        };
        for row in rows {
            let parts = row.in_parts().zip(row.parts_us);
            let parts = parts.map(|(ratio, parts)| format!("  {ratio:.2} times {parts:.1} us")).unwrap_or_default();
            println!(
                "{:<28} {:>9.0}/s  p50 {:>7.0} us  CPU {:>6.1} us{parts}",
                row.name, row.per_second, row.p50_us, row.cpu_us
            );
        }
        Ok(())
    }
}

async fn logins(plan: Plan, options: &Options) -> anyhow::Result<Vec<Row>> {
    let embedded = Deployment::write(&options.dir, "embedded", Extra::Nothing)?;
    let stores = Stores::open(&embedded).await?;
    let people = stores.enroll(stores.add("login", plan.logins).await?).await?;
    stores.close().await;
    let (server, _) = embedded.start(&options.server).await?;
    let (hashes, mut rows) = password_rows(plan, &server, people).await?;
    server.stop().await?;
    rows.push(hashes);
    Ok(rows)
}

async fn second_factors_with_redis(plan: Plan, options: &Options) -> anyhow::Result<Vec<Row>> {
    let own = if options.redis.is_none() { Redis::start(&options.dir).await? } else { None };
    let url = options.redis.as_deref().or_else(|| own.as_ref().map(|own| own.url.as_str()));
    second_factors_alone(plan, options, Some(url.context("no redis-server here and no --redis")?)).await
}

async fn second_factors_alone(plan: Plan, options: &Options, redis: Option<&str>) -> anyhow::Result<Vec<Row>> {
    let extra = redis.map_or(Extra::Nothing, Extra::Redis);
    let deployment = Deployment::write(&options.dir, "embedded", extra)?;
    let stores = Stores::open(&deployment).await?;
    let people = stores.enroll(stores.add("second", plan.second_factors * 4).await?).await?;
    let mut pending = stores.prove_password(people).await?;
    stores.close().await;
    let (server, _) = deployment.start(&options.server).await?;
    let mut beside = yardsticks(plan, options, redis).await?;
    let mut before = beside.parts().await?;
    let mut rows = Vec::new();
    for _ in 0..2 {
        let http = pending.split_off(pending.len() - plan.second_factors);
        let grpc = pending.split_off(pending.len() - plan.second_factors);
        let names = ["second factor, gRPC", "second factor, HTTP"];
        let [first, second] = second_factors(options, &server, names, grpc, http).await?;
        let after = beside.parts().await?;
        let parts = before.and(after);
        let parts = if redis.is_some() { parts.of_second_factor_with_redis() } else { parts.of_second_factor() };
        rows.extend([first.beside(parts), second]);
        before = after;
    }
    server.stop().await?;
    Ok(rows)
}

async fn two_tokens(plan: Plan, options: &Options) -> anyhow::Result<Vec<Row>> {
    let embedded = Deployment::write(&options.dir, "embedded", Extra::Nothing)?;
    let stores = Stores::open(&embedded).await?;
    let people = stores.enroll(stores.add("tokens", plan.two_tokens).await?).await?;
    let people = stores.prove_password_for(people, RS256_AUDIENCE, &[SCOPE, "openid"]).await?;
    stores.close().await;
    let (server, _) = embedded.start(&options.server).await?;
    let mut rows = vec![signature::rs256_on_all(plan.span)?];
    rows.extend(tokens::beside_health_calls(&server, options.callers, people).await?);
    rows.push(signature::rs256_on_all(plan.span)?);
    server.stop().await?;
    Ok(rows)
}

async fn sessions(plan: Plan, options: &Options) -> anyhow::Result<Vec<Row>> {
    let embedded = Deployment::write(&options.dir, "embedded", Extra::Nothing)?;
    let stores = Stores::open(&embedded).await?;
    let people = stores.enroll(stores.add("family", plan.families).await?).await?;
    let people = stores.prove_password_for(people, AUDIENCE, &[SCOPE, "offline_access"]).await?;
    stores.close().await;
    let (server, _) = embedded.start(&options.server).await?;
    let mut beside = yardsticks(plan, options, None).await?;
    let before = beside.parts().await?;
    let [refresh, introspection] = tokens::of_sessions(plan, &server, options.callers, people).await?;
    let parts = before.and(beside.parts().await?);
    server.stop().await?;
    Ok(vec![refresh.beside(parts.of_exchange()), introspection])
}

async fn codes(plan: Plan, options: &Options) -> anyhow::Result<Vec<Row>> {
    let (texting, mailbox, receiving) = texting(options).await?;
    let stores = Stores::open(&texting).await?;
    let people = stores.enroll_phones(stores.add("phone", plan.codes).await?).await?;
    let people = stores.prove_password(people).await?;
    stores.close().await;
    let (server, _) = texting.start(&options.server).await?;
    let mut beside = yardsticks(plan, options, None).await?;
    let before = beside.parts().await?;
    let [sent, proven] = code_rows(options, &server, people, mailbox).await?;
    let parts = before.and(beside.parts().await?);
    server.stop().await?;
    receiving.abort();
    Ok(vec![sent.beside(parts.of_sending()), proven.beside(parts.of_verification())])
}

async fn streams(plan: Plan, options: &Options) -> anyhow::Result<()> {
    let (texting, mailbox, receiving) = texting(options).await?;
    let stores = Stores::open(&texting).await?;
    let people = stores.enroll_devices(stores.add("device", plan.waiting).await?).await?;
    let people = stores.prove_password(people).await?;
    stores.close().await;
    let (server, _) = Deployment::write(&options.dir, "embedded", Extra::Nothing)?.start(&options.server).await?;
    let idle_mb = megabytes(process::memory(server.pid)?.resident);
    server.stop().await?;
    let (server, _) = texting.start(&options.server).await?;
    let (_, streams_mb) = waiting::watch(&server, options.callers, people, mailbox, plan.answers).await?;
    server.stop().await?;
    receiving.abort();
    println!("idle {idle_mb:.1} MB, {} waiting streams {streams_mb:.1} MB", plan.waiting);
    Ok(())
}

/// Yardsticks of a database that has grown for a while.
async fn yardsticks(plan: Plan, options: &Options, redis: Option<&str>) -> anyhow::Result<Yardsticks> {
    let mut beside = Yardsticks::new(plan, options.callers, &options.dir, redis)?;
    beside.all().await?;
    Ok(beside)
}

/// A deployment whose messages come here.
async fn texting(options: &Options) -> anyhow::Result<(Deployment, Mailbox, JoinHandle<anyhow::Result<()>>)> {
    let receiver = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let texting = Deployment::write(&options.dir, "messages", Extra::Webhook(receiver.local_addr()?))?;
    let mailbox = Mailbox::default();
    let receiving = tokio::spawn(messages::serve(receiver, mailbox.clone()));
    Ok((texting, mailbox, receiving))
}
