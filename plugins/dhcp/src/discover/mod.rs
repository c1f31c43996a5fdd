//! What a server's own configuration says of its leases.

use std::path::{Path, PathBuf};

use crate::format::Format;

/// Where a server keeps what is to follow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    pub leases: PathBuf,
    /// Kea's control socket.
    pub socket: Option<PathBuf>,
    /// Kea's hook that takes leases by the control socket is loaded.
    pub has_lease_commands: bool,
    /// dnsmasq listens on D-Bus, under this name.
    pub bus_name: Option<String>,
    /// Kea's file with the DUID of a DHCPv6 server.
    pub server_id: Option<PathBuf>,
}

/// Reads the configuration at `path` and what it includes.
///
/// # Errors
/// A sentence: it cannot be read, or keeps its leases where they cannot follow (a database).
pub fn read(format: Format, path: &Path) -> Result<Places, String> {
    let _ = (format, path);
    todo!()
}

/// Where Debian's package of the server has its configuration.
pub fn default_path(format: Format) -> &'static Path {
    Path::new(match format {
        Format::Kea4 => "/etc/kea/kea-dhcp4.conf",
        Format::Kea6 => "/etc/kea/kea-dhcp6.conf",
        Format::Dnsmasq => "/etc/dnsmasq.conf",
        Format::Dhcpd4 => "/etc/dhcp/dhcpd.conf",
        Format::Dhcpd6 => "/etc/dhcp/dhcpd6.conf",
    })
}
