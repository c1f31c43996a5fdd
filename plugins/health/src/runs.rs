//! Runs in progress: children, connections, and threads that read files or start children.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::time::Duration;

use spared_sdk::{Host, Interest, Waker};

use crate::engine::{Finding, Job};
use crate::probe::child::{Program, Running};
use crate::probe::{self, Root, tcp};
use crate::threads::Threads;

/// Maximum time for which the end of the plugin waits for threads.
const JOIN_WAIT: Duration = Duration::from_millis(500);

/// Time in ns from a kill to the first look if the program is gone; doubled with each look.
const LOOK_NS: u64 = 10_000_000;
const LOOK_MAX_NS: u64 = 1_000_000_000;

/// All runs, by the engine's number.
#[derive(Debug)]
pub struct Runs {
    host: Host,
    node: String,
    /// Runs whose program is being started.
    starting: BTreeSet<u64>,
    children: BTreeMap<u64, Running>,
    /// Killed programs that are not gone yet: one that hangs in the kernel stays until it ends.
    killed: BTreeMap<u64, Running>,
    /// Time of the next look at killed programs, and the pause between two looks.
    look_ns: u64,
    pause_ns: u64,
    connections: BTreeMap<u64, OwnedFd>,
    threads: Threads<ThreadResult>,
}

/// Result of a thread.
#[derive(Debug)]
enum ThreadResult {
    Findings(Vec<Finding>),
    Started(Result<Running, String>),
}

/// Run and its findings, if they are known at once.
pub type Ended = Option<(u64, Vec<Finding>)>;

impl Runs {
    pub fn new(host: Host, node: &str) -> Self {
        Self {
            host,
            node: node.to_owned(),
            starting: BTreeSet::new(),
            children: BTreeMap::new(),
            killed: BTreeMap::new(),
            look_ns: 0,
            pause_ns: LOOK_NS,
            connections: BTreeMap::new(),
            threads: Threads::new(),
        }
    }

    pub fn start(&mut self, run: u64, job: Job) -> Ended {
        let known = match job {
            Job::Connect(to) => match tcp::begin(to) {
                tcp::Begun::Known(finding) => Some(finding),
                tcp::Begun::Pending(socket) => {
                    let failed = self.watch(socket.as_raw_fd(), Interest::WRITE);
                    if failed.is_none() {
                        self.connections.insert(run, socket);
                    }
                    failed
                }
            },
            Job::Spawn {
                check,
                argv,
                output,
                system,
            } => {
                self.starting.insert(run);
                let node = self.node.clone();
                // the program's file may also be on a disk that does not answer
                self.begin(run, move || {
                    ThreadResult::Started(Running::start(&Program {
                        argv: &argv,
                        graded: output,
                        system,
                        node: &node,
                        check: &check,
                    }))
                })
            }
            Job::Read(kind) => self.begin(run, move || {
                ThreadResult::Findings(probe::read(&Root::new("/"), &kind))
            }),
        };
        known.map(|finding| (run, vec![finding]))
    }

    /// Starts a thread for each run: the disk of one check must not delay the others.
    fn begin(
        &mut self,
        run: u64,
        work: impl FnOnce() -> ThreadResult + Send + 'static,
    ) -> Option<Finding> {
        let waker: Waker = self.host.waker();
        let begun = self.threads.start(run, work, move || waker.wake());
        let why = begun.err()?;
        self.starting.remove(&run);
        Some(Finding::failed(why))
    }

    /// Handles the start of a program, whose run may be over.
    fn started(&mut self, run: u64, running: Running) -> Ended {
        if !self.starting.remove(&run) {
            self.kill(run, running);
            return None;
        }
        let failed = self
            .watch(running.pidfd().as_raw_fd(), Interest::READ)
            .or_else(|| self.watch(running.output().as_raw_fd(), Interest::READ));
        if let Some(finding) = failed {
            // its end would not be noticed: dropping it kills it
            self.unwatch(&running);
            return Some((run, vec![finding]));
        }
        self.children.insert(run, running);
        None
    }

    fn watch(&self, fd: RawFd, interest: Interest) -> Option<Finding> {
        let failed = self.host.watch_fd(fd, interest).err()?;
        Some(Finding::failed(failed.to_string()))
    }

    /// Handles the end of a thread; the outer None if no thread has ended.
    pub fn poll_thread(&mut self) -> Option<Ended> {
        let (run, found) = self.threads.poll()?;
        if let Some(ThreadResult::Started(Ok(running))) = found {
            return Some(self.started(run, running));
        }
        self.starting.remove(&run);
        let findings = match found {
            Some(ThreadResult::Findings(findings)) => findings,
            Some(ThreadResult::Started(Err(why))) => vec![Finding::failed(why)],
            _ => vec![Finding::failed("panicked, see the log")],
        };
        Some(Some((run, findings)))
    }

    /// Handles a ready descriptor; the outer None if it belongs to no run.
    pub fn ready(&mut self, fd: RawFd) -> Option<Ended> {
        if let Some(run) = run_where(&self.connections, |socket| socket.as_raw_fd() == fd) {
            self.host.unwatch_fd(fd);
            let socket = self.connections.remove(&run)?;
            return Some(Some((run, vec![tcp::end(&socket)])));
        }
        if let Some(run) = run_where(&self.children, |it| it.output().as_raw_fd() == fd) {
            let running = self.children.get_mut(&run)?;
            if !running.listen() {
                self.host.unwatch_fd(fd);
            }
            return Some(None);
        }
        if let Some(run) = run_where(&self.children, |it| it.pidfd().as_raw_fd() == fd) {
            let Some(finding) = self.children.get_mut(&run)?.end() else {
                return Some(None);
            };
            let running = self.children.remove(&run)?;
            self.unwatch(&running);
            return Some(Some((run, vec![finding])));
        }
        None
    }

    pub fn next_timeout(&self) -> Option<u64> {
        (!self.killed.is_empty()).then_some(self.look_ns)
    }

    /// Runs whose killed programs are gone now: no event reports the end of a whole process group.
    pub fn poll_gone(&mut self, now_ns: u64) -> Vec<u64> {
        if self.next_timeout().is_none_or(|look_ns| now_ns < look_ns) {
            return Vec::new();
        }
        let killed = self.killed.iter_mut();
        let gone: Vec<u64> = killed
            .filter_map(|(run, running)| running.is_gone().then_some(*run))
            .collect();
        self.killed.retain(|run, _| !gone.contains(run));
        self.pause_ns = self.pause_ns.saturating_mul(2).min(LOOK_MAX_NS);
        self.look_ns = now_ns.saturating_add(self.pause_ns);
        gone
    }

    /// Cancels a run.
    pub fn cancel(&mut self, run: u64) {
        self.starting.remove(&run);
        if let Some(socket) = self.connections.remove(&run) {
            self.host.unwatch_fd(socket.as_raw_fd());
        }
        if let Some(running) = self.children.remove(&run) {
            self.kill(run, running);
        }
    }

    fn kill(&mut self, run: u64, running: Running) {
        running.kill();
        self.unwatch(&running);
        self.killed.insert(run, running);
        self.pause_ns = LOOK_NS;
        self.look_ns = self.host.now().saturating_add(LOOK_NS);
    }

    fn unwatch(&self, running: &Running) {
        self.host.unwatch_fd(running.pidfd().as_raw_fd());
        self.host.unwatch_fd(running.output().as_raw_fd());
    }

    pub fn end_all(&mut self) {
        for socket in std::mem::take(&mut self.connections).into_values() {
            self.host.unwatch_fd(socket.as_raw_fd());
        }
        let children = std::mem::take(&mut self.children);
        for running in children.values() {
            self.unwatch(running);
            // kills all first, because dropping waits for each
            running.kill();
        }
        drop(children);
        self.killed.clear();
        self.threads.join(JOIN_WAIT);
    }
}

fn run_where<T>(map: &BTreeMap<u64, T>, is: impl Fn(&T) -> bool) -> Option<u64> {
    map.iter().find(|(_, value)| is(value)).map(|(run, _)| *run)
}
