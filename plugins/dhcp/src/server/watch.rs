//! Watches the folders of a server's files by inotify.
//!
//! Folders are watched, since a replaced file takes its own watch with it. A file in which its server continues without
//! a name is watched itself.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::discover::Source;

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
    files: Vec<Watched>,
    /// Watch of a single file, whatever its name.
    unnamed: Option<i32>,
}

#[derive(Debug)]
struct Watched {
    /// Number of the folder's watch.
    id: i32,
    place: Place,
    which: Which,
}

/// A file, or all files of a folder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    folder: PathBuf,
    /// None stands for all.
    name: Option<OsString>,
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
        let place = Place::of(path).ok_or(Errno::ISDIR)?;
        self.add_place(place, which)
    }

    /// Watches these parts of the configuration, and no others. Returns true if one of them was not watched before: it
    /// may have changed since it was read.
    pub fn set_sources(&mut self, sources: &BTreeSet<Source>) -> bool {
        let wanted: BTreeSet<Place> = sources.iter().flat_map(places_of).collect();
        let is_kept = |it: &Watched| it.which != Which::Config || wanted.contains(&it.place);
        let before: BTreeSet<i32> = self.files.iter().map(|it| it.id).collect();
        self.files.retain(is_kept);
        for id in before {
            self.end_unused(id);
        }
        let mut is_new = false;
        for place in wanted {
            let is_watched = |it: &Watched| it.which == Which::Config && it.place == place;
            if !self.files.iter().any(is_watched) {
                // this plugin may lack access to it, or there is no such folder
                is_new |= self.add_place(place, Which::Config).is_ok();
            }
        }
        is_new
    }

    fn add_place(&mut self, place: Place, which: Which) -> io::Result<()> {
        let mut flags = WatchFlags::ONLYDIR
            // the folder may be watched for another file
            | WatchFlags::MASK_ADD
            | WatchFlags::CREATE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE
            | WatchFlags::ATTRIB
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF;
        // everybody opens files in /etc
        if which != Which::Config {
            flags |= WatchFlags::OPEN | WatchFlags::MODIFY;
        }
        let id = inotify::add_watch(&self.inotify, &place.folder, flags)?;
        self.files.push(Watched { id, place, which });
        Ok(())
    }

    fn end_unused(&self, id: i32) {
        if !self.files.iter().any(|it| it.id == id) {
            // the watch may have gone with its folder
            let _ = inotify::remove_watch(&self.inotify, id);
        }
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
                        seen.note(&mut self.files, event.wd(), name, event.events())
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

impl Place {
    fn of(path: &Path) -> Option<Self> {
        Some(Self {
            folder: path.parent()?.to_owned(),
            name: Some(path.file_name()?.to_owned()),
        })
    }

    fn has(&self, name: &[u8]) -> bool {
        let own = self.name.as_ref();
        own.is_none_or(|own| own.as_bytes() == name)
    }
}

/// Returns the places of a part of the configuration. A folder is also a name in its parent, where it comes and goes.
fn places_of(source: &Source) -> impl Iterator<Item = Place> {
    let (path, all) = match source {
        Source::File(path) => (path, None),
        Source::Folder(path) => (path, Some(path.clone())),
    };
    let all = all.map(|folder| Place { folder, name: None });
    Place::of(path).into_iter().chain(all)
}

impl FileEvents {
    fn note(&mut self, files: &mut Vec<Watched>, id: i32, name: &[u8], events: ReadFlags) {
        let gone = ReadFlags::QUEUE_OVERFLOW
            | ReadFlags::IGNORED
            | ReadFlags::UNMOUNT
            | ReadFlags::DELETE_SELF
            | ReadFlags::MOVE_SELF;
        self.lost |= events.contains(ReadFlags::QUEUE_OVERFLOW);
        if events.intersects(gone) {
            self.note_gone(files, id);
        }
        let of_folder = files.iter().filter(|file| file.id == id);
        for file in of_folder.filter(|file| file.place.has(name)) {
            match file.which {
                Which::Leases => self.note_leases(events),
                // a process that only reads it, such as this plugin, changes nothing
                Which::Identity => self.identity |= events != ReadFlags::OPEN,
                Which::Config => self.note_config(events),
            }
        }
    }

    /// Notes that a folder has gone. Without a folder of its configuration a server may run on; that folder is watched
    /// again once it is there.
    fn note_gone(&mut self, files: &mut Vec<Watched>, id: i32) {
        let is_config = |file: &Watched| file.which == Which::Config;
        for file in files.iter().filter(|file| file.id == id) {
            self.lost |= !is_config(file);
            self.config |= is_config(file);
        }
        files.retain(|file| file.id != id || !is_config(file));
    }

    /// Notes a change of the configuration. A file that is being written counts once it is closed.
    fn note_config(&mut self, events: ReadFlags) {
        let is_none = ReadFlags::OPEN | ReadFlags::MODIFY;
        self.config |= !events.intersects(is_none);
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
    fn what_the_configuration_consists_of_is_heard_of_and_nothing_else() {
        let folder = Folder::new("sources");
        let (main, inner) = (folder.path("main"), folder.path("inner"));
        let of = |sources: &[Source]| sources.iter().cloned().collect::<BTreeSet<_>>();
        let mut watch = Watch::new().unwrap();
        watch.add(&folder.path("leases"), Which::Leases).unwrap();
        let all = [Source::File(main.clone()), Source::Folder(inner.clone())];
        assert!(watch.set_sources(&of(&all)));
        let mut file = File::create(&main).unwrap();
        assert!(watch.read().config);
        file.write_all(b"a").unwrap();
        assert!(!watch.read().config, "it is being written");
        drop(file);
        assert!(watch.read().config);
        fs::write(folder.path("other"), b"b").unwrap();
        assert!(!watch.read().config);
        fs::create_dir(&inner).unwrap();
        assert!(watch.read().config);
        assert!(watch.set_sources(&of(&all)), "it is there now");
        assert!(!watch.set_sources(&of(&all)));
        fs::write(inner.join("any"), b"c").unwrap();
        assert!(watch.read().config);
        assert_eq!(fs::read_dir(&inner).unwrap().count(), 1);
        fs::read(&main).unwrap();
        assert!(!watch.read().config, "reading changes nothing");
        fs::remove_dir_all(&inner).unwrap();
        let seen = watch.read();
        assert!(seen.config && !seen.lost);
        fs::create_dir(&inner).unwrap();
        assert!(watch.set_sources(&of(&all)), "it is another one");
        assert!(!watch.set_sources(&of(&all[..1])));
        watch.read();
        fs::write(inner.join("any"), b"c").unwrap();
        assert_eq!(watch.read(), FileEvents::default());
        fs::write(folder.path("leases"), b"d").unwrap();
        assert!(watch.read().written);
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
