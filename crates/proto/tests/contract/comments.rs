use prost_reflect::{EnumDescriptor, MessageDescriptor};

use crate::pool::{Comments, assert_none, files};

#[test]
fn everything_has_a_comment() {
    let mut findings = Vec::new();
    for file in files() {
        let comments = Comments::of(&file);
        let mut check = |path: &[i32], name: &str| {
            if comments.at(path).is_empty() {
                findings.push(format!("{}: {name} has no comment", file.name()));
            }
        };
        for service in file.services() {
            check(service.path(), service.full_name());
            for method in service.methods() {
                check(method.path(), method.full_name());
            }
        }
        for message in file.messages() {
            check_message(&message, &mut check);
        }
        for enumeration in file.enums() {
            check_enum(&enumeration, &mut check);
        }
    }
    assert_none(&findings);
}

fn check_message(message: &MessageDescriptor, check: &mut dyn FnMut(&[i32], &str)) {
    if message.is_map_entry() {
        return;
    }
    check(message.path(), message.full_name());
    for field in message.fields() {
        check(field.path(), field.full_name());
    }
    // "optional" makes a oneof of one field, which nobody wrote.
    for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
        check(oneof.path(), oneof.full_name());
    }
    for child in message.child_messages() {
        check_message(&child, check);
    }
    for child in message.child_enums() {
        check_enum(&child, check);
    }
}

fn check_enum(enumeration: &EnumDescriptor, check: &mut dyn FnMut(&[i32], &str)) {
    check(enumeration.path(), enumeration.full_name());
    for value in enumeration.values() {
        check(value.path(), value.full_name());
    }
}
