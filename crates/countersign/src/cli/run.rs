//! Does what the command line says.

use std::{ffi::OsString, io::Write as _, path::Path, process::ExitCode, sync::Arc};

use clap::Parser as _;
use countersign_domain::port::clock::Clock;
use countersign_telemetry::{LogFormat, LogWriter, Metrics, Telemetry, TelemetryConfig};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Cli, Command, ConfigFile, Demo, audit, device, exit::Failure, fence, health, keys, policy, user};
use crate::{
    alone::{self, Company},
    config::{check::Checked, layers, reference, telemetry::LogFormatName},
    demo::{self, DemoOptions, welcome},
    serve::{self, Running, StartOptions},
    system, wire,
};

/// The program: runs the command of its arguments. `clock` is that of verbs which work on a store beside servers; who serves goes by the
/// system's.
pub fn program(arguments: impl Iterator<Item = OsString>, clock: Arc<dyn Clock>) -> ExitCode {
    let cli = Cli::parse_from(arguments);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("countersign: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(run(cli, clock));
    // What still hangs in a call of the system then must not keep the process.
    runtime.shutdown_timeout(serve::RUNTIME_ENDS_WITHIN);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("countersign: {failure}");
            failure.code()
        }
    }
}

/// Runs one command.
async fn run(cli: Cli, clock: Arc<dyn Clock>) -> Result<(), Failure> {
    match cli.command {
        Command::Serve(file) => serve(load(&file)?).await,
        Command::Demo(options) => demo(options).await,
        Command::CheckConfig(options) if options.print_default => {
            print(reference::default_toml().map_err(anyhow::Error::from)?.trim_end());
            Ok(())
        }
        Command::CheckConfig(options) => {
            let config = load(&options.file)?;
            for warning in config.warnings() {
                eprintln!("warning: {warning}");
            }
            print("The configuration is good.");
            Ok(())
        }
        Command::Healthcheck(options) => {
            let address = match options.address {
                Some(address) => address,
                None => health::reachable(load(&options.file)?.ops.listen).to_string(),
            };
            let answer = health::ask(&address).await;
            print(&answer.map_err(|error| Failure::Unavailable(format!("{error:#}")))?);
            Ok(())
        }
        Command::Migrate(file) => {
            let config = load(&file)?;
            wire::open_durable(&config, &wire::audit_chain(&config)?).await?;
            print("The durable store is up to date.");
            Ok(())
        }
        Command::User(command) => user::run(command, &clock).await,
        Command::Audit(command) => audit::run(command).await,
        Command::Policy(command) => policy::run(command, &clock).await,
        Command::Keys(command) => keys::run(command, &clock).await,
        Command::Fence(command) => fence::run(command, &clock).await,
        Command::Device(command) => device::run(command).await,
        Command::Version => {
            print(concat!("countersign ", env!("CARGO_PKG_VERSION")));
            Ok(())
        }
        Command::ConfigReference => {
            print(reference::markdown().trim_end());
            Ok(())
        }
    }
}

/// The configuration of this process.
pub(super) fn load(file: &ConfigFile) -> Result<Checked, Failure> {
    let variables = layers::variables(std::env::vars_os());
    let named = || variables.get("COUNTERSIGN_CONFIG").filter(|path| !path.is_empty()).map(Path::new);
    Ok(layers::load(file.config.as_deref().or_else(named), &variables)?)
}

/// Says what a command has to say. Nobody listening, as behind `| head`, is no failure.
pub(super) fn print(line: &str) {
    printed(line);
}

/// Says one line of many. False: nobody is listening any more.
pub(super) fn printed(line: &str) -> bool {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()).is_ok()
}

async fn serve(config: Checked) -> Result<(), Failure> {
    let metrics = Metrics::new();
    let telemetry = start_telemetry(&config, LogWriter::Stdout, &metrics)?;
    // Where sessions live in the file, one server alone may count tries at passwords there.
    let company = if config.session_url.is_none() { Company::Alone } else { Company::Shared };
    let _place = alone::at_store(&config.storage.url, company)?;
    let running =
        serve::start_checked(config, StartOptions { metrics: Some(metrics), ..StartOptions::default() }).await?;
    tracing::info!(
        grpc.address = running.grpc_addr.map(tracing::field::display),
        http.address = running.http_addr.map(tracing::field::display),
        https.address = running.https_addr.map(tracing::field::display),
        ops.address = %running.ops_addr,
        "countersign is ready"
    );
    until_asked(running).await?;
    end_telemetry(telemetry).await;
    Ok(())
}

async fn demo(options: Demo) -> Result<(), Failure> {
    let metrics = Metrics::new();
    let config = TelemetryConfig {
        format: LogFormat::Human,
        // People read this; standard output is for the greeting.
        writer: LogWriter::Stderr,
        ..TelemetryConfig::default()
    };
    let telemetry = Telemetry::start(&config, &metrics).map_err(anyhow::Error::from)?;
    let Demo { dir, users, redis, https_port, http_port, grpc_port, ops_port } = options;
    let options = DemoOptions { dir, users, redis, https_port, http_port, grpc_port, ops_port };
    // Before the folder is made: who finds a port taken is left nothing behind. Of a demo that runs in it that is said first.
    let sockets = match demo::bind(&options).await {
        Err(taken) if !options.dir.exists() => return Err(taken.into()),
        sockets => sockets,
    };
    let _alone = demo::take(&options.dir)?;
    let (running, description) = demo::start_on(sockets?, &options, metrics).await?;
    print(&welcome::text(&description));
    drop(description);
    until_asked(running).await?;
    end_telemetry(telemetry).await;
    Ok(())
}

fn start_telemetry(config: &Checked, writer: LogWriter, metrics: &Metrics) -> Result<Telemetry, Failure> {
    let config = TelemetryConfig {
        format: match config.log.format {
            LogFormatName::Json => LogFormat::Json,
            LogFormatName::Human => LogFormat::Human,
        },
        filter: config.log.level.as_str().to_owned(),
        writer,
        otlp_endpoint: config.otlp.enabled.then(|| config.otlp.endpoint.clone()),
        ..TelemetryConfig::default()
    };
    Ok(Telemetry::start(&config, metrics).map_err(anyhow::Error::from)?)
}

/// Serves until SIGTERM, SIGINT or SIGHUP, then stops well; a second SIGTERM or SIGINT stops at once.
async fn until_asked(running: Running) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(anyhow::Error::from)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(anyhow::Error::from)?;
    // What `nohup` started stays when its terminal goes.
    let hears = !system::ignores_hang_up();
    let mut hang_up = hears.then(|| signal(SignalKind::hangup())).transpose().map_err(anyhow::Error::from)?;
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
        () = heard(hang_up.as_mut()) => "SIGHUP",
    };
    tracing::info!(signal = name, "stopping");
    tokio::select! {
        () = running.stop() => tracing::info!("stopped"),
        // A terminal that goes may say so twice; that is no second thought.
        _ = terminate.recv() => tracing::warn!("stopped at once"),
        _ = interrupt.recv() => tracing::warn!("stopped at once"),
    }
    Ok(())
}

async fn heard(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

/// Sends the last spans and writes the last lines. They are not worth a failure.
async fn end_telemetry(telemetry: Telemetry) {
    drop(tokio::task::spawn_blocking(move || telemetry.shutdown()).await);
}
