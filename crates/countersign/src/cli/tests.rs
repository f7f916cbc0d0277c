#![allow(clippy::unwrap_used, clippy::panic)]

use clap::CommandFactory as _;

use super::{user::Verb, *};

fn parsed(line: &str) -> Result<Command, clap::Error> {
    Cli::try_parse_from(std::iter::once("countersign").chain(line.split_whitespace())).map(|cli| cli.command)
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_demo_has_fixed_ports_that_can_be_moved() {
    let Ok(Command::Demo(demo)) = parsed("demo") else { panic!() };
    assert_eq!((demo.https_port, demo.http_port, demo.grpc_port, demo.ops_port), (8443, 8080, 50_051, 9090));
    assert_eq!(demo.dir.to_str(), Some("countersign-demo"));
    let Ok(Command::Demo(demo)) = parsed(
        "demo --dir d --users 10000 --redis redis://localhost --https-port 0 --http-port 0 --grpc-port 0 --ops-port 0",
    ) else {
        panic!()
    };
    assert_eq!((demo.users, demo.https_port, demo.ops_port), (10_000, 0, 0));
}

#[test]
fn a_password_has_one_source() {
    assert!(parsed("user passwd ada --phc x --password-file y").is_err());
    assert!(parsed("user passwd ada --password-file y --config z").is_ok());
}

#[test]
fn a_change_of_addresses_names_one() {
    assert!(parsed("user forget-device ada").is_err());
    assert!(parsed("user forget-device ada --all --device x").is_err());
    assert!(parsed("user notify ada").is_err());
    assert!(parsed("user notify ada --remove a@b").is_ok());
}

#[test]
fn users_live_in_one_store() {
    assert!(parsed("user list --dir d --config f").is_err());
    let Ok(Command::User(command)) = parsed("user reset-mfa ada --dir d --realm staff") else { panic!() };
    assert!(matches!(command.verb, Verb::ResetMfa(whom) if whom.login == "ada" && whom.target.store.dir.is_some()));
}

#[test]
fn a_fence_goes_one_way_and_none_by_itself() {
    for line in ["fence", "fence --audit f --factors keep", "fence --moved --factors reset", "fence --factors all"] {
        assert!(parsed(line).is_err(), "{line}");
    }
}

#[test]
fn an_id_may_begin_with_hyphens_and_flags_are_flags_still() {
    for id in ["-abc_", "-hX0", "--x9-", "-", "-now", "abc"] {
        for (line, hasty) in [
            (format!("keys retire {id}"), false),
            (format!("keys retire --now {id} --dir d"), true),
            (format!("keys retire {id} --now --dir d"), true),
        ] {
            let Ok(Command::Keys(command)) = parsed(&line) else { panic!("{line}: {:?}", parsed(&line).err()) };
            let super::keys::Verb::Retire { key, now, .. } = command.verb else { panic!("{line}") };
            assert_eq!((key.as_str(), now), (id, hasty), "{line}");
        }
        let line = format!("user forget-device ada --device {id} --dir d");
        let Ok(Command::User(command)) = parsed(&line) else { panic!("{line}") };
        assert!(matches!(command.verb, Verb::ForgetDevice { device: Some(device), .. } if device == id), "{line}");
    }
    assert!(parsed("keys retire --now").is_err());
}

#[test]
fn every_verb_parses() {
    for line in [
        "serve --config f",
        "serve",
        "check-config",
        "check-config --print-default",
        "healthcheck --address a:1",
        "migrate",
        "version",
        "config-reference",
        "user add ada --email a@b --email-verified --name Ada",
        "user add ada --notify a@b --notify c@d",
        "user notify ada --add a@b --remove c@d",
        "user devices ada",
        "user forget-device ada --device x",
        "user forget-device ada --all",
        "user block ada",
        "user unblock ada",
        "fence --audit f --config c",
        "fence --factors keep",
        "fence --factors reset --dir d",
        "fence --moved",
        "device enrol otpauth://totp/a --name n --phone p --cacert c --no-number-matching",
        "device enrol -",
        "device list --phone p --outbox o",
        "device approve",
        "device approve a1 --number 012345 --phone p --outbox o --cacert c",
        "device deny a1 --reason r",
        "device code",
        "device remove dev_1",
        "device remove dev_1 --local --phone p",
    ] {
        assert!(parsed(line).is_ok(), "{line}");
    }
}
