//! Space on a file system, and whether it can still be written.

use std::path::Path;

use rustix::fs::{StatVfs, StatVfsMountFlags, statvfs};

use crate::config::Amount;
use crate::engine::Finding;

pub(super) fn free(path: &Path, min_free: Amount) -> Finding {
    let about = match statvfs(path) {
        Ok(about) => about,
        Err(errno) => return Finding::failed(format!("cannot be looked at: {errno}")),
    };
    let (free, percent) = free_space(&about);
    let (enough, wanted) = match min_free {
        Amount::Percent(least) => (percent >= least, format!("{least} %")),
        Amount::Bytes(least) => (free >= least, size(least)),
    };
    let words = format!("{} free, {percent} %", size(free));
    if enough {
        Finding::good(words)
    } else {
        Finding::failed(format!("{words}, wanted are {wanted}"))
    }
}

/// What ordinary users may still write, in bytes and of what they could: like df.
fn free_space(about: &StatVfs) -> (u64, u64) {
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    let used = about.f_blocks.saturating_sub(about.f_bfree);
    let whole = used.saturating_add(about.f_bavail).max(1);
    (free, about.f_bavail.saturating_mul(100) / whole)
}

pub(super) fn writable(path: &Path) -> Finding {
    match statvfs(path) {
        Ok(about) if about.f_flag.contains(StatVfsMountFlags::RDONLY) => {
            Finding::failed("the file system is read-only")
        }
        Ok(_) => Finding::good("the file system is writable"),
        Err(errno) => Finding::failed(format!("cannot be looked at: {errno}")),
    }
}

fn size(bytes: u64) -> String {
    const UNITS: [(u64, &str); 4] = [
        (1 << 40, "TiB"),
        (1 << 30, "GiB"),
        (1 << 20, "MiB"),
        (1 << 10, "KiB"),
    ];
    for (unit, name) in UNITS {
        if bytes >= unit {
            return format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit);
        }
    }
    format!("{bytes} B")
}
