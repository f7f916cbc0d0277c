//! How far a command has come: a bar where somebody watches, a line now and then where it goes to a file.

use std::io::IsTerminal as _;

use indicatif::{ProgressBar, ProgressStyle};

/// As many lines as a whole run has, at most.
const LINES: u64 = 10;

/// What is shown on standard error.
pub(super) enum Progress {
    Bar(ProgressBar),
    Lines { total: u64, done: u64 },
}

impl Progress {
    /// Of `total` things.
    pub(super) fn begin(total: u64) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self::Lines { total, done: 0 };
        }
        let bar = ProgressBar::new(total);
        // The template is a constant and good; a plain bar is good enough too.
        if let Ok(style) = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len}, {eta} to go") {
            bar.set_style(style);
        }
        Self::Bar(bar)
    }

    /// `count` more are done.
    pub(super) fn add(&mut self, count: u64) {
        match self {
            Self::Bar(bar) => bar.inc(count),
            Self::Lines { total, done } => {
                let tenth = |done: u64| done.saturating_mul(LINES).checked_div(*total).unwrap_or(LINES);
                let before = tenth(*done);
                *done = done.saturating_add(count);
                if tenth(*done) > before {
                    eprintln!("{done} of {total}");
                }
            }
        }
    }

    /// Says something without spoiling the bar.
    pub(super) fn say(&self, line: &str) {
        match self {
            Self::Bar(bar) => bar.suspend(|| eprintln!("{line}")),
            Self::Lines { .. } => eprintln!("{line}"),
        }
    }

    /// It is over.
    pub(super) fn end(self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}
