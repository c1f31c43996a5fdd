// SPDX-License-Identifier: MIT OR Apache-2.0
//! keepalived, conntrackd with its own primary-backup.sh, and scripts, from the files of the folder `usual`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use spared_tests::Result;
use spared_tests::clock::poll;
use spared_tests::dhcp::{Server, Setup};
use spared_tests::lab::{Daemon, Lab, Site, Wire};
use spared_tests::lab::{find_program, maps_one_user, signal_to, skipped};

use super::{Carries, Pair, dhcp};
use crate::faults::load_firewall;

/// Seconds between two copies of leases and bans, as in usual/copy.sh.
pub const INTERVAL_S: u64 = 5;

/// conntrackd's own script, as Debian's package installs it.
const PRIMARY_BACKUP: &str = "/usr/share/doc/conntrackd/examples/sync/primary-backup.sh";
const FILES: [(&str, &str); 6] = [
    ("keepalived.conf", include_str!("../usual/keepalived.conf")),
    ("conntrackd.conf", include_str!("../usual/conntrackd.conf")),
    ("rsyncd.conf", include_str!("../usual/rsyncd.conf")),
    ("notify.sh", include_str!("../usual/notify.sh")),
    ("copy.sh", include_str!("../usual/copy.sh")),
    ("save.sh", include_str!("../usual/save.sh")),
];
const LIMIT: Duration = Duration::from_secs(20);
const STEP: Duration = Duration::from_millis(20);
/// Both nodes have announced nothing new for so long.
const CALM: Duration = Duration::from_millis(400);

pub struct Usual<'l> {
    lab: &'l Lab,
    nodes: [Node<'l>; 2],
}

struct Node<'l> {
    site: &'l Site,
    dir: PathBuf,
    /// None if keepalived is alone: conntrackd, notify scripts and rsync change their user or the limits of the kernel,
    /// which only root may.
    server: Option<Server<'l>>,
    keepalived: Option<Daemon>,
    others: Vec<Daemon>,
}

impl<'l> Usual<'l> {
    pub fn start(lab: &'l Lab) -> Result<Self> {
        let mut nodes = [
            Node::install(lab, &lab.sites[0], dhcp())?,
            Node::install(lab, &lab.sites[1], dhcp())?,
        ];
        for node in &mut nodes {
            load_firewall(node.site)?;
            node.boot()?;
        }
        Ok(Self { lab, nodes })
    }

    fn is_ready(&self) -> bool {
        let roles = self.nodes.each_ref().map(Node::role);
        let active = roles.iter().position(|role| role == "primary");
        let backup = roles.iter().position(|role| role == "backup");
        let (Some(active), Some(backup)) = (active, backup) else {
            return false;
        };
        let [active, backup] = [active, backup].map(|at| &self.nodes[at]);
        let runs = |node: &Node| node.server.as_ref().map(Server::runs);
        active.holds()
            && !backup.holds()
            && runs(active) != Some(false)
            && runs(backup) != Some(true)
    }
}

impl Pair for Usual<'_> {
    fn carries(&self) -> Carries {
        let with_helpers = self.server(0).is_some();
        Carries {
            connections: with_helpers,
            bans: with_helpers,
            services: with_helpers,
        }
    }

    fn wait_ready(&self) -> Result<()> {
        let mut calm = 0;
        let steady = || {
            calm = if self.is_ready() { calm + 1 } else { 0 };
            calm * STEP.as_millis() > CALM.as_millis()
        };
        if poll(LIMIT, STEP, steady) {
            return Ok(());
        }
        let roles = self.nodes.each_ref().map(Node::role);
        Err(format!("roles {roles:?} after {LIMIT:?}\n{}", self.lab.logs()).into())
    }

    fn server(&self, site: usize) -> Option<&Server<'_>> {
        self.nodes[site].server.as_ref()
    }

    fn boot(&mut self, site: usize) -> Result<()> {
        self.nodes[site].boot()
    }

    fn reap(&mut self, site: usize) {
        let node = &mut self.nodes[site];
        node.keepalived = None;
        node.others.clear();
    }

    fn hang(&mut self, site: usize) -> Result<()> {
        self.nodes[site].keepalived()?.signal_all(Signal::STOP)
    }

    fn resume(&mut self, site: usize) -> Result<()> {
        self.nodes[site].keepalived()?.signal_all(Signal::CONT)
    }

    fn begin_switch(&mut self, site: usize) -> Result<()> {
        self.nodes[site].keepalived()?.signal(Signal::TERM)
    }

    fn end_switch(&mut self, site: usize) -> Result<()> {
        let node = &mut self.nodes[site];
        if let Some(mut keepalived) = node.keepalived.take() {
            keepalived.wait(LIMIT)?;
        }
        node.start_keepalived()
    }

    fn crash_elector(&mut self, site: usize) -> Result<()> {
        // the parent starts it, and starts it again
        let tree = self.nodes[site].keepalived()?.tree();
        let child = tree.get(1).ok_or("keepalived has no child")?;
        signal_to(*child, Signal::KILL)
    }
}

impl<'l> Node<'l> {
    /// Writes all files.
    fn install(lab: &Lab, site: &'l Site, setup: Setup) -> Result<Self> {
        for program in ["keepalived", "conntrackd", "rsync", "flock"] {
            if find_program(Path::new(program)).is_none() {
                return Err(skipped(format!("{program} is not installed")));
            }
        }
        let server = if maps_one_user()? {
            None
        } else {
            Some(Server::install(lab, site, setup)?)
        };
        let dir = lab.dir.join(format!("{}-usual", site.name));
        for folder in ["state", "copied"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        let node = Self {
            site,
            dir,
            server,
            keepalived: None,
            others: Vec::new(),
        };
        for (name, text) in FILES {
            node.write(name, &node.filled(text))?;
        }
        node.write("primary-backup.sh", &node.primary_backup()?)?;
        let address = Wire::Hot.ipv4(site.host());
        site.ns.ip(&format!("addr add {address}/24 dev hot\n"))?;
        Ok(node)
    }

    /// A file's text with the values of this node.
    fn filled(&self, text: &str) -> String {
        let site = self.site;
        let paths = self.server.as_ref().map(|server| &server.paths);
        let path = |path: Option<&PathBuf>| {
            let path = path.map(|path| path.display().to_string());
            path.unwrap_or_default()
        };
        let peer = [12, 11][site.index];
        let values = [
            ("@NAME@", site.name.clone()),
            ("@DIR@", self.dir.display().to_string()),
            ("@PRIORITY@", [101, 100][site.index].to_string()),
            ("@OWN@", Wire::Hot.ipv4(site.host()).to_string()),
            ("@PEER@", Wire::Hot.ipv4(peer).to_string()),
            ("@SERVICE@", path(paths.map(|paths| &paths.script))),
            ("@LEASES@", path(paths.map(|paths| &paths.leases))),
        ];
        let replace = |text: String, (name, value): &(&str, String)| text.replace(name, value);
        values.iter().fold(text.to_owned(), replace)
    }

    /// conntrackd's script with this node's paths.
    fn primary_backup(&self) -> Result<String> {
        let text = fs::read_to_string(PRIMARY_BACKUP).map_err(|error| {
            skipped(format!(
                "{PRIMARY_BACKUP}: {error}: conntrackd's package is not here, or without its examples"
            ))
        })?;
        let dir = self.dir.display();
        let own = |line: &str| match line.split_once('=') {
            Some(("CONNTRACKD_LOCK", _)) => format!("CONNTRACKD_LOCK={dir}/conntrackd.lock\n"),
            Some(("CONNTRACKD_CONFIG", _)) => format!("CONNTRACKD_CONFIG={dir}/conntrackd.conf\n"),
            _ => format!("{line}\n"),
        };
        Ok(text.lines().map(own).collect())
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.dir.join(name);
        fs::write(&path, text)?;
        let mode = if name.ends_with(".sh") { 0o755 } else { 0o644 };
        Ok(fs::set_permissions(
            &path,
            fs::Permissions::from_mode(mode),
        )?)
    }

    fn boot(&mut self) -> Result<()> {
        if self.server.is_some() {
            self.start_helpers()?;
        }
        self.start_keepalived()
    }

    fn start_helpers(&mut self) -> Result<()> {
        let name = |what: &str| format!("{} {what}", self.site.name);
        for stale in ["role", "rsyncd.pid", "conntrackd.lock", "conntrackd.ctl"] {
            let _ = fs::remove_file(self.dir.join(stale));
        }
        let mut conntrackd = self.site.ns.command("conntrackd");
        conntrackd.arg("-C").arg(self.dir.join("conntrackd.conf"));
        let mut rsync = self.site.ns.command("rsync");
        rsync.args(["--daemon", "--no-detach", "--config"]);
        rsync.arg(self.dir.join("rsyncd.conf"));
        let copy = self.site.ns.command(self.dir.join("copy.sh"));
        self.others = vec![
            self.daemon(&name("conntrackd"), conntrackd)?,
            self.daemon(&name("rsync"), rsync)?,
            self.daemon(&name("copy"), copy)?,
        ];
        let answers = || self.dir.join("conntrackd.ctl").exists();
        if !poll(LIMIT, STEP, answers) {
            return Err(format!("{} does not start", name("conntrackd")).into());
        }
        Ok(())
    }

    fn start_keepalived(&mut self) -> Result<()> {
        let mut command = self.site.ns.command("keepalived");
        command.args([
            "--dont-fork",
            "--log-console",
            "--log-detail",
            "--vrrp",
            "--no-syslog",
        ]);
        command
            .arg("--use-file")
            .arg(self.dir.join("keepalived.conf"));
        for (word, file) in [("--pid", "keepalived.pid"), ("--vrrp_pid", "vrrp.pid")] {
            let path = self.dir.join(file);
            // one that was killed leaves its file, because of which the next would refuse to start
            let _ = fs::remove_file(&path);
            command.arg(word).arg(path);
        }
        let name = format!("{} keepalived", self.site.name);
        self.keepalived = Some(self.daemon(&name, command)?);
        Ok(())
    }

    fn daemon(&self, name: &str, command: Command) -> Result<Daemon> {
        let log = self.dir.with_file_name(name.replace(' ', "-") + ".log");
        Daemon::start(name, command, &log)
    }

    fn keepalived(&self) -> Result<&Daemon> {
        let running = self.keepalived.as_ref();
        running.ok_or_else(|| format!("{} runs no keepalived", self.site.name).into())
    }

    /// Last word of its notify script.
    fn role(&self) -> String {
        if self.server.is_none() {
            return if self.holds() { "primary" } else { "backup" }.to_owned();
        }
        let text = fs::read_to_string(self.dir.join("role")).unwrap_or_default();
        text.trim().to_owned()
    }

    /// True if it has the gateway's address.
    fn holds(&self) -> bool {
        self.site.ns.holds("10.1.0.1")
    }
}
