//! The plugin's file: where the page is served, with which certificate, and who may read it.
//!
//! [`read`] asks for every key; *spared-web*(5) is the manual of the keys.

mod place;
mod read;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use spared_key::login::LoginHash;

pub use place::Place;
pub use read::read;

/// Contents of the whole file.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Name of this node.
    pub node: String,
    pub listen: Vec<Place>,
    /// Names by which browsers may call the page, besides addresses, those of the nodes, and "localhost".
    pub names: Vec<String>,
    /// Given certificate; None: one that the plugin makes itself.
    pub certificate: Option<CertificateFiles>,
    pub login: Login,
}

/// Files with a certificate and its key, both PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Secrets that prove that somebody may read.
#[derive(Clone, Default, PartialEq)]
pub struct Login {
    pub password: Option<LoginHash>,
    pub token: Option<Token>,
}

impl Login {
    pub fn is_possible(&self) -> bool {
        self.password.is_some() || self.token.is_some()
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// Token of a program, of which only a digest is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl Token {
    pub fn new(token: &str) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
        let mut kept = [0; 32];
        kept.copy_from_slice(digest.as_ref());
        Self(kept)
    }
}

/// Returns true if only programs of this node reach an address.
pub fn is_local(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
