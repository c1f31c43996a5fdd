// SPDX-License-Identifier: MIT OR Apache-2.0
//! Machines lose power while a configuration waits for its confirmation: their next boot has the old one in force.

use std::fs;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::lab::{Lab, Wire, build_dir, scenario};
use spared_tests::machine::{Machine, Node, Parts, STEP, wait_settled};

use crate::files::expect;
use crate::files_config::{marked, opt, plan};

const LIMIT: Duration = Duration::from_secs(60);
const SAID: &str = "nobody confirmed the last reload before the daemon ended: the configuration from before is in force";
const EDIT: &str = "settle_ms = 300\n";

/// Two nodes with their files where a package has them.
struct Pair<'l> {
    lab: &'l Lab,
    machines: [Machine; 2],
}

fn parts(site: usize) -> Parts {
    let name = ["r1", "r2"][site];
    let host = [11, 12][site];
    Parts::new(name, host, &[Wire::Lan, Wire::Wan, Wire::Hot])
}

impl<'l> Pair<'l> {
    fn start(lab: &'l Lab) -> Result<Self> {
        let machines = Machine::boot(lab, [0, 1].map(parts))?;
        let pair = Self { lab, machines };
        for (site, machine) in pair.machines.iter().enumerate() {
            let node = Node(machine);
            node.write(&plan(lab, &machine.name))?;
            let etc = node.dir().join("etc");
            let opt_in = opt(lab, &machine.name, true);
            fs::write(etc.join("plugins/files-root.toml"), opt_in)?;
            let text = fs::read_to_string(etc.join("spared.toml"))?;
            fs::write(etc.join("spared.toml"), marked(text))?;
            pair.run(site)?;
        }
        wait_settled(pair.nodes(), LIMIT)?;
        let has = |site: usize| {
            let rows = pair.nodes()[site].rows("files").unwrap_or_default();
            rows["tree.spared.state"] == "synchronized"
        };
        if poll(LIMIT, STEP, || has(0) && has(1)) {
            Ok(pair)
        } else {
            Err(format!("{:?}", pair.nodes()[0].rows("files")?).into())
        }
    }

    fn nodes(&self) -> [Node<'_>; 2] {
        [Node(&self.machines[0]), Node(&self.machines[1])]
    }

    /// Starts the daemon of a machine that has just booted.
    fn run(&self, site: usize) -> Result<()> {
        let machine = &self.machines[site];
        let (dir, build) = (Node(machine).dir(), build_dir()?);
        let (dir, build) = (dir.display(), build.display());
        machine.ok(&format!(
            "[ -e /dev/stdin ] || ln -s /proc/self/fd/0 /dev/stdin
            mkdir -p /run/etc /run/bin && cp -a /etc/. /run/etc && mount --bind /run/etc /etc
            mkdir -p /etc/spared && mount --bind {dir}/etc /etc/spared
            echo '#!/bin/sh\nexec {build}/spared \"$@\" --plugin-dir {dir}/plugins' >/run/bin/spared
            echo '#!/bin/sh\nexec {build}/sparectl --runtime-dir /run/spared \"$@\"' >/run/bin/sparectl
            chmod 755 /run/bin/spared /run/bin/sparectl
            mount -t overlay -o lowerdir=/run/bin:/usr/sbin overlay /usr/sbin"
        ))?;
        // what root keeps stays on the disk; another account cannot write into the host's file system
        let state = format!("{dir}/state");
        let files = format!("mkdir -p {state}/files; mount -t tmpfs none {state}/files");
        Node(machine).start_again(&files).map(drop)
    }

    /// Cuts the power of machines, and boots them again with what their disks have.
    fn reboot(&mut self, sites: &[usize]) -> Result<()> {
        for site in sites {
            self.machines[*site].kill();
        }
        for site in sites {
            let [machine] = Machine::boot(self.lab, [parts(*site)])?;
            self.machines[*site] = machine;
            self.run(*site)?;
        }
        Ok(())
    }

    fn read(&self, site: usize) -> String {
        let path = self.nodes()[site].dir().join("etc/spared.toml");
        fs::read_to_string(path).unwrap_or_default()
    }

    fn in_force(&self, site: usize) -> String {
        let status = self.nodes()[site].status();
        status.unwrap_or_default().run.config
    }

    fn waits(&self, site: usize) -> bool {
        let status = self.nodes()[site].status().unwrap_or_default();
        status.orders.unconfirmed_until.is_some()
    }

    /// Writes the edit on a node.
    fn edit(&self, site: usize) -> Result<()> {
        let path = self.nodes()[site].dir().join("etc/spared.toml");
        fs::write(path, EDIT.to_owned() + &self.read(site))?;
        self.machines[site].forget_files()
    }

    /// Number of times a node has said that it took a configuration back at its start.
    fn said(&self, site: usize) -> usize {
        self.nodes()[site].log().matches(SAID).count()
    }

    fn wait(&self, what: &str, mut is_so: impl FnMut() -> bool) -> Result<()> {
        if poll(LIMIT, STEP, &mut is_so) {
            return Ok(());
        }
        let states = [0, 1].map(|site| (self.in_force(site), self.read(site)));
        Err(format!("no {what}: {states:?}").into())
    }
}

#[test]
fn a_node_that_boots_before_the_confirmation_has_its_old_configuration_at_once() {
    scenario(0, |lab| {
        let mut pair = Pair::start(lab)?;
        let old = [0, 1].map(|site| (pair.in_force(site), pair.read(site)));
        let is_old = |pair: &Pair<'_>, site: usize| {
            pair.in_force(site) == old[site].0 && pair.read(site) == old[site].1
        };

        // r2 boots within a push from r1, whose term is longer than this test
        pair.edit(0)?;
        let program = build_dir()?.join("sparectl");
        let words = format!(
            "{} --runtime-dir /run/spared config push --watch 10m",
            program.display()
        );
        pair.machines[0].spawn("push", &words)?;
        pair.wait("push in force", || pair.waits(0) && pair.waits(1))?;
        assert!((0..2).all(|site| pair.read(site).starts_with(EDIT)));
        pair.reboot(&[1])?;
        pair.wait("old configuration on r2", || is_old(&pair, 1))?;
        assert_eq!([pair.said(0), pair.said(1)], [0, 1]);
        assert!(!pair.waits(1));
        expect(&pair.nodes()[1].done("events")?, SAID)?;
        let edit = pair.nodes()[1].dir().join("state/taken-back/spared.toml");
        assert!(fs::read_to_string(edit)?.starts_with(EDIT));

        // both boot: r1 while it still waits, r2 while it waits for a reload by hand, without a term and with one
        for term in ["", " --across-restarts"] {
            pair.edit(1)?;
            let said = pair.nodes()[1].done(&format!("reload --confirm 1h{term}"))?;
            expect(&said, "the configuration from before comes back in 3600 s")?;
            let sites: &[usize] = if term.is_empty() { &[0, 1] } else { &[1] };
            let before = [0, 1].map(|site| pair.said(site));
            assert!(sites.iter().all(|site| pair.waits(*site)));
            pair.reboot(sites)?;
            pair.wait("old configuration on both", || {
                (0..2).all(|site| is_old(&pair, site) && !pair.waits(site))
            })?;
            for site in sites {
                assert_eq!(pair.said(*site), before[*site] + 1, "r{}", site + 1);
            }
        }
        wait_settled(pair.nodes(), LIMIT).map(drop)
    });
}
