//! Floods: as much as possible, as fast as possible.

use std::io::Write;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};

use spared_abi::Status;
use spared_contract::channel::{MESSAGE, SIGN};
use spared_contract::{Call, FromPlugin, LogLevel};
use spared_process::child::SOCKET_FD;

use crate::host::{again, call};
use crate::{behaviour, records, run};

/// Lines until there is no room for more.
fn lines(level: LogLevel, text: &str) -> Status {
    let text = text.to_owned();
    let line = FromPlugin::Log { level, text };
    let _ = (0..1000).all(|_| records::send(&line));
    again()
}

pub fn log() -> Status {
    lines(LogLevel::Info, "a line of a flood")
}

pub fn events() -> Status {
    lines(LogLevel::Conflict, "office: a flood")
}

pub fn errors() -> Status {
    for _ in 0..1000 {
        eprintln!("a line of a flood");
    }
    again()
}

/// Writes to stderr without a line feed.
pub fn errors_endless() -> Status {
    let bytes = [b'x'; 65_536];
    while std::io::stderr().write_all(&bytes).is_ok() {}
    0
}

fn follow_one(interface: String) {
    call(Call::Follow {
        interface,
        sockets: 0,
    });
}

/// Calls that wait for the host.
pub fn calls() -> Status {
    for _ in 0..100 {
        follow_one("lan".to_owned());
    }
    again()
}

/// Follows interfaces that do not exist.
pub fn follow() -> Status {
    for number in 0..1000 {
        follow_one(format!("no{number}"));
    }
    again()
}

fn report(name: String, number: u32) -> bool {
    records::send(&FromPlugin::Check {
        name,
        weight: 0,
        state: number % 101,
        why: "of a flood".to_owned(),
        points: 0,
    })
}

pub fn checks() -> Status {
    let _ = (0..3000).all(|number| report(format!("check {number}"), number));
    again()
}

/// Reports one check again and again.
pub fn check() -> Status {
    let _ = (0..3000).all(|number| report("one".to_owned(), number));
    again()
}

pub fn sync() -> Status {
    let why = "not in sync ".repeat(5000);
    let report = |number| {
        records::send(&FromPlugin::InSync {
            yes: number % 2 == 1,
            why: why.clone(),
        })
    };
    let _ = (0..1000).all(report);
    again()
}

static IS_UP: AtomicBool = AtomicBool::new(false);

/// Begins when the peer plugin is connected.
pub fn begin_messages() {
    IS_UP.store(true, Ordering::Relaxed);
    if behaviour().is_some_and(|it| it.is_of("flood-send")) {
        again();
    }
}

fn flood_channel(record: &[u8]) -> Status {
    if let Some(channel) = run::channel() {
        for _ in 0..100 {
            records::transmit(channel, record);
        }
    }
    if IS_UP.load(Ordering::Relaxed) {
        again()
    } else {
        crate::host::after_ns(100_000_000)
    }
}

pub fn send() -> Status {
    flood_channel(&[MESSAGE; 65_537])
}

pub fn sign() -> Status {
    let statement = [&[SIGN][..], &7u64.to_be_bytes(), b"a statement of a flood"];
    flood_channel(&statement.concat())
}

/// Datagrams to both nodes' ports of links and heartbeats, where everybody may send.
pub fn udp() -> Status {
    let Ok(socket) = UdpSocket::bind("0.0.0.0:0") else {
        return 0;
    };
    let bytes = [0xa5; 1400];
    for _ in 0..500 {
        for address in ["10.1.0.11", "10.1.0.12", "127.0.0.1"] {
            let _ = socket.send_to(&bytes, (address, 3780));
        }
    }
    again()
}

/// Lines of log, many at once.
pub fn records() -> Status {
    let line = FromPlugin::Log {
        level: LogLevel::Info,
        text: "a line of a flood".to_owned(),
    };
    let _ = (0..20_000).all(|_| records::send(&line));
    again()
}

/// Records of 64 kB, as fast as the host takes them.
pub fn large() -> Status {
    fill(&FromPlugin::InSync {
        yes: false,
        why: "w".repeat(65_000),
    })
}

/// Large messages without an end: it never returns.
pub fn endless() -> Status {
    loop {
        large();
    }
}

/// Short records, each of which has the host do something.
pub fn small() -> Status {
    fill(&FromPlugin::ForgetCheck {
        name: "none".to_owned(),
    })
}

/// Fills the socket, again and again, past the worker's own queue.
fn fill(message: &FromPlugin) -> Status {
    let record = spared_records::encode(message).unwrap_or_default();
    while records::transmit(SOCKET_FD, &record) {}
    again()
}
