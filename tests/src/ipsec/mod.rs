// SPDX-License-Identifier: MIT OR Apache-2.0
//! Two routers with a tunnel to a far gateway, each a machine with its own kernel and ESP.
//!
//! ```text
//!                      ┌── r1 .11 ──┐
//!   lan 10.1.0.2 ── bridge lan    bridge wan ── 10.2.0.3 far ── 10.9.0.1 (within far)
//!                      └── r2 .12 ──┘
//! ```
//!
//! The routers' virtual addresses are 10.1.0.1 and 10.2.0.1. A tunnel is between 10.2.0.1 and 10.2.0.3, and
//! joins 10.1.0.0/24 with 10.9.0.0/24; likewise fd01::, fd02:: and fd09::. All have routes to each other's
//! networks in clear text, so that packets arrive unprotected, instead of not at all, if policies are
//! missing. The lan's client is a namespace of the host.

mod charon;
mod follow;
mod frames;
mod pings;
mod pluto;
pub mod road;
mod state;
mod tunnel;
mod unit;

use std::net::IpAddr;
use std::time::Duration;

pub use charon::{CHILD, CONNECTION, Charon, Connection, PLUGINS, Release, SECRET, Side};
pub use follow::{asking, following, services};
pub use frames::{Esp, is_farewell, is_from_far, is_in_clear, is_sent_by_far};
pub use pings::OwnPings;
pub use pluto::Pluto;
pub use state::{SWITCH_PACKETS_MAX, Sa, Stats, late_packets};
pub use tunnel::{Family, Mode, Suite, Tunnel};
pub use unit::{UNIT, UNIT_PROCESS};

use crate::Result;
use crate::lab::{Lab, VIRTUAL, Wire};
use crate::linked::INTERVAL;
use crate::machine::{Init, Kernel, Machine, Node, Parts, wait_settled};
use crate::probe::Pings;
use crate::router::{Plan, PluginFile, VirtualRouter};

/// Host number of the far gateway on the wan.
pub const FAR: u8 = 3;
const SETTLE_LIMIT: Duration = Duration::from_secs(30);
/// Memory in MB for a distributed kernel, which has many modules.
const STOCK_MB: u32 = 384;

pub struct Tunnelled<'l> {
    pub lab: &'l Lab,
    pub routers: [Machine; 2],
    pub far: Machine,
}

impl<'l> Tunnelled<'l> {
    /// Boots all three machines, and adds their routes.
    pub fn boot(lab: &'l Lab) -> Result<Self> {
        Self::boot_routers(lab, [router(0), router(1)])
    }

    /// Boots all three machines. r2's kernel skips this function at its start, and lacks what it would have set up.
    pub fn boot_without(lab: &'l Lab, function: &str) -> Result<Self> {
        let mut second = router(1);
        second.boot_words = vec![format!("initcall_blacklist={function}")];
        Self::boot_routers(lab, [router(0), second])
    }

    /// Boots all three machines; r1 has Debian's distributed kernel.
    pub fn boot_stock(lab: &'l Lab) -> Result<Self> {
        let stock = Parts {
            kernel: Kernel::Stock,
            memory_mb: STOCK_MB,
            ..router(0)
        };
        Self::boot_routers(lab, [stock, router(1)])
    }

    /// Boots all three machines; both routers have systemd, without units.
    pub fn boot_systemd(lab: &'l Lab) -> Result<Self> {
        let init = Init::Systemd;
        Self::boot_routers(
            lab,
            [router(0), router(1)].map(|parts| Parts { init, ..parts }),
        )
    }

    fn boot_routers(lab: &'l Lab, [first, second]: [Parts; 2]) -> Result<Self> {
        let far = Parts::new("far", FAR, &[Wire::Wan]);
        let [first, second, far] = Machine::boot(lab, [first, second, far])?;
        let tunnelled = Self {
            lab,
            routers: [first, second],
            far,
        };
        for router in &tunnelled.routers {
            add_routes(router)?;
        }
        tunnelled.far.ip(&format!(
            "link add inner type dummy\nlink set inner up\n\
             addr add {}/24 dev inner\naddr add {}/64 dev inner nodad\n\
             {}{}",
            Family::V4.inner(),
            Family::V6.inner(),
            far_route(Family::V4),
            far_route(Family::V6),
        ))?;
        Ok(tunnelled)
    }

    /// Cuts a router's power, if it is on, and boots it again to the state after [`Tunnelled::boot`].
    pub fn reboot(&mut self, index: usize) -> Result<()> {
        self.routers[index].kill();
        let [machine] = Machine::boot(self.lab, [router(index)])?;
        add_routes(&machine)?;
        self.routers[index] = machine;
        Ok(())
    }

    /// Adds the virtual addresses to a router, for a lab without spared.
    pub fn serve_by_hand(&self, index: usize) -> Result<()> {
        let lines = Wire::BOTH.map(|wire| {
            let (ipv4, ipv6, name) = (wire.ipv4(VIRTUAL), wire.ipv6(VIRTUAL), wire.name());
            format!("addr add {ipv4}/24 dev {name}\naddr add {ipv6}/64 dev {name} nodad\n")
        });
        self.routers[index].ip(&lines.concat())
    }

    /// Starts spared on both routers. Returns the active one once both are settled.
    pub fn start_spared(&self, plan: &Plan) -> Result<usize> {
        for node in self.nodes() {
            node.start(plan)?;
        }
        wait_settled(self.nodes(), SETTLE_LIMIT)
    }

    pub fn nodes(&self) -> [Node<'_>; 2] {
        let [first, second] = &self.routers;
        [Node(first), Node(second)]
    }

    /// Installs a tunnel on a router and its mirror on the far gateway.
    pub fn install(&self, tunnel: &Tunnel, router: usize) -> Result<()> {
        self.far.ip(&tunnel.far_lines())?;
        self.routers[router].ip(&tunnel.router_lines())
    }

    /// Pings from the lan's client to the network behind the tunnel.
    pub fn pings(&self, family: Family, spacing: Duration) -> Result<Pings> {
        Pings::start(&self.lab.lan, family.inner(), spacing)
    }
}

/// Plan of both nodes with the virtual addresses of both families, r1 preferred, with the link `hot`.
pub fn plan(plugins: Vec<PluginFile>) -> Plan {
    let mut plan = Plan::linked(INTERVAL, &[Wire::Hot]);
    plan.routers.extend([
        VirtualRouter::ipv6(Wire::Lan, 61),
        VirtualRouter::ipv6(Wire::Wan, 62),
    ]);
    plan.plugins = plugins;
    plan
}

fn router(index: usize) -> Parts {
    let cards = [Wire::Lan, Wire::Wan, Wire::Hot];
    Parts::new(["r1", "r2"][index], 11 + index as u8, &cards)
}

fn add_routes(router: &Machine) -> Result<()> {
    let lines = Family::BOTH.map(|family| {
        let (network, via): (_, IpAddr) = (family.inner_network(), family.far());
        format!("route add {network} via {via}\n")
    });
    router.ip(&lines.concat())
}

/// Route that gives the far gateway's own packets to the lan a source address behind the tunnel.
fn far_route(family: Family) -> String {
    let (network, via, from) = (family.lan_network(), family.gateway(), family.inner());
    format!("route add {network} via {via} src {from}\n")
}
