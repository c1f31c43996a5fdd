//! Test bed for a server's thread; leases and rows as inputs.

use std::cell::{Cell, RefCell};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use spared_dhcp::codec::Format;
use spared_dhcp::config;
use spared_dhcp::lease::{Change, Client, Key, Kind, Lease, Set, State};
use spared_dhcp::server::{Command, Event, Server, Stamp};

pub const LONG: Duration = Duration::from_secs(10);
/// Longer than the thread's own timers after a write.
pub const SOME: Duration = Duration::from_millis(300);

pub struct Fixture {
    pub server: Server,
    /// Stamp of the file that the thread reported before its last event.
    pub stamp: Cell<Option<Stamp>>,
    /// Fault of its configuration, and its pools, as last reported.
    pub setup: RefCell<(Option<String>, Option<Vec<String>>)>,
    woken: Receiver<()>,
    serial: u64,
}

impl Fixture {
    pub fn open(settings: config::Server) -> Self {
        let (tell, woken) = channel();
        let wake = move || {
            let _ = tell.send(());
        };
        Self {
            server: Server::open(settings, wake).unwrap(),
            stamp: Cell::new(None),
            setup: RefCell::default(),
            woken,
            serial: 0,
        }
    }

    /// Returns the next event, which must come.
    pub fn next(&self) -> Event {
        self.next_in(LONG).expect("an event")
    }

    pub fn next_in(&self, time: Duration) -> Option<Event> {
        let until = Instant::now() + time;
        loop {
            match self.server.poll() {
                // sent after each write, by whatever process
                Some(Event::Stamp(stamp)) => {
                    self.stamp.set(Some(stamp));
                    continue;
                }
                // reports about its configuration, which only one of these tests changes
                Some(Event::Setup { fault, pools }) => {
                    self.setup.replace((fault, pools));
                    continue;
                }
                Some(event) => return Some(event),
                None => {}
            }
            let left = until.checked_duration_since(Instant::now())?;
            let _ = self.woken.recv_timeout(left);
        }
    }

    /// Returns the first result of `pick`; earlier events are skipped.
    pub fn until<T>(&self, mut pick: impl FnMut(Event) -> Option<T>) -> T {
        let mut before = Vec::new();
        let until = Instant::now() + LONG;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            let Some(event) = self.next_in(left) else {
                break;
            };
            before.push(format!("{event:.200?}"));
            if let Some(picked) = pick(event) {
                return picked;
            }
        }
        panic!("not among {before:#?}");
    }

    pub fn reading(&self) -> (Set, Option<String>) {
        self.until(|event| match event {
            Event::Reading { set, broken } => Some((set, broken)),
            _ => None,
        })
    }

    pub fn changes(&self) -> Vec<Change> {
        self.until(|event| match event {
            Event::Changes(changes) => Some(changes),
            _ => None,
        })
    }

    /// Returns the addresses of changes, signed, after any number of `again`: a client that was not answered in time
    /// has asked again.
    pub fn signs_behind(&self, again: &[i32]) -> Vec<i32> {
        self.until(|event| match event {
            Event::Changes(changes) => {
                let mut signs = signs(&changes);
                signs.dedup();
                signs.retain(|sign| !again.contains(sign));
                (!signs.is_empty()).then_some(signs)
            }
            _ => None,
        })
    }

    pub fn runs(&self, wanted: (bool, bool)) {
        self.until(|event| match event {
            Event::Runs { runs, live } => ((runs, live) == wanted).then_some(()),
            _ => None,
        });
    }

    /// Waits until no more events come: a client that was not answered in time has asked twice.
    pub fn rest(&self) {
        while self.next_in(SOME).is_some() {}
    }

    /// Checks that no changes are reported during this time.
    pub fn quiet(&self) {
        let until = Instant::now() + SOME;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if let Some(event) = self.next_in(left) {
                assert!(
                    matches!(event, Event::Runs { .. }),
                    "unexpected: {event:.300?}"
                );
            }
        }
    }

    /// Sends the command and waits for its end; also returns earlier events.
    pub fn ask(&mut self, command: impl FnOnce(u64) -> Command) -> Answer {
        self.serial += 1;
        self.server.command(command(self.serial));
        let mut before = Vec::new();
        loop {
            match self
                .next_in(Duration::from_secs(60))
                .expect("the end of a command")
            {
                Event::Done {
                    serial,
                    result,
                    refused,
                } => {
                    assert_eq!(serial, self.serial);
                    return Answer {
                        result,
                        refused,
                        before,
                    };
                }
                other => before.push(other),
            }
        }
    }

    /// Sends the command until it succeeds, as a role does.
    pub fn insist(&mut self, command: impl Fn(u64) -> Command) {
        let until = Instant::now() + LONG;
        while let Err(why) = self.ask(&command).result {
            assert!(Instant::now() < until, "{why}");
            sleep(SOME);
        }
    }

    pub fn replace(&mut self, set: Set) -> Result<(), String> {
        self.ask(|serial| Command::Replace { serial, set }).result
    }

    pub fn apply(&mut self, changes: Vec<Change>) -> Answer {
        self.ask(|serial| Command::Apply { serial, changes })
    }
}

pub struct Answer {
    pub result: Result<(), String>,
    pub refused: Vec<(Key, String)>,
    pub before: Vec<Event>,
}

/// Settings of a server whose configuration is not read.
pub fn settings(format: Format, leases: &Path) -> config::Server {
    config::Server {
        name: "test".to_owned(),
        format,
        config: PathBuf::from("/nonexistent/configuration"),
        leases: Some(leases.to_owned()),
        socket: None,
        server_id: None,
        bus_name: None,
        bus: None,
        service: String::new(),
        warm: false,
        allow_empty: false,
    }
}

pub const HEADER4: &str = "address,hwaddr,client_id,valid_lifetime,expire,subnet_id,fqdn_fwd,\
                           fqdn_rev,hostname,state,user_context\n";

pub fn unix_s() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs()
}

/// Row of Kea for 192.0.2.`host`.
pub fn row(host: u8, left_s: u64) -> String {
    let expire = unix_s() + left_s;
    format!("192.0.2.{host},02:00:00:00:00:{host:02x},,600,{expire},1,0,0,h{host},0,\n")
}

/// Row that deletes it.
pub fn gone_row(host: u8) -> String {
    format!(
        "192.0.2.{host},02:00:00:00:00:{host:02x},,0,{},1,0,0,,0,\n",
        unix_s()
    )
}

/// Line of dnsmasq.
pub fn line(host: u8, expire: u64) -> String {
    format!("{expire} 02:00:00:00:00:{host:02x} 192.0.2.{host} h{host} *\n")
}

/// Creates the file with all of its text at once: a read of the empty file would be a reading of its own.
pub fn appear(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

pub fn append(path: &Path, text: &str) {
    let mut file = File::options().append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

pub fn key4(host: u8) -> Key {
    Key {
        kind: Kind::V4,
        address: [192, 0, 2, host].into(),
        prefix: 32,
    }
}

/// Returns the last byte of each address.
pub fn hosts(set: &Set) -> Vec<u8> {
    set.leases.keys().map(host).collect()
}

pub fn host(key: &Key) -> u8 {
    match key.address {
        std::net::IpAddr::V4(address) => address.octets()[3],
        std::net::IpAddr::V6(address) => address.octets()[15],
    }
}

/// Returns the last bytes, negative for deletions: 7, -7.
pub fn signs(changes: &[Change]) -> Vec<i32> {
    let sign = |change: &Change| match change {
        Change::Put(_) => i32::from(host(&change.key())),
        Change::Gone { .. } => -i32::from(host(&change.key())),
    };
    changes.iter().map(sign).collect()
}

pub fn monotonic_ns() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

pub fn lease4(key: Key, left_s: u32) -> Lease {
    let address = match key.address {
        std::net::IpAddr::V4(address) => address.octets(),
        std::net::IpAddr::V6(_) => unreachable!(),
    };
    let now_ns = monotonic_ns();
    Lease {
        key,
        client: Client {
            hardware_type: 1,
            hardware: [&[2, 0], &address[..]].concat(),
            id: [&[1, 2, 0], &address[..]].concat(),
            iaid: 0,
        },
        hostname: format!("h{}", address[3]).into_bytes(),
        state: State::Leased,
        valid_s: left_s,
        preferred_s: 0,
        expires_ns: Some(now_ns + i64::from(left_s) * 1_000_000_000),
        committed_ns: now_ns,
        extra: [("subnet_id".to_owned(), "1".to_owned())].into(),
    }
}

pub fn set_of(leases: impl IntoIterator<Item = Lease>) -> Set {
    Set {
        leases: leases.into_iter().map(|lease| (lease.key, lease)).collect(),
        identity: None,
    }
}
