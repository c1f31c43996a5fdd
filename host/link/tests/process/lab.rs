//! Makes two namespaces that are joined by cables, and a link process in each.

use std::cell::Cell;
use std::collections::VecDeque;
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use spared_contract::channel::{
    DOWN, MESSAGE, RECORD_MAX, SIGNATURE_SIZE, SIGNED, UP, VERIFIED, message_kind,
};
use spared_key::PrivateKey;
use spared_link::message::{FromLink, Keys, PathSetup, Setup, State, ToLink};
use spared_link::word::Introduction;
use spared_process::child::Child;
use spared_records::{Receiver, SendError};
use spared_tests::lab::Namespace;

/// Time limit of all waits. It is long, as many tests share two cores.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const PORT: u16 = 3780;

/// Names of the nodes. The first one listens.
pub const NODES: [&str; 2] = ["r1", "r2"];

/// Namespaces, which are removed at the end of the test.
pub struct Lab {
    pub namespaces: [Namespace; 2],
    home: File,
}

impl Lab {
    /// Makes the namespaces, with cables named from `lan0`. None, with the reason printed, if this
    /// user may not create namespaces.
    pub fn new(cables: usize) -> Option<Self> {
        let lab = Self {
            namespaces: [Namespace::or_skip("a")?, Namespace::or_skip("b")?],
            home: File::open("/proc/thread-self/ns/net").unwrap(),
        };
        for cable in 0..cables {
            lab.add_cable(cable);
        }
        Some(lab)
    }

    fn add_cable(&self, cable: usize) {
        let [a, b] = &self.namespaces;
        let device = format!("lan{cable}");
        a.add_cable(&device, b, &device).unwrap();
        for (side, namespace) in self.namespaces.iter().enumerate() {
            let (v4, v6) = (v4(cable, side), v6(cable, side));
            let lines = format!(
                "address add {v4}/30 dev {device}\naddress add {v6}/64 dev {device} nodad\n\
                 link set {device} up\n"
            );
            namespace.ip(&lines).unwrap();
        }
    }

    /// Drops TCP packets over IPv4 that arrive from a cable at a side: this percentage of them.
    pub fn lose(&self, side: usize, cable: usize, percent: u32) {
        let rule = match percent {
            0 => String::new(),
            100 => "ip protocol tcp drop".to_owned(),
            _ => format!("ip protocol tcp numgen random mod 100 < {percent} drop"),
        };
        let rules = format!(
            "table netdev lose{cable}\ndelete table netdev lose{cable}\n\
             table netdev lose{cable} {{\nchain in {{\ntype filter hook ingress device lan{cable} \
             priority 0;\n{rule}\n}}\n}}\n"
        );
        self.namespaces[side].nft(&rules).unwrap();
    }

    /// Cuts a cable silently for TCP over IPv4, in both directions.
    pub fn cut(&self, cable: usize) {
        for side in 0..2 {
            self.lose(side, cable, 100);
        }
    }

    pub fn fix(&self, cable: usize) {
        for side in 0..2 {
            self.lose(side, cable, 0);
        }
    }

    /// Runs `work` with this thread in a side's namespace.
    pub fn inside<T>(&self, side: usize, work: impl FnOnce() -> T) -> T {
        let network = Some(LinkNameSpaceType::Network);
        self.namespaces[side].enter().unwrap();
        let result = work();
        move_into_link_name_space(self.home.as_fd(), network).unwrap();
        result
    }

    /// Starts a link process that has its configuration and usable paths.
    pub fn node(&self, side: usize, cables: usize) -> Node {
        let node = self.silent_node(side);
        node.configure(&setup(side, cables));
        node
    }

    /// Starts a link process without a configuration. This thread must outlive it.
    pub fn silent_node(&self, side: usize) -> Node {
        let (socket, theirs) = spared_records::pair().unwrap();
        let child = self.inside(side, || {
            Child::spawn(
                &executable(),
                &["link"],
                None,
                Stdio::inherit(),
                [(theirs.as_fd(), 3)],
            )
            .unwrap()
        });
        Node {
            child,
            socket,
            receiver: Receiver::default(),
            received: VecDeque::new(),
            state: State::default(),
        }
    }

    /// Starts both nodes, with a session over each cable.
    pub fn pair(&self, cables: usize) -> [Node; 2] {
        let mut nodes = [self.node(0, cables), self.node(1, cables)];
        for node in &mut nodes {
            node.wait_for_paths(cables);
        }
        nodes
    }
}

pub fn v4(cable: usize, side: usize) -> IpAddr {
    format!("192.0.2.{}", cable * 4 + side + 1).parse().unwrap()
}

pub fn v6(cable: usize, side: usize) -> IpAddr {
    format!("fe80::{cable}:{}", side + 1).parse().unwrap()
}

pub fn key(side: usize) -> PrivateKey {
    PrivateKey::from_seed([side as u8 + 1; 32])
}

pub fn setup(side: usize, cables: usize) -> Setup {
    let paths = (0..cables).map(|cable| PathSetup {
        interface: format!("lan{cable}"),
        own: v4(cable, side),
        peer: v4(cable, 1 - side),
    });
    Setup {
        node: NODES[side].to_owned(),
        peer: NODES[1 - side].to_owned(),
        port: PORT,
        keys: Keys::Pinned {
            seed: *key(side).seed(),
            peer: vec![key(1 - side).public()],
        },
        paths: paths.collect(),
        introduction: Introduction {
            version: "0.1.0".to_owned(),
            ..Introduction::default()
        },
    }
}

/// Returns the path of the example of this crate that runs `spared link` alone. cargo builds it
/// with the tests.
fn executable() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().unwrap().parent().unwrap();
    profile.join("examples").join("link")
}

/// A link process, whose host is the test.
pub struct Node {
    pub child: Child,
    socket: OwnedFd,
    receiver: Receiver,
    pub received: VecDeque<FromLink>,
    /// Last state that the process reported.
    pub state: State,
}

impl Node {
    pub fn tell(&self, message: &ToLink) {
        spared_records::send(self.socket.as_fd(), message, &[]).unwrap();
    }

    /// Sends a message as soon as the process has room for it.
    pub fn tell_in_time(&self, message: &ToLink) {
        let end = Instant::now() + PATIENCE;
        while let Err(error) = spared_records::send(self.socket.as_fd(), message, &[]) {
            assert!(matches!(error, SendError::Full), "{error}");
            assert!(Instant::now() < end, "the process does not read");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn tell_with(&self, message: &ToLink, descriptor: impl AsFd) {
        spared_records::send(self.socket.as_fd(), message, &[descriptor.as_fd()]).unwrap();
    }

    pub fn configure(&self, setup: &Setup) {
        self.tell(&ToLink::Configure(Box::new(setup.clone())));
        for index in 0..setup.paths.len() {
            self.tell(&ToLink::Path {
                index,
                usable: true,
                mtu: 0,
            });
        }
    }

    /// Opens a channel for a plugin, and returns the worker's end.
    pub fn channel(&self, plugin: &str, wire: (u32, u32)) -> Worker {
        self.channel_of(plugin, Some(wire))
    }

    /// Opens a channel for a plugin. `wire` are the versions of its messages to its peer; None if
    /// it sends none.
    pub fn channel_of(&self, plugin: &str, wire: Option<(u32, u32)>) -> Worker {
        let (ours, theirs) = spared_records::pair().unwrap();
        let message = ToLink::Channel {
            plugin: plugin.to_owned(),
            speaks: wire.is_some(),
            wire_min: wire.map_or(0, |(min, _)| min),
            wire_max: wire.map_or(0, |(_, max)| max),
        };
        spared_records::send(self.socket.as_fd(), &message, &[theirs.as_fd()]).unwrap();
        Worker {
            socket: ours,
            ups: Cell::new(0),
        }
    }

    /// Ends as the daemon does: the process reads what it was told, and then that there is no more.
    pub fn end(self) {
        rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Write).unwrap();
        wait_for_end(self.child);
    }

    /// Closes the host's end of the socket, and waits for the process to end by itself.
    pub fn hang_up(self) {
        let Self { child, socket, .. } = self;
        drop(socket);
        wait_for_end(child);
    }

    /// Reads all messages that have arrived.
    pub fn read(&mut self) {
        while let Some((message, _)) = self.receiver.receive::<FromLink>(&self.socket).unwrap() {
            match message {
                FromLink::State(state) => self.state = state,
                message => self.received.push_back(message),
            }
        }
    }

    pub fn wait_state(&mut self, what: &str, done: impl Fn(&State) -> bool) {
        let end = Instant::now() + PATIENCE;
        loop {
            self.read();
            if done(&self.state) {
                return;
            }
            assert!(
                Instant::now() < end,
                "{what}: not within {PATIENCE:?}; {:?}, {:?}",
                self.state,
                self.received
            );
            wait(&self.socket, Duration::from_millis(50));
        }
    }

    pub fn wait_for_paths(&mut self, count: usize) {
        self.wait_state("all paths up", |state| {
            state.paths.iter().filter(|path| path.up).count() == count
        });
    }

    /// Returns the first message of a kind. Earlier messages are dropped.
    pub fn expect<T>(&mut self, what: &str, pick: impl Fn(&FromLink) -> Option<T>) -> T {
        self.expect_within(PATIENCE, what, pick)
            .unwrap_or_else(|| panic!("{what}: not within {PATIENCE:?}; {:?}", self.state))
    }

    pub fn expect_within<T>(
        &mut self,
        time: Duration,
        what: &str,
        pick: impl Fn(&FromLink) -> Option<T>,
    ) -> Option<T> {
        let end = Instant::now() + time;
        loop {
            self.read();
            while let Some(message) = self.received.pop_front() {
                if let Some(found) = pick(&message) {
                    return Some(found);
                }
                eprintln!("before {what}: {message:?}");
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            wait(&self.socket, left);
        }
    }

    pub fn expect_wire(&mut self, plugin: &str) -> Result<u32, String> {
        self.expect("a wire version", |message| match message {
            FromLink::Wire { plugin: of, agreed } if of == plugin => Some(agreed.clone()),
            _ => None,
        })
    }
}

fn wait_for_end(mut child: Child) {
    let end = Instant::now() + PATIENCE;
    while child.exit().is_none() {
        assert!(Instant::now() < end, "it outlives its host");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Opens a plugin's channel on both nodes, and waits until both are up.
pub fn peers(plugin: &str, nodes: &[Node; 2]) -> [Worker; 2] {
    let workers = [0, 1].map(|side| nodes[side].channel(plugin, (1, 1)));
    for worker in &workers {
        assert_eq!(worker.receive(), Record::Up(1));
    }
    workers
}

/// A worker's end of a channel.
pub struct Worker {
    pub socket: OwnedFd,
    ups: Cell<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Record {
    Up(u32),
    Down,
    Message(Vec<u8>),
    /// Signature for the request with this ticket.
    Signed(u64, Vec<u8>),
    Verified(u64, bool),
}

impl Worker {
    /// Sends a record as it is.
    pub fn put(&self, record: &[u8]) {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        send(&self.socket, record, flags).unwrap();
    }

    /// Sends a message. Returns false if the channel is full.
    pub fn try_send(&self, message: &[u8]) -> bool {
        let record = [&[message_kind(self.ups.get())][..], message].concat();
        match send(
            &self.socket,
            &record,
            SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
        ) {
            Ok(_) => true,
            Err(rustix::io::Errno::AGAIN) => false,
            Err(errno) => panic!("cannot send: {errno}"),
        }
    }

    pub fn send(&self, message: &[u8]) {
        let end = Instant::now() + PATIENCE;
        while !self.try_send(message) {
            assert!(Instant::now() < end, "the channel stays full");
            let mut fds = [PollFd::new(&self.socket, PollFlags::OUT)];
            let _ = poll(&mut fds, Some(&timespec(Duration::from_millis(50))));
        }
    }

    pub fn try_receive(&self) -> Option<Record> {
        let mut buffer = vec![0; RECORD_MAX];
        match recv(&self.socket, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok((length, _)) => {
                assert_ne!(length, 0, "the link closed the channel");
                Some(match buffer[0] {
                    UP => {
                        self.ups.set(self.ups.get() + 1);
                        Record::Up(u32::from_be_bytes(buffer[1..5].try_into().unwrap()))
                    }
                    DOWN => Record::Down,
                    MESSAGE => Record::Message(buffer[1..length].to_vec()),
                    SIGNED => {
                        assert_eq!(length, 1 + 8 + SIGNATURE_SIZE);
                        Record::Signed(ticket(&buffer), buffer[9..length].to_vec())
                    }
                    VERIFIED => {
                        assert!(length == 10 && buffer[9] < 2);
                        Record::Verified(ticket(&buffer), buffer[9] == 1)
                    }
                    kind => panic!("a record of kind {kind}"),
                })
            }
            Err(rustix::io::Errno::AGAIN) => None,
            Err(errno) => panic!("cannot receive: {errno}"),
        }
    }

    pub fn receive_within(&self, time: Duration) -> Option<Record> {
        let end = Instant::now() + time;
        loop {
            if let Some(record) = self.try_receive() {
                return Some(record);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            wait(&self.socket, left);
        }
    }

    pub fn receive(&self) -> Record {
        self.receive_within(PATIENCE).expect("a record in time")
    }
}

fn ticket(record: &[u8]) -> u64 {
    u64::from_be_bytes(record[1..9].try_into().unwrap())
}

/// Waits until the socket is readable, or for this time.
pub fn wait(socket: &OwnedFd, time: Duration) {
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    let _ = poll(&mut fds, Some(&timespec(time)));
}

fn timespec(time: Duration) -> Timespec {
    Timespec::try_from(time).unwrap()
}
