use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::c_int;

use spared_contract::Descriptor;

use super::*;

/// Counts what this thread allocates.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: passes everything on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// A plugin like an elector: each timer sets itself again and writes to a pipe; each read of the
/// pipe moves another timer, as a received advert does, and sometimes changes a watch.
struct Elector {
    host: *const abi::Host,
    pipe: (OwnedFd, OwnedFd),
    rounds: u64,
    allocations_after_warm_up: u64,
    allocations: u64,
}

const WARM_UP: u64 = 200;
const ROUNDS: u64 = 5000;

unsafe extern "C" fn elector_timer(instance: *mut c_void, id: u32) -> abi::Status {
    // SAFETY: the instance of the test.
    unsafe {
        let elector = instance.cast::<Elector>();
        let host = *(*elector).host;
        (*elector).rounds += 1;
        if (*elector).rounds == WARM_UP {
            (*elector).allocations_after_warm_up = ALLOCATIONS.get();
        }
        if (*elector).rounds == ROUNDS {
            (*elector).allocations = ALLOCATIONS.get() - (*elector).allocations_after_warm_up;
            return ENOTRECOVERABLE;
        }
        let _ = rustix::io::write(&(*elector).pipe.1, b"advert");
        host.timer
            .map_or(0, |timer| timer(host.ctx, id, now_ns() + 20_000))
    }
}

unsafe extern "C" fn elector_fd(instance: *mut c_void, fd: c_int, events: u32) -> abi::Status {
    // SAFETY: the instance of the test.
    unsafe {
        let elector = instance.cast::<Elector>();
        let host = *(*elector).host;
        let _ = rustix::io::read(&(*elector).pipe.0, &mut [0; 64]);
        let id = 100 + ((*elector).rounds % 8) as u32;
        let _ = host
            .watch_fd
            .map_or(0, |watch| watch(host.ctx, fd, events & abi::FD_READ));
        host.timer
            .map_or(0, |timer| timer(host.ctx, id, now_ns() + 3_000_000_000))
    }
}

const ENOTRECOVERABLE: abi::Status = -131;

fn elector_plugin() -> Loaded {
    let mut plugin = plugin_of_nothing();
    plugin.table.timer = Some(elector_timer);
    plugin.table.fd = Some(elector_fd);
    plugin
}

fn plugin_of_nothing() -> Loaded {
    Loaded {
        // SAFETY: zero is "not there" for every field.
        table: unsafe { std::mem::zeroed() },
        descriptor: Descriptor {
            name: "nothing".to_owned(),
            version: String::new(),
            vendor: String::new(),
            summary: String::new(),
            minor: 0,
            flags: 0,
            wire_min: 0,
            wire_max: 0,
            capabilities: 0,
            calls: 0,
            paths: Vec::new(),
            has_drain: false,
            has_settle: false,
            has_role: false,
            verbs: Vec::new(),
            provides_groups: false,
            has_peer: false,
            has_identity: false,
            partners: Vec::new(),
        },
        // SAFETY: as above.
        interface: unsafe { std::mem::zeroed() },
        // SAFETY: as above.
        group: unsafe { std::mem::zeroed() },
        // SAFETY: as above.
        peer: unsafe { std::mem::zeroed() },
        // SAFETY: as above.
        identity: unsafe { std::mem::zeroed() },
        // SAFETY: as above.
        local: unsafe { std::mem::zeroed() },
        // SAFETY: as above.
        watch: unsafe { std::mem::zeroed() },
    }
}

#[test]
fn timers_and_descriptors_are_served_without_one_allocation() {
    let (_host, worker) = spared_records::pair().unwrap();
    let outbound = Outbound::new(worker).unwrap();
    let driver = Driver::new(
        outbound,
        Receiver::default(),
        elector_plugin(),
        &Load::default(),
    )
    .unwrap();
    let pipe = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).unwrap();
    let mut elector = Elector {
        host: driver.table.get().unwrap(),
        pipe,
        rounds: 0,
        allocations_after_warm_up: 0,
        allocations: u64::MAX,
    };
    driver.instance.set((&raw mut elector).cast());
    let fd = std::os::fd::AsRawFd::as_raw_fd(&elector.pipe.0);
    driver.watches.borrow_mut().watch(fd, abi::FD_READ).unwrap();
    driver.timers.borrow_mut().set(1, now_ns());
    assert_eq!(driver.run(), End::Broken);
    assert_eq!(elector.rounds, ROUNDS);
    assert_eq!(elector.allocations, 0);
}

/// A plugin that sends each message of its peer back.
struct Echo {
    host: *const abi::Host,
    messages: u64,
    allocations_after_warm_up: u64,
    allocations: u64,
}

unsafe extern "C" fn echo_message(instance: *mut c_void, bytes: abi::Bytes) -> abi::Status {
    // SAFETY: the instance of the test.
    unsafe {
        let echo = instance.cast::<Echo>();
        let driver = (*(*echo).host).ctx.cast::<Driver>();
        (*echo).messages += 1;
        if (*echo).messages == WARM_UP {
            (*echo).allocations_after_warm_up = ALLOCATIONS.get();
        }
        if (*echo).messages == ROUNDS {
            (*echo).allocations = ALLOCATIONS.get() - (*echo).allocations_after_warm_up;
            return ENOTRECOVERABLE;
        }
        (*driver).send_to_peer(std::slice::from_raw_parts(bytes.ptr, bytes.len))
    }
}

#[test]
fn messages_of_the_peer_are_served_and_answered_without_one_allocation() {
    let (_host, worker) = spared_records::pair().unwrap();
    let outbound = Outbound::new(worker).unwrap();
    let mut plugin = plugin_of_nothing();
    plugin.peer.message = Some(echo_message);
    let driver = Driver::new(outbound, Receiver::default(), plugin, &Load::default()).unwrap();
    let mut echo = Echo {
        host: driver.table.get().unwrap(),
        messages: 0,
        allocations_after_warm_up: 0,
        allocations: u64::MAX,
    };
    driver.instance.set((&raw mut echo).cast());
    let (link, channel) = spared_records::pair().unwrap();
    driver.channel(vec![channel]);
    let peer = std::thread::spawn(move || {
        let mut buffer = vec![spared_contract::channel::MESSAGE; 1000];
        rustix::io::write(&link, &[spared_contract::channel::UP, 0, 0, 0, 1]).unwrap();
        // One message at a time, until the channel is closed.
        while rustix::io::write(&link, &buffer).is_ok() {
            let _ = poll(&mut [PollFd::new(&link, PollFlags::IN)], None);
            if rustix::io::read(&link, &mut buffer) != Ok(1000) {
                return;
            }
        }
    });
    assert_eq!(driver.run(), End::Broken);
    assert_eq!(echo.messages, ROUNDS);
    assert_eq!(echo.allocations, 0);
    // The driver is leaked; only its channel ends here.
    driver.close_channel();
    peer.join().unwrap();
}

/// A plugin whose timer is always due, while its peer sends more than it can handle.
struct Flooded {
    host: *const abi::Host,
    nap: Duration,
    since_timer: usize,
    most: usize,
    left: usize,
}

unsafe extern "C" fn flooded_timer(instance: *mut c_void, id: u32) -> abi::Status {
    // SAFETY: the instance of the test.
    unsafe {
        let flooded = &mut *instance.cast::<Flooded>();
        flooded.most = flooded.most.max(flooded.since_timer);
        flooded.since_timer = 0;
        let host = *flooded.host;
        host.timer.map_or(0, |timer| timer(host.ctx, id, now_ns()))
    }
}

unsafe extern "C" fn flooded_message(instance: *mut c_void, _: abi::Bytes) -> abi::Status {
    // SAFETY: the instance of the test.
    let flooded = unsafe { &mut *instance.cast::<Flooded>() };
    flooded.since_timer += 1;
    flooded.left -= 1;
    if !flooded.nap.is_zero() {
        std::thread::sleep(flooded.nap);
    }
    if flooded.left == 0 {
        ENOTRECOVERABLE
    } else {
        0
    }
}

/// The most messages between two timers, if `count` of them are in the channel from the beginning.
fn most_between_timers(count: usize, nap: Duration) -> usize {
    let (_host, worker) = spared_records::pair().unwrap();
    let outbound = Outbound::new(worker).unwrap();
    let mut plugin = plugin_of_nothing();
    plugin.table.timer = Some(flooded_timer);
    plugin.peer.message = Some(flooded_message);
    let driver = Driver::new(outbound, Receiver::default(), plugin, &Load::default()).unwrap();
    let mut flooded = Flooded {
        host: driver.table.get().unwrap(),
        nap,
        since_timer: 0,
        most: 0,
        left: count,
    };
    driver.instance.set((&raw mut flooded).cast());
    let (link, channel) = spared_records::pair().unwrap();
    rustix::io::write(&link, &[spared_contract::channel::UP, 0, 0, 0, 1]).unwrap();
    for _ in 0..count {
        rustix::io::write(&link, &[spared_contract::channel::MESSAGE, 1, 2, 3]).unwrap();
    }
    driver.channel(vec![channel]);
    driver.timers.borrow_mut().set(1, now_ns());
    assert_eq!(driver.run(), End::Broken);
    assert_eq!(flooded.left, 0);
    flooded.most
}

#[test]
fn between_two_timers_there_are_few_messages() {
    let most = most_between_timers(400, Duration::ZERO);
    assert!((1..=32).contains(&most), "{most}");
}

#[test]
fn between_two_timers_there_is_one_message_that_takes_long() {
    assert_eq!(most_between_timers(20, Duration::from_millis(2)), 1);
}
