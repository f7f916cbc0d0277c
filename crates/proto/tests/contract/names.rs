use std::collections::HashMap;

use prost_reflect::{EnumDescriptor, Kind, MessageDescriptor, MethodDescriptor};

use crate::pool::{PACKAGE, assert_none, files};

#[test]
fn files_belong_to_the_package() {
    for file in files() {
        assert_eq!(file.package_name(), PACKAGE, "{}", file.name());
        assert!(file.name().starts_with("countersign/v1/"), "{}", file.name());
    }
}

#[test]
fn services_are_named_services() {
    for service in files().iter().flat_map(|file| file.services().collect::<Vec<_>>()) {
        assert!(service.name().ends_with("Service"), "{}", service.full_name());
    }
}

#[test]
fn methods_are_a_verb_and_a_noun() {
    let mut findings = Vec::new();
    for method in methods() {
        let words = method.name().chars().filter(char::is_ascii_uppercase).count();
        if words < 2 || !method.name().starts_with(|c: char| c.is_ascii_uppercase()) {
            findings.push(format!("{} is not VerbNoun", method.full_name()));
        }
    }
    assert_none(&findings);
}

#[test]
fn each_method_has_a_request_and_a_response_of_its_own() {
    let mut findings = Vec::new();
    let mut uses: HashMap<String, usize> = HashMap::new();
    for method in methods() {
        for (message, suffix) in [(method.input(), "Request"), (method.output(), "Response")] {
            let expected = format!("{PACKAGE}.{}{suffix}", method.name());
            if message.full_name() != expected {
                findings.push(format!("{} takes or gives {}, not {expected}", method.full_name(), message.full_name()));
            }
            *uses.entry(message.full_name().to_owned()).or_default() += 1;
        }
    }
    findings.extend(uses.iter().filter(|(_, count)| **count > 1).map(|(name, _)| format!("{name} is shared")));
    for field in messages().iter().flat_map(|message| message.fields().collect::<Vec<_>>()) {
        if matches!(field.kind(), Kind::Message(message) if uses.contains_key(message.full_name())) {
            findings.push(format!("{} holds the message of a method", field.full_name()));
        }
    }
    assert_none(&findings);
}

#[test]
fn enums_begin_unspecified_and_carry_their_prefix() {
    let mut findings = Vec::new();
    for enumeration in enums() {
        let prefix = format!("{}_", screaming_snake_case(enumeration.name()));
        let zero = enumeration.values().find(|value| value.number() == 0).expect("proto3 has a zero");
        if zero.name() != format!("{prefix}UNSPECIFIED") {
            findings.push(format!("{} does not begin with {prefix}UNSPECIFIED", enumeration.full_name()));
        }
        // The value of ErrorReason is a word on the wire, the reason of google.rpc.ErrorInfo, which says itself that it is
        // one: a prefix would be repeated in every log and in every client.
        if enumeration.name() == "ErrorReason" {
            continue;
        }
        for value in enumeration.values().filter(|value| !value.name().starts_with(&prefix)) {
            findings.push(format!("{} lacks the prefix {prefix}", value.full_name()));
        }
    }
    assert_none(&findings);
}

#[test]
fn lists_are_paged() {
    for method in methods().iter().filter(|method| method.name().starts_with("List")) {
        for (message, field) in
            [(method.input(), "page_size"), (method.input(), "page_token"), (method.output(), "next_page_token")]
        {
            assert!(message.get_field_by_name(field).is_some(), "{} has no {field}", message.full_name());
        }
        assert!(method.output().fields().any(|field| field.is_list()), "{} lists nothing", method.full_name());
    }
}

#[test]
fn times_are_named_times_and_spans_are_not() {
    let mut findings = Vec::new();
    for field in messages().iter().flat_map(|message| message.fields().collect::<Vec<_>>()) {
        let is_timestamp =
            matches!(field.kind(), Kind::Message(kind) if kind.full_name() == "google.protobuf.Timestamp");
        if is_timestamp != field.name().ends_with("_time") {
            findings.push(format!("{}: a Timestamp ends with _time, and nothing else does", field.full_name()));
        }
        if field.name().ends_with("_seconds") || field.name().ends_with("_ms") {
            findings.push(format!("{}: a span of time is a Duration", field.full_name()));
        }
    }
    assert_none(&findings);
}

fn methods() -> Vec<MethodDescriptor> {
    let services = files().into_iter().flat_map(|file| file.services().collect::<Vec<_>>());
    services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// With those that are declared within others.
fn messages() -> Vec<MessageDescriptor> {
    let mut found: Vec<_> = files().iter().flat_map(|file| file.messages().collect::<Vec<_>>()).collect();
    let mut at = 0;
    while let Some(message) = found.get(at).cloned() {
        found.extend(message.child_messages());
        at += 1;
    }
    found
}

fn enums() -> Vec<EnumDescriptor> {
    let nested = messages().into_iter().flat_map(|message| message.child_enums().collect::<Vec<_>>());
    files().iter().flat_map(|file| file.enums().collect::<Vec<_>>()).chain(nested).collect()
}

fn screaming_snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_uppercase());
    }
    snake
}
