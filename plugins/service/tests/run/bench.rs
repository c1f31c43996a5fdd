// SPDX-License-Identifier: MIT OR Apache-2.0
//! Folder with programs, and a loop like the plugin's that runs jobs there.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs;
use std::os::fd::RawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use spared_service::job::{Job, Service, Status};
use spared_service::run::{Jobs, JobsEvent, MachinePaths, Reactor};

const LIMIT: Duration = Duration::from_secs(20);

#[derive(Clone, Debug)]
pub struct Loop {
    pub watched: Rc<RefCell<BTreeSet<RawFd>>>,
    pub born: Instant,
    /// Seconds of its clock in a real second, for tests of long limits.
    pub pace: Rc<Cell<u32>>,
}

impl Reactor for Loop {
    fn watch(&self, fd: RawFd) -> Result<(), String> {
        assert!(self.watched.borrow_mut().insert(fd), "{fd} twice");
        Ok(())
    }

    fn unwatch(&self, fd: RawFd) {
        self.watched.borrow_mut().remove(&fd);
    }

    fn now_ns(&self) -> u64 {
        let now = self.born.elapsed() * self.pace.get();
        u64::try_from(now.as_nanos()).expect("a short test")
    }
}

/// Folder with programs, and the jobs that run in it.
pub struct Bench {
    pub folder: PathBuf,
    pub watched: Loop,
    pub jobs: Jobs,
    /// Lock: a child that one test starts must not hold open a script that another test writes.
    _alone: MutexGuard<'static, ()>,
}

impl Bench {
    /// Creates the folder; None if others than root may write it: then no program there is run.
    pub fn new(name: &str, root: &str) -> Option<Self> {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("run-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the build's own folder");
        let watched = Loop {
            watched: Rc::default(),
            born: Instant::now(),
            pace: Rc::new(Cell::new(1)),
        };
        let machine = machine(&folder, root);
        if root.contains("FOLDER") {
            fs::create_dir_all(folder.join("root/run/systemd/system")).expect("our own folder");
            fs::create_dir_all(folder.join("root/run/dbus/system_bus_socket"))
                .expect("our own folder");
        }
        if name == "elsewhere" {
            for (process, namespace) in [("1", "net:[1]"), ("self", "net:[2]")] {
                let folder = folder.join("root/proc").join(process).join("ns");
                fs::create_dir_all(&folder).expect("our own folder");
                symlink(namespace, folder.join("net")).expect("our own folder");
            }
        }
        let jobs = Jobs::with_paths(Box::new(watched.clone()), machine);
        let bench = Self {
            folder,
            watched,
            jobs,
            _alone: alone,
        };
        let probe = bench.script("probe", "exit 0");
        if let Err(refused) = spared_sdk::child::trusted(Path::new(&probe)) {
            eprintln!("skipped: {refused}");
            return None;
        }
        Some(bench)
    }

    /// Jobs of the next worker, in the same folder.
    pub fn another(&self) -> Jobs {
        let machine = machine(&self.folder, "FOLDER/root");
        Jobs::with_paths(Box::new(self.watched.clone()), machine)
    }

    pub fn script(&self, name: &str, text: &str) -> String {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("our own folder");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("our own folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("our own file");
        path.display().to_string()
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    /// Runs one round of the plugin's loop.
    pub fn round(&mut self) {
        let fds: Vec<RawFd> = self.watched.watched.borrow().iter().copied().collect();
        std::thread::sleep(Duration::from_millis(2));
        // a descriptor that is not ready does no harm: no call waits
        for fd in fds {
            if self.watched.watched.borrow().contains(&fd) {
                assert!(self.jobs.ready(fd), "{fd} is nobody's");
            }
        }
        let now_ns = self.watched.now_ns();
        if self
            .jobs
            .next_timeout()
            .is_some_and(|at_ns| at_ns <= now_ns)
        {
            self.jobs.handle_timeout(now_ns);
        }
    }

    pub fn next(&mut self) -> JobsEvent {
        let until = Instant::now() + LIMIT;
        loop {
            if let Some(ended) = self.jobs.poll_event() {
                return ended;
            }
            assert!(Instant::now() < until, "nothing ends");
            self.round();
        }
    }

    pub fn job(&mut self, job: Job) -> Result<(), String> {
        self.jobs.begin(7, job);
        match self.next() {
            JobsEvent::Ended(7, result) => result,
            other => panic!("{other:?}"),
        }
    }

    pub fn run(&mut self, argv: &[&str]) -> Result<(), String> {
        self.job(command(argv))
    }

    pub fn observe(&mut self, services: &[Service]) -> Vec<Status> {
        self.jobs.observe(services);
        let mut found = Vec::new();
        while found.len() < services.len() {
            match self.next() {
                JobsEvent::Observed(statuses) => found.extend(statuses),
                other => panic!("{other:?}"),
            }
        }
        let of = |service: &Service| found.iter().find(|(it, _)| it == service);
        let status = |service| of(service).expect("an answer").1.clone();
        services.iter().map(status).collect()
    }

    pub fn until(&mut self, what: &str, is: impl Fn(&Self) -> bool) {
        let until = Instant::now() + LIMIT;
        while !is(self) {
            assert!(Instant::now() < until, "never {what}");
            self.round();
        }
    }
}

fn machine(folder: &Path, root: &str) -> MachinePaths {
    MachinePaths {
        root: PathBuf::from(root.replace("FOLDER", &folder.display().to_string())),
        programs: Some(folder.join("bin")),
        state: Some(folder.to_owned()),
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.jobs.end_all(&[]);
        let _ = fs::remove_dir_all(&self.folder);
        if !std::thread::panicking() {
            let left = self.watched.watched.borrow();
            assert!(left.is_empty(), "still watched: {left:?}");
        }
    }
}

pub fn command(argv: &[&str]) -> Job {
    Job::Run {
        argv: argv.iter().map(|word| (*word).to_owned()).collect(),
        environment: vec![("SPARED_ROLE".to_owned(), "active".to_owned())],
        user: None,
    }
}

pub fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}
