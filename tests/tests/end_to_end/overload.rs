// SPDX-License-Identifier: MIT OR Apache-2.0
//! A machine that has far too much to do, and then nothing any more: all comes back by itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, id};
use std::thread;
use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Disk, Wire, note_skip, scenario, signal_to};
use spared_tests::linked::{INTERVAL, Linked, peer};
use spared_tests::random::number;
use spared_tests::router::{Plan, Spared};
use spared_tests::soak::World;
use spared_tests::truth::Bed;

const BUSY: usize = 40;
/// After so much quiet nothing is left of it.
const QUIET: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(100);

/// Processes that end with this value.
#[derive(Default)]
struct Crowd(Vec<Child>);

impl Crowd {
    /// Processes that do nothing, as fast as they can.
    fn busy() -> Result<Self> {
        let mut crowd = Self::default();
        (0..BUSY).try_for_each(|_| crowd.run("while :; do :; done"))?;
        Ok(crowd)
    }

    fn run(&mut self, script: &str) -> Result<()> {
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .stderr(std::process::Stdio::null());
        self.0.push(command.spawn()?);
        Ok(())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Busy processes, two that take all memory of a group, and full disks.
struct Load<'w, 'l> {
    bed: &'w Bed<'l>,
    _crowd: Crowd,
    _memory: Option<MemoryGroup>,
}

impl<'w, 'l> Load<'w, 'l> {
    fn start(bed: &'w Bed<'l>) -> Result<Self> {
        let memory = MemoryGroup::new();
        if let Some(group) = &memory {
            for pid in bed.pair.routers.iter().flat_map(|it| it.pids()) {
                group.take(pid)?;
            }
        }
        let mut crowd = Crowd::busy()?;
        if let Some(procs) = memory.as_ref().map(MemoryGroup::procs) {
            // the kernel kills these when it finds no memory
            let eater = format!(
                "echo 1000 >/proc/self/oom_score_adj; echo $$ >{}; while :; do tail /dev/zero; done",
                procs.display()
            );
            crowd.run(&eater)?;
            crowd.run(&eater)?;
        }
        let load = Self {
            bed,
            _crowd: crowd,
            _memory: memory,
        };
        bed.disks.iter().try_for_each(Disk::fill)?;
        Ok(load)
    }
}

impl Drop for Load<'_, '_> {
    fn drop(&mut self) {
        for disk in &self.bed.disks {
            let _ = disk.empty();
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
        let made = Self::by_controller().or_else(Self::unified);
        if made.is_none() {
            note_skip("no cgroup with the controller memory: nothing takes memory away");
        }
        made
    }

    /// The first version of cgroups, which has a tree for each controller.
    fn by_controller() -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup/memory");
        // what is mounted may be a part of the tree alone
        let before = [root.join(own_group("memory")?), root.to_owned()];
        let before = before
            .into_iter()
            .find(|it| it.join("cgroup.procs").exists())?;
        Self::limited(&before.clone(), before, "memory.limit_in_bytes")
    }

    /// The second version. A group below that of this process could have no controller, as that one has
    /// processes.
    fn unified() -> Option<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let before = root.join(own_group("")?);
        Self::limited(root, before, "memory.max")
    }

    fn limited(parent: &Path, before: PathBuf, limit: &str) -> Option<Self> {
        let folder = parent.join(format!("spared-overload-{}", id()));
        fs::create_dir(&folder).ok()?;
        let group = Self { folder, before };
        fs::write(group.folder.join(limit), Self::LIMIT).ok()?;
        Some(group)
    }

    fn procs(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    fn take(&self, pid: u32) -> Result<()> {
        match fs::write(self.procs(), pid.to_string()) {
            // A command of a service, or a throw-away process, that has ended since it was listed.
            Err(error) if error.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => Ok(()),
            done => Ok(done?),
        }
    }
}

/// This process's group in the tree of a controller, relative to its root. "": the unified tree.
fn own_group(controller: &str) -> Option<String> {
    let all = fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = |line: &&str| line.split(':').nth(1) == Some(controller);
    let line = all.lines().find(own)?;
    let path = line.splitn(3, ':').nth(2)?;
    Some(path.trim_start_matches('/').to_owned())
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
    plan
}

fn wait_ok(pair: &Linked) -> Result<()> {
    let is_ok = || {
        (0..2).all(|site| {
            let said = pair.said(site, &["probe"]).unwrap_or_default();
            said == (0, "ok\n".to_owned())
        })
    };
    if poll(QUIET, STEP, is_ok) {
        Ok(())
    } else {
        pair.wait("OK on both", is_ok)
    }
}

/// How often each plugin of a node was started again.
fn restarts(pair: &Linked, site: usize) -> Vec<(String, u64)> {
    let status = pair.status(site).unwrap_or_default();
    let plugins = status.plugins.into_iter();
    plugins.map(|it| (it.name, it.restarts)).collect()
}

/// Lifts the limit, as the unit does. Without locked memory the elector has the kernel look for memory for it, for
/// longer than a real-time process may compute.
fn may_lock_memory() -> bool {
    let all = Rlimit {
        current: None,
        maximum: None,
    };
    setrlimit(Resource::Memlock, all).is_ok()
}

/// Everything is enabled, with a DHCP server and clients, and nobody says `reload`.
fn survives(time: Duration, may_restart: bool) {
    scenario(2, |lab| {
        let is_locked = may_lock_memory();
        let world = World::start(lab)?;
        let pair = &world.bed.pair;
        let before = [0, 1].map(|site| restarts(pair, site));
        let load = Load::start(&world.bed)?;
        thread::sleep(time);
        drop(load);
        wait_ok(pair)?;
        for (site, before) in before.into_iter().enumerate() {
            let restarts = restarts(pair, site);
            let is_excused = |name: &str| may_restart || name == "vrrp" && !is_locked;
            let mut pairs = restarts.iter().zip(&before);
            let is_calm = pairs.all(|(now, then)| now == then || is_excused(&now.0));
            assert!(is_calm, "{site}: {restarts:?}");
            println!("r{}: {restarts:?}", site + 1);
        }
        Ok(())
    });
}

#[test]
#[ignore = "long: `make soak-overload`"]
fn after_five_minutes_without_processor_memory_and_disk_all_runs_again() {
    survives(Duration::from_secs(number("SPARED_SECONDS", 300)), true);
}

/// A key that takes half a second of a free processor to derive: nobody takes that for a link that hangs.
#[test]
#[ignore = "long: `make soak-overload`"]
fn a_passphrase_joins_nodes_that_have_no_time_for_it() {
    scenario(2, |lab| {
        let crowd = Crowd::busy()?;
        let mut plan = plan();
        if let Some(link) = &mut plan.link {
            link.secret = Some("a passphrase of many words".to_owned());
        }
        let pair = Linked::start(lab, &plan)?;
        drop(crowd);
        wait_ok(&pair)?;
        for router in &pair.routers {
            let log = router.log();
            assert!(!log.contains("did not answer"), "{log}");
        }
        Ok(())
    });
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

mod alone {
    use super::*;

    #[test]
    fn after_some_seconds_without_processor_memory_and_disk_all_runs_again() {
        survives(Duration::from_secs(15), false);
    }
}
