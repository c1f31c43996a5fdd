//! Reads a server's own configuration: the location of its leases, its pools, and the files that it consists of.

mod dhcpd;
mod dnsmasq;
mod kea;

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::codec::Format;

/// Limit of all files of a configuration together, in bytes; none is as long.
const LONGEST: u64 = 16 * 1024 * 1024;
/// Default limit of leases in dnsmasq.
pub const LEASES_MAX: usize = 1000;
/// Limit of nested includes, which also ends a file that includes itself.
const DEEPEST: u32 = 10;

/// Result of reading a configuration.
#[derive(Debug)]
pub struct Configuration {
    /// Locations, or the reason why it cannot be read, or why the leases cannot be replicated (a database).
    pub places: Result<Places, String>,
    /// Files and folders that were read or looked for: a change of one may be a change of the configuration.
    pub sources: BTreeSet<Source>,
}

/// Part of a configuration, which need not exist.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    File(PathBuf),
    /// Folder whose files all count.
    Folder(PathBuf),
}

/// Locations of a server's leases.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    pub leases: PathBuf,
    /// Kea's control socket.
    pub socket: Option<PathBuf>,
    /// True if Kea loads the hook that accepts leases on the control socket.
    pub has_lease_commands: bool,
    /// Name of dnsmasq on D-Bus, if it uses it.
    pub bus_name: Option<String>,
    /// Path of Kea's file with the DUID of a DHCPv6 server.
    pub server_id: Option<PathBuf>,
    /// Value of dnsmasq's `dhcp-lease-max`.
    pub leases_max: usize,
    /// Pools, in a form that is equal on both nodes if the pools are.
    pub pools: Vec<String>,
}

impl Places {
    fn of(leases: impl Into<PathBuf>) -> Self {
        Self {
            leases: leases.into(),
            socket: None,
            has_lease_commands: false,
            bus_name: None,
            server_id: None,
            leases_max: LEASES_MAX,
            pools: Vec::new(),
        }
    }
}

/// Reads the configuration at `path` and what it includes.
pub fn read(format: Format, path: &Path) -> Configuration {
    let mut files = Files::default();
    let places = read_places(&mut files, format, path);
    Configuration {
        places,
        sources: files.sources,
    }
}

fn read_places(files: &mut Files, format: Format, path: &Path) -> Result<Places, String> {
    let read = match format {
        Format::Kea4 => kea::read(files, path, kea::Family::V4),
        Format::Kea6 => kea::read(files, path, kea::Family::V6),
        Format::Dnsmasq if path == default_path(format) => {
            dnsmasq::read(files, path, Some(Path::new(dnsmasq::DEFAULTS)))
        }
        Format::Dnsmasq => dnsmasq::read(files, path, None),
        Format::Dhcpd4 => dhcpd::read(files, path, dhcpd::Family::V4),
        Format::Dhcpd6 => dhcpd::read(files, path, dhcpd::Family::V6),
    };
    let mut found = read?;
    found.pools.sort();
    found.pools.dedup();
    Ok(found)
}

/// Returns the path of the configuration in Debian's package of the server.
pub fn default_path(format: Format) -> &'static Path {
    Path::new(match format {
        Format::Kea4 => "/etc/kea/kea-dhcp4.conf",
        Format::Kea6 => "/etc/kea/kea-dhcp6.conf",
        Format::Dnsmasq => "/etc/dnsmasq.conf",
        Format::Dhcpd4 => "/etc/dhcp/dhcpd.conf",
        Format::Dhcpd6 => "/etc/dhcp/dhcpd6.conf",
    })
}

/// Files read so far, with limits that end recursive includes.
#[derive(Default)]
struct Files {
    sources: BTreeSet<Source>,
    bytes: u64,
    depth: u32,
}

impl Files {
    fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        self.sources.insert(Source::File(path.to_owned()));
        let mut bytes = Vec::new();
        let left = LONGEST.saturating_sub(self.bytes);
        let read = fs::File::open(path)
            .and_then(|file| file.take(left.saturating_add(1)).read_to_end(&mut bytes));
        read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
        if self.bytes > LONGEST {
            return Err(format!(
                "{} and what it belongs to are too long",
                path.display()
            ));
        }
        Ok(bytes)
    }

    /// Reads a file that need not exist: no bytes then.
    fn read_optional(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        if path.exists() {
            return self.read(path);
        }
        self.sources.insert(Source::File(path.to_owned()));
        Ok(Vec::new())
    }

    /// Returns the paths of the files in a folder, in order.
    fn in_folder(&mut self, folder: &Path) -> Result<Vec<PathBuf>, String> {
        self.sources.insert(Source::Folder(folder.to_owned()));
        let entries = fs::read_dir(folder)
            .map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
        let paths = entries.flatten().map(|entry| entry.path());
        let mut paths: Vec<_> = paths.filter(|path| path.is_file()).collect();
        paths.sort();
        Ok(paths)
    }

    /// Runs `inner` for files that a file includes.
    fn include<T>(
        &mut self,
        path: &Path,
        inner: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        if self.depth >= DEEPEST {
            return Err(format!("{} is included too deep", path.display()));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }
}
