//! Detects whether a process has a file open for writing.
//!
//! The kernel grants a read lease (`fcntl(2)`, F_SETLEASE) only on a file that no process has open for writing. This is
//! exact for all accounts and namespaces. The lease is requested and returned at once.
#![allow(
    unsafe_code,
    reason = "no crate has a safe F_SETLEASE; it is one call without memory"
)]

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;

use rustix::io::Errno;

use super::opened::Opened;

/// Linux's value, which the crate libc lacks.
const F_SETSIG: i32 = 10;
/// File system types of magic.h.
const NFS: u32 = 0x6969;
const CIFS: u32 = 0xFF53_4D42;
const SMB2: u32 = 0xFE53_4D42;

/// Returns true if a process has the file open for writing. `file` must be open for reading only.
///
/// # Errors
/// EINVAL on a file system without leases, EAGAIN on a remote one, EACCES without CAP_LEASE on a file of another
/// account.
pub fn has_writer(file: &File) -> io::Result<bool> {
    let fd = file.as_fd();
    // a process that opens it for writing at that moment makes the kernel send SIGIO, which kills; SIGURG is ignored
    control(fd, F_SETSIG, libc::SIGURG)?;
    match control(fd, libc::F_SETLEASE, libc::F_RDLCK) {
        Ok(()) => control(fd, libc::F_SETLEASE, libc::F_UNLCK).map(|()| false),
        // on a remote file system it only means that another machine might
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && !is_remote(fd)? => Ok(true),
        Err(error) => Err(error),
    }
}

/// Returns true if the file system does not support this.
pub fn is_unsupported(error: &io::Error) -> bool {
    let known = [
        Errno::INVAL,
        Errno::NOSYS,
        Errno::OPNOTSUPP,
        Errno::ACCESS,
        Errno::AGAIN,
    ];
    let code = error.raw_os_error();
    known.iter().any(|errno| code == Some(errno.raw_os_error()))
}

fn is_remote(fd: BorrowedFd<'_>) -> io::Result<bool> {
    // a cast, as `f_type` has another sign and width on each architecture
    let kind = rustix::fs::fstatfs(fd)?.f_type as u32;
    Ok([NFS, CIFS, SMB2].contains(&kind))
}

/// Returns true if a process writes the file, which need not exist.
pub fn is_being_written(path: &Path) -> io::Result<bool> {
    match Opened::open(path) {
        Ok(opened) => has_writer(&opened.file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn control(fd: BorrowedFd<'_>, command: i32, argument: i32) -> io::Result<()> {
    // SAFETY: the descriptor is borrowed for the call, and these commands take an integer.
    match unsafe { libc::fcntl(fd.as_raw_fd(), command, argument) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_writer_counts_for_as_long_as_it_has_the_file_open() {
        let folder = crate::server::scratch::Folder::new("occupied");
        let path = folder.path("leases");
        std::fs::write(&path, b"x").unwrap();
        let file = File::open(&path).unwrap();
        assert!(!has_writer(&file).unwrap());
        let writer = File::options().append(true).open(&path).unwrap();
        assert!(has_writer(&file).unwrap());
        drop(writer);
        assert!(!has_writer(&file).unwrap());
        let reader = File::open(&path).unwrap();
        assert!(!has_writer(&file).unwrap());
        drop(reader);
    }

    #[test]
    fn openers_are_neither_held_up_nor_deadly() {
        let folder = crate::server::scratch::Folder::new("opener");
        let path = folder.path("leases");
        std::fs::write(&path, b"x").unwrap();
        let file = File::open(&path).unwrap();
        let opener = std::thread::spawn(move || {
            for _ in 0..20_000 {
                drop(File::options().append(true).open(&path).unwrap());
            }
        });
        let began = std::time::Instant::now();
        while !opener.is_finished() {
            has_writer(&file).unwrap();
        }
        opener.join().unwrap();
        assert!(began.elapsed().as_secs() < 20);
    }
}
