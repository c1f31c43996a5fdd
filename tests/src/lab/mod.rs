// SPDX-License-Identifier: MIT OR Apache-2.0
//! A lab: routers between two networks, made of namespaces on this machine.
//!
//! ```text
//!   lan 10.1.0.2 ──┐                            ┌── wan 10.2.0.2
//!   eye 10.1.0.9 ──┤        ┌── r1 .11 ──┐      │
//!               bridge lan ─┤            ├─ bridge wan
//!                           └── r2 .12 ──┘
//! ```
//!
//! All bridges are in the namespace sw, where cables are cut and all frames are seen. The virtual addresses
//! are 10.1.0.1 and 10.2.0.1; `lan` and `wan` use them as their gateways. r1 and r2 are also joined by two
//! links, `hot` and `warm`, over bridges of these names; the routers set their addresses there themselves.
//! In a lab of four, r3 and r4 are joined in the same way, over the same bridges.

mod cable;
mod counters;
mod disk;
mod filter;
mod forward;
mod leave;
mod namespace;
mod process;
mod relay;
mod scenario;
mod tap;
mod trace;
mod wiring;

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

pub use counters::Counters;
pub use disk::Disk;
pub use filter::{Direction, Traffic};
pub use forward::Forward;
pub use leave::{leave, leave_when_told};
pub use namespace::{Namespace, find_program};
pub use process::{Daemon, is_alive, is_stopped, signal_to, starved, urgently, usage, wakeups};
pub use relay::Relay;
pub(crate) use scenario::note;
pub use scenario::{
    become_root, disturbed, is_disturbed, maps_one_user, note_skip, scenario, skipped,
};
pub use tap::Tap;
pub use trace::stop_after_calls;
pub(crate) use wiring::cable;

use crate::probe::Delays;
pub use crate::sys::hold_up;
use crate::{Result, sys};

/// Networks and links; also the names of the routers' interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wire {
    Lan,
    Wan,
    Hot,
    Warm,
}

impl Wire {
    /// The networks.
    pub const BOTH: [Self; 2] = [Self::Lan, Self::Wan];
    pub const LINKS: [Self; 2] = [Self::Hot, Self::Warm];
    pub const ALL: [Self; 4] = [Self::Lan, Self::Wan, Self::Hot, Self::Warm];

    pub fn name(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Wan => "wan",
            Self::Hot => "hot",
            Self::Warm => "warm",
        }
    }

    fn number(self) -> u8 {
        match self {
            Self::Lan => 1,
            Self::Wan => 2,
            Self::Hot => 3,
            Self::Warm => 4,
        }
    }

    /// IPv4 address of a host: 10.1.0.HOST on the lan.
    pub fn ipv4(self, host: u8) -> std::net::Ipv4Addr {
        [10, self.number(), 0, host].into()
    }

    /// IPv6 address of a host: fd01::HOST on the lan, the number in decimal digits.
    pub fn ipv6(self, host: u8) -> String {
        format!("fd0{}::{host}", self.number())
    }

    /// Returns the link-local address that the kernel derives from a host's hardware address.
    pub fn link_local(self, host: u8) -> std::net::Ipv6Addr {
        let [a, b, c, d, e, f] = self.mac(host).map(u16::from);
        let [p, q, r, s] = [(a ^ 2) << 8 | b, c << 8 | 0xff, 0xfe00 | d, e << 8 | f];
        std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, p, q, r, s)
    }

    /// Hardware address of a host.
    pub fn mac(self, host: u8) -> [u8; 6] {
        [2, 0, 0, 0, self.number(), host]
    }
}

/// Host numbers on both networks; router N has 10 + N.
pub const CLIENT: u8 = 2;
pub const EYE: u8 = 9;
pub const VIRTUAL: u8 = 1;
pub const FIRST_ROUTER: u8 = 11;

/// Place of a router: its namespace, with the interfaces lan, wan and, in a pair, hot and warm.
pub struct Site {
    /// Name: "r1", "r2", "r3" or "r4".
    pub name: String,
    /// Index, from 0.
    pub index: usize,
    pub ns: Namespace,
}

impl Site {
    pub fn host(&self) -> u8 {
        FIRST_ROUTER + self.index as u8
    }

    /// Port of the switch into which it is plugged.
    pub(crate) fn port(&self, wire: Wire) -> String {
        format!("{}-{}", self.name, wire.name())
    }
}

pub struct Lab {
    pub sw: Namespace,
    pub lan: Namespace,
    pub wan: Namespace,
    /// A third station on the lan, which sends requests without changing the client's neighbour table.
    pub eye: Namespace,
    pub sites: Vec<Site>,
    /// Configurations, runtime directories and logs of this run.
    pub dir: PathBuf,
    /// Times by which its askers were late.
    pub unasked: Delays,
    /// A socket in sw, for ioctls.
    switch: OwnedFd,
}

impl Lab {
    /// Creates a lab for `routers` routers, in a few tens of milliseconds.
    pub fn new(routers: usize) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        remove_leftovers()?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = labs_dir()?.join(format!("{}-{number}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let sw = Namespace::new("sw")?;
        let switch = sw.run(|| Ok(sys::packet_socket()?))?;
        let site = |index: usize| -> Result<Site> {
            let name = format!("r{}", index + 1);
            Ok(Site {
                ns: Namespace::new(&name)?,
                name,
                index,
            })
        };
        let lab = Self {
            sw,
            lan: Namespace::new("lan")?,
            wan: Namespace::new("wan")?,
            eye: Namespace::new("eye")?,
            sites: (0..routers).map(site).collect::<Result<_>>()?,
            dir,
            unasked: Delays::default(),
            switch,
        };
        lab.prepare()?;
        lab.lay_cables()?;
        lab.address_hosts()?;
        lab.address_routers()?;
        lab.wait_carrier()?;
        Ok(lab)
    }

    /// Returns the indices of the sites that have an address now.
    pub fn holders(&self, address: &str) -> Vec<usize> {
        self.sites
            .iter()
            .filter(|site| site.ns.holds(address))
            .map(|site| site.index)
            .collect()
    }

    /// Returns the last lines of all log files, each with its name, for a failed test.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        let Ok(entries) = fs::read_dir(&self.dir) else {
            return text;
        };
        let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        paths.sort();
        for path in paths
            .iter()
            .filter(|path| path.extension().is_some_and(|is| is == "log"))
        {
            let lines = fs::read_to_string(path).unwrap_or_default();
            let skip = lines.lines().count().saturating_sub(150);
            text += &format!("--- {}\n", path.display());
            for line in lines.lines().skip(skip) {
                text += line;
                text.push('\n');
            }
        }
        text
    }

    /// Kills all processes that are left in the lab. Returns their number.
    pub fn kill_strays(&self) -> usize {
        let mut strays: Vec<u32> = self
            .sites
            .iter()
            .flat_map(|site| site.ns.processes())
            .collect();
        for ns in [&self.sw, &self.lan, &self.wan, &self.eye] {
            strays.extend(ns.processes());
        }
        for pid in &strays {
            let _ = signal_to(*pid, rustix::process::Signal::KILL);
        }
        strays.len()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.kill_strays();
        if !std::thread::panicking() && std::env::var_os("SPARED_KEEP_LAB").is_none() {
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Returns the folder of the tested binaries: that of this build, unless `SPARED_BUILD_DIR` names another.
pub fn build_dir() -> Result<PathBuf> {
    std::env::var_os("SPARED_BUILD_DIR").map_or_else(own_dir, |dir| Ok(dir.into()))
}

/// Returns the folder of this build's binaries: target/debug or target/release.
pub fn own_dir() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let dir = own.parent().ok_or("this program has no directory")?;
    let dir = if dir.ends_with("deps") || dir.ends_with("examples") {
        dir.parent().unwrap_or(dir)
    } else {
        dir
    };
    Ok(dir.to_owned())
}

// Returns the folder of the labs' directories. A run leaves its directory only if it failed or was killed. Scripts of
// daemons are there too, and are refused below a folder that others may write to, such as /tmp. FRR and the plugins run
// as other users and must be able to enter it, unlike /root.
fn labs_dir() -> Result<PathBuf> {
    let build = build_dir()?;
    let target = build.parent().unwrap_or(&build);
    if is_roots(target) || !is_roots(Path::new("/var/cache")) {
        Ok(target.join("lab"))
    } else {
        Ok("/var/cache/spared-tests/lab".into())
    }
}

/// Returns true if only root can change the folder and those above it, and every user can enter them.
fn is_roots(folder: &Path) -> bool {
    const OTHERS_WRITE: u32 = 0o022;
    const OTHERS_ENTER: u32 = 0o001;
    let allowed = |mode: u32| mode & OTHERS_WRITE == 0 && mode & OTHERS_ENTER != 0;
    let is_roots = |about: fs::Metadata| about.uid() == 0 && allowed(about.mode());
    folder.canonicalize().is_ok_and(|real| {
        real.ancestors()
            .all(|part| fs::metadata(part).is_ok_and(is_roots))
    })
}

/// Removes the directories of runs whose process is gone.
fn remove_leftovers() -> Result<()> {
    let dir = labs_dir()?;
    let Ok(entries) = fs::read_dir(&dir) else {
        return Ok(());
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let pid = path
            .file_name()
            .and_then(|name| name.to_str()?.split('-').next()?.parse().ok());
        if pid.is_some_and(|pid: u32| !Path::new("/proc").join(pid.to_string()).exists()) {
            process::end_users(&path);
            disk::unmount_below(&path);
            let _ = fs::remove_dir_all(&path);
        }
    }
    Ok(())
}
