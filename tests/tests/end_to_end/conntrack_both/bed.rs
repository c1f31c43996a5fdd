// SPDX-License-Identifier: MIT OR Apache-2.0
//! spared in the bed.

use std::fmt;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::flows::{Entry, differences, same};
use spared_tests::lab::Lab;
use spared_tests::router::{Ruleset, Spared};
use spared_tests::synced::Synced;

use super::{Fault, LIMIT, Path, STEP, Stage, Times};

/// Two spared nodes; "office" is active on r1, the other group on r2.
pub struct Bed<'l> {
    pub pair: Synced<'l>,
    path: Path,
    times: Times,
}

impl fmt::Display for Bed<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}, {:?} times", self.path, self.times)
    }
}

impl<'l> Bed<'l> {
    pub fn start(lab: &'l Lab, path: Path, times: Times, rules: &Ruleset) -> Result<Self> {
        let toml = match times {
            Times::Short => "resync_interval = \"2s\"\n",
            Times::Default => "",
        };
        times.set(lab)?;
        let plan = path.plan(toml);
        let pair = Synced::begin(lab, [plan.clone(), plan], rules)?;
        let bed = Self { pair, path, times };
        bed.place(0)?;
        Ok(bed)
    }

    /// Both groups where they were: "office" on that node, the other group on the other one.
    fn place(&self, office: usize) -> Result<()> {
        self.move_to("office", office)?;
        self.move_to(self.path.group(1), 1)?;
        self.wait_ready()
    }

    /// Where a group is active, if on one node alone.
    fn at(&self, group: &str) -> Option<usize> {
        let is_active = |site: &usize| {
            let status = Spared(&self.pair.routers[*site])
                .status()
                .unwrap_or_default();
            let mut groups = status.groups.iter();
            groups.any(|it| it.name == group && it.role == "active")
        };
        let active: Vec<usize> = (0..2).filter(is_active).collect();
        match active.as_slice() {
            [site] => Some(*site),
            _ => None,
        }
    }

    fn wait_at(&self, group: &str, site: usize) -> Result<()> {
        if poll(LIMIT, STEP, || self.at(group) == Some(site)) {
            Ok(())
        } else {
            Err(format!("{self}: {group} is not active on r{}", site + 1).into())
        }
    }

    fn move_to(&self, group: &str, site: usize) -> Result<()> {
        let node = format!("r{}", site + 1);
        let mut answer = String::new();
        let moved = poll(LIMIT, STEP, || {
            if self.at(group) == Some(site) {
                return true;
            }
            let said = self.pair.said(1 - site, &["switch", "--to", &node, group]);
            answer = said.map_or_else(|error| error.to_string(), |(_, text)| text);
            self.at(group) == Some(site)
        });
        if moved {
            Ok(())
        } else {
            Err(format!("{self}: {group} does not move to {node}: {answer}").into())
        }
    }

    /// Both plugins have told each other all.
    fn wait_ready(&self) -> Result<()> {
        let ready = || (0..2).all(|site| self.pair.text(site, "in_sync") == "yes");
        if poll(LIMIT, STEP, ready) {
            Ok(())
        } else {
            Err(format!("{self}: not in sync\n{}", self.said()).into())
        }
    }

    pub fn said(&self) -> String {
        let said = |site| self.pair.said(site, &["conntrack"]).unwrap_or_default().1;
        format!("{}\n{}\n{}", self.pair.tables(), said(0), said(1))
    }

    /// Nobody can be asked who is cut off: it may hold that it is active.
    fn wait_alone(&self, site: usize) -> Result<()> {
        let alone = || {
            let status = Spared(&self.pair.routers[site])
                .status()
                .unwrap_or_default();
            status.groups.iter().all(|group| group.role == "active")
        };
        if poll(LIMIT, STEP, alone) {
            Ok(())
        } else {
            Err(format!("{self}: r{} does not take all groups", site + 1).into())
        }
    }

    /// Both kernels hold the same flows, if not at once then after two resyncs.
    pub fn wait_equal(&self, counts: impl Fn(&Entry) -> bool) -> Result<()> {
        let mut lines = Vec::new();
        let equal = || -> Result<bool> {
            let mut tables = [self.pair.table(0)?, self.pair.table(1)?];
            tables.iter_mut().for_each(|table| table.retain(&counts));
            lines = differences(&tables[0], &tables[1]);
            Ok(same(&tables[0], &tables[1]))
        };
        let mut equal = equal;
        if poll(LIMIT, STEP, || equal().unwrap_or(false)) {
            return Ok(());
        }
        Err(format!("{self}: {}\n{}", lines.join("\n"), self.said()).into())
    }
}

impl Stage for Bed<'_> {
    fn strike(&self, fault: Fault, victim: usize) -> Result<()> {
        let (site, other) = (&self.pair.lab.sites[victim], 1 - victim);
        let group = self.path.group(victim);
        match fault {
            Fault::Switch => self.move_to(group, other),
            Fault::Death => {
                self.pair.lab.power_off(site)?;
                self.wait_alone(other)
            }
            Fault::CarrierLost => {
                self.pair.lab.unplug(site, self.path.wire(victim))?;
                self.wait_at(group, other)
            }
        }
    }

    fn repair(&self, fault: Fault, victim: usize) -> Result<()> {
        let site = &self.pair.lab.sites[victim];
        match fault {
            Fault::Switch => {}
            Fault::Death => self.pair.lab.power_on(site)?,
            Fault::CarrierLost => self.pair.lab.plug(site, self.path.wire(victim))?,
        }
        let linked = || self.pair.text(0, "peer") != "not there";
        poll(LIMIT, STEP, linked);
        self.place(0)
    }
}
