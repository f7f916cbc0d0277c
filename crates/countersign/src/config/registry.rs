//! What a configuration means to the domain and to the gateway.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use countersign_domain::{
    certificate::CertificateName,
    factor_set::FactorSet,
    id::{Audience, ClientId, RealmName, Scope},
    password_rule::PasswordRule,
    policy::{ContextRule, Demand, Rule, Strength},
    port::{assertion_keys::AssertionKeys, sealer::Sealer},
    registry::{
        Api, AssertionPolicy, Client, ClientAuthMethod, OtpWindow, Policy, RefreshPolicy, Registry, TokenDialect,
    },
    secret::Digest,
};

use super::{
    Config,
    check::Checked,
    directory::{ClientAuthName, ClientConfig, DialectName, GrantName, RefreshConfig},
    limits::{ContextConfig, CountBy, FactorName, MfaDemandName, StrengthName},
    stores::PasswordsConfig,
};

/// The domain in which client secrets are digested.
const CLIENT_SECRET: &str = "client_secret";

impl Config {
    /// What is asked of new passwords.
    pub(super) fn password_rule(&self) -> PasswordRule {
        let PasswordsConfig { min_length, refuse_common, .. } = self.passwords;
        PasswordRule { min_length, refuses_common: refuse_common }
    }
}

impl Checked {
    /// The deployment, with digests of the clients' secrets by `sealer`.
    pub fn registry(&self, sealer: &Arc<dyn Sealer>) -> Registry {
        Registry {
            issuer: self.issuer.clone(),
            app_name: self.app_name.clone(),
            clients: self.clients.iter().map(|client| self.client(client, sealer)).map(|c| (c.id.clone(), c)).collect(),
            apis: self
                .apis
                .iter()
                .map(|api| Api {
                    audience: Audience::new(api.audience.as_str()),
                    scopes: api.scopes.iter().map(|scope| Scope::new(scope.as_str())).collect(),
                    algorithm: api.algorithm,
                    dialect: match api.dialect {
                        DialectName::Auth0 => TokenDialect::Auth0,
                        DialectName::Rfc9068 => TokenDialect::Rfc9068,
                    },
                    token_lifetime: api.token_lifetime,
                    allow_offline_access: api.allow_offline_access,
                    mfa: rule(
                        (api.mfa_demand, api.mfa_context.unwrap_or(self.mfa.context)),
                        api.mfa_grace,
                        &api.mfa_factors,
                        api.mfa_strength,
                    ),
                })
                .map(|api| (api.audience.clone(), api))
                .collect(),
            realms: self.realms.iter().map(|realm| RealmName::new(realm.name.as_str())).collect(),
            default_realm: given(&self.default_realm).map(RealmName::new),
            default_audience: given(&self.default_audience).map(Audience::new),
            factors: self.mfa.factors.iter().map(|factor| factor.kind()).collect(),
            countries: self.messages.countries.iter().cloned().collect(),
            goes_by_context: {
                let by_client = |client: &ClientConfig| client.mfa_demand.unwrap_or(self.mfa.demand);
                let clients = self.clients.iter().map(by_client);
                clients
                    .chain(self.apis.iter().filter_map(|api| api.mfa_demand))
                    .any(|asks| asks == MfaDemandName::Context)
            },
            policy: self.policy(),
        }
    }

    /// Lifetimes and limits.
    pub fn policy(&self) -> Policy {
        let limits = &self.limits;
        Policy {
            mfa_token_lifetime: limits.mfa_token_lifetime,
            userinfo_token_lifetime: limits.userinfo_token_lifetime,
            factor_failures: limits.factor_failures.limit(),
            factor_failures_lock: limits.factor_failures_lock,
            password_failures: limits.password_failures.limit(),
            password_rate: limits.password_rate.limit(),
            userinfo_rate: limits.userinfo_rate.limit(),
            limits_ignore_address: limits.count_by == CountBy::User,
            oob_code_lifetime: limits.oob_code_lifetime,
            sends: limits.sends.limits(),
            management_max_age: limits.management_max_age,
            number_matching_required: self.mfa.number_matching_required,
            tells_of_restricted: self.mfa.tell_restricted,
            passwords: self.password_rule(),
            poll_rate: Policy::default().poll_rate,
            otp_window: OtpWindow {
                behind: limits.otp_window.behind,
                ahead: limits.otp_window.ahead,
                learns: limits.otp_window.learn_drift,
            },
        }
    }

    /// The names in the certificates of gateways.
    pub fn gateways(&self) -> BTreeSet<CertificateName> {
        names(&self.grpc.tls.gateways)
    }

    fn client(&self, client: &ClientConfig, sealer: &Arc<dyn Sealer>) -> Client {
        let id = ClientId::new(client.id.as_str());
        let digests = || -> Vec<Digest> {
            let secrets = self.client_secrets.get(&id).into_iter().flatten();
            secrets.map(|secret| sealer.token_digest(CLIENT_SECRET, secret.expose().as_bytes())).collect()
        };
        Client {
            authentication: match client.authentication {
                ClientAuthName::None => ClientAuthMethod::None,
                ClientAuthName::Secret => ClientAuthMethod::Secret(digests()),
                ClientAuthName::PrivateKeyJwt => ClientAuthMethod::PrivateKeyJwt,
                ClientAuthName::TlsClientAuth => ClientAuthMethod::Certificate(names(&client.certificate_names)),
            },
            keys: self.client_keys.get(&id).map(|keys| Arc::clone(keys) as Arc<dyn AssertionKeys>),
            token_endpoint_audience: client.token_endpoint_audience,
            audience_list: client.audience_list,
            challenges_need_assertion: client.challenges_need_assertion,
            grants: client.grant_types.iter().copied().map(GrantName::grant).collect(),
            default_realm: given(&client.default_realm).map(RealmName::new),
            mfa: rule(
                (Some(client.mfa_demand.unwrap_or(self.mfa.demand)), client.mfa_context.unwrap_or(self.mfa.context)),
                client.mfa_grace,
                &client.mfa_factors,
                client.mfa_strength,
            ),
            publish_mfa_requirements: client.publish_mfa_requirements,
            authentication_claims: client.authentication_claims,
            trust_forwarded_for: client.trust_forwarded_for,
            id_token_lifetime: client.id_token_lifetime,
            refresh: refresh_policy(&client.refresh),
            remembers_devices: (!client.remember_devices_for.is_zero()).then_some(client.remember_devices_for),
            introspects: client.introspects.iter().map(|audience| Audience::new(audience.as_str())).collect(),
            services: client
                .services
                .iter()
                .map(|service| {
                    let scopes = service.scopes.iter().map(|scope| Scope::new(scope.as_str())).collect();
                    (Audience::new(service.audience.as_str()), scopes)
                })
                .collect(),
            asserts: AssertionPolicy {
                realm: given(&client.asserts.realm).map(RealmName::new),
                creates_users: client.asserts.create_users,
                max_age: client.asserts.max_age,
            },
            name: given(&client.name).unwrap_or(&client.id).to_owned(),
            id,
        }
    }
}

/// Those that are names, which all are once they were checked.
fn names(texts: &[String]) -> BTreeSet<CertificateName> {
    texts.iter().filter_map(|text| CertificateName::parse(text)).collect()
}

/// Whoever asks for a second factor of who has none says how long they may take; who does not leaves that to others.
fn rule(
    (asks, context): (Option<MfaDemandName>, ContextConfig),
    grace: Option<Duration>,
    allowed: &[FactorName],
    required: StrengthName,
) -> Rule {
    let asks = asks.map(demand);
    // What is looked at counts for who goes by it, and adds nothing to another's.
    let context = match asks {
        Some(Demand::Context) => ContextRule {
            networks: context.new_network,
            devices: context.new_device,
            max_age: (!context.max_age.is_zero()).then_some(context.max_age),
        },
        _ => ContextRule::default(),
    };
    let enrols = matches!(asks, Some(Demand::Always | Demand::Context));
    Rule {
        factors: factors(allowed),
        strength: strength(required),
        grace: grace.unwrap_or(if enrols { Duration::ZERO } else { Rule::OPEN.grace }),
        context,
        ..asks.map_or(Rule::OPEN, Rule::of)
    }
}

const fn demand(name: MfaDemandName) -> Demand {
    match name {
        MfaDemandName::Always => Demand::Always,
        MfaDemandName::IfEnrolled => Demand::IfEnrolled,
        MfaDemandName::Context => Demand::Context,
        MfaDemandName::Never => Demand::Never,
    }
}

/// The domain's word.
pub(super) const fn strength(name: StrengthName) -> Strength {
    match name {
        StrengthName::Any => Strength::Any,
        StrengthName::TwoFactors => Strength::TwoFactors,
        StrengthName::Unrestricted => Strength::Unrestricted,
    }
}

fn factors(names: &[FactorName]) -> FactorSet {
    if names.is_empty() { FactorSet::ALL } else { names.iter().map(|name| name.kind()).collect() }
}

fn refresh_policy(refresh: &RefreshConfig) -> RefreshPolicy {
    RefreshPolicy {
        rotates: refresh.rotate,
        overlap: refresh.overlap,
        lifetime: refresh.expire.then_some(refresh.lifetime),
        idle_lifetime: refresh.expire.then_some(refresh.idle_lifetime),
        asks_mfa: refresh.mfa,
        revocation_ends_grant: refresh.revoke_all,
    }
}

/// `text`, unless it is empty, which means "none" in the file.
pub fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
