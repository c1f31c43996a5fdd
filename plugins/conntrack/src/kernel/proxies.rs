//! Finds connections that a transparent proxy here has accepted. In the kernel's table they look
//! forwarded, but they end at a socket of this router, which the other router does not have.
//!
//! Other sockets are only read if some socket listens transparently (`IP_TRANSPARENT`).

use std::collections::HashSet;
use std::io;

use spared_netlink::{Message, Requests, attributes};

use crate::flow::{TCP, Tuple};
use crate::wire::Address;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// Masks of `enum tcp_states`: listening sockets, and connections that have an end here.
const LISTENING: u32 = 1 << 10;
const CONNECTED: u32 = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 5 | 1 << 8 | 1 << 9 | 1 << 11;
/// `struct inet_diag_msg`: four bytes, ports, addresses, and more.
const PORTS: usize = 4;
const ADDRESSES: usize = 8;
const FIXED: usize = 72;
const INET_DIAG_SOCKOPT: u16 = 22;
/// The bit in the first byte of `struct inet_diag_sockopt`.
const TRANSPARENT: u8 = 1 << 5;

/// Interval between searches for a proxy while there is none. A proxy starts before its first
/// connections.
const SEARCH_NS: u64 = 5_000_000_000;

#[derive(Default)]
pub struct Proxies {
    requests: Option<Requests>,
    known: HashSet<Tuple>,
    search_at_ns: u64,
}

impl Proxies {
    /// Returns the original tuples of the proxies' connections, if they have changed: those that
    /// proxies accepted, and those that proxies opened with the client's address.
    pub fn look(
        &mut self,
        now_ns: u64,
        own: &HashSet<Address>,
    ) -> io::Result<Option<HashSet<Tuple>>> {
        if now_ns < self.search_at_ns {
            return Ok(None);
        }
        let requests = match &mut self.requests {
            Some(requests) => requests,
            None => self.requests.insert(Requests::open_sock_diag()?),
        };
        let mut taken = HashSet::new();
        let mut is_any = false;
        for family in [AF_INET, AF_INET6] {
            if is_listening(requests, family)? {
                is_any = true;
                collect(requests, family, own, &mut taken)?;
            }
        }
        if !is_any {
            self.search_at_ns = now_ns.saturating_add(SEARCH_NS);
        }
        if taken == self.known {
            return Ok(None);
        }
        self.known = taken.clone();
        Ok(Some(taken))
    }
}

fn is_listening(requests: &mut Requests, family: u8) -> io::Result<bool> {
    let mut found = false;
    requests.dump(question(family, LISTENING), |_, payload| {
        let options = payload.get(FIXED..).into_iter().flat_map(attributes);
        let options = options.filter(|(kind, _)| *kind == INET_DIAG_SOCKOPT);
        let mut first = options.filter_map(|(_, value)| value.first());
        found |= first.any(|byte| byte & TRANSPARENT != 0);
    })?;
    Ok(found)
}

fn collect(
    requests: &mut Requests,
    family: u8,
    own: &HashSet<Address>,
    taken: &mut HashSet<Tuple>,
) -> io::Result<()> {
    requests.dump(question(family, CONNECTED), |_, payload| {
        let Some(outgoing) = tuple(payload) else {
            return;
        };
        if !own.contains(&(outgoing.is_ipv6, outgoing.source)) {
            taken.insert(outgoing.inverse());
            taken.insert(outgoing);
        }
    })
}

/// Tuple from the socket to its peer.
fn tuple(payload: &[u8]) -> Option<Tuple> {
    let is_ipv6 = *payload.first()? == AF_INET6;
    let address = |at: usize| -> Option<[u8; 16]> {
        let mut address: [u8; 16] = payload.get(at..at + 16)?.try_into().ok()?;
        if !is_ipv6 {
            address[4..].fill(0);
        }
        Some(address)
    };
    let mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];
    let mut tuple = Tuple {
        is_ipv6,
        protocol: TCP,
        source: address(ADDRESSES)?,
        destination: address(ADDRESSES + 16)?,
        ports: payload.get(PORTS..PORTS + 4)?.try_into().ok()?,
    };
    // IPv4 connection on a socket for both families
    if is_ipv6 && tuple.source.starts_with(&mapped) && tuple.destination.starts_with(&mapped) {
        tuple.is_ipv6 = false;
        for address in [&mut tuple.source, &mut tuple.destination] {
            address.copy_within(12.., 0);
            address[4..].fill(0);
        }
    }
    Some(tuple)
}

/// Request (`struct inet_diag_req_v2`) for TCP sockets in these states, with any ends.
fn question(family: u8, states: u32) -> Message {
    const LENGTH: usize = 56;
    let mut payload = vec![family, TCP, 0, 0];
    payload.extend(states.to_ne_bytes());
    payload.resize(LENGTH, 0);
    Message::dump(SOCK_DIAG_BY_FAMILY, &payload)
}
