//! Opens files that decide what a privileged process does. Refuses files that somebody else can write.

#[cfg(test)]
mod tests;

use std::fs;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, Stat, fstat, open, openat};
use rustix::io::Errno;

/// Opens `dir/name.so`, if only root or this user can write it and its folders.
///
/// # Errors
/// A sentence that says what is wrong and what to do.
pub fn open_plugin(dir: &Path, name: &str) -> Result<OwnedFd, String> {
    let path = dir.join(format!("{name}.so"));
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Err(format!(
            "no plugin of this name is installed ({}): `spared check` lists those that are",
            path.display()
        )),
        _ => open_checked(&path),
    }
}

/// Opens a file for reading. It must be a regular file, no symbolic link, owned by root (or by the user that runs
/// this). Nobody else may write it or any directory above it. The checks are made on what is opened, so that nothing
/// can be exchanged between check and use.
///
/// # Errors
/// A sentence that says what is wrong and what to do.
pub fn open_checked(path: &Path) -> Result<OwnedFd, String> {
    let shown = path.display();
    let name = path
        .file_name()
        .ok_or_else(|| format!("{shown}: is no file name"))?;
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let parent = fs::canonicalize(parent.unwrap_or(Path::new(".")))
        .map_err(|error| format!("{shown}: {error}"))?;
    let directory = open_directory(&parent)?;
    // Non-blocking, so that a FIFO in the file's place cannot block the caller.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = openat(&directory, name, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::LOOP => format!("{shown}: is a symbolic link; put the file itself there"),
        errno => format!("{shown}: {}", std::io::Error::from(errno)),
    })?;
    let stat = fstat(&file).map_err(|errno| format!("{shown}: {errno}"))?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(format!("{shown}: is not a regular file"));
    }
    check_owner(path, &stat, rustix::process::geteuid().as_raw())?;
    check_mode(path, &stat, false)?;
    Ok(file)
}

/// Opens a folder step by step from the root, each checked before the next.
fn open_directory(canonical: &Path) -> Result<OwnedFd, String> {
    let own = rustix::process::geteuid().as_raw();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut walked = PathBuf::from("/");
    let mut directory = open("/", flags, Mode::empty()).map_err(|errno| format!("/: {errno}"))?;
    let mut steps = canonical.components().filter_map(|step| match step {
        Component::Normal(name) => Some(name),
        _ => None,
    });
    loop {
        let step = steps.next();
        let stat = fstat(&directory).map_err(|errno| format!("{}: {errno}", walked.display()))?;
        check_owner(&walked, &stat, own)?;
        // In a sticky folder such as /tmp, others cannot replace our files.
        check_mode(&walked, &stat, step.is_some())?;
        let Some(step) = step else {
            return Ok(directory);
        };
        walked.push(step);
        directory = openat(&directory, step, flags, Mode::empty())
            .map_err(|errno| format!("{}: {errno}", walked.display()))?;
    }
}

fn check_owner(path: &Path, stat: &Stat, own: u32) -> Result<(), String> {
    let owner = stat.st_uid;
    if owner == 0 || owner == own || is_outside_namespace(owner) {
        return Ok(());
    }
    let shown = path.display();
    Err(format!(
        "{shown}: belongs to user {owner}, who could change it: chown root {shown}"
    ))
}

fn check_mode(path: &Path, stat: &Stat, sticky_will_do: bool) -> Result<(), String> {
    let mode = Mode::from_raw_mode(stat.st_mode);
    if sticky_will_do && mode.contains(Mode::SVTX) {
        return Ok(());
    }
    let shown = path.display();
    let both = Mode::WGRP | Mode::WOTH;
    for (bits, who, remedy) in [
        (both, "its group and everybody", "go-w"),
        (Mode::WGRP, "its group", "g-w"),
        (Mode::WOTH, "everybody", "o-w"),
    ] {
        if mode.contains(bits) {
            return Err(format!(
                "{shown}: is writable by {who}: chmod {remedy} {shown}"
            ));
        }
    }
    Ok(())
}

/// Returns true for the overflow user. In a user namespace every owner without a mapping, even the real root, appears
/// as that user. It is accepted: whoever created the namespace gains nothing that was not possible outside.
fn is_outside_namespace(owner: u32) -> bool {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse().ok();
    number("/proc/sys/kernel/overflowuid") == Some(owner)
        && fs::read_to_string("/proc/self/uid_map")
            .is_ok_and(|map| map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"])
}
