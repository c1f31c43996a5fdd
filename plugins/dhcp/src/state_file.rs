//! State that outlives the process: for each server, which node's leases are all here and in its file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use spared_file::{remove, replace_unflushed};

use crate::config::Settings;
use crate::engine::CompleteCopy;
use crate::server::Stamp;

/// Longest delay of a role by a disk.
const PATIENCE: Duration = Duration::from_millis(500);

/// Files, one for each server, in the plugin's own folder. Without that folder nothing is kept, and leases are offered
/// once more than needed.
///
/// A thread of its own writes: a disk that hangs must not stop a node that is to become active.
#[derive(Debug)]
pub struct StateFiles {
    files: Vec<Option<PathBuf>>,
    /// Jobs for the thread; None only during drop.
    jobs: Option<Sender<Job>>,
    done: Receiver<()>,
    /// Number of requested writes that are not done.
    pending: usize,
    /// A write exceeded the time limit; no further waiting until it is done.
    hangs: bool,
    thread: Option<JoinHandle<()>>,
}

type Job = (PathBuf, Option<CompleteCopy>);

impl StateFiles {
    /// # Errors
    /// The thread cannot be started.
    pub fn new(folder: Option<PathBuf>, settings: &Settings) -> io::Result<Self> {
        let file = |name: &str| Some(folder.as_ref()?.join(format!("{name}.follows")));
        let servers = settings.servers.iter();
        let files = servers.map(|server| file(&server.name)).collect();
        let (jobs, to_do) = channel::<Job>();
        let (tell, done) = channel();
        let work = move || {
            for (file, copy) in to_do {
                write_down(&file, copy);
                // the receiver may be gone
                let _ = tell.send(());
            }
        };
        Ok(Self {
            files,
            jobs: Some(jobs),
            done,
            pending: 0,
            hangs: false,
            thread: Some(
                thread::Builder::new()
                    .name("dhcp memory".to_owned())
                    .spawn(work)?,
            ),
        })
    }

    /// Reads which complete copy each server has; None if it has none.
    pub fn recall(&self) -> Vec<Option<CompleteCopy>> {
        let read = |file: &Option<PathBuf>| parse(&fs::read_to_string(file.as_ref()?).ok()?);
        self.files.iter().map(read).collect()
    }

    /// Saves which complete copy a server has. A deletion (None) is on the disk when this returns, unless the disk
    /// hangs.
    pub fn remember(&mut self, server: usize, copy: Option<CompleteCopy>) {
        let (Some(Some(file)), Some(jobs)) = (self.files.get(server), &self.jobs) else {
            return;
        };
        // its thread ends only with this object
        let _ = jobs.send((file.clone(), copy));
        self.pending += 1;
        if copy.is_none() {
            self.wait();
        }
    }

    /// Waits as long as a disk may take. Returns false if that was not enough.
    fn wait(&mut self) -> bool {
        let until = Instant::now() + if self.hangs { Duration::ZERO } else { PATIENCE };
        while self.pending > 0 {
            match self
                .done
                .recv_timeout(until.saturating_duration_since(Instant::now()))
            {
                Ok(()) => self.pending -= 1,
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => self.pending = 0,
            }
        }
        if self.pending > 0 && !self.hangs {
            log::warn!("the disk of the plugin's own folder hangs: continuing without it");
        }
        self.hangs = self.pending > 0;
        !self.hangs
    }
}

impl Drop for StateFiles {
    fn drop(&mut self) {
        self.jobs = None;
        if self.wait() {
            let _ = self.thread.take().map(JoinHandle::join);
        }
    }
}

fn write_down(file: &Path, copy: Option<CompleteCopy>) {
    let done = match copy {
        Some(copy) => {
            write(file, copy).map_err(|error| format!("cannot write {}: {error}", file.display()))
        }
        // durable before anything else happens: a node that was active must not read after a crash that it was not
        None => remove(&[file]),
    };
    if let Err(why) = done {
        log::warn!("{why}");
    }
}

/// Writes at once and without a flush, as a role may wait for the next write. If a power cut damages the file, it reads
/// as empty, and leases are only offered once more than needed.
fn write(file: &Path, copy: CompleteCopy) -> io::Result<()> {
    let CompleteCopy { incarnation, stamp } = copy;
    let (inode, size, written_ns) = (stamp.inode, stamp.size, stamp.written_ns);
    let text = format!("{incarnation} {inode} {size} {written_ns}\n");
    replace_unflushed(file, text.as_bytes())
}

/// Parses a note; None if it was truncated, or is of a version that noted less.
fn parse(text: &str) -> Option<CompleteCopy> {
    let mut words = text.strip_suffix('\n')?.split(' ');
    let copy = CompleteCopy {
        incarnation: words.next()?.parse().ok()?,
        stamp: Stamp {
            inode: words.next()?.parse().ok()?,
            size: words.next()?.parse().ok()?,
            written_ns: words.next()?.parse().ok()?,
        },
    };
    words.next().is_none().then_some(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::scratch::Folder;

    fn settings() -> Settings {
        let text = "[[server]]\nkind = \"kea4\"\n[[server]]\nkind = \"kea6\"\n";
        let config = spared_sdk::config::Config::parse(text, "r1", &[]).expect("TOML");
        crate::config::read(&config).expect("no fault")
    }

    fn of(incarnation: u64) -> CompleteCopy {
        let stamp = Stamp {
            inode: 12,
            size: 3456,
            written_ns: -7,
        };
        CompleteCopy { incarnation, stamp }
    }

    #[test]
    fn what_is_remembered_is_recalled_until_it_is_forgotten() {
        let folder = Folder::new("memory");
        let mut memory = StateFiles::new(Some(folder.path("")), &settings()).expect("a thread");
        assert_eq!(memory.recall(), [None, None]);
        memory.remember(1, Some(of(u64::MAX)));
        assert!(memory.wait());
        assert_eq!(memory.recall(), [None, Some(of(u64::MAX))]);
        fs::write(folder.path("kea4.follows"), "nonsense").expect("our own folder");
        memory.remember(1, None);
        assert_eq!(memory.recall(), [None, None]);
        memory.remember(1, None);
        memory.remember(0, Some(of(7)));
        drop(memory);
        let memory = StateFiles::new(Some(folder.path("")), &settings()).expect("a thread");
        assert_eq!(memory.recall(), [Some(of(7)), None]);
        // from an earlier version
        fs::write(folder.path("kea4.follows"), "7\n").expect("our own folder");
        assert_eq!(memory.recall(), [None, None]);
        let mut nowhere = StateFiles::new(None, &settings()).expect("a thread");
        nowhere.remember(0, Some(of(1)));
        assert_eq!(nowhere.recall(), [None, None]);
    }

    /// Contents that a file without a flush may have on a disk.
    #[test]
    fn what_a_power_cut_leaves_is_what_was_remembered_or_nothing() {
        let folder = Folder::new("cut");
        let memory = StateFiles::new(Some(folder.path("")), &settings()).expect("a thread");
        let file = folder.path("kea4.follows");
        write(&file, of(1234567)).expect("our own folder");
        let whole = fs::read(&file).expect("just written");
        for length in 0..=whole.len() {
            let mut holes = whole.clone();
            holes[length..].fill(0);
            for left in [&whole[..length], &holes] {
                fs::write(&file, left).expect("our own folder");
                let remembered = (left == whole).then_some(of(1234567));
                assert_eq!(memory.recall(), [remembered, None], "{left:?}");
            }
        }
    }

    #[test]
    fn a_disk_that_hangs_holds_nobody_up_for_long() {
        let folder = Folder::new("hangs");
        let mut memory = StateFiles::new(Some(folder.path("")), &settings()).expect("a thread");
        memory.remember(0, Some(of(1)));
        assert!(memory.wait());
        // opening a pipe for writing waits for its reader
        let pipe = folder.path(".kea4.follows.spared");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).expect("a pipe");
        let begun = Instant::now();
        memory.remember(0, Some(of(2)));
        for _ in 0..16 {
            memory.remember(0, None);
        }
        assert!(begun.elapsed() < PATIENCE * 2, "{:?}", begun.elapsed());
        assert_eq!(memory.recall(), [Some(of(1)), None]);
        let reader = fs::File::open(&pipe).expect("our own pipe");
        while !memory.wait() {
            thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(memory.recall(), [None, None]);
        drop((memory, reader));
    }
}
