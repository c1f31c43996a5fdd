//! Computes pools of virtual addresses, and their parts without clients.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Finding;

/// A pool of virtual addresses from which the daemon assigns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pool {
    pub name: String,
    pub base: IpAddr,
    pub size: u64,
}

impl Pool {
    pub fn overlaps(&self, other: &Self) -> bool {
        let extent = |pool: &Self| {
            let first = number(pool.base);
            (first, first.saturating_add(u128::from(pool.size)))
        };
        let ((first, end), (other_first, other_end)) = (extent(self), extent(other));
        let is_same_family = self.base.is_ipv4() == other.base.is_ipv4();
        is_same_family && first < other_end && other_first < end
    }

    /// Returns true if the daemon may assign this address.
    pub fn may_assign(&self, address: &IpAddr) -> bool {
        self.spans(
            address,
            u128::from(self.size) - u128::from(!self.may_be_network()),
        )
    }

    /// Returns true if the address is in the pool, which is known to begin with its base.
    pub fn covers(&self, address: &IpAddr) -> bool {
        self.spans(address, u128::from(self.size) - 1)
    }

    fn spans(&self, address: &IpAddr, last: u128) -> bool {
        let distance = number(*address).checked_sub(number(self.base));
        let is_same_family = self.base.is_ipv4() == address.is_ipv4();
        is_same_family && distance.is_some_and(|it| it <= last)
    }

    /// Returns the largest contiguous part without these addresses.
    pub fn largest_part_without(&self, taken: &BTreeSet<IpAddr>) -> Option<Self> {
        let first = number(self.base) + u128::from(self.may_be_network());
        let last = number(self.base) + u128::from(self.size) - 1;
        let [from, to] = [first, last].map(|it| address(self.base, it));
        let (from, to) = (from?, to?);
        let mut taken = if from <= to {
            taken.range(from..=to).copied().map(number)
        } else {
            return None;
        };
        let (mut start, mut largest) = (first, None);
        loop {
            let next = taken.next();
            let size = next.unwrap_or(last + 1) - start;
            if size > largest.map_or(0, |(_, size)| size) {
                largest = Some((start, size));
            }
            match next {
                Some(next) => start = next + 1,
                None => break,
            }
        }
        let (start, size) = largest?;
        Some(Self {
            name: self.name.clone(),
            base: address(self.base, start)?,
            size: u64::try_from(size).ok()?,
        })
    }

    /// Returns the range "10.3.0.2-10.3.0.9" of a pool that begins with its base.
    pub fn range(&self) -> String {
        let last = number(self.base) + u128::from(self.size) - 1;
        let last = address(self.base, last).unwrap_or(self.base);
        format!("{}-{last}", self.base)
    }

    /// Returns true if the pool may be a network. charon assigns a network's addresses from the one after its base, and
    /// a range's from its base, and reports both in the same way.
    fn may_be_network(&self) -> bool {
        let network = u128::from(self.size) + 2;
        network.is_power_of_two() && number(self.base) % network == 0
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(ip) => u128::from(u32::from(ip)),
        IpAddr::V6(ip) => u128::from(ip),
    }
}

/// Returns the address with this number, of the family of `like`.
fn address(like: IpAddr, number: u128) -> Option<IpAddr> {
    Some(match like {
        IpAddr::V4(_) => IpAddr::V4(u32::try_from(number).ok()?.into()),
        IpAddr::V6(_) => IpAddr::V6(number.into()),
    })
}

/// Finds pools that assign the same addresses on both nodes.
pub fn shared_pools(here: &[Pool], there: &[Pool]) -> Vec<Finding> {
    let finding = |pool: &Pool| {
        let other = there.iter().find(|other| pool.overlaps(other))?;
        let sentence = format!(
            "both nodes assign addresses from {} upwards ({} here, {} on the peer): after a failover a client gets one \
             that another has",
            pool.base.max(other.base),
            pool.name,
            other.name
        );
        Some(
            Finding::new(&pool.name, "pool", sentence)
                .with_line("one half of it into addrs on each node"),
        )
    };
    here.iter().filter_map(finding).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(base: &str, size: u64) -> Pool {
        Pool {
            name: "road".to_owned(),
            base: base.parse().expect("an address"),
            size,
        }
    }

    fn part(pool: &Pool, taken: &[&str]) -> Option<String> {
        let taken = taken.iter().map(|it| it.parse().expect("an address"));
        let part = pool.largest_part_without(&taken.collect());
        part.map(|part| part.range())
    }

    #[test]
    fn the_largest_part_lies_before_between_or_behind_what_is_taken() {
        let range = pool("10.3.0.5", 10);
        let named = |taken: &[&str]| part(&range, taken).unwrap_or_default();
        assert_eq!(named(&[]), "10.3.0.5-10.3.0.14");
        assert_eq!(named(&["10.3.0.5", "10.3.0.15"]), "10.3.0.6-10.3.0.14");
        assert_eq!(named(&["10.3.0.13"]), "10.3.0.5-10.3.0.12");
        assert_eq!(named(&["10.3.0.6", "10.3.0.13"]), "10.3.0.7-10.3.0.12");
        assert_eq!(named(&["fd03::6"]), "10.3.0.5-10.3.0.14");
        let six = pool("fd03::5", 3);
        assert_eq!(
            part(&six, &["fd03::5"]).unwrap_or_default(),
            "fd03::6-fd03::7"
        );
    }

    #[test]
    fn of_a_pool_that_is_all_taken_no_part_is_left() {
        assert_eq!(part(&pool("10.3.0.5", 2), &["10.3.0.5", "10.3.0.6"]), None);
        let last = pool("255.255.255.255", 1);
        assert_eq!(part(&last, &["255.255.255.255"]), None);
        assert_eq!(
            part(&last, &[]).unwrap_or_default(),
            "255.255.255.255-255.255.255.255"
        );
    }

    #[test]
    fn of_a_network_neither_the_base_nor_the_last_address_is_part() {
        let network = pool("10.3.0.0", 126);
        assert_eq!(
            part(&network, &["10.3.0.1"]).unwrap_or_default(),
            "10.3.0.2-10.3.0.125"
        );
        let may_assign = |address: &str| network.may_assign(&address.parse().expect("an address"));
        // a range may include the base, and a network the other end
        assert!(may_assign("10.3.0.0") && may_assign("10.3.0.126"));
        assert!(!may_assign("10.3.0.127") && !may_assign("::a03:1"));
        let range = pool("10.3.0.2", 124);
        assert!(range.may_assign(&range.base) && network.covers(&network.base));
        assert!(!range.may_assign(&"10.3.0.126".parse().expect("an address")));
    }
}
