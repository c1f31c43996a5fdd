//! Misuse of the channel to a partner, another copy of this library: NAME and NAME-back.

use std::ffi::{CString, c_char};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::sync::OnceLock;

use spared_abi::{self as abi, Bytes, Status};
use spared_contract::channel::{LOCAL_RECORD_MAX, MESSAGE};
use spared_process::child::SOCKET_FD;

use crate::host::{after_ns, again, ctx, half, say, say_status};
use crate::lie;
use crate::records::{noise, send_with, transmit};

const BACK: &str = "-back";
const NUMBERS_MAX: RawFd = 64;
/// More than an idle worker has.
const DESCRIPTORS_MAX: usize = 60;
const AGAIN_NS: u64 = 100_000_000;

/// The half of a copy, by its name.
pub fn half_of(name: &str, functions: abi::LocalPlugin) -> abi::LocalPlugin {
    static PARTNER: OnceLock<CString> = OnceLock::new();
    static LIST: OnceLock<usize> = OnceLock::new();
    let own = || CString::new(name).unwrap_or_default();
    let (count, partner) = match name {
        "partners-many" => (u32::MAX, own()),
        "partners-self" => (1, own()),
        "partners-path" => (1, c"../../etc/shadow".to_owned()),
        _ => (1, CString::new(other(name)).unwrap_or_default()),
    };
    let partner = PARTNER.get_or_init(|| partner).as_ptr();
    let list = || Box::leak(Box::new([partner])).as_ptr().expose_provenance();
    let list: *const *const c_char = ptr::with_exposed_provenance(*LIST.get_or_init(list));
    abi::LocalPlugin {
        partner_count: count,
        partners: match name {
            "partners-unmapped" => lie::unmapped(),
            _ => list,
        },
        ..functions
    }
}

fn other(name: &str) -> String {
    match name.strip_suffix(BACK) {
        Some(front) => front.to_owned(),
        None => format!("{name}{BACK}"),
    }
}

fn send(partner: u32, message: Bytes) -> Status {
    let send = half::<abi::Local>(abi::LOCAL).and_then(|half| half.send);
    // SAFETY: none, on purpose: the message may be invalid.
    send.map_or(0, |send| unsafe { send(ctx(), partner, message) })
}

pub fn flood() -> Status {
    let message = [0xa5; 65_536];
    let mut last = 0;
    for _ in 0..100 {
        last = send(0, Bytes::of(&message));
    }
    if last == -libc::EAGAIN {
        say_status("a flood of messages", last);
    }
    again()
}

pub fn null() -> Status {
    let null = Bytes {
        ptr: ptr::null(),
        len: usize::MAX,
    };
    say_status("a message of NULL", send(0, null))
}

pub fn too_long() -> Status {
    say_status("a long message", send(0, Bytes::of(&[0; 65_537])))
}

pub fn nobody() -> Status {
    say_status("a message to partner 7", send(7, Bytes::of(b"hello")))
}

/// Descriptors of channels to partners: connected sockets of records.
fn channels() -> impl Iterator<Item = RawFd> {
    (SOCKET_FD + 1..NUMBERS_MAX).filter(|fd| {
        let (mut kind, mut length) = (0, size_of::<i32>() as libc::socklen_t);
        // SAFETY: the option is as long as its length says.
        let status = unsafe {
            let out = (&raw mut kind).cast();
            libc::getsockopt(*fd, libc::SOL_SOCKET, libc::SO_TYPE, out, &raw mut length)
        };
        status == 0 && kind == libc::SOCK_SEQPACKET
    })
}

/// Sends a record past the worker, as soon as there is a channel.
fn record(record: &[u8]) -> Status {
    let Some(fd) = channels().next() else {
        return after_ns(AGAIN_NS);
    };
    transmit(fd, record);
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
    let Some(fd) = channels().next() else {
        return after_ns(AGAIN_NS);
    };
    for _ in 0..10 {
        send_with(fd, &[MESSAGE, 1], &[file.as_raw_fd(); 200]);
    }
    0
}

/// Called with each message.
pub fn received() -> Status {
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    match open > DESCRIPTORS_MAX {
        true => say("ALLOWED: descriptors came with a message"),
        false => say("a message, and nothing with it"),
    }
    0
}

pub fn nothing() -> Status {
    0
}
