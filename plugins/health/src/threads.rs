//! Threads for work that may hang on a disk or file server, so that nothing else waits for it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::config::CHECKS_MAX;

/// Maximum number of threads: one for each check, so that those that hang leave the others theirs, and some for checks
/// that a reload removed while they hung. The rest of a worker's 512 processes is for programs.
const THREADS_MAX: usize = CHECKS_MAX + 64;
/// Stack size in bytes: the stacks of all threads have to fit into the memory of a worker.
const STACK: usize = 256 * 1024;

#[derive(Debug)]
pub struct Threads<T> {
    threads: Vec<JoinHandle<()>>,
    found: Receiver<(u64, Option<T>)>,
    finder: Sender<(u64, Option<T>)>,
}

impl<T: Send + 'static> Threads<T> {
    pub fn new() -> Self {
        let (finder, found) = channel();
        Self {
            threads: Vec::new(),
            found,
            finder,
        }
    }

    /// Starts the work of a run; `wake` is called when there is something to [`poll`](Self::poll).
    ///
    /// # Errors
    /// The reason why it does not start, as a sentence.
    pub fn start(
        &mut self,
        run: u64,
        work: impl FnOnce() -> T + Send + 'static,
        wake: impl FnOnce() + Send + 'static,
    ) -> Result<(), String> {
        self.threads.retain(|thread| !thread.is_finished());
        if self.threads.len() >= THREADS_MAX {
            return Err("too many checks hang".to_owned());
        }
        let finder = self.finder.clone();
        let thread = Builder::new()
            .name("health-run".to_owned())
            .stack_size(STACK);
        let spawned = thread.spawn(move || {
            // the next run waits for the end of this one, and must learn of it in any case
            let found = catch_unwind(AssertUnwindSafe(work)).ok();
            // nobody receives it if the plugin has ended
            if finder.send((run, found)).is_ok() {
                wake();
            }
        });
        let thread = spawned.map_err(|error| format!("cannot start a thread: {error}"))?;
        self.threads.push(thread);
        Ok(())
    }

    /// Result of a run; the inner None if its work panicked.
    pub fn poll(&mut self) -> Option<(u64, Option<T>)> {
        self.found.try_recv().ok()
    }

    /// Waits for all threads, at most for `most`; a thread that hangs ends with the process.
    pub fn join(&mut self, most: Duration) {
        let until = Instant::now() + most;
        while self.threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < until {
            sleep(Duration::from_millis(5));
        }
        for thread in self.threads.drain(..).filter(JoinHandle::is_finished) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;
    use crate::config::Kind;
    use crate::probe::{Root, read};

    const LIMIT: Duration = Duration::from_secs(20);

    fn found<T: Send + 'static>(threads: &Threads<T>) -> (u64, Option<T>) {
        threads.found.recv_timeout(LIMIT).expect("work that ends")
    }

    #[test]
    fn work_that_panics_is_told() {
        let mut threads = Threads::new();
        let work = |wrong: bool| move || assert!(!wrong, "as planned");
        threads.start(1, work(true), || {}).expect("a thread");
        assert_eq!(found(&threads), (1, None));
        threads.start(2, work(false), || {}).expect("a thread");
        assert_eq!(found(&threads), (2, Some(())));
    }

    #[test]
    fn each_check_has_a_thread_when_all_others_hang() {
        let mut threads = Threads::new();
        let (release, held) = channel::<()>();
        let held = std::sync::Arc::new(std::sync::Mutex::new(held));
        for run in 0..THREADS_MAX as u64 {
            let held = held.clone();
            // ends when `release` is dropped
            let hang = move || drop(held.lock().map(|held| held.recv()));
            threads.start(run, hang, || {}).expect("a thread");
        }
        let refused = threads.start(1000, || {}, || {});
        assert_eq!(refused, Err("too many checks hang".to_owned()));
        drop(release);
        threads.join(LIMIT);
        assert_eq!(threads.start(1001, || {}, || {}), Ok(()));
    }

    #[test]
    fn the_deepest_file_fits_on_the_stack() {
        let name = format!("spared-health-deep-{}", std::process::id());
        let path: PathBuf = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("our own folder");
        let text = format!("{}{}", "[".repeat(127), "]".repeat(127));
        fs::write(path.join("a.json"), text).expect("our own file");
        let kind = Kind::Smart {
            path: path.clone(),
            max_age_ns: None,
        };
        let mut threads = Threads::new();
        let work = move || read(&Root::new("/"), &kind);
        threads.start(1, work, || {}).expect("a thread");
        let (_, findings) = found(&threads);
        fs::remove_dir_all(&path).expect("our own folder");
        assert_eq!(findings.map(|found| found.len()), Some(1));
    }
}
