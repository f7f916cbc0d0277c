#![allow(clippy::unwrap_used, clippy::panic)]

use clap::{CommandFactory as _, error::ErrorKind};

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

/// Every command that the pages show: those of consoles and scripts whole, those within sentences as far as they go.
#[test]
fn the_commands_that_pages_show_are_there() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let docs = std::fs::read_dir(format!("{root}/docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages =
        docs.chain([format!("{root}/README.md").into()]).filter(|path| path.extension().is_some_and(|e| e == "md"));
    let mut seen = 0;
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        for (part, block) in text.split("```").enumerate() {
            let is_block = part % 2 == 1;
            let commands: Vec<&str> = if is_block {
                block
                    .lines()
                    .filter_map(|line| line.strip_prefix("$ ").unwrap_or(line).strip_prefix("countersign "))
                    .collect()
            } else {
                block.split('`').skip(1).step_by(2).filter_map(|code| code.strip_prefix("countersign ")).collect()
            };
            for command in commands {
                seen += 1;
                let shown = command.split(['#', '|', '>']).next().unwrap_or(command).trim_end_matches(" \\");
                if let Err(error) = parsed(shown) {
                    let unknown = [ErrorKind::UnknownArgument, ErrorKind::InvalidSubcommand].contains(&error.kind());
                    assert!(!unknown && !is_block, "{}: {shown}\n{error}", page.display());
                }
            }
        }
    }
    assert!(seen > 50, "{seen}");
}
