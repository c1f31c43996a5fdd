//! Floods: as much as possible, as fast as possible.

use std::ffi::CString;
use std::io::Write;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};

use spared_abi::{self as abi, Bytes, Status, Str};
use spared_contract::{FromPlugin, LogLevel};
use spared_process::child::SOCKET_FD;

use crate::host::call;
use crate::host::{again, ctx, half};
use crate::{behaviour, lie, records};

pub fn log() -> Status {
    for _ in 0..1000 {
        crate::host::say("a line of a flood");
    }
    again()
}

pub fn events() -> Status {
    for _ in 0..1000 {
        crate::host::log(abi::LOG_CONFLICT, Str::of("office: a flood"));
    }
    again()
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

/// Calls that wait for the host.
pub fn calls() -> Status {
    for _ in 0..100 {
        lie::follow(c"lan".as_ptr(), abi::SOCKETS_NONE);
    }
    again()
}

/// Follows interfaces that do not exist.
pub fn follow() -> Status {
    for number in 0..1000 {
        let name = CString::new(format!("no{number}")).unwrap_or_default();
        lie::follow(name.as_ptr(), abi::SOCKETS_PING);
    }
    again()
}

pub fn checks() -> Status {
    for number in 0..3000 {
        let name = CString::new(format!("check {number}")).unwrap_or_default();
        lie::check(name.as_ptr(), 0, number % 101, Str::of("of a flood"));
    }
    again()
}

/// Reports one check again and again.
pub fn check() -> Status {
    for number in 0..3000 {
        lie::check(c"one".as_ptr(), 0, number % 101, Str::of("of a flood"));
    }
    again()
}

pub fn sync() -> Status {
    let in_sync = half::<abi::Peer>(abi::PEER).and_then(|half| half.in_sync);
    let why = "not in sync ".repeat(5000);
    for number in 0..1000 {
        // SAFETY: the contract.
        in_sync.map(|in_sync| unsafe { in_sync(ctx(), number % 2, Str::of(&why)) });
    }
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

pub fn send() -> Status {
    let send = half::<abi::Peer>(abi::PEER).and_then(|half| half.send);
    let message = [0xa5; 65_536];
    for _ in 0..100 {
        // SAFETY: the contract.
        send.map(|send| unsafe { send(ctx(), Bytes::of(&message)) });
    }
    match IS_UP.load(Ordering::Relaxed) {
        true => again(),
        false => crate::host::after_ns(100_000_000),
    }
}

pub fn sign() -> Status {
    for _ in 0..1000 {
        lie::sign(Bytes::of(b"a statement of a flood"));
    }
    again()
}

pub fn wake() -> Status {
    call!(wake);
    0
}

pub fn timer() -> Status {
    for id in 2..4000 {
        call!(timer, id, 1);
    }
    again()
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

/// Lines of log that bypass the worker's own limit.
pub fn records() -> Status {
    let line = FromPlugin::Log {
        level: LogLevel::Info,
        text: "a line of a flood".to_owned(),
    };
    for _ in 0..20_000 {
        records::send(&line);
    }
    again()
}

/// Records of 64 kB, as fast as the host takes them.
pub fn large() -> Status {
    fill(&FromPlugin::InSync {
        yes: false,
        why: "w".repeat(65_000),
    })
}

/// The same without an end: it never returns.
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
