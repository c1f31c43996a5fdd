//! Sockets of one interface, and transfers on them.

use std::io;
use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::fstat;
use rustix::net::{RecvFlags, SendFlags, recv, send, sendto};
use spared_sdk::{OpenSockets, SocketKind};

/// Longest frame in bytes. A longer one is truncated, which the parser detects.
pub(crate) const FRAME_MAX: usize = 9216;

/// Open sockets of an interface; each is None if the host could not open it.
#[derive(Default)]
pub(crate) struct Sockets {
    index: u32,
    link: Option<HostSocket>,
    ipv4: Option<HostSocket>,
    ipv6: Option<HostSocket>,
    stations: Option<HostSocket>,
    heartbeats: Option<HostSocket>,
}

/// Limit of frames, more than a socket's buffer holds, so that reading all waiting frames ends in a
/// flood as well.
pub(crate) const FRAMES_WAITING: usize = 512;

/// A duplicate of the host's descriptor, which the host may close at any time.
pub(crate) struct HostSocket {
    pub fd: OwnedFd,
    /// Inode of the socket, which identifies it, as descriptor numbers are reused.
    inode: u64,
}

impl HostSocket {
    /// Updates `kept` to the offered socket; returns the descriptor that is no longer valid.
    pub fn update(
        kept: &mut Option<HostSocket>,
        offered: Option<BorrowedFd<'_>>,
    ) -> Option<OwnedFd> {
        let inode = offered.and_then(inode);
        if kept.as_ref().map(|kept| kept.inode) == inode {
            return None;
        }
        let new = offered.zip(inode).and_then(|(fd, inode)| {
            let fd = fd.try_clone_to_owned().ok()?;
            Some(HostSocket { fd, inode })
        });
        std::mem::replace(kept, new).map(|kept| kept.fd)
    }
}

/// Socket of an interface from which frames are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameSource {
    Link,
    Stations,
    Heartbeats,
}

impl Sockets {
    /// Applies an event. Returns the descriptors that are no longer valid and must not be watched
    /// any more, still open until the return value is dropped.
    pub fn update(&mut self, index: u32, offered: &OpenSockets<'_>) -> Vec<OwnedFd> {
        let mut gone = Vec::new();
        self.index = index;
        for (kind, kept) in [
            (SocketKind::VrrpLink, &mut self.link),
            (SocketKind::VrrpIpv4, &mut self.ipv4),
            (SocketKind::VrrpIpv6, &mut self.ipv6),
            (SocketKind::Stations, &mut self.stations),
            (SocketKind::VrrpHeartbeat, &mut self.heartbeats),
        ] {
            gone.extend(HostSocket::update(kept, offered.get(kind)));
        }
        gone
    }

    /// Removes and returns all sockets, to be closed.
    pub fn take(&mut self) -> Vec<OwnedFd> {
        let all = std::mem::take(self);
        let kept = [all.link, all.ipv4, all.ipv6, all.stations, all.heartbeats];
        kept.into_iter().flatten().map(|kept| kept.fd).collect()
    }

    pub fn link(&self) -> Option<RawFd> {
        self.link.as_ref().map(|kept| kept.fd.as_raw_fd())
    }

    pub fn stations(&self) -> Option<RawFd> {
        self.stations.as_ref().map(|kept| kept.fd.as_raw_fd())
    }

    /// Returns the descriptors that are always read.
    pub fn watched(&self) -> [Option<RawFd>; 2] {
        let heartbeats = self.heartbeats.as_ref();
        [heartbeats.map(|kept| kept.fd.as_raw_fd()), self.link()]
    }

    pub fn kind_of(&self, fd: RawFd) -> Option<FrameSource> {
        match self.watched() {
            [_, Some(link)] if link == fd => return Some(FrameSource::Link),
            [Some(heartbeats), _] if heartbeats == fd => return Some(FrameSource::Heartbeats),
            _ => {}
        }
        (self.stations() == Some(fd)).then_some(FrameSource::Stations)
    }

    /// Reads one frame; None if none waits.
    pub fn receive<'b>(&self, kind: FrameSource, buffer: &'b mut [u8]) -> Option<&'b [u8]> {
        let kept = match kind {
            FrameSource::Link => self.link.as_ref(),
            FrameSource::Stations => self.stations.as_ref(),
            FrameSource::Heartbeats => self.heartbeats.as_ref(),
        }?;
        // an error, such as ENETDOWN after a carrier loss, comes once, and an event reports it
        let (length, _) = recv(&kept.fd, &mut *buffer, RecvFlags::DONTWAIT).ok()?;
        buffer.get(..length)
    }

    /// Reads waiting frames, a limited number of them, so that a flood does not prolong it.
    pub fn read_waiting(&self, kind: FrameSource, buffer: &mut [u8], mut each: impl FnMut(&[u8])) {
        for _ in 0..FRAMES_WAITING {
            match self.receive(kind, buffer) {
                Some(frame) => each(frame),
                None => break,
            }
        }
    }

    /// Sends a complete frame, or an IP packet to a peer.
    pub fn send(&self, to: Option<IpAddr>, bytes: &[u8]) -> io::Result<()> {
        let (kept, family) = match to {
            None => (&self.link, None),
            Some(IpAddr::V4(_)) => (&self.ipv4, to),
            Some(IpAddr::V6(_)) => (&self.ipv6, to),
        };
        let Some(kept) = kept else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let flags = SendFlags::DONTWAIT;
        match family {
            None => send(&kept.fd, bytes, flags)?,
            Some(IpAddr::V4(peer)) => sendto(&kept.fd, bytes, flags, &SocketAddrV4::new(peer, 0))?,
            Some(IpAddr::V6(peer)) => {
                // a link-local peer is on this interface
                let scope = if crate::config::is_link_local(peer.into()) {
                    self.index
                } else {
                    0
                };
                sendto(
                    &kept.fd,
                    bytes,
                    flags,
                    &SocketAddrV6::new(peer, 0, 0, scope),
                )?
            }
        };
        Ok(())
    }

    /// Sends a probe.
    pub fn probe(&self, frame: &[u8]) -> io::Result<()> {
        let Some(kept) = &self.stations else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        send(&kept.fd, frame, SendFlags::DONTWAIT)?;
        Ok(())
    }
}

fn inode(fd: BorrowedFd<'_>) -> Option<u64> {
    fstat(fd.as_fd()).ok().map(|stat| stat.st_ino)
}

/// Returns stations that the kernel has resolved on an interface, IPv4 only: "IP HW-type flags MAC
/// mask device".
pub(crate) fn neighbours(interface: &str) -> Vec<IpAddr> {
    const COMPLETE: &str = "0x2";
    let table = std::fs::read_to_string("/proc/net/arp").unwrap_or_default();
    let known = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace();
        let address = fields.next()?.parse().ok()?;
        let flags = fields.nth(1)?;
        let device = fields.nth(2)?;
        (flags == COMPLETE && device == interface).then_some(address)
    });
    known.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_stations_is_not_followed_for_ever() {
        use std::io::Write;
        // each byte is one frame
        let (mut flood, socket) = std::os::unix::net::UnixStream::pair().expect("a pair");
        let stations = Some(HostSocket {
            fd: socket.into(),
            inode: 0,
        });
        let sockets = Sockets {
            stations,
            ..Sockets::default()
        };
        flood.write_all(&[0; FRAMES_WAITING + 9]).expect("room");
        sockets.read_waiting(FrameSource::Stations, &mut [0], |_| {});
        let rest = sockets
            .receive(FrameSource::Stations, &mut [0; 99])
            .map(<[u8]>::len);
        assert_eq!(rest, Some(9));
    }
}
