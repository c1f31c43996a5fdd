// SPDX-License-Identifier: MIT OR Apache-2.0
//! Far ends in one machine, whose IKE sessions with the routers are to follow.

mod far_end;
mod setup;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use super::{Charon, Pluto, Tunnelled, asking, services};
use crate::Result;
use crate::clock::poll;
use crate::lab::Lab;
use crate::machine::STEP;
use crate::router::Plan;

pub use far_end::{FarDaemon, FarEnd, answered_since};
pub use setup::{PSK, Setup, client, conf, road};

pub const LIMIT: Duration = Duration::from_secs(40);
/// Reqids of the SAs that the plugin installs. The kernel's own for a policy that leads to none has a greater one.
const OURS: Range<u32> = 0x4000_0000..0x8000_0000;
/// SAs of a child.
const SAS: u64 = 2;

pub struct Road<'l> {
    pub tunnelled: Tunnelled<'l>,
    pub setup: Setup,
    /// Process of a far charon.
    far_pid: Option<u32>,
}

impl<'l> Road<'l> {
    /// Starts everything and has the sessions established. Returns the active router, too.
    pub fn start(lab: &'l Lab, setup: Setup) -> Result<(Self, usize)> {
        let (mut road, active) = Self::start_routers(lab, setup)?;
        if road.setup.has_ha {
            road.wait_following(active)?;
        }
        road.call()?;
        road.wait_followed(active)?;
        Ok((road, active))
    }

    /// Starts everything without the sessions.
    pub fn start_routers(lab: &'l Lab, setup: Setup) -> Result<(Self, usize)> {
        Self::start_prepared(lab, setup, |_| Ok(()))
    }

    /// Starts everything without the sessions, after files were written into the machines' folders.
    pub fn start_prepared(
        lab: &'l Lab,
        setup: Setup,
        prepare: impl FnOnce(&Tunnelled) -> Result<()>,
    ) -> Result<(Self, usize)> {
        let tunnelled = Tunnelled::boot(lab)?;
        prepare(&tunnelled)?;
        let far = &tunnelled.far;
        let far_pid = match setup.far_daemon {
            FarDaemon::Charon(release) => {
                fs::write(far.dir.join("charon.conf"), setup.far_settings())?;
                Some(Charon::start_with(far, &setup.far, release)?.pid)
            }
            FarDaemon::Pluto => {
                Pluto::start(far, &setup.far)?;
                None
            }
        };
        // a router's charon that begins a session tries once
        let active = tunnelled.start_spared(&plan(&tunnelled, &setup)?)?;
        let road = Self {
            tunnelled,
            setup,
            far_pid,
        };
        if road.setup.both_run {
            [0, 1].into_iter().try_for_each(|it| road.run_charon(it))?;
        }
        Ok((road, active))
    }

    /// Starts charon on a router once the plugin is there: from an older one it knows no sessions.
    fn run_charon(&self, router: usize) -> Result<()> {
        let node = self.tunnelled.nodes()[router];
        if !poll(LIMIT, STEP, || node.rows("ipsec status").is_ok()) {
            return Err(node.done("ipsec")?.into());
        }
        let machine = &self.tunnelled.routers[router];
        Charon::start_with(machine, &self.setup.router, self.setup.release).map(drop)
    }

    pub fn far(&self) -> FarEnd<'_> {
        let machine = &self.tunnelled.far;
        match self.far_pid {
            Some(pid) => FarEnd::Charon(Charon { machine, pid }),
            None => FarEnd::Pluto(Pluto { machine }),
        }
    }

    /// Waits until charon of a router answers for sessions: before that it assigns no address.
    pub fn wait_following(&self, router: usize) -> Result<()> {
        let node = self.tunnelled.nodes()[router];
        let follows = || node.ipsec("all.ike_sessions") == "follow";
        if poll(LIMIT, STEP, follows) {
            return Ok(());
        }
        Err(node.done("ipsec")?.into())
    }

    /// Initiates all children.
    pub fn call(&mut self) -> Result<()> {
        for (_, children) in &self.setup.sessions {
            children.iter().try_for_each(|it| self.initiate(it))?;
        }
        Ok(())
    }

    /// Calls until the router's charon is there.
    pub fn initiate(&self, child: &str) -> Result<()> {
        let far = self.far();
        if poll(LIMIT, STEP, || far.initiate(child).is_ok()) {
            return Ok(());
        }
        Err(format!("{child} is not let in\n{}", self.far_log()).into())
    }

    /// Has a router initiate a child.
    pub fn router_initiates(&self, router: usize, child: &str) -> Result<()> {
        Charon::of_service(&self.tunnelled.routers[router])?.initiate_child(child)
    }

    /// IKE SAs of the far ends.
    pub fn sessions(&self) -> Result<BTreeSet<String>> {
        self.far().sessions()
    }

    /// Virtual addresses of the far ends.
    pub fn addresses(&self) -> Result<BTreeSet<IpAddr>> {
        let text = self.tunnelled.far.ok("ip -4 -o addr show")?;
        let words = text.split_whitespace();
        Ok(words
            .filter(|it| it.starts_with("10.3."))
            .filter_map(|it| it.split('/').next()?.parse().ok())
            .collect())
    }

    /// Waits until the other router has the SAs of all children.
    pub fn wait_followed(&self, active: usize) -> Result<()> {
        let sas = SAS * self.setup.children() as u64;
        self.tunnelled
            .wait_followed(active, sas, self.setup.policies)
    }

    /// Waits until charon of a router has all sessions and their SAs.
    pub fn wait_taken_over(&self, router: usize) -> Result<()> {
        let machine = &self.tunnelled.routers[router];
        let (ikes, children) = (self.setup.sessions.len(), self.setup.children());
        let mut said = String::new();
        let all = || {
            let listed = Charon::of_service(machine).and_then(|it| it.list_sas());
            said = listed.unwrap_or_default();
            let sas = machine.sas().unwrap_or_default();
            said.matches("ESTABLISHED").count() == ikes
                && said.matches("INSTALLED").count() >= children
                && !sas.iter().any(|sa| OURS.contains(&sa.reqid))
        };
        if poll(LIMIT, STEP, all) {
            return Ok(());
        }
        let rows = self.tunnelled.nodes()[router]
            .done("ipsec")
            .unwrap_or_default();
        let log = fs::read_to_string(machine.log_of("charon-ike")).unwrap_or_default();
        Err(format!("not {ikes} sessions with {children} children:\n{said}\n{rows}\n{log}").into())
    }

    /// Rekeys every child and every session, begun by the far ends.
    pub fn rekey(&self) -> Result<()> {
        let old = self.sessions()?;
        for (name, children) in &self.setup.sessions {
            for child in children {
                self.far().rekey_child(child)?;
            }
            self.far().rekey_ike(name)?;
        }
        self.wait_rekeyed(&old)
    }

    /// Rekeys every child and every session of a router's connection and of its child of that name, begun by the router.
    pub fn router_rekeys(&self, router: usize, connection: &str) -> Result<()> {
        let old = self.sessions()?;
        let charon = Charon::of_service(&self.tunnelled.routers[router])?;
        charon.swanctl(&format!("--rekey --child {connection}"))?;
        charon.swanctl(&format!("--rekey --ike {connection}"))?;
        self.wait_rekeyed(&old)
    }

    /// Waits until the far ends have all children, and new sessions in place of all old ones.
    fn wait_rekeyed(&self, old: &BTreeSet<String>) -> Result<()> {
        let (far, count) = (self.far(), self.setup.children());
        let mut sessions = BTreeSet::new();
        let all = || {
            sessions = far.sessions().unwrap_or_default();
            // a far end that still waits for an answer begins later
            sessions.is_disjoint(old)
                && sessions.len() == self.setup.sessions.len()
                && far.children().is_ok_and(|it| it == count)
        };
        if poll(LIMIT, STEP, all) {
            return Ok(());
        }
        Err(format!("after rekeyings: {sessions:?}\n{}", self.far_log()).into())
    }

    /// Fails if a far end has established a session again.
    pub fn assert_none_noticed(&self) {
        let established = self.far().established();
        assert_eq!(established, self.setup.sessions.len(), "{}", self.far_log());
    }

    pub fn far_log(&self) -> String {
        self.far().log()
    }

    /// Boots a router that died, and starts spared on it.
    pub fn revive(&mut self, router: usize) -> Result<()> {
        self.tunnelled.reboot(router)?;
        let plan = plan(&self.tunnelled, &self.setup)?;
        self.tunnelled.nodes()[router].start(&plan)?;
        if self.setup.both_run {
            self.run_charon(router)?;
        }
        Ok(())
    }

    /// Rows of both routers, for messages of failures.
    pub fn rows(&self) -> String {
        let mut text = String::new();
        for node in self.tunnelled.nodes() {
            let rows = node.done("ipsec").unwrap_or_default();
            let _ = writeln!(text, "{}:\n{rows}", node.0.name);
        }
        text
    }
}

fn plan(tunnelled: &Tunnelled, setup: &Setup) -> Result<Plan> {
    let [r1, r2] = &tunnelled.routers;
    for router in [r1, r2] {
        fs::write(router.dir.join("charon.conf"), setup.router_settings())?;
    }
    let mut plan = asking();
    plan.interval = Some(setup.advert_interval);
    if setup.both_run {
        return Ok(plan);
    }
    let scripts = [
        Charon::service_with(r1, &setup.router, setup.release)?,
        Charon::service_with(r2, &setup.router, setup.release)?,
    ];
    plan.plugins.push(services([&scripts[0], &scripts[1]]));
    Ok(plan)
}
