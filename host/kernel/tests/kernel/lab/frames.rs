//! Makes the frames that routers and hosts send, and a kernel with addresses to guard.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use spared_contract::Claims;
use spared_kernel::Kernel;
use spared_tests::probe::{checksum, ethernet, ipv4, ipv6};

use super::{Net, OneGroup, index_of};

type Mac = [u8; 6];

/// Long lease, for tests in which it must not expire.
pub const LONG: Duration = Duration::from_secs(30);
pub const VMAC4: [u8; 6] = [0, 0, 0x5e, 0, 1, 50];
pub const VMAC6: [u8; 6] = [0, 0, 0x5e, 0, 2, 50];

/// Makes a kernel with a group whose addresses are installed behind a blocking fence. This is the state of a node that
/// was suspended while active and has lost its lease.
pub fn installed(claims: Claims) -> Option<(Net, Kernel)> {
    let net = Net::new()?;
    net.ip("addr add 10.0.0.2/24 dev lan2");
    net.ip("addr add fe80::2/64 dev lan2 nodad");
    net.station_ip("addr add 10.0.0.3/24 dev peer");
    net.station_ip("addr add fe80::3/64 dev peer nodad");
    net.station_ip("route add 2001:db8::/64 dev peer");
    let mut kernel = Kernel::open().unwrap();
    kernel.follow("lan2", 1).unwrap();
    kernel.claim("office", claims).unwrap();
    let installed = kernel.install("office").unwrap();
    assert!(installed.failures.is_empty(), "{:?}", installed.failures);
    Some((net, kernel))
}

const HOST: Mac = [0x02, 0, 0, 0, 0, 3];
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

pub fn arp_request(target: [u8; 4]) -> Vec<u8> {
    spared_tests::probe::arp_request(HOST, Ipv4Addr::new(10, 0, 0, 3), target.into())
}

pub fn is_arp_reply_from(frame: &[u8], address: [u8; 4]) -> bool {
    frame[12..14] == [8, 6] && frame[20..22] == [0, 2] && frame[28..32] == address
}

pub fn is_advert(frame: &[u8]) -> bool {
    frame[12..14] == [8, 0] && frame[23] == 112
}

/// Sends a frame from the router, as its worker's packet socket does.
pub fn send(frame: &[u8]) -> std::io::Result<()> {
    spared_netlink::PacketSocket::sender()?.send(index_of("lan2"), frame)
}

/// Makes a neighbour solicitation for a target. Its source has the MAC `mac`.
pub fn solicitation(source: &str, target: &str, mac: [u8; 6]) -> Vec<u8> {
    let (source, target): (Ipv6Addr, Ipv6Addr) = (source.parse().unwrap(), target.parse().unwrap());
    let [.., a, b, c] = target.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    let mut message = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &target.octets()].concat();
    if !source.is_unspecified() {
        message.extend([1, 1]);
        message.extend(mac);
    }
    let length = (message.len() as u32).to_be_bytes();
    let next = [0, 0, 0, ICMPV6];
    let sum = checksum(&[&source.octets(), &group.octets(), &length, &next, &message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let packet = ipv6(source, group, ICMPV6, 255, &message);
    ethernet([0x33, 0x33, 0xff, a, b, c], mac, IPV6, &packet)
}

/// Makes an echo request of a host to an address that is not virtual, through a gateway's MAC.
pub fn echo_through(gateway: Mac) -> Vec<u8> {
    let mut echo = [8, 0, 0, 0, 0, 1, 0, 1];
    let sum = checksum(&[&echo]);
    echo[2..4].copy_from_slice(&sum.to_be_bytes());
    let (from, to) = (Ipv4Addr::new(10, 0, 0, 3), Ipv4Addr::new(10, 0, 0, 2));
    ethernet(gateway, HOST, IPV4, &ipv4(from, to, ICMP, 64, &echo))
}

/// Returns true for the answer to [`echo_through`].
pub fn is_echo_reply(frame: &[u8]) -> bool {
    frame[12..14] == [8, 0] && frame[23] == 1 && frame[26..30] == [10, 0, 0, 2] && frame[34] == 0
}
