//! Which store a command works on.

use std::path::{Path, PathBuf};

use clap::Args;

use super::{ConfigFile, exit::Failure, run};
use crate::{
    config::check::Checked,
    demo::{
        self,
        settings::{self, Place},
    },
};

/// The store to work on.
#[derive(Args, Clone, Debug)]
pub struct Target {
    /// Where the configuration is.
    #[command(flatten)]
    pub file: ConfigFile,
    /// The folder of a demo, instead of a configuration.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub dir: Option<PathBuf>,
}

impl Target {
    /// Its configuration.
    pub(super) fn config(&self) -> Result<Checked, Failure> {
        self.dir.as_deref().map_or_else(|| run::load(&self.file), of_demo)
    }
}

fn of_demo(dir: &Path) -> Result<Checked, Failure> {
    let dir = dir.canonicalize().map_err(|error| Failure::Data(format!("{}: {error}", dir.display())))?;
    // The port is in the issuer, and so in the names of what every deployment has: its MFA API, its userinfo.
    let https_port = demo::https_port(&dir).map_err(|error| Failure::Data(format!("{error:#}")))?;
    Ok(settings::config(&Place { dir, https_port, redis: None }).check()?)
}
