//! Reads what must be equal on both machines, except firewall rules: kernel settings, default routes and rules of
//! policy routing. Also reads the addresses of this node, and its unmet needs. A thread does this, as reading hundreds
//! of files takes time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use spared_netlink::Requests;
use spared_verdict::{Needs, setting_of};

use crate::needs::{self, CheckedObjects, EarlierResults};

use crate::policy_rules;
use crate::sysctls::Sysctls;

/// Interval between two reads.
const EVERY: Duration = Duration::from_secs(5);
const STACK: usize = 256 * 1024;
/// Settings for all interfaces on which forwarding depends.
const NAMED: [&str; 10] = [
    "net.ipv4.ip_forward",
    "net.ipv4.ip_nonlocal_bind",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.all.route_localnet",
    "net.ipv4.conf.all.src_valid_mark",
    "net.ipv4.fib_multipath_hash_policy",
    "net.ipv6.conf.all.forwarding",
    "net.ipv6.fib_multipath_hash_policy",
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
];
/// Settings that are compared for each interface of a group.
const OF_INTERFACE: [&str; 1] = ["rp_filter"];
/// Folder with the settings of connection tracking. `OF_CONNTRACK` are the ones that decide which packets pass.
const CONNTRACK: &str = "net/netfilter";
const OF_CONNTRACK: [&str; 6] = [
    "nf_conntrack_max",
    "nf_conntrack_buckets",
    "nf_conntrack_tcp_loose",
    "nf_conntrack_tcp_be_liberal",
    "nf_conntrack_tcp_ignore_invalid_rst",
    "nf_conntrack_helper",
];
const TIMEOUT: &str = "timeout";
/// Addresses that nobody has, by family, and the longest prefix that counts as a default route: two halves of the
/// Internet do, and so does 2000::/3.
const NOWHERE: [(&str, IpAddr, u8); 2] = [
    ("IPv4", IpAddr::V4(Ipv4Addr::new(240, 0, 0, 1)), 1),
    (
        "IPv6",
        IpAddr::V6(Ipv6Addr::new(0x3fff, 0xffff, 0, 0, 0, 0, 0, 1)),
        3,
    ),
];

/// Objects to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadRequest {
    /// Interfaces of groups, each with its name on the first node.
    pub interfaces: BTreeMap<String, String>,
    /// MTU of each of these interfaces.
    pub mtus: BTreeMap<String, u32>,
    /// Settings that a plugin sets with the role.
    pub by_role: Vec<String>,
    /// Virtual addresses, which do not belong to a node.
    pub virtuals: BTreeSet<IpAddr>,
    /// Families with a default route of a group. A backup gets this route when it becomes active.
    pub default_routes: BTreeSet<String>,
    /// Objects whose needs are checked.
    pub objects: CheckedObjects,
}

/// Result of a read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MachineState {
    /// Values of settings by name. An interface is named as on the first node.
    pub settings: BTreeMap<String, String>,
    /// Families with a default route, now or when active; None if not known, or if no group needs one.
    pub default_routes: Option<BTreeSet<String>>,
    /// Rules of policy routing as text; None if not known, or if no group needs them.
    pub routing_rules: Option<BTreeSet<String>>,
    /// Addresses of this node that spared did not set.
    pub addresses: BTreeSet<IpAddr>,
    /// Needs of the daemon that the machine does not meet.
    pub needs: Needs,
}

/// Thread that reads, and its last result.
#[derive(Debug)]
pub struct Machine {
    request: Sender<ReadRequest>,
    last: ReadRequest,
    /// Time at which the wanted objects are computed again.
    due: Option<Instant>,
    found: Arc<Mutex<Found>>,
}

#[derive(Debug, Default)]
struct Found {
    read: Option<MachineState>,
    /// True if the result was not yet taken.
    is_new: bool,
}

impl Machine {
    /// Starts the thread. It begins to read after [`set`](Self::set).
    pub fn start() -> Self {
        let (request, changes) = channel();
        let found = Arc::new(Mutex::new(Found::default()));
        let result = Arc::clone(&found);
        let thread = thread::Builder::new()
            .name("machine".to_owned())
            .stack_size(STACK);
        if let Err(error) = thread.spawn(move || work(&changes, &result)) {
            log::warn!(
                "rules, settings and routes of both nodes are not compared: cannot start a thread: {error}"
            );
        }
        let last = ReadRequest::default();
        Self {
            request,
            last,
            due: None,
            found,
        }
    }

    /// Returns true if [`set`](Self::set) is due, which takes time if there are hundreds of groups.
    pub fn is_due(&mut self, now: Instant) -> bool {
        let is_due = self.due.is_none_or(|due| now >= due);
        if is_due {
            self.due = Some(now + EVERY);
        }
        is_due
    }

    /// Sets the objects to read from now on.
    pub fn set(&mut self, request: ReadRequest) {
        if request != self.last {
            self.last = request.clone();
            let _ = self.request.send(request);
        }
    }

    /// Returns true if the result has changed since the last call.
    pub fn take_is_new(&self) -> bool {
        std::mem::take(&mut lock(&self.found).is_new)
    }

    /// Returns the needs of the daemon that the machine did not meet at the last read.
    pub fn needs(&self) -> Needs {
        let found = lock(&self.found);
        found
            .read
            .as_ref()
            .map(|it| it.needs.clone())
            .unwrap_or_default()
    }

    /// Returns the last result; None before the first one.
    pub fn read(&self) -> Option<MachineState> {
        lock(&self.found).read.clone()
    }
}

fn work(changes: &Receiver<ReadRequest>, result: &Mutex<Found>) {
    // nothing is compared before the first configuration with a group
    let Ok(mut request) = changes.recv() else {
        return;
    };
    let (mut earlier, mut sysctls) = (EarlierResults::default(), Sysctls::default());
    loop {
        let read = Some(read_state(&request, &mut earlier, &mut sysctls));
        let mut found = lock(result);
        if found.read != read {
            *found = Found { read, is_new: true };
        }
        drop(found);
        match changes.recv_timeout(EVERY) {
            Ok(newer) => request = newer,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

fn lock(found: &Mutex<Found>) -> MutexGuard<'_, Found> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_state(
    request: &ReadRequest,
    earlier: &mut EarlierResults,
    sysctls: &mut Sysctls,
) -> MachineState {
    let mut settings = settings(request, sysctls);
    settings.retain(|name, _| !request.by_role.contains(name));
    let mut requests = Requests::open();
    let mut read = MachineState {
        settings,
        needs: needs::check(&request.objects, earlier, requests.as_mut().ok()),
        ..MachineState::default()
    };
    if let Ok(requests) = &mut requests {
        let is_router = !request.interfaces.is_empty();
        let there = default_routes(requests).filter(|_| is_router);
        read.default_routes = there.map(|there| &there | &request.default_routes);
        let addresses = requests.addresses().unwrap_or_default();
        let own = addresses.iter().filter(|it| !it.is_ours());
        let own = own
            .map(|it| it.address)
            .filter(|it| !request.virtuals.contains(it));
        read.addresses = own.collect();
        let rules = requests.rules().ok().filter(|_| is_router);
        let words =
            |rules: Vec<_>| policy_rules::rules(&rules, &request.interfaces, &read.addresses);
        read.routing_rules = rules.and_then(words);
    }
    read
}

fn settings(request: &ReadRequest, sysctls: &mut Sysctls) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let of_conntrack = |name: &str| name.contains(TIMEOUT) || OF_CONNTRACK.contains(&name);
    let of_conntrack = sysctls.names(CONNTRACK, of_conntrack);
    let mut note = |name: String, path: &str| {
        if let Some(value) = sysctls.value(path) {
            found.insert(name, value);
        }
    };
    for name in NAMED {
        note(name.to_owned(), &name.replace('.', "/"));
    }
    for (own, first) in &request.interfaces {
        for setting in OF_INTERFACE {
            let name = setting_of("ipv4", first, setting);
            note(name, &format!("net/ipv4/conf/{own}/{setting}"));
        }
    }
    for name in of_conntrack {
        note(
            format!("net.netfilter.{name}"),
            &format!("{CONNTRACK}/{name}"),
        );
    }
    for (own, mtu) in &request.mtus {
        let first = request.interfaces.get(own).unwrap_or(own);
        found.insert(format!("mtu {first}"), mtu.to_string());
    }
    found
}

fn default_routes(requests: &mut Requests) -> Option<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    for (family, address, longest) in NOWHERE {
        let route = requests.route_to(address).ok()?;
        if route.is_some_and(|route| route.prefix <= longest) {
            found.insert(family.to_owned());
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_those_of_the_kernel_without_those_of_a_role() {
        let interfaces = [("lo".to_owned(), "lan.7".to_owned())];
        let mut request = ReadRequest {
            interfaces: interfaces.into(),
            ..ReadRequest::default()
        };
        let mut sysctls = Sysctls::default();
        let read = read_state(&request, &mut EarlierResults::default(), &mut sysctls);
        let of = |read: &MachineState, name: &str| read.settings.get(name).cloned();
        assert_eq!(
            of(&read, "net.ipv4.ip_forward"),
            Sysctls::default().value("net/ipv4/ip_forward")
        );
        let of_interface = of(&read, "net.ipv4.conf.lan/7.rp_filter");
        assert_eq!(
            of_interface,
            Sysctls::default().value("net/ipv4/conf/lo/rp_filter")
        );
        assert!(read.settings.len() > 3, "{read:?}");
        assert!(read.default_routes.is_some() || Requests::open().is_err());
        request.by_role.push("net.ipv4.ip_forward".to_owned());
        let read = read_state(&request, &mut EarlierResults::default(), &mut sysctls);
        assert_eq!(of(&read, "net.ipv4.ip_forward"), None);
    }
}
