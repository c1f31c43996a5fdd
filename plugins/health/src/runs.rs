//! Runs under way: children, connections, and threads that read files.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use spared_sdk::{Host, Interest, Waker};

use crate::engine::{Finding, Job};
use crate::probe::child::{Program, Running};
use crate::probe::{self, Root, tcp};

/// Time for which the end of the plugin waits for threads; one that hangs on a dead file server
/// ends with the process.
const JOIN_WAIT: Duration = Duration::from_millis(500);
/// Threads that hang in the kernel; more would only hang, too.
const THREADS_MAX: usize = 64;

/// All runs, by the engine's number.
#[derive(Debug)]
pub struct Runs {
    host: Host,
    node: String,
    children: BTreeMap<u64, Running>,
    /// Killed, and not yet collected.
    dying: Vec<Running>,
    connections: BTreeMap<u64, OwnedFd>,
    threads: Vec<JoinHandle<()>>,
    found: Receiver<(u64, Vec<Finding>)>,
    finder: Sender<(u64, Vec<Finding>)>,
}

/// A run and what it found, where that is known at once.
pub type Ended = Option<(u64, Vec<Finding>)>;

impl Runs {
    pub fn new(host: Host, node: &str) -> Self {
        let (finder, found) = channel();
        Self {
            host,
            node: node.to_owned(),
            children: BTreeMap::new(),
            dying: Vec::new(),
            connections: BTreeMap::new(),
            threads: Vec::new(),
            found,
            finder,
        }
    }

    pub fn start(&mut self, run: u64, job: Job) -> Ended {
        let known = match job {
            Job::Connect(to) => match tcp::begin(to) {
                tcp::Begun::Known(finding) => Some(finding),
                tcp::Begun::Pending(socket) => {
                    let failed = self.watch(socket.as_raw_fd(), Interest::WRITE);
                    self.connections.insert(run, socket);
                    failed
                }
            },
            Job::Spawn {
                check,
                argv,
                output,
                system,
            } => self.spawn(run, &check, &argv, output, system),
            Job::Read(kind) => {
                let read = move || probe::read(&Root::new("/"), &kind);
                self.read(run, read)
            }
        };
        known.map(|finding| (run, vec![finding]))
    }

    fn spawn(
        &mut self,
        run: u64,
        check: &str,
        argv: &[String],
        graded: bool,
        system: bool,
    ) -> Option<Finding> {
        let program = Program {
            argv,
            graded,
            system,
            node: &self.node,
            check,
        };
        let running = match Running::start(&program) {
            Ok(running) => running,
            Err(why) => return Some(Finding::failed(why)),
        };
        let failed = self
            .watch(running.pidfd().as_raw_fd(), Interest::READ)
            .or_else(|| self.watch(running.output().as_raw_fd(), Interest::READ));
        if failed.is_some() {
            self.reap_later(running);
        } else {
            self.children.insert(run, running);
        }
        failed
    }

    /// A thread of its own for each: the disk of one check must not hold up the others.
    fn read(
        &mut self,
        run: u64,
        read: impl FnOnce() -> Vec<Finding> + Send + 'static,
    ) -> Option<Finding> {
        self.threads.retain(|thread| !thread.is_finished());
        if self.threads.len() >= THREADS_MAX {
            return Some(Finding::failed("too many file checks hang"));
        }
        let (finder, waker): (_, Waker) = (self.finder.clone(), self.host.waker());
        let thread = std::thread::Builder::new().name("health-read".to_owned());
        let spawned = thread.spawn(move || {
            // nobody listens any more where the plugin has ended
            if finder.send((run, read())).is_ok() {
                waker.wake();
            }
        });
        match spawned {
            Ok(thread) => {
                self.threads.push(thread);
                None
            }
            Err(error) => Some(Finding::failed(format!("cannot start a thread: {error}"))),
        }
    }

    fn watch(&self, fd: RawFd, interest: Interest) -> Option<Finding> {
        let failed = self.host.watch_fd(fd, interest).err()?;
        Some(Finding::failed(failed.to_string()))
    }

    /// A thread has found something.
    pub fn poll_found(&mut self) -> Ended {
        self.found.try_recv().ok()
    }

    /// A descriptor is ready; the outer None where it is none of these.
    pub fn ready(&mut self, fd: RawFd) -> Option<Ended> {
        if let Some(run) = key(&self.connections, |socket| socket.as_raw_fd() == fd) {
            self.host.unwatch_fd(fd);
            let socket = self.connections.remove(&run)?;
            return Some(Some((run, vec![tcp::end(&socket)])));
        }
        if let Some(run) = key(&self.children, |it| it.output().as_raw_fd() == fd) {
            let running = self.children.get_mut(&run)?;
            if !running.listen() {
                self.host.unwatch_fd(fd);
            }
            return Some(None);
        }
        if let Some(run) = key(&self.children, |it| it.pidfd().as_raw_fd() == fd) {
            let Some(finding) = self.children.get_mut(&run)?.end() else {
                return Some(None);
            };
            let running = self.children.remove(&run)?;
            self.unwatch(&running);
            return Some(Some((run, vec![finding])));
        }
        let at = self
            .dying
            .iter()
            .position(|it| it.pidfd().as_raw_fd() == fd)?;
        if self.dying.get_mut(at)?.end().is_some() {
            let running = self.dying.swap_remove(at);
            self.unwatch(&running);
        }
        Some(None)
    }

    /// Nobody wants to know any more.
    pub fn cancel(&mut self, run: u64) {
        if let Some(socket) = self.connections.remove(&run) {
            self.host.unwatch_fd(socket.as_raw_fd());
        }
        if let Some(running) = self.children.remove(&run) {
            self.reap_later(running);
        }
    }

    fn reap_later(&mut self, running: Running) {
        running.kill();
        self.host.unwatch_fd(running.output().as_raw_fd());
        self.dying.push(running);
    }

    fn unwatch(&self, running: &Running) {
        self.host.unwatch_fd(running.pidfd().as_raw_fd());
        self.host.unwatch_fd(running.output().as_raw_fd());
    }

    pub fn end_all(&mut self) {
        for socket in std::mem::take(&mut self.connections).into_values() {
            self.host.unwatch_fd(socket.as_raw_fd());
        }
        let children = std::mem::take(&mut self.children).into_values();
        for running in children.chain(std::mem::take(&mut self.dying)) {
            self.unwatch(&running);
            drop(running);
        }
        let until = std::time::Instant::now() + JOIN_WAIT;
        while self.threads.iter().any(|thread| !thread.is_finished())
            && std::time::Instant::now() < until
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        for thread in self.threads.drain(..).filter(JoinHandle::is_finished) {
            let _ = thread.join();
        }
    }
}

fn key<T>(map: &BTreeMap<u64, T>, is: impl Fn(&T) -> bool) -> Option<u64> {
    map.iter().find(|(_, value)| is(value)).map(|(run, _)| *run)
}
