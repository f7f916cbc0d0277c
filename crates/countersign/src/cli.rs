//! The command line.

pub mod audit;
pub mod device;
pub mod exit;
pub mod fence;
pub mod health;
pub mod keys;
pub mod policy;
pub mod run;
pub mod target;
pub mod user;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Multi-factor authentication over gRPC and HTTP.
#[derive(Debug, Parser)]
#[command(name = "countersign", version, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve gRPC and HTTP as configured, until SIGTERM or SIGINT.
    Serve(ConfigFile),
    /// Try it out: everything on loopback, with clients, users and certificates of its own.
    Demo(Demo),
    /// Report every mistake in the configuration.
    CheckConfig(CheckConfig),
    /// Ask a running server whether it is ready.
    Healthcheck(Healthcheck),
    /// Bring the durable store up to date and end.
    Migrate(ConfigFile),
    /// Add, change and list users in the durable store, also beside a running server.
    User(user::UserCommand),
    /// Read and check the audit trail, also beside a running server.
    Audit(audit::AuditCommand),
    /// Ask what follows a person's password, and why.
    Policy(policy::PolicyCommand),
    /// List signing keys and have them go on, also beside a running server.
    Keys(keys::KeysCommand),
    /// Make a database that was put back from a backup fit to be served, while no server has it.
    Fence(fence::FenceCommand),
    /// Be a phone: enrol with a barcode, and approve or deny logins, to try a demo out.
    Device(device::DeviceCommand),
    /// Print the version.
    Version,
    /// Print docs/config.md.
    #[command(hide = true)]
    ConfigReference,
}

/// Where the configuration is.
#[derive(Args, Clone, Debug, Default)]
pub struct ConfigFile {
    /// The configuration, a TOML file; without, the one that the variable `COUNTERSIGN_CONFIG` names. Variables
    /// `COUNTERSIGN__SECTION__KEY` win over it.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `demo`.
#[derive(Args, Clone, Debug)]
pub struct Demo {
    /// The folder that keeps its data, certificates, and demo.json, which says where everything is.
    #[arg(long, value_name = "DIR", default_value = "countersign-demo")]
    pub dir: PathBuf,
    /// Numbered users to have besides those with names.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=99_999))]
    pub users: u32,
    /// Keep sessions in Redis instead of the folder.
    #[arg(long, value_name = "URL")]
    pub redis: Option<String>,
    /// Port of HTTPS; 0 for any.
    #[arg(long, value_name = "PORT", default_value_t = 8443)]
    pub https_port: u16,
    /// Port of HTTP; 0 for any.
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub http_port: u16,
    /// Port of gRPC; 0 for any.
    #[arg(long, value_name = "PORT", default_value_t = 50_051)]
    pub grpc_port: u16,
    /// Port of health and metrics; 0 for any.
    #[arg(long, value_name = "PORT", default_value_t = 9090)]
    pub ops_port: u16,
}

/// `check-config`.
#[derive(Args, Clone, Debug)]
pub struct CheckConfig {
    /// Where it is.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Print a file that says what the defaults say, and check nothing.
    #[arg(long)]
    pub print_default: bool,
}

/// `healthcheck`.
#[derive(Args, Clone, Debug)]
pub struct Healthcheck {
    /// Where the configuration is; it says where the ops listener is.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Host and port of the ops listener, instead.
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,
}

#[cfg(test)]
mod tests;
