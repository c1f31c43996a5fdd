//! Misuse of the channel to a partner, another copy of this library: NAME and NAME-back.

use std::os::fd::AsRawFd;

use spared_abi::Status;
use spared_contract::channel::{LOCAL_RECORD_MAX, MESSAGE};

use crate::host::{after_ns, again, say, say_status};
use crate::records::{noise, send_with, transmit};
use crate::run;

/// More than an idle worker has.
const DESCRIPTORS_MAX: usize = 60;
const AGAIN_NS: u64 = 100_000_000;

pub fn flood() -> Status {
    let Some(partner) = run::partner() else {
        return after_ns(AGAIN_NS);
    };
    let is_full = (0..100).any(|_| !transmit(partner, &[MESSAGE; 65_537]));
    if is_full {
        say_status("a flood of messages", -libc::EAGAIN);
    }
    again()
}

/// Sends a record as soon as there is a channel.
fn record(record: &[u8]) -> Status {
    let Some(partner) = run::partner() else {
        return after_ns(AGAIN_NS);
    };
    transmit(partner, record);
    0
}

pub fn random() -> Status {
    let mut bytes: Vec<u8> = noise(7).take(1000).collect();
    bytes[0] = !MESSAGE;
    record(&bytes)
}

pub fn long() -> Status {
    record(&vec![MESSAGE; LOCAL_RECORD_MAX + 1])
}

pub fn empty() -> Status {
    record(&[])
}

pub fn descriptors() -> Status {
    let Ok(file) = std::fs::File::open("/dev/null") else {
        return 0;
    };
    let Some(fd) = run::partner() else {
        return after_ns(AGAIN_NS);
    };
    for _ in 0..10 {
        send_with(fd, &[MESSAGE, 1], &[file.as_raw_fd(); 200]);
    }
    0
}

/// Called with each message.
pub fn received() {
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    if open > DESCRIPTORS_MAX {
        say("ALLOWED: descriptors came with a message");
    } else {
        say("a message, and nothing with it");
    }
}

pub fn nothing() -> Status {
    0
}
