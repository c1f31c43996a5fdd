// SPDX-License-Identifier: MIT OR Apache-2.0
//! strongSwan's charon in a machine, with the same connection on both sides.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use super::Family;
use crate::Result;
use crate::clock::poll;
use crate::lab::skipped;
use crate::machine::Machine;
use crate::recipe::Recipe;

const PROGRAM: &str = "/usr/lib/ipsec/charon";
/// Pre-shared key of all connections.
pub const SECRET: &str = "a tunnel of the laboratory";
pub const CONNECTION: &str = "far";
pub const CHILD: &str = "net";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Router,
    Far,
}

/// A connection, configured in the same way on both sides.
#[derive(Clone, Debug)]
pub struct Connection {
    pub family: Family,
    /// IKE version, "1" or "2".
    pub version: u8,
    pub esp: String,
    /// Further lines of the connection, such as "unique = never".
    pub lines: String,
    /// Further lines of each child, such as "rekey_time = 5s".
    pub child: String,
    /// Further children: name, and network of the far side.
    pub others: Vec<(String, String)>,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            family: Family::V4,
            version: 2,
            esp: "aes128gcm16-esn".to_owned(),
            lines: String::new(),
            child: String::new(),
            others: Vec::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Package of this machine.
    Installed,
    /// Package of Debian 13, in its own mount namespace.
    Six,
}

impl Release {
    /// Command that runs charon; skips the test if there is none.
    fn charon(self) -> Result<String> {
        match self {
            Self::Installed if PathBuf::from(PROGRAM).exists() => Ok(PROGRAM.to_owned()),
            Self::Installed => Err(skipped("charon is not installed")),
            Self::Six => Ok(format!("{}/run {PROGRAM}", SIX.ask()?)),
        }
    }
}

static SIX: Recipe = Recipe::new(&["unpack.sh", "strongswan-6"]);

/// charon on a machine. `swanctl` is the machine's, whatever the release.
#[derive(Clone, Copy)]
pub struct Charon<'m> {
    pub machine: &'m Machine,
    pub pid: u32,
}

impl<'m> Charon<'m> {
    /// Starts charon and loads the connection, without initiating it.
    pub fn start(machine: &'m Machine, side: Side, connection: &Connection) -> Result<Self> {
        let conf = connections(side, connection);
        Self::start_with(machine, &conf, Release::Installed)
    }

    /// Starts charon with the given swanctl.conf.
    pub fn start_with(machine: &'m Machine, conf: &str, release: Release) -> Result<Self> {
        let program = release.charon()?;
        Self::configure(machine, conf)?;
        // left by a charon that was killed
        machine.ok("rm -f /run/charon.vici /run/charon.pid")?;
        let environment = environment(machine);
        let pid = machine.spawn("charon", &format!("env {environment} {program}"))?;
        let charon = Self { machine, pid };
        charon.wait_socket()?;
        charon.swanctl(&load_words(machine))?;
        Ok(charon)
    }

    /// Only writes its files.
    fn configure(machine: &Machine, conf: &str) -> Result<()> {
        fs::write(machine.dir.join("strongswan.conf"), settings(machine))?;
        fs::write(machine.dir.join("swanctl.conf"), conf)?;
        machine.forget_files()
    }

    /// Only writes the files of a router's charon.
    pub(super) fn configure_router(machine: &Machine, connection: &Connection) -> Result<()> {
        Self::configure(machine, &connections(Side::Router, connection))
    }

    /// Writes the files for a router. Returns the path of a script that starts, stops and queries charon like a service
    /// manager.
    pub fn service(machine: &Machine, connection: &Connection) -> Result<PathBuf> {
        let conf = connections(Side::Router, connection);
        Self::service_with(machine, &conf, Release::Installed)
    }

    /// Writes the files for a router with the given swanctl.conf; returns the script's path.
    pub fn service_with(machine: &Machine, conf: &str, release: Release) -> Result<PathBuf> {
        let program = release.charon()?;
        Self::configure(machine, conf)?;
        let path = machine.dir.join("charon-service");
        let (environment, load) = (environment(machine), load_words(machine));
        let script = format!(
            "#!/bin/sh\nexport {environment}\n\
             pid=$(pidof charon)\n\
             case $1 in\n\
             start)\n\
               rm -f /run/charon.vici /run/charon.pid\n\
               setsid {program} </dev/null >/dev/null 2>&1 &\n\
               until [ -S /run/charon.vici ]; do sleep 0.05; done\n\
               exec swanctl {load};;\n\
             stop) [ -z \"$pid\" ] || kill $pid; while pidof charon; do sleep 0.05; done;;\n\
             status) [ -n \"$pid\" ] || exit 3;;\n\
             esac\n"
        );
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// Returns the charon that a service manager starts and stops.
    pub fn of_service(machine: &'m Machine) -> Result<Self> {
        let charon = Self { machine, pid: 0 };
        charon.wait_socket()?;
        Ok(charon)
    }

    /// Runs `swanctl`, which must succeed. Returns its output.
    pub fn swanctl(&self, words: &str) -> Result<String> {
        let environment = environment(self.machine);
        self.machine.ok(&format!("{environment} swanctl {words}"))
    }

    /// Initiates the tunnel, and waits until it is up.
    pub fn initiate(&self) -> Result<()> {
        self.initiate_child(CHILD)
    }

    /// Initiates a child, and waits until it is up. A charon of a service has its socket before its connections.
    pub fn initiate_child(&self, child: &str) -> Result<()> {
        let mut done = Err("not initiated".into());
        poll(Duration::from_secs(10), Duration::from_millis(100), || {
            let told = self.swanctl(&format!("--initiate --child {child} --timeout 10"));
            done = told.map(drop);
            let why = done
                .as_ref()
                .map_or_else(ToString::to_string, |()| String::new());
            !(why.contains("config '") && why.contains("' not found"))
        });
        done
    }

    pub fn list_sas(&self) -> Result<String> {
        self.swanctl("--list-sas")
    }

    /// Ends charon as a service manager does; it deletes its SAs.
    pub fn stop(&self) -> Result<()> {
        let pid = self.pid;
        self.machine
            .ok(&format!(
                "kill -TERM {pid}; while kill -0 {pid}; do sleep 0.05; done 2>/dev/null"
            ))
            .map(drop)
    }

    /// Kills charon by SIGKILL; its SAs stay in the kernel.
    pub fn kill(&self) -> Result<()> {
        self.machine
            .ok(&format!("kill -KILL {}", self.pid))
            .map(drop)
    }

    fn wait_socket(&self) -> Result<()> {
        let there = || {
            self.machine
                .run("test -S /run/charon.vici")
                .is_ok_and(|(code, _)| code == 0)
        };
        if poll(Duration::from_secs(10), Duration::from_millis(100), there) {
            return Ok(());
        }
        let log = fs::read_to_string(self.machine.log_of("charon")).unwrap_or_default();
        Err(format!("{}: charon made no socket: {log}", self.machine.name).into())
    }
}

fn load_words(machine: &Machine) -> String {
    format!("--load-all --file {}/swanctl.conf", machine.dir.display())
}

pub(super) fn environment(machine: &Machine) -> String {
    format!(
        "STRONGSWAN_CONF={}/strongswan.conf SWANCTL_DIR={}",
        machine.dir.display(),
        machine.dir.display()
    )
}

/// Few plugins, for a quick start.
pub const PLUGINS: &str =
    "random nonce openssl aes sha1 sha2 hmac gcm kdf kernel-netlink socket-default vici";

// Earlier settings of a test in the machine's charon.conf come last and have priority.
fn settings(machine: &Machine) -> String {
    let log = machine.log_of("charon-ike");
    format!(
        "charon {{\n\
           load = {PLUGINS}\n\
           filelog {{\n\
             lab {{\n path = {}\n default = 1\n flush_line = yes\n ike_name = yes\n time_format = %s\n }}\n\
           }}\n\
           include {}/charon.con[f]\n\
         }}\n\
         swanctl {{\n load = random openssl\n}}\n",
        log.display(),
        machine.dir.display()
    )
}

fn connections(side: Side, connection: &Connection) -> String {
    let family = connection.family;
    let router = (family.gateway(), "router");
    let far = (family.far(), "far");
    let (own, other) = match side {
        Side::Router => (router, far),
        Side::Far => (far, router),
    };
    format!(
        "connections {{\n\
           {CONNECTION} {{\n\
             version = {}\n local_addrs = {}\n remote_addrs = {}\n {}\n\
             local {{\n auth = psk\n id = {}\n }}\n\
             remote {{\n auth = psk\n id = {}\n }}\n\
             children {{\n{}}}\n\
           }}\n\
         }}\n\
         secrets {{\n ike-lab {{\n secret = \"{SECRET}\"\n }}\n}}\n",
        connection.version,
        own.0,
        other.0,
        connection.lines,
        own.1,
        other.1,
        children(side, connection),
    )
}

fn children(side: Side, connection: &Connection) -> String {
    let family = connection.family;
    let near = family.lan_network();
    let first = (CHILD, family.inner_network());
    let others = connection.others.iter();
    let others = others.map(|(name, beyond)| (name.as_str(), beyond.as_str()));
    let child = |(name, beyond)| {
        let (own, other) = match side {
            Side::Router => (near, beyond),
            Side::Far => (beyond, near),
        };
        let (esp, lines) = (&connection.esp, &connection.child);
        format!(
            "{name} {{\n local_ts = {own}\n remote_ts = {other}\n esp_proposals = {esp}\n {lines}\n }}\n"
        )
    };
    std::iter::once(first).chain(others).map(child).collect()
}
