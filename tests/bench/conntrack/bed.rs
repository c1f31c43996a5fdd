// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two routers with a table each, and what keeping the second one's costs.
//!
//! Both are namespaces of one kernel, which ties them together where two machines are not. Two of
//! these ties would be measured in place of the sync, and are cut:
//!
//! - All writers of ctnetlink share one lock, whatever their namespace: whoever wrote flows into the
//!   active router would hold it against the backup's writer, for a third of that one's time. Flows
//!   of UDP are therefore made by packets; those of TCP, for cases that measure no processor time
//!   meanwhile, are written.
//! - Whether anybody listens for new flows is one bit for all namespaces: because the active router
//!   does, the kernel makes notifications of what spared writes on the backup, where it listens for
//!   ends only, and throws them away; another third. [`Bed::hush`] stops that. It also spares the
//!   backup's entries the room for notifications that they would have in a kernel of their own:
//!   the row "room for events" of the follow case says what that is. No flow ends meanwhile.

use std::fs;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use spared_bench::{PRIORITIES, plan};
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::conntrackd::{Conntrackd, Options};
use spared_tests::flows::{self, Crowd, Entry, Packets, Sent, Transport};
use spared_tests::lab::{Counters, Namespace, Wire, urgently, usage};
use spared_tests::pair::Pair;
use spared_tests::router::{Kind, Plan, PluginFile, Router, Spared};

use super::limits;

const INTERVAL: Duration = Duration::from_millis(100);
/// keepalived's own interval: conntrackd runs at the highest real-time priority, and two of them
/// leave a keepalived of these two processors no time for seconds.
const PATIENT: Duration = Duration::from_secs(1);
/// How long anything may take.
pub const LIMIT: Duration = Duration::from_secs(60);
const STEP: Duration = Duration::from_millis(2);
/// Flows of the routers themselves, which come and go meanwhile.
const STRAYS: usize = 64;
pub const EVENTS: &str = "net/netfilter/nf_conntrack_events";

/// Program, if any, that keeps the backup's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    Nobody,
    Spared,
    /// `cache`: kept beside the kernel's table, and committed at a failover.
    Conntrackd {
        cache: bool,
    },
}

/// For the kernel's notifications of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffer {
    /// spared's own; as large as conntrackd needs it.
    Configured,
    /// 208 KiB, of which the kernel has half asked for.
    KernelDefault,
}

pub struct Bed {
    pub pair: Pair,
    make: Make,
    plan: Plan,
    options: Options,
    daemons: Vec<Conntrackd>,
    packets: Packets,
    hushed: bool,
}

/// Resources that both routers have used so far. Index 0 is the active one.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    at: Instant,
    processor: [Duration; 2],
    resident: [u64; 2],
    /// Both directions.
    wire: u64,
}

/// Resources used between two readings.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub took: Duration,
    pub processor_us: [f64; 2],
    pub resident: [f64; 2],
    pub wire: f64,
}

impl Bed {
    /// Both routers run, know each other and are idle.
    pub fn start(make: Make, flows: u32, buffer: Buffer) -> Result<Self> {
        let toml = match buffer {
            Buffer::Configured => "",
            Buffer::KernelDefault => "event_buffer_kib = 104\n",
        };
        Self::start_with(make, flows, buffer, toml)
    }

    /// Both routers run spared, with these keys in conntrack.toml.
    pub fn start_spared(flows: u32, toml: &str) -> Result<Self> {
        Self::start_with(Make::Spared, flows, Buffer::Configured, toml)
    }

    fn start_with(make: Make, flows: u32, buffer: Buffer, toml: &str) -> Result<Self> {
        limits::make_room(flows)?;
        let plan = spared_plan(toml);
        let pair = match make {
            Make::Spared => Pair::start(Kind::Spared, [plan.clone(), plan.clone()])?,
            Make::Nobody | Make::Conntrackd { .. } => {
                let plans = PRIORITIES.map(|priority| self::plan(Some(PATIENT), priority));
                Pair::start(Kind::Keepalived, plans)?
            }
        };
        let options = Options {
            flows,
            external_cache: make == Make::Conntrackd { cache: true },
            default_buffer: buffer == Buffer::KernelDefault,
        };
        let packets = Packets::prepare(&pair.lab, 0)?;
        let mut bed = Self {
            pair,
            make,
            plan,
            options,
            daemons: Vec::new(),
            packets,
            hushed: false,
        };
        for site in &bed.pair.lab.sites {
            site.ns
                .set(&[("net/netfilter/nf_conntrack_tcp_loose", "0")])?;
            site.ns.nft(RULES)?;
        }
        if let Make::Conntrackd { .. } = make {
            for site in &bed.pair.lab.sites {
                let address = Wire::Hot.ipv4(site.host());
                site.ns.ip(&format!("addr add {address}/24 dev hot\n"))?;
            }
            bed.daemons = [0, 1]
                .map(|site| bed.conntrackd(site))
                .into_iter()
                .collect::<Result<_>>()?;
        }
        bed.pair.pause(true);
        bed.wait_in_sync()?;
        Ok(bed)
    }

    /// Starts the sync of the backup's side again.
    pub fn join(&mut self) -> Result<()> {
        match self.make {
            Make::Nobody => Ok(()),
            Make::Spared => {
                let site = &self.pair.lab.sites[1];
                let router = Router::start(&self.pair.lab, site, Kind::Spared, &self.plan)?;
                self.pair.routers()[1] = router;
                if self.hushed {
                    self.hush_again()?;
                }
                Ok(())
            }
            Make::Conntrackd { .. } => {
                let daemon = self.conntrackd(1)?;
                self.daemons.push(daemon);
                Ok(())
            }
        }
    }

    /// Ends the sync of the backup's side.
    pub fn leave(&mut self) -> Result<()> {
        match self.make {
            Make::Nobody => Ok(()),
            Make::Spared => self.pair.routers()[1].shut_down(),
            Make::Conntrackd { .. } => {
                let backup = self.daemons.pop();
                backup.map_or(Ok(()), Conntrackd::stop)
            }
        }
    }

    /// The backup's kernel makes no notifications of what spared writes, as where nobody listens for
    /// new flows: not for cases in which it becomes active. conntrackd listens for them on both
    /// nodes, and keeps them.
    pub fn hush(&mut self) -> Result<()> {
        self.hushed = self.make == Make::Spared;
        if self.hushed {
            self.ns(1).set(&[(EVENTS, "0")])?;
        }
        Ok(())
    }

    /// spared asks for notifications when it starts; nothing is synced before.
    fn hush_again(&self) -> Result<()> {
        let file = format!("/proc/sys/{EVENTS}");
        self.ns(1).run(|| {
            let asked = || fs::read_to_string(&file).is_ok_and(|text| text.trim() == "1");
            if poll(LIMIT, Duration::from_millis(1), asked) {
                Ok(fs::write(&file, "0")?)
            } else {
                Err("spared's conntrack does not start on the backup".into())
            }
        })
    }

    fn conntrackd(&self, site: usize) -> Result<Conntrackd> {
        let lab = &self.pair.lab;
        Conntrackd::start(lab, &lab.sites[site], self.options)
    }

    pub fn daemon(&self, site: usize) -> Result<&Conntrackd> {
        let daemon = self.daemons.get(site);
        daemon.ok_or_else(|| "no conntrackd runs there".into())
    }

    /// A number of spared's plugin.
    pub fn number(&self, site: usize, key: &str) -> Result<u64> {
        let row = self.row(site, key)?;
        let number = row.as_u64();
        number.ok_or_else(|| format!("sparectl conntrack has no number {key}: {row}").into())
    }

    fn row(&self, site: usize, key: &str) -> Result<serde_json::Value> {
        Spared(&self.pair.routers()[site]).row(&["conntrack"], key)
    }

    pub fn is_in_sync(&self) -> bool {
        let yes = |site| self.row(site, "in_sync").is_ok_and(|row| row == "yes");
        yes(0) && yes(1)
    }

    fn wait_in_sync(&self) -> Result<()> {
        let step = Duration::from_millis(50);
        if self.make != Make::Spared || poll(LIMIT, step, || self.is_in_sync()) {
            return Ok(());
        }
        Err(format!("not in sync:\n{}", self.pair.lab.logs()).into())
    }

    pub fn ns(&self, site: usize) -> &Namespace {
        &self.pair.lab.sites[site].ns
    }

    /// Makes flows on the active router: of UDP by packets, of TCP by writing them.
    pub fn make(&self, crowd: Crowd) -> Result<Sent> {
        if crowd.transport == Transport::Udp {
            return self.packets.make(&self.pair.lab, crowd);
        }
        let harvest = urgently(|| crowd.create(self.ns(0)))?;
        if harvest.refused > 0 {
            return Err(format!("the kernel refused flows of the bench: {harvest:?}").into());
        }
        Ok(Sent {
            last: Instant::now(),
            took: harvest.took,
            again: 0,
        })
    }

    pub fn count(&self, site: usize) -> Result<usize> {
        flows::count(self.ns(site))
    }

    /// Waits until the backup's kernel holds so many flows; the time since `from`.
    pub fn wait_count(&self, wanted: u32, from: Instant, limit: Duration) -> Duration {
        let wanted = wanted as usize - STRAYS;
        let arrived = || self.count(1).is_ok_and(|count| count >= wanted);
        poll(limit, STEP, arrived);
        from.elapsed()
    }

    /// Waits until all flows of the crowd are in the backup's kernel as they are in the active
    /// one's; how many are missing or different where that never comes.
    pub fn wait_same(&self, limit: Duration) -> Result<usize> {
        let mut missing = usize::MAX;
        let mut failure = None;
        poll(limit, Duration::from_millis(200), || {
            match self.missing() {
                Ok(found) => missing = found,
                Err(error) => failure = Some(error),
            }
            missing == 0 || failure.is_some()
        });
        failure.map_or(Ok(missing), Err)
    }

    fn missing(&self) -> Result<usize> {
        let crowd = |site| -> Result<Vec<Entry>> {
            let mut entries = flows::read(self.ns(site))?;
            entries.retain(|entry| is_of_crowd(entry.original.source));
            Ok(entries)
        };
        let (active, backup) = (crowd(0)?, crowd(1)?);
        if flows::same(&active, &backup) {
            return Ok(0);
        }
        Ok(active.len().abs_diff(backup.len()).max(1))
    }

    pub fn read(&self) -> Result<Reading> {
        let mut reading = Reading {
            at: Instant::now(),
            processor: [Duration::ZERO; 2],
            resident: [0; 2],
            wire: wire(self.ns(0))?,
        };
        for site in [0, 1] {
            let mut pids = self.pair.routers()[site].pids();
            pids.extend(self.daemons.get(site).map(Conntrackd::pid));
            for pid in pids {
                let (processor, resident) = usage(pid);
                reading.processor[site] += processor;
                reading.resident[site] += resident;
            }
        }
        Ok(reading)
    }

    /// Cost of two seconds in which nothing happens.
    pub fn idle(&self) -> Result<Cost> {
        let before = self.read()?;
        thread::sleep(Duration::from_secs(2));
        Ok(self.read()?.since(before))
    }

    /// Frames of the link as a card would send them: none longer than its MTU.
    pub fn without_offload(&self) -> Result<()> {
        for site in [0, 1] {
            self.ns(site).ip("link set dev hot gso_max_segs 1\n")?;
        }
        Ok(())
    }

    /// Empties both tables before their namespaces go, for the kernel would do it behind the back of
    /// the next measurement.
    pub fn end(mut self) -> Result<()> {
        self.daemons.clear();
        self.pair.routers().iter_mut().for_each(Router::kill);
        for site in [0, 1] {
            self.ns(site).shell("conntrack -F")?;
        }
        Ok(())
    }
}

impl Reading {
    pub fn since(self, earlier: Self) -> Cost {
        let of = |site: usize| -> f64 {
            let used = self.processor[site].saturating_sub(earlier.processor[site]);
            used.as_secs_f64() * 1e6
        };
        let grown = |site: usize| self.resident[site] as f64 - earlier.resident[site] as f64;
        Cost {
            took: self.at - earlier.at,
            processor_us: [of(0), of(1)],
            resident: [grown(0), grown(1)],
            wire: (self.wire - earlier.wire) as f64,
        }
    }
}

impl Cost {
    /// Without what idle routers would have used.
    pub fn beyond(self, idle: Self) -> Self {
        let share = self.took.as_secs_f64() / idle.took.as_secs_f64();
        let [active, backup] =
            [0, 1].map(|site| self.processor_us[site] - idle.processor_us[site] * share);
        Self {
            processor_us: [active, backup],
            wire: self.wire - idle.wire * share,
            ..self
        }
    }
}

/// Rules that drop invalid packets, and TCP that begins in the middle. They also make the kernel track flows.
const RULES: &str = "table inet filter {
	chain forward {
		type filter hook forward priority 0
		ct state invalid drop
		tcp flags & (fin|syn|rst|ack) != syn ct state new drop
	}
}
";

fn spared_plan(toml: &str) -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.plugins.push(PluginFile {
        name: "conntrack".to_owned(),
        toml: toml.to_owned(),
        file: "libspared_conntrack.so".to_owned(),
    });
    plan
}

/// Returns true if a flow from this address is one that the bench made.
pub fn is_of_crowd(source: IpAddr) -> bool {
    matches!(source, IpAddr::V4(address) if address.octets().starts_with(&[10, 64]))
}

/// Bytes that the link's interface sent and received.
fn wire(ns: &Namespace) -> Result<u64> {
    let counters = Counters::of(ns, "hot")?;
    Ok(counters.received_bytes + counters.sent_bytes)
}
