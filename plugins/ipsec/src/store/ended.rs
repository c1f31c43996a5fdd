//! Tracks records that ended here while the peer was not connected. A run of the plugin that begins before the
//! connection is back would take them from the peer again, so the driver saves them for that run.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use spared_replica::{Key, Reader, ValueWriter};

use super::TABLE_MAX;
use crate::sa::{PolicyId, SaId};
use crate::wire::TunnelKey;

const KEY_MAX: usize = spared_replica::wire::KEY_MAX;

#[derive(Debug, Default)]
pub struct Ended {
    /// Keys with the time of their end.
    keys: BTreeMap<TunnelKey, u64>,
    /// SAs and policies that the peer may have although it has not confirmed them to this run.
    unconfirmed_sas: BTreeSet<SaId>,
    unconfirmed_policies: BTreeSet<PolicyId>,
    /// The saved keys differ from the present ones.
    has_changed: bool,
    is_saved: bool,
}

impl Ended {
    /// Loads the keys that the last run of this plugin saved.
    pub fn load(&mut self, now_ns: u64, bytes: &[u8]) {
        let mut reader = Reader(bytes);
        while let Ok(key) = TunnelKey::read(&mut reader) {
            self.is_saved = true;
            self.keys.insert(key, now_ns);
        }
    }

    pub fn note(&mut self, now_ns: u64, key: TunnelKey) {
        if self.keys.len() < TABLE_MAX {
            self.has_changed |= self.keys.insert(key, now_ns).is_none();
        }
    }

    /// Adds records whose messages were in transit when the link was lost, or that an earlier run sent.
    pub fn note_unconfirmed(
        &mut self,
        sas: impl Iterator<Item = SaId>,
        policies: impl Iterator<Item = PolicyId>,
    ) {
        self.unconfirmed_sas.extend(sas);
        self.unconfirmed_policies.extend(policies);
    }

    pub fn is_unconfirmed(&self, key: &TunnelKey) -> bool {
        match key {
            TunnelKey::Sa(id, ..) => self.unconfirmed_sas.contains(id),
            TunnelKey::Policy(id, _) => self.unconfirmed_policies.contains(id),
            // a session that ended is none that charon would answer for
            TunnelKey::Ike(..) | TunnelKey::Child(..) | TunnelKey::AllNumbers => false,
        }
    }

    /// Removes a record that exists again.
    pub fn forget(&mut self, key: &TunnelKey) {
        self.has_changed |= !self.keys.is_empty() && self.keys.remove(key).is_some();
    }

    /// Keeps only tunnels with these ends; the peer decides about others.
    pub fn retain(&mut self, stays: impl Fn(&IpAddr) -> bool) {
        let before = self.keys.len();
        let stays = |key: &TunnelKey| key.local_end().is_some_and(|end| stays(&end));
        self.keys.retain(|key, _| stays(key));
        self.has_changed |= self.keys.len() != before;
    }

    /// Removes all, since both nodes have the same records.
    pub fn clear(&mut self) {
        self.has_changed |= !self.keys.is_empty();
        self.keys.clear();
        self.unconfirmed_sas.clear();
        self.unconfirmed_policies.clear();
    }

    /// Removes records that ended longer ago than `behind_ns`: the peer has confirmed their end.
    pub fn confirm(&mut self, now_ns: u64, behind_ns: u64) {
        self.keys
            .retain(|_, since_ns| now_ns.saturating_sub(*since_ns) <= behind_ns);
    }

    pub fn has(&self, key: &TunnelKey) -> bool {
        self.keys.contains_key(key)
    }

    /// Returns the bytes to save if they changed: all keys while the peer is away, else none.
    pub fn poll_saved(&mut self, is_away: bool) -> Option<Vec<u8>> {
        let keeps = is_away && !self.keys.is_empty();
        if keeps == self.is_saved && !(keeps && self.has_changed) {
            return None;
        }
        (self.is_saved, self.has_changed) = (keeps, false);
        let mut bytes = Vec::new();
        for key in self.keys.keys().filter(|_| keeps) {
            ValueWriter::write_to(&mut bytes, KEY_MAX, |out| key.write(out));
        }
        Some(bytes)
    }
}
