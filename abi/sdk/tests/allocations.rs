//! Asserts that the loop allocates no memory for the work that it does while an elector runs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use spared_contract::channel::{MESSAGE, UP};
use spared_contract::{ConfigTable, Surroundings, ToPlugin};
use spared_sdk::config::Config;
use spared_sdk::run::{Parts, run};
use spared_sdk::{Error, Host, Interest, Peer, Plugin, Progress, Ready, Token};

/// Counts the allocations of a thread.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call is passed to the system's allocator.
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

const WARM_UP: u64 = 200;
const ROUNDS: u64 = 5000;

/// Channel on which a plugin reports the number of allocations of its rounds after the warm-up.
static SAID: Mutex<Option<Sender<u64>>> = Mutex::new(None);

/// Counts rounds and their allocations.
#[derive(Default)]
struct Rounds {
    done: u64,
    before: u64,
}

impl Rounds {
    /// Returns false at the end.
    fn go_on(&mut self) -> bool {
        self.done += 1;
        if self.done == WARM_UP {
            self.before = ALLOCATIONS.get();
        }
        if self.done == ROUNDS {
            let count = ALLOCATIONS.get() - self.before;
            let said = SAID.lock().unwrap_or_else(PoisonError::into_inner).take();
            said.unwrap().send(count).unwrap();
        }
        self.done < ROUNDS
    }
}

/// Plugin whose timers set themselves again and write to a pipe. Each read of the pipe moves another timer, as a
/// received advert does, and changes a watch. A message of the peer is answered.
struct Elector {
    host: Host,
    pipe: (OwnedFd, OwnedFd),
    rounds: Rounds,
}

impl Plugin for Elector {
    type Settings = ();

    fn create(host: Host) -> Result<Self, Error> {
        let pipe = rustix::pipe::pipe().map_err(Error::kernel("make a pipe"))?;
        Ok(Self {
            host,
            pipe,
            rounds: Rounds::default(),
        })
    }

    fn read(_config: &Config) -> Result<(), Error> {
        Ok(())
    }

    fn start(&mut self, _token: Token) -> Result<Progress, Error> {
        self.host
            .watch_fd(self.pipe.0.as_raw_fd(), Interest::READ)?;
        if self.host.node().as_deref() == Some("timers") {
            self.host.timer(1, self.host.now())?;
        }
        Ok(Progress::Done)
    }

    fn timer(&mut self, id: u32) {
        if self.rounds.go_on() {
            rustix::io::write(&self.pipe.1, b"advert").unwrap();
            self.host.timer(id, self.host.now() + 20_000).unwrap();
        }
    }

    fn fd(&mut self, fd: RawFd, _ready: Ready) {
        rustix::io::read(self.pipe.0.as_fd(), &mut [0; 64]).unwrap();
        self.host.watch_fd(fd, Interest::READ).unwrap();
        let id = 100 + (self.rounds.done % 8) as u32;
        self.host
            .timer(id, self.host.now() + 3_000_000_000)
            .unwrap();
    }
}

impl Peer for Elector {
    fn up(&mut self, _wire: u32) {}

    fn down(&mut self) {}

    fn message(&mut self, message: &[u8]) {
        if self.rounds.go_on() {
            let _ = self.host.peer().send(message);
        }
    }
}

/// Runs the plugin until it has reported its count.
fn count(node: &str, meanwhile: impl FnOnce(BorrowedFd<'_>)) -> u64 {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (said, heard) = channel();
    *SAID.lock().unwrap() = Some(said);
    let (host, theirs) = spared_records::pair().unwrap();
    let plugin = thread::spawn(|| run::<Elector>(theirs, Parts::NONE.peer()));
    let send = |message: &ToPlugin| spared_records::send(host.as_fd(), message, &[]).unwrap();
    send(&ToPlugin::Configure {
        token: 1,
        table: ConfigTable::default(),
        check: false,
        surroundings: Surroundings {
            node: node.to_owned(),
            ..Surroundings::default()
        },
    });
    send(&ToPlugin::Start { token: 2 });
    let (link, channel) = spared_records::pair().unwrap();
    spared_records::send(host.as_fd(), &ToPlugin::Channel, &[channel.as_fd()]).unwrap();
    meanwhile(link.as_fd());
    let count = heard.recv_timeout(Duration::from_secs(60)).unwrap();
    send(&ToPlugin::Stop { token: 3 });
    assert_eq!(plugin.join().unwrap(), 0);
    drop(alone);
    count
}

#[test]
fn a_loop_of_its_own_serves_timers_and_descriptors_without_one_allocation() {
    assert_eq!(count("timers", |_| {}), 0);
}

#[test]
fn a_loop_of_its_own_serves_messages_of_the_peer_without_one_allocation() {
    let allocated = count("peer", |link| {
        rustix::io::write(link, &[UP, 0, 0, 0, 1]).unwrap();
        let mut buffer = [0; 1024];
        for _ in 0..ROUNDS {
            while rustix::io::write(link, &[MESSAGE, 1, 2, 3]).is_err() {
                thread::sleep(Duration::from_micros(50));
            }
            while rustix::io::read(link, &mut buffer).is_ok() {}
        }
    });
    assert_eq!(allocated, 0);
}
