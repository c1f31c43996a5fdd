//! The keys by which this node and its peer know each other, whatever they come from.

use spared_key::{PrivateKey, PublicKey, derive};

use crate::message::{Keys, Setup};
use crate::tls::Tls;

/// Who this node is, and whom it believes.
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

    /// What was proved under `old` still holds.
    pub fn includes(&self, old: &Self) -> bool {
        self.own == old.own && old.peer.iter().all(|key| self.peer.contains(key))
    }

    pub fn tls(&self) -> Result<Tls, String> {
        Tls::new(&self.own, &self.peer)
    }
}
