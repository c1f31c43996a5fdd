//! Texts, numbers and calls that no loop of a plugin would send.

use std::sync::atomic::Ordering;

use spared_abi::Status;
use spared_contract::{Call, FromPlugin, LogLevel, Row, Value};
use spared_process::child::SOCKET_FD;

use crate::act::TOKEN;
use crate::host::{call, done, log, say, say_status};
use crate::records;

/// A line of log that is no UTF-8: {0: 4, 1: {0: 3, 1: text}}.
pub fn log_no_utf8() -> Status {
    records::transmit(
        SOCKET_FD,
        b"\xa2\x00\x04\x01\xa2\x00\x03\x01\x63\xc0\x80\xff",
    );
    0
}

/// A line that looks as if the host had written it.
pub fn log_forged() -> Status {
    let text = "mine\nERROR vrrp: forged by a plugin\x1b[2J\r\x07\u{9b}31m";
    log(LogLevel::Error, text);
    log(LogLevel::Event, text);
    0
}

/// A line of the level 77, which is none.
pub fn log_level() -> Status {
    let head = b"\xa2\x00\x04\x01\xa2\x00\x18\x4d\x01\x77";
    let record = [&head[..], b"of a level that is none"].concat();
    records::transmit(SOCKET_FD, &record);
    0
}

pub fn log_long() -> Status {
    log(LogLevel::Info, &"long ".repeat(20_000));
    0
}

// ---- answers

fn token() -> u64 {
    TOKEN.load(Ordering::Relaxed)
}

fn put(rows: Vec<Row>) {
    records::send(&FromPlugin::Returned {
        token: token(),
        status: 0,
        failures: Vec::new(),
        rows,
        missing: false,
    });
}

pub fn put_too_much() -> Status {
    let row = Row {
        key: "much".to_owned(),
        value: Value::Text("x".repeat(10_000)),
    };
    put(vec![row; 15]);
    say("150 kB of rows: passed over");
    1
}

pub fn put_forged() -> Status {
    let row = Row {
        key: "role\nforged".to_owned(),
        value: Value::Text("\x1b[2J\nr1: OK\u{202e}".to_owned()),
    };
    put(vec![row]);
    say("rows of control characters: taken");
    1
}

pub fn done_unasked() -> Status {
    for token in 0..1000 {
        done(token, 0);
    }
    done(u64::MAX, i32::MIN);
    say("done unasked: passed over");
    0
}

pub fn done_twice() -> Status {
    done(token(), 0);
    done(token(), -libc::EIO);
    say("done twice: passed over");
    1
}

pub fn done_77() -> Status {
    done(token(), 77);
    1
}

pub fn sync_long() -> Status {
    let why = "\x1b[2J not in sync\n".repeat(6000);
    records::send(&FromPlugin::InSync { yes: false, why });
    say("in_sync of 100 kB: passed over");
    0
}

pub fn follow_path() -> Status {
    let follow = |interface: String| {
        call(Call::Follow {
            interface,
            sockets: u32::MAX,
        })
    };
    follow("a".repeat(1 << 16));
    say_status("follow", follow("../../etc/passwd".to_owned()))
}
