//! Holds the keys by which this node and its peer authenticate each other, from `[nodes]` or a passphrase.

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use spared_key::{PrivateKey, PublicKey, Signature, derive, verify};

use crate::message::{Keys, Setup};
use crate::tls::Tls;

/// Key of this node and accepted keys of the peer.
#[derive(Clone, Debug)]
pub struct Trust {
    own: PrivateKey,
    peer: Vec<PublicKey>,
    /// Digest of the passphrase and the names from which all keys were derived; None without a passphrase.
    source: Option<[u8; SHA256_OUTPUT_LEN]>,
}

impl Trust {
    pub fn of(setup: &Setup) -> Result<Self, String> {
        match &setup.keys {
            Keys::Pinned { seed, peer } => Ok(Self {
                own: PrivateKey::from_seed(*seed),
                peer: peer.clone(),
                source: None,
            }),
            Keys::Secret(passphrase) => {
                let nodes = [setup.node.as_str(), setup.peer.as_str()];
                let [own, peer] = derive(passphrase, nodes).map_err(|error| error.to_string())?;
                Ok(Self {
                    own,
                    peer: vec![peer.public()],
                    source: source(setup),
                })
            }
        }
    }

    /// Returns the keys for another configuration. Keys of an unchanged passphrase are not derived again, as the link
    /// does nothing else meanwhile.
    pub fn renewed(&self, setup: &Setup) -> Result<Self, String> {
        let source = source(setup);
        if source.is_some() && source == self.source {
            return Ok(self.clone());
        }
        Self::of(setup)
    }

    /// Returns true if proofs with the keys of `old` are still valid.
    pub fn includes(&self, old: &Self) -> bool {
        self.own == old.own && old.peer.iter().all(|key| self.peer.contains(key))
    }

    /// Returns this node's signature of a plugin's statement.
    pub fn sign(&self, plugin: &str, statement: &[u8]) -> Signature {
        self.own.sign(&signed_bytes(plugin, statement))
    }

    /// Returns true if the peer made this signature of a plugin's statement, with any of its keys. This node's own key
    /// never counts as the peer's, even if it is configured so: a statement that was sent back proves nothing.
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

/// Returns the digest of passphrase and names; None without a passphrase.
fn source(setup: &Setup) -> Option<[u8; SHA256_OUTPUT_LEN]> {
    let Keys::Secret(passphrase) = &setup.keys else {
        return None;
    };
    // no name contains a NUL
    let text = [setup.node.as_str(), &setup.peer, passphrase].join("\0");
    digest(&SHA256, text.as_bytes()).as_ref().try_into().ok()
}

/// Returns the bytes to be signed: `spared NAME`, a NUL, the statement. TLS signs nothing that begins like this (RFC
/// 8446, 4.4.3: 64 spaces), and no name contains a NUL. So a plugin can obtain neither a signature for a session nor
/// one for another plugin.
fn signed_bytes(plugin: &str, statement: &[u8]) -> Vec<u8> {
    [b"spared ", plugin.as_bytes(), b"\0", statement].concat()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use spared_message::word::Introduction;

    fn trust(own: u8, peer: &[u8]) -> Trust {
        let key = |seed: u8| PrivateKey::from_seed([seed; 32]);
        Trust {
            own: key(own),
            peer: peer.iter().map(|seed| key(*seed).public()).collect(),
            source: None,
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

    /// Makes a setup with a passphrase, between r1 and another node.
    fn setup(peer: &str, passphrase: &str) -> Setup {
        Setup {
            node: "r1".to_owned(),
            peer: peer.to_owned(),
            port: 0,
            keys: Keys::Secret(passphrase.to_owned()),
            paths: Vec::new(),
            introduction: Introduction::default(),
        }
    }

    #[test]
    fn a_passphrase_that_stays_is_derived_once() {
        let first = setup("r2", "wet horses battle a stapler");
        let began = Instant::now();
        let trust = Trust::of(&first).unwrap();
        let took = began.elapsed();
        let began = Instant::now();
        let same = trust.renewed(&first).unwrap();
        let again = began.elapsed();
        assert!(same.includes(&trust) && trust.includes(&same));
        assert!(again < took / 10, "{again:?} of {took:?}");
        for other in [
            setup("r3", "wet horses battle a stapler"),
            setup("r2", "dry horses battle a stapler"),
        ] {
            assert!(!trust.renewed(&other).unwrap().includes(&trust));
        }
    }
}
