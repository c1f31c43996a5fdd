//! Decides which virtual addresses charon must not assign, and when its pools are read for that; sans I/O.
//!
//! charon keeps in memory which addresses of a pool it has assigned. After a restart it does not know the clients whose
//! SAs the kernel still has, and would assign their addresses again. So a pool with such an address is replaced by its
//! largest part without any, as soon as it is loaded.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::connections::Pool;

/// Interval of reads while pools are being loaded, and its duration: pools are loaded just before connections, and a
/// client that connects then gets an address one round trip later.
const LOOK_LOADING: Duration = Duration::from_millis(20);
const LOADING: Duration = Duration::from_secs(10);
/// Later interval of reads, since pools may be loaded again at any time.
const LOOK_LATER: Duration = Duration::from_secs(1);

/// Intervals between tries to connect: to a charon that is expected, with its duration, and later.
const CONNECT_FIRST: Duration = Duration::from_millis(50);
const EXPECTED: Duration = Duration::from_secs(60);
const CONNECT_LATER: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub struct Withholding {
    addresses: BTreeSet<IpAddr>,
    at: Instant,
    /// Time until which charon may still be loading.
    loading_until: Instant,
    /// Time until which charon is expected to start.
    expected_until: Instant,
    /// Pools as they were loaded, and the part that replaced each.
    parts: BTreeMap<String, (Pool, Pool)>,
    reported: Option<String>,
}

/// Action for a pool.
#[derive(Debug, PartialEq, Eq)]
pub enum PoolAction {
    /// Replace the pool by this one.
    Replace(Pool),
    /// The pool cannot be replaced, with the reason.
    Fault(String),
}

impl Withholding {
    pub fn new(now: Instant) -> Self {
        Self {
            addresses: BTreeSet::new(),
            at: now,
            loading_until: now,
            expected_until: now,
            parts: BTreeMap::new(),
            reported: None,
        }
    }

    /// Sets the addresses of clients that charon may not know.
    pub fn set_addresses(&mut self, now: Instant, addresses: BTreeSet<IpAddr>) {
        if self.addresses.is_empty() {
            self.expect(now);
            self.reported = None;
        }
        self.addresses = addresses;
        self.at = now;
    }

    /// Expects a start of charon.
    pub fn expect(&mut self, now: Instant) {
        self.expected_until = now + EXPECTED;
    }

    /// Handles a start of charon, which then loads its pools.
    pub fn begin(&mut self, now: Instant) {
        self.parts.clear();
        (self.at, self.loading_until) = (now, now + LOADING);
    }

    /// Returns the time until the next try to connect, if something depends on it.
    pub fn connect_after(&self, now: Instant) -> Option<Duration> {
        let again = if now < self.expected_until {
            CONNECT_FIRST
        } else {
            CONNECT_LATER
        };
        (!self.addresses.is_empty()).then_some(again)
    }

    /// Returns the time of the next read of the pools.
    pub fn due(&self) -> Option<Instant> {
        (!self.addresses.is_empty()).then_some(self.at)
    }

    /// Returns true if a pool has an address that charon must not assign.
    pub fn concerns(&self, pool: &Pool) -> bool {
        self.withheld_in(pool).next().is_some()
    }

    fn withheld_in<'a>(&'a self, pool: &'a Pool) -> impl Iterator<Item = &'a IpAddr> {
        let is_part = self.parts.get(&pool.name).is_some_and(|(_, it)| it == pool);
        let may_assign = move |ip: &&IpAddr| {
            if is_part {
                pool.covers(ip)
            } else {
                pool.may_assign(ip)
            }
        };
        self.addresses.iter().filter(may_assign)
    }

    /// Returns the pool as it was loaded, before a part replaced it.
    pub fn as_loaded(&self, pool: Pool) -> Pool {
        match self.parts.get(&pool.name) {
            Some((whole, part)) if *part == pool => whole.clone(),
            _ => pool,
        }
    }

    /// Returns the action for a pool. `assigned` are addresses of charon's own clients; None if there are too many.
    pub fn handle_pool(
        &self,
        pool: &Pool,
        assigned: Option<&BTreeSet<IpAddr>>,
    ) -> Option<PoolAction> {
        let is_own = |ip: &IpAddr| assigned.is_some_and(|assigned| assigned.contains(ip));
        let mut withheld_in = self.withheld_in(pool).filter(|ip| !is_own(ip));
        let first = withheld_in.next()?;
        let named = match withheld_in.count() {
            0 => first.to_string(),
            more => format!("{first} and {more} more"),
        };
        let (name, fault) = (&pool.name, PoolAction::Fault);
        let fault = |why| fault(format!("pool {name}: {named} may be assigned twice: {why}"));
        if assigned.is_none_or(|assigned| !assigned.is_empty()) {
            return Some(fault(
                "charon replaces no pool of which a client has an address; terminate its clients",
            ));
        }
        let part = self.as_loaded(pool.clone());
        let part = part.largest_part_without(&self.addresses);
        Some(part.map_or_else(|| fault("none is free; add addresses"), PoolAction::Replace))
    }

    /// Takes note that this part replaced the pool.
    pub fn handle_replaced(&mut self, pool: &Pool, part: Pool) {
        let whole = self.as_loaded(pool.clone());
        self.parts.insert(pool.name.clone(), (whole, part));
    }

    /// Handles the end of a read of all pools; returns the first fault if it is new.
    pub fn handle_read(&mut self, now: Instant, fault: Option<String>) -> Option<Option<String>> {
        self.at = if now < self.loading_until {
            now + LOOK_LOADING
        } else {
            now + LOOK_LATER
        };
        let is_new = self.reported != fault;
        self.reported.clone_from(&fault);
        is_new.then_some(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ips(texts: &[&str]) -> BTreeSet<IpAddr> {
        let ips = texts.iter().map(|it| it.parse().expect("an address"));
        ips.collect()
    }

    fn network() -> Pool {
        Pool {
            name: "road".to_owned(),
            base: "10.3.0.0".parse().expect("an address"),
            size: 126,
        }
    }

    fn withholding(texts: &[&str]) -> (Instant, Withholding) {
        let now = Instant::now();
        let mut withholding = Withholding::new(now);
        withholding.set_addresses(now, ips(texts));
        withholding.begin(now);
        (now, withholding)
    }

    fn part(step: Option<PoolAction>) -> Pool {
        match step {
            Some(PoolAction::Replace(part)) => part,
            step => panic!("{step:?}"),
        }
    }

    fn fault(step: Option<PoolAction>) -> String {
        match step {
            Some(PoolAction::Fault(why)) => why,
            step => panic!("{step:?}"),
        }
    }

    #[test]
    fn a_pool_with_a_living_clients_address_is_replaced_once_by_a_part_without() {
        let (_, mut withholding) = withholding(&["10.3.0.1", "10.4.0.1"]);
        let first = part(withholding.handle_pool(&network(), Some(&ips(&[]))));
        assert_eq!(first.range(), "10.3.0.2-10.3.0.125");
        withholding.handle_replaced(&network(), first.clone());
        assert!(!withholding.concerns(&first));
        assert_eq!(withholding.as_loaded(first.clone()), network());
        // a second address, and the first is free again
        withholding.set_addresses(Instant::now(), ips(&["10.3.0.2"]));
        let second = part(withholding.handle_pool(&first, Some(&ips(&[]))));
        assert_eq!(second.range(), "10.3.0.3-10.3.0.125");
        withholding.handle_replaced(&first, second.clone());
        assert_eq!(withholding.as_loaded(second), network());
        // the whole pool is loaded again
        assert!(withholding.concerns(&network()));
    }

    #[test]
    fn what_charon_itself_has_given_is_no_fault_and_what_it_may_give_is() {
        let (_, withholding) = withholding(&["10.3.0.1", "10.3.0.2"]);
        let both = ips(&["10.3.0.1", "10.3.0.2"]);
        assert_eq!(withholding.handle_pool(&network(), Some(&both)), None);
        let one = ips(&["10.3.0.1"]);
        for assigned in [Some(&one), None] {
            let why = fault(withholding.handle_pool(&network(), assigned));
            assert!(why.contains("terminate its clients"), "{why}");
        }
        let full = Pool {
            base: "10.3.0.1".parse().expect("an address"),
            size: 2,
            ..network()
        };
        let why = fault(withholding.handle_pool(&full, Some(&ips(&[]))));
        let said =
            "pool road: 10.3.0.1 and 1 more may be assigned twice: none is free; add addresses";
        assert_eq!(why, said);
    }

    #[test]
    fn pools_are_looked_at_often_while_charon_loads_them_and_never_for_nothing() {
        let (now, mut withholding) = withholding(&["10.3.0.1"]);
        assert_eq!(withholding.connect_after(now), Some(CONNECT_FIRST));
        assert_eq!(
            withholding.connect_after(now + EXPECTED),
            Some(CONNECT_LATER)
        );
        assert_eq!(withholding.due(), Some(now));
        let why = Some("no".to_owned());
        assert_eq!(withholding.handle_read(now, why.clone()), Some(why.clone()));
        assert_eq!(withholding.due(), Some(now + LOOK_LOADING));
        let later = now + LOADING;
        assert_eq!(withholding.handle_read(later, why), None);
        assert_eq!(withholding.due(), Some(later + LOOK_LATER));
        withholding.set_addresses(later, ips(&[]));
        assert_eq!(withholding.connect_after(later), None);
        assert_eq!(withholding.due(), None);
    }
}
