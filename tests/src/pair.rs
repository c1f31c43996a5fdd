// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two routers of one make under traffic, and what each fault of the active one costs: the same
//! script for spared and for keepalived.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::Result;
use crate::clock::{Stamp, poll};
use crate::lab::{Lab, VIRTUAL, Wire};
use crate::probe::{Asker, Echo, Outage, Questions, Watch};
use crate::router::{Kind, Plan, Router, Spared};

/// What befalls r1, the preferred router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Both its cables go silent; it keeps its carrier.
    SilentCut,
    /// The same with the cables of its links: what its neighbours see of a machine that dies.
    Death,
    /// The cable of its lan is pulled.
    CarrierLost,
    /// All its processes stop in their tracks (SIGSTOP).
    Hang,
    /// SIGTERM.
    Shutdown,
    /// SIGKILL to all its processes.
    Kill,
    /// `sparectl switch`: no fault, and only spared's.
    Switch,
}

/// What a fault cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Damage {
    pub began: Stamp,
    pub ended: Stamp,
    /// Of what is forwarded, or of the address itself: the longer.
    pub outage: Outage,
    /// How long the old router went on answering for the address beside the new one.
    pub both_answered: Duration,
}

/// What a planned change cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Switchover {
    /// From the command to the first advert of the new router.
    pub took: Duration,
    /// Packets through the routers and to the address itself.
    pub lost: usize,
    pub both_answered: Duration,
}

pub struct Pair {
    pub kind: Kind,
    pub lab: Lab,
    pub watch: Watch,
    /// Lan to wan.
    pub through: Echo,
    /// Lan to the virtual address.
    pub gateway: Echo,
    plans: [Plan; 2],
    routers: Mutex<[Router; 2]>,
}

impl Pair {
    /// Starts both and returns when r1 is active and packets flow.
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

    /// All processes of both.
    pub fn pids(&self) -> Vec<u32> {
        self.routers().iter().flat_map(Router::pids).collect()
    }

    fn interval(&self) -> Duration {
        self.plans[0].interval_of(self.kind)
    }

    /// The time after which the backup takes over from a silent r1.
    pub fn failover(&self) -> Duration {
        self.plans[1].failover_of(self.kind)
    }

    /// Waits until r1 alone is active and packets flow.
    pub fn settle(&self) -> Result<()> {
        let quiet = self.interval() * 5 / 2 + Duration::from_millis(50);
        for wire in Wire::BOTH {
            self.watch
                .wait_active(0, wire, quiet, Duration::from_secs(20))
                .map_err(|error| self.failed(&error.to_string()))?;
        }
        // A router that keeps its role through a silent cut may not announce itself again: its
        // neighbours still use the other one, and the next fault would touch nobody.
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

    /// Stops the packets of a pair that is not being measured.
    pub fn pause(&self, pause: bool) {
        self.through.pause(pause);
        self.gateway.pause(pause);
    }

    /// Strikes r1 one millisecond after an advert of it, measures, and repairs.
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
        // A router that is gone at once still needs its spare to notice.
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

    /// `sparectl switch` of spared, from one to the other, by its indices.
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
                // Whoever slept must not answer with what it remembers, either.
                thread::sleep(self.failover() / 2);
                Ok(())
            }
            // r1 is preferred, and takes back by itself
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
