//! Whether clients, APIs, realms and people fit together.

use std::{
    collections::{BTreeMap, BTreeSet},
    iter,
    time::Duration,
};

use countersign_crypto::password::check_phc;
use countersign_domain::{
    certificate::CertificateName,
    id::{ClientId, RealmName, Scope},
    login_name::LoginName,
    registry::{OFFLINE_ACCESS, OIDC_SCOPES},
    user::{MAX_NOTIFICATION_ADDRESSES, is_notification_address},
};
use url::Url;

use super::{TOKEN_LIFETIME, within};
use crate::config::{
    Config,
    directory::{ApiConfig, ClientAuthName, ClientConfig, GrantName, UserConfig},
    limits::{ContextConfig, FactorName, MfaDemandName, StrengthName},
    mistake::Mistakes,
    registry::{self, given},
};

/// The longest a refresh token may live: 365.25 days.
const YEAR: Duration = Duration::from_secs(31_557_600);

/// The longest that people may take to enrol.
const LONGEST_GRACE: Duration = Duration::from_secs(90 * 86_400);

/// The longest name of an API, in characters.
const MAX_AUDIENCE_CHARS: usize = 255;

impl Config {
    pub(super) fn check_directory(&self, mistakes: &mut Mistakes) {
        self.check_realms(mistakes);
        check_looks("mfa.context", &self.mfa.context, mistakes);
        let mut ids = BTreeSet::new();
        for (index, client) in self.clients.iter().enumerate() {
            let path = format!("clients[{index}]");
            mistakes.add_if(!ids.insert(&client.id), format!("{path}.id"), "is another client's too");
            self.check_client(&path, client, mistakes);
        }
        self.check_certificate_names(mistakes);
        let mut audiences = BTreeSet::new();
        for (index, api) in self.apis.iter().enumerate() {
            let path = format!("apis[{index}]");
            mistakes.add_if(!audiences.insert(&api.audience), format!("{path}.audience"), "is another API's too");
            self.check_api(&path, api, mistakes);
        }
        mistakes.add_if(
            !self.default_audience.is_empty() && !audiences.contains(&self.default_audience),
            "default_audience",
            "is not the audience of any of the apis",
        );
        for (index, user) in self.users.iter().enumerate() {
            self.check_user(&format!("users[{index}]"), user, mistakes);
        }
        self.check_login_names(mistakes);
    }

    /// Each name that people log in with is one person's in their realm: whoever came second would not be added.
    fn check_login_names(&self, mistakes: &mut Mistakes) {
        let mut taken = BTreeMap::new();
        for (index, user) in self.users.iter().enumerate() {
            let realm = given(&user.realm).unwrap_or(&self.default_realm);
            for (key, text) in [("username", &user.username), ("email", &user.email)] {
                let Ok(name) = LoginName::parse(text) else { continue };
                let (owner, place) = taken.entry((realm, name)).or_insert((index, key));
                mistakes.add_if(
                    *owner != index,
                    format!("users[{index}].{key}"),
                    format!("is the same as users[{owner}].{place}, in the same realm"),
                );
            }
        }
    }

    /// Each name is a name, and of one client or of the gateways: otherwise a certificate would be somebody else's too.
    fn check_certificate_names(&self, mistakes: &mut Mistakes) {
        let gateways = ("grpc.tls.gateways".to_owned(), &self.grpc.tls.gateways);
        let clients = self.clients.iter().enumerate();
        let clients =
            clients.map(|(index, client)| (format!("clients[{index}].certificate_names"), &client.certificate_names));
        let mut taken = BTreeSet::new();
        for (path, names) in iter::once(gateways).chain(clients) {
            for (index, text) in names.iter().enumerate() {
                let place = format!("{path}[{index}]");
                match CertificateName::parse(text) {
                    None => mistakes.add(place, "must be a URI or the name of a host, and no pattern"),
                    Some(name) => mistakes.add_if(!taken.insert(name), place, "is there twice"),
                }
            }
        }
    }

    fn check_realms(&self, mistakes: &mut Mistakes) {
        let mut names = BTreeSet::new();
        for (index, realm) in self.realms.iter().enumerate() {
            let path = format!("realms[{index}].name");
            let most = RealmName::MAX_CHARS;
            mistakes.add_if(!is_printable(&realm.name, most), &path, printable(most));
            mistakes.add_if(!names.insert(&realm.name), &path, "is another realm's too");
        }
        self.check_realm("default_realm", &self.default_realm, mistakes);
    }

    fn check_realm(&self, path: &str, name: &str, mistakes: &mut Mistakes) {
        let known = self.realms.iter().any(|realm| realm.name == name);
        mistakes.add_if(!name.is_empty() && !known, path, "is not the name of any of the realms");
    }

    fn check_client(&self, path: &str, client: &ClientConfig, mistakes: &mut Mistakes) {
        mistakes.add_if(
            !is_printable(&client.id, ClientId::MAX_CHARS) || client.id.contains(char::is_whitespace),
            format!("{path}.id"),
            format!("{} without blanks", printable(ClientId::MAX_CHARS)),
        );
        mistakes.add_if(self.is_built_in(&client.id), format!("{path}.id"), "is an audience of countersign's own");
        let secrets = client.secrets.len() + client.secret_files.len();
        let keys = client.keys.len() + client.key_files.len();
        match client.authentication {
            ClientAuthName::PrivateKeyJwt => {
                mistakes.add_if(secrets > 0, format!("{path}.secrets"), "a client that signs assertions has none");
                mistakes.add_if(keys == 0, format!("{path}.keys"), "at least one is needed for private-key-jwt");
            }
            ClientAuthName::TlsClientAuth => {
                mistakes.add_if(secrets > 0, format!("{path}.secrets"), "a client with a certificate has none");
                mistakes.add_if(
                    client.certificate_names.is_empty(),
                    format!("{path}.certificate_names"),
                    "at least one is needed for tls-client-auth",
                );
                mistakes.add_if(
                    self.grpc.files().is_none_or(|files| files.authorities.is_none()),
                    format!("{path}.authentication"),
                    "tls-client-auth needs grpc.tls.enabled and grpc.tls.client_ca_file",
                );
            }
            ClientAuthName::None => {
                mistakes.add_if(secrets > 0, format!("{path}.secrets"), "a client without authentication has none");
                mistakes.add_if(
                    client.trust_forwarded_for,
                    format!("{path}.trust_forwarded_for"),
                    "a client without authentication cannot be trusted with it",
                );
            }
            ClientAuthName::Secret => mistakes.add_if(
                secrets == 0,
                format!("{path}.secrets"),
                "at least one is needed, or authentication = \"none\"",
            ),
        }
        mistakes.add_if(
            client.authentication != ClientAuthName::TlsClientAuth && !client.certificate_names.is_empty(),
            format!("{path}.certificate_names"),
            "are for tls-client-auth alone",
        );
        self.check_realm(&format!("{path}.default_realm"), &client.default_realm, mistakes);
        mistakes.add_if(
            client.grant_types.contains(&GrantName::Password)
                && client.default_realm.is_empty()
                && self.default_realm.is_empty(),
            format!("{path}.default_realm"),
            "is needed for the password grant, here or as default_realm for all",
        );
        for (index, origin) in client.origins.iter().enumerate() {
            mistakes.add_if(
                !is_origin(origin),
                format!("{path}.origins[{index}]"),
                "must be scheme, host and port alone, such as https://app.example.com",
            );
        }
        self.check_services(path, client, mistakes);
        self.check_asserts(path, client, mistakes);
        within(&format!("{path}.id_token_lifetime"), client.id_token_lifetime, &TOKEN_LIFETIME, mistakes);
        check_refresh(&format!("{path}.refresh"), client, mistakes);
        within(
            &format!("{path}.remember_devices_for"),
            client.remember_devices_for,
            &(Duration::ZERO..=YEAR),
            mistakes,
        );
        self.check_rule(
            path,
            client.mfa_demand.unwrap_or(self.mfa.demand),
            &client.mfa_factors,
            client.mfa_strength,
            mistakes,
        );
        check_grace(path, client.mfa_grace, client.mfa_strength, mistakes);
        let asks = client.mfa_demand.unwrap_or(self.mfa.demand);
        check_context(path, client.mfa_context.as_ref(), asks, mistakes);
        mistakes.add_if(
            asks == MfaDemandName::Context
                && client.mfa_context.unwrap_or(self.mfa.context).new_device
                && client.remember_devices_for.is_zero(),
            format!("{path}.remember_devices_for"),
            "is needed: the client goes by new devices, and every one is new that is not remembered",
        );
        for (index, audience) in client.introspects.iter().enumerate() {
            let known = self.apis.iter().any(|api| api.audience == *audience);
            mistakes.add_if(!known, format!("{path}.introspects[{index}]"), "is not the audience of any of the apis");
        }
        mistakes.add_if(
            !client.introspects.is_empty() && client.authentication == ClientAuthName::None,
            format!("{path}.introspects"),
            "a client without authentication may not ask (RFC 7662, section 2.1)",
        );
    }

    fn check_services(&self, path: &str, client: &ClientConfig, mistakes: &mut Mistakes) {
        let granted = client.grant_types.contains(&GrantName::ClientCredentials);
        mistakes.add_if(
            granted && client.authentication == ClientAuthName::None,
            format!("{path}.grant_types"),
            "a client without authentication cannot have client_credentials",
        );
        mistakes.add_if(
            granted == client.services.is_empty(),
            format!("{path}.services"),
            "and client_credentials among the grant_types need each other",
        );
        let mut audiences = BTreeSet::new();
        for (index, service) in client.services.iter().enumerate() {
            let place = format!("{path}.services[{index}]");
            mistakes.add_if(!audiences.insert(&service.audience), format!("{place}.audience"), "is there twice");
            let Some(api) = self.apis.iter().find(|api| api.audience == service.audience) else {
                mistakes.add(format!("{place}.audience"), "is not the audience of any of the apis");
                continue;
            };
            for (number, scope) in service.scopes.iter().enumerate() {
                let known = api.scopes.contains(scope);
                mistakes.add_if(!known, format!("{place}.scopes[{number}]"), "is not a scope of that API");
            }
        }
    }

    fn check_asserts(&self, path: &str, client: &ClientConfig, mistakes: &mut Mistakes) {
        let granted = client.grant_types.contains(&GrantName::AssertedLogin);
        mistakes.add_if(
            granted && client.authentication == ClientAuthName::None,
            format!("{path}.grant_types"),
            "a client without authentication cannot have asserted-login: its word is anybody's",
        );
        mistakes.add_if(
            granted == client.asserts.realm.is_empty(),
            format!("{path}.asserts.realm"),
            "and asserted-login among the grant_types need each other",
        );
        self.check_realm(&format!("{path}.asserts.realm"), &client.asserts.realm, mistakes);
        let ages = Duration::from_secs(1)..=Duration::from_secs(3600);
        within(&format!("{path}.asserts.max_age"), client.asserts.max_age, &ages, mistakes);
    }

    fn check_api(&self, path: &str, api: &ApiConfig, mistakes: &mut Mistakes) {
        let place = format!("{path}.audience");
        mistakes.add_if(!is_printable(&api.audience, MAX_AUDIENCE_CHARS), &place, printable(MAX_AUDIENCE_CHARS));
        mistakes.add_if(self.is_built_in(&api.audience), &place, "is an audience of countersign's own");
        for (index, scope) in api.scopes.iter().enumerate() {
            // RFC 6749, section 3.3: scope-token.
            let good = (1..=Scope::MAX_CHARS).contains(&scope.len())
                && scope.bytes().all(|b| matches!(b, 0x21 | 0x23..=0x5b | 0x5d..=0x7e));
            let place = format!("{path}.scopes[{index}]");
            let form =
                format!("must be 1 to {} ASCII characters without blanks, quotes, backslashes", Scope::MAX_CHARS);
            mistakes.add_if(!good, &place, form);
            let taken = scope == OFFLINE_ACCESS || OIDC_SCOPES.contains(&scope.as_str());
            mistakes.add_if(taken, place, "is a scope of countersign's own");
        }
        within(&format!("{path}.token_lifetime"), api.token_lifetime, &TOKEN_LIFETIME, mistakes);
        let demand = api.mfa_demand.unwrap_or(MfaDemandName::Never);
        self.check_rule(path, demand, &api.mfa_factors, api.mfa_strength, mistakes);
        check_grace(path, api.mfa_grace, api.mfa_strength, mistakes);
        check_context(path, api.mfa_context.as_ref(), demand, mistakes);
    }

    /// Whether a rule leaves a factor to ask for.
    fn check_rule(
        &self,
        path: &str,
        demand: MfaDemandName,
        factors: &[FactorName],
        strength: StrengthName,
        mistakes: &mut Mistakes,
    ) {
        for (index, factor) in factors.iter().enumerate() {
            let known = self.mfa.factors.contains(factor);
            mistakes.add_if(!known, format!("{path}.mfa_factors[{index}]"), "is not one of mfa.factors");
        }
        let strong = registry::strength(strength).factors();
        let left = self
            .mfa
            .factors
            .iter()
            .any(|factor| (factors.is_empty() || factors.contains(factor)) && strong.has(factor.kind()));
        mistakes.add_if(
            demand != MfaDemandName::Never && !left,
            format!("{path}.mfa_strength"),
            "leaves no factor that could be asked for",
        );
    }

    fn check_user(&self, path: &str, user: &UserConfig, mistakes: &mut Mistakes) {
        mistakes.add_if(
            user.realm.is_empty() && self.default_realm.is_empty(),
            format!("{path}.realm"),
            "is needed, here or as default_realm for all",
        );
        self.check_realm(&format!("{path}.realm"), &user.realm, mistakes);
        if let Err(error) = LoginName::parse(&user.username) {
            mistakes.add(format!("{path}.username"), error.to_string());
        }
        mistakes.add_if(
            !user.email.is_empty() && (LoginName::parse(&user.email).is_err() || !is_notification_address(&user.email)),
            format!("{path}.email"),
            "must be an e-mail address",
        );
        for (index, address) in user.notification_addresses.iter().enumerate() {
            let good = is_notification_address(address);
            mistakes.add_if(!good, format!("{path}.notification_addresses[{index}]"), "must be an e-mail address");
        }
        mistakes.add_if(
            user.notification_addresses.len() > MAX_NOTIFICATION_ADDRESSES,
            format!("{path}.notification_addresses"),
            format!("must be at most {MAX_NOTIFICATION_ADDRESSES}"),
        );
        mistakes.add_if(
            !user.password.is_empty() && !self.demo,
            format!("{path}.password"),
            "is for the demo alone; give password_phc",
        );
        if !user.password.is_empty()
            && let Err(unfit) = self.password_rule().check(user.password.secret().expose(), &self.names_of(user))
        {
            mistakes.add(format!("{path}.password"), unfit.to_string());
        }
        mistakes.add_if(
            user.password.is_empty() && user.password_phc.is_empty(),
            format!("{path}.password_phc"),
            "is needed: an argon2id PHC string",
        );
        if !user.password_phc.is_empty()
            && let Err(unfit) = check_phc(user.password_phc.secret())
        {
            mistakes.add(format!("{path}.password_phc"), unfit.to_string());
        }
    }

    /// What the password of `user` must not be made of.
    fn names_of<'a>(&'a self, user: &'a UserConfig) -> [&'a str; 7] {
        let UserConfig { username, email, name, given_name, family_name, .. } = user;
        [username, email, name, given_name, family_name, &self.app_name, &self.issuer]
    }

    /// Whether `name` is the audience of the MFA API or of userinfo, with or without a slash at its end.
    fn is_built_in(&self, name: &str) -> bool {
        let path = name.strip_prefix(self.issuer.as_str()).map(|path| path.strip_suffix('/').unwrap_or(path));
        !self.issuer.is_empty() && matches!(path, Some("mfa" | "userinfo"))
    }
}

/// Whether what is looked at is asked about.
fn check_context(path: &str, context: Option<&ContextConfig>, asks: MfaDemandName, mistakes: &mut Mistakes) {
    let Some(context) = context else { return };
    let path = format!("{path}.mfa_context");
    mistakes.add_if(asks != MfaDemandName::Context, &path, "is for mfa_demand = \"context\"");
    check_looks(&path, context, mistakes);
}

fn check_looks(path: &str, context: &ContextConfig, mistakes: &mut Mistakes) {
    let age = context.max_age;
    mistakes.add_if(
        !context.new_network && !context.new_device && age.is_zero(),
        path,
        "must look at something: nobody would be asked",
    );
    if !age.is_zero() {
        within(&format!("{path}.max_age"), age, &(Duration::from_secs(60)..=YEAR), mistakes);
    }
}

/// Whether a grace period is one that can be given.
fn check_grace(path: &str, grace: Option<Duration>, strength: StrengthName, mistakes: &mut Mistakes) {
    let Some(grace) = grace else { return };
    let path = format!("{path}.mfa_grace");
    within(&path, grace, &(Duration::ZERO..=LONGEST_GRACE), mistakes);
    mistakes.add_if(
        !grace.is_zero() && strength != StrengthName::Any,
        path,
        "must be 0s with mfa_strength: who must prove a certain strength is not let in without any",
    );
}

/// What RFC 9700, section 2.2.2 asks of clients that cannot prove themselves holds only for those that have refresh tokens.
fn check_refresh(path: &str, client: &ClientConfig, mistakes: &mut Mistakes) {
    let refresh = &client.refresh;
    let public = client.authentication == ClientAuthName::None && client.grant_types.contains(&GrantName::RefreshToken);
    mistakes.add_if(
        public && !refresh.rotate,
        format!("{path}.rotate"),
        "a client without authentication must rotate its refresh tokens",
    );
    mistakes.add_if(
        public && !refresh.expire,
        format!("{path}.expire"),
        "refresh tokens of a client without authentication must expire",
    );
    within(&format!("{path}.overlap"), refresh.overlap, &(Duration::ZERO..=Duration::from_secs(60)), mistakes);
    for (name, lifetime) in [("lifetime", refresh.lifetime), ("idle_lifetime", refresh.idle_lifetime)] {
        within(&format!("{path}.{name}"), lifetime, &(Duration::from_secs(1)..=YEAR), mistakes);
    }
    mistakes.add_if(
        refresh.idle_lifetime > refresh.lifetime,
        format!("{path}.idle_lifetime"),
        "must be at most the lifetime",
    );
}

fn is_printable(text: &str, most: usize) -> bool {
    (1..=most).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

fn printable(most: usize) -> String {
    format!("must be 1 to {most} printable characters")
}

/// RFC 6454, section 6.2.
fn is_origin(text: &str) -> bool {
    Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.origin().ascii_serialization() == text)
}
