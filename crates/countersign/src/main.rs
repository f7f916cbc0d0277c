//! The countersign binary.

use std::process::ExitCode;

use clap::Parser as _;
use countersign::cli::{Cli, run::run};

/// A request allocates some hundred times, and what one thread allocates another often frees.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("countersign: the runtime cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(run(cli));
    // What still hangs in a call of the system then must not keep the process.
    runtime.shutdown_timeout(countersign::serve::RUNTIME_ENDS_WITHIN);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("countersign: {failure}");
            failure.code()
        }
    }
}
