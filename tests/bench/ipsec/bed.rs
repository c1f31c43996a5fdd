// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two routers with many tunnels, of which one carries pings; one router dies, and comes back as new.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::{Stamp, poll};
use spared_tests::ipsec::{self, Family, Mode, Suite, Tunnel, Tunnelled};
use spared_tests::lab::{Lab, VIRTUAL, Wire};
use spared_tests::machine::{Machine, Node, wait_settled};
use spared_tests::probe::{Pings, Sight, Watch};
use spared_tests::router::{Plan, PluginFile};

use super::crowd;

pub const SPACING: Duration = Duration::from_millis(5);
pub const LIMIT: Duration = Duration::from_secs(20);
const SETTLE_LIMIT: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(20);
const RUNTIME: &str = "/run/spared";
const LISTENER: &str = "acquires";
const REFUSED: &str = "XfrmInStateSeqError";

pub struct Bed<'l> {
    pub tunnelled: Tunnelled<'l>,
    pub watch: Watch,
    plan: Plan,
    /// SAs in all.
    sas: u32,
    /// Which router is active.
    pub at: usize,
}

/// How long a new node took, in ms.
pub struct Joined {
    /// From the link's first word, before its plugins run, until it was in sync, as the active node says.
    pub in_sync: f64,
    /// From hearing the peer's plugin until it had all SAs, as it says itself.
    pub followed: f64,
}

/// Lines of a node's log, from some time on. A bench that asked the node again and again would cost it what
/// it measures.
pub struct Said {
    log: PathBuf,
    from: usize,
}

impl Said {
    pub fn by(machine: &Machine) -> Self {
        let log = machine.log_of("spared");
        let from = std::fs::read(&log).map_or(0, |it| it.len());
        Self { log, from }
    }

    /// The number behind these words, when a line has them.
    pub fn wait_number(&self, words: &str) -> Result<f64> {
        let mut found = None;
        poll(LIMIT, STEP, || {
            let bytes = std::fs::read(&self.log).unwrap_or_default();
            let text = String::from_utf8_lossy(bytes.get(self.from..).unwrap_or_default());
            let rest = text.split_once(words).map(|(_, rest)| rest.trim_start());
            let number = rest.and_then(|it| it.split_once(' '));
            found = number.and_then(|(number, _)| number.parse().ok());
            found.is_some()
        });
        let log = self.log.display();
        found.ok_or_else(|| format!("{log}: nothing is {words}").into())
    }
}

/// A program that hears what an IKE daemon would: the kernel's requests for SAs. It waits and polls nothing.
pub struct Asks {
    pid: u32,
    log: PathBuf,
    from: usize,
}

impl Asks {
    pub fn of(machine: &Machine) -> Result<Self> {
        let log = machine.log_of(LISTENER);
        let from = std::fs::read(&log).map_or(0, |it| it.len());
        let pid = machine.spawn(LISTENER, "ip xfrm monitor acquire")?;
        Ok(Self { pid, log, from })
    }

    /// Requests until now; the program ends.
    pub fn count(self, machine: &Machine) -> Result<usize> {
        machine.ok(&format!("kill {}", self.pid))?;
        let bytes = std::fs::read(&self.log)?;
        let text = String::from_utf8_lossy(bytes.get(self.from..).unwrap_or_default());
        Ok(text.matches("acquire").count())
    }
}

/// Does something with the two routers; where that fails, says what the machines said.
pub fn with_bed<T>(measure: impl FnOnce(&mut Bed) -> Result<T>) -> Result<T> {
    let lab = Lab::new(0)?;
    let mut bed = Bed::boot(&lab)?;
    let measured = measure(&mut bed);
    measured.map_err(|error| format!("{error}\n{}", lab.logs()).into())
}

/// The plugin with further lines of its file, or none.
pub fn plan(ipsec: Option<&str>) -> Plan {
    let plugin = ipsec.map(|toml| PluginFile {
        name: "ipsec".to_owned(),
        toml: format!("{toml}\nadopt.daemon = \"none\"\n"),
        file: "libspared_ipsec.so".to_owned(),
    });
    let mut plan = ipsec::plan(plugin.into_iter().collect());
    plan.without_preference();
    plan
}

pub fn tunnel() -> Tunnel {
    Tunnel::new(Family::V4, Mode::Tunnel, Suite::GcmEsn)
}

impl<'l> Bed<'l> {
    fn boot(lab: &'l Lab) -> Result<Self> {
        let tunnelled = Tunnelled::boot(lab)?;
        let watch = Watch::of_machines(lab, &tunnelled.routers)?;
        Ok(Self {
            tunnelled,
            watch,
            plan: plan(None),
            sas: 0,
            at: 0,
        })
    }

    /// Starts spared on both, again if it ran; then come so many SAs.
    pub fn start(&mut self, plan: Plan, sas: u32) -> Result<()> {
        self.plan = plan;
        for router in &self.tunnelled.routers {
            bare(router)?;
            warm_up(router)?;
        }
        self.at = self.tunnelled.start_spared(&self.plan)?;
        self.sas = sas;
        if sas > 0 {
            self.tunnelled
                .far
                .ok("ip xfrm state flush; ip xfrm policy flush")?;
            self.tunnelled.install(&tunnel(), self.at)?;
            crowd::install(self.router(self.at), sas - 2)?;
        }
        self.wait_ready()
    }

    /// Until the backup has what the active node has.
    pub fn wait_ready(&self) -> Result<()> {
        self.wait_at()?;
        if self.sas == 0 {
            return Ok(());
        }
        let backup = self.nodes()[1 - self.at];
        let held = || number(backup, "all.held_sas");
        if poll(LIMIT, STEP, || held() == Some(u64::from(self.sas))) {
            self.wait_at()
        } else {
            let status = backup.sparectl("status")?.1;
            Err(format!("the backup has {:?} SAs:\n{status}", held()).into())
        }
    }

    fn wait_at(&self) -> Result<()> {
        match wait_settled(self.nodes(), SETTLE_LIMIT)? {
            at if at == self.at => Ok(()),
            at => Err(format!("r{} is active", at + 1).into()),
        }
    }

    /// The active router loses its power.
    pub fn strike(&mut self) -> Stamp {
        let struck = Stamp::now();
        self.router(self.at).kill();
        self.at = 1 - self.at;
        struck
    }

    /// The router that died comes back, with no memory of anything.
    pub fn revive(&mut self) -> Result<Joined> {
        self.tunnelled.reboot(1 - self.at)?;
        let new = self.router(1 - self.at);
        warm_up(new)?;
        let said = [self.at, 1 - self.at].map(|at| Said::by(self.router(at)));
        Node(new).start(&self.plan)?;
        let in_sync = said[0].wait_number("joined, in sync after")? * 1e3;
        let followed = match self.sas {
            0 => 0.0,
            _ => said[1].wait_number("SAs replicated within")?,
        };
        self.wait_ready()?;
        Ok(Joined { in_sync, followed })
    }

    /// Packets that the far gateway and those routers refused for their numbers, so far.
    pub fn refused(&self, routers: &[usize]) -> Result<u64> {
        let routers = routers.iter().map(|index| self.router(*index));
        let mut sum = 0;
        for machine in routers.chain([&self.tunnelled.far]) {
            let stats = machine.xfrm_stat()?;
            sum += stats.get(REFUSED).copied().unwrap_or(0);
        }
        Ok(sum)
    }

    /// Through the tunnel, or past it where there is none; for so long that the plugin knows the rate.
    pub fn pings(&self) -> Result<Pings> {
        let to: IpAddr = Family::V4.inner();
        let pings = Pings::start(&self.tunnelled.lab.lan, to, SPACING)?;
        if poll(LIMIT, STEP, || pings.is_steady(Duration::from_secs(2))) {
            Ok(pings)
        } else {
            Err(format!("{to} does not answer all pings").into())
        }
    }

    /// When the node that is active now first said so on the lan.
    pub fn said_active(&self, from: Stamp) -> Result<Stamp> {
        let adverts = self.watch.adverts(from, self.at, Wire::Lan);
        let mut adverts = adverts.iter().filter(|(_, advert)| advert.priority > 0);
        let first = adverts.next().map(|(at, _)| *at);
        first.ok_or_else(|| format!("r{} does not advertise", self.at + 1).into())
    }

    /// When it first announced an address there.
    pub fn announced(&self, from: Stamp) -> Option<Stamp> {
        let seen = self.watch.since(from);
        let mut announced = seen.iter().filter(|seen| {
            let ours = (seen.site, seen.wire) == (self.at, Wire::Lan);
            ours && matches!(seen.sight, Sight::ArpAnnouncement { .. })
        });
        announced.next().map(|seen| seen.at)
    }

    /// How many packets an SA may have carried untold, as the backup knows.
    pub fn threshold(&self, spi: u32) -> Result<u64> {
        let key = format!("{spi:08x}.behind");
        let behind = number(self.nodes()[1 - self.at], &key);
        behind.ok_or_else(|| "the backup knows no threshold".into())
    }

    pub fn router(&self, index: usize) -> &Machine {
        &self.tunnelled.routers[index]
    }

    pub fn nodes(&self) -> [Node<'_>; 2] {
        self.tunnelled.nodes()
    }
}

/// A number of `sparectl ipsec`.
pub fn number(node: Node, key: &str) -> Option<u64> {
    node.rows("ipsec").ok()?.get(key)?.as_u64()
}

/// A kernel with modules asks for them when it hears of an algorithm for the first time, and here
/// there are none to find: that takes it seconds, once. And the memory of such a machine is the host's only
/// since it was first written to, page by page.
fn warm_up(machine: &Machine) -> Result<()> {
    machine.ok("head -c 100M /dev/zero >/dev/shm/touched; rm /dev/shm/touched")?;
    for suite in [Suite::GcmEsn, Suite::CbcSha256] {
        let tunnel = Tunnel::new(Family::V4, Mode::Tunnel, suite);
        machine.ip(&format!("{}xfrm state flush\n", tunnel.sa_lines()))?;
    }
    Ok(())
}

/// As after its boot.
fn bare(machine: &Machine) -> Result<()> {
    let addresses = Wire::BOTH.map(|wire| {
        let (ipv4, ipv6, name) = (wire.ipv4(VIRTUAL), wire.ipv6(VIRTUAL), wire.name());
        format!("ip addr del {ipv4}/24 dev {name}\nip addr del {ipv6}/64 dev {name}\n")
    });
    let line = format!(
        "pkill -KILL ^spared; while pgrep ^spared; do sleep 0.05; done; rm -rf {RUNTIME}\n\
         ip xfrm state flush; ip xfrm policy flush\n{}true",
        addresses.concat()
    );
    machine.ok(&line).map(drop)
}
