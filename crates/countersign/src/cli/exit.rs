//! How a command ends.

use std::process::ExitCode;

use countersign_domain::error::{Error, Reason};

use crate::{config::mistake::Mistakes, fence::Refused};

/// A command that could not do what it was asked.
#[derive(Debug)]
pub enum Failure {
    /// The configuration has mistakes: 64, as `EX_USAGE` of sysexits.
    Config(Mistakes),
    /// What was given cannot be used, or is taken: 65, `EX_DATAERR`.
    Data(String),
    /// There is no such user: 67, `EX_NOUSER`.
    NoUser(String),
    /// Something that is needed does not answer: 69, `EX_UNAVAILABLE`.
    Unavailable(String),
    /// What was checked is not whole: 1.
    Broken(String),
    /// Anything else: 1.
    Other(anyhow::Error),
}

impl Failure {
    /// The status of the process.
    pub fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Config(_) => 64,
            Self::Data(_) => 65,
            Self::NoUser(_) => 67,
            Self::Unavailable(_) => 69,
            Self::Broken(_) | Self::Other(_) => 1,
        })
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Config(mistakes) => mistakes.fmt(f),
            Self::Data(what) | Self::NoUser(what) | Self::Unavailable(what) | Self::Broken(what) => f.write_str(what),
            Self::Other(error) => write!(f, "{error:#}"),
        }
    }
}

impl From<Mistakes> for Failure {
    fn from(mistakes: Mistakes) -> Self {
        Self::Config(mistakes)
    }
}

impl From<anyhow::Error> for Failure {
    /// Mistakes in a configuration, and a database that may be a backup, stay what they are wherever they were found.
    fn from(error: anyhow::Error) -> Self {
        match error.downcast::<Mistakes>() {
            Ok(mistakes) => Self::Config(mistakes),
            Err(error) => match error.downcast::<Refused>() {
                Ok(refused) => Self::Data(refused.to_string()),
                Err(error) => Self::Other(error),
            },
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let violations = error.field_violations();
        match error.reason() {
            Reason::RequestMalformed if !violations.is_empty() => {
                let each: Vec<_> = violations.iter().map(|v| format!("{}: {}", v.field, v.description)).collect();
                Self::Data(each.join("\n"))
            }
            Reason::StoreUnavailable | Reason::Overloaded => {
                Self::Unavailable(format!("{:#}", anyhow::Error::from(error)))
            }
            _ => Self::Other(error.into()),
        }
    }
}
