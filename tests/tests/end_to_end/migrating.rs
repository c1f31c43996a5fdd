// SPDX-License-Identifier: MIT OR Apache-2.0
//! From keepalived and conntrackd to spared, one node at a time, as docs/migrating-from-keepalived.md says: conntrackd stays
//! in use on both until both run spared, and spared's hooks call what keepalived's notify script called.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::conntrackd::{Conntrackd, Options};
use spared_tests::flows::{Ends, Session, Transfer};
use spared_tests::lab::{CLIENT, Lab, Wire, scenario, skipped};
use spared_tests::router::{Kind, Plan, PluginFile, Router, Ruleset, Spared};

const INTERVAL: Duration = Duration::from_millis(100);
const STEP: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(15);

/// Both routers with conntrackd, r1 with keepalived, and r2 with spared.
struct Beside<'l> {
    lab: &'l Lab,
    conntrackd: Vec<Conntrackd>,
    routers: Vec<Router>,
}

impl<'l> Beside<'l> {
    /// Starts them. Hooks of the spared nodes call conntrackd if `with_hooks`.
    fn start(lab: &'l Lab, with_hooks: bool) -> Result<Self> {
        let mut beside = Self {
            lab,
            conntrackd: Vec::new(),
            routers: Vec::new(),
        };
        for site in &lab.sites {
            Ruleset::snat().load(site)?;
            // conntrackd replicates no windows of TCP
            site.ns
                .set(&[("net/netfilter/nf_conntrack_tcp_be_liberal", "1")])?;
            let own = Wire::Hot.ipv4(site.host());
            site.ns.ip(&format!("addr add {own}/24 dev hot\n"))?;
            let options = Options {
                flows: 4096,
                external_cache: true,
                default_buffer: true,
            };
            beside
                .conntrackd
                .push(Conntrackd::start(lab, site, options)?);
            if with_hooks {
                beside.install_hooks(site.index)?;
            }
        }
        beside.begin(0, Kind::Keepalived, 200)?;
        beside.begin(1, Kind::Spared, 100)?;
        let ready = || Spared(&beside.routers[1]).role() == "backup";
        assert!(poll(LIMIT, STEP, ready), "{}", lab.logs());
        Ok(beside)
    }

    fn begin(&mut self, site: usize, kind: Kind, priority: u8) -> Result<()> {
        let mut plan = Plan::gateways(INTERVAL, priority);
        plan.extra = "routers = \"any\"\n".to_owned();
        let hooks = self.hooks(site);
        plan.plugins.push(PluginFile {
            name: "service".to_owned(),
            toml: format!("hooks = {hooks:?}\n"),
            file: "libspared_service.so".to_owned(),
        });
        let site = &self.lab.sites[site];
        self.routers
            .push(Router::start(self.lab, site, kind, &plan)?);
        Ok(())
    }

    fn hooks(&self, site: usize) -> PathBuf {
        let name = format!("{}-hooks", self.lab.sites[site].name);
        self.lab.dir.join(name)
    }

    /// Installs what `primary-backup.sh primary` and `primary-backup.sh backup` do.
    fn install_hooks(&self, site: usize) -> Result<()> {
        let name = &self.lab.sites[site].name;
        let file = self
            .lab
            .dir
            .join(format!("{name}-conntrackd/conntrackd.conf"));
        for (role, steps) in [("active", "-c -f -R -B"), ("backup", "-t -n")] {
            let folder = self.hooks(site).join(format!("{role}.d"));
            fs::create_dir_all(&folder)?;
            let hook = folder.join("conntrackd");
            let file = file.display();
            let text = format!(
                "#!/bin/sh\nfor step in {steps}; do conntrackd -C '{file}' $step || exit; done\n"
            );
            fs::write(&hook, text)?;
            fs::set_permissions(&hook, fs::Permissions::from_mode(0o755))?;
            spared_sdk::child::trusted(&hook).map_err(|why| {
                skipped(format!(
                    "{why}: nothing is root's alone in a user namespace"
                ))
            })?;
        }
        Ok(())
    }

    /// Waits until a node's conntrackd has flows of the other in its cache.
    fn wait_cached(&self, site: usize) -> Result<()> {
        let there = || {
            let cached = self.conntrackd[site].cached("external");
            cached.is_ok_and(|flows| flows > 0)
        };
        if poll(LIMIT, STEP, there) {
            Ok(())
        } else {
            Err(format!("nothing in the cache:\n{}", self.lab.logs()).into())
        }
    }

    /// Stops keepalived on r1, and waits until spared is active on r2.
    fn end_keepalived(&mut self) -> Result<()> {
        self.routers[0].shut_down()?;
        let taken = || Spared(&self.routers[1]).role() == "active";
        assert!(poll(LIMIT, STEP, taken), "{}", self.lab.logs());
        Ok(())
    }
}

fn asks_systemd() -> bool {
    let systemd = Path::new("/run/systemd/system").is_dir();
    systemd && fs::read_link("/proc/1/ns/net").is_err()
}

#[test]
fn a_transfer_survives_the_way_from_keepalived_and_conntrackd_to_spared() {
    scenario(2, |lab| {
        if asks_systemd() {
            return Err(skipped("only root may ask systemd to run hooks"));
        }
        let mut beside = Beside::start(lab, true)?;
        let server = (Wire::Wan.ipv4(CLIENT), 80).into();
        let ends = Ends::plain(&lab.lan, &lab.wan, server);
        let transfer = Transfer::start(ends, 300_000)?;
        beside.wait_cached(1)?;
        // step 3 of the guide: keepalived ends, and the hook commits conntrackd's cache
        beside.end_keepalived()?;
        transfer.wait_moves(LIMIT)?;
        // spared with the greater priority on r1 takes the role back
        beside.wait_cached(0)?;
        beside.begin(0, Kind::Spared, 200)?;
        let back = || Spared(&beside.routers[2]).role() == "active";
        assert!(poll(LIMIT, STEP, back), "{}", lab.logs());
        transfer.wait_moves(LIMIT)?;
        transfer.finish(LIMIT)
    });
}

/// Control of the test above: it would pass by luck if this session went on.
#[test]
fn without_the_hook_a_session_ends_with_keepalived() {
    scenario(2, |lab| {
        if asks_systemd() {
            return Err(skipped("only root may ask systemd to run hooks"));
        }
        let mut beside = Beside::start(lab, false)?;
        let server = (Wire::Wan.ipv4(CLIENT), 80).into();
        let mut session = Session::open(Ends::plain(&lab.lan, &lab.wan, server))?;
        session.say(Duration::from_secs(2))?;
        beside.wait_cached(1)?;
        beside.end_keepalived()?;
        let said = session.say(Duration::from_secs(3));
        assert!(said.is_err(), "it goes on without its flow");
        Ok(())
    });
}
