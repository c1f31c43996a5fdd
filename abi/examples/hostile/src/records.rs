//! Its own records on the host's socket, and misuse of that socket.

use std::os::fd::{AsRawFd, RawFd};
use std::thread;
use std::time::{Duration, Instant};

use spared_abi::Status;
use spared_contract::codec::MESSAGE_MAX;
use spared_contract::{Call, Descriptor, Failure, FromPlugin, LogLevel, Row, Scope, Value};
use spared_process::child::SOCKET_FD;

use crate::end;
use crate::host::{again, say};

/// How long what must arrive waits for room.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sends one record; false if there is no room.
pub fn transmit(socket: RawFd, record: &[u8]) -> bool {
    // SAFETY: the record lives through the call.
    unsafe {
        libc::send(
            socket,
            record.as_ptr().cast(),
            record.len(),
            libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL,
        ) >= 0
    }
}

/// Sends a message; false if there is no room.
pub fn send(message: &FromPlugin) -> bool {
    let record = spared_records::encode(message).unwrap_or_default();
    transmit(SOCKET_FD, &record)
}

/// Sends a message, after a while if there is no room.
pub fn send_surely(message: &FromPlugin) {
    let until = Instant::now() + PATIENCE;
    while !send(message) && Instant::now() < until {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Pseudo-random bytes, the same in each run.
pub fn noise(seed: u64) -> impl Iterator<Item = u8> {
    let mut state = seed | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
}

pub fn random() -> Status {
    for seed in 1..1000u64 {
        let length = usize::try_from(seed * 97 % 3000).unwrap_or(1) + 1;
        let record: Vec<u8> = noise(seed).take(length).collect();
        transmit(SOCKET_FD, &record);
    }
    again()
}

pub fn empty() -> Status {
    transmit(SOCKET_FD, &[]);
    again()
}

fn long_line() -> FromPlugin {
    FromPlugin::Log {
        level: LogLevel::Info,
        text: "x".repeat(1000),
    }
}

pub fn cut() -> Status {
    let record = spared_records::encode(&long_line()).unwrap_or_default();
    (1..record.len()).for_each(|length| {
        transmit(SOCKET_FD, &record[..length]);
    });
    again()
}

pub fn too_long() -> Status {
    transmit(SOCKET_FD, &vec![3; MESSAGE_MAX + 1]);
    transmit(SOCKET_FD, &vec![3; 700_000]);
    again()
}

/// Unrequested descriptors, up to as many as one record can carry.
pub fn descriptors() -> Status {
    let file = std::fs::File::open("/dev/null");
    let Ok(file) = file else { return 0 };
    let numbers = [file.as_raw_fd(); 253];
    let line = spared_records::encode(&long_line()).unwrap_or_default();
    for count in [16, 253] {
        send_with(SOCKET_FD, &line, &numbers[..count]);
    }
    again()
}

pub fn send_with(socket: RawFd, record: &[u8], numbers: &[i32]) {
    let bytes = u32::try_from(size_of_val(numbers)).unwrap_or(0);
    // SAFETY: the buffer has room for the header and the numbers, and lives through the call.
    unsafe {
        let mut control = vec![0u64; libc::CMSG_SPACE(bytes) as usize / 8 + 1];
        let mut part = libc::iovec {
            iov_base: record.as_ptr().cast_mut().cast(),
            iov_len: record.len(),
        };
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(bytes) as _;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(bytes) as _;
        let data = libc::CMSG_DATA(header).cast::<i32>();
        std::ptr::copy_nonoverlapping(numbers.as_ptr(), data, numbers.len());
        libc::sendmsg(socket, &raw const message, 0);
    }
}

/// Reports to be loaded again, as another plugin with all rights.
pub fn loaded() -> Status {
    let descriptor = Descriptor {
        name: "vrrp".to_owned(),
        version: "\x1b[2J".to_owned(),
        vendor: "v".repeat(60_000),
        summary: String::new(),
        flags: u32::MAX,
        wire_min: u32::MAX,
        wire_max: 0,
        capabilities: u64::MAX,
        calls: u32::MAX,
        paths: vec!["+/".to_owned(); 100],
        has_drain: true,
        has_settle: true,
        has_role: true,
        verbs: Vec::new(),
        provides_groups: true,
        has_peer: true,
        has_identity: true,
        partners: vec!["vrrp".to_owned(); 1000],
    };
    send(&FromPlugin::Loaded(Ok(descriptor)));
    send(&FromPlugin::Loaded(Err("\x1b[2J".repeat(1000))));
    0
}

/// Answers to calls that were never made, and to all that were.
pub fn returned() -> Status {
    let failure = Failure {
        key: "k".repeat(10_000),
        why: "\x1b[2J\nforged".repeat(1000),
    };
    let row = Row {
        key: "office.role".to_owned(),
        value: Value::Text("active".repeat(1000)),
    };
    for token in (0..2000).chain([u64::MAX]) {
        send(&FromPlugin::Returned {
            token,
            status: 0,
            failures: vec![failure.clone()],
            rows: vec![row.clone()],
            missing: true,
        });
    }
    say("answers to no question: passed over");
    0
}

/// Invalid statuses that bypass the worker's own check.
pub fn status() -> Status {
    for token in 0..4000 {
        send(&FromPlugin::Returned {
            token,
            status: i32::MIN,
            failures: Vec::new(),
            rows: Vec::new(),
            missing: false,
        });
    }
    say("statuses that are none: passed over");
    0
}

pub fn call() -> Status {
    for number in [0, u64::MAX] {
        for groups in [
            vec!["office\n\x1b[2J".repeat(5000)],
            vec!["office".to_owned(); 20_000],
            vec![],
        ] {
            send(&FromPlugin::Call {
                number,
                call: Call::Announce { groups },
            });
        }
        send(&FromPlugin::Call {
            number,
            call: Call::Follow {
                interface: "/../".repeat(10_000),
                sockets: u32::MAX,
            },
        });
        send(&FromPlugin::Call {
            number,
            call: Call::Claim {
                groups: vec![("office".to_owned(), None); 2],
            },
        });
    }
    say("calls of nobody: refused");
    0
}

pub fn check() -> Status {
    for (name, weight, state) in [
        ("\x1b[2J", u32::MAX, u32::MAX - 1),
        ("", 0, 0),
        ("lan", u32::MAX, 100),
    ] {
        send(&FromPlugin::Check {
            name: name.to_owned(),
            weight,
            state,
            why: "w\n".repeat(60_000),
            points: u32::MAX,
        });
    }
    send(&FromPlugin::ForgetCheck {
        name: "n".repeat(150_000),
    });
    say("checks that are none: passed over");
    0
}

pub fn scopes() -> Status {
    let scopes = (0..10_000)
        .map(|number| (format!("key.{number}\x1b"), Scope::Local))
        .collect();
    send(&FromPlugin::Scopes { scopes });
    send(&FromPlugin::Scopes {
        scopes: vec![("k.".repeat(60_000), Scope::Secret)],
    });
    say("scopes of no file: passed over");
    0
}

pub fn pong() -> Status {
    for number in [0, 1, 1 << 40, u64::MAX] {
        send(&FromPlugin::Pong {
            slow_calls: u64::MAX,
            number,
        });
    }
    end::hang()
}

/// Answers all pings while the callback does not return.
pub fn pong_for_ever() -> Status {
    let since = Instant::now();
    loop {
        let passed = since.elapsed().as_secs();
        for number in passed..passed + 20 {
            send(&FromPlugin::Pong {
                slow_calls: 0,
                number,
            });
        }
        thread::sleep(Duration::from_millis(100));
    }
}

pub fn log() -> Status {
    send(&FromPlugin::Log {
        level: LogLevel::Warn,
        text: "\x1b[2J\nERROR vrrp: forged ".repeat(7000),
    });
    0
}

pub fn socket_closed() -> Status {
    // SAFETY: numbers only; closing the worker's descriptors is the purpose.
    unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0) };
    end::hang()
}

pub fn socket_shut() -> Status {
    // SAFETY: numbers only.
    unsafe { libc::shutdown(SOCKET_FD, libc::SHUT_RDWR) };
    end::hang()
}

pub fn socket_replaced() -> Status {
    // SAFETY: numbers only.
    unsafe { libc::dup2(0, SOCKET_FD) };
    0
}

/// A child that keeps using the socket after the worker's end.
pub fn socket_successor() -> Status {
    // SAFETY: the child makes only these calls.
    unsafe {
        if libc::fork() != 0 {
            libc::_exit(0);
        }
        libc::alarm(6);
        let record = spared_records::encode(&long_line()).unwrap_or_default();
        loop {
            libc::usleep(1000);
            transmit(SOCKET_FD, &record);
        }
    }
}
