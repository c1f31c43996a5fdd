//! `[[link]]`: the paths to the peer, and how both nodes know each other.

use std::net::IpAddr;

use super::key::LinkKeys;

/// The link to the peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The other name of `[nodes]`.
    pub peer: String,
    pub port: u16,
    pub keys: LinkKeys,
    /// One or two, in the order of the file.
    pub paths: Vec<LinkPath>,
}

impl Link {
    pub fn interfaces(&self) -> impl Iterator<Item = String> + '_ {
        self.paths.iter().map(|path| path.interface.clone())
    }
}

/// One `[[link]]`, as this node sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkPath {
    pub interface: String,
    pub own: IpAddr,
    pub prefix: u8,
    pub peer: IpAddr,
}
