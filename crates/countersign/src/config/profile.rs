//! Profiles of policy: one word that sets a table of limits, which may only be made stricter.

use std::time::Duration;

use figment::value::{Dict, Value};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    Config,
    directory::{ClientConfig, GrantName},
    limits::{FactorName, MfaDemandName},
    mistake::Mistakes,
};

/// A table of limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProfileName {
    /// What Auth0 does, with the ceiling of 100 failures of NIST. Every setting is free within its own bounds.
    #[default]
    Auth0,
    /// NIST SP 800-63B-4 at AAL2, as far as it can be kept without a factor that resists phishing.
    NistAal2,
    /// PCI DSS 4, requirements 8.3 to 8.5, on top of `nist-aal2`.
    #[serde(rename = "pci-dss-4")]
    PciDss4,
}

/// What a profile other than `auth0` says.
struct Table {
    name: &'static str,
    /// How long until one of ten tries at a factor comes back.
    refill: Duration,
    /// Whether the last of them locks.
    locks: bool,
    refill_rule: &'static str,
    oob_code_lifetime: Duration,
    oob_rule: &'static str,
    overall: Duration,
    idle: Duration,
    session_rule: &'static str,
    /// The fewest characters of a password beside a second factor, and of one that lets in alone.
    password: (usize, usize),
    password_rule: &'static str,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

const NIST: Table = Table {
    name: "nist-aal2",
    refill: Duration::from_secs(360),
    locks: false,
    refill_rule: "NIST SP 800-63B-4, section 3.2.2",
    oob_code_lifetime: Duration::from_secs(600),
    oob_rule: "NIST SP 800-63B-4, section 3.1.3.2",
    overall: Duration::from_secs(24 * 3600),
    idle: HOUR,
    session_rule: "NIST SP 800-63B-4, section 2.2.3",
    password: (8, 15),
    password_rule: "NIST SP 800-63B-4, section 3.1.1.2",
};

const PCI: Table = Table {
    name: "pci-dss-4",
    refill: Duration::from_secs(1800),
    locks: true,
    refill_rule: "PCI DSS 4, 8.3.4",
    oob_code_lifetime: Duration::from_secs(300),
    oob_rule: "PCI DSS 4, 8.5.1",
    overall: Duration::from_secs(12 * 3600),
    idle: Duration::from_secs(900),
    session_rule: "PCI DSS 4, 8.2.8",
    password: (12, 15),
    password_rule: "PCI DSS 4, 8.3.6, and NIST SP 800-63B-4, section 3.1.1.2",
};

impl ProfileName {
    fn table(self) -> Option<&'static Table> {
        match self {
            Self::Auth0 => None,
            Self::NistAal2 => Some(&NIST),
            Self::PciDss4 => Some(&PCI),
        }
    }

    /// Fills in what the profile that `values` names says of settings that are left out.
    pub(super) fn fill_in(values: &mut Dict) {
        let table = match values.get("profile").and_then(Value::as_str) {
            Some(name) if name == NIST.name => &NIST,
            Some(name) if name == PCI.name => &PCI,
            _ => return,
        };
        let seconds = |duration: Duration| Value::from(format!("{}s", duration.as_secs()));
        default_at(values, &["mfa", "number_matching_required"], Value::from(true));
        default_at(values, &["mfa", "tell_restricted"], Value::from(true));
        default_at(values, &["limits", "otp_window", "ahead"], Value::from(0_u64));
        default_at(values, &["limits", "otp_window", "learn_drift"], Value::from(true));
        default_at(values, &["limits", "factor_failures", "refill"], seconds(table.refill));
        let (_, alone) = table.password;
        default_at(values, &["passwords", "min_length"], Value::from(alone));
        if table.locks {
            default_at(values, &["limits", "factor_failures_lock"], Value::from(true));
        }
        if let Some(Value::Array(_, clients)) = values.get_mut("clients") {
            for client in clients {
                if let Value::Dict(_, client) = client {
                    default_at(client, &["refresh", "lifetime"], seconds(table.overall));
                    default_at(client, &["refresh", "idle_lifetime"], seconds(table.idle));
                }
            }
        }
    }
}

fn default_at(dict: &mut Dict, path: &[&str], value: Value) {
    match path {
        [key] => {
            dict.entry((*key).to_owned()).or_insert(value);
        }
        [key, rest @ ..] => {
            if let Value::Dict(_, inner) = dict.entry((*key).to_owned()).or_insert_with(|| Value::from(Dict::new())) {
                default_at(inner, rest, value);
            }
        }
        [] => {}
    }
}

impl Config {
    /// Whether every setting is at least as strict as the profile.
    pub(super) fn check_profile(&self, mistakes: &mut Mistakes) {
        let Some(table) = self.profile.table() else { return };
        let (limits, sends) = (&self.limits, &self.limits.sends);
        let mut keep = |kept: bool, path: String, must: String, rule: &str| {
            mistakes.add_if(!kept, path, format!("must be {must}: the profile {} says so ({rule})", table.name));
        };
        let failures = limits.factor_failures.limit();
        let auth0 = "the documented limits";
        for (name, limit, most, least, rule) in [
            ("factor_failures", failures, 10, table.refill, table.refill_rule),
            ("sends.phone", sends.phone.limit(), 10, HOUR, auth0),
            ("sends.email", sends.email.limit(), 20, MINUTE, auth0),
            ("sends.push", sends.push.limit(), 5, Duration::from_secs(12), "NIST SP 800-63B-4, section 3.1.3.2"),
            (
                "sends.push_unanswered",
                sends.push_unanswered.limit(),
                10,
                Duration::from_secs(360),
                "NIST SP 800-63B-4, section 3.1.3.2",
            ),
        ] {
            keep(limit.capacity <= most, format!("limits.{name}.capacity"), format!("at most {most}"), rule);
            keep(limit.refill >= least, format!("limits.{name}.refill"), format!("at least {}", shown(least)), rule);
        }
        keep(
            limits.factor_failures_lock || !table.locks,
            "limits.factor_failures_lock".to_owned(),
            "true".to_owned(),
            table.refill_rule,
        );
        for (name, steps, most) in [("behind", limits.otp_window.behind, 1), ("ahead", limits.otp_window.ahead, 0)] {
            keep(
                steps <= most,
                format!("limits.otp_window.{name}"),
                format!("at most {most}"),
                "RFC 6238, section 5.2",
            );
        }
        for (name, lifetime, most, rule) in [
            ("oob_code_lifetime", limits.oob_code_lifetime, table.oob_code_lifetime, table.oob_rule),
            ("mfa_token_lifetime", limits.mfa_token_lifetime, Duration::from_secs(600), auth0),
            ("management_max_age", limits.management_max_age, Duration::from_secs(900), "OWASP ASVS 5.0, 7.5.1"),
        ] {
            keep(lifetime <= most, format!("limits.{name}"), format!("at most {}", shown(most)), rule);
        }
        for (kept, path, must) in self.password_rows(table) {
            keep(kept, path.to_owned(), must, table.password_rule);
        }
        let offers = |factor| self.mfa.factors.contains(&factor);
        keep(
            !offers(FactorName::Email),
            "mfa.factors".to_owned(),
            "without email".to_owned(),
            "NIST SP 800-63B-4, section 3.1.3.1",
        );
        let restricted = offers(FactorName::Sms) || offers(FactorName::Voice);
        keep(
            !restricted || offers(FactorName::Otp) || offers(FactorName::Push),
            "mfa.factors".to_owned(),
            "with otp or push beside sms and voice".to_owned(),
            "NIST SP 800-63B-4, section 3.2.9",
        );
        let rules = self.clients.iter().enumerate().map(|(n, client)| (format!("clients[{n}]"), &client.mfa_factors));
        let rules = rules.chain(self.apis.iter().enumerate().map(|(n, api)| (format!("apis[{n}]"), &api.mfa_factors)));
        for (path, factors) in rules {
            let may = |factor| factors.contains(&factor);
            let only =
                (may(FactorName::Sms) || may(FactorName::Voice)) && !may(FactorName::Otp) && !may(FactorName::Push);
            keep(
                !only,
                format!("{path}.mfa_factors"),
                "with otp or push beside sms and voice".to_owned(),
                "NIST SP 800-63B-4, section 3.2.9",
            );
        }
        keep(
            self.mfa.tell_restricted,
            "mfa.tell_restricted".to_owned(),
            "true".to_owned(),
            "NIST SP 800-63B-4, section 3.2.9",
        );
        keep(
            self.mfa.number_matching_required,
            "mfa.number_matching_required".to_owned(),
            "true".to_owned(),
            "NIST SP 800-63B-4, section 3.1.3",
        );
        for (index, client) in self.clients.iter().enumerate().filter(|(_, client)| lasts(client)) {
            let (refresh, path) = (&client.refresh, |name| format!("clients[{index}].refresh.{name}"));
            keep(refresh.expire, path("expire"), "true".to_owned(), table.session_rule);
            for (name, lifetime, most) in
                [("lifetime", refresh.lifetime, table.overall), ("idle_lifetime", refresh.idle_lifetime, table.idle)]
            {
                keep(lifetime <= most, path(name), format!("at most {}", shown(most)), table.session_rule);
            }
        }
    }
}

impl Config {
    /// What `table` says of new passwords: whether it is kept, where, and what it must be.
    fn password_rows(&self, table: &Table) -> [(bool, &'static str, String); 2] {
        let (beside, alone) = table.password;
        let (fewest, why) = if self.lets_in_by_password_alone() {
            (alone, " where somebody is let in by a password alone")
        } else {
            (beside, "")
        };
        let passwords = &self.passwords;
        [
            (passwords.min_length >= fewest, "passwords.min_length", format!("at least {fewest}{why}")),
            (passwords.refuse_common, "passwords.refuse_common", "true".to_owned()),
        ]
    }

    /// Whether some client takes passwords without always asking for a second factor.
    fn lets_in_by_password_alone(&self) -> bool {
        let takes = |client: &&ClientConfig| {
            [GrantName::Password, GrantName::PasswordRealm].iter().any(|grant| client.grant_types.contains(grant))
        };
        let always = |client: &ClientConfig| {
            client.mfa_demand.unwrap_or(self.mfa.demand) == MfaDemandName::Always && client.mfa_grace.is_none()
        };
        self.clients.iter().filter(takes).any(|client| !always(client))
    }
}

/// Whether its logins go on by refresh tokens.
fn lasts(client: &ClientConfig) -> bool {
    client.grant_types.contains(&GrantName::RefreshToken)
}

fn shown(duration: Duration) -> String {
    super::check::shown(duration)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::layers;

    const BASE: &str = "issuer = 'https://id.test/'\n[keys]\nkek = 'a2V5IGVuY3J5cHRpb24ga2V5IG9mIDMyIGJ5dGVzISE='\n\
                        [[realms]]\nname = 'people'\n[[clients]]\nid = 'web'\nauthentication = 'none'\n\
                        grant_types = ['mfa-otp', 'refresh_token']\n";

    fn parsed(profile: &str, more: &str) -> Config {
        let (config, mistakes) = layers::parse(&format!("profile = '{profile}'\n{BASE}{more}"), &BTreeMap::new());
        mistakes.or(config).unwrap_or_else(|mistakes| panic!("{mistakes}"))
    }

    #[track_caller]
    fn refused(profile: &str, more: &str, path: &str, rule: &str) {
        let mistakes = parsed(profile, more).check().unwrap_err().to_string();
        let said = mistakes.lines().any(|line| line.contains(path) && line.contains(profile) && line.contains(rule));
        assert!(said, "{more} at {profile}: {mistakes}");
    }

    #[test]
    fn a_profile_sets_every_row_of_its_table() {
        for (profile, ahead, (refill, locks), overall, idle, strict) in [
            ("auth0", 1, (MINUTE * 6, false), HOUR * 720, HOUR * 720, false),
            ("nist-aal2", 0, (MINUTE * 6, false), HOUR * 24, HOUR, true),
            ("pci-dss-4", 0, (MINUTE * 30, true), HOUR * 12, MINUTE * 15, true),
        ] {
            let config = parsed(profile, "").check().unwrap();
            let limits = &config.limits;
            assert_eq!((limits.otp_window.behind, limits.otp_window.ahead), (1, ahead), "{profile}");
            assert_eq!((limits.factor_failures.capacity, limits.factor_failures.refill), (10, refill), "{profile}");
            assert_eq!(limits.oob_code_lifetime, MINUTE * 5);
            assert_eq!(limits.mfa_token_lifetime, MINUTE * 10);
            assert_eq!((limits.sends.phone.capacity, limits.sends.phone.refill), (10, HOUR));
            assert_eq!((limits.sends.push.capacity, limits.sends.push_unanswered.capacity), (5, 10));
            assert_eq!((limits.sends.email.capacity, limits.sends.email.refill), (20, MINUTE));
            assert_eq!(limits.factor_failures_lock, locks, "{profile}");
            assert_eq!(limits.otp_window.learn_drift, strict, "{profile}");
            assert_eq!(config.mfa.number_matching_required, strict, "{profile}");
            assert_eq!(config.mfa.tell_restricted, strict, "{profile}");
            assert_eq!(config.passwords.min_length, if strict { 15 } else { 8 }, "{profile}");
            let refresh = &config.clients[0].refresh;
            assert_eq!((refresh.lifetime, refresh.idle_lifetime), (overall, idle), "{profile}");
        }
    }

    #[test]
    fn a_password_that_lets_in_alone_is_longer_than_one_beside_a_second_factor() {
        let with = |length: usize, demand: &str| {
            format!(
                "[passwords]\nmin_length = {length}\n[[clients]]\nid = 'old'\nauthentication = 'none'\n\
                 default_realm = 'people'\ngrant_types = ['password', 'mfa-otp']\n{demand}\n"
            )
        };
        for (profile, beside, rule) in [("nist-aal2", 8, "3.1.1.2"), ("pci-dss-4", 12, "8.3.6")] {
            parsed(profile, &with(beside, "mfa_demand = 'always'")).check().unwrap();
            refused(profile, &with(beside - 1, "mfa_demand = 'always'"), "passwords.min_length", rule);
            for alone in ["mfa_demand = 'if-enrolled'", "mfa_demand = 'always'\nmfa_grace = '7days'"] {
                parsed(profile, &with(15, alone)).check().unwrap();
                refused(profile, &with(14, alone), "passwords.min_length", rule);
            }
            refused(profile, "[passwords]\nrefuse_common = false\n", "passwords.refuse_common", rule);
        }
    }

    #[test]
    fn a_row_may_be_stricter_and_not_looser_and_the_mistake_names_the_rule() {
        for profile in ["nist-aal2", "pci-dss-4"] {
            for (more, path, rule) in [
                ("[limits.factor_failures]\ncapacity = 11\n", "limits.factor_failures.capacity", ""),
                ("[limits.factor_failures]\nrefill = '5m'\n", "limits.factor_failures.refill", ""),
                ("[limits.otp_window]\nahead = 1\n", "limits.otp_window.ahead", "RFC 6238"),
                ("[limits.otp_window]\nbehind = 2\n", "limits.otp_window.behind", "RFC 6238"),
                ("[limits]\nmfa_token_lifetime = '11m'\n", "limits.mfa_token_lifetime", ""),
                ("[limits]\nmanagement_max_age = '16m'\n", "limits.management_max_age", "ASVS"),
                ("[limits.sends.phone]\ncapacity = 11\n", "limits.sends.phone.capacity", ""),
                ("[limits.sends.push]\nrefill = '11s'\n", "limits.sends.push.refill", "3.1.3.2"),
                ("[limits.sends.push_unanswered]\ncapacity = 11\n", "limits.sends.push_unanswered.capacity", "3.1.3.2"),
                ("[mfa]\nfactors = ['otp', 'email']\n", "mfa.factors", "3.1.3.1"),
                ("[mfa]\nfactors = ['sms']\n", "mfa.factors", "3.2.9"),
                ("[mfa]\nfactors = ['voice']\n", "mfa.factors", "3.2.9"),
                ("[mfa]\ntell_restricted = false\n", "mfa.tell_restricted", "3.2.9"),
                ("[mfa]\nnumber_matching_required = false\n", "mfa.number_matching_required", "3.1.3"),
            ] {
                refused(profile, more, path, rule);
            }
            let client = |line: &str| {
                format!(
                    "[[clients]]\nid = 'b'\nauthentication = 'none'\ngrant_types = ['refresh_token']\nrefresh = {{ {line} }}\n"
                )
            };
            refused(profile, &client("lifetime = '25h'"), "clients[1].refresh.lifetime", "");
            refused(profile, &client("idle_lifetime = '61m'"), "clients[1].refresh.idle_lifetime", "");
            refused(profile, &client("expire = false"), "clients[1].refresh.expire", "");
            for factors in ["['sms']", "['voice', 'sms']"] {
                let every = "[mfa]\nfactors = ['otp', 'sms', 'voice']\n";
                let api = format!("[[apis]]\naudience = 'https://a.test'\nmfa_factors = {factors}\n{every}");
                refused(profile, &api, "apis[0].mfa_factors", "3.2.9");
                let client =
                    format!("[[clients]]\nid = 'b'\nauthentication = 'none'\nmfa_factors = {factors}\n{every}");
                refused(profile, &client, "clients[1].mfa_factors", "3.2.9");
            }
            for more in [
                "[[clients]]\nid = 'b'\nauthentication = 'none'\nmfa_factors = ['otp', 'email']\n",
                "[[apis]]\naudience = 'https://a.test'\nmfa_factors = ['email']\n",
            ] {
                let mistakes = parsed(profile, more).check().unwrap_err().to_string();
                assert!(mistakes.contains("is not one of mfa.factors"), "no rule brings e-mail back: {mistakes}");
            }
            let stricter = "[limits]\noob_code_lifetime = '3m'\n[limits.factor_failures]\ncapacity = 5\nrefill = '1h'\n\
                            [limits.otp_window]\nbehind = 0\n";
            parsed(profile, stricter).check().expect("stricter");
        }
        refused("nist-aal2", "[limits]\noob_code_lifetime = '11m'\n", "limits.oob_code_lifetime", "3.1.3.2");
        refused("pci-dss-4", "[limits]\noob_code_lifetime = '6m'\n", "limits.oob_code_lifetime", "8.5.1");
        refused("pci-dss-4", "[limits.factor_failures]\nrefill = '29m'\n", "limits.factor_failures.refill", "8.3.4");
        refused("pci-dss-4", "[limits]\nfactor_failures_lock = false\n", "limits.factor_failures_lock", "8.3.4");
        let fixed = parsed("nist-aal2", "[limits.otp_window]\nlearn_drift = false\n").check().expect("stricter");
        assert!(!fixed.limits.otp_window.learn_drift);
    }

    #[test]
    fn a_profile_that_does_not_exist_is_a_mistake() {
        let (_, mistakes) = layers::parse(&format!("profile = 'aal3'\n{BASE}"), &BTreeMap::new());
        assert!(mistakes.to_string().contains("must be one of: auth0, nist-aal2, pci-dss-4"), "{mistakes}");
    }
}
