//! The countersign binary.

use std::{process::ExitCode, sync::Arc};

use countersign::{cli::run::program, system::SystemClock};

/// A request allocates some hundred times, and what one thread allocates another often frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    program(std::env::args_os(), Arc::new(SystemClock))
}
