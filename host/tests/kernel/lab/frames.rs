//! Frames that routers and hosts send, and a kernel that has something to guard.

use std::time::Duration;

use spared::kernel::Kernel;
use spared_worker::message::Claims;

use super::{Net, index_of};

/// Long, for what must be seen open.
pub const LONG: Duration = Duration::from_secs(30);
pub const VMAC4: [u8; 6] = [0, 0, 0x5e, 0, 1, 50];
pub const VMAC6: [u8; 6] = [0, 0, 0x5e, 0, 2, 50];

/// A kernel with a group whose addresses are installed behind a closed fence, which is the state of
/// a node that was stopped while active and has lost its lease.
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

pub fn arp_request(target: [u8; 4]) -> Vec<u8> {
    let sender = [0x02, 0, 0, 0, 0, 3];
    let mut frame = [
        &[0xff; 6][..],
        &sender,
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
        &sender,
    ]
    .concat();
    frame.extend([10, 0, 0, 3, 0, 0, 0, 0, 0, 0]);
    frame.extend(target);
    frame
}

pub fn is_arp_reply_from(frame: &[u8], address: [u8; 4]) -> bool {
    frame[12..14] == [8, 6] && frame[20..22] == [0, 2] && frame[28..32] == address
}

pub fn is_advert(frame: &[u8]) -> bool {
    frame[12..14] == [8, 0] && frame[23] == 112
}

/// The router's own way out, as its worker's packet socket has it.
pub fn send(frame: &[u8]) -> std::io::Result<()> {
    spared_netlink::PacketSocket::sender()?.send(index_of("lan2"), frame)
}

/// Neighbour solicitation for a target, from a source of the same MAC.
pub fn solicitation(source: &str, target: &str, mac: [u8; 6]) -> Vec<u8> {
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let target = address(target);
    let group = [&address("ff02::1:ff00:0")[..13], &target[13..]].concat();
    let mut message = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &target].concat();
    if source != "::" {
        message.extend([1, 1]);
        message.extend(mac);
    }
    let length = [0, message.len() as u8];
    let pseudo = [
        &address(source)[..],
        &group,
        &[0, 0],
        &length,
        &[0, 0, 0, 58],
        &message,
    ]
    .concat();
    let sum = checksum(&pseudo);
    message[2..4].copy_from_slice(&sum);
    let mut frame = [&[0x33, 0x33][..], &group[12..], &mac, &[0x86, 0xdd]].concat();
    frame.extend([0x60, 0, 0, 0]);
    frame.extend(length);
    frame.extend([58, 255]);
    frame.extend(address(source));
    frame.extend(group);
    frame.extend(message);
    frame
}

pub fn checksum(bytes: &[u8]) -> [u8; 2] {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// An echo request of a host to an address that is not virtual, through a gateway's MAC.
pub fn echo_through(gateway: [u8; 6]) -> Vec<u8> {
    let mut header = vec![
        0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 3, 10, 0, 0, 2,
    ];
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum);
    let mut echo = vec![8, 0, 0, 0, 0, 1, 0, 1];
    let sum = checksum(&echo);
    echo[2..4].copy_from_slice(&sum);
    [&gateway[..], &[2, 0, 0, 0, 0, 3], &[8, 0], &header, &echo].concat()
}

/// The answer to [`echo_through`].
pub fn is_echo_reply(frame: &[u8]) -> bool {
    frame[12..14] == [8, 0] && frame[23] == 1 && frame[26..30] == [10, 0, 0, 2] && frame[34] == 0
}
