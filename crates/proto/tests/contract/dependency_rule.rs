//! Who may depend on whom (house style, section 3).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

use crate::{pool::assert_none, workspace::root};

/// One row of the table.
struct Rule {
    ours: &'static [&'static str],
    never: &'static [&'static str],
}

/// The row of a crate. A new crate needs one: what may it see?
fn rule(package: &str) -> Option<Rule> {
    const DOMAIN: &str = "countersign-domain";
    const PROTO: &str = "countersign-proto";
    const TELEMETRY: &str = "countersign-telemetry";
    Some(match package {
        "countersign-proto" | "countersign-telemetry" => Rule { ours: &[], never: &[] },
        "countersign-domain" => Rule {
            ours: &[],
            never: &["tonic", "prost", "prost-types", "axum", "hyper", "http", "sqlx", "rusqlite", "redis", "tokio"],
        },
        "countersign-storage" | "countersign-crypto" | "countersign-delivery" => {
            Rule { ours: &[DOMAIN], never: &["tonic", "prost", "axum", "hyper"] }
        }
        "countersign-server" => {
            Rule { ours: &[PROTO, DOMAIN, TELEMETRY], never: &["axum", "sqlx", "rusqlite", "redis"] }
        }
        "countersign-gateway" => Rule { ours: &[PROTO, TELEMETRY], never: &["sqlx", "rusqlite", "redis"] },
        _ => return None,
    })
}

/// What sits above the table: they wire, measure and test, so they may use everything.
const ABOVE: [&str; 3] = ["countersign", "countersign-bench", "countersign-tests"];

fn packages() -> Vec<Package> {
    // Without dependencies: manifests say all that is asked, and nothing has to be resolved.
    let metadata = MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec();
    metadata.expect("the manifests are readable").packages
}

/// Dependencies that reach the crate's users; those of tests may be wider, but see below.
fn dependencies(package: &Package) -> BTreeSet<&str> {
    let used = package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
    used.map(|dependency| dependency.name.as_str()).collect()
}

#[test]
fn crates_depend_only_on_what_the_table_allows() {
    let mut findings = Vec::new();
    for package in packages() {
        let name = package.name.as_str();
        if ABOVE.contains(&name) {
            continue;
        }
        let Some(rule) = rule(name) else {
            findings.push(format!("{name} is not in the table"));
            continue;
        };
        for dependency in dependencies(&package) {
            let ours = dependency == "countersign" || dependency.starts_with("countersign-");
            if ours && !rule.ours.contains(&dependency) || rule.never.contains(&dependency) {
                findings.push(format!("{name} must not depend on {dependency}"));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn tests_of_a_crate_see_no_crate_of_ours_that_it_may_not_use() {
    let mut findings = Vec::new();
    for package in packages() {
        let name = package.name.as_str();
        let Some(rule) = rule(name) else { continue };
        for dependency in package.dependencies.iter().map(|dependency| dependency.name.as_str()) {
            // A crate may turn on its own features for its tests.
            let foreign = dependency.starts_with("countersign") && dependency != name;
            if foreign && !rule.ours.contains(&dependency) {
                findings.push(format!("the tests of {name} must not depend on {dependency}"));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn nobody_depends_on_what_wires_measures_and_tests() {
    let mut findings = Vec::new();
    for package in packages() {
        let allowed: &[&str] = if ABOVE.contains(&package.name.as_str()) { &["countersign"] } else { &[] };
        for dependency in dependencies(&package) {
            if ABOVE.contains(&dependency) && !allowed.contains(&dependency) {
                findings.push(format!("{} must not depend on {dependency}", package.name));
            }
        }
    }
    assert_none(&findings);
}

#[test]
fn backends_never_import_each_other() {
    const BACKENDS: [&str; 4] = ["sqlite", "redis", "memory", "postgres"];
    let mut findings = Vec::new();
    for own in BACKENDS {
        let folder = root().join("crates/storage/src").join(own);
        let mut sources = sources(&folder);
        sources.extend(read(&folder.with_extension("rs")));
        for (path, source) in sources {
            let code = source.lines().filter(|line| !line.trim_start().starts_with("//"));
            for (line, other) in code.flat_map(|line| BACKENDS.map(|other| (line, other))) {
                let imported = ["crate::", "super::"].iter().any(|from| names(line, from, other));
                if other != own && imported {
                    findings.push(format!("{path}: {}", line.trim()));
                }
            }
        }
    }
    assert_none(&findings);
}

/// Whether `line` names the module `other` straight behind `from`, alone or in braces.
fn names(line: &str, from: &str, other: &str) -> bool {
    line.split(from).skip(1).any(|rest| {
        let list = rest
            .strip_prefix('{')
            .map_or_else(|| rest.split([';', ' ', ')', ',']).next(), |list| list.split('}').next());
        let mut paths = list.unwrap_or_default().split(',').map(str::trim);
        paths.any(|path| path.split("::").next() == Some(other))
    })
}

/// All Rust files below a folder, by path.
fn sources(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
                found.extend(read(&entry.path()));
            }
        }
    }
    found
}

fn read(path: &Path) -> Option<(String, String)> {
    Some((path.display().to_string(), fs::read_to_string(path).ok()?))
}

#[test]
fn an_import_of_another_backend_is_seen() {
    assert!(names("use crate::redis::keys;", "crate::", "redis"));
    assert!(names("use crate::{record, redis::keys};", "crate::", "redis"));
    assert!(names("let store = crate::memory::open();", "crate::", "memory"));
    assert!(!names("use redis::Client;", "crate::", "redis"));
    assert!(!names("use crate::record::redis;", "crate::", "redis"));
}

#[test]
fn no_crate_computes_with_private_keys_but_aws_lc() {
    // G-55, RUSTSEC-2023-0071: RSA whose timing tells the key.
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    for name in ["rsa", "openssl", "p256", "ed25519-dalek"] {
        assert!(!lock.contains(&format!("name = \"{name}\"\n")), "{name}");
    }
    assert!(lock.contains("name = \"aws-lc-rs\"\n"));
}
