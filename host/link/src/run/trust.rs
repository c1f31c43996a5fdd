//! The keys by which this node and its peer authenticate each other, from `[nodes]` or a
//! passphrase.

use spared_key::{PrivateKey, PublicKey, Signature, derive, verify};

use crate::message::{Keys, Setup};
use crate::tls::Tls;

/// This node's key and the accepted keys of the peer.
#[derive(Debug)]
pub struct Trust {
    own: PrivateKey,
    peer: Vec<PublicKey>,
}

impl Trust {
    pub fn of(setup: &Setup) -> Result<Self, String> {
        match &setup.keys {
            Keys::Pinned { seed, peer } => Ok(Self {
                own: PrivateKey::from_seed(*seed),
                peer: peer.clone(),
            }),
            Keys::Secret(passphrase) => {
                let nodes = [setup.node.as_str(), setup.peer.as_str()];
                let of = |node: &str| {
                    derive(passphrase, &nodes, node).map_err(|error| error.to_string())
                };
                Ok(Self {
                    own: of(&setup.node)?,
                    peer: vec![of(&setup.peer)?.public()],
                })
            }
        }
    }

    /// Whether proofs under `old` are still valid.
    pub fn includes(&self, old: &Self) -> bool {
        self.own == old.own && old.peer.iter().all(|key| self.peer.contains(key))
    }

    /// This node's signature of a plugin's statement.
    pub fn sign(&self, plugin: &str, statement: &[u8]) -> Signature {
        self.own.sign(&signed_bytes(plugin, statement))
    }

    /// Whether the peer, by any of its keys, made this signature of a plugin's statement. This
    /// node's own key never counts as the peer's, whatever the configuration: a returned statement
    /// proves nothing.
    pub fn verify(&self, plugin: &str, statement: &[u8], signature: &[u8]) -> bool {
        let message = signed_bytes(plugin, statement);
        let own = self.own.public();
        let mut keys = self.peer.iter().filter(|key| **key != own);
        keys.any(|key| verify(key, &message, signature))
    }

    pub fn tls(&self) -> Result<Tls, String> {
        Tls::new(&self.own, &self.peer)
    }
}

/// `spared NAME`, a NUL, the statement. TLS signs nothing that begins like this (RFC 8446, 4.4.3:
/// 64 spaces), and no name contains a NUL. So a plugin can obtain neither a signature for a session
/// nor one of another plugin.
fn signed_bytes(plugin: &str, statement: &[u8]) -> Vec<u8> {
    [b"spared ", plugin.as_bytes(), b"\0", statement].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(own: u8, peer: &[u8]) -> Trust {
        let key = |seed: u8| PrivateKey::from_seed([seed; 32]);
        Trust {
            own: key(own),
            peer: peer.iter().map(|seed| key(*seed).public()).collect(),
        }
    }

    #[test]
    fn the_peer_is_believed_by_any_of_its_keys_and_nobody_else() {
        let (here, there) = (trust(1, &[8, 2]), trust(2, &[1]));
        let signature = there.sign("vrrp", b"a statement");
        assert!(here.verify("vrrp", b"a statement", &signature));
        assert!(!here.verify("vrrp", b"another", &signature));
        assert!(!there.verify("vrrp", b"a statement", &signature));
        assert!(!trust(1, &[3]).verify("vrrp", b"a statement", &signature));
    }

    #[test]
    fn one_s_own_signature_is_not_the_peer_s_even_where_the_keys_say_so() {
        let confused = trust(1, &[2, 1]);
        let signature = confused.sign("vrrp", b"a statement");
        assert!(!confused.verify("vrrp", b"a statement", &signature));
    }

    #[test]
    fn a_signature_is_valid_for_one_plugin_alone() {
        let (here, there) = (trust(1, &[2]), trust(2, &[1]));
        let signature = there.sign("health", b"a statement");
        assert!(!here.verify("vrrp", b"a statement", &signature));
        // a statement with a NUL does not belong to another plugin
        let signature = there.sign("vrrp", b"x\0a statement");
        assert!(!here.verify("x", b"a statement", &signature));
    }
}
