//! What is no mistake and ought to be known all the same.

use super::{
    check::Checked,
    limits::{ContextConfig, MfaDemandName},
};

impl Checked {
    /// What the operator should know though it is no mistake.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self
            .clients
            .iter()
            // The demo's clients have them on purpose.
            .filter(|client| !self.demo && client.grant_types.iter().any(|grant| grant.takes_password()))
            .map(|client| {
                format!("client {} may use password grants, which RFC 9700, section 2.4 advises against", client.id)
            })
            .collect();
        let limit = self.limits.management_max_age;
        for client in
            self.clients.iter().filter(|client| !client.asserts.realm.is_empty() && client.asserts.max_age > limit)
        {
            warnings.push(format!(
                "client {} may assert logins of {} ago, but none older than limits.management_max_age, {}, may enrol a first factor",
                client.id,
                humantime_serde::re::humantime::format_duration(client.asserts.max_age),
                humantime_serde::re::humantime::format_duration(limit)
            ));
        }
        if self.grpc.enabled && !self.grpc.tls.enabled && !self.grpc.listen.ip().is_loopback() {
            warnings.push("gRPC is served without TLS beyond loopback".to_owned());
        }
        if self.http.enabled && !self.http.listen.ip().is_loopback() {
            warnings.push("HTTP is served without TLS beyond loopback; a proxy in front must end TLS".to_owned());
        }
        if self.grpc.enabled {
            let mut by_network = self.by_network().peekable();
            if by_network.peek().is_some() {
                let rules: Vec<String> = by_network.collect();
                warnings.push(format!(
                    "{}: decided by network, and whoever calls over gRPC and is not among grpc.tls.gateways is in the network of its own \
                     connection, with all of its people; rely on max_age and new_device there",
                    rules.join(", ")
                ));
            }
        }
        warnings
    }

    /// The rules that go by the network a person is in.
    fn by_network(&self) -> impl Iterator<Item = String> {
        let looks = |demand, context: Option<ContextConfig>| {
            demand == MfaDemandName::Context && context.unwrap_or(self.mfa.context).new_network
        };
        let clients = self.clients.iter();
        let clients = clients
            .filter(move |client| looks(client.mfa_demand.unwrap_or(self.mfa.demand), client.mfa_context))
            .map(|client| format!("client {}", client.id));
        let apis = self.apis.iter();
        let apis = apis
            .filter(move |api| api.mfa_demand.is_some_and(|demand| looks(demand, api.mfa_context)))
            .map(|api| format!("API {}", api.audience));
        clients.chain(apis)
    }
}
