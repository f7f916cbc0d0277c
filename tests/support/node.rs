//! Clients in JavaScript, which nobody here wrote.

use std::{path::PathBuf, process::Stdio};

use tokio::process::Command;

/// The folder that `scripts/test` installs them into.
const FOLDER: &str = "COUNTERSIGN_TEST_NODE";

/// Runs `script` of `tests/clients/node` with `arguments` and these variables; panics with what it said unless it ends well.
pub async fn run(script: &str, arguments: &[&str], variables: &[(&str, &str)]) -> String {
    let folder = std::env::var_os(FOLDER).unwrap_or_else(|| {
        panic!("{FOLDER} is not set: run the tests with scripts/test, which installs the JavaScript clients")
    });
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("clients/node").join(script);
    let output = Command::new("node")
        .arg(path)
        .args(arguments)
        .envs(variables.iter().copied())
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("node starts");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{script} failed:\n{said}");
    said
}
