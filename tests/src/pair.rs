// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two routers of one make under traffic, and the cost of each fault of the active one; for spared and for keepalived.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::Result;
use crate::clock::{Stamp, poll};
use crate::lab::{Lab, VIRTUAL, Wire};
use crate::probe::{Asker, Echo, Outage, Questions, Watch};
use crate::router::{Kind, Plan, Router, Spared};

/// Fault of r1, the preferred router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Both its cables become silent; it keeps its carrier.
    SilentCut,
    /// All its cables, including those of its links, become silent, as its neighbours see a machine that dies.
    Death,
    /// The cable of its lan is unplugged.
    CarrierLost,
    /// All its processes are stopped (SIGSTOP).
    Hang,
    /// Its daemon gets SIGTERM.
    Shutdown,
    /// All its processes get SIGKILL.
    Kill,
    /// `sparectl switch`, which is no fault; only for spared.
    Switch,
}

/// Cost of a fault.
#[derive(Clone, Copy, Debug, Default)]
pub struct Damage {
    pub began: Stamp,
    pub ended: Stamp,
    /// Outage of forwarding, or of the address itself: the longer one.
    pub outage: Outage,
    /// Time for which the old router still answered for the address after the new one did.
    pub both_answered: Duration,
}

/// Cost of a switchover.
#[derive(Clone, Copy, Debug, Default)]
pub struct Switchover {
    /// Time from the command to the first advert of the new router.
    pub took: Duration,
    /// Lost packets, through the routers and to the address itself.
    pub lost: usize,
    pub both_answered: Duration,
}

pub struct Pair {
    pub kind: Kind,
    pub lab: Lab,
    pub watch: Watch,
    /// Packets from the lan to the wan.
    pub through: Echo,
    /// Packets from the lan to the virtual address.
    pub gateway: Echo,
    plans: [Plan; 2],
    routers: Mutex<[Router; 2]>,
}

impl Pair {
    /// Starts both, and waits until r1 is active and packets pass.
    pub fn start(kind: Kind, plans: [Plan; 2]) -> Result<Self> {
        let lab = Lab::new(2)?;
        let watch = Watch::start(&lab)?;
        let first = Router::start(&lab, &lab.sites[0], kind, &plans[0])?;
        let second = Router::start(&lab, &lab.sites[1], kind, &plans[1])?;
        let (through, gateway) = (Echo::through(&lab)?, Echo::at_gateway(&lab)?);
        let routers = Mutex::new([first, second]);
        let pair = Self {
            kind,
            lab,
            watch,
            through,
            gateway,
            plans,
            routers,
        };
        pair.settle()?;
        Ok(pair)
    }

    pub fn routers(&self) -> MutexGuard<'_, [Router; 2]> {
        self.routers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All processes of both routers.
    pub fn pids(&self) -> Vec<u32> {
        self.routers().iter().flat_map(Router::pids).collect()
    }

    fn interval(&self) -> Duration {
        self.plans[0].interval_of(self.kind)
    }

    /// Time after which the backup becomes active if r1 is silent.
    pub fn failover(&self) -> Duration {
        self.plans[1].failover_of(self.kind)
    }

    /// Waits until only r1 is active and packets pass.
    pub fn settle(&self) -> Result<()> {
        let quiet = self.interval() * 5 / 2 + Duration::from_millis(50);
        for wire in Wire::BOTH {
            self.watch
                .wait_active(0, wire, quiet, Duration::from_secs(20))
                .map_err(|error| self.failed(&error.to_string()))?;
        }
        // A router that keeps its role through a silent cut may not announce itself again: its neighbours would
        // still use the other one, and not notice the next fault.
        for ns in [&self.lab.lan, &self.lab.wan] {
            ns.shell("ip neigh flush all")?;
        }
        let steady = || {
            let calm = Duration::from_millis(200);
            self.through.is_steady(calm) && self.gateway.is_steady(calm)
        };
        if !poll(Duration::from_secs(10), Duration::from_millis(5), steady) {
            return Err(self.failed("no packets flow").into());
        }
        Ok(())
    }

    /// Stops or continues the packets, for a pair that is not being measured.
    pub fn pause(&self, pause: bool) {
        self.through.pause(pause);
        self.gateway.pause(pause);
    }

    /// Makes a fault on r1 one millisecond after one of its adverts, measures, and ends the fault.
    pub fn strike(&self, fault: Fault) -> Result<Damage> {
        let gateway = Wire::Lan.ipv4(VIRTUAL);
        let asker = (fault == Fault::Hang).then(|| {
            let questions = Questions {
                ipv4: vec![gateway],
                ..Questions::default()
            };
            Asker::start(&self.lab, questions, Duration::from_millis(4))
        });
        let asker = asker.transpose()?;
        let patience = (self.interval() * 10).max(Duration::from_secs(1));
        let advert = self.watch.next_advert(0, Wire::Lan, patience)?;
        let strike = advert.after(Duration::from_millis(1));
        thread::sleep(strike.since(Stamp::now()));
        let began = Stamp::now();
        self.begin(fault)?;
        // Even after an orderly end the backup needs time to notice.
        let expected = match fault {
            Fault::Shutdown | Fault::Switch => Duration::from_millis(100),
            _ => self.failover(),
        };
        let limit = self.failover() * 3 + Duration::from_secs(3);
        let outage = self
            .outage(began, expected, limit)
            .ok_or_else(|| self.failed(&format!("{fault:?}: no end of the outage in {limit:?}")))?;
        if fault == Fault::Hang {
            thread::sleep(self.failover() * 2);
        }
        let ended = Stamp::now();
        self.end(fault)?;
        let both_answered = self.overlap(began, gateway.into());
        drop(asker);
        Ok(Damage {
            began,
            ended,
            outage,
            both_answered,
        })
    }

    /// Switches spared over from one router to the other, by their indices.
    pub fn switch_over(&self, from: usize, to: usize) -> Result<Switchover> {
        const CALM: Duration = Duration::from_millis(400);
        let gateway = Wire::Lan.ipv4(VIRTUAL);
        let questions = Questions {
            ipv4: vec![gateway],
            ..Questions::default()
        };
        let asker = Asker::start(&self.lab, questions, Duration::from_millis(2))?;
        thread::sleep(Duration::from_millis(20));
        let began = Stamp::now();
        self.switch(from)?;
        thread::sleep(CALM);
        drop(asker);
        let ended = Stamp(Stamp::now().0 - 10_000_000);
        let lost = self.through.outage(began, ended).lost + self.gateway.outage(began, ended).lost;
        let adverts = self.watch.adverts(began, to, Wire::Lan);
        let first = adverts.iter().find(|(_, advert)| advert.priority > 0);
        let (first, _) = first.ok_or_else(|| self.failed("nobody adverts after a switch"))?;
        let runs = self.watch.resolutions(began, gateway.into());
        let new = runs.iter().find(|run| run.site == to);
        let old = runs.iter().rev().find(|run| run.site == from);
        let both_answered = match (new, old) {
            (Some(new), Some(old)) => old.last.since(new.first),
            _ => Duration::ZERO,
        };
        Ok(Switchover {
            took: first.since(began),
            lost,
            both_answered,
        })
    }

    fn outage(&self, began: Stamp, expected: Duration, limit: Duration) -> Option<Outage> {
        let through = self.through.outage_of(began, expected, limit)?;
        let gateway = self.gateway.outage_of(began, Duration::ZERO, limit)?;
        Some(if through.total >= gateway.total {
            through
        } else {
            gateway
        })
    }

    fn begin(&self, fault: Fault) -> Result<()> {
        let site = &self.lab.sites[0];
        match fault {
            Fault::SilentCut => self.lab.isolate(site),
            Fault::Death => self.lab.power_off(site),
            Fault::CarrierLost => self.lab.unplug(site, Wire::Lan),
            Fault::Hang => self.routers()[0].hang(),
            Fault::Shutdown => self.routers()[0].ask_to_stop(),
            Fault::Kill => {
                self.routers()[0].kill();
                Ok(())
            }
            Fault::Switch => self.switch(0),
        }
    }

    fn switch(&self, site: usize) -> Result<()> {
        let output = Spared(&self.routers()[site]).sparectl(&["switch"])?;
        if output.status.success() {
            return Ok(());
        }
        let why = String::from_utf8_lossy(&output.stderr);
        Err(self.failed(&format!("switch: {why}")).into())
    }

    fn end(&self, fault: Fault) -> Result<()> {
        let site = &self.lab.sites[0];
        match fault {
            Fault::SilentCut => self.lab.reunite(site),
            Fault::Death => self.lab.power_on(site),
            Fault::CarrierLost => self.lab.plug(site, Wire::Lan),
            Fault::Hang => {
                self.routers()[0].resume()?;
                // Time in which the resumed router must not answer from an old state.
                thread::sleep(self.failover() / 2);
                Ok(())
            }
            // r1 is preferred, and becomes active again by itself
            Fault::Switch => Ok(()),
            Fault::Shutdown | Fault::Kill => {
                let mut routers = self.routers();
                if fault == Fault::Shutdown {
                    routers[0].shut_down()?;
                }
                routers[0] = Router::start(&self.lab, site, self.kind, &self.plans[0])?;
                Ok(())
            }
        }
    }

    fn overlap(&self, from: Stamp, address: std::net::IpAddr) -> Duration {
        let runs = self.watch.runs(from, address);
        let newcomer = runs.iter().find(|run| run.site == 1);
        let old = runs.iter().rev().find(|run| run.site == 0);
        match (newcomer, old) {
            (Some(new), Some(old)) => old.last.since(new.first),
            _ => Duration::ZERO,
        }
    }

    fn failed(&self, why: &str) -> String {
        format!("{}: {why}\n{}", self.kind.name(), self.lab.logs())
    }
}
