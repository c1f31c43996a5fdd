//! Sockets that followers get: opened here, filtered, locked, handed to a worker that could not
//! open them itself.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use spared_abi::{
    SOCKET_STATIONS, SOCKET_VRRP_IPV4, SOCKET_VRRP_IPV6, SOCKET_VRRP_LINK, SOCKETS_VRRP,
};
use spared_netlink::{Instruction, PacketSocket, join_groups, raw_ip_socket};

/// The sockets of one followed interface.
pub struct Sockets {
    pub index: u32,
    /// (`SPARED_SOCKET_*`, descriptor), in the order of the event.
    open: Vec<(u32, OwnedFd)>,
    // Held so that switches with IGMP and MLD snooping send the groups here.
    _members: Vec<OwnedFd>,
}

impl Sockets {
    /// Opens the sockets of the sets in `wanted`; a family that the interface lacks is left out.
    pub fn open(index: u32, name: &str, wanted: u32) -> io::Result<Self> {
        if wanted & SOCKETS_VRRP == 0 {
            return Ok(Self {
                index,
                open: Vec::new(),
                _members: Vec::new(),
            });
        }
        const STATIONS_BYTES: usize = 32 * 1024;
        const GROUP4_MAC: [u8; 6] = [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12];
        const GROUP6_MAC: [u8; 6] = [0x33, 0x33, 0x00, 0x00, 0x00, 0x12];

        let link = PacketSocket::receiver(index, &VRRP_FILTER)?;
        link.join(index, GROUP4_MAC)?;
        link.join(index, GROUP6_MAC)?;
        let stations = PacketSocket::receiver(index, &STATION_FILTER)?;
        stations.set_receive_buffer(STATIONS_BYTES)?;
        let mut open = vec![
            (SOCKET_VRRP_LINK, link.into()),
            (SOCKET_VRRP_IPV4, raw_ip_socket(false, name)?),
        ];
        if let Ok(socket) = raw_ip_socket(true, name) {
            open.push((SOCKET_VRRP_IPV6, socket));
        }
        open.push((SOCKET_STATIONS, stations.into()));
        Ok(Self {
            index,
            open,
            _members: join_groups(index),
        })
    }

    /// Joins the groups again: after the interface was down, or got its first address.
    pub fn rejoin(&mut self) {
        self._members = join_groups(self.index);
    }

    pub fn kinds(&self) -> Vec<u32> {
        self.open.iter().map(|(kind, _)| *kind).collect()
    }

    pub fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        self.open.iter().map(|(_, socket)| socket.as_fd()).collect()
    }
}

const LOAD_BYTE: u16 = 0x30;
const LOAD_HALF: u16 = 0x28;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
const ANCILLARY: u32 = (-0x1000i32) as u32;
const PACKET_TYPE: u32 = ANCILLARY + 4;
const VLAN_TAG_PRESENT: u32 = ANCILLARY + 48;
const OTHER_HOST: u32 = 3;
const ALL: u32 = u32::MAX;

// IPv4 protocol 112 and IPv6 next header 112; neither tagged, nor another station's.
const VRRP_FILTER: [Instruction; 13] = [
    (LOAD_BYTE, 0, 0, PACKET_TYPE),
    (JUMP_EQUAL, 10, 0, OTHER_HOST),
    (LOAD_BYTE, 0, 0, VLAN_TAG_PRESENT),
    (JUMP_EQUAL, 0, 8, 0),
    (LOAD_HALF, 0, 0, 12),
    (JUMP_EQUAL, 0, 2, 0x0800),
    (LOAD_BYTE, 0, 0, 23),
    (JUMP_EQUAL, 3, 4, 112),
    (JUMP_EQUAL, 0, 3, 0x86dd),
    (LOAD_BYTE, 0, 0, 20),
    (JUMP_EQUAL, 0, 1, 112),
    (RETURN, 0, 0, ALL),
    (RETURN, 0, 0, 0),
];

// ARP, and ICMPv6 types 133 (router solicitation) to 137 (redirect); not tagged.
const STATION_FILTER: [Instruction; 12] = [
    (LOAD_BYTE, 0, 0, VLAN_TAG_PRESENT),
    (JUMP_EQUAL, 0, 9, 0),
    (LOAD_HALF, 0, 0, 12),
    (JUMP_EQUAL, 6, 0, 0x0806),
    (JUMP_EQUAL, 0, 6, 0x86dd),
    (LOAD_BYTE, 0, 0, 20),
    (JUMP_EQUAL, 0, 4, 58),
    (LOAD_BYTE, 0, 0, 54),
    (JUMP_AT_LEAST, 2, 0, 138),
    (JUMP_AT_LEAST, 0, 1, 133),
    (RETURN, 0, 0, ALL),
    (RETURN, 0, 0, 0),
];
