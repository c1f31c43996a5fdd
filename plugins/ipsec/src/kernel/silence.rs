//! Addresses from which no message of IKE leaves: rules of the kernel's routing that drop UDP from its ports.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use spared_netlink::{Message, Requests, attributes};

const RTM_NEWRULE: u16 = 32;
const RTM_DELRULE: u16 = 33;
const RTM_GETRULE: u16 = 34;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const FR_ACT_BLACKHOLE: u8 = 6;
const FRA_SRC: u16 = 2;
const FRA_PRIORITY: u16 = 6;
const FRA_PROTOCOL: u16 = 21;
const FRA_IP_PROTO: u16 = 22;
const FRA_SPORT_RANGE: u16 = 23;
/// `struct fib_rule_hdr`.
const HEADER_LEN: usize = 12;
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const UDP: u8 = 17;
const EEXIST: i32 = 17;
const ENOENT: i32 = 2;
/// Behind the rule of local addresses, before all others.
const PRIORITY: u32 = 1;
/// This plugin's, among those that made rules.
const PROTOCOL: u8 = 0x73;
const IKE_PORTS: [u16; 2] = [500, 4500];

pub struct Silence {
    requests: Requests,
    silent: BTreeSet<IpAddr>,
}

impl Silence {
    /// With what an earlier run left.
    ///
    /// # Errors
    /// No socket.
    pub fn open() -> io::Result<Self> {
        let mut requests = Requests::open()?;
        let mut silent = BTreeSet::new();
        for family in [AF_INET, AF_INET6] {
            let mut header = [0; HEADER_LEN];
            header[0] = family;
            let dump = message(RTM_GETRULE, NLM_F_DUMP, &header);
            let read = requests.dump(dump, |kind, payload| {
                if kind == RTM_NEWRULE {
                    silent.extend(ours(payload));
                }
            });
            if let Err(error) = read {
                log::debug!("cannot read rules of family {family}: {error}");
            }
        }
        Ok(Self { requests, silent })
    }

    pub fn silent(&self) -> &BTreeSet<IpAddr> {
        &self.silent
    }

    /// These addresses alone are silent from now on.
    ///
    /// # Errors
    /// The kernel refused a rule: not all of them are.
    pub fn set(&mut self, silent: BTreeSet<IpAddr>) -> io::Result<()> {
        let gone = self.silent.difference(&silent);
        let new = silent.difference(&self.silent);
        let delete = gone.flat_map(|it| IKE_PORTS.map(|port| rule(RTM_DELRULE, *it, port)));
        let add = new.flat_map(|it| IKE_PORTS.map(|port| rule(RTM_NEWRULE, *it, port)));
        let messages: Vec<Message> = add.chain(delete).collect();
        self.silent = silent;
        let verdicts = self.requests.run(&messages)?;
        let done = |error: &io::Error| {
            let errno = error.raw_os_error();
            errno == Some(EEXIST) || errno == Some(ENOENT)
        };
        let refused = verdicts.into_iter().filter_map(Result::err);
        refused
            .filter(|it| !done(it))
            .map(Err)
            .next()
            .unwrap_or(Ok(()))
    }
}

fn rule(kind: u16, source: IpAddr, port: u16) -> Message {
    let (family, octets) = match source {
        IpAddr::V4(ip) => (AF_INET, ip.octets().to_vec()),
        IpAddr::V6(ip) => (AF_INET6, ip.octets().to_vec()),
    };
    let mut payload = vec![0; HEADER_LEN];
    payload[0] = family;
    payload[2] = (octets.len() * 8) as u8;
    payload[7] = FR_ACT_BLACKHOLE;
    put(&mut payload, FRA_SRC, &octets);
    put(&mut payload, FRA_PRIORITY, &PRIORITY.to_ne_bytes());
    put(&mut payload, FRA_PROTOCOL, &[PROTOCOL]);
    put(&mut payload, FRA_IP_PROTO, &[UDP]);
    put(
        &mut payload,
        FRA_SPORT_RANGE,
        &[port.to_ne_bytes(), port.to_ne_bytes()].concat(),
    );
    let flags = match kind {
        RTM_NEWRULE => NLM_F_CREATE | NLM_F_EXCL,
        _ => 0,
    };
    message(kind, flags, &payload)
}

fn put(payload: &mut Vec<u8>, kind: u16, value: &[u8]) {
    payload.extend((value.len() as u16 + 4).to_ne_bytes());
    payload.extend(kind.to_ne_bytes());
    payload.extend_from_slice(value);
    payload.resize(payload.len().next_multiple_of(4), 0);
}

fn message(kind: u16, flags: u16, payload: &[u8]) -> Message {
    let mut bytes = Vec::with_capacity(16 + payload.len());
    bytes.extend((16 + payload.len() as u32).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((flags | NLM_F_REQUEST).to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend_from_slice(payload);
    Message::from_bytes(bytes)
}

/// The address of a rule that is this plugin's.
fn ours(payload: &[u8]) -> Option<IpAddr> {
    let (header, attrs) = payload.split_at_checked(HEADER_LEN)?;
    let mut is_ours = false;
    let mut source = None;
    for (kind, value) in attributes(attrs) {
        match (kind, header.first()?) {
            (FRA_PROTOCOL, _) => is_ours = value == [PROTOCOL],
            (FRA_SRC, &AF_INET) => {
                source = value
                    .first_chunk::<4>()
                    .map(|it| Ipv4Addr::from(*it).into());
            }
            (FRA_SRC, &AF_INET6) => {
                source = value
                    .first_chunk::<16>()
                    .map(|it| Ipv6Addr::from(*it).into());
            }
            _ => {}
        }
    }
    source.filter(|_| is_ours)
}
