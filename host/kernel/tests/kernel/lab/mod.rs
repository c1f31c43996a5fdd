//! Makes namespaces for the kernel tests: a router under test, and a third station on its link.
//!
//! The test's own thread enters the router's namespace. Sockets that [`Net::inside`] opens stay in the station's
//! namespace.

mod frames;
mod one;

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

pub use frames::*;
pub use one::OneGroup;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use spared_contract::{AddressClaim, Claims, Family, VirtualRouterClaim};
use spared_kernel::{Kernel, KernelEvent};
use spared_netlink::PacketSocket;
use spared_tests::lab::Namespace;

/// Two namespaces joined by a veth: `lan2` in the router's, `peer` in the station's.
pub struct Net {
    pub router: Namespace,
    pub station: Namespace,
}

impl Net {
    /// Creates both namespaces. None, with the reason printed, if this user may not create namespaces.
    pub fn new() -> Option<Self> {
        let net = Self {
            router: Namespace::or_skip("router")?,
            station: Namespace::or_skip("station")?,
        };
        net.add_link("lan2", "peer");
        net.router.enter().unwrap();
        Some(net)
    }

    pub fn add_link(&self, name: &str, peer: &str) {
        self.router.add_cable(name, &self.station, peer).unwrap();
        for (namespace, device) in [(&self.router, name), (&self.station, peer)] {
            // Without these messages of its own a device is silent unless something under test sends.
            for key in ["accept_ra", "router_solicitations", "accept_dad"] {
                let setting = format!("net/ipv6/conf/{device}/{key}");
                namespace.set(&[(&setting, "0")]).unwrap();
            }
            let up = format!("link set {device} up\n");
            namespace.ip(&up).unwrap();
        }
    }

    /// Runs `work` in the station's namespace.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.station.run(|| Ok(work())).unwrap()
    }

    /// Runs `ip` in the router's namespace.
    pub fn ip(&self, arguments: &str) {
        self.router.shell(&format!("ip {arguments}")).unwrap();
    }

    /// Runs `ip` in the station's namespace.
    pub fn station_ip(&self, arguments: &str) {
        self.station.shell(&format!("ip {arguments}")).unwrap();
    }

    /// Returns what a command prints in the router's namespace.
    pub fn output(&self, program: &str, arguments: &str) -> String {
        let mut command = self.router.command(program);
        let output = command.args(arguments.split_whitespace()).output().unwrap();
        let [said, complained] =
            [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        said + &complained
    }

    /// Returns true if the station gets an answer to a ping. It tries three times: after an earlier failure its kernel
    /// waits a second before it asks for the MAC again, and the machine may be busy.
    pub fn pings(&self, address: &str) -> bool {
        (0..3).any(|_| self.ping(address, "2"))
    }

    /// Returns true if the station gets no answer to a ping.
    pub fn ignores(&self, address: &str) -> bool {
        !self.ping(address, "0.3")
    }

    fn ping(&self, address: &str, wait_s: &str) -> bool {
        let line = format!("ping -c1 -W {wait_s} -n {address}");
        self.station.shell(&line).is_ok()
    }

    /// Opens a socket of the station that receives every frame.
    pub fn tap(&self) -> Tap {
        self.tap_on("peer")
    }

    /// Opens a socket that receives every frame on this device of the station.
    pub fn tap_on(&self, device: &str) -> Tap {
        self.inside(|| {
            let index = index_of(device);
            let everything = [(0x06, 0, 0, u32::MAX)];
            Tap {
                socket: PacketSocket::receiver(index, &everything).unwrap(),
                index,
            }
        })
    }
}

/// A packet socket of the station.
pub struct Tap {
    pub socket: PacketSocket,
    pub index: u32,
}

impl Tap {
    pub fn send(&self, frame: &[u8]) {
        self.socket.send(self.index, frame).unwrap();
    }

    /// Returns all frames that arrive within a time.
    pub fn frames(&self, time: Duration) -> Vec<Vec<u8>> {
        let end = Instant::now() + time;
        let mut frames = Vec::new();
        let mut buffer = vec![0; 65536];
        loop {
            while let Ok(Some(length)) = self.socket.receive(&mut buffer) {
                frames.push(buffer[..length].to_vec());
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return frames;
            }
            wait(&[self.socket.as_fd()], left);
        }
    }

    /// Returns true if a frame of this kind arrives within 300 ms.
    pub fn hears(&self, matches: impl Fn(&[u8]) -> bool) -> bool {
        self.frames(Duration::from_millis(300))
            .iter()
            .any(|frame| matches(frame))
    }

    pub fn clear(&self) {
        self.frames(Duration::ZERO);
    }
}

/// Drives the kernel until a condition holds, and returns its events. Panics after 5 s.
pub fn drive_until(
    kernel: &mut Kernel,
    mut done: impl FnMut(&Kernel, &[KernelEvent]) -> bool,
) -> Vec<KernelEvent> {
    let end = Instant::now() + Duration::from_secs(5);
    let mut events = Vec::new();
    while !done(kernel, &events) {
        assert!(
            Instant::now() < end,
            "nothing of the kind within 5 s; events: {events:?}"
        );
        events.extend(step(kernel, Duration::from_millis(20)));
    }
    events
}

/// Drives the kernel for a time, and returns its events.
pub fn drive_for(kernel: &mut Kernel, time: Duration) -> Vec<KernelEvent> {
    let end = Instant::now() + time;
    let mut events = Vec::new();
    while Instant::now() < end {
        events.extend(step(kernel, end - Instant::now()));
    }
    events
}

/// Handles what is due within a time, without waiting for it, and returns its end. It suits schedules of spared, not
/// those of the kernel.
pub fn skip(kernel: &mut Kernel, from: Instant, time: Duration) -> Instant {
    let end = from + time;
    for _ in 0..1000 {
        match kernel.next_timeout().filter(|due| *due <= end) {
            Some(due) => kernel.handle_timeout(due),
            None => return end,
        };
    }
    panic!("something is due again and again");
}

fn step(kernel: &mut Kernel, longest: Duration) -> Vec<KernelEvent> {
    let timeout = kernel
        .next_timeout()
        .map(|at| at.saturating_duration_since(Instant::now()));
    wait(
        &kernel.descriptors(),
        timeout.unwrap_or(longest).min(longest),
    );
    let mut events = kernel.handle_ready(Instant::now());
    events.extend(kernel.handle_timeout(Instant::now()));
    events
}

/// Waits until one of the descriptors can be read.
pub fn wait(descriptors: &[std::os::fd::BorrowedFd<'_>], time: Duration) {
    let mut list: Vec<PollFd<'_>> = descriptors
        .iter()
        .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
        .collect();
    let timeout = rustix::time::Timespec {
        tv_sec: time.as_secs() as i64,
        tv_nsec: time.subsec_nanos().into(),
    };
    let _ = poll(&mut list, Some(&timeout));
}

/// Does something while the kernel refuses every change of its network that this thread requests.
pub fn while_refused<T>(work: impl FnOnce() -> T) -> T {
    let had = capabilities(None).unwrap();
    let mut fewer = had;
    fewer.effective.remove(CapabilitySet::NET_ADMIN);
    set_capabilities(None, fewer).unwrap();
    let done = work();
    set_capabilities(None, had).unwrap();
    done
}

pub fn index_of(interface: &str) -> u32 {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )
    .unwrap();
    rustix::net::netdevice::name_to_index(&socket, interface).unwrap()
}

/// Returns the MAC of a device in a namespace.
pub fn mac_in(namespace: &Namespace, device: &str) -> [u8; 6] {
    let line = namespace
        .shell(&format!("ip -o link show dev {device}"))
        .unwrap();
    let (_, mac) = line.split_once("link/ether ").unwrap();
    let mut bytes = [0; 6];
    let digits = mac.split(' ').next().unwrap().split(':');
    for (to, from) in bytes.iter_mut().zip(digits) {
        *to = u8::from_str_radix(from, 16).unwrap();
    }
    bytes
}

pub fn mac_of(net: &Net, interface: &str) -> [u8; 6] {
    let mut mac = [0; 6];
    for (to, from) in mac.iter_mut().zip(mac_text(net, interface).split(':')) {
        *to = u8::from_str_radix(from, 16).unwrap();
    }
    mac
}

/// Returns the MAC of a router's device as `ip` prints it.
pub fn mac_text(net: &Net, interface: &str) -> String {
    let line = net.output("ip", &format!("-o link show dev {interface}"));
    let (_, mac) = line.split_once("link/ether ").unwrap();
    mac.split(' ').next().unwrap().to_owned()
}

pub fn router(interface: &str, family: Family, vrid: u8) -> VirtualRouterClaim {
    VirtualRouterClaim {
        interface: interface.into(),
        family,
        vrid,
        vmac: false,
        vmac_name: String::new(),
        accept: true,
        routed: false,
    }
}

pub fn address(interface: &str, text: &str, router: Option<u32>) -> AddressClaim {
    let (address, prefix) = text.split_once('/').unwrap();
    AddressClaim {
        interface: interface.into(),
        router,
        address: address.parse().unwrap(),
        prefix: prefix.parse().unwrap(),
        source: false,
        own: false,
        label: String::new(),
    }
}

/// Makes claims of these addresses on lan2, with a virtual router of VRID 50 for each of their families, and a lease.
pub fn claims(addresses: &[&str], lease: Duration) -> Claims {
    let mut claims = Claims {
        lease_ns: lease.as_nanos() as u64,
        ..Claims::default()
    };
    for text in addresses {
        let family = if text.contains(':') {
            Family::V6
        } else {
            Family::V4
        };
        let routers = &mut claims.routers;
        let known = routers.iter().position(|router| router.family == family);
        let index = known.unwrap_or_else(|| {
            routers.push(router("lan2", family, 50));
            routers.len() - 1
        });
        let of = Some(index as u32);
        claims.addresses.push(address("lan2", text, of));
    }
    claims
}

/// Makes a VRRP advert of version 3 as the worker would send it. It has only the fields that the fence reads.
pub fn advert(source_mac: [u8; 6], family: Family, vrid: u8, priority: u8) -> Vec<u8> {
    let vrrp = [0x31, vrid, priority, 1, 0, 10, 0, 0, 192, 0, 2, 1];
    let mut frame;
    match family {
        Family::V4 => {
            frame = [&[0x01, 0, 0x5e, 0, 0, 18][..], &source_mac, &[0x08, 0]].concat();
            frame.extend([0x45, 0xc0, 0, 32, 0, 0, 0, 0, 255, 112, 0, 0]);
            frame.extend([192, 0, 2, 9, 224, 0, 0, 18]);
        }
        Family::V6 => {
            frame = [&[0x33, 0x33, 0, 0, 0, 18][..], &source_mac, &[0x86, 0xdd]].concat();
            frame.extend([0x60, 0, 0, 0, 0, 12, 112, 255]);
            frame.extend("fe80::9".parse::<std::net::Ipv6Addr>().unwrap().octets());
            frame.extend("ff02::12".parse::<std::net::Ipv6Addr>().unwrap().octets());
        }
    }
    frame.extend(vrrp);
    frame
}
