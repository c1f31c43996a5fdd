//! Reads and writes the file of the [`History`]: `history.json` in the state directory.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use spared_verdict::History;

use crate::state_file::{self, BackgroundWriter};

const NAME: &str = "history.json";

/// File of the history, and the thread that writes it.
#[derive(Debug)]
pub struct Store(BackgroundWriter);

impl Store {
    pub fn new(folder: PathBuf) -> Self {
        Self(BackgroundWriter::new(folder.join(NAME)))
    }

    /// Reads the history of earlier runs. A file that is damaged, or that others may write, is renamed with a warning.
    pub fn read(&self) -> History {
        let read = match state_file::read(self.0.path()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return History::default(),
            read => read.map_err(|error| error.to_string()),
        };
        let parsed = read.and_then(|text| {
            serde_json::from_str(&text).map_err(|error| format!("is not valid: {error}"))
        });
        parsed.unwrap_or_else(|why| self.set_aside(&why))
    }

    fn set_aside(&self, why: &str) -> History {
        let file = self.0.path();
        let aside = file.with_extension("json.damaged");
        let (path, to) = (file.display(), aside.display());
        match fs::rename(file, &aside) {
            Ok(()) => log::warn!("{path}: {why}: renamed to {to}, starting an empty history"),
            Err(error) => log::warn!("{path}: {why}: starting an empty history ({to}: {error})"),
        }
        History::default()
    }

    /// Passes the history to the thread. It replaces one that is not written yet.
    pub fn write(&mut self, history: &History) {
        match serde_json::to_string(history) {
            Ok(text) => self.0.write(text),
            Err(error) => log::warn!("{}: {error}", self.0.path().display()),
        }
    }

    /// Waits until everything is written, for at most `patience`, as the disk may hang.
    pub fn flush(&self, patience: Duration) {
        // the thread has logged why something was not written
        let _ = self.0.flush(patience);
    }

    /// Returns the reason why the latest changes are not on the disk.
    pub fn fault(&self) -> Option<String> {
        self.0.fault()
    }
}

#[cfg(test)]
mod tests {
    use spared_verdict::RoleChange;

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
