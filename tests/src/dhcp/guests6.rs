// SPDX-License-Identifier: MIT OR Apache-2.0
//! Many DHCPv6 clients behind one station, each with its own DUID and identity association.

use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::time::{Duration, Instant};

use super::Station;
use super::packet6::{self as dhcp, Message, Options};
use crate::Result;
use crate::lab::Lab;

const PATIENCE: Duration = Duration::from_millis(250);
const TRIES: u32 = 160;
/// Group All_DHCP_Relay_Agents_and_Servers (RFC 8415 §7.1).
const SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host6 {
    pub duid: Vec<u8>,
    pub iaid: u32,
    pub hostname: Option<String>,
    /// Request a prefix instead of an address.
    pub prefix: bool,
}

impl Host6 {
    pub fn number(number: u32) -> Self {
        let [_, a, b, c] = number.to_be_bytes();
        Self {
            duid: vec![0, 3, 0, 1, 2, 0xc, 0, a, b, c],
            iaid: number,
            hostname: Some(format!("host-{number}")),
            prefix: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease6 {
    pub host: Host6,
    /// Address or prefix.
    pub address: Ipv6Addr,
    /// Prefix length; 128 for an address.
    pub length: u8,
    pub preferred_s: u32,
    pub valid_s: u32,
    /// The server's DUID.
    pub server: Vec<u8>,
    pub at: Instant,
}

pub struct Guests6 {
    pub station: Station,
    socket: UdpSocket,
    transaction: u32,
}

impl Guests6 {
    pub fn new(lab: &Lab) -> Result<Self> {
        let station = Station::new(lab)?;
        let socket = station.ns.run(|| Ok(UdpSocket::bind(("::", 546))?))?;
        Ok(Self {
            station,
            socket,
            transaction: 0x10_0000,
        })
    }

    /// Gets a lease: SOLICIT, ADVERTISE, REQUEST, REPLY.
    pub fn lease(&mut self, host: &Host6) -> Result<Lease6> {
        let solicit = self.message(dhcp::SOLICIT, host, None);
        let advertise = self.ask(&solicit)?;
        let offered = granted(host, &advertise)?;
        let request = self.message(dhcp::REQUEST, host, Some(&offered));
        let reply = self.ask(&request)?;
        granted(host, &reply)
    }

    /// Requests a renewal from the server that granted the lease, by its DUID.
    pub fn renew(&mut self, lease: &Lease6) -> Result<Lease6> {
        self.again(dhcp::RENEW, lease)
    }

    /// Requests a renewal from any server.
    pub fn rebind(&mut self, lease: &Lease6) -> Result<Lease6> {
        let mut anybody = lease.clone();
        anybody.server.clear();
        self.again(dhcp::REBIND, &anybody)
    }

    pub fn release(&mut self, lease: &Lease6) -> Result<()> {
        let message = self.message(dhcp::RELEASE, &lease.host, Some(lease));
        self.ask(&message).map(drop)
    }

    /// Reports that another host has the address already.
    pub fn decline(&mut self, lease: &Lease6) -> Result<()> {
        let message = self.message(dhcp::DECLINE, &lease.host, Some(lease));
        self.ask(&message).map(drop)
    }

    fn again(&mut self, kind: u8, lease: &Lease6) -> Result<Lease6> {
        let message = self.message(kind, &lease.host, Some(lease));
        let reply = self.ask(&message)?;
        granted(&lease.host, &reply)
    }

    fn message(&mut self, kind: u8, host: &Host6, lease: Option<&Lease6>) -> Message {
        self.transaction += 1;
        let mut options: Options = vec![
            (dhcp::CLIENT_ID, host.duid.clone()),
            (dhcp::ELAPSED, vec![0, 0]),
        ];
        let server = lease.map(|lease| lease.server.clone()).unwrap_or_default();
        if !server.is_empty() {
            options.push((dhcp::SERVER_ID, server));
        }
        let mut association = host.iaid.to_be_bytes().to_vec();
        association.extend([0; 8]);
        if let Some(lease) = lease {
            let inner = vec![if host.prefix {
                (dhcp::IA_PREFIX, prefix(lease))
            } else {
                (dhcp::IA_ADDR, address(lease))
            }];
            association.extend(dhcp::encode(&inner));
        }
        let code = if host.prefix {
            dhcp::IA_PD
        } else {
            dhcp::IA_NA
        };
        options.push((code, association));
        if let Some(hostname) = &host.hostname {
            options.push((dhcp::FQDN, fqdn(hostname)));
        }
        Message {
            kind,
            transaction: self.transaction,
            options,
        }
    }

    fn ask(&self, message: &Message) -> Result<Message> {
        let to = SocketAddrV6::new(SERVERS, 547, 0, self.station.index);
        let mut buffer = [0; 1500];
        for _ in 0..TRIES {
            self.socket.send_to(&message.encode(), to)?;
            let end = Instant::now() + PATIENCE;
            while let Some(left) = end.checked_duration_since(Instant::now()) {
                let left = left.max(Duration::from_millis(1));
                self.socket.set_read_timeout(Some(left))?;
                let Ok((length, _)) = self.socket.recv_from(&mut buffer) else {
                    continue;
                };
                match Message::decode(&buffer[..length]) {
                    Some(answer) if answer.transaction == message.transaction => return Ok(answer),
                    _ => {}
                }
            }
        }
        let kind = message.kind;
        Err(format!("no answer to DHCPv6 message {kind}").into())
    }
}

fn address(lease: &Lease6) -> Vec<u8> {
    let mut out = lease.address.octets().to_vec();
    out.extend([0; 8]);
    out
}

fn prefix(lease: &Lease6) -> Vec<u8> {
    let mut out = vec![0; 8];
    out.push(lease.length);
    out.extend(lease.address.octets());
    out
}

/// Encodes flags and labels (RFC 4704 §4). The flags request no updates of the server.
fn fqdn(name: &str) -> Vec<u8> {
    let mut out = vec![0];
    for label in name.split('.') {
        out.push(label.len() as u8);
        out.extend(label.as_bytes());
    }
    out
}

fn granted(host: &Host6, answer: &Message) -> Result<Lease6> {
    let code = if host.prefix {
        dhcp::IA_PD
    } else {
        dhcp::IA_NA
    };
    let refused = || format!("DHCPv6 message {} grants nothing: {answer:?}", answer.kind);
    let association = answer.option(code).ok_or_else(refused)?;
    let inner = dhcp::decode(association.get(12..).unwrap_or_default());
    let parse = || -> Option<Lease6> {
        let word = |bytes: &[u8], at: usize| {
            let word = <[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?;
            Some(u32::from_be_bytes(word))
        };
        let whole = |bytes: &[u8], at: usize| {
            let octets = <[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?;
            Some(Ipv6Addr::from(octets))
        };
        let (address, length, times) = if host.prefix {
            let option = dhcp::find(&inner, dhcp::IA_PREFIX)?;
            let times = (word(option, 0)?, word(option, 4)?);
            (whole(option, 9)?, *option.get(8)?, times)
        } else {
            let option = dhcp::find(&inner, dhcp::IA_ADDR)?;
            (
                whole(option, 0)?,
                128,
                (word(option, 16)?, word(option, 20)?),
            )
        };
        (times.1 > 0).then(|| Lease6 {
            host: host.clone(),
            address,
            length,
            preferred_s: times.0,
            valid_s: times.1,
            server: answer.option(dhcp::SERVER_ID).unwrap_or_default().to_vec(),
            at: Instant::now(),
        })
    };
    parse().ok_or_else(|| refused().into())
}
