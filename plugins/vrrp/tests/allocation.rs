//! Tests that the path of adverts and heartbeats does not allocate: a page fault in it would delay an advert.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::IpAddr;
use std::time::Duration;

use spared_sdk::config::Config;
use spared_vrrp::config::read;
use spared_vrrp::engine::{Action, Engine, InterfaceFacts, Neighbour, Path};
use spared_vrrp::heartbeats::{Authentication, PathClass, Received, Request};
use spared_vrrp::wire::datagram;
use spared_vrrp::wire::heartbeat::{FRAME_MAX, group_id};

/// Counts the allocations of this thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed on unchanged; the counter is plain thread-local data.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const FILE: &str = r#"
[[group]]
name = "g"
priority = { r1 = 200, r2 = 100 }
vrid = 50
[[group.interface]]
interface = "lan1"
addresses = ["192.0.2.1/24", "2001:db8::1/64"]
[[group.interface]]
interface = "lan2"
unicast = true
peers = ["198.51.100.2", "198.51.100.3"]
addresses = ["198.51.100.1/24"]
"#;

/// Number of groups in which both nodes hear each other on all paths: more than one part of a heartbeat holds.
const GROUPS: u8 = 60;

fn linked() -> String {
    let group = |n| {
        format!(
            "[[group]]\nname = \"g{n}\"\nprefer = \"r1\"\n[[group.interface]]\ninterface = \"lan1\"\n\
             vrid = {n}\naddresses = [\"192.0.2.{}/24\", \"2001:db8::{n}/64\"]\n",
            100 + n
        )
    };
    (1..=GROUPS).map(group).collect()
}

fn engine(file: &str, node: &str, host: u8, now_ns: u64) -> Engine {
    let nodes = ["r1".to_owned(), "r2".to_owned()];
    let config = Config::parse(file, node, &nodes).expect("TOML");
    let settings = read(&config, Duration::from_millis(4)).expect("valid");
    let mut engine = Engine::new(node);
    engine.configure(now_ns, &settings);
    for (name, network) in [("lan1", [192, 0, 2]), ("lan2", [198, 51, 100])] {
        let [a, b, c] = network;
        let link_local: IpAddr = format!("fe80::{host}").parse().expect("an address");
        let facts = InterfaceFacts {
            present: true,
            up: true,
            carrier: true,
            mac: [2, 0, 0, 0, 0, host],
            mtu: 1500,
            addresses: vec![IpAddr::from([a, b, c, host]), link_local],
            broadcasts: Vec::new(),
            link_socket: true,
        };
        engine.handle_interface(now_ns, name, &facts);
    }
    engine
}

/// Acts like the driver; multicast frames on lan1 go to `hears`.
fn act(engine: &mut Engine, now_ns: u64, hears: &mut impl FnMut(&[u8])) {
    while let Some(action) = engine.poll_action() {
        match action {
            Action::Publish { group, role, .. } => {
                engine.handle_published(now_ns, &group, role, true);
            }
            Action::Transmit(id) => {
                let outgoing = engine.packet(id).expect("an action's packet");
                if outgoing.interface == 0 {
                    hears(outgoing.bytes);
                }
            }
            _ => {}
        }
    }
}

#[test]
fn neither_sending_nor_hearing_adverts_allocates() {
    let mut now_ns = 1_000_000_000;
    let mut active = engine(FILE, "r1", 2, now_ns);
    let mut backup = engine(FILE, "r2", 3, now_ns);
    let (mut before, mut sent) = (0, 0);
    for round in 0..1000 {
        now_ns = active.next_timeout().expect("a timer");
        active.handle_timeout(now_ns);
        act(&mut active, now_ns, &mut |frame| {
            sent += 1;
            backup.handle_frame(now_ns, 0, frame);
            while let Some(action) = backup.poll_action() {
                if let Action::Publish { group, role, .. } = action {
                    backup.handle_published(now_ns, &group, role, true);
                }
            }
        });
        // both are settled: r1 is active, r2 has published that it is backup
        if round == 50 {
            before = ALLOCATIONS.with(Cell::get);
        }
    }
    assert!(sent >= 1900, "{sent}");
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
    let heard = backup.rows(now_ns, spared_vrrp::engine::Table::Counters);
    assert!(heard.iter().any(
        |(key, value)| key == "g.virtual_router.lan1.50.ipv6.received"
            && *value == spared_sdk::Value::Counter(sent / 2)
    ));
}

/// Path of the network in heartbeats.
const PATH: u32 = 0x8000_0000;
const PATHS: [u32; 3] = [PATH, 0, 1];

/// One end of two links and a network.
struct Node {
    engine: Engine,
    authentication: Authentication,
    /// The other node's address on the network.
    peer: IpAddr,
    /// Number of groups in heartbeats that were new to the engine.
    heard: u64,
    /// Number of sent parts of heartbeats.
    parts: usize,
}

impl Node {
    fn start(name: &str, host: u8, now_ns: u64) -> Node {
        let mut engine = engine(&linked(), name, host, now_ns);
        engine.set_links(now_ns, &["hot0".to_owned(), "hot1".to_owned()]);
        engine.set_keys(true);
        let mut authentication = Authentication::new(name).expect("random bytes");
        authentication.set_peer(Some(if name == "r1" { "r2" } else { "r1" }));
        authentication.set_patience(1_000_000_000);
        let names = (1..=GROUPS).map(|n| format!("g{n}"));
        authentication.set_groups(names.map(|name| group_id(&name)));
        authentication.set_paths(PATHS.into_iter());
        Node {
            engine,
            authentication,
            peer: format!("fe80::{}", 5 - host).parse().expect("an address"),
            heard: 0,
            parts: 0,
        }
    }

    /// Sends frames of the key agreement; every signature is valid.
    fn exchange_agreement(&mut self, now_ns: u64, other: &mut Node) {
        self.authentication.handle_timeout(now_ns);
        self.authentication.take_events(now_ns);
        while let Some(request) = self.authentication.poll_request() {
            match request {
                Request::Sign { ticket, .. } => {
                    self.authentication.handle_signed(now_ns, ticket, &[0; 64]);
                }
                Request::Verify { ticket, .. } => {
                    self.authentication.handle_verified(now_ns, ticket, true);
                }
            }
        }
        while let Some(frame) = self.authentication.poll_frame() {
            other.receive(now_ns, PATH, &frame);
        }
    }

    fn receive(&mut self, now_ns: u64, path: u32, frame: &[u8]) {
        let mut packet = [0; 48 + FRAME_MAX];
        let length = 48 + frame.len();
        let udp_len = u16::try_from(8 + frame.len()).expect("short").to_be_bytes();
        packet[0] = 0x60;
        packet[4..6].copy_from_slice(&udp_len);
        packet[6..8].copy_from_slice(&[17, 64]);
        packet[8] = 0xfe;
        packet[24] = 0xfe;
        packet[44..46].copy_from_slice(&udp_len);
        packet[48..length].copy_from_slice(frame);
        let frame = datagram::payload(&packet[..length]).expect("a whole packet");
        let own = self.authentication.run();
        let received = self
            .authentication
            .receive(now_ns, PathClass::Network, path, frame);
        let Ok(Received::Heartbeat(mut opened)) = received else {
            return;
        };
        let neighbour = Neighbour {
            mac: [2; 6],
            address: self.peer,
        };
        let path = match path {
            0 | 1 => Path::Link(path as usize),
            _ => Path::Network(0, neighbour),
        };
        while let Some(heard) = opened.next_group() {
            self.heard += u64::from(heard.is_new);
            self.engine.handle_heartbeat(now_ns, path, &heard, own);
        }
    }

    /// Acts like the driver. Returns true if there was anything to do.
    fn act(&mut self, now_ns: u64, other: &mut Node) -> bool {
        let mut acted = false;
        while let Some(action) = self.engine.poll_action() {
            acted = true;
            match action {
                Action::Publish { group, role, .. } => {
                    self.engine.handle_published(now_ns, &group, role, true);
                }
                Action::Transmit(id) => {
                    let outgoing = self.engine.packet(id).expect("an action's packet");
                    if outgoing.interface == 0 {
                        other.engine.handle_frame(now_ns, 0, outgoing.bytes);
                    }
                }
                Action::Heartbeat => {
                    let (heartbeats, targets) = self.engine.heartbeat(now_ns);
                    assert_eq!(targets.len(), 1);
                    let parts = self.authentication.begin_heartbeat(heartbeats);
                    self.parts += parts;
                    for (path, part) in (0..parts).flat_map(|part| PATHS.map(|path| (path, part))) {
                        let mut hear = |sealed: &[u8]| other.receive(now_ns, path, sealed);
                        self.authentication.seal(now_ns, path, part, &mut hear);
                    }
                }
                _ => {}
            }
        }
        acted
    }
}

#[test]
fn neither_saying_nor_hearing_heartbeats_allocates() {
    let mut now_ns = 1_000_000_000;
    let mut active = Node::start("r1", 2, now_ns);
    let mut backup = Node::start("r2", 3, now_ns);
    for _ in 0..4 {
        active.exchange_agreement(now_ns, &mut backup);
        backup.exchange_agreement(now_ns, &mut active);
    }
    let mut before = (0, 0, 0, 0);
    for round in 0..2000 {
        let next = [&active, &backup].map(|node| node.engine.next_timeout());
        now_ns = next
            .into_iter()
            .flatten()
            .min()
            .expect("a timer")
            .max(now_ns);
        for node in [&mut active, &mut backup] {
            if node
                .engine
                .next_timeout()
                .is_some_and(|at_ns| at_ns <= now_ns)
            {
                node.engine.handle_timeout(now_ns);
            }
        }
        while active.act(now_ns, &mut backup) | backup.act(now_ns, &mut active) {}
        for node in [&mut active, &mut backup] {
            node.authentication.take_events(now_ns);
        }
        // both are settled, and all buffers have their final size
        if round == 1000 {
            let allocated = ALLOCATIONS.with(Cell::get);
            before = (allocated, active.heard, backup.heard, active.parts);
        }
    }
    assert_eq!(ALLOCATIONS.with(Cell::get) - before.0, 0);
    let least = 300 * u64::from(GROUPS);
    assert!(active.heard - before.1 >= least, "{}", active.heard);
    assert!(backup.heard - before.2 >= least, "{}", backup.heard);
    assert!(active.parts - before.3 >= 2 * 300, "{}", active.parts);
}
