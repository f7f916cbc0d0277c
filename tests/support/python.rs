//! Clients in Python, which nobody here wrote.

use std::{path::PathBuf, process::Stdio};

use tokio::process::Command;

/// The interpreter of the environment that `scripts/test` makes.
fn interpreter() -> PathBuf {
    std::env::var_os("COUNTERSIGN_TEST_PYTHON").map(PathBuf::from).expect(
        "COUNTERSIGN_TEST_PYTHON is not set: run the tests with scripts/test, which installs the Python clients",
    )
}

/// Runs `script` of `tests/clients` with `arguments` and these variables; panics with what it said unless it ends well.
pub async fn run(script: &str, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients").join(script);
    let output = Command::new(interpreter())
        .arg(path)
        .args(arguments)
        .envs(variables.iter().copied())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_PROXY", "*")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("the interpreter starts");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script} failed:\n{said}");
    said
}
