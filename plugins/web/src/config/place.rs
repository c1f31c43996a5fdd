//! Places at which the page is served: addresses of the network, and sockets in the plugin's own folder.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use super::is_local;

/// Begin of a Unix socket's text.
const SOCKET: &str = "unix:";
const NAME_MAX: usize = 32;

/// Place at which the page is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Network(SocketAddr),
    /// Name of a Unix socket in the plugin's folder, which one reaches who has the right to write it.
    Socket(String),
}

impl Place {
    /// True if only programs of this node reach it.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Network(address) => is_local(address.ip()),
            Self::Socket(_) => true,
        }
    }

    /// Address of the network.
    pub fn address(&self) -> Option<&SocketAddr> {
        match self {
            Self::Network(address) => Some(address),
            Self::Socket(_) => None,
        }
    }
}

impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let Some(name) = text.strip_prefix(SOCKET) else {
            return text.parse().map(Self::Network).map_err(|_| ());
        };
        let is_of_name = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || it == '-';
        let stem = name.strip_suffix(".sock").ok_or(())?;
        // no file of the plugin has such a name
        let fits = (1..=NAME_MAX).contains(&stem.len()) && stem.chars().all(is_of_name);
        fits.then(|| Self::Socket(name.to_owned())).ok_or(())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Network(address) => address.fmt(f),
            Self::Socket(name) => write!(f, "{SOCKET}{name}"),
        }
    }
}
