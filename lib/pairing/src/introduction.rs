//! Introduction of each node, before the code proves it: name, public key, and place.

use serde::{Deserialize, Serialize};
use spared_key::{PublicKey, parse_public, public_text};

use crate::Fault;

/// Version of this protocol. Both nodes need the same one.
const VERSION: u32 = 1;
/// Maximum bytes of an introduction.
pub(crate) const BYTES_MAX: usize = 1024;

/// A node as it introduces itself. All of it is bound to the code: what was changed on the way is found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Introduction {
    pub node: String,
    pub key: PublicKey,
    /// Interface by which it speaks; empty without one.
    pub interface: String,
    /// Its address on that interface, and the one of the other node as it sees it; empty without an interface.
    pub addresses: [String; 2],
}

#[derive(Deserialize, Serialize)]
struct Text {
    version: u32,
    node: String,
    key: String,
    interface: String,
    addresses: [String; 2],
}

impl Introduction {
    /// The first node's greeting.
    pub fn greeting(&self) -> Vec<u8> {
        self.encode()
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let text = Text {
            version: VERSION,
            node: self.node.clone(),
            key: public_text(&self.key),
            interface: self.interface.clone(),
            addresses: self.addresses.clone(),
        };
        // texts and numbers are always JSON
        serde_json::to_vec(&text).unwrap_or_default()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Fault> {
        if bytes.len() > BYTES_MAX {
            return Err(Fault::Malformed);
        }
        let text: Text = serde_json::from_slice(bytes).map_err(|_| Fault::Malformed)?;
        if text.version != VERSION {
            return Err(Fault::Version(text.version));
        }
        let is_plain = |it: &str| {
            !it.is_empty() && !it.contains(|c: char| c.is_control() || c.is_whitespace())
        };
        if !is_plain(&text.node) || text.node.len() > 64 {
            return Err(Fault::Malformed);
        }
        Ok(Self {
            key: parse_public(&text.key).map_err(|_| Fault::Malformed)?,
            node: text.node,
            interface: text.interface,
            addresses: text.addresses,
        })
    }

    /// Checks that `other` is the other end of the same cable: each node sees the address that the other one has.
    pub(crate) fn meets(&self, other: &Self) -> Result<(), Fault> {
        if self.node == other.node {
            return Err(Fault::SameName(self.node.clone()));
        }
        if self.key == other.key {
            return Err(Fault::SameKey(other.node.clone()));
        }
        let [own, seen] = &self.addresses;
        if other.addresses != [seen.clone(), own.clone()] {
            return Err(Fault::Relayed);
        }
        Ok(())
    }
}
