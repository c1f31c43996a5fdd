//! Checks configuration files that were changed and are not in use, keys that the next start would refuse, what else
//! that start would lack or run in another build, and the state folder. A thread does this, as a disk may hang.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use spared_config::on_disk::{NotInForce, Stamps, Texts, key_faults, not_in_force, secret, stamps};
use spared_config::{Build, Options, Restart, Setup};
use spared_journal::state_file::why_unwritable;
use spared_process::clock;
use spared_verdict::{FailsAfterRestart, UnusedFiles};

use crate::builds::Builds;
use crate::needs;

/// Interval of the checks. Each reads the times of some files and the free space of a disk.
const EVERY: Duration = Duration::from_secs(2);
/// Time that an administrator has between an edit and a reload.
const PATIENCE: Duration = Duration::from_secs(60);
/// Stack size of the thread in bytes, which reads TOML. Only the used part is locked in memory.
const STACK: usize = 1024 * 1024;

/// Thread that checks the files, and its last result.
#[derive(Debug)]
pub struct Files {
    /// Number and texts of a new configuration in force; None asks for a look at once.
    in_force: Sender<Option<(u64, Texts)>>,
    found: Arc<Mutex<Found>>,
}

#[derive(Debug, Default)]
struct Found {
    /// Number of the configuration in force to which the result belongs.
    number: u64,
    seen: Seen,
    builds: Builds,
    /// Reason why nothing can be written in the state folder.
    unwritable: Option<String>,
}

/// Differences from the configuration in force.
#[derive(Clone, Debug, Default)]
struct Seen {
    not_in_force: Option<Edit>,
    /// Faults of the keys.
    keys: Vec<String>,
    /// Other objects that would fail after a restart.
    restart_faults: Vec<FailsAfterRestart>,
    /// Builds that a restart would run.
    builds: BTreeMap<String, Build>,
}

/// An edit that is not in force.
#[derive(Clone, Debug)]
struct Edit {
    since: Instant,
    at: String,
    not_in_force: NotInForce,
}

impl Files {
    /// Starts to check the files and the state folder. `setup` is the configuration in force.
    pub fn start(options: &Options, state: PathBuf, setup: &Setup) -> Self {
        let (in_force, changes) = channel();
        let found = Found {
            builds: Builds::new(Restart::running()),
            ..Found::default()
        };
        let found = Arc::new(Mutex::new(found));
        let watch = Watch::new(options.config(), Restart::new(options), setup.texts());
        let result = Arc::clone(&found);
        let thread = thread::Builder::new()
            .name("files".to_owned())
            .stack_size(STACK);
        if let Err(error) = thread.spawn(move || work(watch, &state, &changes, &result)) {
            log::warn!("changes to files are not detected: cannot start a thread: {error}");
        }
        Self { in_force, found }
    }

    /// Sets the configuration that is in force from now on.
    pub fn set(&self, setup: &Setup) {
        let number = {
            let mut found = lock(&self.found);
            found.number += 1;
            found.seen = Seen::default();
            found.number
        };
        let _ = self.in_force.send(Some((number, setup.texts())));
    }

    /// Returns the files that were changed longer ago than an edit takes.
    pub fn not_in_force(&self, now: Instant) -> Option<UnusedFiles> {
        let found = lock(&self.found);
        found
            .seen
            .not_in_force
            .as_ref()
            .and_then(|edit| edit.told(now))
    }

    /// Returns faults of the keys, as they are on the disk.
    pub fn key_faults(&self) -> Vec<String> {
        lock(&self.found).seen.keys.clone()
    }

    /// Returns the reason why the daemon could not write its state now.
    pub fn unwritable(&self) -> Option<String> {
        lock(&self.found).unwritable.clone()
    }

    /// Returns other objects that would fail after a restart. It does not consider edits that are not in use, which are
    /// reported separately.
    pub fn lost_by_restart(&self) -> Vec<FailsAfterRestart> {
        lock(&self.found).seen.restart_faults.clone()
    }

    /// Returns the names of what runs in another build than is installed: the program, and plugins by their workers.
    pub fn outdated<'n>(&self, workers: impl Iterator<Item = (&'n str, u32)>) -> Vec<String> {
        let (outdated, has_new) = lock(&self.found).builds.outdated(workers);
        if has_new {
            // before anybody replaces the file of the new worker
            let _ = self.in_force.send(None);
        }
        outdated
    }
}

fn work(
    mut watch: Watch,
    state: &Path,
    changes: &Receiver<Option<(u64, Texts)>>,
    result: &Mutex<Found>,
) {
    let mut number = 0;
    loop {
        match changes.recv_timeout(EVERY) {
            Ok(Some((newer, texts))) => {
                number = newer;
                watch.set(texts);
            }
            Ok(None) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let unwritable = why_unwritable(state);
        // a file that cannot be opened now counts as unchanged
        let seen = match needs::no_descriptor() {
            None => watch.look(Instant::now(), clock::now),
            Some(_) => watch.seen.clone(),
        };
        let mut found = lock(result);
        found.unwritable = unwritable;
        // a result about an earlier configuration is dropped
        if found.number == number {
            found.builds.set_installed(seen.builds.clone());
            found.seen = seen;
        }
    }
}

fn lock(found: &Mutex<Found>) -> MutexGuard<'_, Found> {
    found.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Edit {
    fn told(&self, now: Instant) -> Option<UnusedFiles> {
        let files = self.not_in_force.files.iter();
        let is_late = now.saturating_duration_since(self.since) >= PATIENCE;
        is_late.then(|| UnusedFiles {
            files: files.map(|it| it.display().to_string()).collect(),
            since: self.at.clone(),
            fault: self
                .not_in_force
                .fault
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        })
    }
}

/// State between the checks.
#[derive(Debug)]
struct Watch {
    path: PathBuf,
    /// File of the node's secret.
    secret: PathBuf,
    restart: Restart,
    in_force: Texts,
    /// Time stamps of the files at the last check. None if that was about another configuration. Also None if it found
    /// an object that would fail, as that may be repaired without a change of these files.
    stamps: Option<(Stamps, (Stamps, String))>,
    seen: Seen,
}

impl Watch {
    fn new(path: PathBuf, restart: Restart, in_force: Texts) -> Self {
        Self {
            secret: secret(&path, &in_force),
            path,
            restart,
            in_force,
            stamps: None,
            seen: Seen::default(),
        }
    }

    fn set(&mut self, in_force: Texts) {
        *self = Self::new(self.path.clone(), self.restart.clone(), in_force);
    }

    /// Reads the files if any time stamp has changed since the last check.
    fn look(&mut self, now: Instant, clock: impl FnOnce() -> String) -> Seen {
        let files = stamps(&self.path, &self.secret);
        let stamps = (files, self.restart.stamps(&self.in_force));
        if self.stamps.as_ref() == Some(&stamps) {
            return self.seen.clone();
        }
        self.seen.restart_faults = self.restart_faults();
        self.seen.builds = self.restart.builds(&self.in_force);
        self.stamps = self.seen.restart_faults.is_empty().then_some(stamps);
        let edit = self.seen.not_in_force.take();
        self.seen.not_in_force =
            not_in_force(&self.path, &self.in_force).map(|not_in_force| match edit {
                Some(edit) => Edit {
                    not_in_force,
                    ..edit
                },
                None => Edit {
                    since: now,
                    at: clock(),
                    not_in_force,
                },
            });
        // keys that do not match an edited spared.toml are reported with that edit
        let edited = self
            .seen
            .not_in_force
            .iter()
            .flat_map(|it| &it.not_in_force.files);
        self.seen.keys = if edited.into_iter().any(|file| *file == self.path) {
            Vec::new()
        } else {
            key_faults(&self.path)
                .iter()
                .map(ToString::to_string)
                .collect()
        };
        self.seen.clone()
    }

    fn restart_faults(&self) -> Vec<FailsAfterRestart> {
        let restart_faults = self.restart.restart_faults(&self.in_force).into_iter();
        let restart_faults = restart_faults.map(|it| FailsAfterRestart {
            thing: it.thing,
            why: it.why,
        });
        restart_faults.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn an_edit_is_told_after_a_minute_until_it_is_in_force_or_undone() {
        let folder = std::env::temp_dir().join(format!("spared-edit-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("the temporary directory is writable");
        let path = folder.join("spared.toml");
        let write = |text: &str| fs::write(&path, text).expect("our own file");
        let texts = || Setup::read(&path).expect("no fault").texts();
        let (before, after) = ("node.name = \"r1\"\n", "node.name = \"r10\"\n");
        write(before);
        let options = Options {
            config: Some(path.clone()),
            runtime_dir: folder.clone(),
            plugin_dir: folder.clone(),
            starter: None,
        };
        let mut watch = Watch::new(path.clone(), Restart::new(&options), texts());
        let begun = Instant::now();
        let told = |watch: &mut Watch, after_s: u64| {
            let now = begun + Duration::from_secs(after_s);
            let seen = watch.look(now, || format!("{after_s} s"));
            seen.not_in_force
                .and_then(|it| it.told(now))
                .map(|it| it.since)
        };
        assert_eq!(told(&mut watch, 0), None);
        write(after);
        assert_eq!(told(&mut watch, 5), None);
        // a second edit does not restart the time
        write("node.name = \"r100\"\n");
        assert_eq!(told(&mut watch, 64), None);
        assert_eq!(told(&mut watch, 65).as_deref(), Some("5 s"));
        assert_eq!(told(&mut watch, 900).as_deref(), Some("5 s"));
        watch.set(texts());
        assert_eq!(told(&mut watch, 901), None, "reloaded");
        write(after);
        assert_eq!(told(&mut watch, 910), None);
        write("node.name = \"r100\"\n");
        assert_eq!(told(&mut watch, 980), None, "undone");
        write(after);
        assert_eq!(told(&mut watch, 990), None, "begun again");
        assert_eq!(told(&mut watch, 1050).as_deref(), Some("990 s"));
        let _ = fs::remove_dir_all(&folder);
    }
}
