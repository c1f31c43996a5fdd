// SPDX-License-Identifier: MIT OR Apache-2.0
//! Resources that a machine may lack: disks, descriptors, processes, memory, the true time, a kernel that answers.
//! Roles and adverts need none of them, and whatever suffers is there again when the machine has it again.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use spared_message::control::PluginStatus;
use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::lab::{Disk, Lab, VIRTUAL, Wire, disturbed, scenario, signal_to, skipped, usage};
use spared_tests::linked::{INTERVAL, Linked, peer};
use spared_tests::machine::{Machine, Node, Parts, wait_settled};
use spared_tests::pair::Fault;
use spared_tests::probe::{Asker, Control, Questions};
use spared_tests::router::{Plan, Spared};
use spared_tests::rtnl::Rtnl;

const STEP: Duration = Duration::from_millis(20);
/// Some tries to start what died. It is given up after 10 s of them.
const SHORTAGE: Duration = Duration::from_millis(900);
/// Time in which sparectl gives up by itself.
const PATIENCE: Duration = Duration::from_secs(4);
/// A plugin that was given up is tried again every 30 s.
const AGAIN: Duration = Duration::from_secs(45);

fn plan() -> Plan {
    plan_of(INTERVAL)
}

fn plan_of(interval: Duration) -> Plan {
    let mut plan = Plan::linked(interval, &[Wire::Hot]);
    plan.without_preference();
    plan.plugins.push(peer(""));
    plan
}

fn plugin(pair: &Linked, site: usize, name: &str) -> Result<PluginStatus> {
    let plugins = pair.status(site)?.plugins.into_iter();
    let found = plugins.into_iter().find(|it| it.name == name);
    Ok(found.ok_or_else(|| format!("no {name}"))?)
}

/// Kills a plugin's worker and the link's process.
fn kill_two(pair: &Linked, site: usize) -> Result<()> {
    let worker = plugin(pair, site, "messenger")?.pid.ok_or("no worker")?;
    let link = pair.process(site, "link").ok_or("no link")?;
    for pid in [worker, link] {
        signal_to(pid, Signal::KILL)?;
    }
    Ok(())
}

/// Both are there again.
fn wait_whole(pair: &Linked, site: usize) -> Result<()> {
    let runs = || plugin(pair, site, "messenger").is_ok_and(|it| it.state == "running");
    if !poll(AGAIN, STEP, runs) {
        pair.wait("running again", runs)?;
    }
    pair.wait_settled()
}

fn prlimit(pid: u32, limit: &str) -> Result<()> {
    let pid = pid.to_string();
    let status = Command::new("prlimit")
        .args(["--pid", &pid, limit])
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("prlimit {limit}: {status}").into())
    }
}

fn host_of(pair: &Linked, site: usize) -> u32 {
    pair.routers[site].daemons[0].pid()
}

// ---- disks

fn state_dir(lab: &Lab, site: usize) -> PathBuf {
    lab.dir.join(format!("r{}-spared/state", site + 1))
}

/// In its status, but for the last event, which may be that this is over.
fn says(pair: &Linked, site: usize, text: &str) -> bool {
    let (_, said) = pair.said(site, &["status"]).unwrap_or_default();
    let mut lines = said.lines().filter(|line| !line.contains("last event"));
    lines.any(|line| line.contains(text))
}

/// A node has tried to write, and says on which disk it could not.
fn wait_said(pair: &Linked, site: usize) -> Result<()> {
    let line = format!("r{}-spared/state/history.log", site + 1);
    let told = |line: &&str| line.contains("changes are lost at a restart");
    pair.wait("what is not kept is said", || {
        let log = pair.routers[site].log();
        says(pair, site, "SP-0801") && log.lines().filter(told).any(|it| it.contains(&line))
    })
}

#[test]
fn nodes_start_and_serve_with_a_full_disk_and_with_a_read_only_one_and_say_so() {
    scenario(2, |lab| {
        let mut disks = Vec::new();
        for site in 0..2 {
            let folder = state_dir(lab, site);
            fs::create_dir_all(&folder)?;
            disks.push(Disk::over(&folder, "64k")?);
        }
        disks[0].fill()?;
        disks[1].remount("ro")?;
        let mut pair = Linked::start(lab, &plan())?;
        let old = pair.at()?;
        wait_said(&pair, old)?;
        let new = pair.strike(Fault::Kill)?;
        pair.repair(Fault::Kill, old)?;
        assert_eq!(pair.at()?, new);
        wait_said(&pair, new)?;
        disks[0].empty()?;
        disks[1].remount("rw")?;
        for site in 0..2 {
            pair.wait("written", || !says(&pair, site, "SP-0801"))?;
        }
        let text = fs::read_to_string(state_dir(lab, new).join("history.log"))?;
        assert!(text.contains("peer-silent"), "{text}");
        Ok(())
    });
}

// ---- descriptors

/// The number of the next descriptor of a process.
fn next_descriptor(pid: u32) -> u32 {
    let taken = |number: &u32| fs::symlink_metadata(format!("/proc/{pid}/fd/{number}")).is_ok();
    (0..).find(|number| !taken(number)).unwrap_or_default()
}

#[test]
fn a_host_without_descriptors_keeps_its_role_and_starts_what_died_as_soon_as_it_has_some() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        let site = pair.at()?;
        let host = host_of(&pair, site);
        // only after its first end is a worker started again without a pause
        let first = plugin(&pair, site, "messenger")?.pid;
        signal_to(first.ok_or("no worker")?, Signal::KILL)?;
        pair.wait("another worker", || {
            plugin(&pair, site, "messenger")
                .is_ok_and(|it| it.state == "running" && it.pid != first)
        })?;
        kill_two(&pair, site)?;
        // what both of them had is free again, and nothing of it is taken for 100 ms
        let ended = || {
            let log = pair.routers[site].log();
            let pauses = ["restarting in 100 ms", "restarting in 200 ms"];
            pauses.iter().all(|pause| log.contains(pause))
        };
        poll(SHORTAGE, STEP / 20, ended);
        prlimit(host, &format!("--nofile={}:", next_descriptor(host)))?;
        let (began, used) = (Instant::now(), usage(host).0);
        let turned_away = pair.said(site, &["status"])?;
        if turned_away.1.contains("messenger") {
            return Err(disturbed("the host had time to start them"));
        }
        assert_ne!(turned_away.0, 0, "{}", turned_away.1);
        assert!(
            began.elapsed() < PATIENCE,
            "it waits: {:?}",
            began.elapsed()
        );
        thread::sleep(SHORTAGE);
        let (took, used) = (began.elapsed(), usage(host).0 - used);
        assert!(used < took / 2, "busy for {used:?} of {took:?}");
        assert_eq!(pair.role(1 - site), "backup");
        prlimit(host, "--nofile=1024:")?;
        wait_whole(&pair, site)?;
        let log = pair.routers[site].log();
        for line in [
            "messenger: cannot start a worker: ",
            "cannot accept sparectl: ",
        ] {
            let lines = log.lines().filter(|it| it.contains(line));
            let named = lines.filter(|it| it.contains("Too many open files"));
            assert!(named.count() > 0, "no \"{line}\":\n{log}");
        }
        Ok(())
    });
}

// ---- processes

/// A cgroup that bounds processes, with the host alone in it.
struct Cgroup {
    folder: PathBuf,
    before: PathBuf,
    host: u32,
}

impl Cgroup {
    fn of(host: u32) -> Result<Self> {
        let missing =
            |what: String| skipped(format!("needs a cgroup with the controller pids: {what}"));
        let (root, own) = [("/sys/fs/cgroup/pids", "pids"), ("/sys/fs/cgroup", "")]
            .into_iter()
            .find(|(root, _)| fs::metadata(format!("{root}/cgroup.procs")).is_ok())
            .ok_or_else(|| missing("none is mounted".to_owned()))?;
        let all = fs::read_to_string(format!("/proc/{host}/cgroup"))?;
        let named = |line: &&str| line.split(':').nth(1) == Some(own);
        let path = all
            .lines()
            .find(named)
            .and_then(|line| line.splitn(3, ':').nth(2));
        let before = PathBuf::from(format!("{root}{}", path.unwrap_or("/")));
        let folder = before.join(format!("spared-test-{host}"));
        fs::create_dir(&folder).map_err(|error| missing(error.to_string()))?;
        let cgroup = Self {
            folder,
            before,
            host,
        };
        fs::metadata(cgroup.folder.join("pids.max")).map_err(|error| missing(error.to_string()))?;
        fs::write(cgroup.folder.join("cgroup.procs"), host.to_string())?;
        Ok(cgroup)
    }

    fn allow(&self, processes: &str) -> Result<()> {
        Ok(fs::write(self.folder.join("pids.max"), processes)?)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // whatever it has started is there as well
        let inside = fs::read_to_string(self.folder.join("cgroup.procs")).unwrap_or_default();
        for pid in inside.lines().chain([self.host.to_string().as_str()]) {
            let _ = fs::write(self.before.join("cgroup.procs"), pid);
        }
        if let Err(error) = fs::remove_dir(&self.folder) {
            eprintln!("{}: {error}", self.folder.display());
        }
    }
}

#[test]
fn a_host_without_processes_keeps_its_role_and_starts_what_died_as_soon_as_it_may() {
    scenario(2, |lab| {
        let pair = Linked::start(lab, &plan())?;
        let site = pair.at()?;
        let starter = pair.process(site, "starter").ok_or("no starter")?;
        let cgroup = Cgroup::of(starter)?;
        cgroup.allow("1")?;
        kill_two(&pair, site)?;
        thread::sleep(SHORTAGE);
        let now = plugin(&pair, site, "messenger")?;
        assert!(
            now.pid.is_none() && now.why.contains("cannot start a worker: "),
            "{now:?}"
        );
        assert_eq!(pair.at()?, site);
        cgroup.allow("max")?;
        wait_whole(&pair, site)
    });
}

// ---- time, and what a worker may lack

const YEARS_S: i64 = 5 * 365 * 24 * 3600;
const LIMIT: Duration = Duration::from_secs(30);

/// Machines, as their clocks are their own, and their root may limit every process.
fn two_machines(lab: &Lab, interval: Duration) -> Result<[Machine; 2]> {
    let cards = [Wire::Lan, Wire::Wan, Wire::Hot];
    let parts = |name, host| Parts::new(name, host, &cards);
    let machines = Machine::boot(lab, [parts("r1", 11), parts("r2", 12)])?;
    for machine in &machines {
        Node(machine).start(&plan_of(interval))?;
    }
    Ok(machines)
}

fn is_joined(nodes: [Node; 2]) -> bool {
    nodes.iter().all(|node| {
        let peer = node.status().unwrap_or_default().peer;
        peer.is_some_and(|peer| peer.up)
    })
}

fn worker(node: Node) -> Option<u32> {
    let plugins = node.status().unwrap_or_default().plugins.into_iter();
    plugins
        .filter(|it| it.name == "messenger")
        .find_map(|it| it.pid)
}

/// Another worker follows, and both nodes are settled.
fn wait_followed(nodes: [Node; 2], site: usize, old: u32, line: &str) -> Result<()> {
    let is_new = || worker(nodes[site]).is_some_and(|pid| pid != old);
    let log = || nodes[site].log();
    assert!(poll(LIMIT, STEP, is_new), "no other worker:\n{}", log());
    assert!(log().contains(line), "no \"{line}\":\n{}", log());
    wait_settled(nodes, LIMIT).map(drop)
}

// ---- the kernel

/// Longer than a worker may be silent, and than the host may be.
const HELD: Duration = Duration::from_secs(10);

mod alone {
    use super::*;

    #[test]
    fn a_kernel_that_changes_no_interface_for_ten_seconds_moves_no_role_and_delays_a_failover_only()
    {
        scenario(2, |lab| {
            let control = Control::start();
            let mut pair = Linked::start(lab, &plan())?;
            let (old, before) = (pair.at()?, pair.transitions());
            let questions = Questions {
                ipv4: vec![Wire::Lan.ipv4(VIRTUAL)],
                ..Questions::default()
            };
            let _asker = Asker::start(lab, questions, INTERVAL / 4)?;
            let rtnl = Rtnl::hold(HELD)?;
            let began = Stamp::now();
            thread::sleep(HELD / 2);
            assert!(rtnl.is_held());
            let worst = pair.watch.worst_spacing(began, old, Wire::Lan);
            control.judge("without an advert", began, worst, INTERVAL * 3 / 2)?;
            assert_eq!(pair.transitions(), before, "a role has moved");
            // its end is not waited for: who closes a socket may wait for the lock as well
            pair.routers[old].daemons[0].signal_all(Signal::KILL)?;
            rtnl.wait();
            let new = 1 - old;
            pair.wait("the other active", || pair.role(new) == "active")?;
            let plugins = Spared(&pair.routers[new]).status()?.plugins;
            let dead: Vec<_> = plugins.iter().filter(|it| it.restarts > 0).collect();
            assert!(dead.is_empty(), "{dead:?}");
            pair.routers[old].kill();
            pair.repair(Fault::Kill, old)?;
            pair.one_answered(began)
        });
    }
}

mod in_machines {
    use spared_tests::machine::STEP;

    use super::*;

    /// So long that a machine may be late by a second and keep its role.
    const SLOW: Duration = Duration::from_millis(400);

    #[test]
    fn clocks_that_jump_by_years_move_no_role_and_end_no_term() {
        scenario(0, |lab| {
            let machines = two_machines(lab, SLOW)?;
            let nodes = [Node(&machines[0]), Node(&machines[1])];
            let active = wait_settled(nodes, LIMIT)?;
            nodes[active].done("freeze 30m")?;
            nodes[1 - active].done("maintenance on --for 1h")?;
            let roles = || nodes.map(|node| (node.role(), node.group().transitions));
            let before = roles();
            for (site, seconds) in [
                (0, YEARS_S),
                (1, -YEARS_S),
                (0, -2 * YEARS_S),
                (1, 2 * YEARS_S),
            ] {
                let starved = || machines.iter().map(Machine::starved).max();
                let before_it = starved().unwrap_or_default();
                machines[site].shift_clock(seconds)?;
                thread::sleep(SLOW * 4);
                let waited = starved().unwrap_or_default().saturating_sub(before_it);
                if roles() != before && waited > SLOW * 2 {
                    let text = format!("a machine had no processor for {waited:?}");
                    return Err(disturbed(text));
                }
                assert_eq!(roles(), before, "r{} by {seconds} s", site + 1);
            }
            // the nodes meet again, and tell each other what is left of it
            const LINK: &str = "pgrep -f ' link$'";
            let old = machines[active].ok(LINK)?;
            machines[active].ok("kill -KILL $(pgrep -f ' link$')")?;
            let is_new = || machines[active].ok(LINK).is_ok_and(|it| it != old);
            assert!(
                poll(LIMIT, STEP, is_new),
                "the link's process has not begun again"
            );
            assert!(poll(LIMIT, STEP, || is_joined(nodes)), "no link");
            thread::sleep(SLOW * 4);
            assert_eq!(roles(), before);
            for node in nodes {
                assert!(
                    node.status()?.orders.frozen_until.is_some(),
                    "{} is not frozen",
                    node.0.name
                );
            }
            assert!(nodes[1 - active].status()?.orders.maintenance.is_some());
            nodes[active].done("freeze off")?;
            nodes[1 - active].done("maintenance off")?;
            wait_settled(nodes, LIMIT)?;
            machines[active].kill();
            nodes[1 - active].wait_role("active", LIMIT)
        });
    }

    #[test]
    fn a_worker_that_gets_no_memory_is_started_again() {
        scenario(0, |lab| {
            let machines = two_machines(lab, INTERVAL)?;
            let nodes = [Node(&machines[0]), Node(&machines[1])];
            let site = 1 - wait_settled(nodes, LIMIT)?;
            let machine = &machines[site];
            let old = worker(nodes[site]).ok_or("no worker")?;
            machine.ok(&format!("prlimit --pid {old} --as=1:"))?;
            // more than it has free
            let file = lab.dir.join(format!(
                "{}-spared/etc/plugins/messenger.toml",
                machine.name
            ));
            machine.ok(&format!(
                "{{ printf 'note = \"'; head -c 120000 /dev/zero | tr '\\0' '#'; echo '\"'; }} >>{}",
                file.display()
            ))?;
            let _ = nodes[site].sparectl("reload")?;
            wait_followed(nodes, site, old, "memory allocation of")
        });
    }
}
