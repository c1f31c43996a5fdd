//! Timeouts that the kernel here gives flows, by protocol and state.

use super::Engine;
use crate::flow::{DCCP, Flow, GRE, ICMP, ICMPV6, SCTP, TCP, UDP, UDPLITE, status};

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
    /// Takes the kernel's present timeouts.
    pub fn handle_kernel_timeouts(&mut self, timeouts: Timeouts) {
        self.reports.timeouts = timeouts;
    }
}
