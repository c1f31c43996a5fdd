// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many DHCPv4 clients behind one station, each with its own hardware address, client id and host name. They send what
//! a test requests.

use std::collections::{BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::packet4::{self as dhcp, Message};
use super::{Pool, Station};
use crate::Result;
use crate::lab::Lab;

const PATIENCE: Duration = Duration::from_millis(250);
/// Time limit of an answer: a server that reads 20 000 leases on a busy machine answers after half of it.
const LIMIT: Duration = Duration::from_secs(40);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host4 {
    pub mac: [u8; 6],
    pub client_id: Option<Vec<u8>>,
    pub hostname: Option<Vec<u8>>,
}

impl Host4 {
    /// Returns host `number` of a crowd; all differ.
    pub fn number(number: u32) -> Self {
        let [_, a, b, c] = number.to_be_bytes();
        Self {
            mac: [2, 0xc, 0, a, b, c],
            client_id: Some(vec![1, 2, 0xc, 0, a, b, c]),
            hostname: Some(format!("host-{number}").into_bytes()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease4 {
    pub host: Host4,
    pub address: Ipv4Addr,
    pub lifetime_s: u32,
    pub server: Ipv4Addr,
    /// Host name that the server gave.
    pub hostname: String,
    /// Time of the answer.
    pub at: Instant,
}

pub struct Guests4 {
    pub station: Station,
    socket: UdpSocket,
    xid: u32,
    /// Interval of repeated requests.
    pub patience: Duration,
}

impl Guests4 {
    pub fn new(lab: &Lab) -> Result<Self> {
        let station = Station::new(lab)?;
        // the station has every address that a server may give
        for pool in [Pool::Narrow, Pool::Wide] {
            let (prefix, ..) = pool.ipv4();
            station
                .ns
                .ip(&format!("route add local {prefix} dev lan\n"))?;
        }
        let socket = bind(&station, Ipv4Addr::UNSPECIFIED)?;
        socket.set_broadcast(true)?;
        Ok(Self {
            station,
            socket,
            xid: 0x1000_0000,
            patience: PATIENCE,
        })
    }

    /// Gets a lease: DISCOVER, OFFER, REQUEST, ACK.
    pub fn lease(&mut self, host: &Host4) -> Result<Lease4> {
        let discover = self.message(dhcp::DISCOVER, host);
        let offer = self.ask(&discover)?;
        let request = request(&self.message(dhcp::REQUEST, host), &offer)?;
        let answer = self.ask(&request)?;
        granted(host, &answer)
    }

    /// Number of servers that answer a DISCOVER within `span`.
    pub fn offers(&mut self, host: &Host4, span: Duration) -> Result<usize> {
        let discover = self.message(dhcp::DISCOVER, host);
        self.send(&discover)?;
        let end = Instant::now() + span;
        let mut servers = BTreeSet::new();
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let mut buffer = [0; 1500];
            self.socket
                .set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
            // counted by source address: all may have the same identifier
            if let Ok((length, from)) = self.socket.recv_from(&mut buffer) {
                let offer = Message::decode(&buffer[..length]);
                if offer.is_some_and(|offer| offer.xid == discover.xid) {
                    servers.insert(from.ip());
                }
            }
        }
        Ok(servers.len())
    }

    /// Requests a renewal from its server (RFC 2131 §4.3.2, RENEWING).
    pub fn renew(&mut self, lease: &Lease4) -> Result<Lease4> {
        let request = self.of(dhcp::REQUEST, lease);
        let own = bind(&self.station, lease.address)?;
        let answer = ask(&own, self.patience, &request, lease.server)?;
        granted(&lease.host, &answer)
    }

    /// Requests a renewal from any server (REBINDING).
    pub fn rebind(&mut self, lease: &Lease4) -> Result<Lease4> {
        let request = self.of(dhcp::REQUEST, lease);
        let answer = self.ask(&request)?;
        granted(&lease.host, &answer)
    }

    /// Asks any server whether its address is still valid, as after a start (INIT-REBOOT).
    pub fn reboot(&mut self, lease: &Lease4) -> Result<Lease4> {
        let mut request = self.message(dhcp::REQUEST, &lease.host);
        let wanted = lease.address.octets().to_vec();
        request.options.push((dhcp::REQUESTED, wanted));
        let answer = self.ask(&request)?;
        granted(&lease.host, &answer)
    }

    pub fn release(&mut self, lease: &Lease4) -> Result<()> {
        let mut message = self.of(dhcp::RELEASE, lease);
        let server = lease.server.octets().to_vec();
        message.options.push((dhcp::SERVER, server));
        send(&bind(&self.station, lease.address)?, &message, lease.server)
    }

    /// Reports that another host has the address already.
    pub fn decline(&mut self, lease: &Lease4) -> Result<()> {
        let mut message = self.message(dhcp::DECLINE, &lease.host);
        for (code, address) in [
            (dhcp::REQUESTED, lease.address),
            (dhcp::SERVER, lease.server),
        ] {
            message.options.push((code, address.octets().to_vec()));
        }
        self.send(&message)
    }

    /// Gets leases for all hosts, at most `window` at a time.
    pub fn lease_all(&mut self, hosts: &[Host4], window: usize) -> Result<Vec<Lease4>> {
        let mut waiting = hosts.iter();
        let mut open: HashMap<u32, (&Host4, Instant, Message)> = HashMap::new();
        let mut leases = Vec::with_capacity(hosts.len());
        while leases.len() < hosts.len() {
            while open.len() < window {
                let Some(host) = waiting.next() else { break };
                let discover = self.message(dhcp::DISCOVER, host);
                self.send(&discover)?;
                open.insert(discover.xid, (host, Instant::now(), discover));
            }
            match receive(&self.socket, Duration::from_millis(200))? {
                Some(answer) => {
                    if let Some(lease) = self.step(&mut open, &answer)? {
                        leases.push(lease);
                    }
                }
                None => self.again(&mut open)?,
            }
        }
        Ok(leases)
    }

    // Handles an answer; returns the lease if it is complete.
    fn step(
        &self,
        open: &mut HashMap<u32, (&Host4, Instant, Message)>,
        answer: &Message,
    ) -> Result<Option<Lease4>> {
        let Some((host, at, asked)) = open.get_mut(&answer.xid) else {
            return Ok(None);
        };
        match (answer.kind(), asked.kind()) {
            (dhcp::OFFER, dhcp::DISCOVER) => {
                let mut next = asked.clone();
                next.options[0].1 = vec![dhcp::REQUEST];
                *asked = request(&next, answer)?;
                *at = Instant::now();
                self.send(asked)?;
                Ok(None)
            }
            (dhcp::ACK | dhcp::NAK, dhcp::REQUEST) => {
                let lease = granted(host, answer)?;
                open.remove(&answer.xid);
                Ok(Some(lease))
            }
            _ => Ok(None),
        }
    }

    fn again(&self, open: &mut HashMap<u32, (&Host4, Instant, Message)>) -> Result<()> {
        for (_, at, asked) in open.values_mut() {
            if at.elapsed() > self.patience * 4 {
                *at = Instant::now();
                self.send(asked)?;
            }
        }
        Ok(())
    }

    fn message(&mut self, kind: u8, host: &Host4) -> Message {
        self.xid += 1;
        let mut message = Message::new(kind, self.xid, host.mac);
        let given = [
            (dhcp::CLIENT_ID, &host.client_id),
            (dhcp::HOSTNAME, &host.hostname),
        ];
        for (code, value) in given {
            message
                .options
                .extend(value.clone().map(|value| (code, value)));
        }
        message
            .options
            .push((dhcp::WANTED, vec![1, 3, dhcp::HOSTNAME, dhcp::LIFETIME]));
        message
    }

    // A message of a host that uses its address.
    fn of(&mut self, kind: u8, lease: &Lease4) -> Message {
        let mut message = self.message(kind, &lease.host);
        message.ciaddr = lease.address;
        message.broadcast = false;
        message
    }

    fn ask(&self, message: &Message) -> Result<Message> {
        ask(&self.socket, self.patience, message, Ipv4Addr::BROADCAST)
    }

    fn send(&self, message: &Message) -> Result<()> {
        send(&self.socket, message, Ipv4Addr::BROADCAST)
    }
}

// The port is shared with the socket for broadcasts.
fn bind(station: &Station, address: Ipv4Addr) -> Result<UdpSocket> {
    station.ns.run(|| {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)?;
        set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, &SocketAddrV4::new(address, 68))?;
        Ok(socket.into())
    })
}

fn ask(socket: &UdpSocket, patience: Duration, message: &Message, to: Ipv4Addr) -> Result<Message> {
    let begun = Instant::now();
    while begun.elapsed() < LIMIT {
        send(socket, message, to)?;
        let end = Instant::now() + patience;
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            match receive(socket, left.max(Duration::from_millis(1)))? {
                Some(answer) if answer.xid == message.xid => return Ok(answer),
                _ => {}
            }
        }
    }
    let (kind, mac) = (message.kind(), message.mac);
    Err(format!("{mac:02x?}: no answer of {to} to DHCP message {kind}").into())
}

fn send(socket: &UdpSocket, message: &Message, to: Ipv4Addr) -> Result<()> {
    socket.send_to(&message.encode(), (to, 67))?;
    Ok(())
}

fn receive(socket: &UdpSocket, limit: Duration) -> Result<Option<Message>> {
    let mut buffer = [0; 1500];
    socket.set_read_timeout(Some(limit))?;
    match socket.recv_from(&mut buffer) {
        Ok((length, _)) => Ok(Message::decode(&buffer[..length])),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn request(base: &Message, offer: &Message) -> Result<Message> {
    let mut request = base.clone();
    let server = offer.option(dhcp::SERVER).ok_or("an offer of nobody")?;
    request.options.push((dhcp::SERVER, server.to_vec()));
    let address = offer.yiaddr.octets().to_vec();
    request.options.push((dhcp::REQUESTED, address));
    Ok(request)
}

fn granted(host: &Host4, answer: &Message) -> Result<Lease4> {
    if answer.kind() != dhcp::ACK {
        let kind = answer.kind();
        return Err(format!("{:02x?}: DHCP message {kind}, not an ACK", host.mac).into());
    }
    let hostname = answer.option(dhcp::HOSTNAME).unwrap_or_default();
    Ok(Lease4 {
        host: host.clone(),
        address: answer.yiaddr,
        lifetime_s: answer.number(dhcp::LIFETIME).unwrap_or_default(),
        server: answer.address(dhcp::SERVER).ok_or("an ACK of nobody")?,
        hostname: String::from_utf8_lossy(hostname).into_owned(),
        at: Instant::now(),
    })
}
