//! A chain of errors in one line, for the log.

use std::{error::Error, fmt::Write as _};

/// `error` and its sources, separated by colons.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        // Writing to a string does not fail.
        let _infallible = write!(line, ": {error}");
        source = error.source();
    }
    line
}
