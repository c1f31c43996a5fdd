//! Opens, filters and locks sockets for workers, which cannot open them themselves. Each set is
//! opened separately, so that a request of one plugin does not disturb the sockets of another.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use spared_abi::{SOCKETS_HEARTBEAT, SOCKETS_PING, SOCKETS_VRRP};
use spared_contract::SocketKind;
use spared_netlink::bpf::Instruction;
use spared_netlink::{
    Ends, PacketSocket, datagram_sender, echo_socket, join_groups, raw_ip_socket,
};

use super::socket_filters::{
    Admitted, NETWORK_HEARTBEAT_FILTER, STATION_FILTER, heartbeat_filter, vrrp_filter,
};

/// All socket sets.
const SETS: [u32; 3] = [SOCKETS_VRRP, SOCKETS_HEARTBEAT, SOCKETS_PING];

/// Name that is followed to get sockets without an interface.
pub const ANY: &str = "@any";

/// Interface on which sockets are opened.
#[derive(Clone, Copy, Debug)]
pub struct Place<'p> {
    pub name: &'p str,
    /// Index of the interface; 0 for [`ANY`].
    pub index: u32,
    /// Both ends of the link, if the interface is that of a link whose address is set.
    pub ends: Option<Ends>,
    /// MAC address of the interface.
    pub mac: [u8; 6],
    /// Virtual routers whose adverts are accepted.
    pub admitted: &'p [Admitted],
}

/// Sockets of a followed interface, and when they last changed.
#[derive(Default)]
pub struct Sockets {
    sets: BTreeMap<u32, Set>,
    /// Generation of each set: a new number each time that the set is opened or closed.
    changed: BTreeMap<u32, u64>,
}

/// Open socket set, with the interface on which it was opened.
struct Set {
    index: u32,
    ends: Option<Ends>,
    /// Filter of [`SocketKind::VrrpLink`]. It is locked, so that another filter needs another
    /// socket.
    filter: Vec<Instruction>,
    /// Sockets in the order in which the event lists them.
    open: Vec<(SocketKind, OwnedFd)>,
    // Sockets that are kept open so that switches with IGMP and MLD snooping forward the groups.
    _members: Vec<OwnedFd>,
}

impl Sockets {
    /// Opens the sets in `wanted` and closes the others, as needed on this interface. Returns true
    /// if something was opened or closed, and the errors of sets that cannot be opened.
    pub fn sync(
        &mut self,
        place: Place<'_>,
        wanted: u32,
        generations: &mut u64,
    ) -> (bool, Vec<io::Error>) {
        let before = *generations;
        let mut errors = Vec::new();
        let mut note = |kind: u32| {
            *generations += 1;
            self.changed.insert(kind, *generations);
        };
        self.sets.retain(|kind, set| {
            let stays = wanted & kind != 0 && set.is_for(*kind, place);
            if !stays {
                note(*kind);
            }
            stays
        });
        let filter = vrrp_filter(place.mac, place.admitted);
        if let Some(set) = self.sets.get_mut(&SOCKETS_VRRP) {
            match set.admit(&filter) {
                Ok(true) => note(SOCKETS_VRRP),
                Ok(false) => {}
                Err(error) => errors.push(error),
            }
        }
        for kind in SETS {
            if wanted & kind == 0 || self.sets.contains_key(&kind) || !is_possible(kind, place) {
                continue;
            }
            match open(kind, place, &filter) {
                Ok((open, members)) => {
                    let set = Set {
                        index: place.index,
                        ends: place.ends,
                        filter: filter.clone(),
                        open,
                        _members: members,
                    };
                    self.sets.insert(kind, set);
                    note(kind);
                }
                Err(error) => errors.push(error),
            }
        }
        (*generations != before, errors)
    }

    /// Joins the multicast groups again, after the interface was down or got its first address.
    pub fn rejoin(&mut self) {
        if let Some(set) = self.sets.get_mut(&SOCKETS_VRRP) {
            set._members = join_groups(set.index);
        }
    }

    fn among(&self, wanted: u32) -> impl Iterator<Item = &Set> {
        let sets = self.sets.iter();
        sets.filter(move |(kind, _)| **kind & wanted != 0)
            .map(|(_, set)| set)
    }

    /// Returns the kinds of the sockets in the sets `wanted`.
    pub fn kinds(&self, wanted: u32) -> Vec<SocketKind> {
        let open = self.among(wanted).flat_map(|set| &set.open);
        open.map(|(kind, _)| *kind).collect()
    }

    /// Returns the descriptors, in the order of [`Self::kinds`].
    pub fn descriptors(&self, wanted: u32) -> Vec<BorrowedFd<'_>> {
        let open = self.among(wanted).flat_map(|set| &set.open);
        open.map(|(_, socket)| socket.as_fd()).collect()
    }

    /// Returns a number that changes whenever a set in `wanted` is opened or closed.
    pub fn generation(&self, wanted: u32) -> u64 {
        let changed = self.changed.iter().filter(|(kind, _)| *kind & wanted != 0);
        changed.map(|(_, number)| *number).max().unwrap_or(0)
    }
}

impl Set {
    fn is_for(&self, kind: u32, place: Place<'_>) -> bool {
        self.index == place.index && (kind != SOCKETS_HEARTBEAT || self.ends == place.ends)
    }

    /// Replaces the socket for adverts if the filter has changed.
    fn admit(&mut self, filter: &[Instruction]) -> io::Result<bool> {
        if self.filter == filter {
            return Ok(false);
        }
        let socket = advert_receiver(self.index, filter)?;
        for (kind, open) in &mut self.open {
            if *kind == SocketKind::VrrpLink {
                *open = socket;
                break;
            }
        }
        self.filter = filter.to_vec();
        Ok(true)
    }
}

// True if a set can be opened here. Heartbeats need a link with its address. Only echo requests
// need no interface.
fn is_possible(kind: u32, place: Place<'_>) -> bool {
    match kind {
        SOCKETS_HEARTBEAT => place.ends.is_some() && place.index != 0,
        SOCKETS_PING => place.index != 0 || place.name == ANY,
        _ => place.index != 0,
    }
}

type Open = (Vec<(SocketKind, OwnedFd)>, Vec<OwnedFd>);

fn open(kind: u32, place: Place<'_>, filter: &[Instruction]) -> io::Result<Open> {
    match (kind, place.ends) {
        (SOCKETS_VRRP, _) => vrrp(place, filter),
        (SOCKETS_PING, _) => Ok((ping(place)?, Vec::new())),
        (SOCKETS_HEARTBEAT, Some(ends)) => Ok((heartbeat(place, ends)?, Vec::new())),
        _ => Ok(Open::default()),
    }
}

fn advert_receiver(index: u32, filter: &[Instruction]) -> io::Result<OwnedFd> {
    const GROUP4_MAC: [u8; 6] = [0x01, 0x00, 0x5e, 0x00, 0x00, 0x12];
    const GROUP6_MAC: [u8; 6] = [0x33, 0x33, 0x00, 0x00, 0x00, 0x12];

    let link = PacketSocket::receiver(index, filter)?;
    link.join(index, GROUP4_MAC)?;
    link.join(index, GROUP6_MAC)?;
    Ok(link.into())
}

fn lacks_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

fn vrrp(place: Place<'_>, filter: &[Instruction]) -> io::Result<Open> {
    const STATIONS_BYTES: usize = 32 * 1024;

    let Place { name, index, .. } = place;
    let link = advert_receiver(index, filter)?;
    let stations = PacketSocket::receiver(index, &STATION_FILTER)?;
    stations.set_receive_buffer(STATIONS_BYTES)?;
    let mut open = vec![
        (SocketKind::VrrpLink, link),
        (SocketKind::VrrpIpv4, raw_ip_socket(false, name)?),
    ];
    match raw_ip_socket(true, name) {
        Ok(socket) => open.push((SocketKind::VrrpIpv6, socket)),
        Err(error) if lacks_descriptors(&error) => return Err(error),
        // An address family that the system lacks is left out.
        Err(_) => {}
    }
    open.push((SocketKind::Stations, stations.into()));
    // A separate socket, so that a flood of adverts in the other one does not displace heartbeats.
    let heartbeats = PacketSocket::receiver(index, &NETWORK_HEARTBEAT_FILTER)?;
    open.push((SocketKind::VrrpHeartbeat, heartbeats.into()));
    Ok((open, join_groups(index)))
}

fn heartbeat(place: Place<'_>, ends: Ends) -> io::Result<Vec<(SocketKind, OwnedFd)>> {
    let receiver = PacketSocket::packet_receiver(place.index, &heartbeat_filter(ends))?;
    let sender = datagram_sender(place.index, place.name, ends)?;
    Ok(vec![
        (SocketKind::HeartbeatIn, receiver.into()),
        (SocketKind::HeartbeatOut, sender),
    ])
}

fn ping(place: Place<'_>) -> io::Result<Vec<(SocketKind, OwnedFd)>> {
    let interface = (place.name != ANY).then_some(place.name);
    let mut open = vec![(SocketKind::PingIpv4, echo_socket(false, interface)?)];
    if let Ok(socket) = echo_socket(true, interface) {
        open.push((SocketKind::PingIpv6, socket));
    }
    Ok(open)
}
