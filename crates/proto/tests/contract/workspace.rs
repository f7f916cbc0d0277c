//! What the workspace's own files promise.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::pool::assert_none;

/// The folder of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).expect("the workspace has the file")
}

#[test]
fn every_dependency_says_why_it_is_here() {
    let manifest = read("Cargo.toml");
    let (_, rest) = manifest.split_once("[workspace.dependencies]").expect("the workspace names its dependencies");
    let lines = rest.lines().take_while(|line| !line.starts_with('['));
    let external = lines.filter(|line| line.contains(" = ") && !line.starts_with('#') && !line.contains("path = \""));
    let silent = external.filter(|line| line.rsplit_once("# ").is_none_or(|(_, reason)| reason.trim().is_empty()));
    assert_none(&silent.map(|line| format!("no reason: {line}")).collect::<Vec<_>>());
}

#[test]
fn what_stays_out_stays_out() {
    let lock = read("Cargo.lock");
    // rsa: Marvin attack, RUSTSEC-2023-0071. openssl: a second TLS stack, and a system library.
    for banned in ["rsa", "openssl", "openssl-sys", "native-tls"] {
        assert!(!lock.contains(&format!("\nname = \"{banned}\"\n")), "{banned} is in Cargo.lock");
    }
}
