//! Reasons why two nodes do not become a pair.

use std::fmt;

/// Reason why the exchange ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Bytes that are no frame of this protocol. They cost no try.
    Malformed,
    /// The other program speaks this version.
    Version(u32),
    SameName(String),
    /// This node has the same key.
    SameKey(String),
    /// A third machine is between the nodes: the addresses do not match.
    Relayed,
    /// The other side does not know the code, or something was changed on the way.
    WrongCode,
    /// The code was tried once already.
    Used,
    Expired,
    /// The configuration is longer than a frame.
    TooLong,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the other side does not speak as `sparectl pair` does"),
            Self::Version(version) => write!(
                f,
                "the other node speaks version {version} of pairing, this one version 1: install the same spared on both"
            ),
            Self::SameName(name) => write!(
                f,
                "both nodes have the name {name}: change the host name of one of them, or set node.name in its \
                 spared.toml, and run `sparectl pair` again on both"
            ),
            Self::SameKey(name) => write!(
                f,
                "{name} has the same key as this node: one of them is a copy; on the copy run `sparectl keygen --replace`, \
                 and `sparectl pair` again on both"
            ),
            Self::Relayed => f.write_str(
                "a third machine is between the nodes: use a direct cable, or `sparectl pair --ssh HOST`",
            ),
            Self::WrongCode => f.write_str(
                "the code is not the one of the other node, or something changed the exchange on the way; a code has one \
                 try: run `sparectl pair` on the first node for a new one",
            ),
            Self::Used => f.write_str(
                "the code was tried once already: run `sparectl pair` on the first node for a new one",
            ),
            Self::Expired => f.write_str(
                "the code is older than five minutes: run `sparectl pair` on the first node for a new one",
            ),
            Self::TooLong => f.write_str(
                "the configuration is larger than 1 MiB: copy the files by hand, and use `sparectl pair --key-file FILE`",
            ),
        }
    }
}

impl std::error::Error for Fault {}
