//! Far ends in one machine, whose IKE sessions with the routers are to follow.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::ipsec::{Charon, Family, PLUGINS, Pluto, SECRET, Tunnelled, asking, services};
use spared_tests::lab::Lab;
use spared_tests::machine::STEP;
use spared_tests::router::Plan;

use super::far_end::{FarDaemon, FarEnd};

pub const LIMIT: Duration = Duration::from_secs(40);
/// Reqids of the SAs that the plugin installs. The kernel's own for a policy that leads to none has a greater one.
const OURS: Range<u32> = 0x4000_0000..0x8000_0000;
/// SAs of a child; a tunnel has three policies.
const SAS: u64 = 2;
const POLICIES: u64 = 3;

/// Configuration of both sides.
pub struct Setup {
    /// Further plugins of both charons, and sections of their plugins at the router.
    pub plugins: String,
    pub has_ha: bool,
    /// File swanctl.conf.
    pub router: String,
    pub far_daemon: FarDaemon,
    /// File swanctl.conf, or connections of ipsec.conf.
    pub far: String,
    /// Further settings of a far charon.
    pub far_settings: String,
    /// Connections of the far side that it initiates, with their children. With pluto, a child is a connection.
    pub sessions: Vec<(String, Vec<String>)>,
    /// Policies of all children.
    pub policies: u64,
}

impl Setup {
    /// Road warriors with these names, each with a virtual address; `lines` are for their connections, `child` for their
    /// children.
    pub fn clients(names: &[&str], lines: &str, child: &str) -> Self {
        let network = Family::V4.lan_network();
        let client = |name: &&str| {
            let child = format!(
                "{name} {{\n remote_ts = {network}\n esp_proposals = aes128gcm16-esn\n {child}\n }}\n"
            );
            client(name, &format!("vips = 0.0.0.0\n{lines}"), PSK, &child)
        };
        let far: String = names.iter().map(client).collect();
        let session = |name: &&str| ((*name).to_owned(), vec![(*name).to_owned()]);
        Self {
            plugins: String::new(),
            has_ha: true,
            router: conf(&road(), ""),
            far_daemon: FarDaemon::Charon,
            far: conf(&far, ""),
            far_settings: String::new(),
            sessions: names.iter().map(session).collect(),
            policies: POLICIES * names.len() as u64,
        }
    }

    /// Adds a tunnel between sites; `lines` are for the router's child.
    pub fn with_site(mut self, lines: &str) -> Self {
        let end = |own, other, names: [&str; 2], networks: [&str; 2], lines: &str| {
            format!(
                "site {{\n version = 2\n mobike = no\n local_addrs = {own}\n remote_addrs = {other}\n dpd_delay = 2s\n\
                 local {{\n auth = psk\n id = {}\n }}\n remote {{\n auth = psk\n id = {}\n }}\n\
                 children {{\n site {{\n local_ts = {}\n remote_ts = {}\n esp_proposals = aes128gcm16-esn\n {lines}\n\
                 }}\n }}\n}}\n",
                names[0], names[1], networks[0], networks[1]
            )
        };
        let (here, there) = (Family::V4.gateway(), Family::V4.far());
        let (lan, inner) = (Family::V4.lan_network(), Family::V4.inner_network());
        let add = |conf: &mut String, connection: &str| {
            *conf = conf.replacen(
                "connections {\n",
                &format!("connections {{\n{connection}"),
                1,
            );
        };
        add(
            &mut self.router,
            &end(here, there, ["router", "far"], [lan, inner], lines),
        );
        add(
            &mut self.far,
            &end(there, here, ["far", "router"], [inner, lan], ""),
        );
        self.sessions
            .push(("site".to_owned(), vec!["site".to_owned()]));
        self.policies += POLICIES;
        self
    }

    fn load(&self) -> String {
        format!("load = {PLUGINS} {}", self.plugins)
    }

    /// Router's charon: its peer of the plugin `ha` is spared on the same node, and it assigns addresses by that.
    fn settings(&self) -> String {
        let load = self.load();
        if !self.has_ha {
            return format!("{load}\n");
        }
        format!(
            "{load} ha\n delete_rekeyed_delay = 1\n plugins {{\n ha {{\n\
               local = 127.0.0.1\n remote = 127.0.0.2\n segment_count = 1\n fifo_interface = no\n monitor = no\n\
               resync = no\n pools {{\n pool = 10.3.0.0/20\n }}\n\
             }}\n }}\n"
        )
    }

    fn children(&self) -> usize {
        self.sessions
            .iter()
            .map(|(_, children)| children.len())
            .sum()
    }
}

/// Sections `local` and `remote` of a client with a secret.
pub const PSK: &str = "auth = psk";

/// Router's connection for road warriors with a secret.
pub fn road() -> String {
    let (own, network) = (Family::V4.gateway(), Family::V4.lan_network());
    format!(
        "road {{\n\
           version = 2\n mobike = no\n local_addrs = {own}\n remote_addrs = %any\n pools = pool\n\
           local {{\n auth = psk\n id = router\n }}\n\
           remote {{\n auth = psk\n }}\n\
           children {{\n road {{\n local_ts = {network}\n esp_proposals = aes128gcm16-esn\n }}\n}}\n\
         }}\n"
    )
}

/// Connection of a client, which soon finds out if nobody answers; `auth` is how it proves who it is.
pub fn client(name: &str, lines: &str, auth: &str, children: &str) -> String {
    let other = Family::V4.gateway();
    let (remote, router) = match auth {
        PSK => (PSK, "router"),
        _ => ("auth = pubkey", "router.lab"),
    };
    format!(
        "{name} {{\n\
           version = 2\n mobike = no\n remote_addrs = {other}\n dpd_delay = 2s\n {lines}\n\
           local {{\n {auth}\n id = {name}\n }}\n\
           remote {{\n {remote}\n id = {router}\n }}\n\
           children {{\n{children}}}\n\
         }}\n"
    )
}

/// File swanctl.conf, with further sections of secrets.
pub fn conf(connections: &str, secrets: &str) -> String {
    format!(
        "connections {{\n{connections}}}\nsecrets {{\n ike-lab {{\n secret = \"{SECRET}\"\n }}\n{secrets}}}\n"
    )
}

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
            FarDaemon::Charon => {
                let settings = format!("{}\n{}", setup.load(), setup.far_settings);
                fs::write(far.dir.join("charon.conf"), settings)?;
                Some(Charon::start_with(far, &setup.far)?.pid)
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
        Ok((road, active))
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
        self.tunnelled.nodes()[router].start(&plan).map(drop)
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
        fs::write(router.dir.join("charon.conf"), setup.settings())?;
    }
    let scripts = [
        Charon::service_with(r1, &setup.router)?,
        Charon::service_with(r2, &setup.router)?,
    ];
    let mut plan = asking();
    plan.plugins.push(services([&scripts[0], &scripts[1]]));
    Ok(plan)
}
