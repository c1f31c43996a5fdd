//! The file of the [`History`]: `history.json` below the state directory.
//!
//! A thread of its own writes, always the latest content: a disk flushes for as long as it likes, and
//! the loop waits for no disk.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use spared_pair::History;

use crate::state_file;

const NAME: &str = "history.json";

/// Where it is kept.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    /// None until something is to be written.
    shared: Option<Arc<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    slot: Mutex<Slot>,
    turned: Condvar,
}

#[derive(Debug, Default)]
struct Slot {
    next: Option<String>,
    is_writing: bool,
}

impl Slot {
    fn is_done(&self) -> bool {
        self.next.is_none() && !self.is_writing
    }
}

impl Store {
    pub fn new(folder: PathBuf) -> Self {
        Self {
            path: folder.join(NAME),
            shared: None,
        }
    }

    /// What earlier runs remember. A file that cannot be believed is set aside, with a warning.
    pub fn read(&self) -> History {
        let read = match state_file::read(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return History::default(),
            read => read.map_err(|error| error.to_string()),
        };
        let parsed = read.and_then(|text| {
            serde_json::from_str(&text).map_err(|error| format!("is not ours: {error}"))
        });
        parsed.unwrap_or_else(|why| self.set_aside(&why))
    }

    fn set_aside(&self, why: &str) -> History {
        let aside = self.path.with_extension("json.damaged");
        let (path, to) = (self.path.display(), aside.display());
        match fs::rename(&self.path, &aside) {
            Ok(()) => log::warn!("{path}: {why}: it is {to} now, and the history begins anew"),
            Err(error) => log::warn!("{path}: {why}: the history begins anew ({to}: {error})"),
        }
        History::default()
    }

    /// Begins to write it; what was not written yet need not be any more.
    pub fn write(&mut self, history: &History) {
        let text = match serde_json::to_string(history) {
            Ok(text) => text,
            Err(error) => return log::warn!("{}: {error}", self.path.display()),
        };
        let shared = match self.shared.take() {
            Some(shared) => shared,
            None => match begin(self.path.clone()) {
                Ok(shared) => shared,
                Err(error) => return log::warn!("{}: no thread: {error}", self.path.display()),
            },
        };
        let mut slot = shared.slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.next = Some(text);
        drop(slot);
        shared.turned.notify_all();
        self.shared = Some(shared);
    }

    /// Waits until all is written, or for so long: the disk may hang.
    pub fn flush(&self, patience: Duration) {
        let Some(shared) = &self.shared else {
            return;
        };
        let slot = shared.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |slot: &mut Slot| !slot.is_done();
        drop(shared.turned.wait_timeout_while(slot, patience, waiting));
    }
}

fn begin(path: PathBuf) -> std::io::Result<Arc<Shared>> {
    let shared = Arc::new(Shared::default());
    let theirs = Arc::clone(&shared);
    let thread = thread::Builder::new().name("history".to_owned());
    thread.spawn(move || work(&path, &theirs))?;
    Ok(shared)
}

// A fault is told when it begins, and its end.
fn work(path: &Path, shared: &Shared) {
    let mut was_written = true;
    loop {
        let slot = shared.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = |slot: &mut Slot| slot.next.is_none();
        let slot = shared.turned.wait_while(slot, idle);
        let mut slot = slot.unwrap_or_else(PoisonError::into_inner);
        let text = slot.next.take().unwrap_or_default();
        slot.is_writing = true;
        drop(slot);
        let written = state_file::write(path, &text);
        match &written {
            Err(why) if was_written => log::warn!("the history is not kept over a restart: {why}"),
            Ok(()) if !was_written => log::info!("{} is written again", path.display()),
            _ => {}
        }
        was_written = written.is_ok();
        let mut slot = shared.slot.lock().unwrap_or_else(PoisonError::into_inner);
        slot.is_writing = false;
        drop(slot);
        shared.turned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use spared_pair::RoleChange;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("spared-history-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn history(group: &str) -> History {
        let mut history = History::default();
        history.push(RoleChange {
            group: group.to_owned(),
            ..RoleChange::default()
        });
        history
    }

    #[test]
    fn the_latest_is_there_after_a_restart() {
        let folder = Folder::new("restart");
        let mut store = Store::new(folder.0.clone());
        assert_eq!(store.read(), History::default());
        for group in ["a", "b", "c"] {
            store.write(&history(group));
        }
        store.flush(PATIENCE);
        assert_eq!(Store::new(folder.0.clone()).read(), history("c"));
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_costs_nothing() {
        let folder = Folder::new("damaged");
        let mut store = Store::new(folder.0.clone());
        store.write(&history("a"));
        store.flush(PATIENCE);
        let path = folder.0.join(NAME);
        let text = fs::read_to_string(&path).unwrap();
        let half = &text[..text.len() / 2];
        for damaged in ["", "\0\0\0\0", half, "{\"changes\": 7}"] {
            fs::write(&path, damaged).unwrap();
            assert_eq!(store.read(), History::default(), "{damaged}");
            let aside = fs::read_to_string(folder.0.join("history.json.damaged"));
            assert_eq!(aside.unwrap(), damaged);
        }
        store.write(&history("b"));
        store.flush(PATIENCE);
        assert_eq!(store.read(), history("b"));
    }
}
