//! How many connections there are, in all and from each address.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use countersign_domain::attempt::network_of;

/// Counts connections. Clones count together.
#[derive(Clone, Debug)]
pub struct Connections {
    counts: Arc<Mutex<Counts>>,
    max: usize,
    max_per_address: usize,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

impl Connections {
    /// At most `max` connections at once, and `max_per_address` from one address.
    pub fn new(max: usize, max_per_address: usize) -> Self {
        Self { counts: Arc::default(), max, max_per_address }
    }

    /// Room for a connection from `address`, until the permit is dropped; `None` if there is none.
    pub fn admit(&self, address: IpAddr) -> Option<Permit> {
        let address = network_of(address);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let from_here = counts.by_address.get(&address).copied().unwrap_or_default();
        if counts.all >= self.max || from_here >= self.max_per_address {
            return None;
        }
        counts.all += 1;
        counts.by_address.insert(address, from_here + 1);
        Some(Permit { counts: Arc::clone(&self.counts), address })
    }
}

/// One connection's place.
#[derive(Debug)]
pub struct Permit {
    counts: Arc<Mutex<Counts>>,
    address: IpAddr,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        if let Some(count) = counts.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_every_place() {
        let connections = Connections::new(3, 2);
        let [a, b, c] = [1, 2, 3].map(|last| IpAddr::from([10, 0, 0, last]));
        let first = connections.admit(a);
        let _second = connections.admit(a);
        assert!(connections.admit(a).is_none(), "the address has its two");
        let _third = connections.admit(b);
        assert!(connections.admit(c).is_none(), "all three are taken");
        drop(first);
        assert!(connections.admit(c).is_some());
    }

    #[test]
    fn an_address_mapped_into_ipv6_is_the_same_address() {
        let connections = Connections::new(9, 1);
        let _permit = connections.admit(IpAddr::from([10, 0, 0, 1]));
        assert!(connections.admit(std::net::Ipv4Addr::new(10, 0, 0, 1).to_ipv6_mapped().into()).is_none());
    }
}
