//! Asserts that a plugin's loop handles few records of a channel and few messages of the daemon between two checks of
//! its timers.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use spared_contract::channel::{MESSAGE, UP};
use spared_contract::{ConfigTable, ConfigValue, Role, RoleEvent, Surroundings, ToPlugin};
use spared_sdk::config::Config;
use spared_sdk::run::{Parts, run};
use spared_sdk::{Applied, Error, Host, Peer, Plugin, Progress, Roles, Token};

/// Channel on which a plugin reports the maximum number of calls between two timers.
static SAID: Mutex<Option<Sender<u64>>> = Mutex::new(None);

/// Plugin whose timer is always due, while it gets more calls than it can handle.
struct Flooded {
    host: Host,
    settings: Settings,
    since_timer: u64,
    most: u64,
}

#[derive(Default)]
struct Settings {
    /// Number of calls that are still to come.
    left: u64,
    /// Duration of each call.
    nap: Duration,
}

impl Flooded {
    fn is_called(&mut self) {
        self.since_timer += 1;
        self.most = self.most.max(self.since_timer);
        thread::sleep(self.settings.nap);
        self.settings.left -= 1;
        if self.settings.left == 0 {
            let said = SAID.lock().unwrap_or_else(PoisonError::into_inner).take();
            said.unwrap().send(self.most).unwrap();
        }
    }
}

impl Plugin for Flooded {
    type Settings = Settings;

    fn create(host: Host) -> Result<Self, Error> {
        Ok(Self {
            host,
            settings: Settings::default(),
            since_timer: 0,
            most: 0,
        })
    }

    fn read(config: &Config) -> Result<Settings, Error> {
        let root = config.root();
        Ok(Settings {
            left: root.integer("calls", 1..=1000).unwrap_or_default(),
            nap: Duration::from_millis(root.integer("nap_ms", 0..=10).unwrap_or_default()),
        })
    }

    fn configure(&mut self, settings: Settings) -> Result<Applied, Error> {
        self.settings = settings;
        Ok(Applied::Live)
    }

    fn start(&mut self, _token: Token) -> Result<Progress, Error> {
        self.host.timer(1, self.host.now())?;
        Ok(Progress::Done)
    }

    fn timer(&mut self, id: u32) {
        self.since_timer = 0;
        self.host.timer(id, self.host.now()).unwrap();
    }
}

impl Peer for Flooded {
    fn up(&mut self, _wire: u32) {}

    fn down(&mut self) {}

    fn message(&mut self, _message: &[u8]) {
        self.is_called();
    }
}

impl Roles for Flooded {
    fn role(&mut self, _event: &RoleEvent, _token: Token) -> Result<Progress, Error> {
        self.is_called();
        Ok(Progress::Done)
    }
}

fn tell(host: &OwnedFd, message: &ToPlugin) {
    spared_records::send(host.as_fd(), message, &[]).unwrap();
}

/// Maximum number of calls between two timers, while `calls` of them wait from the beginning: `flood` sends them.
fn most_between_timers(
    calls: i64,
    nap_ms: i64,
    flood: impl FnOnce(&OwnedFd) -> Option<OwnedFd>,
) -> u64 {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (said, heard) = channel();
    *SAID.lock().unwrap() = Some(said);
    let (host, theirs) = spared_records::pair().unwrap();
    let keys = [("calls", calls), ("nap_ms", nap_ms)];
    let keys = keys.map(|(key, number)| (key.to_owned(), ConfigValue::Integer(number)));
    tell(
        &host,
        &ToPlugin::Configure {
            token: 1,
            table: ConfigTable(keys.into()),
            check: false,
            surroundings: Surroundings::default(),
        },
    );
    tell(&host, &ToPlugin::Start { token: 2 });
    let link = flood(&host);
    let plugin = thread::spawn(|| run::<Flooded>(theirs, Parts::NONE.peer().roles()));
    let most = heard.recv_timeout(Duration::from_secs(60)).unwrap();
    tell(&host, &ToPlugin::Stop { token: 3 });
    assert_eq!(plugin.join().unwrap(), 0);
    drop((link, alone));
    most
}

/// Creates a channel in which this number of messages of the peer wait.
fn with_messages(count: i64) -> impl FnOnce(&OwnedFd) -> Option<OwnedFd> {
    move |host| {
        let (link, channel) = spared_records::pair().unwrap();
        rustix::io::write(&link, &[UP, 0, 0, 0, 1]).unwrap();
        for _ in 0..count {
            rustix::io::write(&link, &[MESSAGE, 1, 2, 3]).unwrap();
        }
        spared_records::send(host.as_fd(), &ToPlugin::Channel, &[channel.as_fd()]).unwrap();
        Some(link)
    }
}

#[test]
fn a_loop_of_its_own_serves_few_records_between_two_timers() {
    let most = most_between_timers(400, 0, with_messages(400));
    assert!((1..=32).contains(&most), "{most}");
}

#[test]
fn a_loop_of_its_own_serves_one_record_that_takes_long_between_two_timers() {
    assert_eq!(most_between_timers(20, 2, with_messages(20)), 1);
}

#[test]
fn a_loop_of_its_own_serves_few_messages_of_the_daemon_between_two_timers() {
    let most = most_between_timers(200, 0, |host| {
        for number in 0..200 {
            let event = RoleEvent {
                group: format!("group {number}"),
                role: Role::Active,
                ..RoleEvent::default()
            };
            let token = 10 + number;
            tell(host, &ToPlugin::Role { token, event });
        }
        None
    });
    assert!((1..=16).contains(&most), "{most}");
}
