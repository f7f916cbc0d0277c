use std::collections::BTreeSet;

use crate::pool::{Comments, assert_none, files};

/// Each reason with its comment, without the unspecified one.
fn reasons() -> Vec<(String, String)> {
    let mut reasons = Vec::new();
    for file in files() {
        let comments = Comments::of(&file);
        for value in file
            .enums()
            .filter(|found| found.name() == "ErrorReason")
            .flat_map(|found| found.values().collect::<Vec<_>>())
        {
            if value.number() != 0 {
                reasons.push((value.name().to_owned(), comments.at(value.path()).to_owned()));
            }
        }
    }
    assert!(!reasons.is_empty());
    reasons
}

/// Each method with the reasons its comment lists, if it lists any.
fn listed() -> Vec<(String, Option<Vec<String>>)> {
    let mut methods = Vec::new();
    for file in files() {
        let comments = Comments::of(&file);
        for method in file.services().flat_map(|service| service.methods().collect::<Vec<_>>()) {
            let list = comments.at(method.path()).split_once("Reasons:").and_then(|(_, rest)| rest.split_once('.'));
            let names = list.map(|(names, _)| names.split(',').map(|name| name.trim().to_owned()).collect());
            methods.push((method.full_name().to_owned(), names));
        }
    }
    methods
}

#[test]
fn methods_list_reasons_that_exist() {
    let known: BTreeSet<_> = reasons().into_iter().map(|(name, _)| name).collect();
    let mut findings = Vec::new();
    for (method, listed) in listed() {
        let Some(listed) = listed else {
            findings.push(format!("{method} lists no reasons"));
            continue;
        };
        let distinct: BTreeSet<_> = listed.iter().cloned().collect();
        if distinct.len() != listed.len() {
            findings.push(format!("{method} lists a reason twice"));
        }
        findings.extend(distinct.difference(&known).map(|name| format!("{method} lists {name}, which is no reason")));
    }
    assert_none(&findings);
}

#[test]
fn every_reason_is_listed_by_a_method() {
    let listed: BTreeSet<_> = listed().into_iter().filter_map(|(_, names)| names).flatten().collect();
    let unlisted = reasons().into_iter().filter(|(name, _)| !listed.contains(name));
    assert_none(&unlisted.map(|(name, _)| format!("no method lists {name}")).collect::<Vec<_>>());
}

#[test]
fn every_reason_shows_an_example_of_itself() {
    let mut findings = Vec::new();
    for (name, comment) in reasons() {
        let example = comment.split_once("Example:").map_or("", |(_, example)| example);
        if !example.contains(&format!("\"reason\": \"{name}\"")) || !example.contains("\"domain\": \"countersign\"") {
            findings.push(format!("{name} shows no example of itself"));
        }
    }
    assert_none(&findings);
}

#[test]
fn the_document_explains_every_reason_and_no_other() {
    let document = include_str!("../../../../docs/errors.md");
    let rows = document.lines().filter_map(|line| Some(line.strip_prefix("| `")?.split_once("` |")?.0));
    let is_name = |text: &&str| text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let explained: BTreeSet<_> = rows.filter(is_name).map(str::to_owned).collect();
    let known: BTreeSet<_> = reasons().into_iter().map(|(name, _)| name).collect();
    let mut findings = Vec::new();
    findings.extend(known.difference(&explained).map(|name| format!("docs/errors.md does not explain {name}")));
    findings
        .extend(explained.difference(&known).map(|name| format!("docs/errors.md explains {name}, which is no reason")));
    assert_none(&findings);
}
