//! The program `countersign`, at a time of a test's choosing: the first argument is what its clock shows when it starts, in milliseconds.

use std::{process::ExitCode, sync::Arc};

use countersign::{cli::run::program, system::SystemClock};
use countersign_domain::{port::clock::Clock, time::Timestamp};

/// The system's clock, set differently.
struct Shifted(i64);

impl Clock for Shifted {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(SystemClock.now().as_millis().saturating_add(self.0))
    }
}

fn main() -> ExitCode {
    let mut arguments = std::env::args_os();
    let program_name = arguments.next();
    let begins = arguments.next().and_then(|text| text.to_str()?.parse::<i64>().ok());
    let Some(begins) = begins else {
        eprintln!("countersign-at: the first argument must be a time in milliseconds");
        return ExitCode::FAILURE;
    };
    let shift = begins.saturating_sub(SystemClock.now().as_millis());
    program(program_name.into_iter().chain(arguments), Arc::new(Shifted(shift)))
}
