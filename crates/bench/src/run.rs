//! One run: people are prepared, yardsticks are measured, then the server is.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::Context as _;
use countersign::config::stores::PasswordsConfig;
use tokio::{
    net::TcpListener,
    process::{Child, Command},
};

use crate::{
    beside::Yardsticks,
    deployment::{AUDIENCE, Deployment, Extra, RS256_AUDIENCE, Redis, SCOPE, Server, free_port},
    load::{over_grpc::GrpcClient, over_http::HttpClient},
    measure::{Measured, Row, Stretch, drive, megabytes},
    messages::{self, Mailbox},
    people::{Pending, Person, Stores},
    plan::Plan,
    process,
    report::{Machine, Report},
    tokens,
    verdict::{Footprint, judge, seconds},
    waiting,
    yardstick::{empty_call, hash, http_call, signature},
};

/// What a run is told.
#[derive(Debug)]
pub struct Options {
    /// The folder for its files, which is on the disk that is measured.
    pub dir: PathBuf,
    /// The server's binary.
    pub server: PathBuf,
    /// A Redis to use, instead of one of its own.
    pub redis: Option<String>,
    /// Callers at once, of all but passwords.
    pub callers: usize,
    /// Whether to do less.
    pub quick: bool,
}

/// The people of a run, each for one thing.
struct Cast {
    grpc: Vec<Pending>,
    http: Vec<Pending>,
    unenrolled: Vec<Pending>,
    logins: Vec<Person>,
    listed: Vec<Pending>,
    two_tokens: Vec<Pending>,
    families: Vec<Pending>,
    codes: Vec<Pending>,
    waiting: Vec<Pending>,
    redis: Option<(Vec<Pending>, Vec<Pending>)>,
}

/// Runs everything once.
///
/// # Errors
///
/// Something does not start, or an operation fails: figures of failures would be worth nothing.
pub async fn run(options: &Options) -> anyhow::Result<Report> {
    let plan = if options.quick { Plan::QUICK } else { Plan::FULL };
    let dir = options.dir.as_path();
    let own = if options.redis.is_none() { Redis::start(dir).await? } else { None };
    let redis = options.redis.clone().or_else(|| own.as_ref().map(|own| own.url.clone()));
    if redis.is_none() {
        eprintln!("no redis-server here and no --redis: its rows are left out");
    }
    let write = |name, extra| Deployment::write(dir, name, extra);
    let embedded = write("embedded", Extra::Nothing)?;
    let shared = redis.as_deref().map(|url| write("redis", Extra::Redis(url))).transpose()?;
    let receiver = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let texting = write("messages", Extra::Webhook(receiver.local_addr()?))?;
    let mailbox = Mailbox::default();
    let receiving = tokio::spawn(messages::serve(receiver, mailbox.clone()));

    eprintln!("preparing people");
    let cast = prepare(plan, &embedded, &texting, shared.as_ref()).await?;

    eprintln!("yardsticks");
    let mut beside = Yardsticks::new(plan, options.callers, dir, redis.as_deref())?;
    let mut yardsticks = beside.all().await?;

    let mut ready_seconds = Vec::new();
    let mut server = None;
    for _ in 0..plan.starts {
        if let Some(server) = server.take() {
            Server::stop(server).await?;
        }
        let (started, took) = embedded.start(&options.server).await?;
        ready_seconds.push(seconds(took));
        server = Some(started);
    }
    let server = match server {
        Some(server) => server,
        None => embedded.start(&options.server).await?.0,
    };
    let idle_mb = megabytes(process::memory(server.pid)?.resident);

    eprintln!("server, embedded store");
    let (hashes, mut rows) = password_rows(plan, &server, cast.logins).await?;
    yardsticks.push(hashes);
    let names = ["second factor, gRPC", "second factor, HTTP"];
    let before = beside.parts().await?;
    let [first, second] = second_factors(options, &server, names, cast.grpc, cast.http).await?;
    let parts = before.and(beside.parts().await?);
    rows.extend([first.beside(parts.of_second_factor()), second]);
    rows.extend(enrollment_rows(plan, options, &server, cast.unenrolled, cast.listed).await?);
    let before = signature::rs256_on_all(plan.span)?;
    rows.extend(tokens::beside_health_calls(&server, options.callers, cast.two_tokens).await?);
    let after = signature::rs256_on_all(plan.span)?;
    yardsticks.push(if after.per_second > before.per_second { after } else { before });
    let before = beside.parts().await?;
    let [refresh, introspection] = tokens::of_sessions(plan, &server, options.callers, cast.families).await?;
    let parts = before.and(beside.parts().await?);
    rows.extend([refresh.beside(parts.of_exchange()), introspection]);
    server.stop().await?;
    eprintln!("server, text messages");
    let (server, _) = texting.start(&options.server).await?;
    let before = beside.parts().await?;
    let [sent, proven] = code_rows(options, &server, cast.codes, mailbox.clone()).await?;
    let parts = before.and(beside.parts().await?);
    rows.extend([sent.beside(parts.of_sending()), proven.beside(parts.of_verification())]);
    server.stop().await?;
    eprintln!("server, devices");
    let (server, _) = texting.start(&options.server).await?;
    let (row, streams_mb) = waiting::watch(&server, options.callers, cast.waiting, mailbox, plan.answers).await?;
    rows.push(row);
    server.stop().await?;
    receiving.abort();
    if let Some((shared, (grpc, http))) = shared.zip(cast.redis) {
        eprintln!("server, Redis");
        let (server, _) = shared.start(&options.server).await?;
        let names = ["second factor, gRPC, Redis", "second factor, HTTP, Redis"];
        let before = beside.parts().await?;
        let [first, second] = second_factors(options, &server, names, grpc, http).await?;
        let parts = before.and(beside.parts().await?);
        rows.extend([first.beside(parts.of_second_factor_with_redis()), second]);
        server.stop().await?;
    }

    let footprint = Footprint {
        idle_mb,
        peak_mb: rows.iter().map(|row| row.peak_mb).fold(0.0, f64::max),
        streams_mb,
        hashing_permits: PasswordsConfig::default().effective_threads(),
        ready_seconds,
    };
    let all: Vec<Row> = yardsticks.iter().chain(&rows).cloned().collect();
    let verdicts = judge(&all, &footprint);
    Ok(Report { machine: Machine::this(), quick: options.quick, yardsticks, server: rows, footprint, verdicts })
}

async fn prepare(
    plan: Plan,
    embedded: &Deployment,
    texting: &Deployment,
    shared: Option<&Deployment>,
) -> anyhow::Result<Cast> {
    let stores = Stores::open(embedded).await?;
    let people = stores.enroll(stores.add("second", plan.second_factors * 2).await?).await?;
    let mut grpc = stores.prove_password(people).await?;
    let http = grpc.split_off(plan.second_factors);
    let unenrolled = stores.prove_password(stores.add("unenrolled", plan.associations).await?).await?;
    let two_tokens = stores.enroll(stores.add("tokens", plan.two_tokens).await?).await?;
    let two_tokens = stores.prove_password_for(two_tokens, RS256_AUDIENCE, &[SCOPE, "openid"]).await?;
    let families = stores.enroll(stores.add("family", plan.families).await?).await?;
    let families = stores.prove_password_for(families, AUDIENCE, &[SCOPE, "offline_access"]).await?;
    let logins = stores.enroll(stores.add("login", plan.logins).await?).await?;
    let listed = stores.prove_password(logins.clone()).await?;
    let elsewhere = match shared {
        Some(_) => stores.enroll(stores.add("redis", plan.second_factors * 2).await?).await?,
        None => Vec::new(),
    };
    stores.close().await;
    // Which factors may complete a login is decided when it begins.
    let stores = Stores::open(texting).await?;
    let codes = stores.enroll_phones(stores.add("phone", plan.codes).await?).await?;
    let codes = stores.prove_password(codes).await?;
    let waiting = stores.enroll_devices(stores.add("device", plan.waiting).await?).await?;
    let waiting = stores.prove_password(waiting).await?;
    stores.close().await;
    let redis = match shared {
        Some(shared) => {
            let stores = Stores::open(shared).await?;
            let mut grpc = stores.prove_password(elsewhere).await?;
            let http = grpc.split_off(plan.second_factors);
            stores.close().await;
            Some((grpc, http))
        }
        None => None,
    };
    Ok(Cast { grpc, http, unenrolled, logins, listed, two_tokens, families, codes, waiting, redis })
}

/// This program as the other end of a yardstick.
fn other_end(role: &str, address: SocketAddr) -> anyhow::Result<Child> {
    Ok(Command::new(std::env::current_exe()?).args([role, &address.port().to_string()]).kill_on_drop(true).spawn()?)
}

/// Posts of messages to somebody who takes them.
///
/// # Errors
///
/// Nobody does.
pub async fn http_calls(trips: usize, callers: usize) -> anyhow::Result<Row> {
    let address = free_port()?;
    let mut server = other_end("--serve-messages", address)?;
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(5));
    while tokio::net::TcpStream::connect(address).await.is_err() {
        anyhow::ensure!(server.try_wait()?.is_none(), "the receiver of messages has ended");
        tick.tick().await;
    }
    let row = http_call::posts(format!("http://{address}/"), trips, callers).await?;
    server.kill().await?;
    Ok(row)
}

/// Empty calls of an empty server.
///
/// # Errors
///
/// It does not answer.
pub async fn empty_calls(trips: usize, callers: usize) -> anyhow::Result<Row> {
    let address = free_port()?;
    let mut server = other_end("--serve-empty", address)?;
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(5));
    let client = loop {
        tick.tick().await;
        match GrpcClient::connect(&format!("http://{address}")).await {
            Ok(client) => break client,
            Err(error) if server.try_wait()?.is_some() => return Err(error),
            Err(_not_yet) => {}
        }
    };
    let pid = server.id().unwrap_or_default();
    let row = empty_call::health_checks(Measured { name: "empty gRPC call", pid, callers }, client.channel, trips);
    let row = row.await?;
    server.kill().await?;
    Ok(row)
}

/// Hashes and full logins take turns: other work on the machine meets both alike.
///
/// # Errors
///
/// A thread failed, or something was refused.
pub async fn password_rows(plan: Plan, server: &Server, logins: Vec<Person>) -> anyhow::Result<(Row, Vec<Row>)> {
    // All threads hash while others wait or are at their second factor.
    let callers = PasswordsConfig::default().effective_threads() * 3;
    let measured = |name| Measured { name, pid: server.pid, callers };
    let client = GrpcClient::connect(&server.grpc).await?;
    let (full, caller) = (measured("full login, gRPC"), client.clone());
    let log_in = move |person| caller.clone().login(person);
    let mut people = logins.clone();
    let counted = people.split_off(people.len() / 10);
    drive(people, callers, log_in.clone()).await?;
    let (mut hashes, mut logged_in) = (None, None);
    for people in counted.chunks(counted.len().div_ceil(plan.turns)) {
        let both = (hash::argon2id(plan.span / 4)?, full.stretch(people.to_vec(), log_in.clone()).await?);
        hashes = Some(add(hashes, both.0)?);
        logged_in = Some(add(logged_in, both.1)?);
    }
    let (hashes, logged_in) = hashes.zip(logged_in).context("nobody logs in")?;
    let step = measured("password step, gRPC")
        .closed_loop(logins, move |person| {
            let client = client.clone();
            async move { client.password(person).await.map(drop) }
        })
        .await?;
    Ok((hash::measured().row(&hashes), vec![step, full.row(&logged_in)]))
}

fn add(sum: Option<Stretch>, next: Stretch) -> anyhow::Result<Stretch> {
    match sum {
        Some(sum) => sum.and(&next),
        None => Ok(next),
    }
}

/// Second factors of `grpc` over gRPC, then of `http` over HTTP.
///
/// # Errors
///
/// Something was refused.
pub async fn second_factors(
    options: &Options,
    server: &Server,
    [over_grpc, over_http]: [&'static str; 2],
    grpc: Vec<Pending>,
    http: Vec<Pending>,
) -> anyhow::Result<[Row; 2]> {
    let measured = |name| Measured { name, pid: server.pid, callers: options.callers };
    let client = GrpcClient::connect(&server.grpc).await?;
    let first = measured(over_grpc).closed_loop(grpc, move |pending| client.clone().second_factor(pending)).await?;
    let client = HttpClient::new(&server.http)?;
    let second = measured(over_http).closed_loop(http, move |pending| client.clone().second_factor(pending)).await?;
    Ok([first, second])
}

/// Codes that are sent to `people` by text message and arrive in `mailbox`, then their proofs.
///
/// # Errors
///
/// Something was refused, or does not arrive.
pub async fn code_rows(
    options: &Options,
    server: &Server,
    people: Vec<Pending>,
    mailbox: Mailbox,
) -> anyhow::Result<[Row; 2]> {
    let measured = |name| Measured { name, pid: server.pid, callers: options.callers };
    let client = GrpcClient::connect(&server.grpc).await?;
    let arrived = Arc::new(Mutex::new(Vec::with_capacity(people.len())));
    let (sender, kept) = (client.clone(), Arc::clone(&arrived));
    let send = measured("code by SMS, gRPC")
        .closed_loop_to_rest(people, move |pending| {
            let (client, mailbox, kept) = (sender.clone(), mailbox.clone(), Arc::clone(&kept));
            async move {
                let sent = client.send_code(pending, mailbox).await?;
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
                Ok(())
            }
        })
        .await?;
    let codes = std::mem::take(&mut *arrived.lock().unwrap_or_else(PoisonError::into_inner));
    // What has gone with a code is removed a little later.
    let prove =
        measured("code verification, gRPC").closed_loop_to_rest(codes, move |sent| client.clone().prove_code(sent));
    Ok([send, prove.await?])
}

async fn enrollment_rows(
    plan: Plan,
    options: &Options,
    server: &Server,
    unenrolled: Vec<Pending>,
    listed: Vec<Pending>,
) -> anyhow::Result<[Row; 3]> {
    let measured = |name| Measured { name, pid: server.pid, callers: options.callers };
    let client = GrpcClient::connect(&server.grpc).await?;
    let channel = client.channel.clone();
    let for_lists = client.clone();
    let associate =
        measured("associate, gRPC").closed_loop(unenrolled, move |pending| client.clone().associate(pending)).await?;
    let again: Vec<Pending> = listed.into_iter().cycle().take(plan.lists).collect();
    let list = measured("list, gRPC").closed_loop(again, move |pending| for_lists.clone().list(pending)).await?;
    let health = empty_call::health_checks(measured("health check, gRPC"), channel, plan.trips).await?;
    Ok([associate, list, health])
}

/// The binary beside this one.
pub fn neighbour() -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?;
    here.parent().map(|dir: &Path| dir.join("countersign"))
}
