//! The fence: an nftables table that passes packets of a virtual address only while its fence lease
//! is valid. Only the adverts of the elector renew a lease.
//!
//! The table `netdev spared` has no owner flag: it stays when the host is killed, and its leases
//! expire. [`Fence::apply`] makes it equal to a [`Plan`] in one transaction that never touches the
//! set `lease`; [`Fence::grant`] and [`Fence::revoke`] change only keys.
//!
//! A second set of keys, `carry`, is for switchovers. [`Fence::carry_leases`] revokes leases, and at the same time
//! passes the packets of their addresses and virtual MACs for [`CARRY_MAX`]. It passes no ARP, no neighbour discovery
//! and no advert except the resignation. So packets that neighbours still send here are forwarded, and no neighbour or
//! switch learns this node again.
//!
//! # After `nft flush ruleset`
//!
//! A flush removes the table, and with it the time that each lease had left. The host must put the table back, but must
//! not guess the leases. It cannot know that the elector still runs, and a lease that is granted for its full time
//! could last longer than the last advert of a dead elector allowed. So the kernel keeps a second record. The table
//! `netdev spared-mirror` has the same leases, which the same adverts renew and revoke behind the fence, and it drops
//! nothing. It has the owner flag, so that nobody else can flush it. It ends with the host, which alone uses it. After
//! a flush, the fence is restored with exactly the time that the mirror has left: an active node stays active, and the
//! fence of a dead one keeps blocking. Without a mirror, the fence is restored blocking, and the elector resigns at its
//! next advert.
//!
//! Time passes between reading the mirror and committing, and this process may be stopped for any part of it. So
//! restored leases are written again at once, shortened by an eighth, until the writing took less than this eighth and
//! the mirror still has them. If that fails, they are revoked. One gap remains, a stop between reading and writing:
//! when the process resumes, it first revokes the leases that the mirror has lost meanwhile.

mod changes;
mod dump;
mod error;
#[allow(unsafe_code)] // calls of libnftnl and libmnl
mod expression;
mod key;
mod lease_chains;
mod leases;
#[allow(unsafe_code)] // calls of libnftnl and libmnl
mod object;
mod plan;
mod rules;
mod ruleset;
mod sets;
mod steps;
#[allow(unsafe_code)] // calls of libnftnl and libmnl
mod transaction;
mod unknown;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};
use std::{ffi::CStr, io};

use spared_netlink::constants::*;
use spared_netlink::{Monitor, Requests, attributes, text};

use changes::{add_keys, fill, remove_keys};
pub use error::FenceError;
pub use key::LeaseKey;
use object::{Counter, Set, Table};
pub use plan::{Device, Guarded, Plan, VirtualRouter, is_link_local};
use transaction::{Transaction, Transport};

const TABLE: Table = Table::FENCE;
const TABLE_NAME: &str = "spared";
const MIRROR: Table = Table::MIRROR;
const MIRROR_NAME: &str = "spared-mirror";

/// Minimum time of a lease: a little more than two ticks at HZ 100. The kernel rounds a timeout below one tick down to
/// none.
pub const LEASE_MIN: Duration = Duration::from_millis(21);
/// Maximum time for which packets are carried after a switchover.
pub const CARRY_MAX: Duration = Duration::from_secs(3);

/// Counters of the fence since it was created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub adverts: u64,
    pub resigned: u64,
    /// Adverts of ours that were dropped because there was no lease.
    pub adverts_refused: u64,
    /// Packets of addresses and virtual MACs that were dropped because there was no lease.
    pub refused: u64,
    /// Packets to addresses that do not accept them.
    pub not_accepted: u64,
    /// Answers from another MAC for the addresses of a virtual MAC.
    pub wrong_mac: u64,
}

/// Changes of the table by others, as notifications report them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tampering {
    None,
    /// The kernel removed a chain with its device, another program changed the guards for unknown devices, or
    /// notifications were lost.
    Unsure,
    /// Another program changed the table.
    Foreign,
}

pub struct Fence {
    transport: Transport,
    requests: RefCell<Requests>,
    monitor: Monitor,
    /// False until the first apply. A table that exists before that comes from an earlier run.
    made: bool,
    mirrored: bool,
    /// True if the kernel supports guards for devices that are created or renamed without our knowledge.
    guards_unknown: bool,
    /// Keys that may be in the set `carry`.
    carried: BTreeSet<LeaseKey>,
}

impl Fence {
    /// Opens the sockets; changes nothing yet.
    pub fn open_sockets() -> Result<Self, FenceError> {
        let open = |error| FenceError::new("open its netlink sockets", error);
        Ok(Self {
            transport: Transport::open().map_err(open)?,
            requests: RefCell::new(Requests::open_netfilter().map_err(open)?),
            monitor: Monitor::nftables_in(NFPROTO_NETDEV).map_err(open)?,
            made: false,
            mirrored: true,
            guards_unknown: true,
            carried: BTreeSet::new(),
        })
    }

    /// Descriptor that becomes readable when nftables rules were changed.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.monitor.as_fd()
    }

    /// Reads the notifications, and returns the worst change.
    pub fn take_tampering(&mut self) -> Tampering {
        let own_port = self.transport.port();
        let mut worst = Tampering::None;
        let read = self.monitor.read_raw(|header, payload| {
            if header.kind >> 8 != NFNL_SUBSYS_NFTABLES || header.port == own_port {
                return;
            }
            let (kind, is_kernel) = (header.kind & 0xff, header.port == 0);
            let found = match is_kernel {
                true if touches_fence(kind, payload) => Tampering::Unsure,
                false if touches_fence(kind, payload) => Tampering::Foreign,
                // the fence itself still passes and drops what it has to
                false if touches_guards(kind, payload) => Tampering::Unsure,
                _ => return,
            };
            if worst != Tampering::Foreign {
                worst = found;
            }
        });
        if worst == Tampering::None && !matches!(read, Ok(Ok(()))) {
            worst = Tampering::Unsure;
        }
        worst
    }

    /// Link-local addresses that the table guards, each with the index of its device.
    pub fn link_local(&self) -> io::Result<Vec<(u32, IpAddr)>> {
        let set = sets::GUARD6_LINK.to_str().unwrap_or_default();
        let elements = dump::elements(&mut self.requests.borrow_mut(), TABLE_NAME, set)?;
        Ok(elements.iter().filter_map(|it| sets::place(it)).collect())
    }

    /// Returns true if the table exists.
    pub fn is_there(&self) -> bool {
        dump::tables(&mut self.requests.borrow_mut())
            .is_ok_and(|tables| tables.iter().any(|table| table == TABLE_NAME))
    }

    /// Returns true if the table exists and its chains are in force.
    pub fn is_in_force(&self) -> bool {
        dump::is_in_force(&mut self.requests.borrow_mut(), TABLE_NAME).unwrap_or_default()
    }

    /// Makes the table equal to the plan, and keeps the leases. If the table has to be created again, the leases of
    /// `open` that the mirror still has are restored.
    pub fn apply(&mut self, plan: &Plan, open: &BTreeSet<LeaseKey>) -> Result<(), FenceError> {
        match self.apply_once(plan, open) {
            Err(error) if error.is_missing() => self.apply_once(plan, open),
            result => result,
        }
    }

    fn apply_once(&mut self, plan: &Plan, open: &BTreeSet<LeaseKey>) -> Result<(), FenceError> {
        let tables = self.read_tables()?;
        let has = |name: &str| tables.iter().any(|table| table == name);
        let fresh = !self.made || !has(TABLE_NAME) || !self.is_complete();
        let fresh_mirror = !has(MIRROR_NAME);

        let mut transaction = Transaction::new();
        let mut old = Vec::new();
        if fresh {
            self.create(&mut transaction);
            self.carried.clear();
        } else {
            // Wakes a table that another program made dormant.
            transaction.add(&Table::FENCE, "wake its table");
            old = self.chains(TABLE_NAME)?;
        }
        fill(&mut transaction, TABLE, &ruleset::fence(plan), &old);
        if self.mirrored {
            self.add_mirror(&mut transaction, plan, fresh_mirror)?;
        }
        // The mirror is read as late as possible, because its times age until they are written.
        let restore = fresh && self.made;
        let mut leases = if restore {
            self.mirrored_leases()
        } else {
            Vec::new()
        };
        leases.retain(|(key, _)| open.contains(key));
        add_keys(&mut transaction, TABLE, sets::LEASE, &leases);
        match self.transport.commit(transaction) {
            Err(error) if fresh_mirror && self.mirrored && !self.made && !error.is_missing() => {
                log::warn!(
                    "{error}; continuing without a mirror: after a flush the fence is blocking"
                );
                self.mirrored = false;
                return self.apply_once(plan, open);
            }
            result => result?,
        }
        self.made = true;
        self.guard_unknown(plan);
        if !leases.is_empty() {
            self.shorten_restored_leases(leases.iter().map(|(key, _)| *key).collect())?;
        }
        Ok(())
    }

    // Guards devices that are unknown. A kernel without these hooks still has the fence itself.
    fn guard_unknown(&mut self, plan: &Plan) {
        if !self.guards_unknown {
            return;
        }
        let mut transaction = Transaction::new();
        unknown::replace(&mut transaction, plan);
        if let Err(error) = self.transport.commit(transaction) {
            log::warn!(
                "{error}; an interface that is created or renamed while spared is not running may answer for virtual addresses"
            );
            self.guards_unknown = false;
        }
    }

    // Reads the names of the tables. At the start it waits for the mirror of a host that has just ended, because nobody
    // else can change that mirror.
    fn read_tables(&mut self) -> Result<Vec<String>, FenceError> {
        const PATIENCE: usize = 20;
        const PACE: Duration = Duration::from_millis(10);
        let read = |error| FenceError::new("read the tables", error);
        for _ in 0..PATIENCE {
            let tables = dump::tables(&mut self.requests.borrow_mut()).map_err(read)?;
            let strange = tables.iter().any(|table| table == MIRROR_NAME);
            if self.made || !self.mirrored || !strange {
                return Ok(tables);
            }
            std::thread::sleep(PACE);
        }
        log::warn!(
            "fence: another program owns the table {MIRROR_NAME}: after a flush the fence is blocking"
        );
        self.mirrored = false;
        dump::tables(&mut self.requests.borrow_mut()).map_err(read)
    }

    fn add_mirror(
        &self,
        transaction: &mut Transaction,
        plan: &Plan,
        fresh: bool,
    ) -> Result<(), FenceError> {
        let mut old = Vec::new();
        if fresh {
            const SET_ID: u32 = 100;
            let table = MIRROR;
            transaction.add(&Table::MIRROR, "add its mirror");
            let kinds = [sets::LEASE_SET].into_iter().chain(sets::ADVERT_MAPS);
            for (kind, id) in kinds.zip(SET_ID..) {
                let label = format!("add its mirror's {}", kind.name.to_string_lossy());
                let kind = &kind;
                transaction.add(&Set { table, kind, id }, label);
            }
        } else {
            old = self.chains(MIRROR_NAME)?;
        }
        fill(transaction, MIRROR, &ruleset::mirror(plan), &old);
        Ok(())
    }

    // Restored leases last too long by the time that writing them took. Writes them again, shortened, until the writing
    // took less than the cut and the mirror still has all of them.
    fn shorten_restored_leases(&mut self, restored: Vec<LeaseKey>) -> Result<(), FenceError> {
        const ATTEMPTS: usize = 3;
        for _ in 0..ATTEMPTS {
            let begun = Instant::now();
            let mut left = self.mirrored_leases();
            left.retain(|(key, _)| restored.contains(key));
            let shorter: Vec<_> = left
                .iter()
                .map(|(key, left)| (*key, *left * 7 / 8))
                .collect();
            let mut transaction = Transaction::new();
            remove_keys(&mut transaction, TABLE, sets::LEASE, &restored);
            add_keys(&mut transaction, TABLE, sets::LEASE, &shorter);
            match self.transport.commit(transaction) {
                Err(error) if error.is_missing() => continue,
                result => result?,
            }
            let took = begun.elapsed();
            let now = self.mirrored_leases();
            let alive = |key| now.iter().any(|(living, _)| living == key);
            if left
                .iter()
                .all(|(key, left)| took <= *left / 8 && alive(key))
            {
                return Ok(());
            }
        }
        self.revoke(&restored)
    }

    pub fn counts(&self) -> io::Result<Counts> {
        let found = dump::counters(&mut self.requests.borrow_mut(), TABLE_NAME)?;
        let of = |counter: &CStr| {
            let mut named = found
                .iter()
                .filter(|(n, _)| n.as_bytes() == counter.to_bytes());
            named.next().map_or(0, |(_, packets)| *packets)
        };
        Ok(Counts {
            adverts: of(sets::COUNT_ADVERTS),
            resigned: of(sets::COUNT_RESIGNED),
            adverts_refused: of(sets::COUNT_ADVERTS_REFUSED),
            refused: of(sets::COUNT_REFUSED),
            not_accepted: of(sets::COUNT_NOT_ACCEPTED),
            wrong_mac: of(sets::COUNT_WRONG_MAC),
        })
    }

    /// Removes the table; returns true if it existed.
    pub fn remove(&mut self) -> Result<bool, FenceError> {
        let there = self.is_there();
        let mut transaction = Transaction::new();
        let mirror = (self.made && self.mirrored).then_some(Table::MIRROR);
        for table in [Table::FENCE].into_iter().chain(mirror) {
            transaction.add(&table, "remove its table");
            transaction.delete(&table, "remove its table");
        }
        self.transport.commit(transaction)?;
        self.made = false;
        if self.guards_unknown {
            let mut transaction = Transaction::new();
            unknown::remove(&mut transaction);
            // A kernel that has no such tables has nothing to remove.
            let _ = self.transport.commit(transaction);
        }
        Ok(there)
    }

    fn tables(&self) -> impl Iterator<Item = Table> {
        [TABLE].into_iter().chain(self.mirrored.then_some(MIRROR))
    }

    // Replaces an existing table, whoever created it.
    fn create(&self, transaction: &mut Transaction) {
        transaction.add(&Table::FENCE, "add its table");
        transaction.delete(&Table::FENCE, "replace its table");
        transaction.add(&Table::FENCE, "add its table");
        let kinds = sets::KEY_SETS.into_iter().chain(sets::STATIC_SETS);
        for (kind, id) in kinds.zip(1..) {
            let label = format!("add set {}", kind.name.to_string_lossy());
            transaction.add(
                &Set {
                    table: TABLE,
                    kind: &kind,
                    id,
                },
                label,
            );
        }
        for name in sets::COUNTERS {
            transaction.add(&Counter { table: TABLE, name }, "add a counter");
        }
    }

    // Returns true if all sets and counters exist. Everything else is rewritten by every apply.
    fn is_complete(&self) -> bool {
        let sets = dump::sets(&mut self.requests.borrow_mut(), TABLE_NAME).unwrap_or_default();
        let counters =
            dump::counters(&mut self.requests.borrow_mut(), TABLE_NAME).unwrap_or_default();
        let mut kinds = sets::KEY_SETS.into_iter().chain(sets::STATIC_SETS);
        kinds.all(|kind| {
            sets.iter()
                .any(|set| set.as_bytes() == kind.name.to_bytes())
        }) && sets::COUNTERS.iter().all(|counter| {
            counters
                .iter()
                .any(|(name, _)| name.as_bytes() == counter.to_bytes())
        })
    }

    fn mirrored_leases(&self) -> Vec<(LeaseKey, Duration)> {
        if !self.mirrored {
            return Vec::new();
        }
        dump::keys(&mut self.requests.borrow_mut(), MIRROR_NAME, "lease").unwrap_or_default()
    }

    fn chains(&self, table: &str) -> Result<Vec<String>, FenceError> {
        dump::chains(&mut self.requests.borrow_mut(), table)
            .map_err(|error| FenceError::new("read its chains", error))
    }
}

// Returns true if a message is about the fence. Keys that somebody adds or removes by hand do not count.
fn touches_fence(message: u16, payload: &[u8]) -> bool {
    payload.first() == Some(&NFPROTO_NETDEV)
        && name_in(payload, NFTA_TABLE_NAME).as_deref() == Some(TABLE_NAME)
        && !matches!(
            set_of_elements(message, payload).as_deref(),
            Some("lease" | "carry")
        )
}

// Returns true if a message is about the guards for unknown devices.
fn touches_guards(message: u16, payload: &[u8]) -> bool {
    let table = name_in(payload, NFTA_TABLE_NAME);
    let is_theirs = payload.first().zip(table);
    is_theirs.is_some_and(|(family, table)| unknown::is_of_us(*family, &table))
        && !set_of_elements(message, payload).is_some_and(|set| unknown::is_dynamic(&set))
}

// Returns the set of a message about elements.
fn set_of_elements(message: u16, payload: &[u8]) -> Option<String> {
    let is_of_elements = matches!(message, NFT_MSG_NEWSETELEM | NFT_MSG_DELSETELEM);
    is_of_elements.then(|| name_in(payload, NFTA_SET_ELEM_LIST_SET))?
}

// Returns a name in a message: that of the table is attribute 1 of all messages, that of a set attribute 2 of those about
// elements.
fn name_in(payload: &[u8], kind: u16) -> Option<String> {
    let all = payload.get(4..).unwrap_or_default();
    let mut all = attributes(all);
    let found = all.find(|(found, _)| *found == kind);
    found.map(|(_, value)| text(value))
}
