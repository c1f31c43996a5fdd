//! Notifications of changes: links, addresses, forwarding, and spared's own routes.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use neli::consts::socket::NlFamily;
use neli::socket::NlSocket;
use neli::utils::Groups;

use crate::bpf::{self, *};
use crate::constants::{
    NFNL_SUBSYS_NFTABLES, NFNLGRP_NFTABLES, NFT_MSG_NEWGEN, ROUTE_PROTOCOL, RTM_DELNETCONF,
    RTM_NEWNETCONF, RTNLGRP_IPV4_NETCONF, RTNLGRP_IPV6_NETCONF,
};
use crate::route::{RT_TABLE_LOCAL, RTM_DELROUTE, RTN_LOCAL};
use crate::rule::RTM_DELRULE;
use crate::socket::{Header, borrow, messages, receive_from, set_receive_buffer};
use crate::{Address, Forwarding, Link, LocalRoute, Route, Rule};

const RTNLGRP_LINK: u32 = 1;
const RTNLGRP_IPV4_IFADDR: u32 = 5;
const RTNLGRP_IPV4_ROUTE: u32 = 7;
const RTNLGRP_IPV4_RULE: u32 = 8;
const RTNLGRP_IPV6_IFADDR: u32 = 9;
const RTNLGRP_IPV6_ROUTE: u32 = 11;
const RTNLGRP_IPV6_RULE: u32 = 19;

const RECEIVE_BYTES: usize = 32 * 1024;
/// Receive buffer in bytes, for bursts: a bridge with a thousand ports coming up.
const SOCKET_BYTES: usize = 4 << 20;
/// Receive buffer in bytes, for a transaction that replaces 100 000 elements.
const NETFILTER_BYTES: usize = 64 << 20;
/// Maximum number of datagrams read at a time; the rest follows with the next readiness.
const DATAGRAMS_MAX: usize = 256;
/// Maximum number of datagrams read after an overrun: more than the socket's buffer holds.
const OVERRUN_MAX: usize = 128 * 1024;

/// Change that the kernel reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Link(Link),
    LinkGone(Link),
    Address(Address),
    AddressGone(Address),
    Route(Route),
    RouteGone(Route),
    RuleGone(Rule),
    LocalRouteGone(LocalRoute),
    Forwarding(Forwarding),
    ForwardingGone(Forwarding),
}

impl Event {
    /// Reads a notification; None if it is of another type, or malformed.
    pub fn parse(kind: u16, payload: &[u8]) -> Option<Self> {
        match kind {
            16 => Link::parse(payload).map(Self::Link),
            17 => Link::parse(payload).map(Self::LinkGone),
            20 => Address::parse(payload).map(Self::Address),
            21 => Address::parse(payload).map(Self::AddressGone),
            24 => Route::parse(payload).map(Self::Route),
            RTM_DELROUTE => Route::parse(payload)
                .map(Self::RouteGone)
                .or_else(|| LocalRoute::parse(payload).map(Self::LocalRouteGone)),
            RTM_DELRULE => Rule::parse(payload).map(Self::RuleGone),
            RTM_NEWNETCONF => Forwarding::parse(payload).map(Self::Forwarding),
            RTM_DELNETCONF => Forwarding::parse_gone(payload).map(Self::ForwardingGone),
            _ => None,
        }
    }
}

/// Loss of events: dump everything again. All pending events have been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun;

/// Subscription to changes.
pub struct Monitor {
    socket: NlSocket,
    buffer: Vec<u8>,
}

impl Monitor {
    /// Subscribes to links, addresses, and the forwarding of links.
    pub fn links_and_addresses() -> io::Result<Self> {
        let groups = [
            RTNLGRP_LINK,
            RTNLGRP_IPV4_IFADDR,
            RTNLGRP_IPV6_IFADDR,
            RTNLGRP_IPV4_NETCONF,
            RTNLGRP_IPV6_NETCONF,
        ];
        Self::open(NlFamily::Route, &groups)
    }

    /// Subscribes to routes of spared's protocol, to deletions of policy rules, and to deletions of local routes by
    /// programs. Other routes, of which there may be a million, are dropped before they reach the socket's buffer.
    pub fn own_routes() -> io::Result<Self> {
        let groups = [
            RTNLGRP_IPV4_ROUTE,
            RTNLGRP_IPV6_ROUTE,
            RTNLGRP_IPV4_RULE,
            RTNLGRP_IPV6_RULE,
        ];
        let monitor = Self::open(NlFamily::Route, &groups)?;
        // nlmsg_type and nlmsg_pid are at 4 and 12 (struct nlmsghdr), rtm_table, rtm_protocol and rtm_type at 16 + 4, 5
        // and 7. When an address is deleted, the kernel itself deletes its route, and the notification names no port.
        let program: [Instruction; 14] = [
            (LOAD_HALF, 0, 0, 4),
            (JUMP_EQUAL, 10, 0, bpf::half_of(RTM_DELRULE)),
            (LOAD_BYTE, 0, 0, 21),
            (JUMP_EQUAL, 8, 0, u32::from(ROUTE_PROTOCOL)),
            (LOAD_HALF, 0, 0, 4),
            (JUMP_EQUAL, 0, 7, bpf::half_of(RTM_DELROUTE)),
            (LOAD_BYTE, 0, 0, 20),
            (JUMP_EQUAL, 0, 5, RT_TABLE_LOCAL),
            (LOAD_BYTE, 0, 0, 23),
            (JUMP_EQUAL, 0, 3, u32::from(RTN_LOCAL)),
            (LOAD_WORD, 0, 0, 12),
            (JUMP_EQUAL, 1, 0, 0),
            ACCEPT,
            DROP,
        ];
        crate::attach_filter(&monitor.socket, &program, false)?;
        Ok(monitor)
    }

    /// Subscribes to one group of the netfilter family, read by [`Monitor::read_raw`].
    pub fn netfilter(group: u32) -> io::Result<Self> {
        Self::open(NlFamily::Netfilter, &[group])
    }

    /// Subscribes to one group of the netfilter family without messages caused by the netlink port `own`, which are
    /// dropped before they reach the socket's buffer.
    pub fn netfilter_of_others(group: u32, own: u32) -> io::Result<Self> {
        let monitor = Self::open(NlFamily::Netfilter, &[group])?;
        let generation = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWGEN;
        crate::socket_options::attach_filter_of_others(&monitor.socket, own, generation)?;
        set_receive_buffer(&monitor.socket, NETFILTER_BYTES);
        Ok(monitor)
    }

    /// Changes of nftables, without elements of sets in other families than this where the kernel takes a filter of that
    /// length: before 6.7 it does not (`net.core.optmem_max`), and they are read.
    pub fn nftables_in(family: u8) -> io::Result<Self> {
        let monitor = Self::open(NlFamily::Netfilter, &[NFNLGRP_NFTABLES])?;
        let _ = crate::socket_options::attach_filter_of_elements(&monitor.socket, family);
        Ok(monitor)
    }

    fn open(family: NlFamily, groups: &[u32]) -> io::Result<Self> {
        let socket = NlSocket::connect(family, None, Groups::empty())?;
        socket.nonblock()?;
        let monitor = Self {
            socket,
            buffer: vec![0; RECEIVE_BYTES],
        };
        set_receive_buffer(&monitor.socket, SOCKET_BYTES);
        monitor
            .socket
            .add_mcast_membership(Groups::new_groups(groups))?;
        Ok(monitor)
    }

    /// Reads the pending notifications.
    pub fn read(&mut self, events: &mut Vec<Event>) -> io::Result<Result<(), Overrun>> {
        self.read_raw(|header, payload| events.extend(Event::parse(header.kind, payload)))
    }

    /// Reads the pending notifications, unparsed.
    pub fn read_raw(
        &mut self,
        mut each: impl FnMut(Header, &[u8]),
    ) -> io::Result<Result<(), Overrun>> {
        let mut overrun = Ok(());
        let mut left = DATAGRAMS_MAX;
        while left > 0 {
            left -= 1;
            match receive_from(&self.socket, &mut self.buffer) {
                Ok(Some(length)) => {
                    for (header, payload) in messages(&self.buffer[..length]) {
                        each(header, payload);
                    }
                }
                Ok(None) => break,
                // until everything is read the kernel drops every further event, and does not report this again
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    if overrun.is_ok() {
                        left = OVERRUN_MAX;
                    }
                    overrun = Err(Overrun);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(overrun)
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        borrow(&self.socket)
    }
}
