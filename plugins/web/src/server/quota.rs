//! Numbers of connections and of streams: of one address, and of all. What is beyond is closed at once, so that the
//! rest is served.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// Number of things that may be there at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub all: u32,
    pub of_address: u32,
    /// Things of this node, such as of a proxy, which speaks for many.
    pub of_this_node: u32,
}

/// Things that are there, by address.
#[derive(Clone, Debug)]
pub struct Quota {
    limit: Limit,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    all: u32,
    by_address: HashMap<IpAddr, u32>,
}

impl Quota {
    pub fn new(limit: Limit) -> Self {
        Self {
            limit,
            taken: Arc::default(),
        }
    }

    /// Takes one, until the permit is dropped; None if there are too many.
    pub fn take(&self, address: IpAddr) -> Option<Permit> {
        let most = match crate::config::is_local(address) {
            true => self.limit.of_this_node,
            false => self.limit.of_address,
        };
        let address = network_of(address);
        let mut taken = lock(&self.taken);
        let of_address = taken.by_address.get(&address).copied().unwrap_or(0);
        if taken.all >= self.limit.all || of_address >= most {
            return None;
        }
        taken.all += 1;
        taken.by_address.insert(address, of_address + 1);
        Some(Permit {
            address,
            taken: self.taken.clone(),
        })
    }

    /// Number of things that are there.
    pub fn count(&self) -> u32 {
        lock(&self.taken).all
    }
}

fn lock(taken: &Mutex<Taken>) -> std::sync::MutexGuard<'_, Taken> {
    // a panic elsewhere leaves the numbers valid
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One of a quota, which ends with it.
#[derive(Debug)]
pub struct Permit {
    address: IpAddr,
    taken: Arc<Mutex<Taken>>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut taken = lock(&self.taken);
        taken.all = taken.all.saturating_sub(1);
        if let Some(count) = taken.by_address.get_mut(&self.address) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

/// Network of one user: an address of IPv4, or the 64 bits of IPv6 before the interface identifier.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            Ipv6Addr::from(network).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Limit = Limit {
        all: 5,
        of_address: 2,
        of_this_node: 4,
    };

    #[test]
    fn an_address_has_its_number_and_all_have_theirs() {
        let quota = Quota::new(LIMIT);
        let take = |address: &str| quota.take(address.parse().unwrap());
        let first = take("192.0.2.1");
        let second = take("::ffff:192.0.2.1");
        assert!(first.is_some() && second.is_some() && take("192.0.2.1").is_none());
        let users = ["2001:db8::1", "2001:db8::2"].map(take);
        assert!(users.iter().all(Option::is_some));
        assert!(take("2001:db8::3").is_none(), "the same network");
        let last = take("2001:db8:1::1");
        assert!(last.is_some() && take("198.51.100.1").is_none(), "of all");
        drop(first);
        assert!(take("192.0.2.1").is_some());
        drop((second, users, last));
        assert_eq!(quota.count(), 0);
        assert!(lock(&quota.taken).by_address.is_empty());
    }

    #[test]
    fn this_node_may_have_more_as_a_proxy_speaks_for_many() {
        let quota = Quota::new(LIMIT);
        let all: Vec<_> = (0..9).map(|_| quota.take([127, 0, 0, 1].into())).collect();
        assert_eq!(all.iter().flatten().count(), 4);
    }
}
