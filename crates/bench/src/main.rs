//! Load and micro benchmarks: limits and ratios, measured in one run.
//!
//! Yardsticks tell what the parts of a login cost by themselves; the server, a process of its own, is measured beside them on the
//! same machine within minutes. So the ratios mean something even where the machine is slow or shared. `docs/benchmarks.md` says
//! more. To measure another operation, add it in `load/` and a row in [`run`].

mod beside;
mod deployment;
mod load;
mod measure;
mod messages;
mod part;
mod people;
mod plan;
mod process;
mod report;
mod run;
mod tokens;
mod verdict;
mod waiting;
mod yardstick;

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Parser;

use crate::part::Part;

/// Measures a countersign server beside yardsticks, prints a table and writes JSON.
#[derive(Debug, Parser)]
struct Arguments {
    /// Do less: under a minute, rough figures.
    #[arg(long)]
    quick: bool,
    /// Where the JSON goes.
    #[arg(long, value_name = "FILE", default_value = "target/bench.json")]
    json: PathBuf,
    /// Where databases go while it runs. It should be on a real disk.
    #[arg(long, value_name = "DIR", default_value = "target")]
    dir: PathBuf,
    /// The server's binary. Without it, `countersign` beside this one.
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
    /// A Redis to use. Without it, one is started if `redis-server` is installed.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Callers at once, of all but passwords. Sixteen a core keep two cores busy while half of them wait for the disk.
    #[arg(long, value_name = "COUNT", default_value_t = 32)]
    callers: usize,
    /// Measure one part by itself, whose figures are printed and not judged: for work on that one path.
    #[arg(long, value_name = "PART")]
    only: Option<Part>,
    /// Keep the databases and the server's log.
    #[arg(long)]
    keep: bool,
    /// Only serve empty gRPC calls on this port: the other end of a yardstick.
    #[arg(long, value_name = "PORT", hide = true)]
    serve_empty: Option<u16>,
    /// Only take messages on this port: the other end of another yardstick.
    #[arg(long, value_name = "PORT", hide = true)]
    serve_messages: Option<u16>,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(port) = arguments.serve_empty {
        return yardstick::empty_call::serve(port).await;
    }
    if let Some(port) = arguments.serve_messages {
        let socket = tokio::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, port)).await?;
        return messages::serve(socket, messages::Mailbox::default()).await;
    }
    // Only one provider is linked, but the HTTP client wants it named. Losing a race for it is as good.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let mut dir =
        tempfile::Builder::new().prefix("bench-").tempdir_in(&arguments.dir).context("no folder to work in")?;
    dir.disable_cleanup(arguments.keep);
    let options = run::Options {
        dir: dir.path().canonicalize()?,
        server: arguments.server.or_else(run::neighbour).context("where is the server's binary? --server tells")?,
        redis: arguments.redis,
        callers: arguments.callers.max(1),
        quick: arguments.quick,
    };
    if let Some(part) = arguments.only {
        return part.run(&options).await;
    }
    let report = run::run(&options).await;
    if arguments.keep || report.is_err() {
        dir.disable_cleanup(true);
        eprintln!("files are in {}", options.dir.display());
    }
    let report = report?;
    report.write(&arguments.json)?;
    println!("{report}");
    println!("written to {}", arguments.json.display());
    Ok(())
}
