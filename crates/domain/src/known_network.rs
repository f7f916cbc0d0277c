//! What is remembered of second factors: from which networks they were completed, and when.
//!
//! It is kept with the epoch of the account: whatever ends what a person has in flight (another password, a factor removed or disabled, a
//! block, a reset) makes every network new again, as it has devices forgotten. What somebody proved with a weak factor says nothing where a
//! stronger one is asked for. Passing because nothing is new is no proof, and renews nothing.

use std::net::IpAddr;

use crate::{
    app::App,
    error::Error,
    id::{Audience, UserId},
    login_policy::FirstFactor,
    policy::{Context, Rule, Strength},
    port::{
        login_store::{NewProof, ProofQuery},
        sealer::DigestPurpose,
    },
    secret::Digest,
};

impl App {
    /// What is remembered that `rule` looks at. Nothing is read where it looks at nothing.
    ///
    /// # Errors
    ///
    /// The store failed: then nobody is let in by what they might be known for.
    pub(crate) async fn context_of(
        &self,
        rule: &Rule,
        first: &FirstFactor<'_>,
        address: Option<IpAddr>,
        device: bool,
    ) -> Result<Context, Error> {
        let looks = rule.demands.by_context() && (rule.context.networks || rule.context.max_age.is_some());
        if !looks || self.registry.is_mfa_audience(first.audience.as_str()) {
            return Ok(Context { device, ..Context::default() });
        }
        let user = &first.account.user;
        let network = address.map(|address| self.network_digest(&user.id, address));
        let query = ProofQuery { epoch: user.epoch, network, strength: rule.strength };
        let proven = self.logins.last_proven(&user.id, query).await?;
        Ok(Context { network: proven.network, last: proven.anywhere, device })
    }

    /// What is to be remembered of a second factor of `strength`, if any rule here goes by it.
    pub(crate) fn proof_from(&self, user: &UserId, address: Option<IpAddr>, strength: Strength) -> Option<NewProof> {
        let network = || address.map(|address| self.network_digest(user, address));
        self.registry.goes_by_context.then(|| NewProof { network: network(), strength })
    }

    /// Whether a remembered device makes a difference where `rule` counts.
    pub(crate) fn looks_at_devices(&self, rule: &Rule, audience: &Audience) -> bool {
        rule.demands.by_context() && rule.context.devices && !self.registry.is_mfa_audience(audience.as_str())
    }

    /// The network of `address`, as it is known of `user` alone: nothing tells that two people share one.
    fn network_digest(&self, user: &UserId, address: IpAddr) -> Digest {
        let (version, prefix) = prefix(address);
        self.sealer.keyed_digest(DigestPurpose::Address, &[b"network", user.as_str().as_bytes(), &[version], &prefix])
    }
}

/// What addresses of one network share: 24 bits of IPv4, 56 bits of IPv6, the most that a provider gives to one home (RFC 6177).
fn prefix(address: IpAddr) -> (u8, Vec<u8>) {
    match address.to_canonical() {
        IpAddr::V4(address) => (4, address.octets().into_iter().take(3).collect()),
        IpAddr::V6(address) => (6, address.octets().into_iter().take(7).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_share_their_prefix() {
        let of = |text: &str| prefix(text.parse().unwrap());
        for (one, other, same) in [
            ("203.0.113.7", "203.0.113.200", true),
            ("203.0.113.7", "203.0.112.7", false),
            ("203.0.113.7", "::ffff:203.0.113.9", true),
            ("2001:db8:0:1200::1", "2001:db8:0:12ff:a:b:c:d", true),
            ("2001:db8:0:1200::1", "2001:db8:0:1300::1", false),
            ("32.1.13.7", "2001:d07::1", false),
        ] {
            assert_eq!(of(one) == of(other), same, "{one} and {other}");
        }
    }
}
