//! Uses up a resource.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::Duration;

use spared_abi::Status;

use crate::host::say;

/// A count at which there is no limit.
const MANY: usize = 5000;
/// Lifetime of the children, so that none is left behind.
const LIFE_S: u32 = 6;

pub fn descriptors() -> Status {
    let mut opened = 0;
    while let Ok(file) = File::open("/dev/null") {
        std::mem::forget(file);
        opened += 1;
        if opened > MANY {
            say("ALLOWED: thousands of descriptors");
            return 0;
        }
    }
    say(&format!("denied: more than {opened} descriptors"));
    0
}

pub fn processes() -> Status {
    let mut started = 0;
    while started < MANY {
        // SAFETY: the child only waits for its end.
        match unsafe { libc::fork() } {
            -1 => {
                say(&format!("denied: more than {started} processes"));
                return 0;
            }
            // SAFETY: numbers only.
            0 => unsafe {
                libc::alarm(LIFE_S);
                libc::pause();
                libc::_exit(0)
            },
            _ => started += 1,
        }
    }
    say("ALLOWED: thousands of processes");
    0
}

pub fn threads() -> Status {
    let mut started = 0;
    let life = Duration::from_secs(LIFE_S.into());
    while started < MANY {
        let builder = thread::Builder::new().stack_size(64 * 1024);
        if builder.spawn(move || thread::sleep(life)).is_err() {
            say(&format!("denied: more than {started} threads"));
            return 0;
        }
        started += 1;
    }
    say("ALLOWED: thousands of threads");
    0
}

/// More than a plugin may have on any machine, in pieces that are used.
const PIECE: usize = 4 << 20;

pub fn memory() -> Status {
    for _ in 0..2000 {
        std::mem::forget(std::hint::black_box(vec![1u8; PIECE]));
    }
    say("ALLOWED: gigabytes of memory");
    0
}

/// Memory of children, each within the limit of a process.
pub fn memory_of_children() -> Status {
    const CHILDREN: usize = 20;
    let Ok((mut full, mut tell)) = UnixStream::pair() else {
        return 0;
    };
    for _ in 0..CHILDREN {
        // SAFETY: the child uses memory of its own and waits for its end.
        if unsafe { libc::fork() } == 0 {
            std::mem::forget(std::hint::black_box(vec![1u8; 4 * PIECE]));
            let _ = tell.write_all(&[1]);
            // SAFETY: numbers only.
            unsafe {
                libc::alarm(LIFE_S);
                libc::pause();
                libc::_exit(0)
            }
        }
    }
    drop(tell);
    thread::spawn(move || {
        if full.read_exact(&mut [0; CHILDREN]).is_ok() {
            say("ALLOWED: as much memory as children can have");
        }
    });
    0
}

/// Memory in one piece, which is never used.
pub fn memory_at_once() -> Status {
    let piece = Vec::<u8>::with_capacity(2000 * PIECE);
    std::mem::forget(std::hint::black_box(piece));
    say("ALLOWED: gigabytes of memory");
    0
}
