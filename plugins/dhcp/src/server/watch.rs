//! Watches the folders of a server's files by inotify.
//!
//! Folders are watched, since a replaced file takes its own watch with it. A file in which its server continues without
//! a name is watched itself.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// One of a server's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Leases,
    Identity,
    Config,
}

#[derive(Debug)]
pub struct Watch {
    inotify: OwnedFd,
    files: Vec<(i32, OsString, Which)>,
    /// Watch of a single file, whatever its name.
    unnamed: Option<i32>,
}

/// Events since the last call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileEvents {
    /// The lease file has other bytes, or is another file.
    pub written: bool,
    /// A process opened it, or closed it after writing.
    pub opened: bool,
    pub closed: bool,
    /// Numbers of files that took its name: created, and renamed to it.
    pub created: u32,
    pub moved_in: u32,
    pub identity: bool,
    pub config: bool,
    /// Events were lost, or the folder has gone.
    pub lost: bool,
}

impl Watch {
    pub fn new() -> io::Result<Self> {
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        Ok(Self {
            inotify,
            files: Vec::new(),
            unnamed: None,
        })
    }

    /// Watches this lease file itself, instead of the earlier one. Returns true if it is another.
    pub fn follow(&mut self, file: Option<&File>) -> io::Result<bool> {
        let flags = WatchFlags::MODIFY | WatchFlags::CLOSE_WRITE;
        let id = match file {
            Some(file) => {
                let path = format!("/proc/self/fd/{}", file.as_raw_fd());
                Some(inotify::add_watch(&self.inotify, path, flags)?)
            }
            None => None,
        };
        let before = std::mem::replace(&mut self.unnamed, id);
        let is_new = id != before;
        if let Some(before) = before.filter(|_| is_new) {
            // the watch has gone with its file
            let _ = inotify::remove_watch(&self.inotify, before);
        }
        Ok(is_new && id.is_some())
    }

    /// Adds a file, which need not exist; its folder must exist.
    pub fn add(&mut self, path: &Path, which: Which) -> io::Result<()> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Errno::ISDIR.into());
        };
        let flags = WatchFlags::ONLYDIR
            | WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE
            | WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::OPEN
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        let id = inotify::add_watch(&self.inotify, folder, flags)?;
        self.files.push((id, name.to_owned(), which));
        Ok(())
    }

    pub fn read(&mut self) -> FileEvents {
        let mut seen = FileEvents::default();
        let mut buffer = [MaybeUninit::uninit(); 8192];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        loop {
            match reader.next() {
                Ok(event) => {
                    let name = event.file_name().map_or(&b""[..], |name| name.to_bytes());
                    if self.unnamed == Some(event.wd()) {
                        seen.note_leases(event.events())
                    } else {
                        seen.note(&self.files, event.wd(), name, event.events())
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return seen,
                Err(_) => {
                    seen.lost = true;
                    return seen;
                }
            }
        }
    }
}

impl AsFd for Watch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl FileEvents {
    fn note(&mut self, files: &[(i32, OsString, Which)], id: i32, name: &[u8], events: ReadFlags) {
        let gone = ReadFlags::QUEUE_OVERFLOW
            | ReadFlags::IGNORED
            | ReadFlags::UNMOUNT
            | ReadFlags::DELETE_SELF
            | ReadFlags::MOVE_SELF;
        let is_watched = files.iter().any(|file| file.0 == id);
        let is_lost = events.contains(ReadFlags::QUEUE_OVERFLOW) || is_watched;
        self.lost |= is_lost && events.intersects(gone);
        let of_name = files.iter().filter(|file| file.0 == id);
        for (_, _, which) in of_name.filter(|file| file.1.as_bytes() == name) {
            match which {
                Which::Leases => self.note_leases(events),
                // a process that only reads it, such as this plugin, changes nothing
                Which::Identity => self.identity |= events != ReadFlags::OPEN,
                Which::Config => self.config |= events != ReadFlags::OPEN,
            }
        }
    }

    fn note_leases(&mut self, events: ReadFlags) {
        self.opened |= events.contains(ReadFlags::OPEN);
        self.closed |= events.contains(ReadFlags::CLOSE_WRITE);
        self.created += u32::from(events.contains(ReadFlags::CREATE));
        self.moved_in += u32::from(events.contains(ReadFlags::MOVED_TO));
        self.written |= !ReadFlags::OPEN
            .union(ReadFlags::CLOSE_WRITE)
            .union(ReadFlags::IGNORED)
            .contains(events);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::scratch::Folder;
    use std::fs;
    use std::io::Write;

    #[test]
    fn the_ways_in_which_a_file_changes_are_told_apart() {
        let folder = Folder::new("watch");
        let path = folder.path("leases");
        let mut watch = Watch::new().unwrap();
        watch.add(&path, Which::Leases).unwrap();
        watch.add(&folder.path("id"), Which::Identity).unwrap();
        assert_eq!(watch.read(), FileEvents::default());
        fs::write(&path, b"a").unwrap();
        let seen = watch.read();
        assert!(seen.written && seen.opened && seen.closed && !seen.identity);
        assert_eq!((seen.created, seen.moved_in), (1, 0));
        fs::read(&path).unwrap();
        assert!(!watch.read().written);
        fs::write(folder.path("other"), b"b").unwrap();
        assert_eq!(watch.read(), FileEvents::default());
        fs::rename(folder.path("other"), &path).unwrap();
        assert_eq!(watch.read().moved_in, 1);
        fs::write(folder.path("id"), b"b").unwrap();
        let seen = watch.read();
        assert!(seen.identity && !seen.written);
    }

    #[test]
    fn a_file_that_has_lost_its_name_is_heard_of() {
        let (folder, elsewhere) = (Folder::new("astray"), Folder::new("elsewhere"));
        let path = folder.path("leases");
        let mut writer = File::create(&path).unwrap();
        let mut watch = Watch::new().unwrap();
        watch.add(&path, Which::Leases).unwrap();
        fs::rename(&path, elsewhere.path("leases")).unwrap();
        assert!(watch.read().written);
        writer.write_all(b"a").unwrap();
        assert_eq!(watch.read(), FileEvents::default());
        let file = File::open(elsewhere.path("leases")).unwrap();
        assert!(watch.follow(Some(&file)).unwrap());
        assert!(!watch.follow(Some(&file)).unwrap());
        writer.write_all(b"b").unwrap();
        assert!(watch.read().written);
        fs::remove_file(elsewhere.path("leases")).unwrap();
        writer.write_all(b"c").unwrap();
        drop(writer);
        let seen = watch.read();
        assert!(seen.written && seen.closed && !seen.lost);
        assert!(!watch.follow(None).unwrap());
        drop(file);
        assert_eq!(watch.read(), FileEvents::default());
    }

    #[test]
    fn a_folder_that_goes_is_told() {
        let folder = Folder::new("gone");
        let inner = folder.path("inner");
        fs::create_dir(&inner).unwrap();
        let mut watch = Watch::new().unwrap();
        watch.add(&inner.join("leases"), Which::Leases).unwrap();
        fs::remove_dir(&inner).unwrap();
        assert!(watch.read().lost);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let folder = Folder::new("nowhere");
        let mut watch = Watch::new().unwrap();
        let path = folder.path("none").join("leases");
        assert!(watch.add(&path, Which::Leases).is_err());
    }
}
