//! Restores times after a failover to those of the protocols, and deletes flows that were translated to an address that
//! is not here.

use super::conflict::translated_to;
use super::local::seconds;
use super::table::{APART_S, flag};
use super::walks::{Due, Walk};
use super::{Action, Engine, How};
use crate::flow::{DCCP, Flow, GRE, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE, status};
use crate::wire::Address;

/// Timeouts of the kernel in s, by state; `net.netfilter.nf_conntrack_*_timeout*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Timeouts by `enum tcp_conntrack`, from none to syn_sent2.
    pub tcp: [u32; 10],
    /// Timeouts of TCP in any state, if its own is longer: after unacknowledged data, and after retransmissions.
    pub tcp_unanswered: [u32; 2],
    /// Timeouts while unreplied, and as a stream.
    pub udp: [u32; 2],
    pub udplite: [u32; 2],
    pub gre: [u32; 2],
    pub icmp: u32,
    pub icmpv6: u32,
    /// Timeouts by `enum sctp_conntrack`.
    pub sctp: [u32; 10],
    /// Timeouts by `enum ct_dccp_states`.
    pub dccp: [u32; 8],
    pub generic: u32,
}

/// Names below `/proc/sys/net/netfilter/nf_conntrack_`, in the order of the states.
pub const TCP_NAMES: [&str; 10] = [
    "tcp_timeout_syn_sent",
    "tcp_timeout_syn_sent",
    "tcp_timeout_syn_recv",
    "tcp_timeout_established",
    "tcp_timeout_fin_wait",
    "tcp_timeout_close_wait",
    "tcp_timeout_last_ack",
    "tcp_timeout_time_wait",
    "tcp_timeout_close",
    "tcp_timeout_syn_sent",
];
pub const SCTP_NAMES: [&str; 10] = [
    "sctp_timeout_closed",
    "sctp_timeout_closed",
    "sctp_timeout_cookie_wait",
    "sctp_timeout_cookie_echoed",
    "sctp_timeout_established",
    "sctp_timeout_shutdown_sent",
    "sctp_timeout_shutdown_recd",
    "sctp_timeout_shutdown_ack_sent",
    "sctp_timeout_heartbeat_sent",
    "sctp_timeout_established",
];
pub const DCCP_NAMES: [&str; 8] = [
    "dccp_timeout_request",
    "dccp_timeout_request",
    "dccp_timeout_respond",
    "dccp_timeout_partopen",
    "dccp_timeout_open",
    "dccp_timeout_closereq",
    "dccp_timeout_closing",
    "dccp_timeout_timewait",
];

impl Default for Timeouts {
    /// Returns Linux's defaults.
    fn default() -> Self {
        Self {
            tcp: [120, 120, 60, 432_000, 120, 60, 30, 120, 10, 120],
            tcp_unanswered: [300, 300],
            udp: [30, 120],
            udplite: [30, 180],
            gre: [30, 180],
            icmp: 30,
            icmpv6: 30,
            sctp: [10, 10, 3, 3, 210, 3, 3, 3, 30, 210],
            dccp: [240, 240, 480, 480, 43_200, 64, 64, 240],
            generic: 600,
        }
    }
}

impl Timeouts {
    pub(super) fn of(&self, flow: &Flow) -> u32 {
        let state = usize::from(flow.state().unwrap_or(0));
        let by_state = |list: &[u32]| list.get(state).copied().unwrap_or(self.generic);
        let answered = usize::from(flow.status & status::ASSURED != 0);
        match flow.original.protocol {
            TCP => by_state(&self.tcp),
            SCTP => by_state(&self.sctp),
            DCCP => by_state(&self.dccp),
            UDP => self.udp[answered],
            UDPLITE => self.udplite[answered],
            GRE => self.gre[answered],
            ICMP => self.icmp,
            ICMPV6 => self.icmpv6,
            _ => self.generic,
        }
    }
}

impl Engine {
    /// Makes one flow of the kernel's own table liberal: if its packets return after they took the other router, its
    /// windows would appear wrong.
    pub(super) fn loosen(&mut self, flow: &Flow) {
        // unknown flows too, since a new peer may have come meanwhile
        if self.filter.admits(flow) && flow.tcp.is_some_and(|tcp| !tcp.is_liberal()) {
            self.write(How::Loosen, flow.clone(), 0);
        }
    }

    pub(super) fn end_loosen(&mut self, now_ns: u64, complete: bool) {
        if !complete {
            self.walks.request(Due::Loosen);
        }
        self.tell_synchrony(now_ns);
    }

    /// Takes the kernel's present timeouts.
    pub fn handle_timeouts(&mut self, timeouts: Timeouts) {
        self.reports.timeouts = timeouts;
    }

    /// Restores one flow of the kernel's table.
    pub(super) fn restore(&mut self, now_ns: u64, flow: Flow) {
        if self.is_over_there(now_ns, &flow) {
            self.drop_entry(self.table.hash(&flow));
            return self.write(How::Delete, flow, 0);
        }
        if !self.filter.admits(&flow) {
            return;
        }
        if self.is_translated_elsewhere(&flow) {
            self.counters.applied.dropped += 1;
            self.walks.count_dropped();
            return self.write(How::Delete, flow, 0);
        }
        let Some(left_s) = flow.timeout_s else { return };
        // the dump may be older than what gave the flow its time
        if flow.status & status::FIXED_TIMEOUT != 0 || self.is_fresh(&flow) {
            return;
        }
        let wanted_s = self.full_s(&flow);
        // A time longer than the lease comes from a rule of the administrator, and stays.
        let wanted_s = if left_s > self.keeping.lease_s() {
            left_s.max(wanted_s)
        } else {
            wanted_s
        };
        // A copy for which another active node is responsible keeps its lease.
        let wanted_s = match self.is_shared() && !self.roles.has_all() {
            true if left_s <= wanted_s => wanted_s.saturating_sub(APART_S),
            true => left_s,
            false => wanted_s,
        };
        self.note_end(now_ns, &flow, wanted_s);
        if wanted_s != left_s {
            self.walks.count_restored();
            self.write(How::Refresh, flow, wanted_s);
        }
    }

    /// Returns true if the peer reported its end, and no packet has passed since.
    fn is_over_there(&mut self, now_ns: u64, flow: &Flow) -> bool {
        let now_s = seconds(now_ns);
        let Some(slot) = self.table.find(self.table.hash(flow)) else {
            return false;
        };
        let before = *self.table.get(slot);
        if !before.is_doomed(now_s) || before.has(flag::DROPPED_HERE) {
            return false;
        }
        self.observe(now_ns, slot, &before, flow);
        let entry = self.table.get_mut(slot);
        // the peer has no copy: it gets a whole record
        entry.set(flag::KNOWN_TO_PEER, false);
        !entry.is_own(now_s)
    }

    fn is_fresh(&self, flow: &Flow) -> bool {
        let slot = self.table.find(self.table.hash(flow));
        slot.is_some_and(|slot| self.table.get(slot).has(flag::FRESH))
    }

    /// Stores the end of a flow whose time a failover restores or leaves.
    fn note_end(&mut self, now_ns: u64, flow: &Flow, left_s: u32) {
        let ends_s = seconds(now_ns).saturating_add(left_s);
        let is_sole = self.is_sole();
        if let Some(slot) = self.table.find(self.table.hash(flow)) {
            let entry = self.table.get_mut(slot);
            if is_sole || entry.is_own(seconds(now_ns)) {
                entry.own_s = ends_s
            } else {
                entry.peer_s = ends_s
            }
        }
    }

    /// Returns true if it is translated to an address of a `dynamic_nat` interface on the other node.
    fn is_translated_elsewhere(&self, flow: &Flow) -> bool {
        let is_lost = |address| {
            self.addresses.is_dynamic_there(&address) && !self.filter.own.contains(&address)
        };
        translated_to(flow).is_some_and(is_lost)
    }

    pub(super) fn end_restore(&mut self, walk: &Walk, complete: bool) {
        if !complete {
            self.walks.request(Due::Restore);
            return;
        }
        let dropped = match walk.dropped {
            0 => String::new(),
            dropped => {
                format!(
                    ", {dropped} flows dropped that were translated to the other node's address"
                )
            }
        };
        let text = format!("{} timeouts restored{dropped}", walk.restored);
        self.actions.push_back(Action::Event(text));
    }
}

/// Returns an interface's addresses, and its earlier ones that no other of their family has replaced: when a line
/// fails, its addresses go first, one by one, and then the role.
pub(super) fn with_gone(before: &[Address], now: Vec<Address>) -> Vec<Address> {
    let is_replaced = |(is_ipv6, _): &Address| {
        let mut family = now.iter().filter(|it| it.0 == *is_ipv6);
        family.any(|it| !before.contains(it))
    };
    let gone = before.iter().filter(|it| !now.contains(it));
    let gone: Vec<Address> = gone.filter(|it| !is_replaced(it)).copied().collect();
    [now, gone].concat()
}
