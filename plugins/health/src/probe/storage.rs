//! Checks the free space on a file system, and that it can be written.

use std::path::{Path, PathBuf};

use rustix::fs::{StatVfs, statvfs};

use super::{Root, bounded};
use crate::config::Amount;
use crate::engine::Finding;

/// Maximum length of the list of mounts in bytes: a machine full of containers has thousands.
const MOUNTS_MAX: u64 = 4 << 20;

pub(super) fn free(path: &Path, min_free: Amount) -> Finding {
    let about = match statvfs(path) {
        Ok(about) => about,
        Err(errno) => return Finding::failed(format!("cannot be examined: {errno}")),
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
        Finding::failed(format!("{words}, the minimum is {wanted}"))
    }
}

/// Space available to ordinary users, in bytes and as a share, as df computes it.
fn free_space(about: &StatVfs) -> (u64, u64) {
    let free = about.f_bavail.saturating_mul(about.f_frsize);
    let used = about.f_blocks.saturating_sub(about.f_bfree);
    let whole = used.saturating_add(about.f_bavail).max(1);
    (free, about.f_bavail.saturating_mul(100) / whole)
}

/// Checks the file system's own read-only flag: the mounts that this plugin sees are read-only because of its sandbox.
pub(super) fn writable(root: &Root, path: &Path) -> Finding {
    let real = match std::fs::canonicalize(path) {
        Ok(real) => real,
        Err(error) => return Finding::failed(format!("cannot be examined: {error}")),
    };
    let table = match bounded(&root.join("/proc/self/mountinfo"), MOUNTS_MAX) {
        Ok(table) => table,
        Err(error) => return Finding::failed(format!("cannot read the mounts: {error}")),
    };
    match options(&String::from_utf8_lossy(&table), &real) {
        None => Finding::failed("is on no file system"),
        Some(options) if options.split(',').any(|option| option == "ro") => {
            Finding::failed("the file system is read-only")
        }
        Some(_) => Finding::good("the file system is writable"),
    }
}

/// Options of the file system that contains `path`: proc_pid_mountinfo(5). Later lines are mounted over earlier ones.
fn options<'t>(table: &'t str, path: &Path) -> Option<&'t str> {
    let mounts = table.lines().filter_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let point = PathBuf::from(unescaped(mount.split(' ').nth(4)?));
        let depth = point.components().count();
        let options = file_system.split(' ').nth(2)?;
        path.starts_with(&point).then_some((depth, options))
    });
    mounts
        .max_by_key(|(depth, _)| *depth)
        .map(|(_, options)| options)
}

/// Decodes blanks, which are written as octal numbers.
fn unescaped(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
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

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
        22 1 8:1 / / ro,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro\n\
        23 22 8:2 / /var rw - ext4 /dev/sda2 ro,errors=remount-ro\n\
        24 23 8:3 / /var/a\\040b rw - xfs /dev/sda3 rw,attr2\n\
        25 22 0:5 / /mnt rw - tmpfs none ro\n\
        26 22 0:6 / /mnt rw - tmpfs none rw\n";

    #[test]
    fn the_file_system_s_flag_counts_and_not_the_mount_s() {
        for (path, wanted) in [
            ("/etc", "rw,errors=remount-ro"),
            ("/variable", "rw,errors=remount-ro"),
            ("/var/log", "ro,errors=remount-ro"),
            ("/var/a b/c", "rw,attr2"),
            ("/mnt/x", "rw"),
        ] {
            assert_eq!(options(TABLE, Path::new(path)), Some(wanted), "{path}");
        }
        assert_eq!(options("nonsense\n - \n", Path::new("/")), None);
    }
}
