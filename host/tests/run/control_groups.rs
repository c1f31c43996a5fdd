//! Control groups of the workers, as if systemd had delegated one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{XattrFlags, setxattr};
use rustix::process::Signal;
use spared_tests::clock::poll;
use spared_tests::lab::signal_to;

use crate::lab::Alone;

/// Control group that is marked as delegated, removed at the end.
struct Delegated(PathBuf);

impl Delegated {
    /// Creates the group; None, with the reason printed, if this process may create none.
    fn or_skip() -> Option<Self> {
        let places = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
        let root = places
            .iter()
            .find(|it| it.join("cgroup.controllers").exists());
        let made = root.ok_or(io::ErrorKind::NotFound.into()).and_then(|root| {
            let folder = root.join(format!("spared-run-{}", std::process::id()));
            fs::create_dir(&folder)?;
            let group = Self(folder);
            setxattr(&group.0, "user.delegate", b"1", XattrFlags::empty())?;
            Ok(group)
        });
        made.inspect_err(|error: &io::Error| eprintln!("skipped: no control group: {error}"))
            .ok()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
        let is_removed = || {
            let below = fs::read_dir(&self.0).into_iter().flatten().flatten();
            below.for_each(|it| drop(fs::remove_dir(it.path())));
            fs::remove_dir(&self.0).is_ok()
        };
        poll(
            Duration::from_secs(5),
            Duration::from_millis(20),
            is_removed,
        );
    }
}

#[test]
fn programs_of_a_worker_that_was_killed_do_not_add_up() {
    let Some(group) = Delegated::or_skip() else {
        return;
    };
    let Some(mut lab) = Alone::new() else { return };
    lab.enable_own("forks");
    let joins = format!("echo $$ >{}/cgroup.procs && exec \"$@\"", group.0.display());
    lab.start_by(&["sh", "-c", &joins, "sh"], &[]);
    lab.start();
    let programs = || {
        let sleeps = |pid: &u32| {
            let words = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.starts_with("sleep\0")
        };
        lab.namespace
            .processes()
            .iter()
            .filter(|it| sleeps(it))
            .count()
    };
    for restarts in 0..3 {
        lab.wait("its start", || {
            let plugin = lab.plugin("forks");
            plugin.state == "running" && plugin.restarts == restarts
        });
        lab.wait("one program", || programs() == 1);
        let worker = lab.plugin("forks");
        assert!(!worker.confinement.control_group.is_empty(), "{worker:?}");
        signal_to(worker.pid.unwrap(), Signal::KILL).unwrap();
    }
}
