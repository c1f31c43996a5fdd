//! The advert path allocates nothing: a page that must be fetched first is an advert that is late.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::IpAddr;
use std::time::Duration;

use spared_sdk::config::Config;
use spared_vrrp::config::read;
use spared_vrrp::engine::{Action, Engine, Facts};

/// Counts what this thread allocates.
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
[[group.router]]
interface = "lan1"
addresses = ["192.0.2.1/24", "2001:db8::1/64"]
[[group.router]]
interface = "lan2"
unicast = true
peers = ["198.51.100.2", "198.51.100.3"]
addresses = ["198.51.100.1/24"]
"#;

fn engine(node: &str, host: u8, now_ns: u64) -> Engine {
    let nodes = ["r1".to_owned(), "r2".to_owned()];
    let config = Config::parse(FILE, node, &nodes).expect("TOML");
    let settings = read(&config, Duration::from_millis(4)).expect("valid");
    let mut engine = Engine::new(node);
    engine.configure(now_ns, &settings);
    for (name, network) in [("lan1", [192, 0, 2]), ("lan2", [198, 51, 100])] {
        let [a, b, c] = network;
        let link_local: IpAddr = format!("fe80::{host}").parse().expect("an address");
        let facts = Facts {
            present: true,
            up: true,
            carrier: true,
            mac: [2, 0, 0, 0, 0, host],
            mtu: 1500,
            addresses: vec![IpAddr::from([a, b, c, host]), link_local],
            link_socket: true,
        };
        engine.handle_interface(now_ns, name, &facts);
    }
    engine
}

/// Does what the driver does; what is sent on lan1 by multicast goes to `hears`.
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
    let mut active = engine("r1", 2, now_ns);
    let mut backup = engine("r2", 3, now_ns);
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
        // both have settled: r1 is active, r2 has published that
        if round == 50 {
            before = ALLOCATIONS.with(Cell::get);
        }
    }
    assert!(sent >= 1900, "{sent}");
    assert_eq!(ALLOCATIONS.with(Cell::get) - before, 0);
    let heard = backup.rows(now_ns, spared_vrrp::engine::Table::Counters);
    assert!(
        heard
            .iter()
            .any(|(key, value)| key == "g.router.lan1.50.ipv6.received"
                && *value == spared_vrrp::engine::Value::Number(sent / 2))
    );
}
