// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pairs of this build and of a kept release. Either node is upgraded and taken back, as active and as backup, beside a
//! peer of either version, over a link and by adverts alone. A planned step loses nothing where there is a link.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::dhcp::{Duo, Filled, Make, Options, Pool, Server, Setup};
use spared_tests::flows::{Crowd, count};
use spared_tests::lab::{Lab, disturbed, scenario, skipped};
use spared_tests::linked::{INTERVAL, Linked};
use spared_tests::probe::{Control, Echo};
use spared_tests::random::{Random, number};
use spared_tests::router::{Plan, PluginFile, Spared};
use spared_tests::versions::{Release, releases};

const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(50);
const FLIGHT_NS: u64 = 10_000_000;
/// Time by which the machine may be late in a step.
const LATE: Duration = Duration::from_millis(50);
/// Longest outage of a step by adverts alone: a failover, and as much for its start.
const FAILOVER: Duration = Duration::from_millis(600);
/// Changes of a sample.
const FEW: usize = 4;
/// Changes within which a walk at random has made each kind.
const MOST: usize = 100;
const SET: &str = "table inet filter {\n set bans { type ipv4_addr; }\n}\n";
const SETS_TOML: &str = "[[set]]\nfamily = \"inet\"\ntable = \"filter\"\nname = \"bans\"\n";

/// Numbers of what a step must keep.
#[derive(Clone, Copy)]
struct Kept {
    connections: u32,
    leases: u32,
    elements: usize,
}

const SAMPLE: Kept = Kept {
    connections: 200,
    leases: 20,
    elements: 1_000,
};
const WHOLE: Kept = Kept {
    connections: 1_000,
    leases: 200,
    elements: 10_000,
};

/// A change of a node's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    of_active: bool,
    /// True for an upgrade, false for the way back.
    is_upgrade: bool,
    beside_new: bool,
}

fn changes() -> BTreeSet<Change> {
    let change = |bits: u8| Change {
        of_active: bits & 1 != 0,
        is_upgrade: bits & 2 != 0,
        beside_new: bits & 4 != 0,
    };
    (0..8).map(change).collect()
}

struct Walk<'l> {
    pair: Linked<'l>,
    older: PathBuf,
    is_new: [bool; 2],
    left: BTreeSet<Change>,
    random: Random,
    /// State that a pair with a link keeps; None by adverts alone.
    kept: Option<Kept>,
    /// DHCP servers of both nodes.
    servers: Vec<Server<'l>>,
    echo: Echo,
    control: Control,
}

impl<'l> Walk<'l> {
    /// Starts a pair of the release, with a link and all that is kept.
    fn linked(lab: &'l Lab, older: &Release, kept: Kept, random: Random) -> Result<Self> {
        for site in &lab.sites {
            site.ns.nft(SET)?;
        }
        let leases = Filled {
            count: kept.leases,
            lifetime_s: 36_000,
        };
        let setup = Setup {
            pool: Pool::Wide,
            lifetime_s: leases.lifetime_s,
            ..Setup::new(Make::Kea4)
        };
        let servers = Duo::install(lab, &[setup])?;
        servers[0].iter().try_for_each(|it| leases.write(it))?;
        let plugins = [("conntrack", ""), ("sets", SETS_TOML)].map(|(name, toml)| PluginFile {
            name: name.to_owned(),
            toml: toml.to_owned(),
            file: format!("libspared_{name}.so"),
        });
        let options = Options {
            plugins: &plugins,
            ..Options::default()
        };
        let plan = Duo::plan(&servers, options)?;
        let mut walk = Self::begin(lab, [plan.clone(), plan], older, random, Some(kept))?;
        walk.servers = servers.into_iter().flatten().collect();
        walk.pair.wait_settled()?;
        let active = &lab.sites[walk.pair.at()?].ns;
        Crowd::tcp(kept.connections).create(active)?;
        let element = |it: usize| format!("9.0.{}.{}", it / 250, it % 250);
        let elements: Vec<_> = (0..kept.elements).map(element).collect();
        active.nft(&format!(
            "add element inet filter bans {{ {} }}\n",
            elements.join(", ")
        ))?;
        walk.wait_kept()?;
        Ok(walk)
    }

    /// Starts a pair of the release that knows nothing of each other but adverts.
    fn by_adverts(lab: &'l Lab, older: &Release, random: Random) -> Result<Self> {
        let plans = [200, 100].map(|priority| Plan {
            preempt: false,
            ..Plan::gateways(INTERVAL, priority)
        });
        let walk = Self::begin(lab, plans, older, random, None)?;
        walk.pair.stays(Duration::from_secs(1))?;
        Ok(walk)
    }

    fn begin(
        lab: &'l Lab,
        plans: [Plan; 2],
        older: &Release,
        random: Random,
        kept: Option<Kept>,
    ) -> Result<Self> {
        let plans = plans.map(|plan| Plan {
            older: Some(older.folder.clone()),
            ..plan
        });
        Ok(Self {
            pair: Linked::begin(lab, plans)?,
            older: older.folder.clone(),
            is_new: [false; 2],
            left: changes(),
            random,
            kept,
            servers: Vec::new(),
            echo: Echo::through(lab)?,
            control: Control::start(),
        })
    }

    /// Makes each kind of change, in any order.
    fn run_all(&mut self) -> Result<()> {
        self.run(MOST)?;
        match &self.left {
            left if left.is_empty() => Ok(()),
            left => Err(format!("{MOST} changes, and none was {left:?}").into()),
        }
    }

    /// Makes changes until no kind is left, or so many.
    fn run(&mut self, most: usize) -> Result<()> {
        let steady = || self.echo.is_steady(INTERVAL);
        if !poll(LIMIT, STEP, steady) {
            return Err("no traffic".into());
        }
        for _ in 0..most {
            if self.left.is_empty() {
                break;
            }
            let began = Instant::now();
            let (site, change) = self.choose()?;
            println!("r{}: {change:?}", site + 1);
            self.change(site, change)?;
            self.left.remove(&change);
            println!("    {:.1} s", began.elapsed().as_secs_f64());
        }
        Ok(())
    }

    // Returns a change that was not made yet, if one can be made now, else any. Where there is a link either node can be
    // made active before.
    fn choose(&mut self) -> Result<(usize, Change)> {
        let active = self.pair.at()?;
        let of = |site: usize, of_active: bool| Change {
            of_active,
            is_upgrade: !self.is_new[site],
            beside_new: self.is_new[1 - site],
        };
        let is_possible =
            |site: usize, of_active| self.kept.is_some() || (site == active) == of_active;
        let all = [(0, false), (0, true), (1, false), (1, true)];
        let all: Vec<_> = all
            .into_iter()
            .filter(|(site, of_active)| is_possible(*site, *of_active))
            .map(|(site, of_active)| (site, of(site, of_active)))
            .collect();
        let new: Vec<_> = all
            .iter()
            .filter(|it| self.left.contains(&it.1))
            .copied()
            .collect();
        let from = if new.is_empty() { all } else { new };
        Ok(from[self.random.below(from.len())])
    }

    fn change(&mut self, site: usize, change: Change) -> Result<()> {
        let began = Stamp::now();
        if (self.pair.at()? == site) != change.of_active {
            self.pair.switch(site)?;
            self.pair.wait_settled()?;
        }
        self.pair.routers[site].shut_down()?;
        self.is_new[site] = change.is_upgrade;
        self.pair.plans[site].older = Some(self.older.clone()).filter(|_| !change.is_upgrade);
        self.pair.restart(site)?;
        match self.kept {
            Some(_) => {
                self.pair.wait_settled()?;
                self.wait_kept()?;
            }
            None => {
                self.pair.stays(Duration::from_secs(1))?;
            }
        }
        self.judge(began, change)?;
        self.asks_older(site)
    }

    /// By adverts alone the backup takes over from an active node that ends. All else loses nothing.
    fn judge(&self, began: Stamp, change: Change) -> Result<()> {
        let ended = Stamp(Stamp::now().0 - FLIGHT_NS);
        let outage = self.echo.outage(began, ended);
        let late = self.control.lateness_since(began);
        println!("    lost {}, longest {:?}", outage.lost, outage.longest);
        let is_failover = self.kept.is_none() && change.of_active;
        let is_well = if is_failover {
            outage.longest < FAILOVER
        } else {
            outage.lost == 0
        };
        if is_well {
            Ok(())
        } else if late > LATE {
            Err(disturbed(format!(
                "{outage:?}, the machine was late by {late:?}"
            )))
        } else {
            Err(format!("{outage:?}").into())
        }
    }

    /// Waits until both nodes have all that is kept, and one of them serves.
    fn wait_kept(&self) -> Result<()> {
        let Some(kept) = self.kept else { return Ok(()) };
        let serves = || self.servers.iter().filter(|it| it.runs()).count() == 1;
        if !poll(LIMIT, STEP, serves) {
            return Err("not one DHCP server runs".into());
        }
        let mut has = Vec::new();
        let all = poll(LIMIT, STEP, || {
            has = (0..2).filter_map(|site| self.has(site).ok()).collect();
            let wanted = [
                kept.connections as usize,
                kept.leases as usize,
                kept.elements,
            ];
            has.len() == 2
                && has
                    .iter()
                    .all(|has| has.iter().zip(wanted).all(|(has, wanted)| *has >= wanted))
        });
        if all {
            Ok(())
        } else {
            Err(format!("flows, leases and elements of both nodes: {has:?}").into())
        }
    }

    fn has(&self, site: usize) -> Result<[usize; 3]> {
        let ns = &self.pair.site(site).ns;
        let leases = Spared(&self.pair.routers[site]).row(&["dhcp"], "kea4.records_here")?;
        let elements = ns.shell("nft list set inet filter bans")?;
        Ok([
            count(ns)?,
            leases.as_u64().unwrap_or_default() as usize,
            elements.matches("9.0.").count(),
        ])
    }

    /// The release's `sparectl` understands whatever answers.
    fn asks_older(&self, site: usize) -> Result<()> {
        let dir = Spared(&self.pair.routers[site]).runtime_dir();
        let mut command = Command::new(self.older.join("sparectl"));
        let output = command
            .arg("--runtime-dir")
            .arg(dir)
            .args(["status", "-v"])
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.contains("(this node)") {
            Ok(())
        } else {
            Err(format!("older sparectl: {text}").into())
        }
    }
}

fn release() -> Result<Release> {
    let newest = releases()?.pop();
    newest.ok_or_else(|| skipped("tests/versions has no release: make fixture-version"))
}

#[test]
fn a_release_and_this_build_are_a_pair_whichever_is_which() {
    scenario(2, |lab| {
        let random = Random::new(number("SPARED_SEED", 4));
        Walk::linked(lab, &release()?, SAMPLE, random)?.run(FEW)
    });
}

#[test]
fn a_release_and_this_build_fail_over_by_adverts_alone() {
    scenario(2, |lab| {
        let random = Random::new(number("SPARED_SEED", 4));
        Walk::by_adverts(lab, &release()?, random)?.run(FEW)
    });
}

/// `SPARED_SEED` says in which order, and `SPARED_ROUNDS` how often.
#[test]
#[ignore = "for as long as one likes"]
fn every_release_and_this_build_are_a_pair_in_any_order() {
    let (seed, rounds) = (number("SPARED_SEED", 1), number("SPARED_ROUNDS", 1));
    let releases = releases().expect("releases that can be unpacked");
    assert!(!releases.is_empty(), "none is kept: make fixture-version");
    for release in releases {
        for seed in seed..seed + rounds {
            println!("round {}: seed {seed}, with a link", release.name);
            scenario(2, |lab| {
                Walk::linked(lab, &release, WHOLE, Random::new(seed))?.run_all()
            });
            println!("round {}: seed {seed}, by adverts", release.name);
            scenario(2, |lab| {
                Walk::by_adverts(lab, &release, Random::new(seed))?.run_all()
            });
        }
    }
}
