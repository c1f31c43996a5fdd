// SPDX-License-Identifier: MIT OR Apache-2.0
//! A machine that has far too much to do, and then nothing any more: all comes back by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, id};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Disk, Wire, scenario, signal_to};
use spared_tests::linked::{INTERVAL, Linked, peer};
use spared_tests::random::number;
use spared_tests::router::{Plan, PluginFile, Spared};

const BUSY: usize = 40;
/// After so much quiet nothing is left of it.
const QUIET: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(100);

/// Processes that do nothing, as fast as they can, and two that take all memory of a group.
struct Load {
    children: Vec<Child>,
    memory: Option<MemoryGroup>,
    _disks: Vec<Disk>,
}

impl Load {
    fn start(pair: &Linked) -> Result<Self> {
        let mut disks = Vec::new();
        for router in &pair.routers {
            let disk = Disk::over(&router.dir.join("state"), "64k")?;
            disk.fill()?;
            disks.push(disk);
        }
        let mut load = Self {
            children: Vec::new(),
            memory: MemoryGroup::new(),
            _disks: disks,
        };
        if let Some(group) = &load.memory {
            for pid in pair.routers.iter().flat_map(|it| it.pids()) {
                group.take(pid)?;
            }
        }
        for _ in 0..BUSY {
            load.run("while :; do :; done")?;
        }
        if let Some(procs) = load.memory.as_ref().map(MemoryGroup::procs) {
            // the kernel kills these when it finds no memory
            let eater = format!(
                "echo 1000 >/proc/self/oom_score_adj; echo $$ >{}; while :; do tail /dev/zero; done",
                procs.display()
            );
            load.run(&eater)?;
            load.run(&eater)?;
        }
        Ok(load)
    }

    fn run(&mut self, script: &str) -> Result<()> {
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .stderr(std::process::Stdio::null());
        self.children.push(command.spawn()?);
        Ok(())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A cgroup with little memory. None, with a line, where the kernel gives none to this user.
struct MemoryGroup {
    folder: PathBuf,
    before: PathBuf,
}

impl MemoryGroup {
    /// Bytes of all that is in it.
    const LIMIT: &str = "67108864";

    fn new() -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup/memory");
        let all = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = |line: &&str| line.split(':').nth(1) == Some("memory");
        let path = all
            .lines()
            .find(own)
            .and_then(|it| it.splitn(3, ':').nth(2));
        let path = path.unwrap_or("/").trim_start_matches('/');
        // what is mounted may be a part of the tree alone
        let before = [root.join(path), root.to_owned()];
        let before = before
            .into_iter()
            .find(|it| it.join("cgroup.procs").exists());
        let made = before.and_then(|before| {
            let folder = before.join(format!("spared-overload-{}", id()));
            fs::create_dir(&folder).ok()?;
            let group = Self { folder, before };
            fs::write(group.folder.join("memory.limit_in_bytes"), Self::LIMIT).ok()?;
            Some(group)
        });
        if made.is_none() {
            eprintln!("no cgroup with the controller memory: nothing takes memory away");
        }
        made
    }

    fn procs(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    fn take(&self, pid: u32) -> Result<()> {
        Ok(fs::write(self.procs(), pid.to_string())?)
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        // those that take memory are killed; what the hosts started is here, too
        let is_empty = || {
            let inside = fs::read_to_string(self.procs()).unwrap_or_default();
            for pid in inside.lines() {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                if line.starts_with(b"tail\0") {
                    let _ = pid.parse().map(|pid| signal_to(pid, Signal::KILL));
                }
                let _ = fs::write(self.before.join("cgroup.procs"), pid);
            }
            fs::remove_dir(&self.folder).is_ok()
        };
        if !poll(Duration::from_secs(5), STEP, is_empty) {
            eprintln!("{}: not removed", self.folder.display());
        }
    }
}

fn plan() -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.without_preference();
    plan.plugins.push(peer(""));
    plan.plugins.push(PluginFile {
        name: "conntrack".to_owned(),
        toml: String::new(),
        file: "libspared_conntrack.so".to_owned(),
    });
    plan
}

fn wait_ok(pair: &Linked) -> Result<()> {
    let is_ok = || {
        (0..2).all(|site| {
            let said = pair.said(site, &["probe"]).unwrap_or_default();
            said == (0, "ok\n".to_owned())
        })
    };
    match poll(QUIET, STEP, is_ok) {
        true => Ok(()),
        false => pair.wait("OK on both", is_ok),
    }
}

/// How often each plugin of a node was started again.
fn restarts(pair: &Linked, site: usize) -> Vec<(String, u64)> {
    let status = pair.status(site).unwrap_or_default();
    let plugins = status.plugins.into_iter();
    plugins.map(|it| (it.name, it.restarts)).collect()
}

/// Nobody says `reload`.
fn survives(time: Duration, may_restart: bool) {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        wait_ok(&pair)?;
        let load = Load::start(&pair)?;
        thread::sleep(time);
        drop(load);
        wait_ok(&pair)?;
        for site in 0..2 {
            let restarts = restarts(&pair, site);
            let is_calm = may_restart || restarts.iter().all(|it| it.1 == 0);
            assert!(is_calm, "{site}: {restarts:?}");
            println!("r{}: {restarts:?}", site + 1);
        }
        Ok(())
    });
}

#[test]
fn after_half_a_minute_without_processor_memory_and_disk_all_runs_again() {
    survives(Duration::from_secs(30), false);
}

#[test]
#[ignore = "long: `make soak-overload`"]
fn after_five_minutes_without_processor_memory_and_disk_all_runs_again() {
    survives(Duration::from_secs(number("SPARED_SECONDS", 300)), true);
}

/// Whatever it was that killed a plugin until it was given up: when that is over, so is all of it.
#[test]
fn a_plugin_that_was_given_up_is_back_in_sync_within_a_minute_of_quiet() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        wait_ok(&pair)?;
        let site = 1 - pair.at()?;
        let router = Spared(&pair.routers[site]);
        let plugin = || -> Result<_> {
            let mut plugins = router.status()?.plugins.into_iter();
            let found = plugins.find(|it| it.name == "messenger");
            Ok(found.ok_or("no messenger")?)
        };
        pair.wait("given up", || {
            let Ok(plugin) = plugin() else { return false };
            if let Some(pid) = plugin.pid {
                // it may have ended by itself
                let _ = signal_to(pid, Signal::KILL);
            }
            plugin.state == "failed"
        })?;
        let (code, word) = pair.said(1 - site, &["probe"])?;
        assert_eq!((code, word.as_str()), (1, "degraded\n"));
        wait_ok(&pair)
    });
}
