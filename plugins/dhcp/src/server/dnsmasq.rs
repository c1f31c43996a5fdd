//! Calls dnsmasq's methods on D-Bus.

use std::collections::{BTreeSet, VecDeque};

use spared_dbus::{Body, Method};
use spared_sdk::hex;

use crate::SECOND;
use crate::codec::dnsmasq::is_name;
use crate::lease::{Change, INFINITE_S, Key, Kind, Lease, Set, State, signed};

use super::End;
use super::clock::clock;
use super::dbus::{Bus, Reply};

const SYSTEM_BUS: &str = "unix:path=/run/dbus/system_bus_socket";
const PATH: &str = "/uk/org/thekelleys/dnsmasq";
/// Name of the interface; the name on the bus may be another.
const INTERFACE: &str = "uk.org.thekelleys.dnsmasq";
const AT_ONCE: usize = 32;
/// Number of leases below `dhcp-lease-max` that are left to its clients. dnsmasq 2.90 crashes when it receives a lease
/// beyond the limit, and clients may get some meanwhile.
const SPARE: usize = 20;
/// Errors of the bus if dnsmasq is absent or has gone.
const GONE: [&str; 3] = ["NameHasNoOwner", "ServiceUnknown", "NoReply"];

#[derive(Debug)]
pub struct Dnsmasq {
    name: String,
    address: String,
    /// Number of leases up to which it may receive another.
    leases_safe: usize,
    end: End,
    bus: Option<Bus>,
    /// Leases that were sent, and are not in its file yet.
    given: BTreeSet<Key>,
}

impl Dnsmasq {
    pub fn new(name: &str, address: Option<&str>, leases_max: usize, end: &End) -> Self {
        Self {
            name: name.to_owned(),
            address: address.unwrap_or(SYSTEM_BUS).to_owned(),
            leases_safe: leases_max.saturating_sub(leases_max.div_ceil(SPARE)),
            end: end.clone(),
            bus: None,
            given: BTreeSet::new(),
        }
    }

    /// Returns true if dnsmasq accepts leases.
    pub fn is_live(&mut self) -> Result<bool, String> {
        match self.call("GetVersion", &Body::default())? {
            Reply::Return => Ok(true),
            Reply::Error(why) => Err(format!("D-Bus: {why}")),
        }
    }

    /// Takes the present contents of its file.
    pub fn note(&mut self, known: &Set) {
        self.given.retain(|key| !known.leases.contains_key(key));
    }

    /// Applies some of `changes` from the front and removes them; appends leases that dnsmasq refused to `refused`.
    ///
    /// # Errors
    /// dnsmasq cannot be reached; removed changes may have been applied or not.
    pub fn apply(
        &mut self,
        known: Option<&Set>,
        changes: &mut VecDeque<Change>,
        refused: &mut Vec<(Key, String)>,
    ) -> Result<(), String> {
        let known = known.ok_or("its leases were not read yet")?;
        let count = changes.len().min(AT_ONCE);
        for change in changes.drain(..count) {
            let (member, body) = match living(&change) {
                Some((lease, left_s)) => {
                    let has_room = self.make_room(known, lease.key);
                    match has_room.and_then(|()| add(lease, left_s)) {
                        Ok(body) => ("AddDhcpLease", body),
                        Err(why) => {
                            refused.push((lease.key, why));
                            continue;
                        }
                    }
                }
                None => {
                    self.given.remove(&change.key());
                    let mut body = Body::default();
                    body.text(&change.key().address.to_string());
                    ("DeleteDhcpLease", body)
                }
            };
            if let Reply::Error(why) = self.call(member, &body)? {
                if GONE.iter().any(|name| why.contains(name)) {
                    return Err(self.fault(&why));
                }
                refused.push((change.key(), why));
            }
        }
        Ok(())
    }

    fn make_room(&mut self, known: &Set, key: Key) -> Result<(), String> {
        if known.leases.contains_key(&key) || self.given.contains(&key) {
            return Ok(());
        }
        let safe = self.leases_safe;
        if known.leases.len().saturating_add(self.given.len()) >= safe {
            return Err(format!(
                "more than {safe} leases, the limit by its dhcp-lease-max, might crash a running dnsmasq"
            ));
        }
        self.given.insert(key);
        Ok(())
    }

    fn call(&mut self, member: &str, body: &Body) -> Result<Reply, String> {
        let mut bus = match self.bus.take() {
            Some(bus) => bus,
            None => Bus::open(&self.address, &self.end).map_err(|error| self.fault(&error))?,
        };
        let method = Method {
            destination: &self.name,
            path: PATH,
            interface: INTERFACE,
            member,
        };
        let reply = bus.call(method, body).map_err(|error| self.fault(&error))?;
        // after a fault it is opened again
        self.bus = Some(bus);
        Ok(reply)
    }

    fn fault(&self, error: &str) -> String {
        format!("{} at {}: {error}", self.name, self.address)
    }
}

/// Returns a change as dnsmasq can take it.
pub fn as_taken(change: Change) -> Change {
    match &change {
        Change::Put(lease) if living(&change).is_none() => Change::Gone {
            key: lease.key,
            committed_ns: lease.committed_ns,
        },
        _ => change,
    }
}

/// Returns a lease that a client has, and the seconds that are left. A lease that is over is deleted instead: dnsmasq
/// 2.90 makes one without end of 0 seconds.
fn living(change: &Change) -> Option<(&Lease, u32)> {
    let Change::Put(lease) = change else {
        return None;
    };
    let left_s = left_s(lease);
    (lease.state == State::Leased && left_s > 0).then_some((lease, left_s))
}

fn add(lease: &Lease, left_s: u32) -> Result<Body, String> {
    let (iaid, is_temporary) = match lease.key.kind {
        Kind::V4 => (0, false),
        Kind::Na => (lease.client.iaid, false),
        Kind::Ta => (lease.client.iaid, true),
        Kind::Pd => return Err("dnsmasq delegates no prefixes".to_owned()),
    };
    let mut body = Body::default();
    body.text(&lease.key.address.to_string());
    body.text(&hardware(lease));
    body.bytes(&hostname(lease));
    body.bytes(&lease.client.id);
    body.number(left_s);
    body.number(iaid);
    body.flag(is_temporary);
    Ok(body)
}

/// Returns the name with a final NUL: dnsmasq copies up to a NUL and ignores the length.
fn hostname(lease: &Lease) -> Vec<u8> {
    if is_name(&lease.hostname) {
        [lease.hostname.as_slice(), &[0]].concat()
    } else {
        Vec::new()
    }
}

/// Returns the hardware address as in its file, with the type if it is not Ethernet.
fn hardware(lease: &Lease) -> String {
    let address = hex::text(&lease.client.hardware, ":");
    match lease.client.hardware_type {
        0 | 1 => address,
        other => format!("{other:02x}-{address}"),
    }
}

fn left_s(lease: &Lease) -> u32 {
    let Some(expires_ns) = lease.expires_ns else {
        return INFINITE_S;
    };
    let left_ns = expires_ns.saturating_sub(clock().monotonic_ns).max(0);
    // nearest second, and never infinite
    let left_s = left_ns.saturating_add(signed(SECOND / 2)) / signed(SECOND);
    u32::try_from(left_s).map_or(INFINITE_S - 1, |left| left.min(INFINITE_S - 1))
}
