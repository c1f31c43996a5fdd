//! Namespaces for the kernel tests: a router under test, and a third station on its link.
//!
//! The test's own thread enters the router's namespace; sockets opened elsewhere by [`Net::inside`]
//! stay where they were opened.

#![allow(dead_code, unused_imports, clippy::unwrap_used)] // each test binary uses its part

mod frames;

use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use frames::*;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use spared::kernel::{Kernel, KernelEvent};
use spared_netlink::PacketSocket;
use spared_worker::message::{AddressClaim, Claims, Family, RouterClaim};

/// Two namespaces joined by a veth: `lan2` in the router's, `peer` in the station's.
pub struct Net {
    pub router: String,
    pub station: String,
}

impl Net {
    /// None, with the reason printed, where this user may not make namespaces.
    pub fn new() -> Option<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |role: &str| format!("spk{}-{number}-{role}", std::process::id());
        let net = Self {
            router: name("r"),
            station: name("s"),
        };
        for namespace in [&net.router, &net.station] {
            if !succeeds("ip", &["netns", "add", namespace]) {
                eprintln!("skipped: cannot make network namespaces (not root?)");
                return None;
            }
            run("ip", &["-n", namespace, "link", "set", "lo", "up"]);
        }
        net.add_link("lan2", "peer");
        net.enter(&net.router);
        Some(net)
    }

    pub fn add_link(&self, name: &str, peer: &str) {
        let link = [
            "link", "add", name, "type", "veth", "peer", "name", peer, "netns",
        ];
        run(
            "ip",
            &[
                &["-n", self.router.as_str()],
                &link[..],
                &[self.station.as_str()],
            ]
            .concat(),
        );
        for (namespace, device) in [(&self.router, name), (&self.station, peer)] {
            // Without its own chatter a device is silent unless something under test speaks.
            for key in ["accept_ra", "router_solicitations"] {
                let setting = format!("net.ipv6.conf.{device}.{key}=0");
                run(
                    "ip",
                    &["netns", "exec", namespace, "sysctl", "-qw", &setting],
                );
            }
            let setting = format!("net.ipv6.conf.{device}.accept_dad=0");
            run(
                "ip",
                &["netns", "exec", namespace, "sysctl", "-qw", &setting],
            );
            run("ip", &["-n", namespace, "link", "set", device, "up"]);
        }
    }

    fn enter(&self, namespace: &str) {
        let file = File::open(format!("/run/netns/{namespace}")).unwrap();
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
    }

    /// Runs `work` in the station's namespace.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            scope
                .spawn(|| {
                    self.enter(&self.station);
                    work()
                })
                .join()
                .unwrap()
        })
    }

    /// In the router's namespace.
    pub fn ip(&self, arguments: &str) {
        let words: Vec<&str> = arguments.split(' ').collect();
        run("ip", &[&["-n", self.router.as_str()], &words[..]].concat());
    }

    /// In the station's namespace.
    pub fn station_ip(&self, arguments: &str) {
        let words: Vec<&str> = arguments.split(' ').collect();
        run("ip", &[&["-n", self.station.as_str()], &words[..]].concat());
    }

    /// What a command prints in the router's namespace.
    pub fn output(&self, program: &str, arguments: &str) -> String {
        let words: Vec<&str> = arguments.split_whitespace().collect();
        let netns = ["netns", "exec", self.router.as_str(), program];
        let output = Command::new("ip").args(netns).args(words).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr)
    }

    /// Whether the station gets an answer to a ping. In its own time: an earlier failure makes
    /// its kernel wait a second before it asks for the MAC again, and the machine may be busy.
    pub fn pings(&self, address: &str) -> bool {
        (0..3).any(|_| self.ping(address, "2"))
    }

    /// Whether it gets none.
    pub fn ignores(&self, address: &str) -> bool {
        !self.ping(address, "0.3")
    }

    fn ping(&self, address: &str, wait_s: &str) -> bool {
        let exec = ["netns", "exec", self.station.as_str(), "ping"];
        let arguments = ["-c1", "-W", wait_s, "-n", address];
        succeeds("ip", &[&exec[..], &arguments].concat())
    }

    /// A socket of the station that sees every frame.
    pub fn tap(&self) -> Tap {
        self.inside(|| {
            let index = index_of("peer");
            let everything = [(0x06, 0, 0, u32::MAX)];
            Tap {
                socket: PacketSocket::receiver(index, &everything).unwrap(),
                index,
            }
        })
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for namespace in [&self.router, &self.station] {
            let _ = Command::new("ip")
                .args(["netns", "del", namespace])
                .status();
        }
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

    /// All frames that arrive within a time.
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

    /// Whether a frame of this kind arrives within 300 ms.
    pub fn hears(&self, matches: impl Fn(&[u8]) -> bool) -> bool {
        self.frames(Duration::from_millis(300))
            .iter()
            .any(|frame| matches(frame))
    }

    pub fn clear(&self) {
        self.frames(Duration::ZERO);
    }
}

/// Drives the kernel until a condition holds; the events that came. Fails after 5 s.
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

/// Drives the kernel for a time.
pub fn drive_for(kernel: &mut Kernel, time: Duration) -> Vec<KernelEvent> {
    let end = Instant::now() + time;
    let mut events = Vec::new();
    while Instant::now() < end {
        events.extend(step(kernel, end - Instant::now()));
    }
    events
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

fn wait(descriptors: &[std::os::fd::BorrowedFd<'_>], time: Duration) {
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

pub fn index_of(interface: &str) -> u32 {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )
    .unwrap();
    rustix::net::netdevice::name_to_index(&socket, interface).unwrap()
}

pub fn mac_of(net: &Net, interface: &str) -> [u8; 6] {
    let text = net.output("cat", &format!("/sys/class/net/{interface}/address"));
    let mut mac = [0; 6];
    for (to, from) in mac.iter_mut().zip(text.trim().split(':')) {
        *to = u8::from_str_radix(from, 16).unwrap();
    }
    mac
}

pub fn router(interface: &str, family: Family, vrid: u8) -> RouterClaim {
    RouterClaim {
        interface: interface.into(),
        family,
        vrid,
        vmac: false,
        accept: true,
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
    }
}

/// One router 50 on lan2 with these addresses, and a lease.
pub fn claims(addresses: &[&str], lease: Duration) -> Claims {
    let family = match addresses[0].split_once('/').unwrap().0.parse().unwrap() {
        IpAddr::V4(_) => Family::V4,
        IpAddr::V6(_) => Family::V6,
    };
    Claims {
        routers: vec![router("lan2", family, 50)],
        addresses: addresses
            .iter()
            .map(|text| address("lan2", text, Some(0)))
            .collect(),
        lease_ns: lease.as_nanos() as u64,
        ..Claims::default()
    }
}

/// A VRRP advert of version 3 as the worker would send it. The fence reads only what is here.
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

fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}");
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .output()
        .is_ok_and(|output| output.status.success())
}
