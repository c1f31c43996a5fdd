//! The file: replaced at once and for good, readable by its owner only.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use super::{Now, Overrides};
use crate::state_file;

const NAME: &str = "overrides.json";
/// What a disk may hold the loop up, when somebody asked for something. What takes longer is still
/// written, unless the host is killed meanwhile.
const PATIENCE: Duration = Duration::from_millis(50);
/// What may wait for a disk that hangs.
const WAITING_MAX: usize = 16;

/// Where it is kept. A thread of its own writes, one content after the other: a disk flushes for as
/// long as it likes, and the loop waits for no disk.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// None until something is to be written.
    jobs: Option<SyncSender<Job>>,
}

/// A content, and where to answer.
type Job = (String, Sender<Result<(), String>>);

impl Store {
    pub fn new(folder: PathBuf) -> Self {
        Self {
            path: folder.join(NAME),
            jobs: None,
        }
    }

    /// What was overridden before this start. A file that cannot be believed is none, with a
    /// warning: the election decides, as if nobody had said anything.
    pub fn read(&self, now: Now) -> Overrides {
        let text = match state_file::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Overrides::default(),
            Err(error) => return refuse(&self.path, &error.to_string()),
        };
        Overrides::from_text(&text, now).unwrap_or_else(|why| refuse(&self.path, &why))
    }

    /// # Errors
    /// What the system refused; the file of before is still there. A disk that is slow is none.
    pub fn write(&mut self, overrides: &Overrides) -> Result<(), String> {
        let (answer, answered) = channel();
        let job = (overrides.to_text(), answer);
        let jobs = match self.jobs.take() {
            Some(jobs) => jobs,
            None => begin(&self.path).map_err(|error| format!("no thread: {error}"))?,
        };
        let sent = jobs.try_send(job);
        self.jobs = Some(jobs);
        sent.map_err(|_| format!("{}: the disk hangs", self.path.display()))?;
        match answered.recv_timeout(PATIENCE) {
            Ok(done) => done,
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => {
                Err(format!("{}: the thread has ended", self.path.display()))
            }
        }
    }
}

fn begin(path: &Path) -> io::Result<SyncSender<Job>> {
    let (jobs, to_do) = sync_channel(WAITING_MAX);
    let path = path.to_owned();
    let thread = thread::Builder::new().name("store".to_owned());
    thread.spawn(move || work(&path, &to_do))?;
    Ok(jobs)
}

fn work(path: &Path, to_do: &Receiver<Job>) {
    for (text, answer) in to_do {
        let done = state_file::write(path, &text);
        // whoever asked may have gone on
        if let Err(Err(why)) = answer.send(done).map_err(|unheard| unheard.0) {
            log::warn!("{why}");
        }
    }
}

fn refuse(path: &Path, why: &str) -> Overrides {
    log::warn!(
        "{}: {why}: nothing is forced, and there is no maintenance",
        path.display()
    );
    Overrides::default()
}
