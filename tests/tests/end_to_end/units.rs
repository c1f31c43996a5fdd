// SPDX-License-Identifier: MIT OR Apache-2.0
//! Broken states that only a machine of its own can have, made on the active node and on the backup: units of
//! systemd that are missing, fail and flap, and a kernel that takes no more flows.

use std::fs;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Lab, Wire, scenario};
use spared_tests::linked::INTERVAL;
use spared_tests::machine::{Init, Machine, Node, Parts, wait_settled};
use spared_tests::router::{Plan, PluginFile};
use spared_verdict::Word;

const STEP: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(30);
/// A report must stay for so long: more than a unit that flaps takes for a round.
const HOLDS: Duration = Duration::from_secs(2);

/// More than the kernel has room for; each takes a process of its own.
const FLOWS: u32 = 150;

const GOOD: &str = "ExecStart=/bin/sleep infinity\n";
const FAILS: &str = "ExecStart=/bin/false\n";
/// Unit that systemd starts again and again.
const FLAPS: &str = "ExecStart=/bin/sleep 0.2\nRestart=always\nRestartSec=0.2\n";

struct Bed {
    machines: [Machine; 2],
}

impl Bed {
    fn node(&self, at: usize) -> Node<'_> {
        Node(&self.machines[at])
    }

    /// Word of the first line, and "SP-0401 r1" of each finding.
    fn said(&self, at: usize) -> (Word, Vec<String>) {
        let verdict = self.node(at).status().unwrap_or_default().verdict;
        let found = verdict.findings.iter();
        let found = found.map(|it| format!("{} {}", it.id, it.node));
        (verdict.word, found.collect())
    }

    /// Waits until both nodes have said the same for a while.
    fn expect(&self, what: &str, word: Word, found: &[&str]) -> Result<()> {
        let is_said = || (0..2).all(|at| self.said(at) == (word, wanted(found)));
        let mut held = Duration::ZERO;
        let holds = poll(LIMIT, STEP, || {
            held = if is_said() {
                held + STEP
            } else {
                Duration::ZERO
            };
            held >= HOLDS
        });
        if holds {
            Ok(())
        } else {
            let said = [0, 1].map(|at| self.node(at).sparectl("status").unwrap_or_default().1);
            Err(format!("{what}: not {word:?} {found:?}:\n{}\n{}", said[0], said[1]).into())
        }
    }

    fn is_ok(&self, what: &str) -> Result<()> {
        self.expect(&format!("after {what}"), Word::Ok, &[])
    }

    /// Writes a node's unit, or removes it, and ends what ran by the old one.
    fn unit(&self, at: usize, lines: Option<&str>) -> Result<()> {
        let machine = &self.machines[at];
        write_unit(machine, lines)?;
        machine.forget_files()?;
        machine.ok("systemctl daemon-reload; pkill -KILL -x sleep || :")?;
        Ok(())
    }
}

fn wanted(found: &[&str]) -> Vec<String> {
    found.iter().map(|it| (*it).to_owned()).collect()
}

fn write_unit(machine: &Machine, lines: Option<&str>) -> Result<()> {
    let units = machine.dir.join("units");
    fs::create_dir_all(&units)?;
    let file = units.join("keeper.service");
    match lines {
        Some(lines) => Ok(fs::write(
            file,
            format!("[Unit]\nStartLimitIntervalSec=0\n[Service]\n{lines}"),
        )?),
        None => Ok(fs::remove_file(file)?),
    }
}

fn plan() -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    let plugin = |name: &str, toml: &str| PluginFile {
        name: name.to_owned(),
        toml: toml.to_owned(),
        file: format!("libspared_{name}.so"),
    };
    let service = "poll_interval = \"1s\"\n[[service]]\nunits = [\"keeper\"]\ntimeout = \"3s\"\n";
    plan.plugins = vec![plugin("service", service), plugin("conntrack", "")];
    plan
}

/// Both nodes run and say OK; r1 is active.
fn start(lab: &Lab) -> Result<Bed> {
    let cards = [Wire::Lan, Wire::Wan, Wire::Hot];
    let parts = |name: &str, host| Parts {
        init: Init::Systemd,
        ..Parts::new(name, host, &cards)
    };
    let machines = Machine::boot(lab, [parts("r1", 11), parts("r2", 12)])?;
    let bed = Bed { machines };
    for at in 0..2 {
        bed.unit(at, Some(GOOD))?;
        bed.node(at).start(&plan())?;
    }
    let active = wait_settled([bed.node(0), bed.node(1)], LIMIT)?;
    assert_eq!(active, 0);
    bed.is_ok("the start")?;
    Ok(bed)
}

#[test]
#[ignore = "long: `make soak-truth`"]
fn units_that_do_not_do_what_they_must_are_no_ok() {
    scenario(0, |lab| {
        let bed = start(lab)?;
        for (what, lines) in [
            ("missing", None),
            ("failing", Some(FAILS)),
            ("flapping", Some(FLAPS)),
        ] {
            bed.unit(0, lines)?;
            bed.expect(what, Word::Warn, &["SP-0401 r1"])?;
            let checked = bed.node(0).check()?;
            let is_named = checked.contains("keeper: systemd knows no such unit");
            assert_eq!(is_named, what == "missing", "{what}: {checked}");
            bed.unit(0, Some(GOOD))?;
            bed.node(0).done("service retry")?;
            bed.is_ok(what)?;
        }
        bed.unit(1, None)?;
        bed.expect("missing on the backup", Word::Warn, &["SP-0401 r2"])?;
        bed.unit(1, Some(GOOD))?;
        bed.node(1).done("service retry")?;
        bed.is_ok("a unit that was missing on the backup")
    });
}

#[test]
#[ignore = "long: `make soak-truth`"]
fn flows_that_a_backup_refuses_are_no_ok_until_it_has_room() {
    scenario(0, |lab| {
        let bed = start(lab)?;
        let limit = "/proc/sys/net/netfilter/nf_conntrack_max";
        let backup = &bed.machines[1];
        let before = backup.ok(&format!("cat {limit}"))?;
        backup.ok(&format!("echo 20 >{limit}"))?;
        let flow = "conntrack -I -p tcp -s 10.1.0.50 -d 10.2.0.50 --dport 80 --state ESTABLISHED \
                    -u SEEN_REPLY,ASSURED -t 600 --sport";
        let line = format!("for port in $(seq {FLOWS}); do {flow} $port; done >/dev/null 2>&1");
        bed.machines[0].run_within(&line, LIMIT * 2)?;
        bed.expect("flows refused", Word::Warn, &["SP-0304 r2"])?;
        // a refusal of each is no flood of messages to the host
        let plugins = bed.node(1).status()?.plugins;
        let restarts: Vec<u64> = plugins.iter().map(|it| it.restarts).collect();
        assert!(restarts.iter().all(|it| *it == 0), "{restarts:?}");
        backup.ok(&format!("echo {} >{limit}", before.trim()))?;
        bed.is_ok("flows that were refused")
    });
}
