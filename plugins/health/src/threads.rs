//! Threads for work that may hang on a disk or file server, so that nothing else waits for it.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle, sleep};
use std::time::{Duration, Instant};

use crate::config::CHECKS_MAX;

/// Maximum number of threads: one for each check, so that those that hang leave the others theirs, and some for checks
/// that a reload removed while they hung. The rest of a worker's 512 processes is for programs.
const THREADS_MAX: usize = CHECKS_MAX + 64;
/// Threads that wait for the next work: to start one costs more than most looks.
const FREE_MAX: usize = 2;
/// Stack size in bytes: the stacks of all threads have to fit into the memory of a worker.
const STACK: usize = 256 * 1024;

type Work = Box<dyn FnOnce() + Send>;

#[derive(Debug)]
pub struct Threads<T> {
    threads: Vec<JoinHandle<()>>,
    turns: Arc<Turns>,
    found: Receiver<(u64, Option<T>)>,
    finder: Sender<(u64, Option<T>)>,
}

/// Where free threads wait.
#[derive(Debug, Default)]
struct Turns {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Work for threads that are free, for each at most one.
    work: VecDeque<Work>,
    free: usize,
    is_over: bool,
}

impl<T: Send + 'static> Threads<T> {
    pub fn new() -> Self {
        let (finder, found) = channel();
        Self {
            threads: Vec::new(),
            turns: Arc::default(),
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
        let finder = self.finder.clone();
        let work: Work = Box::new(move || {
            // the next run waits for the end of this one, and must learn of it in any case
            let found = catch_unwind(AssertUnwindSafe(work)).ok();
            // nobody receives it if the plugin has ended
            if finder.send((run, found)).is_ok() {
                wake();
            }
        });
        let Err(work) = self.turns.give(work) else {
            return Ok(());
        };
        self.threads.retain(|thread| !thread.is_finished());
        if self.threads.len() >= THREADS_MAX {
            return Err("too many checks hang".to_owned());
        }
        let thread = Builder::new()
            .name("health-run".to_owned())
            .stack_size(STACK);
        let turns = Arc::clone(&self.turns);
        let spawned = thread.spawn(move || {
            let mut next = Some(work);
            while let Some(work) = next {
                work();
                next = turns.next();
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
        self.turns.end();
        let until = Instant::now() + most;
        while self.threads.iter().any(|thread| !thread.is_finished()) && Instant::now() < until {
            sleep(Duration::from_millis(5));
        }
        for thread in self.threads.drain(..).filter(JoinHandle::is_finished) {
            let _ = thread.join();
        }
    }
}

impl<T> Drop for Threads<T> {
    fn drop(&mut self) {
        self.turns.end();
    }
}

impl Turns {
    /// Gives work to a thread that is free; it comes back where none is.
    fn give(&self, work: Work) -> Result<(), Work> {
        let mut state = self.lock();
        if state.free <= state.work.len() {
            return Err(work);
        }
        state.work.push_back(work);
        drop(state);
        self.changed.notify_one();
        Ok(())
    }

    /// The next work of a thread; None: it is not needed.
    fn next(&self) -> Option<Work> {
        let mut state = self.lock();
        if state.is_over || state.free >= FREE_MAX {
            return None;
        }
        state.free += 1;
        while state.work.is_empty() && !state.is_over {
            let woken = self.changed.wait(state);
            state = woken.unwrap_or_else(PoisonError::into_inner);
        }
        state.free -= 1;
        state.work.pop_front()
    }

    fn end(&self) {
        self.lock().is_over = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("work", &self.work.len())
            .field("free", &self.free)
            .finish_non_exhaustive()
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
        for _ in 0..THREADS_MAX {
            found(&threads);
        }
        assert_eq!(threads.start(1001, || {}, || {}), Ok(()));
        threads.join(LIMIT);
        assert!(threads.threads.is_empty(), "also those that are free");
    }

    #[test]
    fn work_is_done_by_threads_that_are_free_and_beside_those_that_hang() {
        let mut threads = Threads::new();
        let (release, held) = channel::<()>();
        let hang = move || {
            let _ = held.recv();
            std::thread::current().id()
        };
        threads.start(0, hang, || {}).expect("a thread");
        let ids: std::collections::HashSet<_> = (1..100)
            .map(|run| {
                let id = || std::thread::current().id();
                threads.start(run, id, || {}).expect("a thread");
                let (ended, id) = found(&threads);
                assert_eq!(ended, run);
                id
            })
            .collect();
        // one that has just ended may not be free yet
        assert!(ids.len() <= 1 + FREE_MAX, "{}", ids.len());
        drop(release);
        assert!(found(&threads).1.is_some_and(|it| !ids.contains(&Some(it))));
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
