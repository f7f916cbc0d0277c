//! `audit`: reads and checks the trail.

use std::{sync::Arc, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use countersign_domain::{
    audit::{
        chain::{AuditChain, AuditRow},
        verify::{Head, Verifier},
    },
    port::audit_store::AuditStore,
    secret::Digest,
    time::Timestamp,
};
use data_encoding::HEXLOWER;

use super::{exit::Failure, run, target::Target};
use crate::{cli::audit::show::Columns as _, system, wire};

pub(super) mod exported;
pub(super) mod show;

/// Rows read in one step.
const PAGE: usize = 1000;
/// How long until `--follow` looks again.
const PAUSE: Duration = Duration::from_millis(500);

/// `audit` and what it works on.
#[derive(Args, Debug)]
pub struct AuditCommand {
    /// The verb.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Print the newest rows.
    Tail {
        /// How many.
        #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 20)]
        rows: u32,
        /// Go on with each row that is written, until interrupted.
        #[arg(short, long)]
        follow: bool,
        /// Where.
        #[command(flatten)]
        trail: Target,
    },
    /// Check that no row was changed, moved, added, removed or cut off. The first broken row is named, and the status is 1.
    Verify {
        /// The head that an earlier check printed: it must be in the trail still. Nothing else shows that the whole file was replaced
        /// by an older one.
        #[arg(long, value_name = "ROW:LINK", value_parser = head)]
        contains: Option<Head>,
        /// Where.
        #[command(flatten)]
        trail: Target,
    },
    /// Print rows for other programs.
    Export(ExportArgs),
}

/// `export`.
#[derive(Args, Clone, Debug)]
pub struct ExportArgs {
    /// Rows from this time on, as in `2026-01-31T08:00:00Z`.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub since: Option<Timestamp>,
    /// Rows before this time.
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub until: Option<Timestamp>,
    /// Rows about the person with this id.
    #[arg(long, value_name = "ID")]
    pub user: Option<String>,
    /// The form.
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    pub format: Format,
    /// Where.
    #[command(flatten)]
    pub trail: Target,
}

/// Forms of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A JSON object a line.
    Jsonl,
    /// Comma-separated values (RFC 4180), with a line of names.
    Csv,
}

/// Runs one verb.
///
/// # Errors
///
/// The store cannot be read, or the trail is broken.
pub async fn run(command: AuditCommand) -> Result<(), Failure> {
    match command.verb {
        Verb::Tail { rows, follow, trail } => tail(&trail, rows, follow).await,
        Verb::Verify { contains, trail } => verify(&trail, contains).await,
        Verb::Export(args) => export(args).await,
    }
}

async fn tail(trail: &Target, rows: u32, follow: bool) -> Result<(), Failure> {
    let (store, _) = open(trail).await?;
    let mut after = store.last_row().await.map_err(unreadable)?.saturating_sub(i64::from(rows));
    loop {
        let page = store.list_rows(after, PAGE).await.map_err(unreadable)?;
        for row in &page {
            if !run::printed(&row.line()) {
                return Ok(());
            }
            after = row.id;
        }
        if page.len() < PAGE {
            if !follow {
                return Ok(());
            }
            system::pause(PAUSE).await;
        }
    }
}

async fn verify(trail: &Target, contains: Option<Head>) -> Result<(), Failure> {
    let (store, chain) = open(trail).await?;
    let mut verifier = Verifier::new(chain);
    let (mut after, mut rows, mut found) = (0, 0_u64, contains.is_none());
    loop {
        let page = store.list_rows(after, PAGE).await.map_err(unreadable)?;
        for row in &page {
            verifier.take(row).map_err(|broken| Failure::Broken(broken.to_string()))?;
            found |= contains.is_some() && verifier.head() == contains;
            after = row.id;
            rows += 1;
        }
        if page.len() < PAGE {
            break;
        }
    }
    let linked = verifier.linked();
    let head = verifier.end().map_err(|broken| Failure::Broken(broken.to_string()))?;
    if !found {
        return Err(Failure::Broken(
            "the head that was named is not in this trail: the file is an older or another one".into(),
        ));
    }
    run::print(&format!("{rows} rows are whole, {linked} of them linked"));
    run::print(&format!("head {}:{}", head.id, HEXLOWER.encode(head.link.as_bytes())));
    Ok(())
}

async fn export(args: ExportArgs) -> Result<(), Failure> {
    let (store, _) = open(&args.trail).await?;
    let wanted = |row: &AuditRow| {
        args.since.is_none_or(|since| row.at >= since)
            && args.until.is_none_or(|until| row.at < until)
            && args.user.as_ref().is_none_or(|user| *user == row.user)
    };
    if args.format == Format::Csv && !run::printed(&show::names()) {
        return Ok(());
    }
    let mut after = 0;
    loop {
        let page = store.list_rows(after, PAGE).await.map_err(unreadable)?;
        for row in page.iter().filter(|row| wanted(row)) {
            let line = match args.format {
                Format::Jsonl => row.json(),
                Format::Csv => row.csv(),
            };
            if !run::printed(&line) {
                return Ok(());
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = last.id,
            _ => return Ok(()),
        }
    }
}

async fn open(trail: &Target) -> Result<(Arc<dyn AuditStore>, AuditChain), Failure> {
    let config = trail.config()?;
    let chain = wire::audit_chain(&config)?;
    Ok((wire::open_durable(&config, &chain).await?.audit, chain))
}

pub(super) fn unreadable(error: countersign_domain::port::PortError) -> Failure {
    countersign_domain::error::Error::from(error).into()
}

fn time(text: &str) -> Result<Timestamp, String> {
    let time: jiff::Timestamp = text.parse().map_err(|error| format!("{error}"))?;
    Ok(Timestamp::from_millis(time.as_millisecond()))
}

fn head(text: &str) -> Result<Head, String> {
    let wrong = || "a head is a number, a colon and 64 hexadecimal digits".to_owned();
    let (id, link) = text.split_once(':').ok_or_else(wrong)?;
    let link = HEXLOWER.decode(link.as_bytes()).map_err(|_| wrong())?;
    Ok(Head { id: id.parse().map_err(|_| wrong())?, link: Digest::new(link.try_into().map_err(|_| wrong())?) })
}
